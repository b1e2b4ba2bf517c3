// Expandable segments: address space for the whole device, of which pages are mapped as they are needed and unmapped at the edge.
// Note [Expandable Segments] and find_expandable_block ... unmap_block of c10/cuda/CUDACachingAllocator.cpp.
#include "sim/caching_allocator.hpp"

#include <algorithm>

namespace zerosim::sim {
namespace {

constexpr std::int64_t kSmallPage = 2 << 20, kLargePage = 20 << 20;   // kSmallBuffer, kLargeBuffer

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

void CachingAllocator::insert_unmapped(Block block) {
    auto& list = unmapped_[blocks_[block].pool];
    const auto place = std::ranges::lower_bound(list, blocks_[block].address, {}, [this](Block b) { return blocks_[b].address; });
    list.insert(place, block);
}

void CachingAllocator::remove_unmapped(Block block) {
    auto& list = unmapped_[blocks_[block].pool];
    list.erase(std::ranges::find(list, block));
}

/// Address space of 9/8 of the device, so that pages may be unmapped early in it and put at its end; more for a request that no device holds, which
/// is granted once it has been recorded as out of memory. Nothing is mapped yet.
CachingAllocator::Block CachingAllocator::new_expandable(std::uint32_t pool, std::int64_t size) {
    constexpr std::int64_t kLargestDevice = std::int64_t{1} << 48;   // where the device's size is not known
    const std::int64_t page = pool % 2 == 0 ? kSmallPage : kLargePage;
    const std::int64_t device = settings_.device_bytes > 0 ? settings_.device_bytes : kLargestDevice;
    const std::int64_t space = round_up(std::max(device + device / 8, size), page);
    const std::int64_t address = addresses_.take(space);
    expandable_.push_back({address, page});
    ++counters_.segments;
    const Block block = new_entry();
    Entry& entry = blocks_[block];
    entry.address = address;
    entry.size = space;
    entry.pool = pool;
    entry.expandable = static_cast<std::int32_t>(expandable_.size()) - 1;
    entry.mapped = false;
    insert_unmapped(block);
    return block;
}

/// [find_expandable_block] The lowest address at which free and unmapped space together hold `size`.
CachingAllocator::Block CachingAllocator::find_expandable(std::uint32_t pool, std::int64_t size) {
    const auto allocatable = [this](Block b) { return b != kNone && !blocks_[b].live && !blocks_[b].pending; };
    for (const Block unmapped : unmapped_[pool]) {
        const Block before = blocks_[unmapped].previous, first = allocatable(before) ? before : unmapped;
        std::int64_t bytes = 0;
        for (Block b = first; bytes < size && allocatable(b); b = blocks_[b].next) bytes += blocks_[b].size;
        if (bytes >= size) return first;
    }
    return new_expandable(pool, size);
}

/// [map_block] Maps whole pages for the first `size` bytes of an unmapped block and joins it with free neighbours. kNone: no memory.
CachingAllocator::Block CachingAllocator::map(Block block, std::int64_t size) {
    const std::int64_t bytes = std::min(round_up(size, expandable_[static_cast<std::size_t>(blocks_[block].expandable)].page), blocks_[block].size);
    if (!fits(bytes)) return kNone;
    remove_unmapped(block);
    if (bytes < blocks_[block].size) {
        const Block rest = cut(block, bytes);
        blocks_[rest].mapped = false;
        insert_unmapped(rest);
    }
    blocks_[block].mapped = true;
    merge_neighbours(block);
    insert_free(block);
    add_reserved(bytes);
    return block;
}

/// [try_allocate_expandable_block]
CachingAllocator::Block CachingAllocator::expand(std::uint32_t pool, std::int64_t size) {
    Block candidate = find_expandable(pool, size);
    if (!blocks_[candidate].mapped) candidate = map(candidate, std::min(blocks_[candidate].size, size));
    while (candidate != kNone && blocks_[candidate].size < size) {
        const Block next = blocks_[candidate].next;   // unmapped
        candidate = map(next, std::min(size - blocks_[candidate].size, blocks_[next].size));
    }
    if (candidate != kNone) remove_free(candidate);
    return candidate;
}

/// [unmap_block] Gives the pages that lie wholly in a free block back.
void CachingAllocator::unmap(Block block) {
    const auto [base, page] = expandable_[static_cast<std::size_t>(blocks_[block].expandable)];
    const std::int64_t begin = base + round_up(blocks_[block].address - base, page);
    const std::int64_t end = base + (blocks_[block].address + blocks_[block].size - base) / page * page;
    if (begin >= end) return;
    remove_free(block);
    const std::int64_t before = begin - blocks_[block].address, after = blocks_[block].address + blocks_[block].size - end;
    if (after > 0) insert_free(cut(block, blocks_[block].size - after));
    if (before > 0) {
        const Block front = block;
        block = cut(front, before);
        insert_free(front);
    }
    blocks_[block].mapped = false;
    counters_.reserved -= end - begin;
    ++counters_.device_frees;
    merge_neighbours(block);
    insert_unmapped(block);
}

/// A block at the end of what is mapped counts as large as it can become [get_free_block, expandable_size].
CachingAllocator::FreeList::iterator CachingAllocator::best_expandable(FreeList& list, FreeList::iterator fit) const {
    const auto can_become = [this](const Free& free) {
        const Block next = blocks_[free.block].next;
        return free.size + (next != kNone && !blocks_[next].mapped ? blocks_[next].size : 0);
    };
    for (auto next = std::next(fit); next != list.end() && can_become(*next) < can_become(*fit); ++next) fit = next;
    return fit;
}

}  // namespace zerosim::sim
