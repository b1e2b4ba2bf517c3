// Looking for numbers that are not finite: which op made the first one (--check-numerics).
// Called by the interpreter after each kernel when asked.
// Host memory only; does not repair.
#pragma once

#include "exec/rank_memory.hpp"

namespace zerosim::exec {

/// Throws VerificationError naming step, op and tensor if the op has written a NaN or an infinity.
void check_outputs(const schedule::Schedule& schedule, const schedule::Program& program, const RankMemory& memory, OpId op, int step);

}  // namespace zerosim::exec
