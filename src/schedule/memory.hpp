// Folds over a program in issue order: live bytes after each op, peaks by phase, bytes by role at any op.
// Used by analysis/ (predicted memory), sim/, tests (handed out = predicted) and the arena planner.
// Knows requested bytes only; allocators (rounding, segments) are modelled in sim/.
#pragma once

#include "schedule/schedule.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace zerosim::schedule {

using RoleBytes = std::array<std::int64_t, static_cast<std::size_t>(Role::count_)>;

struct MemoryProfile {
    std::int64_t after_init = 0, after_first = 0, after_step = 0;
    std::int64_t init_peak = 0, first_step_peak = 0, peak = 0;         // peak: of a steady step
    std::int64_t forward_peak = 0, backward_peak = 0, optimizer_peak = 0;
    OpId peak_op;
    RoleBytes at_peak{}, after_step_by_role{};
};
/// Device-space bytes of `rank`. O(ops).
[[nodiscard]] MemoryProfile memory_profile(const Schedule& schedule, std::int64_t rank);
/// Live device bytes after each op of [begin, end) given the bytes live before.
[[nodiscard]] std::vector<std::int64_t> live_bytes(const Program& program, std::size_t begin, std::size_t end, std::int64_t before);

/// Offsets planned ahead: every storage of a pool gets a fixed offset in the pool's arena.
struct ArenaPlan {
    std::vector<std::int64_t> offsets;       // by storage, in its pool's arena
    std::vector<std::int64_t> pool_bytes;    // by pool
    std::vector<std::int64_t> pool_lower_bounds;  // max live bytes of the pool (each storage rounded to the alignment)
    [[nodiscard]] std::int64_t total_bytes() const;
    [[nodiscard]] std::int64_t lower_bound() const;
};
inline constexpr std::int64_t kArenaAlignment = 64;  // a cache line, and what AVX-512 loads like
[[nodiscard]] ArenaPlan plan_arena(const Program& program);

}  // namespace zerosim::schedule
