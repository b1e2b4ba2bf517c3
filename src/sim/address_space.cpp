#include "sim/address_space.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <bit>

namespace zerosim::sim {

// Inferred, not read in a source: with CUDA 13 and driver 580 these two rules together put all segments of the measured jobs so that each
// block is found where it was (docs/accuracy.md). A smaller segment may land in the gap that the alignment of a larger one has left.
std::int64_t AddressSpace::take(std::int64_t bytes) {
    constexpr std::int64_t kLargestAlignment = std::int64_t{64} << 20;
    const auto above = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(bytes)));
    const std::int64_t alignment = std::min(above, kLargestAlignment);
    for (std::size_t i = free_.size(); i-- > 0;) {
        const Range range = free_[i];
        const std::int64_t address = (range.end - bytes) / alignment * alignment;
        if (range.end - bytes < range.begin || address < range.begin) continue;
        const auto at = free_.begin() + static_cast<std::ptrdiff_t>(i);
        const Range below{range.begin, address}, rest{address + bytes, range.end};
        if (below.begin == below.end && rest.begin == rest.end) {
            free_.erase(at);
        } else if (below.begin == below.end || rest.begin == rest.end) {
            *at = below.begin == below.end ? rest : below;
        } else {
            *at = rest;
            free_.insert(at, below);
        }
        return address;
    }
    throw BugError("no addresses are left for a segment");
}

void AddressSpace::give_back(std::int64_t address, std::int64_t bytes) {
    auto next = std::ranges::lower_bound(free_, address, {}, &Range::begin);
    next = free_.insert(next, {address, address + bytes});
    if (const auto after = next + 1; after != free_.end() && after->begin == next->end) {
        next->end = after->end;
        free_.erase(after);
    }
    if (next == free_.begin()) return;
    if (const auto before = next - 1; before->end == next->begin) {
        before->end = next->end;
        free_.erase(next);
    }
}

}  // namespace zerosim::sim
