#include "schedule/memory.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <numeric>

namespace zerosim::schedule {
namespace {

/// Bytes of device-space storages that `op` adds (negative: gives back).
std::int64_t delta(const Program& program, const Op& op) {
    if (op.kind != OpKind::alloc && op.kind != OpKind::free) return 0;
    const Storage& storage = program.storage(op.storage);
    if (storage.space != Space::device) return 0;
    return op.kind == OpKind::alloc ? storage.bytes : -storage.bytes;
}

/// The coordinate that sharded storages of `rank` refer to: that of the schedule's first axis (one shard axis per program).
std::int64_t shard_coordinate(const Schedule& schedule, std::int64_t rank) {
    return schedule.axes.empty() ? 0 : schedule.axes.front().coordinate(rank);
}

/// Bytes live so far, by role too, and the peaks of the segment that ran last.
struct Fold {
    std::int64_t coordinate = 0;
    std::int64_t live = 0, peak = 0;
    std::size_t peak_op = 0;
    std::array<std::int64_t, 4> phase_peaks{};
    RoleBytes roles{}, at_peak{};

    void add(const Program& program, const Op& op) {
        const std::int64_t bytes = delta(program, op);
        if (bytes == 0) return;
        live += bytes;
        const Storage& storage = program.storage(op.storage);
        const std::int64_t payload = bytes > 0 ? storage.payload(coordinate) : -storage.payload(coordinate);
        roles[static_cast<std::size_t>(storage.role)] += payload;
        roles[static_cast<std::size_t>(Role::padding)] += bytes - payload;
    }

    void run(const Program& program, std::size_t begin, std::size_t end) {
        peak = live;
        peak_op = begin;
        at_peak = {};
        for (std::size_t i = begin; i < end; ++i) {
            add(program, program.ops[i]);
            auto& phase_peak = phase_peaks[static_cast<std::size_t>(program.ops[i].tags.phase)];
            phase_peak = std::max(phase_peak, live);
            if (live > peak) {
                peak = live;
                peak_op = i;
            }
            if (i == peak_op) at_peak = roles;
        }
    }
};

}  // namespace

std::vector<std::int64_t> live_bytes(const Program& program, std::size_t begin, std::size_t end, std::int64_t before) {
    std::vector<std::int64_t> result;
    result.reserve(end - begin);
    for (std::size_t i = begin; i < end; ++i) result.push_back(before += delta(program, program.ops[i]));
    return result;
}

MemoryProfile memory_profile(const Schedule& schedule, std::int64_t rank) {
    const Program& program = schedule.program_of(rank);
    MemoryProfile profile;
    Fold fold{.coordinate = shard_coordinate(schedule, rank)};
    fold.run(program, 0, program.first_begin);
    profile.after_init = fold.live;
    profile.init_peak = fold.peak;
    if (program.first_begin != program.steady_begin) {
        fold.run(program, program.first_begin, program.steady_begin);
        profile.first_step_peak = fold.peak;
    }
    profile.after_first = fold.live;
    fold.phase_peaks = {};
    fold.run(program, program.steady_begin, program.ops.size());
    if (program.first_begin == program.steady_begin) {
        profile.first_step_peak = fold.peak;
        profile.after_first = fold.live;
    }
    profile.after_step = fold.live;
    profile.peak = fold.peak;
    profile.peak_op = OpId{fold.peak_op};
    profile.forward_peak = fold.phase_peaks[static_cast<std::size_t>(Phase::forward)];
    profile.backward_peak = fold.phase_peaks[static_cast<std::size_t>(Phase::backward)];
    profile.optimizer_peak = fold.phase_peaks[static_cast<std::size_t>(Phase::optimizer)];
    profile.at_peak = fold.at_peak;
    profile.after_step_by_role = fold.roles;
    return profile;
}

std::int64_t ArenaPlan::total_bytes() const { return std::accumulate(pool_bytes.begin(), pool_bytes.end(), std::int64_t{0}); }
std::int64_t ArenaPlan::lower_bound() const {
    return std::accumulate(pool_lower_bounds.begin(), pool_lower_bounds.end(), std::int64_t{0});
}

}  // namespace zerosim::schedule
