// The validator: checks that a schedule means something before any engine runs it (docs/schedule.md).
// Called by planners' tests, by `zerosim show --schedule` and before every run.
// Does not repair and does not simulate.
#pragma once

#include "schedule/schedule.hpp"

#include <string>
#include <vector>

namespace zerosim::schedule {

/// One violated rule: where and what. Empty result = valid.
struct Violation {
    std::int64_t rank = 0;
    OpId op;
    std::string what;
};

/// Types and ranges of every op; lifetimes (alloc before use, no use after free, freed once, views inside their storage);
/// ordering: every conflicting pair of uses on different streams, and every reuse of pool memory, is ordered by deps.
[[nodiscard]] std::vector<Violation> validate_program(const Schedule& schedule, const Program& program, std::int64_t rank);
/// k-th collective equal on every member of each group, and the merged graph of all ranks has no cycle.
[[nodiscard]] std::vector<Violation> validate_matching(const Schedule& schedule);
/// Both.
[[nodiscard]] std::vector<Violation> validate(const Schedule& schedule);

}  // namespace zerosim::schedule
