#include "device/host_kernels/sgemm.hpp"

#ifdef ZEROSIM_OPENBLAS
#include "base/error.hpp"

#include <cblas.h>
#include <algorithm>
#include <limits>
#include <mutex>
#endif

namespace zerosim::device::host {

#ifdef ZEROSIM_OPENBLAS

void sgemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, float alpha, const MatrixOperand& a,
           const MatrixOperand& b, float beta, float* c, std::int64_t c_stride) {
    if (rows == 0 || columns == 0) return;
    // OpenBLAS' own threads would compete with Workers'; the setting is the library's, so it is made once for the process.
    static std::once_flag single_threaded;
    std::call_once(single_threaded, [] { openblas_set_num_threads(1); });
    const auto narrow = [](std::int64_t value) {
        check(value <= std::numeric_limits<blasint>::max(), "sgemm: a dimension does not fit BLAS' integers");
        return static_cast<blasint>(value);
    };
    // A stride of a one-row matrix may be anything; BLAS insists on at least the row's length.
    const std::int64_t a_width = a.transposed ? rows : depth, b_width = b.transposed ? depth : columns;
    cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, b.transposed ? CblasTrans : CblasNoTrans, narrow(rows),
                narrow(columns), narrow(depth), alpha, a.data, narrow(std::max<std::int64_t>({a.stride, a_width, 1})), b.data,
                narrow(std::max<std::int64_t>({b.stride, b_width, 1})), beta, c, narrow(std::max(c_stride, columns)));
}

#else

namespace {

/// c[j] += factor * op(B)[p, j] for all columns j, or one dot product a column where B is transposed.
void add_row_product(const float* a_row, std::int64_t a_step, std::int64_t columns, std::int64_t depth, float alpha,
                     const MatrixOperand& b, float* c_row) {
    if (b.transposed) {
        for (std::int64_t j = 0; j < columns; ++j) {
            float sum = 0;
            for (std::int64_t p = 0; p < depth; ++p) sum += a_row[p * a_step] * b.data[j * b.stride + p];
            c_row[j] += alpha * sum;
        }
        return;
    }
    for (std::int64_t p = 0; p < depth; ++p) {
        const float factor = alpha * a_row[p * a_step];
        for (std::int64_t j = 0; j < columns; ++j) c_row[j] += factor * b.data[p * b.stride + j];
    }
}

} // namespace

void sgemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, float alpha, const MatrixOperand& a,
           const MatrixOperand& b, float beta, float* c, std::int64_t c_stride) {
    for (std::int64_t i = 0; i < rows; ++i) {
        float* c_row = c + i * c_stride;
        for (std::int64_t j = 0; j < columns; ++j) c_row[j] = beta == 0 ? 0 : beta * c_row[j];
        add_row_product(a.data + (a.transposed ? i : i * a.stride), a.transposed ? a.stride : 1, columns, depth, alpha, b, c_row);
    }
}

#endif

} // namespace zerosim::device::host
