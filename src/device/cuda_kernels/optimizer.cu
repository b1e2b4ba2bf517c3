#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"
#include "device/norm_bins.hpp"

#include <algorithm>
#include <cmath>

// The optimizer: exact binned squared norm, clipping factor, dynamic loss scale and AdamW over a flat shard, with the formulas of
// host_kernels/{squared_norm,gradient_scale,loss_scale,adamw}.cpp.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kSegments = 48;                            // of one launch: kernel arguments hold at most 4 KB on every device

/// Segments of a shard as one kernel argument; a launch walks them one after the other.
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
std::int64_t elements_of(const Segments& group) {
    std::int64_t sum = 0;
    for (int i = 0; i < group.size; ++i) sum += group.count[i];
    return sum;
}

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

constexpr int kElementsOfLane = 8;

template <class Type>
__device__ void add_chunk(const typename Type::Storage* gradient, std::int64_t begin, std::int64_t end, const Units& units, Slices& slices, double* bins) {
    float values[kElementsOfLane], largest = 0;
    for (int k = 0; k < kElementsOfLane; ++k) {
        const std::int64_t at = begin + k * std::int64_t{kWarp} + threadIdx.x % kWarp;
        values[k] = at < end ? Type::load(gradient[at]) : 0.0f;
        const float magnitude = fabsf(values[k]);
        if (isfinite(magnitude)) {
            largest = fmaxf(largest, magnitude);
        } else {
            atomicAdd(bins, sqrt(-1.0));                 // NaN: an overflow, found by gradient_scale
            values[k] = 0.0f;
        }
    }
    largest = warp_max(largest);
    int top = kernel::kNormBins - 1;
    const double square = static_cast<double>(largest) * static_cast<double>(largest);
    while (top >= 0 && square <= 0.5 * units.of(top)) --top;
    if (top < 0) return;
    if (top != slices.top) slices.flush(bins);
    slices.top = top;
    for (int k = 0; k < kElementsOfLane; ++k) slices.add(static_cast<double>(values[k]) * static_cast<double>(values[k]), units);
}

template <class Type>
__global__ void binned_squares(const typename Type::Storage* gradient, Segments group, Units units, double* result) {
    __shared__ double bins[kernel::kNormBins];
    for (unsigned i = threadIdx.x; i < kernel::kNormBins; i += kThreads) bins[i] = 0.0;
    __syncthreads();
    constexpr std::int64_t kChunk = std::int64_t{kWarp} * kElementsOfLane;
    const std::int64_t warp = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp, warps = std::int64_t{gridDim.x} * kThreads / kWarp;
    Slices slices;
    for (int s = 0; s < group.size; ++s)
        for (std::int64_t begin = warp * kChunk; begin < group.count[s]; begin += warps * kChunk)
            add_chunk<Type>(gradient + group.offset[s], begin, group.count[s], units, slices, bins);
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

struct Rates {
    double beta1, beta2, rate, weight_decay;
    float epsilon;
};

template <class Parameter, class Moment, class Gradient>
struct Shard {
    typename Parameter::Storage* parameter;
    float* master;                                       // null: the parameter's own update
    typename Moment::Storage *m, *v;
    const typename Gradient::Storage* gradient;
    const float *factor, *skip, *step;
};

template <class Parameter, class Moment, class Gradient>
__global__ void update(Shard<Parameter, Moment, Gradient> shard, Segments group, Rates rates) {
    if (*shard.skip != 0.0f) return;
    __shared__ float shared[2];
    if (threadIdx.x == 0) {
        const double step = static_cast<double>(*shard.step);
        shared[0] = static_cast<float>(rates.rate / (1.0 - pow(rates.beta1, step)));
        shared[1] = static_cast<float>(1.0 / sqrt(1.0 - pow(rates.beta2, step)));
    }
    __syncthreads();
    const float step_size = shared[0], correction = shared[1], factor = *shard.factor;
    const float first = static_cast<float>(1.0 - rates.beta1), second = static_cast<float>(1.0 - rates.beta2), beta2 = static_cast<float>(rates.beta2);
    const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
    for (int s = 0; s < group.size; ++s) {
        const float decay = group.decays[s] ? static_cast<float>(1.0 - rates.rate * rates.weight_decay) : 1.0f;
        for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < group.count[s]; i += stride) {
            const std::int64_t at = group.offset[s] + i;
            const float g = Gradient::load(shard.gradient[at]) * factor;
            float m = Moment::load(shard.m[at]), v = Moment::load(shard.v[at]);
            float p = shard.master == nullptr ? Parameter::load(shard.parameter[at]) : shard.master[at];
            m += first * (g - m);
            v = beta2 * v + second * g * g;
            p = p * decay - step_size * (m / (sqrtf(v) * correction + rates.epsilon));
            shard.m[at] = Moment::store(m);
            shard.v[at] = Moment::store(v);
            if (shard.master != nullptr) shard.master[at] = p;
            shard.parameter[at] = Parameter::store(p);
        }
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
                   norm_units(), call.operands[1].as<double>());
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

void adamw(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;                       // parameter, master, m, v, gradient, factor, skip, step
    check(o[0].contiguous() && o[2].contiguous() && o[3].contiguous() && o[4].contiguous(), "adamw: a shard is one flat range");
    const kernel::Attributes& a = call.attributes;
    const Rates rates{a.beta1, a.beta2, a.learning_rate, a.weight_decay, a.epsilon};
    const auto run = [&]<class P, class M, class G>(P, M, G) {
        const Shard<P, M, G> shard{o[0].as<typename P::Storage>(), o[1].as<float>(), o[2].as<typename M::Storage>(), o[3].as<typename M::Storage>(),
                                   o[4].as<const typename G::Storage>(), o[5].as<const float>(), o[6].as<const float>(), o[7].as<const float>()};
        in_groups(call.range, [&](const Segments& group) {
            launch(update<P, M, G>, {blocks_for(elements_of(group), kThreads), kThreads}, context.stream, shard, group, rates);
        });
    };
    with_float_type(o[0].dtype, [&](auto parameter) {
        with_float_type(o[4].dtype, [&](auto gradient) {
            if (o[2].dtype == DType::fp32) run(parameter, Float32{}, gradient);
            else if (o[2].dtype == DType::bf16) run(parameter, BFloat16{}, gradient);
            else throw BugError("adamw: moments are fp32 or bf16");
        });
    });
}

}  // namespace zerosim::device::cuda
