// PoolMemory: where the bytes of one pool come from. Two policies: an arena whose offsets were planned ahead, and a
// caching best-fit allocator. Called by HostDevice, from the thread that issues ops.
// Does not count what is handed out (HostDevice does) and does not touch the pages it maps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace zerosim::device {

/// Every address handed out is a multiple of this: one cache line, one AVX-512 register.
inline constexpr std::int64_t kAlignment = 64;

struct Unmap {
    std::int64_t bytes = 0;
    void operator()(std::byte* data) const noexcept;
};

/// Anonymous pages. Untouched ones cost nothing.
class MappedPages {
public:
    /// Throws EnvironmentError naming `owner` when the system has no such range left.
    MappedPages(std::int64_t bytes, const std::string& owner);
    [[nodiscard]] std::byte* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::int64_t bytes() const noexcept { return data_.get_deleter().bytes; }

private:
    std::unique_ptr<std::byte, Unmap> data_;
};

/// `poisons`: under AddressSanitizer released ranges are poisoned. Not for pools whose stream runs behind the issuing thread:
/// their memory is released at issue, while earlier work of the stream may still use it.
class PoolMemory {
public:
    virtual ~PoolMemory() = default;
    [[nodiscard]] virtual std::byte* allocate(std::int64_t bytes, std::int64_t planned_offset) = 0;
    /// Throws BugError for memory that is not handed out (a double release) or was handed out with another size.
    virtual void release(std::byte* data, std::int64_t bytes) = 0;
    /// Bytes mapped from the system.
    [[nodiscard]] virtual std::int64_t reserved_bytes() const = 0;
};

/// One arena of a size given ahead; an allocation lies at its planned offset. Live ranges must not overlap.
class PlannedMemory final : public PoolMemory {
public:
    PlannedMemory(std::string name, std::int64_t arena_bytes, bool poisons = true);
    [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t planned_offset) override;
    void release(std::byte* data, std::int64_t bytes) override;
    [[nodiscard]] std::int64_t reserved_bytes() const override { return arena_bytes_; }

private:
    std::string name_;
    std::int64_t arena_bytes_;
    bool poisons_;
    MappedPages pages_;
    std::map<std::int64_t, std::int64_t> live_; // offset -> requested bytes; empty allocations are only counted
    std::int64_t live_empty_ = 0;
};

/// Best fit over mapped segments: blocks are split on allocation and merged with free neighbours on release,
/// so freed memory can be used again at once. Segments are kept until the pool ends.
class CachingMemory final : public PoolMemory {
public:
    explicit CachingMemory(std::string name, bool poisons = true);
    [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t planned_offset) override;
    void release(std::byte* data, std::int64_t bytes) override;
    [[nodiscard]] std::int64_t reserved_bytes() const override { return reserved_bytes_; }

private:
    struct Block {
        std::int64_t bytes = 0;        // a multiple of kAlignment
        std::int64_t requested = -1;   // -1 = free
        bool first_of_segment = false; // segments may be neighbours in memory: never merged
    };
    using Blocks = std::map<std::byte*, Block>;

    [[nodiscard]] Blocks::iterator free_block_of(std::int64_t bytes);
    void split(Blocks::iterator block, std::int64_t bytes);
    [[nodiscard]] Blocks::iterator merge_with_next(Blocks::iterator block);

    std::string name_;
    bool poisons_;
    std::vector<MappedPages> segments_;
    Blocks blocks_;                                      // all blocks by address
    std::set<std::pair<std::int64_t, std::byte*>> free_; // free blocks by size, then address
    std::int64_t reserved_bytes_ = 0;
};

} // namespace zerosim::device
