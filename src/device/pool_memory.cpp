#include "device/pool_memory.hpp"

#include "base/error.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

// Under AddressSanitizer what is not handed out is poisoned: a kernel that reads a released range is reported.
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace zerosim::device {
namespace {

// Small pools share one mapping; 64 MiB is 32 huge pages on x86-64 and costs nothing until it is touched.
constexpr std::int64_t kSegmentBytes = std::int64_t{64} << 20;

[[nodiscard]] std::int64_t round_up(std::int64_t bytes, std::int64_t multiple) {
    return (bytes + multiple - 1) / multiple * multiple;
}

void poison(std::byte* data, std::int64_t bytes) { ASAN_POISON_MEMORY_REGION(data, static_cast<std::size_t>(bytes)); }
void unpoison(std::byte* data, std::int64_t bytes) { ASAN_UNPOISON_MEMORY_REGION(data, static_cast<std::size_t>(bytes)); }

} // namespace

MappedPages::MappedPages(std::int64_t bytes, const std::string& owner) {
    const std::int64_t mapped = std::max<std::int64_t>(bytes, 1); // mmap refuses an empty range
    void* data = mmap(nullptr, static_cast<std::size_t>(mapped), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
        throw EnvironmentError(fmt::format("host memory: pool {} asked the system for {} bytes ({:.3f} GiB): {}", owner, bytes,
                                           static_cast<double>(bytes) / (1 << 30), std::strerror(errno)));
#ifdef MADV_HUGEPAGE
    madvise(data, static_cast<std::size_t>(mapped), MADV_HUGEPAGE); // a hint: fewer page faults and TLB misses
#endif
    data_ = {static_cast<std::byte*>(data), Unmap{mapped}};
    poison(data_.get(), mapped);
}

void Unmap::operator()(std::byte* data) const noexcept {
    unpoison(data, bytes); // the addresses may be mapped again by somebody else
    munmap(data, static_cast<std::size_t>(bytes));
}

PlannedMemory::PlannedMemory(std::string name, std::int64_t arena_bytes, bool poisons)
    : name_(std::move(name)), arena_bytes_(arena_bytes), poisons_(poisons), pages_(arena_bytes, name_) {}

std::byte* PlannedMemory::allocate(std::int64_t bytes, std::int64_t planned_offset) {
    if (bytes < 0 || planned_offset < 0 || planned_offset % kAlignment != 0 || planned_offset + bytes > arena_bytes_)
        throw BugError(
            fmt::format("pool {}: {} bytes at planned offset {} do not fit its arena of {} bytes (offsets are multiples of {})",
                        name_, bytes, planned_offset, arena_bytes_, kAlignment));
    std::byte* data = pages_.data() + planned_offset;
    if (bytes == 0) {
        ++live_empty_;
        return data;
    }
    const auto next = live_.lower_bound(planned_offset);
    const auto overlaps = [&](auto other) {
        return other->first < planned_offset + bytes && planned_offset < other->first + other->second;
    };
    for (auto other : {next, next == live_.begin() ? live_.end() : std::prev(next)})
        if (other != live_.end() && overlaps(other))
            throw BugError(fmt::format("pool {}: {} bytes at planned offset {} overlap the {} bytes handed out at offset {}",
                                       name_, bytes, planned_offset, other->second, other->first));
    live_.emplace_hint(next, planned_offset, bytes);
    unpoison(data, bytes);
    return data;
}

void PlannedMemory::release(std::byte* data, std::int64_t bytes) {
    const std::int64_t offset = data - pages_.data();
    if (bytes == 0) {
        if (--live_empty_ < 0) throw BugError(fmt::format("pool {}: an empty allocation was released twice", name_));
        return;
    }
    const auto found = live_.find(offset);
    if (found == live_.end() || found->second != bytes)
        throw BugError(fmt::format("pool {}: release of {} bytes at offset {}, where {} bytes are handed out", name_, bytes,
                                   offset, found == live_.end() ? 0 : found->second));
    live_.erase(found);
    if (poisons_) poison(data, bytes);
}

CachingMemory::CachingMemory(std::string name, bool poisons) : name_(std::move(name)), poisons_(poisons) {}

std::byte* CachingMemory::allocate(std::int64_t bytes, std::int64_t /*planned_offset*/) {
    if (bytes < 0) throw BugError(fmt::format("pool {}: allocation of {} bytes", name_, bytes));
    const std::int64_t rounded = std::max(round_up(bytes, kAlignment), kAlignment);
    const auto block = free_block_of(rounded);
    free_.erase({block->second.bytes, block->first});
    split(block, rounded);
    block->second.requested = bytes;
    unpoison(block->first, bytes);
    return block->first;
}

CachingMemory::Blocks::iterator CachingMemory::free_block_of(std::int64_t bytes) {
    const auto best = free_.lower_bound({bytes, nullptr});
    if (best != free_.end()) return blocks_.find(best->second);
    // A request above half a segment gets a mapping of its own size: a shared one would be mostly lost to it.
    const std::int64_t segment = bytes > kSegmentBytes / 2 ? round_up(bytes, 4096) : kSegmentBytes;
    const auto& pages = segments_.emplace_back(segment, name_);
    reserved_bytes_ += segment;
    free_.insert({segment, pages.data()});
    return blocks_.insert({pages.data(), Block{segment, -1, true}}).first;
}

void CachingMemory::split(Blocks::iterator block, std::int64_t bytes) {
    const std::int64_t rest = block->second.bytes - bytes;
    if (rest == 0) return;
    std::byte* data = block->first + bytes;
    block->second.bytes = bytes;
    blocks_.emplace_hint(std::next(block), data, Block{rest, -1, false});
    free_.insert({rest, data});
}

CachingMemory::Blocks::iterator CachingMemory::merge_with_next(Blocks::iterator block) {
    const auto next = std::next(block);
    if (next == blocks_.end() || next->second.requested >= 0 || next->second.first_of_segment) return block;
    free_.erase({next->second.bytes, next->first});
    block->second.bytes += next->second.bytes;
    blocks_.erase(next);
    return block;
}

void CachingMemory::release(std::byte* data, std::int64_t bytes) {
    auto block = blocks_.find(data);
    if (bytes < 0 || block == blocks_.end() || block->second.requested != bytes)
        throw BugError(fmt::format("pool {}: release of {} bytes at {}, where {} bytes are handed out", name_, bytes,
                                   fmt::ptr(data), block == blocks_.end() ? -1 : block->second.requested));
    if (poisons_) poison(data, block->second.bytes);
    block->second.requested = -1;
    block = merge_with_next(block);
    if (!block->second.first_of_segment) {
        const auto previous = std::prev(block);
        if (previous->second.requested < 0) {
            free_.erase({previous->second.bytes, previous->first});
            block = merge_with_next(previous);
            free_.insert({block->second.bytes, block->first});
            return;
        }
    }
    free_.insert({block->second.bytes, block->first});
}

} // namespace zerosim::device
