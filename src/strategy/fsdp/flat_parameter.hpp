// FlatParamHandle of FSDP1: the parameters of one wrapped module laid end to end, sharded, gathered, and their gradients reduced.
// Driven by the planner's hooks in the order in which FullyShardedDataParallel's run.
// Knows no prefetch policy and no rate limit: see planner.cpp.
// Sources: torch/distributed/fsdp/{_flat_param,_runtime_utils}.py.
#pragma once

#include "strategy/torch/optimizer.hpp"
#include "strategy/torch/sharded_mesh.hpp"

#include <vector>

namespace zerosim::strategy::fsdp {

using torch::Buffer;
using torch::Parameter;
using torch::Tape;
using torch::Value;

/// Streams and their memory pools, mesh axes, dtypes, and the state that all handles share.
struct Comm : torch::ShardedMesh {
    StreamId compute, pre_unshard, unshard, post_backward, all_reduce, nccl, nccl_replicate;
    PoolId compute_pool, pre_unshard_pool, unshard_pool, post_backward_pool, all_reduce_pool, host_pool;
    bool reshard_after_forward = true;    // FULL_SHARD; false: SHARD_GRAD_OP
    bool original_parameters = true;
    bool states_of_rank_0 = true;         // the optimizer's tensors are rank 0's parts of parameters; false: one flat shard a unit, on all ranks alike
    bool synchronize = true;              // gradients of this micro-batch are reduced
    double predivide = 1, postdivide = 1;   // of gradients, around their reduction
};

class FlatParameter {
public:
    FlatParameter(Tape& tape, Comm& comm, std::vector<Parameter*> parameters, int layer);

    /// The module is materialized, flattened and sharded; what is left is this rank's shard.
    void shard();
    /// [init_flat_param_attributes]: tensors made to learn their sizes, and freed at once, before the first forward.
    void initialize_attributes();

    [[nodiscard]] bool gathered() const { return gathered_; }
    /// The low-precision copy of the shard on its stream [pre_unshard]. Nothing to do if the unit is still gathered.
    void pre_unshard();
    /// The all-gather into the padded unsharded flat parameter [unshard, post_unshard].
    void unshard();
    /// The compute stream waits for the gather.
    void wait_for_unshard();
    /// New views of the flat parameter for autograd: one split and a view of each parameter [_use_unsharded_views].
    void use_unsharded_views();
    /// Frees the unsharded flat parameter; returns the event after which its memory may be used again.
    OpId reshard();
    void reduce_gradient();
    void drop_gradient();
    /// What the optimizer updates: rank 0's parts of the parameters, or the flat shard as one tensor.
    [[nodiscard]] std::vector<torch::Updated> updated();
    /// Runs when the flat gradient has been accumulated [_post_backward_hook].
    std::function<void()> after_accumulate;

    bool prefetched = false;
    bool needs_pre_backward_unshard = false;

private:
    struct Member {
        Parameter* parameter = nullptr;
        std::int64_t offset = 0;   // elements
    };
    [[nodiscard]] bool casts() const { return comm_.shard_dtype != comm_.compute_dtype; }
    [[nodiscard]] bool sharded() const { return comm_.shard_ranks > 1; }
    void lay_out(const std::vector<Parameter*>& parameters);
    void zero_padding(const Value& whole);
    [[nodiscard]] schedule::ShardRange range() const { return {layout_, {0, shard_elements_, comm_.shard}, shard_elements_}; }
    void declare_storages();
    [[nodiscard]] Value flat(const char* name, std::int64_t elements, DType dtype, PoolId pool, schedule::Role role) const;
    void divide(StreamId stream, const Value& value, double divisor);
    void collective(StreamId nccl, StreamId from, const char* name, schedule::Collective c);
    void keep_shard(Value reduced, StreamId stream);
    [[nodiscard]] TensorId host_gradient();
    void make_parts();

    Tape& tape_;
    Comm& comm_;
    std::vector<Member> members_;
    int layer_;
    std::int64_t total_ = 0, shard_elements_ = 0;
    LayoutId layout_;
    StorageId shard_, whole_;
    TensorId shard_tensor_, whole_tensor_;
    Value low_precision_;              // _mp_shard, from pre_unshard to the gather
    Value uploaded_;                   // the offloaded shard on the device, without mixed precision
    TensorId source_;                  // what is gathered
    OpId unsharded_;                   // the gather, or NO_SHARD's copy
    Buffer whole_buffer_;
    bool gathered_ = false;
    torch::NodeRef accumulate_;
    Value gradient_;                   // of the unsharded flat parameter
    Value sharded_gradient_;           // _saved_grad_shard; offloaded: _cpu_grad
    Buffer host_gradient_;
    std::vector<torch::Updated> parts_;   // without their gradients
};

}  // namespace zerosim::strategy::fsdp
