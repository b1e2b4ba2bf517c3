// The validator's first part: is each op, taken alone, well formed? Streams, operands, dtypes, shapes, views inside storages.
// Called by validate_program. Internal to schedule/.
// Does not look at order or lifetimes.
#pragma once

#include "schedule/validate.hpp"

namespace zerosim::schedule {

void validate_types(const Schedule& schedule, const Program& program, std::int64_t rank, std::vector<Violation>& violations);

}  // namespace zerosim::schedule
