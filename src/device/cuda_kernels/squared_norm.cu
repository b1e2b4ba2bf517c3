#include "device/cuda_kernels/segments.cuh"
#include "device/norm_bins.hpp"

#include <cmath>

// The exact binned squared norm, the clipping factor and the dynamic loss scale, with the formulas of
// host_kernels/{squared_norm,gradient_scale,loss_scale}.cpp.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 256;
/// Of 64 registers: 32 warps have 16 to 32 KB on the way, about what keeps HBM3e busy (4.8 TB/s x 700 ns over 132 multiprocessors).
constexpr unsigned kBlocksOfMultiprocessor = 4;
constexpr int kElementsOfLane = 8;
constexpr unsigned kMagnitude = 0x7fffffffu, kInfinity = 0x7f800000u;   // of fp32; magnitudes order as their bits, NaN above all

/// 2^exponent, and 1.5 * 2^exponent, from its bits (IEEE 754 binary64).
__device__ double power(int exponent, int half = 0) { return __hiloint2double((exponent + 1023) << 20 | half << 19, 0); }
__device__ int exponent_of(int bin) { return kNormLowestExponent + kNormBinBits * bin; }

/// A lane's slices of squares below one top bin of its warp, in units; sums of bins are exact, so the order of additions changes no bit
/// (device/norm_bins.hpp).
struct Slices {
    long long units[kNormSlices] = {};
    int top = -1;
    __device__ void flush(double* bins) {
#pragma unroll
        for (int k = 0; k < kNormSlices; ++k) {
            const double sum = warp_sum(static_cast<double>(units[k]) * power(exponent_of(top - k)));
            if (threadIdx.x % kWarp == 0 && sum != 0.0 && top - k >= 0) atomicAdd(bins + top - k, sum);
            units[k] = 0;
        }
    }
    /// A number of the size 1.5 * 2^52 units (52: bits of a double's mantissa) rounds what is added to it to a multiple of the unit, and has that multiple,
    /// less than 2^21 units, as the lower half of its bits, where its own are 0. Fewer operations of fp64 than sums of slices: they bound this kernel.
    __device__ void add(const float (&values)[kElementsOfLane]) {
        double magic[kNormSlices];
        int sums[kNormSlices] = {};
#pragma unroll
        for (int k = 0; k < kNormSlices; ++k) magic[k] = power(exponent_of(top - k) + 52, 1);
#pragma unroll
        for (int i = 0; i < kElementsOfLane; ++i) {
            const double x = static_cast<double>(values[i]);
            double rounded = fma(x, x, magic[0]);        // x^2 is exact, so rounded once as x^2 + magic
            sums[0] += __double2loint(rounded);
            double rest = fma(x, x, magic[0] - rounded);
#pragma unroll
            for (int k = 1; k < kNormSlices; ++k) {
                rounded = rest + magic[k];
                sums[k] += __double2loint(rounded);
                rest -= rounded - magic[k];
            }
        }
#pragma unroll
        for (int k = 0; k < kNormSlices; ++k) units[k] += sums[k];
    }
};

/// The highest bin in which the square of a magnitude rounds to at least one unit, -1 = none (top_norm_bin): square > 2^(exponent of the bin - 1).
__device__ int top_bin(float magnitude) {
    const double square = static_cast<double>(magnitude) * static_cast<double>(magnitude);
    const int upper = __double2hiint(square), above = (upper & 0xfffff) != 0 || __double2loint(square) != 0;   // above a power of two
    const int from_lowest = (upper >> 20) - 1023 + above - kNormLowestExponent;
    return from_lowest < 0 ? -1 : from_lowest / kNormBinBits < kernel::kNormBins ? from_lowest / kNormBinBits : kernel::kNormBins - 1;
}

/// A lane's 8 neighbours as they are stored.
template <class Type>
struct Stored {
    static constexpr int N = Type::kPack;
    StoredPack<Type, N> packs[kElementsOfLane / N];

