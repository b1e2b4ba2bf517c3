// The sum of the ranks' contributions, always in rank order: the same bits at every run and on every back end.
// Called by the host communicators; by tests as what they must equal.
// Does not communicate.
#pragma once

#include "base/collective.hpp"
#include "base/dtype.hpp"

#include <cstdint>
#include <span>

namespace zerosim::comm {

/// out[i] = ((s0[i] + s1[i]) + s2[i]) + ..., fp32, fp64 and integers in their own type; bf16 and fp16 add in fp32 and round once.
/// `out` may be one of the sources; otherwise nothing overlaps.
/// Reduction::average (floats only): times 1 / sources before it is rounded.
void rank_order_sum(DType dtype, std::span<const void* const> sources, void* out, std::int64_t count, Reduction reduction = Reduction::sum);

} // namespace zerosim::comm
