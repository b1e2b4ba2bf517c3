// ZeRO stage 3 as a training step: construction, module hooks, the step by sub-groups, persisted parameters gathered again.
// Built by plan_deepspeed; leaves fetching to ParameterCoordinator and reducing to ShardedGradients.
// Source: DeepSpeed runtime/zero/stage3.py, DeepSpeedZeroOptimizer_Stage3.
#pragma once

#include "strategy/deepspeed/parameter_coordinator.hpp"
#include "strategy/deepspeed/sharded_gradients.hpp"
#include "strategy/torch/training_step.hpp"

namespace zerosim::strategy::deepspeed {

class ShardedOptimizer {
public:
    ShardedOptimizer(Engine& engine, torch::LanguageModel& model);
    void initialize();
    [[nodiscard]] torch::StepHooks hooks();

private:
    /// Whole parameters of one group, until there are sub_group_size elements of shards.
    struct SubGroup {
        std::vector<ShardedParameter*> parameters;
        std::int64_t elements = 0;              // of shards
        bool decays = false, offloaded = false; // offloaded: states on the host, or
        bool swapped = false;                   // in a file
        bool in_file = false;                   // the shards themselves
        TensorId flat;                          // the shards, in the compute dtype
        Value master, first_moment, second_moment, gradient;
        [[nodiscard]] bool aliased() const { return !master.defined(); } // fp32: the shards are the master weights
    };
    void make_sub_groups();
    void place_shards();
    void place_frozen();
    void assign_shards(SubGroup& group, TensorId flat, std::int64_t& at);
    void make_swap_buffers();
    [[nodiscard]] Value make_state(const SubGroup& group, std::string_view name, Role role);
    void update_swapped(SubGroup& group);
    void store(SubGroup& group, TensorId master);
    void make_master(SubGroup& group);
    void make_moments(SubGroup& group);
    void step();
    void update_on_device(SubGroup& group);
    void update_on_host(SubGroup& group);
    [[nodiscard]] TensorId flatten(SubGroup& group, Value& room);
    [[nodiscard]] std::vector<schedule::ShardRange> ranges(const SubGroup& group) const;

    Engine& engine_;
    torch::LanguageModel& model_;
    ShardedParameters parameters_;
    ShardedGradients gradients_;
    ParameterCoordinator coordinator_;
    std::vector<SubGroup> groups_;
    Value shards_, file_;                  // trainable shards, defragmented; those in a file
    std::vector<Value> parameter_buffers_; // pinned; a shard read from its file goes through one
    std::vector<Value> state_buffers_;     // pinned: master, moments and gradient of the sub-group whose turn it is
    std::size_t next_buffer_ = 0;
    int micro_batch_ = -1;
};

} // namespace zerosim::strategy::deepspeed
