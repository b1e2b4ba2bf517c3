// Which ends of ops a simulation must remember, and where: a column (one entry a lane) for each op whose end a later op asks for.
// Called by sim::simulate, once for each program.
// Holds no times. Columns are reused once the last op that asks has run, so that a clock for every rank fits in memory.
#pragma once

#include "schedule/schedule.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace zerosim::sim {

struct Ends {
    static constexpr std::int32_t kNone = -1;
    std::vector<std::int32_t> column;  // by op: where its end goes
    std::size_t columns = 0;
    std::vector<std::uint32_t> begins; // by op, and one more: into `needed`
    std::vector<std::uint32_t> needed; // columns of the deps that an op waits for
    [[nodiscard]] std::span<const std::uint32_t> needed_by(std::size_t op) const {
        return {needed.data() + begins[op], begins[op + 1] - begins[op]};
    }
};

/// Deps that say nothing new are left out: on an op of the same stream (first in, first out), on a host_wait (issued before), or of
/// a recorded free (memory only).
[[nodiscard]] Ends ends(const schedule::Program& program);

} // namespace zerosim::sim
