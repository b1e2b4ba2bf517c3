#include "sim/address_space.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace zerosim::sim {

// Inferred, not read in a source: with CUDA 13 and driver 580 this rule puts all segments of the measured jobs so that each block is found
// where it was (docs/accuracy.md). Ranges are multiples of 32 MiB, each below the one before; what a segment leaves of its range is for
// later, smaller ones.
std::int64_t AddressSpace::take(std::int64_t bytes) {
    constexpr std::int64_t kRange = std::int64_t{32} << 20;
    auto hole = std::find_if(holes_.rbegin(), holes_.rend(), [bytes](const Range& range) { return range.end - range.begin >= bytes; });
    if (hole == holes_.rend()) {
        const std::int64_t length = (bytes + kRange - 1) / kRange * kRange;
        check(length <= lowest_, "no addresses are left for a segment");
        lowest_ -= length;
        holes_.push_back({lowest_, lowest_ + length});
        hole = holes_.rbegin();
    }
    const std::int64_t address = hole->begin;
    hole->begin += bytes;
    if (hole->begin == hole->end) holes_.erase(std::next(hole).base());
    return address;
}

void AddressSpace::give_back(std::int64_t address, std::int64_t bytes) {
    auto below = std::ranges::lower_bound(holes_, address, std::ranges::greater{}, &Range::begin);
    auto range = holes_.insert(below, {address, address + bytes});
    if (const auto next = range + 1; next != holes_.end() && next->end == range->begin) {
        range->begin = next->begin;
        holes_.erase(next);
    }
    if (range == holes_.begin()) return;
    if (const auto above = range - 1; above->begin == range->end) {
        above->begin = range->begin;
        holes_.erase(range);
    }
}

}  // namespace zerosim::sim
