#include "device/cuda_kernels/segments.cuh"
#include "device/norm_bins.hpp"

#include <cmath>

// The exact binned squared norm, the clipping factor and the dynamic loss scale, with the formulas of
// host_kernels/{squared_norm,gradient_scale,loss_scale}.cpp.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 256;

/// Bin units by value: device code cannot see the host's table.
struct Units {
    double value[kernel::kNormBins + kNormSlices - 1];
    __device__ double of(int bin) const { return value[bin + kNormSlices - 1]; }
};
Units norm_units() {
    Units units;
    for (int bin = -(kNormSlices - 1); bin < kernel::kNormBins; ++bin) units.value[bin + kNormSlices - 1] = norm_unit(bin);
    return units;
}

/// A warp's sums of slices below one top bin; sums of bins are exact, so the order of additions changes no bit (device/norm_bins.hpp).
struct Slices {
    double sums[kNormSlices] = {};
    int top = -1;
    __device__ void flush(double* bins) {
        for (int k = 0; k < kNormSlices; ++k) {
            const double sum = warp_sum(sums[k]);
            if (threadIdx.x % kWarp == 0 && sum != 0.0 && top - k >= 0) atomicAdd(bins + top - k, sum);
            sums[k] = 0.0;
        }
    }
    __device__ void add(double square, const Units& units) {
        double rest = square;
#pragma unroll
        for (int k = 0; k < kNormSlices; ++k) {
            const double magic = 6755399441055744.0 * units.of(top - k);   // 1.5 * 2^52 units: adding it rounds to a multiple of the unit
            const double slice = (rest + magic) - magic;
            sums[k] += slice;
            rest -= slice;
        }
    }
};

/// The highest bin in which the square rounds to at least one unit (top_norm_bin); the last chunk's is tried first.
__device__ int top_bin(double square, const Units& units, int guess) {
    if (guess >= 0 && square > 0.5 * units.of(guess) && (guess == kernel::kNormBins - 1 || square <= 0.5 * units.of(guess + 1))) return guess;
    int top = kernel::kNormBins - 1;
    while (top >= 0 && square <= 0.5 * units.of(top)) --top;
    return top;
}

constexpr int kElementsOfLane = 8;

/// The warp's 32 x 8 elements from `at` on (the lane's: 8 neighbours from at on), of which those in [begin, end) count.
template <class Type>
__device__ void add_chunk(const typename Type::Storage* gradient, std::int64_t at, std::int64_t begin, std::int64_t end, bool packed, const Units& units, Slices& slices,
                          double* bins) {
    constexpr int N = Type::kPack;
    float values[kElementsOfLane], largest = 0;
#pragma unroll
    for (int first = 0; first < kElementsOfLane; first += N) {
        float pack[N];
        if (packed && at + first >= begin && at + first + N <= end) {
            load_pack<Type, N>(gradient + at + first, pack);
        } else {
#pragma unroll
            for (int k = 0; k < N; ++k) pack[k] = at + first + k >= begin && at + first + k < end ? Type::load(gradient[at + first + k]) : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < N; ++k) values[first + k] = pack[k];
    }
#pragma unroll
    for (int k = 0; k < kElementsOfLane; ++k) {
        const float magnitude = fabsf(values[k]);
        if (isfinite(magnitude)) {
            largest = fmaxf(largest, magnitude);
        } else {
            atomicAdd(bins, sqrt(-1.0));                 // NaN: an overflow, found by gradient_scale
            values[k] = 0.0f;
        }
    }
    largest = warp_max(largest);
    const int top = top_bin(static_cast<double>(largest) * static_cast<double>(largest), units, slices.top);
    if (top < 0) return;
    if (top != slices.top) slices.flush(bins);
    slices.top = top;
#pragma unroll
    for (int k = 0; k < kElementsOfLane; ++k) slices.add(static_cast<double>(values[k]) * static_cast<double>(values[k]), units);
}

