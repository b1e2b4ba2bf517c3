#include "device/host_kernels/elements.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/matrix_product.hpp"
#include "device/workers.hpp"

#include <algorithm>
#include <array>

namespace zerosim::device::host {

namespace {

constexpr std::int64_t kColumnChunk = 512; // fp32 sums on the stack: 2 KiB

/// d_bias[c] (+)= sum over rows of d_y[row, c], rows in order: a column's sum does not depend on the threads.
template <class Type>
void sum_columns(const TensorView& d_y, std::int64_t begin, std::int64_t end, float* sums) {
    std::fill_n(sums, end - begin, 0.0f);
    for (std::int64_t row = 0; row < d_y.rows; ++row) {
        const auto* source = row_of<Type>(d_y, row) + begin;
        for (std::int64_t i = 0; i < end - begin; ++i) sums[i] += Type::load(source[i]);
    }
}

void bias_gradient(const TensorView& d_y, const TensorView& d_bias, bool accumulate, Workers* workers) {
    // At least 16 columns (a cache line) and about 5 us a thread.
    const std::int64_t grain = 16384 / std::max<std::int64_t>(d_y.rows, 1) + 16;
    parallel_for(workers, d_bias.elements(), grain, [&](std::int64_t begin, std::int64_t end) {
        std::array<float, kColumnChunk> sums;
        for (std::int64_t first = begin; first < end; first += kColumnChunk) {
            const std::int64_t last = std::min(first + kColumnChunk, end);
            with_float_type(d_y.dtype, [&](auto type) { sum_columns<decltype(type)>(d_y, first, last, sums.data()); });
            with_float_type(d_bias.dtype, [&](auto type) {
                using Type = decltype(type);
                auto* destination = d_bias.as<typename Type::Storage>() + first;
                if (accumulate)
                    add_row<Type>(sums.data(), destination, last - first);
                else
                    store_row<Type>(sums.data(), destination, last - first);
            });
        }
    });
}

const TensorView* present(const TensorView& view) { return view.data == nullptr ? nullptr : &view; }

} // namespace

void linear_forward(const KernelCall& call) {
    const auto& o = call.operands; // x, weight, bias, workspace, y
    matrix_product({.a = {o[0]},
                    .b = {o[1], !call.attributes.input_major},
                    .result = o[4],
                    .bias = present(o[2]),
                    .workspace = present(o[3]),
                    .workers = call.context.workers});
}

void linear_backward_input(const KernelCall& call) {
    const auto& o = call.operands; // d_y, weight, workspace, d_x
    matrix_product({.a = {o[0]},
                    .b = {o[1], call.attributes.input_major},
                    .result = o[3],
                    .workspace = present(o[2]),
                    .accumulate = call.attributes.accumulate_second,
                    .workers = call.context.workers});
}

void linear_backward_weight(const KernelCall& call) {
    const auto& o = call.operands; // d_y, x, workspace, d_weight, d_bias
    const bool input_major = call.attributes.input_major;   // d_weight[in, out] = x^T d_y, else its transpose
    matrix_product({.a = {o[input_major ? 1 : 0], true},
                    .b = {o[input_major ? 0 : 1]},
                    .result = o[3],
                    .workspace = present(o[2]),
                    .accumulate = call.attributes.accumulate,
                    .workers = call.context.workers});
    if (o[4].data != nullptr) bias_gradient(o[0], o[4], call.attributes.accumulate, call.context.workers);
}

} // namespace zerosim::device::host
