#include "base/error.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/norm_bins.hpp"

#include <bit>
#include <mutex>

namespace zerosim::device::host {
namespace {

using Bins = std::array<double, kernel::kNormBins>;
// Vectors of g++: auto-vectorisation may not reorder sums of doubles.
using Floats = float __attribute__((vector_size(32)));
using Doubles = double __attribute__((vector_size(64)));
constexpr std::int64_t kWidth = 8;

/// Bits of the largest magnitude: as unsigned integers they order like the floats, infinities and NaN on top.
[[nodiscard]] std::uint32_t largest_magnitude(const Block& block, std::int64_t count) {
    std::uint32_t largest = 0;
    for (std::int64_t i = 0; i < padded(count); ++i)
        largest = std::max(largest, std::bit_cast<std::uint32_t>(block[i]) & 0x7fffffffu);
    return largest;
}

/// Adds the block's squares to the bins from `top` down. x^2 is exact in a double; so is every line below.
void add_slices(const Block& block, std::int64_t count, int top, Bins& bins) {
    Doubles magic[kNormSlices], sums[kNormSlices];
    for (int k = 0; k < kNormSlices; ++k) {
        magic[k] =
            Doubles{} + 0x1.8p52 * norm_unit(top - k); // adding and subtracting 1.5 * 2^52 units rounds to a multiple of the unit
        sums[k] = Doubles{};
    }
    for (std::int64_t i = 0; i < padded(count); i += kWidth) {
        const Doubles x = __builtin_convertvector(*reinterpret_cast<const Floats*>(block.values + i), Doubles);
        Doubles rest = x * x;
#pragma GCC unroll 8
        for (int k = 0; k < kNormSlices; ++k) {
            const Doubles slice = (rest + magic[k]) - magic[k];
            sums[k] += slice;
            rest -= slice;
        }
    }
    for (int k = 0; k < kNormSlices && k <= top; ++k)
        for (std::int64_t lane = 0; lane < kWidth; ++lane) bins[static_cast<std::size_t>(top - k)] += sums[k][lane];
}

void add_block(const Block& block, std::int64_t count, Bins& bins) {
    const float largest = std::bit_cast<float>(largest_magnitude(block, count));
    if (!std::isfinite(largest)) {
        bins[0] += std::numeric_limits<double>::quiet_NaN();
        return;
    }
    const int top = top_norm_bin(static_cast<double>(largest) * static_cast<double>(largest));
    if (top >= 0) add_slices(block, count, top, bins);
}

void add_range(const TensorView& gradient, std::int64_t begin, std::int64_t end, Bins& bins) {
    Block block;
    for (std::int64_t at = begin; at < end; at += kBlock) {
        const std::int64_t count = std::min(kBlock, end - at);
        load_block(gradient, 0, at, count, block);
        add_block(block, count, bins);
    }
}

} // namespace

void squared_norm(const KernelCall& call) {
    const TensorView& gradient = call.operands[0];
    check(gradient.contiguous(), "squared_norm: a shard is one flat range");
    auto* norm_bins = call.operands[1].as<double>();
    std::mutex mutex;
    parallel_for(call.context.workers, gradient.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
        Bins bins{};
        for (const RangeSegment& segment : call.range)
            add_range(gradient, std::max(begin, segment.offset), std::min(end, segment.offset + segment.count), bins);
        const std::lock_guard lock(mutex); // sums of bins are exact: the order of the threads does not matter
        for (std::size_t i = 0; i < bins.size(); ++i) norm_bins[i] += bins[i];
    });
}

} // namespace zerosim::device::host
