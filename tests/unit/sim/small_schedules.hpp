// Schedules for the simulator's tests: ops whose durations are chosen in nanoseconds, on a cluster where bytes are nanoseconds.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/builder.hpp"

#include <string>

namespace zerosim::test {

/// 1 byte of memory traffic = 1 ns = 1 byte over a link; no latencies.
inline cluster::Cluster unit_cluster(double host_issue_seconds = 0) {
    cluster::Cluster cluster;
    cluster.name = "unit";
    cluster.device.memory_bytes_per_second = 1e9;
    cluster.device.fp32_flops = cluster.device.bf16_flops = cluster.device.fp16_flops = 1e12;
    cluster.device.host_issue_seconds = host_issue_seconds;
    cluster.devices_per_node = 1024;
    cluster.intra_node.bytes_per_second = 1e9;
    return cluster;
}

/// A program under construction with one pool and a few streams; work of `ns` nanoseconds is a fill of that many bytes.
struct SmallProgram {
    explicit SmallProgram(schedule::Schedule& schedule, int stream_count = 2) : builder(schedule) {
        for (int i = 0; i < stream_count; ++i)
            streams.push_back(builder.stream("stream" + std::to_string(i), schedule::StreamKind::compute));
        pool = builder.pool("pool", streams[0]);
        arena = builder.storage("arena", 1 << 20, pool, schedule::Role::workspace);
    }
    OpId work(int stream, std::int64_t ns, std::vector<OpId> deps = {}) {
        const TensorId tensor = builder.tensor("work", arena, DType::uint8, 1, ns);
        return builder.fill(streams[static_cast<std::size_t>(stream)], tensor, 0.0, deps);
    }
    /// An all-gather whose larger buffer has `bytes` bytes.
    OpId gather(int stream, AxisId axis, std::int64_t bytes, std::vector<OpId> deps = {}, std::int32_t launch_group = -1) {
        schedule::Collective collective;
        collective.kind = CollectiveKind::all_gather;
        collective.axis = axis;
        collective.receive = builder.tensor("gathered", arena, DType::uint8, 1, bytes);
        collective.send = collective.receive;
        collective.launch_group = launch_group;
        return builder.collective(streams[static_cast<std::size_t>(stream)], "gather", collective, deps);
    }
    schedule::ProgramBuilder builder;
    std::vector<StreamId> streams;
    PoolId pool;
    StorageId arena;
};

/// One role of all ranks for every program of the schedule, `counts` ranks each.
inline void add_roles(schedule::Schedule& schedule, const std::vector<std::int64_t>& counts) {
    schedule.ranks = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        schedule.roles.push_back({static_cast<std::uint32_t>(i), schedule.ranks, counts[i]});
        schedule.ranks += counts[i];
    }
}

inline AxisId add_axis(schedule::Schedule& schedule, std::int64_t size, std::int64_t stride) {
    schedule.axes.push_back({schedule.names.intern("axis" + std::to_string(schedule.axes.size())), size, stride});
    return AxisId{schedule.axes.size() - 1};
}

} // namespace zerosim::test
