// Gathers: where a module finds its whole parameters. Stages 0-2: in place. Stage 3: units are gathered ahead of their use, at most
// `prefetch-depth` units beyond the one computing, and freed after their last use in forward and again in backward.
// Used by plan_zerosim around each module. Does not compute.
#pragma once

#include "strategy/zerosim/emitter.hpp"
#include "strategy/zerosim/states.hpp"

#include <vector>

namespace zerosim::strategy::zerosim_system {

/// One pass through one module: 0 = embedding, 1 + l = block l, layers + 1 = head.
struct ModuleVisit {
    int module = 0;
    bool backward = false;
};

class Gathers {
public:
    Gathers(Context& context, Emitter& emitter, const States& states);

    /// All uses of units in the order of the step: call once before the first begin_use. One entry a module visit.
    void plan_uses(const std::vector<ModuleVisit>& visits);
    /// Gathers what the module visit needs (and prefetches), and makes the compute stream wait for it.
    void begin_use();
    /// Frees units whose last use of this forward or backward this was.
    void end_use();

    /// The whole parameter, valid between begin_use and end_use of its module.
    [[nodiscard]] TensorId parameter(std::int32_t index);

private:
    struct Visit {
        std::size_t unit;
        bool gathers, releases;
    };
    void gather(std::size_t unit);
    void release(std::size_t unit);
    [[nodiscard]] TensorId whole(std::size_t unit);

    Context& context_;
    Emitter& emitter_;
    const States& states_;
    std::vector<Visit> visits_;
    std::size_t current_ = 0;         // visit being computed
    std::size_t next_gather_ = 0;     // first visit not yet looked at for gathering
    std::vector<bool> gathered_;
    std::vector<OpId> gather_ops_, last_use_;
    std::vector<TensorId> whole_;
    std::vector<TensorId> parameters_;
};

}  // namespace zerosim::strategy::zerosim_system
