// ZeRO stage 3: every parameter flattened, padded to a multiple of the ranks and cut into equal shards; gathered before use, released after.
// Used by ParameterCoordinator, which decides when, and by ShardedOptimizer, which owns the shards' flat buffers.
// Source: DeepSpeed runtime/zero/partition_parameters.py.
#pragma once

#include "strategy/deepspeed/engine.hpp"

#include <deque>
#include <memory>
#include <unordered_map>

namespace zerosim::strategy::deepspeed {

struct GatherHandle;

enum class Status : std::uint8_t { not_available, in_flight, available };

struct ShardedParameter {
    Parameter* parameter = nullptr;
    std::int64_t elements = 0, shard = 0; // shard = ceil(elements / ranks)
    bool persists = false;                // stays gathered from one step to the next
    LayoutId layout;
    int id = 0;            // ds_id: the order of definition
    Value built;           // the shard as zero.Init leaves it
    TensorId shard_tensor; // this rank's elements, on the device or the host
    TensorId file_tensor;  // where they lie in a file, if there
    /// A gathered copy: as the kernels see it, as one row with padding, and as a row a rank.
    struct Whole {
        StorageId storage;
        TensorId shaped, flat, by_rank;
    };
    Whole gathered, kept; // from the gather stream's pool; persisted between steps: from the default one
    Status status = Status::not_available;
    bool is_kept = false;                    // the copy in use is `kept`
    std::vector<const void*> active_modules; // that have fetched it and not released it
    std::int64_t last_fetched_for = 0;       // step of the trace
    std::shared_ptr<GatherHandle> handle;    // while in flight, or gathered with others that are
};

/// One collective for several parameters [AllGatherCoalescedHandle]; their flat buffer lives until the last of them is asked for.
struct GatherHandle {
    std::vector<ShardedParameter*> members;
    Value flat;
    OpId done;
    bool complete = false;
};

class ShardedParameters {
public:
    ShardedParameters(Engine& engine, torch::LanguageModel& model);

    /// Storages of whole parameters; the model's construction under zero.Init: made whole, broadcast, sharded.
    void construct();
    /// create_reduce_and_remove_grad_hooks gathers and releases each parameter once.
    void visit_all();
    [[nodiscard]] std::deque<ShardedParameter>& all() { return all_; }
    [[nodiscard]] ShardedParameter& of(const Parameter* parameter) { return *by_parameter_.at(parameter); }

    /// [all_gather_coalesced] of parameters that are not available.
    void gather(const std::vector<ShardedParameter*>& parameters);
    /// [handle.wait]: parts are copied into parameters. Returns the event of its end.
    [[nodiscard]] OpId wait(ShardedParameter& parameter);
    /// [free_param]; on several ranks its memory may still be in use.
    void release(ShardedParameter& parameter);
    /// [_allgather_params_coalesced] after the step: a collective for each, on the default stream.
    void gather_persistent();
    [[nodiscard]] bool offloads() const { return engine_.scenario.strategy.parameters_at != Placement::device; }
    /// Device copies of shards that lie on the host or in a file.
    [[nodiscard]] TensorId on_device(ShardedParameter& parameter, StreamId stream, Value& room);

private:
    [[nodiscard]] ShardedParameter::Whole declare_whole(const ShardedParameter& p, PoolId pool) const;
    [[nodiscard]] TensorId shaped(const ShardedParameter& p, TensorId flat) const;
    void use(ShardedParameter& p, bool kept);
    void gather_alone(ShardedParameter& p, GatherHandle& handle);
    void gather_together(GatherHandle& handle);
    void view_shard(ShardedParameter& p);

    Engine& engine_;
    torch::LanguageModel& model_;
    std::deque<ShardedParameter> all_;
    std::unordered_map<const Parameter*, ShardedParameter*> by_parameter_;
};

} // namespace zerosim::strategy::deepspeed
