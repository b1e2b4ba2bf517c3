#include "device/cuda_kernels/segments.cuh"

#include <cmath>

// AdamW over a flat shard, with the formula of host_kernels/adamw.cpp. Bound by memory: 28 to 30 bytes an element with fp32 master weights.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kUpdatePack = 4;                           // elements of a thread: 16 bytes of fp32
/// Many more than run at once: the last ones to start are short.
constexpr std::int64_t kMostUpdateBlocks = 16384;

struct Rates {
    float rate, decay, beta1, beta2, log_beta1, log_beta2, epsilon;   // decay: 1 - rate * weight decay
};

template <class Parameter, class Moment, class Gradient>
struct Shard {
    typename Parameter::Storage* parameter;
    float* master;                                       // null: the parameter's own update
    typename Moment::Storage *m, *v;
    const typename Gradient::Storage* gradient;
    const float *factor, *skip, *step;
};

struct Step {
    float size = 0, correction = 0;                      // rate / (1 - beta1^n), 1 / sqrt(1 - beta2^n)
};
/// 1 - beta^n as -expm1(n log(beta)), which cancels nothing. In every thread: a kernel of its own before this one would take as long as 20 MB of a shard.
__device__ inline Step step_of(const Rates& rates, float number) {
    return {rates.rate / -expm1f(number * rates.log_beta1), 1.0f / sqrtf(-expm1f(number * rates.log_beta2))};
}

/// Neighbours from `at` on, of which those in [begin, end) count; `whole`: all do, and lie where packs may.
struct Neighbours {
    std::int64_t at, begin, end;
    bool whole;
    __device__ bool has(int i) const { return at + i >= begin && at + i < end; }
};
template <class Type>
__device__ void load_some(const typename Type::Storage* source, const Neighbours& n, float (&values)[kUpdatePack]) {
#pragma unroll
    for (int i = 0; i < kUpdatePack; ++i) values[i] = n.has(i) ? Type::load(source[n.at + i]) : 0.0f;
}
template <class Type>
__device__ void store_some(const float (&values)[kUpdatePack], const Neighbours& n, typename Type::Storage* destination) {
#pragma unroll
    for (int i = 0; i < kUpdatePack; ++i)
        if (n.has(i)) destination[n.at + i] = Type::store(values[i]);
}

struct Elements {
    float g[kUpdatePack], m[kUpdatePack], v[kUpdatePack], p[kUpdatePack];

    template <class P, class M, class G>
    __device__ void load(const Shard<P, M, G>& shard, const Neighbours& n) {
        if (n.whole) {
            load_pack<G, kUpdatePack>(shard.gradient + n.at, g);
            load_pack<M, kUpdatePack>(shard.m + n.at, m);
            load_pack<M, kUpdatePack>(shard.v + n.at, v);
            if (shard.master == nullptr) load_pack<P, kUpdatePack>(shard.parameter + n.at, p);
            else load_pack<Float32, kUpdatePack>(shard.master + n.at, p);
        } else {
            load_some<G>(shard.gradient, n, g);
            load_some<M>(shard.m, n, m);
            load_some<M>(shard.v, n, v);
            if (shard.master == nullptr) load_some<P>(shard.parameter, n, p);
            else load_some<Float32>(shard.master, n, p);
        }
    }
    __device__ void update(const Rates& rates, const Step& step, float factor, float decay) {
#pragma unroll
        for (int i = 0; i < kUpdatePack; ++i) {
            g[i] *= factor;
            m[i] += (1.0f - rates.beta1) * (g[i] - m[i]);
            v[i] = rates.beta2 * v[i] + (1.0f - rates.beta2) * g[i] * g[i];
            p[i] = p[i] * decay - step.size * (m[i] / (sqrtf(v[i]) * step.correction + rates.epsilon));
        }
    }
    template <class P, class M, class G>
    __device__ void store(const Shard<P, M, G>& shard, const Neighbours& n) const {
        if (n.whole) {
            store_pack<M, kUpdatePack>(m, shard.m + n.at);
            store_pack<M, kUpdatePack>(v, shard.v + n.at);
            if (shard.master != nullptr) store_pack<Float32, kUpdatePack>(p, shard.master + n.at);
            store_pack<P, kUpdatePack>(p, shard.parameter + n.at);
        } else {
            store_some<M>(m, n, shard.m);
            store_some<M>(v, n, shard.v);
            if (shard.master != nullptr) store_some<Float32>(p, n, shard.master);
            store_some<P>(p, n, shard.parameter);
        }
    }
};

