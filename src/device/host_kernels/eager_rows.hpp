// Operations of eager frameworks that are more than one element at a time: sums, softmax, rotary embeddings, heads, scalars.
// Called by eager(); operands a, b, c, out in the order of Kernel::elementwise.
// Does not choose the operation.
#pragma once

#include "device/host_kernels/elementwise.hpp"

namespace zerosim::device::host {

/// How a smaller second operand meets the rows and columns of the first (Attributes::broadcast_rows, broadcast_columns).
class Broadcast {
public:
    Broadcast(const TensorView& small, const kernel::Attributes& attributes);
    [[nodiscard]] bool active() const { return rows_ > 0; }
    /// `count` elements that meet (row, column ...).
    void load(const TensorView& small, std::int64_t row, std::int64_t column, std::int64_t count, Block& block) const;
    [[nodiscard]] std::int64_t rows() const { return rows_; }
    [[nodiscard]] std::int64_t columns() const { return columns_; }

private:
    std::int64_t rows_, columns_;
};

[[nodiscard]] inline std::int64_t row_grain(std::int64_t columns) { return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, columns)); }
/// Element `index` of a vector of 4- or 8-byte whole numbers.
[[nodiscard]] std::int64_t integer_at(const TensorView& view, std::int64_t index);

void row_mean(const KernelCall& call);
void row_mean_backward(const KernelCall& call);
void broadcast_sum(const KernelCall& call);
void concatenate(const KernelCall& call);
void slice_backward(const KernelCall& call);
void repeat_heads(const KernelCall& call);
void repeat_heads_backward(const KernelCall& call);
void sequence_numbers(const KernelCall& call);
void rotary_angles(const KernelCall& call);
void rotary_table(const KernelCall& call);
void rotate_by_table(const KernelCall& call, float direction);
void log_softmax(const KernelCall& call);
void log_softmax_backward(const KernelCall& call);
void negative_log_likelihood(const KernelCall& call);
void negative_log_likelihood_backward(const KernelCall& call);
void sum_of_squares(const KernelCall& call);
void clip_factor(const KernelCall& call);

}  // namespace zerosim::device::host
