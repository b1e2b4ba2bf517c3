// PyTorch's CUDA caching allocator, as a model: rounding, segments, best fit, splitting, merging, one pool per stream and size class;
// what it does at the edge of the device; expandable segments. Called by memory_replay; tested alone with hand-worked sequences.
// Knows no time of its own: callers say what time it is and when memory that other streams still use is done with.
// Rules: c10/cuda/CUDACachingAllocator.cpp (names in brackets are its functions and constants).
#pragma once

#include "sim/address_space.hpp"

#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <vector>

namespace zerosim::sim {

/// Keys of PYTORCH_CUDA_ALLOC_CONF, and what cudaMalloc can get.
struct AllocatorSettings {
    bool expandable_segments = false;
    std::int64_t max_split_size = std::numeric_limits<std::int64_t>::max();   // bytes
    std::int64_t roundup_power2_divisions = 0;      // 0 = off
    double garbage_collection_threshold = 0;        // 0 = off; of `fraction`'s bytes
    double fraction = 0;                            // torch.cuda.set_per_process_memory_fraction; 0 = not set
    std::int64_t capacity = std::numeric_limits<std::int64_t>::max();   // bytes of the device beyond context and communicators
    std::int64_t device_bytes = 0;                  // of the whole device: what `fraction` is of
};

/// The first request that could not be met, and what stood in the way.
struct OutOfMemory {
    std::int64_t requested = 0;                     // bytes asked of the device
    std::int64_t allocated = 0, reserved = 0;       // then, after cached segments were given back
    std::int64_t capacity = 0;
    std::int64_t largest_free = 0;                  // free block of any pool that holds live blocks too
};

class CachingAllocator {
public:
    /// A live block. Valid until freed.
    using Block = std::uint32_t;
    static constexpr Block kNone = 0xffffffffu;
    static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

    struct Counters {
        std::int64_t allocated = 0;       // whole blocks handed out, with what was left unsplit
        std::int64_t requested = 0;       // bytes asked for
        std::int64_t active = 0;          // allocated, and freed blocks that other streams still use
        std::int64_t reserved = 0;        // segments
        std::int64_t inactive_split = 0;  // free parts of segments that also hold live blocks
        std::int64_t peak_allocated = 0, peak_active = 0, peak_reserved = 0, peak_inactive_split = 0;
        std::int64_t segments = 0;
        std::int64_t retries = 0;         // num_alloc_retries: cached segments were given back to make room
        std::int64_t device_allocs = 0, device_frees = 0;
    };

    explicit CachingAllocator(std::size_t streams, const AllocatorSettings& settings = {});

    /// Memory of a stream's pool at time `now`; kNone for 0 bytes. A request beyond the device is granted after all, and recorded.
    [[nodiscard]] Block allocate(std::size_t stream, std::int64_t bytes, std::int64_t now = 0);
    /// Reusable by the block's own stream from now on.
    void free(Block block);
    /// record_stream: freed, but another stream uses it until `done`: it comes back at the first later allocation [process_events].
    void free_later(Block block, std::int64_t done = kNever);
    /// The events of that use have completed: the block comes back now.
    void release(Block block);

    [[nodiscard]] const Counters& counters() const { return counters_; }
    [[nodiscard]] const std::optional<OutOfMemory>& out_of_memory() const { return out_of_memory_; }
    [[nodiscard]] std::int64_t size_of(Block block) const { return blocks_[block].size; }
    [[nodiscard]] std::int64_t address_of(Block block) const { return blocks_[block].address; }

private:
    struct Entry {
        std::int64_t address = 0, size = 0, requested = 0;
        Block previous = kNone, next = kNone;   // neighbours in the segment
        std::uint32_t pool = 0;
        std::int32_t expandable = -1;           // which expandable segment
        bool live = false, pending = false, mapped = true;
        std::int64_t age_base = 0;              // [gc_count_base]
    };
    /// A free block, ordered by (size, address): the first that is large enough is the best fit.
    struct Free {
        std::int64_t size = 0, address = 0;
        Block block = kNone;
        friend bool operator<(const Free& a, const Free& b) { return a.size != b.size ? a.size < b.size : a.address < b.address; }
    };
    struct Expandable {
        std::int64_t base = 0, page = 0;
    };
    using FreeList = std::vector<Free>;

    // caching_allocator.cpp
    [[nodiscard]] std::int64_t round_size(std::int64_t bytes) const;
    [[nodiscard]] bool should_split(bool large, std::int64_t size, std::int64_t remaining) const;
    [[nodiscard]] Block new_entry();
    [[nodiscard]] Block take_best_fit(std::uint32_t pool, std::int64_t size);
    /// Leaves the first `size` bytes to `block`; the rest is a block of its own, in no list yet.
    [[nodiscard]] Block cut(Block block, std::int64_t size);
    void insert_free(Block block);
    void remove_free(Block block);
    [[nodiscard]] bool whole_segment(const Entry& entry) const { return entry.previous == kNone && entry.next == kNone; }
    [[nodiscard]] bool counts_as_split(const Entry& entry) const { return entry.expandable < 0 && !whole_segment(entry); }
    [[nodiscard]] bool can_join(Block block, Block neighbour) const;
    /// Joins `block` with a free neighbour, which disappears.
    void merge(Block block, Block neighbour);
    void merge_neighbours(Block block);
    void process_events(std::int64_t now);

    // caching_allocator_device.cpp: what is asked of the device, and given back to it
    [[nodiscard]] std::int64_t segment_size(std::int64_t size) const;
    [[nodiscard]] bool fits(std::int64_t bytes) const;
    void add_reserved(std::int64_t bytes);
    [[nodiscard]] Block request(std::uint32_t pool, std::int64_t size);
    [[nodiscard]] Block new_segment(std::uint32_t pool, std::int64_t bytes);
    [[nodiscard]] Block new_memory(std::uint32_t pool, std::int64_t size);
    [[nodiscard]] bool release_available(std::uint32_t pool, std::int64_t size);
    void release_cached();
    void release_pool(std::uint32_t pool);
    void release_segment(Block block);
    void collect_garbage();
    void record_out_of_memory(std::int64_t requested);
    [[nodiscard]] std::int64_t allowed() const;

    // expandable_segments.cpp
    [[nodiscard]] Block find_expandable(std::uint32_t pool, std::int64_t size);
    [[nodiscard]] Block new_expandable(std::uint32_t pool, std::int64_t size);
    [[nodiscard]] Block expand(std::uint32_t pool, std::int64_t size);
    [[nodiscard]] Block map(Block block, std::int64_t size);
    void unmap(Block block);
    void insert_unmapped(Block block);
    void remove_unmapped(Block block);
    [[nodiscard]] FreeList::iterator best_expandable(FreeList& list, FreeList::iterator fit) const;

    AllocatorSettings settings_;
    std::vector<Entry> blocks_;
    std::vector<Block> unused_;                 // entries to use again
    std::vector<FreeList> free_;                // by pool: 2 * stream + (large ? 1 : 0)
    std::vector<std::vector<Block>> unmapped_;  // by pool: address space of expandable segments, ascending
    std::vector<Expandable> expandable_;
    struct Event {
        Block block;
        std::int64_t done;
    };
    std::vector<Event> events_;
    std::int64_t searches_[2] = {0, 0};         // [get_free_blocks_call_count] of small and large pools
    AddressSpace addresses_;
    Counters counters_;
    std::optional<OutOfMemory> out_of_memory_;
};

}  // namespace zerosim::sim
