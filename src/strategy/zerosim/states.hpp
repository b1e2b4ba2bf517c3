// Model states: the persistent storages of parameters, gradients, master weights and moments, whole or sharded as the stage says.
// Built once in the init segment by plan_zerosim; its tensors are what gathers, reductions, modules and the optimizer work on.
// Does not move anything between ranks.
#pragma once

#include "strategy/zerosim/context.hpp"

#include <vector>

namespace zerosim::strategy::zerosim_system {

/// What a stage shards (Rajbhandari et al. 2020, section 5). One rank shards nothing: its shard is the whole.
struct Sharding {
    bool optimizer = false, gradients = false, parameters = false;
    [[nodiscard]] static Sharding of(int stage, std::int64_t ranks) {
        return {ranks > 1 && stage >= 1, ranks > 1 && stage >= 2, ranks > 1 && stage >= 3};
    }
};

/// One unit's persistent tensors, each [1, n]. Invalid = does not exist.
struct UnitStates {
    TensorId parameter;        // whole (stages 0-2)
    TensorId parameter_shard;  // the slice this rank updates: a view of `parameter`, or stage 3's own storage
    TensorId gradient;         // whole and persistent (stages 0, 1)
    TensorId gradient_shard;   // what the optimizer reads: view of `gradient`, or a storage of its own (stages 2, 3)
    TensorId master, first_moment, second_moment;
};

struct Scalars {
    TensorId loss, norm_bins, loss_and_bins;   // fp64, adjacent: one all-reduce for both
    TensorId norm, factor, skip, step, loss_scale, good_steps;
};

struct States {
    Sharding sharding;
    std::vector<UnitStates> units;
    Scalars scalars;
    TensorId tokens, targets;
};

/// Emits the init segment: allocations, initial values, zeroed moments.
[[nodiscard]] States emit_states(Context& context);

}  // namespace zerosim::strategy::zerosim_system
