// Segments of a flat shard as one kernel argument.
// Included by optimizer.cu and squared_norm.cu.
// Knows no formula.
#pragma once

#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

#include <algorithm>
#include <span>

namespace zerosim::device::cuda {

inline constexpr int kSegments = 48;                     // of one launch: kernel arguments hold at most 4 KB on every device

/// Segments of a shard; a launch has at most kSegments, and walks them one after the other.
struct Segments {
    std::int64_t offset[kSegments], count[kSegments];
    bool decays[kSegments];
    int size = 0;
};

/// Calls body(segments) for at most kSegments at a time.
template <class Body>
void in_groups(std::span<const RangeSegment> range, const Body& body) {
    for (std::size_t begin = 0; begin < range.size(); begin += kSegments) {
        Segments group;
        for (const RangeSegment& segment : range.subspan(begin, std::min<std::size_t>(kSegments, range.size() - begin))) {
            group.offset[group.size] = segment.offset;
            group.count[group.size] = segment.count;
            group.decays[group.size++] = segment.decays;
        }
        body(group);
    }
}
[[nodiscard]] inline std::int64_t elements_of(const Segments& group) {
    std::int64_t sum = 0;
    for (int i = 0; i < group.size; ++i) sum += group.count[i];
    return sum;
}

}  // namespace zerosim::device::cuda
