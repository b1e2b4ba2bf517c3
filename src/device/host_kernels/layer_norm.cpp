#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/norm_gradient.hpp"

#include <cmath>

namespace zerosim::device::host {

namespace {

/// Folds `term(strip, count)` over a row in fp32: fp32 rows in one piece, 2-byte rows through a stack buffer.
template <class Type, class Term>
float fold(const typename Type::Storage* row, std::int64_t width, const Term& term) {
    if constexpr (!Type::two_bytes) {
        return term(row, width);
    } else {
        std::array<float, kNormStrip> strip;
        float result = 0;
        for (std::int64_t begin = 0; begin < width; begin += kNormStrip) {
            const std::int64_t count = std::min(kNormStrip, width - begin);
            load_row<Type>(row + begin, strip.data(), count);
            result += term(strip.data(), count);
        }
        return result;
    }
}

/// Mean, then the variance about it: two passes, because E[x^2] - mean^2 cancels.
template <class Type>
void forward_row(const KernelCall& call, std::int64_t row) {
    const auto& o = call.operands; // x, weight, bias, y, mean, rstd
    const std::int64_t width = o[0].columns;
    const auto* __restrict x = row_of<Type>(o[0], row);
    const auto* __restrict weight = o[1].as<typename Type::Storage>();
    const auto* __restrict bias = o[2].as<typename Type::Storage>();
    auto* __restrict y = row_of<Type>(o[3], row);
    const float inverse = 1.0f / static_cast<float>(width);
    const float mean = inverse * fold<Type>(x, width, [](const float* v, std::int64_t n) { return sum(v, n); });
    const float variance =
        inverse * fold<Type>(x, width, [mean](const float* v, std::int64_t n) { return squares_about(v, mean, n); });
    const float rstd = 1.0f / std::sqrt(variance + call.attributes.epsilon);
    for (std::int64_t i = 0; i < width; ++i)
        y[i] = Type::store((Type::load(x[i]) - mean) * rstd * Type::load(weight[i]) + Type::load(bias[i]));
    o[4].as<float>()[row] = mean;
    o[5].as<float>()[row] = rstd;
}

} // namespace

void layer_norm_forward(const KernelCall& call) {
    with_float_type(call.operands[0].dtype, [&](auto type) {
        const TensorView& x = call.operands[0];
        parallel_for(call.context.workers, x.rows, norm_row_grain(x.columns), [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t row = begin; row < end; ++row) forward_row<decltype(type)>(call, row);
        });
    });
}

void layer_norm_backward(const KernelCall& call) {
    const auto& o = call.operands; // d_y, x, weight, mean, rstd, d_x, d_weight, d_bias
    norm_gradient({o[0], o[1], o[2], &o[3], o[4], o[5], o[6], &o[7], call.attributes.accumulate,
                   call.attributes.accumulate_second, call.context.workers});
}

} // namespace zerosim::device::host
