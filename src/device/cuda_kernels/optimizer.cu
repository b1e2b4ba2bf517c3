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
    double beta1, beta2, rate, weight_decay;
    float epsilon;
};

/// What the step number changes, once a call and not once a block: step size, and 1 / sqrt(1 - beta2^step).
__global__ void corrections(const float* step, Rates rates, float* result) {
    const double number = static_cast<double>(*step);
    result[0] = static_cast<float>(rates.rate / (1.0 - pow(rates.beta1, number)));
    result[1] = static_cast<float>(1.0 / sqrt(1.0 - pow(rates.beta2, number)));
}

template <class Parameter, class Moment, class Gradient>
struct Shard {
    typename Parameter::Storage* parameter;
    float* master;                                       // null: the parameter's own update
    typename Moment::Storage *m, *v;
    const typename Gradient::Storage* gradient;
    const float *factor, *skip, *corrections;
};

struct Step {
    float size, correction, factor, first, second, beta2, decay, epsilon;
};

/// N neighbours from `at` on.
template <int N, class Parameter, class Moment, class Gradient>
__device__ void update_pack(const Shard<Parameter, Moment, Gradient>& shard, std::int64_t at, const Step& step) {
    float g[N], m[N], v[N], p[N];
    load_pack<Gradient, N>(shard.gradient + at, g);
    load_pack<Moment, N>(shard.m + at, m);
    load_pack<Moment, N>(shard.v + at, v);
    if (shard.master == nullptr) load_pack<Parameter, N>(shard.parameter + at, p);
    else load_pack<Float32, N>(shard.master + at, p);
#pragma unroll
    for (int i = 0; i < N; ++i) {
        g[i] *= step.factor;
        m[i] += step.first * (g[i] - m[i]);
        v[i] = step.beta2 * v[i] + step.second * g[i] * g[i];
        p[i] = p[i] * step.decay - step.size * (m[i] / (sqrtf(v[i]) * step.correction + step.epsilon));
    }
    store_pack<Moment, N>(m, shard.m + at);
    store_pack<Moment, N>(v, shard.v + at);
    if (shard.master != nullptr) store_pack<Float32, N>(p, shard.master + at);
    store_pack<Parameter, N>(p, shard.parameter + at);
}

/// Packs of kUpdatePack elements of a segment, counted from one that begins at a multiple of kUpdatePack: those at its ends may lie in it in part.
[[nodiscard]] __host__ __device__ inline std::int64_t packs_of_segment(const Segments& group, int s) {
    if (group.count[s] <= 0) return 0;
    return (group.offset[s] + group.count[s] + kUpdatePack - 1) / kUpdatePack - group.offset[s] / kUpdatePack;
}
[[nodiscard]] __host__ __device__ inline std::int64_t tiles_of_segment(const Segments& group, int s) { return (packs_of_segment(group, s) + kThreads - 1) / kThreads; }

/// A tile is kThreads packs of one segment; blocks take tiles in turn, whatever the sizes of the segments.
template <class Parameter, class Moment, class Gradient>
__global__ void __launch_bounds__(kThreads) update(Shard<Parameter, Moment, Gradient> shard, Segments group, Rates rates, bool packed, std::int64_t tiles) {
    if (*shard.skip != 0.0f) return;
    Step step{shard.corrections[0], shard.corrections[1], *shard.factor, static_cast<float>(1.0 - rates.beta1), static_cast<float>(1.0 - rates.beta2),
              static_cast<float>(rates.beta2), 1.0f, rates.epsilon};
    const float decay = static_cast<float>(1.0 - rates.rate * rates.weight_decay);
    int s = 0;
    std::int64_t before = 0;                             // tiles of the segments before s
    for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        for (std::int64_t here = tiles_of_segment(group, s); tile >= before + here; here = tiles_of_segment(group, s)) {
            before += here;
            ++s;
        }
        const std::int64_t begin = group.offset[s], end = begin + group.count[s];
        const std::int64_t at = (begin / kUpdatePack + (tile - before) * kThreads + threadIdx.x) * kUpdatePack;
        step.decay = group.decays[s] ? decay : 1.0f;
        if (packed && at >= begin && at + kUpdatePack <= end) update_pack<kUpdatePack>(shard, at, step);
        else
            for (int i = 0; i < kUpdatePack; ++i)
                if (at + i >= begin && at + i < end) update_pack<1>(shard, at + i, step);
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
    const Rates rates{a.beta1, a.beta2, a.learning_rate, a.weight_decay, a.epsilon};
    auto* const numbers = reinterpret_cast<float*>(context.scratch);
    launch(corrections, {1, 1}, context.stream, o[7].as<const float>(), rates, numbers);
    const auto run = [&]<class P, class M, class G>(P, M, G) {
        const Shard<P, M, G> shard{o[0].as<typename P::Storage>(), o[1].as<float>(), o[2].as<typename M::Storage>(), o[3].as<typename M::Storage>(),
                                   o[4].as<const typename G::Storage>(), o[5].as<const float>(), o[6].as<const float>(), numbers};
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
