#include "device/host_kernels/adamw.hpp"

#include "base/error.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"

#include <cmath>
#include <cstring>

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

/// Written out because sqrtf may set errno, which keeps g++ from vectorising it.
void take_roots(Lanes& lanes) {
#if defined(__AVX512F__)
    lanes = reinterpret_cast<Lanes>(_mm512_maskz_sqrt_ps(0xffff, reinterpret_cast<__m512>(lanes)));
#else
    float values[kLanes];
    std::memcpy(values, &lanes, sizeof(Lanes));
#if defined(__AVX__)
    for (std::int64_t i = 0; i < kLanes; i += 8) _mm256_storeu_ps(values + i, _mm256_sqrt_ps(_mm256_loadu_ps(values + i)));
#elif defined(__SSE__)
    for (std::int64_t i = 0; i < kLanes; i += 4) _mm_storeu_ps(values + i, _mm_sqrt_ps(_mm_loadu_ps(values + i)));
#else
    for (float& value : values) value = std::sqrt(value);
#endif
    std::memcpy(&lanes, values, sizeof(Lanes));
#endif
}

/// Whole registers, so that all elements go through the same instructions wherever a shard begins or ends. One loop over four
/// streams keeps the memory busy.
void update_lanes(float* parameter, float* m, float* v, const float* gradient, std::int64_t count, float decay,
                  const Coefficients c) {
    for (std::int64_t i = 0; i < count; i += kLanes) {
        Lanes p, first, second, g;
        load_lanes(parameter + i, p);
        load_lanes(m + i, first);
        load_lanes(v + i, second);
        load_lanes(gradient + i, g);
        g *= c.factor;
        first += c.first * (g - first);
        second = c.beta2 * second + c.second * g * g;
        Lanes root = second;
        take_roots(root);
        p = p * decay - c.step_size * (first / (root * c.second_correction + c.epsilon));
        std::memcpy(parameter + i, &p, sizeof(Lanes));
        std::memcpy(m + i, &first, sizeof(Lanes));
        std::memcpy(v + i, &second, sizeof(Lanes));
    }
}

/// A block of an operand as fp32: in place where it is whole and fp32, else on the stack.
class Window {
public:
    Window(const TensorView& view, std::int64_t at, std::int64_t count) : view_(view), at_(at), count_(count) {
        if (view.dtype == DType::fp32 && count == kBlock) {
            data_ = view.as<float>() + at;
        } else {
            load_block(view, 0, at, count, block_);
            data_ = block_.values;
        }
    }
    [[nodiscard]] float* data() { return data_; }
    /// Writes the block back to its operand.
    void store() const {
        if (data_ == block_.values) store_block(block_, view_, 0, at_, count_);
    }

private:
    const TensorView& view_;
    std::int64_t at_, count_;
    float* data_;
    Block block_;
};

/// The parameter beside its master is the master's rounding.
void round_master(const TensorView& master, const TensorView& parameter, std::int64_t at, std::int64_t count) {
    Block block;
    load_block(master, 0, at, count, block);
    store_block(block, parameter, 0, at, count);
}

void update_range(const AdamwOperands& views, std::int64_t begin, std::int64_t end, float decay, const Coefficients& c) {
    const bool mastered = views.master.data != nullptr;
    for (std::int64_t at = begin; at < end; at += kBlock) {
        const std::int64_t count = std::min(kBlock, end - at);
        Window parameter(mastered ? views.master : views.parameter, at, count), m(views.m, at, count), v(views.v, at, count);
        Window gradient(views.gradient, at, count);
        update_lanes(parameter.data(), m.data(), v.data(), gradient.data(), count, decay, c);
        m.store();
        v.store();
        parameter.store();
        if (mastered) round_master(views.master, views.parameter, at, count);
    }
}

} // namespace

void adamw(const KernelCall& call) {
    const auto& o = call.operands;
    if (*o[6].as<float>() != 0.0f) return; // skip: the gradients overflowed
    adamw_range(call, {o[0], o[1], o[2], o[3], o[4]}, call.range, *o[5].as<float>(), *o[7].as<float>());
}

void adamw_range(const KernelCall& call, const AdamwOperands& views, std::span<const RangeSegment> ranges, float factor, double step) {
    check(views.parameter.contiguous() && views.m.contiguous() && views.v.contiguous() && views.gradient.contiguous(),
          "adamw: a shard is one flat range");
    const Coefficients c = coefficients_of(call.attributes, factor, step);
    parallel_for(call.context.workers, views.parameter.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
        for (const RangeSegment& segment : ranges)
            update_range(views, std::max(begin, segment.offset), std::min(end, segment.offset + segment.count),
                         segment.decays ? c.decay : 1.0f, c);
    });
}

} // namespace zerosim::device::host
