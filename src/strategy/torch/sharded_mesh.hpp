// The two axes that FSDP1 and FSDP2 shard and replicate over (HSDP: both), and the dtypes of shards, compute and reduction.
// Declared by the planners fsdp and fsdp2.
// Knows no stream: these differ between the two.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy::torch {

struct ShardedMesh {
    AxisId shard, replicate;
    std::int64_t shard_ranks = 1, replicas = 1;
    DType shard_dtype = DType::fp32, compute_dtype = DType::bf16, reduce_dtype = DType::fp32;
    bool offload = false;
};

/// Adds the axes to `schedule`: shards are of neighbouring ranks, replicas `shard_ranks` apart.
[[nodiscard]] ShardedMesh declare_sharded_mesh(schedule::Schedule& schedule, const Scenario& scenario);

}  // namespace zerosim::strategy::torch
