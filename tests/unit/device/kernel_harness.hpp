// Runs one host kernel on tensors of any float type, and holds the fp64 references' matrices.
// Used by the kernel tests of this folder.
// Does not know any kernel's formula.
#pragma once

#include "base/rng.hpp"
#include "device/device.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/workers.hpp"
#include "kernel/work.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace zerosim::device::test {

/// A row-major matrix in fp64.
struct Matrix {
    std::int64_t rows = 0, columns = 0;
    std::vector<double> values;

    Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
    double& operator()(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * columns + c)]; }
    double operator()(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * columns + c)]; }
    [[nodiscard]] double largest() const {
        double result = 0;
        for (double value : values) result = std::max(result, std::abs(value));
        return result;
    }
};

inline Matrix random_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed, double spread = 1.0) {
    Matrix result(rows, columns);
    for (std::size_t i = 0; i < result.values.size(); ++i) result.values[i] = spread * (2 * unit_double(hash64(seed, i)) - 1);
    return result;
}

inline double round_to(DType type, double value) {
    const auto single = static_cast<float>(value);
    if (type == DType::bf16) return bf16_to_float(float_to_bf16(single));
    if (type == DType::fp16) return fp16_to_float(float_to_fp16(single));
    return single;
}

/// The matrix with every element rounded to `type`, so that a kernel and its reference start from the same numbers.
inline Matrix rounded(Matrix matrix, DType type) {
    for (double& value : matrix.values) value = round_to(type, value);
    return matrix;
}

/// Half an ulp of 1.0: the rounding error of storing a value, relative to it.
inline double rounding(DType type) { return type == DType::bf16 ? 0x1p-8 : type == DType::fp16 ? 0x1p-11 : 0x1p-24; }

/// A tensor in memory whose rows may be further apart than they are long; the gaps hold a sentinel.
class Tensor {
public:
    Tensor(DType type, std::int64_t rows, std::int64_t columns, std::int64_t gap = 0)
        : type_(type),
          rows_(rows),
          columns_(columns),
          stride_(columns + gap),
          bytes_(static_cast<std::size_t>(rows * stride_ * size_of(type)), std::byte{0x7e}) {}
    Tensor(DType type, const Matrix& matrix, std::int64_t gap = 0) : Tensor(type, matrix.rows, matrix.columns, gap) {
        for (std::int64_t r = 0; r < rows_; ++r)
            for (std::int64_t c = 0; c < columns_; ++c) set(r, c, matrix(r, c));
    }

    [[nodiscard]] TensorView view() { return {bytes_.data(), rows_, columns_, stride_, type_}; }
    /// Columns [begin, begin + count) of every row.
    [[nodiscard]] TensorView columns(std::int64_t begin, std::int64_t count) {
        return {bytes_.data() + begin * size_of(type_), rows_, count, stride_, type_};
    }
    [[nodiscard]] Matrix matrix() const {
        Matrix result(rows_, columns_);
        for (std::int64_t r = 0; r < rows_; ++r)
            for (std::int64_t c = 0; c < columns_; ++c) result(r, c) = get(r, c);
        return result;
    }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
    /// Nothing was written between the rows.
    [[nodiscard]] bool gaps_untouched() const {
        for (std::int64_t r = 0; r < rows_; ++r)
            for (std::int64_t i = (r * stride_ + columns_) * size_of(type_); i < (r + 1) * stride_ * size_of(type_); ++i)
                if (bytes_[static_cast<std::size_t>(i)] != std::byte{0x7e}) return false;
        return true;
    }
    [[nodiscard]] double get(std::int64_t r, std::int64_t c) const {
        const std::byte* at = bytes_.data() + (r * stride_ + c) * size_of(type_);
        if (type_ == DType::fp32) return *reinterpret_cast<const float*>(at);
        const auto bits = *reinterpret_cast<const std::uint16_t*>(at);
        return type_ == DType::bf16 ? bf16_to_float(bits) : fp16_to_float(bits);
    }
    void set(std::int64_t r, std::int64_t c, double value) {
        std::byte* at = bytes_.data() + (r * stride_ + c) * size_of(type_);
        const auto single = static_cast<float>(value);
        if (type_ == DType::fp32)
            *reinterpret_cast<float*>(at) = single;
        else
            *reinterpret_cast<std::uint16_t*>(at) = type_ == DType::bf16 ? float_to_bf16(single) : float_to_fp16(single);
    }

private:
    DType type_;
    std::int64_t rows_, columns_, stride_;
    std::vector<std::byte> bytes_;
};

/// Runs a kernel; `operands` leaves the workspace out, which is made exactly as large as workspace_bytes says.
inline void run(kernel::Kernel kernel, const kernel::Attributes& attributes, std::vector<TensorView> operands, DType type,
                Workers* workers = nullptr) {
    const int threads = workers == nullptr ? 1 : workers->threads();
    const std::int64_t bytes = kernel::workspace_bytes(kernel, attributes, type, kernel::Library::host, threads);
    std::vector<float> workspace(static_cast<std::size_t>(bytes / 4));
    const auto specs = kernel::operands(kernel);
    for (std::size_t i = 0; i < specs.size(); ++i) {
        if (specs[i].name != "workspace") continue;
        operands.insert(operands.begin() + static_cast<std::ptrdiff_t>(i),
                        TensorView{bytes == 0 ? nullptr : workspace.data(), 1, bytes, bytes, DType::uint8});
    }
    ASSERT_EQ(operands.size(), specs.size());
    host::run_kernel(
        {.kernel = kernel, .attributes = attributes, .operands = operands, .range = {}, .context = {.workers = workers}});
}

/// Every element within `tolerance` times the reference's largest, or times 0.1 where all of it is smaller: inputs are of size 1,
/// and what cancels to zero keeps their rounding errors.
inline void expect_close(const Matrix& actual, const Matrix& expected, double tolerance, const std::string& what) {
    ASSERT_EQ(actual.values.size(), expected.values.size()) << what;
    const double scale = std::max(expected.largest(), 0.1);
    for (std::int64_t r = 0; r < expected.rows; ++r)
        for (std::int64_t c = 0; c < expected.columns; ++c)
            ASSERT_NEAR(actual(r, c), expected(r, c), tolerance * scale) << what << " at " << r << ", " << c;
}

/// d objective / d each element of `input`, by central differences in fp64.
inline Matrix numeric_gradient(Matrix& input, const std::function<double()>& objective) {
    constexpr double step = 1e-5;
    Matrix result(input.rows, input.columns);
    for (std::size_t i = 0; i < input.values.size(); ++i) {
        const double value = input.values[i];
        input.values[i] = value + step;
        const double above = objective();
        input.values[i] = value - step;
        const double below = objective();
        input.values[i] = value;
        result.values[i] = (above - below) / (2 * step);
    }
    return result;
}

/// Sum of elementwise products: the objective whose gradient with respect to `x` is `weights`.
inline double inner_product(const Matrix& x, const Matrix& weights) {
    double result = 0;
    for (std::size_t i = 0; i < x.values.size(); ++i) result += x.values[i] * weights.values[i];
    return result;
}

} // namespace zerosim::device::test