/// Packs of kUpdatePack elements of a segment, counted from one that begins at a multiple of kUpdatePack: those at its ends may lie in it in part.
[[nodiscard]] __host__ __device__ inline std::int64_t packs_of_segment(const Segments& group, int s) {
    if (group.count[s] <= 0) return 0;
    return (group.offset[s] + group.count[s] + kUpdatePack - 1) / kUpdatePack - group.offset[s] / kUpdatePack;
}
[[nodiscard]] __host__ __device__ inline std::int64_t tiles_of_segment(const Segments& group, int s) { return (packs_of_segment(group, s) + kThreads - 1) / kThreads; }

/// A tile is kThreads packs of one segment; blocks take tiles in turn, whatever the sizes of the segments.
template <class Parameter, class Moment, class Gradient>
__global__ void __launch_bounds__(kThreads) update(Shard<Parameter, Moment, Gradient> shard, Segments group, Rates rates, bool packed, std::int64_t tiles) {
    const float skip = *shard.skip, factor = *shard.factor, number = *shard.step;
    Step step;
    int s = 0;
    std::int64_t before = 0;                             // tiles of the segments before s
    for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        for (std::int64_t here = tiles_of_segment(group, s); tile >= before + here; here = tiles_of_segment(group, s)) {
            before += here;
            ++s;
        }
        const std::int64_t begin = group.offset[s], end = begin + group.count[s];
        const std::int64_t at = (begin / kUpdatePack + (tile - before) * kThreads + threadIdx.x) * kUpdatePack;
        const Neighbours n{at, begin, end, packed && at >= begin && at + kUpdatePack <= end};
        Elements elements;
        elements.load(shard, n);
        if (tile == blockIdx.x) {                        // the step's numbers come beside the first elements: most blocks have one tile
            if (skip != 0.0f) return;
            step = step_of(rates, number);
        }
        elements.update(rates, step, factor, group.decays[s] ? rates.decay : 1.0f);
        elements.store(shard, n);
    }
}

/// Every tensor of the shard begins where packs may.
bool shard_packs(std::span<const TensorView> operands) {
    for (const TensorView& view : operands.first(5))
        if (reinterpret_cast<std::uintptr_t>(view.data) % (kUpdatePack * static_cast<std::uintptr_t>(size_of(view.dtype))) != 0) return false;
    return true;
}

}  // namespace

void adamw(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;                       // parameter, master, m, v, gradient, factor, skip, step
    check(o[0].contiguous() && o[2].contiguous() && o[3].contiguous() && o[4].contiguous(), "adamw: a shard is one flat range");
    const kernel::Attributes& a = call.attributes;
    const double rate = a.learning_rate;
    const Rates rates{a.learning_rate, static_cast<float>(1.0 - rate * a.weight_decay), a.beta1, a.beta2, static_cast<float>(std::log(static_cast<double>(a.beta1))),
                      static_cast<float>(std::log(static_cast<double>(a.beta2))), a.epsilon};
    const auto run = [&]<class P, class M, class G>(P, M, G) {
        const Shard<P, M, G> shard{o[0].as<typename P::Storage>(), o[1].as<float>(), o[2].as<typename M::Storage>(), o[3].as<typename M::Storage>(),
                                   o[4].as<const typename G::Storage>(), o[5].as<const float>(), o[6].as<const float>(), o[7].as<const float>()};
        in_groups(call.range, [&](const Segments& group) {
            std::int64_t tiles = 0;
            for (int s = 0; s < group.size; ++s) tiles += tiles_of_segment(group, s);
            launch(update<P, M, G>, {static_cast<unsigned>(std::min(tiles, kMostUpdateBlocks)), kThreads}, context.stream, shard, group, rates, shard_packs(o), tiles);
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
