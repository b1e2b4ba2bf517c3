// Work of an op: FLOPs and compulsory bytes, by its kernel's formula or its operands' sizes.
// Called by analysis/ (roofline, hardware FLOPs) and cost/.
// Never a duration, and 0 for collectives: their work is message bytes (schedule.hpp).
#pragma once

#include "kernel/work.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::schedule {

/// Activations and weights of a kernel's call share a dtype: its first floating-point operand's.
[[nodiscard]] DType compute_dtype(const Program& program, const Op& op);

/// Of the tensor's elements; 0 for an absent operand.
[[nodiscard]] double bytes_of(const Program& program, TensorId id);
/// Of all operands, once each.
[[nodiscard]] double operand_bytes(const Program& program, const Op& op);

/// Copies: what is read and written, once each. An eager framework's element-wise kernel: its operands, in their own dtypes and shapes.
[[nodiscard]] kernel::Work op_work(const Program& program, const Op& op);

}  // namespace zerosim::schedule