template <class Type>
__global__ void binned_squares(const typename Type::Storage* gradient, Segments group, bool packed, Units units, double* result) {
    __shared__ double bins[kernel::kNormBins];
    for (unsigned i = threadIdx.x; i < kernel::kNormBins; i += kThreads) bins[i] = 0.0;
    __syncthreads();
    constexpr std::int64_t kChunk = std::int64_t{kWarp} * kElementsOfLane;
    const std::int64_t warp = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp, warps = std::int64_t{gridDim.x} * kThreads / kWarp;
    Slices slices;
    for (int s = 0; s < group.size; ++s) {
        const std::int64_t begin = group.offset[s], end = begin + group.count[s], first = begin / kElementsOfLane * kElementsOfLane;   // where packs may begin
        for (std::int64_t at = first + warp * kChunk; at < end; at += warps * kChunk)
            add_chunk<Type>(gradient, at + threadIdx.x % kWarp * kElementsOfLane, begin, end, packed, units, slices, bins);
    }
    slices.flush(bins);
    __syncthreads();
    for (unsigned i = threadIdx.x; i < kernel::kNormBins; i += kThreads)
        if (bins[i] != 0.0) atomicAdd(result + i, bins[i]);
}

__global__ void scale_of(const double* bins, const float* loss_scale, double clip, float* step, double* norm, float* factor, float* skip) {
    bool finite = true;
    int top = kernel::kNormBins - 1;
    for (int i = 0; i < kernel::kNormBins; ++i) finite = finite && isfinite(bins[i]);
    while (top >= 0 && bins[top] == 0.0) --top;
    double sum = 0.0;
    for (int bin = top >= kNormSlices ? top - kNormSlices + 1 : 0; bin <= top; ++bin) sum += bins[bin];
    const double scale = loss_scale == nullptr ? 1.0 : static_cast<double>(*loss_scale);
    const double value = finite ? sqrt(sum) / scale : sqrt(-1.0);   // NaN
    const bool overflow = loss_scale != nullptr && !isfinite(value);
    double clipping = 1.0;
    if (clip > 0) {
        clipping = clip / (value + 1e-6);                // torch.nn.utils.clip_grad_norm_
        if (clipping > 1.0) clipping = 1.0;
    }
    if (!overflow) *step += 1.0f;
    *norm = value;
    *factor = static_cast<float>(clipping / scale);
    *skip = overflow ? 1.0f : 0.0f;
}

/// DeepSpeed's dynamic loss scale: see host_kernels/loss_scale.cpp.
__global__ void update_scale(const float* skip, float* scale, float* good_steps) {
    constexpr float kFactor = 2.0f, kWindow = 1000.0f, kSmallest = 1.0f;
    if (*skip != 0.0f) {
        *scale = fmaxf(*scale / kFactor, kSmallest);
        *good_steps = 0.0f;
    } else if ((*good_steps += 1.0f) >= kWindow) {
        *scale *= kFactor;
        *good_steps = 0.0f;
    }
}

}  // namespace

void squared_norm(const KernelCall& call, const LaunchContext& context) {
    const TensorView& gradient = call.operands[0];
    check(gradient.contiguous(), "squared_norm: a shard is one flat range");
    with_float_type(gradient.dtype, [&](auto type) {
        using Type = decltype(type);
        in_groups(call.range, [&](const Segments& group) {
            launch(binned_squares<Type>, {std::min(blocks_for(elements_of(group), kThreads), 1024u), kThreads}, context.stream, gradient.as<const typename Type::Storage>(), group,
                   reinterpret_cast<std::uintptr_t>(gradient.data) % 16 == 0, norm_units(), call.operands[1].as<double>());
        });
    });
}

void gradient_scale(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;
    launch(scale_of, {1, 1}, context.stream, o[0].as<const double>(), o[1].as<const float>(), static_cast<double>(call.attributes.clip), o[2].as<float>(), o[3].as<double>(),
           o[4].as<float>(), o[5].as<float>());
}

void loss_scale_update(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;
    launch(update_scale, {1, 1}, context.stream, o[0].as<const float>(), o[1].as<float>(), o[2].as<float>());
}

}  // namespace zerosim::device::cuda
