// Durations: kernels by a roofline, collectives by alpha-beta per tier, copies by bandwidth.
// Called by sim/ and by exec/ for `--compute synthetic`.
// Does not schedule and does not know streams.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::cost {

/// Ranks on CPUs: which part of a collective's buffers, and of the transport's own memory, other work has driven out of the last-level
/// cache, and which out of the core's own cache at least (never less). 0 = none, as when it is repeated alone; 1 = all.
struct Coldness {
    double data = 0, transport = 0;
    double own_data = 0, own_transport = 0;
};
inline constexpr Coldness kCold{1, 1, 1, 1}, kShared{0, 0, 1, 1};

/// Seconds of one op on an idle device; collectives among the whole axis. alloc, free, mark, host_wait: 0.
[[nodiscard]] double op_seconds(const schedule::Schedule& schedule, const schedule::Program& program, const schedule::Op& op,
                                const cluster::Cluster& cluster, Coldness coldness = {});

/// A kernel on a device with `cores` cores (cluster::cores_per_rank; 1 on a GPU), as `software` runs it.
[[nodiscard]] double kernel_seconds(kernel::Kernel kernel, const kernel::Attributes& attributes, DType type,
                                    const cluster::DeviceSpec& device, double cores = 1.0,
                                    const cluster::Software& software = {});

/// A collective of `message_bytes` (larger buffer) among `ranks` ranks, `stride` apart in rank order. `world` = ranks that run at
/// once, which share the cores of a CPU node, and its cards where transport = network; 0 = ranks * stride.
[[nodiscard]] double collective_seconds(CollectiveKind kind, std::int64_t message_bytes, std::int64_t ranks, std::int64_t stride,
                                        const cluster::Cluster& cluster, std::int64_t world = 0, DType type = DType::fp32,
                                        Coldness coldness = {});

} // namespace zerosim::cost