    __device__ void load(const typename Type::Storage* gradient, std::int64_t at) {
#pragma unroll
        for (int p = 0; p < kElementsOfLane / N; ++p) packs[p].load(gradient + at + p * N);
    }
    __device__ void widen(float (&values)[kElementsOfLane]) const {
#pragma unroll
        for (int i = 0; i < kElementsOfLane; ++i) values[i] = packs[i / N].value(i % N);
    }
};

/// Where a segment ends or begins within the lane's neighbours, or they lie as no pack does: those in [begin, end), the others are 0.
template <class Type>
__device__ void load_some(const typename Type::Storage* gradient, std::int64_t at, std::int64_t begin, std::int64_t end, float (&values)[kElementsOfLane]) {
#pragma unroll
    for (int i = 0; i < kElementsOfLane; ++i) values[i] = at + i >= begin && at + i < end ? Type::load(gradient[at + i]) : 0.0f;
}

/// A warp's 32 x 8 elements. False where one of the lane's is infinite or NaN; such count as 0.
__device__ bool add_chunk(float (&values)[kElementsOfLane], Slices& slices, double* bins) {
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < kElementsOfLane; ++i) largest = max(largest, __float_as_uint(values[i]) & kMagnitude);
    const bool finite = largest < kInfinity;
    if (!finite) {
        largest = 0;
        for (float& value : values) {
            if ((__float_as_uint(value) & kMagnitude) >= kInfinity) value = 0.0f;
            largest = max(largest, __float_as_uint(value) & kMagnitude);
        }
    }
    for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) largest = max(largest, __shfl_xor_sync(0xffffffffu, largest, lane));
    const int top = top_bin(__uint_as_float(largest));
    if (top >= 0) {
        if (top != slices.top) slices.flush(bins);
        slices.top = top;
        slices.add(values);
    }
    return finite;
}

/// A warp has the next chunk on the way while it adds one.
template <class Type>
__global__ void __launch_bounds__(kThreads, kBlocksOfMultiprocessor) binned_squares(const typename Type::Storage* gradient, Segments group, bool packed, double* result) {
    __shared__ double bins[kernel::kNormBins];
    for (unsigned i = threadIdx.x; i < kernel::kNormBins; i += kThreads) bins[i] = 0.0;
    __syncthreads();
    constexpr std::int64_t kChunk = std::int64_t{kWarp} * kElementsOfLane;
    const std::int64_t warp = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp, stride = std::int64_t{gridDim.x} * kThreads / kWarp * kChunk;
    const std::int64_t of_lane = std::int64_t{threadIdx.x % kWarp} * kElementsOfLane;
    Slices slices;
    bool finite = true;
    for (int s = 0; s < group.size; ++s) {
        const std::int64_t begin = group.offset[s], end = begin + group.count[s];
        const auto whole = [&](std::int64_t at) { return packed && at + of_lane >= begin && at + of_lane + kElementsOfLane <= end; };
        std::int64_t at = begin / kElementsOfLane * kElementsOfLane + warp * kChunk;   // from where packs may begin; the same for the whole warp
        Stored<Type> next;
        if (whole(at)) next.load(gradient, at + of_lane);
        for (; at < end; at += stride) {
            const Stored<Type> here = next;
            if (whole(at + stride)) next.load(gradient, at + stride + of_lane);
            float values[kElementsOfLane];
            if (whole(at)) here.widen(values);
            else load_some<Type>(gradient, at + of_lane, begin, end, values);
            finite = add_chunk(values, slices, bins) && finite;
        }
    }
    slices.flush(bins);
    if (!finite) atomicAdd(bins, sqrt(-1.0));            // NaN: an overflow, found by gradient_scale
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
                   reinterpret_cast<std::uintptr_t>(gradient.data) % 16 == 0, call.operands[1].as<double>());
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
