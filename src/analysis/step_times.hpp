// One step of one rank's trace, joined with its program: rows by op, on rank 0's clock.
// Built by analysis/ for every fold over a step.
// Does not interpret ops; see breakdown.hpp.
#pragma once

#include "schedule/schedule.hpp"
#include "trace/matching.hpp"
#include "trace/trace.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace zerosim::analysis {

struct StepTimes {
    const schedule::Program* program = nullptr;
    std::int32_t step = 0;
    std::size_t first_op = 0, last_op = 0;        // [first, last) of the step's segment
    std::vector<trace::OpTime> rows;              // aligned clock, in issue order
    std::vector<std::int32_t> row_of_op;          // by op - first_op; -1 = not in the trace
    /// By op - first_op, of collectives: when the last member began, aligned; the own begin when no peer's is known.
    std::vector<std::int64_t> last_begin;
    /// By op - first_op, of collectives: which member began last, by its index in the trace and its op; -1 = none known.
    struct Member {
        std::int32_t rank_index = -1;
        std::uint32_t op = 0;
    };
    std::vector<Member> last_member;
    std::int64_t start = 0, end = 0;              // first issue, last end

    [[nodiscard]] std::int64_t length() const { return end - start; }
    [[nodiscard]] const trace::OpTime* find(OpId op) const {
        if (op.index() < first_op || op.index() >= last_op) return nullptr;
        const std::int32_t row = row_of_op[op.index() - first_op];
        return row < 0 ? nullptr : &rows[static_cast<std::size_t>(row)];
    }
};

/// Steps of `rank_index` that the reported times are taken over: all after the first, or the first when there is no other.
[[nodiscard]] std::vector<StepTimes> timed_steps(const schedule::Schedule& schedule, const trace::Trace& trace,
                                                 std::span<const trace::MatchedCollective> matched, std::size_t rank_index);

/// One of these; nothing where the trace has no rows of it.
[[nodiscard]] std::optional<StepTimes> timed_step(const schedule::Schedule& schedule, const trace::Trace& trace,
                                                  std::span<const trace::MatchedCollective> matched, std::size_t rank_index, std::int32_t step);

}  // namespace zerosim::analysis
