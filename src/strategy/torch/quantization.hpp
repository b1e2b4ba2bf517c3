// How frozen weights are packed: what is stored of a matrix, and how it is widened again for a product.
// Used by the planners, which allocate the parts, by linear(), and by reports that count parameters' bytes.
// Knows no values: nothing is quantized here.
#pragma once

#include "strategy/torch/tape.hpp"

#include <string_view>
#include <vector>

namespace zerosim::strategy::torch {

/// One tensor of a packed matrix; the first is its data, the others are statistics and code books.
struct PackedPart {
    std::string_view name;
    std::int64_t bytes = 0;
};

/// Of a [rows, columns] matrix with `rows` outputs. Sources: bitsandbytes functional.py (quantize_4bit, int8_vectorwise_quant), modules.py;
/// AutoGPTQ qlinear_cuda_old.py; torchao dtypes/nf4tensor.py.
[[nodiscard]] std::vector<PackedPart> packed_parts(WeightFormat format, std::int64_t rows, std::int64_t columns);

/// How many of these parts, the first ones, FSDP2 shards and gathers: of bitsandbytes' Params4bit the data alone (its statistics are no tensor that
/// FSDP sees), of torchao's NF4Tensor also the scalers and their factors (fsdp_pre_all_gather).
[[nodiscard]] std::size_t sharded_parts(WeightFormat format);

/// Bytes of a parameter as it is stored; `density`: share of a frozen matrix's elements that sparse storage keeps, beside 1 bit an element.
[[nodiscard]] std::int64_t stored_bytes(const Parameter& parameter, double density);

/// Stored as a vector of bytes: quantized or sparse. The planner that allocates a parameter says so by its value's dtype.
[[nodiscard]] inline bool is_packed(const Parameter& parameter) { return parameter.value.dtype == DType::uint8; }

/// Whether a frozen parameter is stored packed, with this density.
[[nodiscard]] bool packs(const Parameter& parameter, double density);
/// Allocates a packed parameter for good: its data, a vector of bytes, and scales and code books.
void place_packed(Tape& tape, Parameter& parameter, double density);

/// F.linear with a packed weight. Sparse and int8 ones are multiplied as they lie; NF4 is widened for the product and dropped, and again in
/// backward; a widened int4 weight is kept, as AutoGPTQ's QuantLinear is made of ordinary operations.
[[nodiscard]] Value quantized_linear(Tape& tape, const Value& x, Parameter& weight, Parameter* bias);

}  // namespace zerosim::strategy::torch
