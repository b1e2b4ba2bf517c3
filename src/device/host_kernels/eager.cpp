// Kernel::elementwise on the host: what each operation computes (kernel/eager_operation.hpp), element by element.
#include "base/error.hpp"
#include "device/host_kernels/eager_rows.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/vector_math.hpp"

#include <cmath>

namespace zerosim::device::host {
namespace {

using kernel::EagerOperation;

// Hendrycks, Gimpel 2016, tanh form: x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr float kTwoSqrtTwoOverPi = 1.59576912160573071f, kCubic = 0.044715f;

/// out = f(a) for every element.
template <class Function>
void map(const KernelCall& call, const Function& function) {
    const TensorView &a = call.operands[0], &out = call.operands[3];
    for_each_block(call.context.workers, {out, a}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block x;
        load_block(a, row, column, count, x);
        for (std::int64_t i = 0; i < padded(count); ++i) x[i] = function(x[i]);
        store_block(x, out, row, column, count);
    });
}

/// out = f(a, b); b may be smaller and is then repeated along rows and columns.
template <class Function>
void map_pair(const KernelCall& call, const Function& function) {
    const TensorView &a = call.operands[0], &b = call.operands[1], &out = call.operands[3];
    const Broadcast broadcast(b, call.attributes);
    const auto body = [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block x, y;
        load_block(a, row, column, count, x);
        broadcast.load(b, row, column, count, y);
        for (std::int64_t i = 0; i < padded(count); ++i) x[i] = function(x[i], y[i]);
        store_block(x, out, row, column, count);
    };
    if (!broadcast.active()) return for_each_block(call.context.workers, {out, a, b}, body);
    // Row by row, so that the smaller operand's place is known.
    parallel_for(call.context.workers, out.rows, row_grain(out.columns), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row)
            for (std::int64_t column = 0; column < out.columns; column += kBlock) body(row, column, std::min(kBlock, out.columns - column));
    });
}

[[nodiscard]] float gelu(float x) { return x * fast_sigmoid(kTwoSqrtTwoOverPi * (x + kCubic * x * x * x)); }

/// s = 1 / (1 + e) and s (1 - s) = e s^2 without cancellation, as in gelu.cpp.
[[nodiscard]] float gelu_gradient(float d, float x) {
    const float e = fast_exp(std::min(-kTwoSqrtTwoOverPi * (x + kCubic * x * x * x), 80.0f));
    const float s = 1.0f / (1.0f + e);
    return d * (s + x * kTwoSqrtTwoOverPi * (1.0f + 3.0f * kCubic * x * x) * (e * s * s));
}

[[nodiscard]] float silu_gradient(float d, float x) {
    const float s = fast_sigmoid(x);
    return d * (s + x * s * (1.0f - s));
}

/// x^n of a small whole number by products, as torch.pow does.
[[nodiscard]] float power_of(float x, float n) { return n == 1.0f ? x : n == 2.0f ? x * x : n == 3.0f ? x * x * x : std::pow(x, n); }

// Lambdas, not pointers to functions: those are not inlined through for_each_block, and the loops then not vectorised (a tenth of the speed).
void pointwise(const KernelCall& call) {
    const float value = call.attributes.value;
    switch (call.attributes.operation) {
        case EagerOperation::add: return map_pair(call, [](float a, float b) { return a + b; });
        case EagerOperation::multiply: return map_pair(call, [](float a, float b) { return a * b; });
        case EagerOperation::scale: return map(call, [value](float a) { return a * value; });
        case EagerOperation::shift: return map(call, [value](float a) { return a + value; });
        case EagerOperation::gelu: return map(call, [](float a) { return gelu(a); });
        case EagerOperation::gelu_backward: return map_pair(call, [](float d, float a) { return gelu_gradient(d, a); });
        case EagerOperation::silu: return map(call, [](float a) { return a * fast_sigmoid(a); });
        case EagerOperation::silu_backward: return map_pair(call, [](float d, float a) { return silu_gradient(d, a); });
        case EagerOperation::tanh: return map(call, [](float a) { return fast_tanh(a); });
        case EagerOperation::tanh_backward: return map_pair(call, [](float d, float y) { return d * (1.0f - y * y); });
        case EagerOperation::rsqrt: return map(call, [](float a) { return 1.0f / std::sqrt(a); });
        case EagerOperation::rsqrt_backward: return map_pair(call, [](float d, float y) { return -0.5f * d * y * y * y; });
        case EagerOperation::power: return map(call, [value](float a) { return power_of(a, value); });
        case EagerOperation::power_backward: return map_pair(call, [value](float d, float x) { return d * value * power_of(x, value - 1.0f); });
        case EagerOperation::cosine: return map(call, [](float a) { return std::cos(a); });
        case EagerOperation::sine: return map(call, [](float a) { return std::sin(a); });
        default: throw BugError("elementwise: operation " + std::string(name(call.attributes.operation)) + " is not one of an element");
    }
}

}  // namespace

void eager(const KernelCall& call) {
    switch (call.attributes.operation) {
        case EagerOperation::unspecified:
        case EagerOperation::count_: throw BugError("elementwise: an operation without identity is for planning only; it cannot run");
        case EagerOperation::row_mean: return row_mean(call);
        case EagerOperation::row_mean_backward: return row_mean_backward(call);
        case EagerOperation::sum: return broadcast_sum(call);
        case EagerOperation::concatenate: return concatenate(call);
        case EagerOperation::slice_backward: return slice_backward(call);
        case EagerOperation::repeat_heads: return repeat_heads(call);
        case EagerOperation::repeat_heads_backward: return repeat_heads_backward(call);
        case EagerOperation::sequence_numbers: return sequence_numbers(call);
        case EagerOperation::rotary_angles: return rotary_angles(call);
        case EagerOperation::rotary_table: return rotary_table(call);
        case EagerOperation::rotate: return rotate_by_table(call, 1.0f);
        case EagerOperation::rotate_backward: return rotate_by_table(call, -1.0f);
        case EagerOperation::log_softmax: return log_softmax(call);
        case EagerOperation::log_softmax_backward: return log_softmax_backward(call);
        case EagerOperation::negative_log_likelihood: return negative_log_likelihood(call);
        case EagerOperation::negative_log_likelihood_backward: return negative_log_likelihood_backward(call);
        case EagerOperation::sum_of_squares: return sum_of_squares(call);
        case EagerOperation::clip_factor: return clip_factor(call);
        default: return pointwise(call);
    }
}

}  // namespace zerosim::device::host
