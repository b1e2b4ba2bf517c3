// Help for tests of host kernels: tensors of any float type with strided rows, calls, and gradients by central differences.
// Used by tests/unit/device. Does not compare: each test states its own tolerance.
#pragma once

#include "base/rng.hpp"
#include "device/host_kernels/copy.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/workers.hpp"

#include <cmath>
#include <functional>
#include <vector>

namespace zerosim::device::testing {

/// Owns rows x columns elements; with `gap` > 0 rows are strided and the gap holds bytes that nothing may touch.
class Tensor {
public:
    Tensor(std::int64_t rows, std::int64_t columns, DType type = DType::fp32, std::int64_t gap = 0)
        : view_{nullptr, rows, columns, columns + gap, type},
          bytes_(static_cast<std::size_t>(rows * (columns + gap) * size_of(type)), std::byte{0x5a}) {
        host::fill(nullptr, view(), 0.0);
    }
    [[nodiscard]] TensorView view() const {
        TensorView view = view_;
        view.data = const_cast<std::byte*>(bytes_.data());
        return view;
    }
    [[nodiscard]] std::vector<double> values() const {
        std::vector<double> result(static_cast<std::size_t>(view_.elements()));
        host::copy(nullptr, view(), {result.data(), view_.rows, view_.columns, view_.columns, DType::fp64}, false);
        return result;
    }
    Tensor& set(const std::vector<double>& values) {
        host::copy(nullptr, {const_cast<double*>(values.data()), view_.rows, view_.columns, view_.columns, DType::fp64}, view(),
                   false);
        return *this;
    }
    /// Uniform in [-scale, scale), the same for the same seed, rounded to the type.
    Tensor& randomize(std::uint64_t seed, double scale = 1.0) {
        std::vector<double> values(static_cast<std::size_t>(view_.elements()));
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = scale * (2.0 * unit_double(hash64(seed, i)) - 1.0);
        return set(values);
    }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    TensorView view_;
    std::vector<std::byte> bytes_;
};

/// `count` elements from `begin` of a contiguous view.
[[nodiscard]] inline TensorView slice(const TensorView& view, std::int64_t begin, std::int64_t count) {
    return {view.as<std::byte>() + begin * size_of(view.dtype), 1, count, count, view.dtype};
}

[[nodiscard]] inline TensorView scalar(float& value) { return {&value, 1, 1, 1, DType::fp32}; }
[[nodiscard]] inline TensorView scalar(double& value) { return {&value, 1, 1, 1, DType::fp64}; }
[[nodiscard]] inline TensorView integers(std::vector<std::int32_t>& values) {
    const auto count = static_cast<std::int64_t>(values.size());
    return {values.data(), count, 1, 1, DType::int32};
}

inline void run(kernel::Kernel kernel, const kernel::Attributes& attributes, const std::vector<TensorView>& operands,
                const KernelContext& context = {}, const std::vector<RangeSegment>& range = {}) {
    host::run_kernel({kernel, attributes, operands, range, context});
}

/// Largest relative rounding error of the type.
[[nodiscard]] inline double epsilon_of(DType type) {
    return type == DType::bf16 ? 0x1p-8 : type == DType::fp16 ? 0x1p-11 : type == DType::fp32 ? 0x1p-24 : 0x1p-53;
}

/// d f / d x by central differences in double.
[[nodiscard]] inline std::vector<double> numeric_gradient(const std::function<double(const std::vector<double>&)>& f,
                                                          std::vector<double> x, double step = 1e-5) {
    std::vector<double> gradient(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double at = x[i];
        x[i] = at + step;
        const double above = f(x);
        x[i] = at - step;
        const double below = f(x);
        x[i] = at;
        gradient[i] = (above - below) / (2.0 * step);
    }
    return gradient;
}

[[nodiscard]] inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

} // namespace zerosim::device::testing
