#include "strategy/torch/sharded_mesh.hpp"

namespace zerosim::strategy::torch {

ShardedMesh declare_sharded_mesh(schedule::Schedule& schedule, const Scenario& s) {
    ShardedMesh mesh;
    mesh.shard_ranks = s.strategy.shard_group == 0 ? s.ranks : s.strategy.shard_group;
    mesh.replicas = s.ranks / mesh.shard_ranks;
    mesh.shard = AxisId{schedule.axes.size()};
    schedule.axes.push_back({schedule.names.intern("shard"), mesh.shard_ranks, 1});
    mesh.replicate = AxisId{schedule.axes.size()};
    schedule.axes.push_back({schedule.names.intern("replicate"), mesh.replicas, mesh.shard_ranks});
    const Precision precision = s.training.precision;
    mesh.shard_dtype = precision == Precision::bf16 ? DType::bf16 : DType::fp32;
    mesh.compute_dtype = compute_dtype(precision);
    mesh.reduce_dtype = has_master_weights(precision) ? s.training.reduce_precision.value_or(DType::fp32) : mesh.shard_dtype;
    mesh.offload = s.strategy.parameters_at == Placement::cpu;
    return mesh;
}

}  // namespace zerosim::strategy::torch
