// PyTorch's CUDA caching allocator, as a model: rounding, segments, best fit, splitting, merging, one pool per stream and size class.
// Called by memory_replay; tested alone with hand-worked sequences.
// Knows no time: whoever frees memory that other streams still use says when those uses are done (release).
// Rules: c10/cuda/CUDACachingAllocator.cpp (names in brackets are its functions and constants).
#pragma once

#include <cstdint>
#include <vector>

namespace zerosim::sim {

class CachingAllocator {
public:
    /// A live block. Valid until freed.
    using Block = std::uint32_t;
    static constexpr Block kNone = 0xffffffffu;

    struct Counters {
        std::int64_t allocated = 0;       // whole blocks handed out, with what was left unsplit
        std::int64_t requested = 0;       // bytes asked for
        std::int64_t reserved = 0;        // segments
        std::int64_t inactive_split = 0;  // free parts of segments that also hold live blocks
        std::int64_t peak_allocated = 0, peak_reserved = 0;
        std::int64_t segments = 0;
    };

    explicit CachingAllocator(std::size_t streams);

    /// Memory of a stream's pool; kNone for 0 bytes.
    [[nodiscard]] Block allocate(std::size_t stream, std::int64_t bytes);
    /// Reusable by the block's own stream from now on.
    void free(Block block);
    /// record_stream: freed, but another stream still uses it. It counts as allocated until `release`.
    void free_later(Block block) { blocks_[block].pending = true; }
    /// The events of that use have completed: the block comes back [process_events].
    void release(Block block);

    [[nodiscard]] const Counters& counters() const { return counters_; }
    [[nodiscard]] std::int64_t size_of(Block block) const { return blocks_[block].size; }
    [[nodiscard]] std::int64_t address_of(Block block) const { return blocks_[block].address; }

private:
    struct Entry {
        std::int64_t address = 0, size = 0, requested = 0;
        Block previous = kNone, next = kNone;   // neighbours in the segment
        std::uint32_t pool = 0;
        bool live = false, pending = false;
    };
    /// A free block, ordered by (size, address): the first that is large enough is the best fit.
    struct Free {
        std::int64_t size = 0, address = 0;
        Block block = kNone;
        friend bool operator<(const Free& a, const Free& b) { return a.size != b.size ? a.size < b.size : a.address < b.address; }
    };

    [[nodiscard]] Block new_entry();
    [[nodiscard]] Block new_segment(std::uint32_t pool, std::int64_t size);
    [[nodiscard]] Block take_best_fit(std::uint32_t pool, std::int64_t size);
    void split(Block block, std::int64_t size);
    void insert_free(Block block);
    void remove_free(Block block);
    [[nodiscard]] bool whole_segment(const Entry& entry) const { return entry.previous == kNone && entry.next == kNone; }
    /// Joins `block` with a free neighbour, which disappears.
    void merge(Block block, Block neighbour);

    std::vector<Entry> blocks_;
    std::vector<Block> unused_;                 // entries to use again
    std::vector<std::vector<Free>> free_;       // by pool: 2 * stream + (large ? 1 : 0)
    std::int64_t next_address_;
    Counters counters_;
};

}  // namespace zerosim::sim
