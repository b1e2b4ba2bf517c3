// What the caching allocator asks of the device, what it gives back when there is no more, and when it gives up.
#include "sim/caching_allocator.hpp"

#include <algorithm>
#include <array>

namespace zerosim::sim {
namespace {

// c10/cuda/CUDACachingAllocator.cpp: kSmallSize, kSmallBuffer, kLargeBuffer, kMinLargeAlloc, kRoundLarge.
constexpr std::int64_t kSmallSize = 1 << 20;
constexpr std::int64_t kSmallBuffer = 2 << 20;
constexpr std::int64_t kLargeBuffer = 20 << 20;
constexpr std::int64_t kMinLargeAlloc = 10 << 20;
constexpr std::int64_t kRoundLarge = 2 << 20;

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

/// [get_allocation_size]
std::int64_t CachingAllocator::segment_size(std::int64_t size) const {
    if (size <= kSmallSize) return kSmallBuffer;
    return size < kMinLargeAlloc ? kLargeBuffer : round_up(size, kRoundLarge);
}

/// set_per_process_memory_fraction's limit; without it none but the device's.
std::int64_t CachingAllocator::allowed() const {
    if (settings_.fraction <= 0) return std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(settings_.fraction * static_cast<double>(settings_.device_bytes));
}

bool CachingAllocator::fits(std::int64_t bytes) const {
    return counters_.reserved + bytes <= std::min(settings_.capacity, allowed()) || out_of_memory_.has_value();   // beyond: granted after all
}

void CachingAllocator::add_reserved(std::int64_t bytes) {
    counters_.reserved += bytes;
    counters_.peak_reserved = std::max(counters_.peak_reserved, counters_.reserved);
    ++counters_.device_allocs;
}

CachingAllocator::Block CachingAllocator::new_segment(std::uint32_t pool, std::int64_t bytes) {
    if (!fits(bytes)) return kNone;
    const Block block = new_entry();
    blocks_[block].address = addresses_.take(bytes);
    blocks_[block].size = bytes;
    blocks_[block].pool = pool;
    add_reserved(bytes);
    ++counters_.segments;
    return block;
}

/// [alloc_block]
CachingAllocator::Block CachingAllocator::new_memory(std::uint32_t pool, std::int64_t size) {
    return settings_.expandable_segments ? expand(pool, size) : new_segment(pool, segment_size(size));
}

/// A cudaMalloc; where it fails room is made: enough oversize blocks first, then everything that is cached.
CachingAllocator::Block CachingAllocator::request(std::uint32_t pool, std::int64_t size) {
    if (settings_.fraction > 0 && settings_.garbage_collection_threshold > 0) collect_garbage();
    Block block = new_memory(pool, size);
    if (block != kNone) return block;
    if (release_available(pool, size)) block = new_memory(pool, size);
    if (block != kNone) return block;
    release_cached();
    ++counters_.retries;
    block = new_memory(pool, size);
    if (block != kNone) return block;
    record_out_of_memory(segment_size(size));
    return new_memory(pool, size);
}

void CachingAllocator::record_out_of_memory(std::int64_t requested) {
    OutOfMemory failure{requested, counters_.allocated, counters_.reserved, std::min(settings_.capacity, allowed()), 0};
    for (const FreeList& list : free_)
        if (!list.empty()) failure.largest_free = std::max(failure.largest_free, list.back().size);
    out_of_memory_ = failure;
}

/// [release_available_cached_blocks] Only with max_split_size: the smallest oversize block that would do, or the largest ones together.
bool CachingAllocator::release_available(std::uint32_t pool, std::int64_t size) {
    if (settings_.max_split_size == std::numeric_limits<std::int64_t>::max() || settings_.expandable_segments) return false;
    const std::int64_t wanted = std::max(size, settings_.max_split_size);
    FreeList& list = free_[pool];
    const auto fit = std::lower_bound(list.begin(), list.end(), Free{wanted, 0, kNone});
    if (fit != list.end()) {
        release_segment(fit->block);
        return true;
    }
    std::int64_t released = 0;
    while (released < wanted && !list.empty() && list.back().size >= settings_.max_split_size) {
        released += list.back().size;
        release_segment(list.back().block);
    }
    return released >= wanted;
}

/// [release_cached_blocks] After waiting for every stream, all segments without live blocks.
void CachingAllocator::release_cached() {
    while (!events_.empty()) release(events_.back().block);
    for (std::uint32_t pool = 0; pool < free_.size(); ++pool) release_pool(pool);
}

void CachingAllocator::release_pool(std::uint32_t pool) {
    std::vector<Block> all;
    for (const Free& free : free_[pool]) all.push_back(free.block);
    for (const Block block : all) {
        if (blocks_[block].expandable >= 0) unmap(block);
        else if (whole_segment(blocks_[block])) release_segment(block);
    }
}

/// [release_block] cudaFree.
void CachingAllocator::release_segment(Block block) {
    remove_free(block);
    addresses_.give_back(blocks_[block].address, blocks_[block].size);
    counters_.reserved -= blocks_[block].size;
    --counters_.segments;
    ++counters_.device_frees;
    unused_.push_back(block);
}

/// [garbage_collect_cached_blocks] Whole free segments that were not asked for longest, until the threshold is met.
void CachingAllocator::collect_garbage() {
    const auto threshold = static_cast<std::int64_t>(settings_.garbage_collection_threshold * static_cast<double>(allowed()));
    if (counters_.reserved <= threshold) return;
    const std::int64_t target = counters_.reserved - threshold;
    std::vector<Block> whole;
    for (std::uint32_t pool = 1; pool < free_.size(); pool += 2)
        for (const Free& free : free_[pool])
            if (blocks_[free.block].expandable < 0 && whole_segment(blocks_[free.block])) whole.push_back(free.block);
    const auto age = [this](Block block) { return searches_[1] - blocks_[block].age_base; };
    std::int64_t total_age = 0, reclaimed = 0;
    for (const Block block : whole) total_age += age(block);
    for (bool freed = true; reclaimed < target && freed && !whole.empty();) {
        const double threshold_age = static_cast<double>(total_age) / static_cast<double>(whole.size());
        freed = false;
        std::vector<Block> left;
        for (const Block block : whole) {
            if (static_cast<double>(age(block)) < threshold_age) {
                left.push_back(block);
                continue;
            }
            freed = true;
            reclaimed += blocks_[block].size;
            total_age -= age(block);
            release_segment(block);
        }
        whole = std::move(left);
    }
}

}  // namespace zerosim::sim
