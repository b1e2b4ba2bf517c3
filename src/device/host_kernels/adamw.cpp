#include "base/error.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"

#include <cmath>

#ifdef __SSE__
#include <immintrin.h>
#endif

namespace zerosim::device::host {
namespace {

// Kingma, Ba 2015 (Adam), algorithm 1, with the decay of Loshchilov, Hutter 2019 (AdamW), algorithm 2, in the order of
// torch.optim.AdamW: decay the parameter, move both moments, divide by sqrt(v / (1 - beta2^t)) + epsilon.
struct Coefficients {
    float factor;        // of the gradient: clipping, loss scale
    float decay;         // 1 - learning rate * weight decay
    float first, second; // 1 - beta1, 1 - beta2
    float beta2;
    float step_size;         // learning rate / (1 - beta1^t)
    float second_correction; // 1 / sqrt(1 - beta2^t)
    float epsilon;
};

[[nodiscard]] Coefficients coefficients_of(const kernel::Attributes& attributes, double factor, double step) {
    const double beta1 = attributes.beta1, beta2 = attributes.beta2, rate = attributes.learning_rate;
    return {.factor = static_cast<float>(factor),
            .decay = static_cast<float>(1.0 - rate * attributes.weight_decay),
            .first = static_cast<float>(1.0 - beta1),
            .second = static_cast<float>(1.0 - beta2),
            .beta2 = attributes.beta2,
            .step_size = static_cast<float>(rate / (1.0 - std::pow(beta1, step))),
            .second_correction = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, step))),
            .epsilon = attributes.epsilon};
}

/// Square roots of a block. Written out because sqrtf may set errno, which keeps g++ from vectorising a loop over it.
void sqrt_block(const Block& block, std::int64_t count, Block& roots) {
    std::int64_t i = 0;
#if defined(__AVX__)
    for (; i < padded(count); i += 8) _mm256_store_ps(roots.values + i, _mm256_sqrt_ps(_mm256_load_ps(block.values + i)));
#elif defined(__SSE__)
    for (; i < padded(count); i += 4) _mm_store_ps(roots.values + i, _mm_sqrt_ps(_mm_load_ps(block.values + i)));
#endif
    for (; i < padded(count); ++i) roots[i] = std::sqrt(block[i]);
}

/// `parameter`, `m` and `v` become the updated ones.
void update_block(Block& __restrict parameter, Block& __restrict m, Block& __restrict v, const Block& __restrict gradient,
                  std::int64_t count, float decay, const Coefficients c) {
    for (std::int64_t i = 0; i < padded(count); ++i) {
        const float g = gradient.values[i] * c.factor;
        m.values[i] += c.first * (g - m.values[i]);
        v.values[i] = c.beta2 * v.values[i] + c.second * g * g;
    }
    Block roots;
    sqrt_block(v, count, roots);
    for (std::int64_t i = 0; i < padded(count); ++i) {
        const float denominator = roots.values[i] * c.second_correction + c.epsilon;
        parameter.values[i] = parameter.values[i] * decay - c.step_size * (m.values[i] / denominator);
    }
}

struct Operands {
    const TensorView &parameter, &master, &m, &v, &gradient;
    [[nodiscard]] const TensorView& updated() const { return master.data != nullptr ? master : parameter; }
};

/// Asks for the cache lines of a block ahead of its use: four streams read in turns, with a block's arithmetic between, leave the
/// memory idle otherwise (measured: 75 % of a memcpy's rate without, 100 % with).
void prefetch_block(const TensorView& view, std::int64_t at) {
    constexpr std::int64_t line = 64;
    const std::byte* data = view.as<std::byte>() + at * size_of(view.dtype);
    for (std::int64_t i = 0; i < kBlock * size_of(view.dtype); i += line) __builtin_prefetch(data + i);
}

void update_range(const Operands& views, std::int64_t begin, std::int64_t end, float decay, const Coefficients& c) {
    Block parameter, m, v, gradient;
    for (std::int64_t at = begin; at < end; at += kBlock) {
        const std::int64_t count = std::min(kBlock, end - at);
        if (at + 2 * kBlock <= end)
            for (const TensorView* view : {&views.updated(), &views.m, &views.v, &views.gradient})
                prefetch_block(*view, at + kBlock);
        load_block(views.updated(), 0, at, count, parameter);
        load_block(views.m, 0, at, count, m);
        load_block(views.v, 0, at, count, v);
        load_block(views.gradient, 0, at, count, gradient);
        update_block(parameter, m, v, gradient, count, decay, c);
        store_block(m, views.m, 0, at, count);
        store_block(v, views.v, 0, at, count);
        store_block(parameter, views.updated(), 0, at, count);
        if (views.master.data != nullptr) store_block(parameter, views.parameter, 0, at, count);
    }
}

} // namespace

void adamw(const KernelCall& call) {
    const auto& o = call.operands;
    const Operands views{o[0], o[1], o[2], o[3], o[4]};
    if (*o[6].as<float>() != 0.0f) return; // skip: the gradients overflowed
    check(views.parameter.contiguous() && views.m.contiguous() && views.v.contiguous() && views.gradient.contiguous(),
          "adamw: a shard is one flat range");
    const Coefficients c = coefficients_of(call.attributes, *o[5].as<float>(), *o[7].as<float>());
    parallel_for(call.context.workers, views.parameter.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
        for (const RangeSegment& segment : call.range)
            update_range(views, std::max(begin, segment.offset), std::min(end, segment.offset + segment.count),
                         segment.decays ? c.decay : 1.0f, c);
    });
}

} // namespace zerosim::device::host
