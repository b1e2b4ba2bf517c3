// Backward of LayerNorm and RMSNorm, which differ only in the centring: x^ = (x - mean) * rstd or x * rstd, g = d_y * weight,
// d_x = rstd * (g - [mean(g)] - x^ * mean(g * x^)); d_weight = column sums of d_y * x^, d_bias of d_y.
// Included by layer_norm.cpp and rms_norm.cpp only. Ba, Kiros, Hinton 2016; Zhang, Sennrich 2019.
// Does not compute the statistics: forward saved them.
#pragma once

#include "device/host_kernels/elements.hpp"
#include "device/host_kernels/lanes.hpp"
#include "device/workers.hpp"

#include <algorithm>
#include <array>

namespace zerosim::device::host {

struct NormGradient {
    const TensorView &d_y, &x, &weight;
    const TensorView* mean; // null: RMSNorm
    const TensorView& rstd;
    const TensorView &d_x, &d_weight;
    const TensorView* d_bias; // null: RMSNorm
    bool accumulate, accumulate_d_x;
    Workers* workers;
};

inline constexpr std::int64_t kNormStrip = 1024; // elements of a row at a time: 4 KiB a stack buffer

/// Rows of about 5 us, below which a second thread does not pay.
[[nodiscard]] inline std::int64_t norm_row_grain(std::int64_t width) { return 16384 / std::max<std::int64_t>(width, 1) + 1; }

[[nodiscard]] inline float row_mean(const NormGradient& n, std::int64_t row) {
    return n.mean == nullptr ? 0.0f : n.mean->as<float>()[row];
}

/// A part of a row: g and x^.
struct NormStrip {
    std::array<float, kNormStrip> g, x_hat;
};

template <class Type>
void load_strip(const NormGradient& n, std::int64_t row, std::int64_t begin, std::int64_t count, NormStrip& strip) {
    const auto* d_y = row_of<Type>(n.d_y, row) + begin;
    const auto* x = row_of<Type>(n.x, row) + begin;
    const auto* weight = n.weight.as<typename Type::Storage>() + begin;
    const float mean = row_mean(n, row), rstd = n.rstd.as<float>()[row];
    for (std::int64_t i = 0; i < count; ++i) {
        strip.g[static_cast<std::size_t>(i)] = Type::load(d_y[i]) * Type::load(weight[i]);
        strip.x_hat[static_cast<std::size_t>(i)] = (Type::load(x[i]) - mean) * rstd;
    }
}

template <class Type>
void norm_d_x_row(const NormGradient& n, std::int64_t row, NormStrip& strip) {
    const std::int64_t width = n.x.columns;
    const float inverse = 1.0f / static_cast<float>(width), rstd = n.rstd.as<float>()[row];
    float sum_g = 0, sum_g_x_hat = 0;
    for (std::int64_t begin = 0; begin < width; begin += kNormStrip) {
        const std::int64_t count = std::min(kNormStrip, width - begin);
        load_strip<Type>(n, row, begin, count, strip);
        if (n.mean != nullptr) sum_g += sum(strip.g.data(), count);
        sum_g_x_hat += dot(strip.g.data(), strip.x_hat.data(), count);
    }
    const float mean_g = sum_g * inverse, mean_g_x_hat = sum_g_x_hat * inverse;
    for (std::int64_t begin = 0; begin < width; begin += kNormStrip) {
        const std::int64_t count = std::min(kNormStrip, width - begin);
        if (width > kNormStrip) load_strip<Type>(n, row, begin, count, strip);
        for (std::int64_t i = 0; i < count; ++i) {
            const auto at = static_cast<std::size_t>(i);
            strip.g[at] = rstd * (strip.g[at] - mean_g - strip.x_hat[at] * mean_g_x_hat);
        }
        auto* d_x = row_of<Type>(n.d_x, row) + begin;
        if (n.accumulate_d_x)
            add_row<Type>(strip.g.data(), d_x, count);
        else
            store_row<Type>(strip.g.data(), d_x, count);
    }
}

inline void store_sums(const TensorView& result, std::int64_t begin, std::int64_t count, const float* sums, bool accumulate) {
    with_float_type(result.dtype, [&](auto type) {
        using Type = decltype(type);
        auto* destination = result.as<typename Type::Storage>() + begin;
        if (accumulate)
            add_row<Type>(sums, destination, count);
        else
            store_row<Type>(sums, destination, count);
    });
}

/// Columns [begin, begin + count) of the parameter gradients, rows in order: the sums do not depend on the threads.
template <class Type>
void norm_columns(const NormGradient& n, std::int64_t begin, std::int64_t count, NormStrip& strip) {
    float* __restrict d_weight = strip.g.data();
    float* __restrict d_bias = strip.x_hat.data();
    std::fill_n(d_weight, count, 0.0f);
    std::fill_n(d_bias, count, 0.0f);
    for (std::int64_t row = 0; row < n.x.rows; ++row) {
        const auto* d_y = row_of<Type>(n.d_y, row) + begin;
        const auto* x = row_of<Type>(n.x, row) + begin;
        const float mean = row_mean(n, row), rstd = n.rstd.as<float>()[row];
        for (std::int64_t i = 0; i < count; ++i) {
            const float gradient = Type::load(d_y[i]);
            d_weight[i] += gradient * ((Type::load(x[i]) - mean) * rstd);
            d_bias[i] += gradient;
        }
    }
    if (n.d_weight.data != nullptr) store_sums(n.d_weight, begin, count, d_weight, n.accumulate);
    if (n.d_bias != nullptr && n.d_bias->data != nullptr) store_sums(*n.d_bias, begin, count, d_bias, n.accumulate);
}

/// Columns first: with accumulate_d_x unset, d_x may be the storage of d_y.
inline void norm_gradient(const NormGradient& n) {
    with_float_type(n.x.dtype, [&](auto type) {
        using Type = decltype(type);
        // Frozen weights have no operand.
        const bool columns = n.d_weight.data != nullptr || (n.d_bias != nullptr && n.d_bias->data != nullptr);
        if (columns) parallel_for(n.workers, n.x.columns, 16384 / std::max<std::int64_t>(n.x.rows, 1) + 16,
                     [&](std::int64_t begin, std::int64_t end) {
                         NormStrip strip;
                         for (std::int64_t at = begin; at < end; at += kNormStrip)
                             norm_columns<Type>(n, at, std::min(kNormStrip, end - at), strip);
                     });
        parallel_for(n.workers, n.x.rows, norm_row_grain(n.x.columns), [&](std::int64_t begin, std::int64_t end) {
            NormStrip strip;
            for (std::int64_t row = begin; row < end; ++row) norm_d_x_row<Type>(n, row, strip);
        });
    });
}

} // namespace zerosim::device::host
