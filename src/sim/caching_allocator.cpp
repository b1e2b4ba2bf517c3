#include "sim/caching_allocator.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace zerosim::sim {
namespace {

// c10/cuda/CUDACachingAllocator.cpp: kMinBlockSize, kSmallSize, kSmallBuffer, kLargeBuffer, kMinLargeAlloc, kRoundLarge.
constexpr std::int64_t kMinBlockSize = 512;
constexpr std::int64_t kSmallSize = 1 << 20;
constexpr std::int64_t kSmallBuffer = 2 << 20;
constexpr std::int64_t kLargeBuffer = 20 << 20;
constexpr std::int64_t kMinLargeAlloc = 10 << 20;
constexpr std::int64_t kRoundLarge = 2 << 20;

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// [get_allocation_size]
std::int64_t segment_size(std::int64_t size) {
    if (size <= kSmallSize) return kSmallBuffer;
    return size < kMinLargeAlloc ? kLargeBuffer : round_up(size, kRoundLarge);
}

/// [should_split], without max_split_size_mb
bool should_split(bool large, std::int64_t remaining) { return large ? remaining > kSmallSize : remaining >= kMinBlockSize; }

}  // namespace

// New segments get descending addresses (CUDA 13, driver 580: inferred from the measured rows, docs/accuracy.md), so among free
// blocks of one size the newest segment's wins.
CachingAllocator::CachingAllocator(std::size_t streams) : free_(2 * streams), next_address_(std::int64_t{1} << 56) {}

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

CachingAllocator::Block CachingAllocator::new_segment(std::uint32_t pool, std::int64_t size) {
    const Block block = new_entry();
    next_address_ -= size;
    blocks_[block].address = next_address_;
    blocks_[block].size = size;
    blocks_[block].pool = pool;
    counters_.reserved += size;
    counters_.peak_reserved = std::max(counters_.peak_reserved, counters_.reserved);
    ++counters_.segments;
    return block;
}

CachingAllocator::Block CachingAllocator::take_best_fit(std::uint32_t pool, std::int64_t size) {
    auto& list = free_[pool];
    const auto fit = std::lower_bound(list.begin(), list.end(), Free{size, 0, kNone});
    if (fit == list.end()) return kNone;
    const Block block = fit->block;
    list.erase(fit);
    if (!whole_segment(blocks_[block])) counters_.inactive_split -= blocks_[block].size;
    return block;
}

void CachingAllocator::insert_free(Block block) {
    const Entry& entry = blocks_[block];
    auto& list = free_[entry.pool];
    const Free key{entry.size, entry.address, block};
    list.insert(std::lower_bound(list.begin(), list.end(), key), key);
    if (!whole_segment(entry)) counters_.inactive_split += entry.size;
}

void CachingAllocator::remove_free(Block block) {
    const Entry& entry = blocks_[block];
    auto& list = free_[entry.pool];
    list.erase(std::lower_bound(list.begin(), list.end(), Free{entry.size, entry.address, block}));
    counters_.inactive_split -= entry.size;   // it has the neighbour that asks
}

void CachingAllocator::split(Block block, std::int64_t size) {
    const Block rest = new_entry();
    Entry& first = blocks_[block];
    Entry& second = blocks_[rest];
    second.address = first.address + size;
    second.size = first.size - size;
    second.pool = first.pool;
    second.previous = block;
    second.next = first.next;
    if (first.next != kNone) blocks_[first.next].previous = rest;
    first.next = rest;
    first.size = size;
    insert_free(rest);
}

CachingAllocator::Block CachingAllocator::allocate(std::size_t stream, std::int64_t bytes) {
    if (bytes <= 0) return kNone;
    const std::int64_t size = round_up(bytes, kMinBlockSize);   // [round_size]
    const bool large = size > kSmallSize;
    const auto pool = static_cast<std::uint32_t>(2 * stream + (large ? 1 : 0));
    Block block = take_best_fit(pool, size);
    if (block == kNone) block = new_segment(pool, segment_size(size));
    if (should_split(large, blocks_[block].size - size)) split(block, size);
    Entry& entry = blocks_[block];
    entry.live = true;
    entry.requested = bytes;
    counters_.requested += bytes;
    counters_.allocated += entry.size;
    counters_.peak_allocated = std::max(counters_.peak_allocated, counters_.allocated);
    return block;
}

void CachingAllocator::merge(Block block, Block neighbour) {
    remove_free(neighbour);
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

void CachingAllocator::free(Block block) {
    if (block == kNone) return;
    check(block < blocks_.size() && blocks_[block].live, "CachingAllocator::free of a block that is not live");
    Entry& entry = blocks_[block];
    counters_.allocated -= entry.size;
    counters_.requested -= entry.requested;
    entry.live = false;
    for (const bool before : {true, false}) {
        const Block neighbour = before ? blocks_[block].previous : blocks_[block].next;
        if (neighbour != kNone && !blocks_[neighbour].live) merge(block, neighbour);
    }
    insert_free(block);
}

void CachingAllocator::release(Block block) {
    check(block < blocks_.size() && blocks_[block].pending, "CachingAllocator::release of a block that was not freed for later");
    blocks_[block].pending = false;
    free(block);
}

}  // namespace zerosim::sim
