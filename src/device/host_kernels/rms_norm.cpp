#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/norm_gradient.hpp"

#include <cmath>

namespace zerosim::device::host {

namespace {

template <class Type>
float sum_of_squares(const typename Type::Storage* row, std::int64_t width) {
    if constexpr (!Type::two_bytes) {
        return dot(row, row, width);
    } else {
        std::array<float, kNormStrip> strip;
        float result = 0;
        for (std::int64_t begin = 0; begin < width; begin += kNormStrip) {
            const std::int64_t count = std::min(kNormStrip, width - begin);
            load_row<Type>(row + begin, strip.data(), count);
            result += dot(strip.data(), strip.data(), count);
        }
        return result;
    }
}

template <class Type>
void forward_row(const KernelCall& call, std::int64_t row) {
    const auto& o = call.operands; // x, weight, y, rstd
    const std::int64_t width = o[0].columns;
    const auto* __restrict x = row_of<Type>(o[0], row);
    const auto* __restrict weight = o[1].as<typename Type::Storage>();
    auto* __restrict y = row_of<Type>(o[2], row);
    const float mean_square = sum_of_squares<Type>(x, width) / static_cast<float>(width);
    const float rstd = 1.0f / std::sqrt(mean_square + call.attributes.epsilon);
    for (std::int64_t i = 0; i < width; ++i) y[i] = Type::store(Type::load(x[i]) * rstd * Type::load(weight[i]));
    o[3].as<float>()[row] = rstd;
}

} // namespace

void rms_norm_forward(const KernelCall& call) {
    with_float_type(call.operands[0].dtype, [&](auto type) {
        const TensorView& x = call.operands[0];
        parallel_for(call.context.workers, x.rows, norm_row_grain(x.columns), [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t row = begin; row < end; ++row) forward_row<decltype(type)>(call, row);
        });
    });
}

void rms_norm_backward(const KernelCall& call) {
    const auto& o = call.operands; // d_y, x, weight, rstd, d_x, d_weight
    norm_gradient({o[0], o[1], o[2], nullptr, o[3], o[4], o[5], nullptr, call.attributes.accumulate,
                   call.attributes.accumulate_second, call.context.workers});
}

} // namespace zerosim::device::host
