// Memory of one rank as reported: the schedule's profile, and what a device handed out against it at every op.
// Called by analyze().
// Models no allocator: reserved bytes come from whoever knows (an arena plan, sim/'s allocator model).
#pragma once

#include "analysis/run_report.hpp"
#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <optional>

namespace zerosim::analysis {

/// Bytes as a framework's caching allocator holds them: whole blocks, with what was left unsplit (sim/memory_replay).
struct AllocatorMemory {
    std::int64_t after_init = 0, after_step = 0, init_peak = 0, first_step_peak = 0;
    std::int64_t forward_peak = 0, backward_peak = 0, optimizer_peak = 0;
    AllocatorReport report;
};

/// What the schedule does not know about memory.
struct MemoryFacts {
    std::int64_t reserved_bytes = 0;       // 0 = what is allocated
    std::int64_t communicator_bytes = 0;   // 0 on hosts
    std::int64_t host_peak_bytes = 0, host_pinned_bytes = 0;
    std::optional<AllocatorMemory> allocator;   // the systems whose memory PyTorch manages; takes the place of the schedule's bytes
};

/// The schedule's numbers of `rank`.
[[nodiscard]] MemoryReport memory_report(const schedule::Schedule& schedule, std::int64_t rank, const cluster::Cluster& cluster,
                                         const MemoryFacts& facts);

/// Bytes handed out, folded over the rows of a measured trace.
struct HandedOut {
    std::int64_t after_init = 0, after_step = 0;
    std::int64_t init_peak = 0, first_step_peak = 0, peak = 0;    // peak: of the last step
    std::int64_t forward_peak = 0, backward_peak = 0, optimizer_peak = 0;
    std::int64_t largest_difference = 0;   // |handed out - schedule| after any op
    std::int64_t compared_ops = 0;         // 0 = the trace holds no bytes
};
[[nodiscard]] HandedOut handed_out(const schedule::Schedule& schedule, const trace::RankTrace& rank);
/// Puts the driver's figures of a run in the place of the cluster's context and communicators; `total`: of the device (-1: not told).
void use_driver(MemoryReport& report, DriverReport driver, std::int64_t total);
/// Puts measured bytes in the place of the schedule's.
void use_handed_out(MemoryReport& report, const HandedOut& measured);

}  // namespace zerosim::analysis
