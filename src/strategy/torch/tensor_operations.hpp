// PyTorch's operations that move and group elements: views of columns, concatenation, rows by index, batched products, softmax.
// Called by the modules of families beyond gpt2 and llama (decoder*.cpp, experts.cpp, standard_attention.cpp).
// For planning: a host runs none of these modules.
// Sources: torch/csrc/autograd/FunctionsManual.cpp, native/{TensorShape,TensorAdvancedIndexing}.cpp, native/cuda/Indexing.cu.
#pragma once

#include "strategy/torch/tape.hpp"

namespace zerosim::strategy::torch {

/// The same elements as rows x columns.
[[nodiscard]] Value reshape(Tape& tape, const Value& x, std::int64_t rows, std::int64_t columns);
/// torch.split along columns: views; backward concatenates.
[[nodiscard]] Values split_columns(Tape& tape, const Value& x, const std::vector<std::int64_t>& widths);
/// x[..., from : from + width]: a view; backward writes into zeros of x's size [slice_backward].
[[nodiscard]] Value slice_columns(Tape& tape, const Value& x, std::int64_t from, std::int64_t width);
/// torch.cat along columns.
[[nodiscard]] Value concatenate(Tape& tape, const Value& a, const Value& b);
/// Each row seen `times` times without copying (expand); backward sums.
[[nodiscard]] Value expand_rows(Tape& tape, const Value& x, std::int64_t times);
/// `.float()` of a part of each head, which no two-dimensional view describes.
[[nodiscard]] Value upcast(Tape& tape, const Value& x);
/// A copy in another layout (contiguous(), reshape of a transposed view): backward is a view.
[[nodiscard]] Value contiguous(Tape& tape, std::string_view name, const Value& x);

/// x[index]; backward sorts the indices and adds rows into zeros [index_put_with_sort_kernel].
[[nodiscard]] Value gather_rows(Tape& tape, const Value& x, const Value& index);
/// zeros.index_add_(0, index, source): `zeros` is the result.
[[nodiscard]] Value index_add(Tape& tape, Value zeros, const Value& index, const Value& source);

/// `batch` products of together `rows` rows, each with a matrix of its own: bmm, _grouped_mm.
struct ProductShape {
    std::int64_t batch = 1, rows = 0, in = 0, out = 0;
};
[[nodiscard]] Value batched_product(Tape& tape, std::string_view name, const Value& a, const Value& b, const ProductShape& shape);
[[nodiscard]] Value softmax(Tape& tape, const Value& x);
/// What softmax, however its forward is made, leaves for backward: the probabilities `out`, kept, from which the scores' gradient is made.
void keep_probabilities(Tape& tape, const NodeRef& node, const Value& scores, Value& out);

}  // namespace zerosim::strategy::torch
