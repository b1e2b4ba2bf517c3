// FSDPParamGroup: the parameters of one fully_shard call: sharded storages, all-gather, copy-out, reshard, reduce-scatter.
// Driven by the planner's hooks in the order in which FSDP2's run.
// Sources: torch/distributed/fsdp/_fully_shard/{_fsdp_param_group,_fsdp_collectives,_fsdp_param}.py.
#pragma once

#include "strategy/torch/optimizer.hpp"
#include "strategy/torch/sharded_mesh.hpp"

#include <optional>
#include <vector>

namespace zerosim::strategy::fsdp2 {

using torch::Buffer;
using torch::Parameter;
using torch::Tape;
using torch::Value;

/// Streams and their memory pools, mesh axes and dtypes, and what outlives a group's turn.
struct Comm : torch::ShardedMesh {
    StreamId compute, copy_in, gather, scatter, reduce;
    PoolId compute_pool, copy_in_pool, scatter_pool, reduce_pool, host_pool;
    bool synchronize = true;              // gradients are reduced after this micro-batch
    Buffer previous_gather;               // forward: freed after the next group's copy-out [AllGatherState]
    Buffer previous_reduce_input;         // freed before the next reduce-scatter [ReduceScatterState]
    std::vector<Buffer> all_reduce_inputs;   // held until the end of backward
    OpId last_reduction;
    OpId copied_out;                      // the copy-out of previous_gather

    /// [_wait_all_gather_streams_on_event]
    void gathers_wait(schedule::ProgramBuilder& program, OpId event) const {
        program.wait_event(copy_in, event);
        program.wait_event(gather, event);
    }
};

class ParameterGroup {
public:
    ParameterGroup(Tape& tape, Comm& comm, std::vector<Parameter*> parameters, bool reshard_after_forward, int layer);

    /// Init: storages of shards. `again` = a tied parameter that is visited twice: allocated anew, the first copy freed.
    void allocate_shard(Parameter* parameter, bool again);

    void unshard();
    void wait_for_unshard(bool forward);
    void after_forward() {
        if (reshard_after_forward_) reshard();
    }
    void reshard();
    void post_backward();
    [[nodiscard]] bool finished_backward() const { return finished_backward_; }
    void begin_backward() { finished_backward_ = false; }
    void drop_gradients() {
        gradients_.clear();
        for (Member& m : members_) m.gradient = {};
    }
    /// The shard of a trained parameter, as the optimizer sees it.
    [[nodiscard]] torch::Updated updated(const Parameter* parameter) const;

private:
    struct Member {
        Parameter* parameter = nullptr;
        std::int64_t shard_elements = 0;   // rank 0's, padded
        StorageId shard, whole;
        TensorId shard_tensor, whole_tensor;
        TensorId whole_by_rank;            // [ranks, shard_elements], padding included
        [[nodiscard]] schedule::ShardRange range(AxisId axis) const { return {parameter->layout, {0, shard_elements, axis}, shard_elements}; }
        Value upcast_gradient;             // unsharded gradient in the reduce dtype, without synchronisation
        TensorId gradient;                 // this rank's part, reduced
    };
    [[nodiscard]] Member packed_member(Parameter& parameter);
    void allocate_packed(Member& member);
    [[nodiscard]] bool casts() const { return comm_.shard_dtype != comm_.compute_dtype; }
    void gather();
    [[nodiscard]] std::vector<Buffer> copy_in(std::vector<TensorId>& sources);
    [[nodiscard]] std::int64_t shard_elements() const;
    void copy_directly();
    void copy_out();
    void accumulate_gradients();
    void keep_unsharded_gradients();
    /// A member's complete gradient, waiting to be reduced.
    struct Pending {
        Member* member;
        Value gradient;
    };
    void reduce(std::vector<Pending> pending, std::int64_t shard_elements);
    void chunk_cat(const std::vector<Pending>& pending, StorageId input, std::int64_t shard_elements);
    void keep(Buffer output, TensorId slice, StreamId stream, const std::vector<Member*>& members);
    void copy_to_host(TensorId gradients, const std::vector<Member*>& members);
    [[nodiscard]] Buffer scratch(const char* name, std::int64_t elements, DType dtype, PoolId pool, schedule::Role role, TensorId& tensor);

    Tape& tape_;
    Comm& comm_;
    std::vector<Member> members_;
    bool reshard_after_forward_;
    int layer_;
    bool sharded_ = true, finished_backward_ = false;
    std::optional<Buffer> gathered_;       // the all-gather's output; empty Buffer: one rank
    TensorId gathered_tensor_;
    OpId gather_op_;
    std::vector<Buffer> gradients_;        // reduce-scatter outputs, until zero_grad
};

}  // namespace zerosim::strategy::fsdp2
