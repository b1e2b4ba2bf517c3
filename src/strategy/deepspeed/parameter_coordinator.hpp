// PartitionedParameterCoordinator: fetches a module's parameters before it runs, prefetches those of the recorded trace, releases what is
// not used again soon.
// Hooked into the tape's module calls by ShardedOptimizer. Source: DeepSpeed runtime/zero/partitioned_param_coordinator.py.
#pragma once

#include "strategy/deepspeed/module_calls.hpp"
#include "strategy/deepspeed/sharded_parameters.hpp"

#include <deque>
#include <unordered_map>

namespace zerosim::strategy::deepspeed {

class ParameterCoordinator {
public:
    ParameterCoordinator(Engine& engine, ShardedParameters& parameters)
        : engine_(engine), parameters_(parameters), containers_(engine.scenario.model) {}

    /// Hooks of a module call; see Tape::before_module.
    [[nodiscard]] Value before(const torch::ModuleCall& call, const Value& input);
    [[nodiscard]] Value after(const torch::ModuleCall& call, const Value& output);
    /// [reset_step] before each micro-batch: the first records, all others follow the record.
    void begin_micro_batch(bool first_of_step);
    /// [partition_all_parameters] before the step.
    void release_all();

private:
    struct Module {
        std::vector<ShardedParameter*> parameters;
    };
    struct Use {
        ShardedParameter* parameter = nullptr;
        std::int64_t step = 0;
    };
    [[nodiscard]] Module& module_of(const torch::ModuleCall& call);
    void fetch(Module& module);
    void fetch_containers(int count);
    void prefetch(const Module& module);
    void release(Module& module);
    [[nodiscard]] bool used_again(const ShardedParameter& parameter) const;
    void throttle();
    void complete_trace();

    Engine& engine_;
    ShardedParameters& parameters_;
    Containers containers_;
    std::unordered_map<const Parameter*, Module> modules_, embeddings_; // by weight; a tied table is both
    Module container_;                                                  // without parameters of its own
    std::deque<OpId> fetch_events_;
    bool recorded_ = false, recording_ = false;
    std::vector<const Module*> module_order_;
    std::vector<Use> parameter_order_;
    std::size_t next_use_ = 0; // queue of uses not yet fetched for
    std::int64_t step_ = 0, available_ = 0;
};

} // namespace zerosim::strategy::deepspeed
