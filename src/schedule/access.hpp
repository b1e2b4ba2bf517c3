// Which bytes an op reads and writes: the basis of the validator's ordering rule, of `--check-numerics` and of dumps.
// Called by validate_program, dump and exec/.
// Does not know lifetimes.
#pragma once

#include "schedule/schedule.hpp"

#include <vector>

namespace zerosim::schedule {

/// Reads and writes of one op, operand by operand. Storages (alloc, free) are not operands.
struct OperandAccess {
    TensorId tensor;
    bool reads = false, writes = false;
};
/// Clears and fills `out` (reused by callers that walk a whole program).
void accesses(const Program& program, const Op& op, std::vector<OperandAccess>& out);

}  // namespace zerosim::schedule
