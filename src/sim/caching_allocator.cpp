#include "sim/caching_allocator.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <bit>

namespace zerosim::sim {
namespace {

// c10/cuda/CUDACachingAllocator.cpp: kMinBlockSize, kSmallSize, kLargeBuffer.
constexpr std::int64_t kMinBlockSize = 512;
constexpr std::int64_t kSmallSize = 1 << 20;
constexpr std::int64_t kLargeBuffer = 20 << 20;

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// [roundup_power2_next_division] The range between two powers of two is cut into `divisions` steps.
std::int64_t round_to_division(std::int64_t size, std::int64_t divisions) {
    const auto bits = static_cast<std::uint64_t>(size);
    if (std::has_single_bit(bits)) return size;
    const auto floor = static_cast<std::int64_t>(std::bit_floor(bits));
    const std::int64_t step = floor >> (std::bit_width(static_cast<std::uint64_t>(divisions)) - 1);
    return step == 0 ? 2 * floor : round_up(size, step);
}

}  // namespace

CachingAllocator::CachingAllocator(std::size_t streams, const AllocatorSettings& settings)
    : settings_(settings), free_(2 * streams), unmapped_(2 * streams) {}

std::int64_t CachingAllocator::round_size(std::int64_t bytes) const {
    const std::int64_t divisions = settings_.roundup_power2_divisions;
    if (divisions > 1 && bytes > kMinBlockSize * divisions) return round_to_division(bytes, divisions);
    return round_up(bytes, kMinBlockSize);
}

bool CachingAllocator::should_split(bool large, std::int64_t size, std::int64_t remaining) const {
    if (!large || settings_.expandable_segments) return remaining >= kMinBlockSize;
    return size < settings_.max_split_size && remaining > kSmallSize;
}

CachingAllocator::Block CachingAllocator::new_entry() {
    if (unused_.empty()) {
        blocks_.emplace_back();
        return static_cast<Block>(blocks_.size() - 1);
    }
    const Block block = unused_.back();
    unused_.pop_back();
    blocks_[block] = {};
    return block;
}

/// [get_free_block]
CachingAllocator::Block CachingAllocator::take_best_fit(std::uint32_t pool, std::int64_t size) {
    ++searches_[pool % 2];
    auto& list = free_[pool];
    auto fit = std::lower_bound(list.begin(), list.end(), Free{size, 0, kNone});
    if (fit == list.end()) return kNone;
    if (blocks_[fit->block].expandable >= 0) fit = best_expandable(list, fit);
    // An oversize block is not for a smaller request, nor for one that would waste more than a large buffer of it.
    const bool oversize = size >= settings_.max_split_size;
    if (!oversize && fit->size >= settings_.max_split_size) return kNone;
    if (oversize && fit->size >= size + kLargeBuffer) return kNone;
    const Block block = fit->block;
    list.erase(fit);
    if (counts_as_split(blocks_[block])) counters_.inactive_split -= blocks_[block].size;
    return block;
}

void CachingAllocator::insert_free(Block block) {
    Entry& entry = blocks_[block];
    entry.age_base = searches_[entry.pool % 2];
    auto& list = free_[entry.pool];
    const Free key{entry.size, entry.address, block};
    list.insert(std::lower_bound(list.begin(), list.end(), key), key);
    if (!counts_as_split(entry)) return;
    counters_.inactive_split += entry.size;
    counters_.peak_inactive_split = std::max(counters_.peak_inactive_split, counters_.inactive_split);
}

void CachingAllocator::remove_free(Block block) {
    const Entry& entry = blocks_[block];
    auto& list = free_[entry.pool];
    list.erase(std::lower_bound(list.begin(), list.end(), Free{entry.size, entry.address, block}));
    if (counts_as_split(entry)) counters_.inactive_split -= entry.size;
}

CachingAllocator::Block CachingAllocator::cut(Block block, std::int64_t size) {
    const Block rest = new_entry();
    Entry& first = blocks_[block];
    Entry& second = blocks_[rest];
    second.address = first.address + size;
    second.size = first.size - size;
    second.pool = first.pool;
    second.expandable = first.expandable;
    second.previous = block;
    second.next = first.next;
    if (first.next != kNone) blocks_[first.next].previous = rest;
    first.next = rest;
    first.size = size;
    return rest;
}

/// [malloc]
CachingAllocator::Block CachingAllocator::allocate(std::size_t stream, std::int64_t bytes, std::int64_t now) {
    if (bytes <= 0) return kNone;
    process_events(now);
    const std::int64_t size = round_size(bytes);
    const bool large = size > kSmallSize;
    const auto pool = static_cast<std::uint32_t>(2 * stream + (large ? 1 : 0));
    Block block = take_best_fit(pool, size);
    if (block == kNone) block = request(pool, size);
    if (should_split(large, size, blocks_[block].size - size)) insert_free(cut(block, size));
    Entry& entry = blocks_[block];
    entry.live = true;
    entry.requested = bytes;
    counters_.requested += bytes;
    counters_.allocated += entry.size;
    counters_.active += entry.size;
    counters_.peak_allocated = std::max(counters_.peak_allocated, counters_.allocated);
    counters_.peak_active = std::max(counters_.peak_active, counters_.active);
    return block;
}

/// [try_merge_blocks]
bool CachingAllocator::can_join(Block block, Block neighbour) const {
    return neighbour != kNone && !blocks_[neighbour].live && !blocks_[neighbour].pending && blocks_[neighbour].mapped == blocks_[block].mapped;
}

void CachingAllocator::merge(Block block, Block neighbour) {
    if (blocks_[neighbour].mapped) remove_free(neighbour);
    else remove_unmapped(neighbour);
    Entry& kept = blocks_[block];
    const Entry gone = blocks_[neighbour];
    if (gone.address < kept.address) {
        kept.address = gone.address;
        kept.previous = gone.previous;
        if (gone.previous != kNone) blocks_[gone.previous].next = block;
    } else {
        kept.next = gone.next;
        if (gone.next != kNone) blocks_[gone.next].previous = block;
    }
    kept.size += gone.size;
    unused_.push_back(neighbour);
}

void CachingAllocator::merge_neighbours(Block block) {
    for (const bool before : {true, false}) {
        const Block neighbour = before ? blocks_[block].previous : blocks_[block].next;
        if (can_join(block, neighbour)) merge(block, neighbour);
    }
}

void CachingAllocator::free(Block block) {
    if (block == kNone) return;
    check(block < blocks_.size() && blocks_[block].live, "CachingAllocator::free of a block that is not live");
    counters_.allocated -= blocks_[block].size;
    blocks_[block].live = false;
    blocks_[block].pending = true;
    release(block);
}

void CachingAllocator::free_later(Block block, std::int64_t done) {
    if (block == kNone) return;
    check(block < blocks_.size() && blocks_[block].live, "CachingAllocator::free_later of a block that is not live");
    counters_.allocated -= blocks_[block].size;
    blocks_[block].live = false;
    blocks_[block].pending = true;
    events_.push_back({block, done});
}

/// [free_block]
void CachingAllocator::release(Block block) {
    check(block < blocks_.size() && blocks_[block].pending, "CachingAllocator::release of a block that was not freed for later");
    std::erase_if(events_, [block](const Event& event) { return event.block == block; });
    Entry& entry = blocks_[block];
    counters_.active -= entry.size;
    counters_.requested -= entry.requested;
    entry.pending = false;
    merge_neighbours(block);
    insert_free(block);
}

void CachingAllocator::process_events(std::int64_t now) {
    for (std::size_t i = 0; i < events_.size();) {
        if (events_[i].done <= now) release(events_[i].block);   // takes it off the list
        else ++i;
    }
}

}  // namespace zerosim::sim
