// Reductions: where a module writes its parameters' gradients, and when a unit's gradients are reduced over the ranks.
// Stage 0 all-reduces, stage 1 reduce-scatters in place, both once a step; stages 2 and 3 reduce-scatter every micro-batch from
// transient whole-unit buffers, of which at most one is being reduced while another is being filled. Does not compute gradients.
#pragma once

#include "strategy/zerosim/emitter.hpp"
#include "strategy/zerosim/states.hpp"

#include <vector>

namespace zerosim::strategy::zerosim_system {

class Reductions {
public:
    Reductions(Context& context, Emitter& emitter, const States& states);

    void begin_micro_batch(int micro_batch);
    struct Target {
        TensorId tensor;      // invalid for an absent parameter
        bool accumulate;      // add to what is there
    };
    /// Where the next gradient of this parameter goes; allocates its unit's buffer at the first.
    [[nodiscard]] Target target(std::int32_t parameter);
    /// The op just emitted wrote this parameter's gradient; the unit is reduced once all of it is written.
    void written(std::int32_t parameter);
    /// At the end of each micro-batch's backward: nothing may be missing. The last reductions run on beside the next forward.
    void end_micro_batch();
    /// Frees the buffers still in flight. Before the optimizer.
    void drain() { free_reduced(0); }
    /// The reduction that the unit's optimizer must wait for; invalid for one rank.
    [[nodiscard]] OpId reduced(std::size_t unit) const { return reduce_ops_[unit]; }

private:
    void allocate(std::size_t unit);
    void reduce(std::size_t unit);
    void all_reduce(std::size_t unit);
    void reduce_scatter(std::size_t unit);
    void free_reduced(std::size_t keep);
    [[nodiscard]] TensorId whole(std::size_t unit);
    [[nodiscard]] TensorId allocate_scratch(std::size_t unit, CollectiveKind kind);

    Context& context_;
    Emitter& emitter_;
    const States& states_;
    int micro_batch_ = 0;
    std::vector<int> writes_left_, writes_per_parameter_;
    std::vector<int> parameter_writes_;      // in the buffer's present life
    std::vector<bool> allocated_;
    std::vector<OpId> reduce_ops_;
    std::vector<std::size_t> in_flight_;     // units whose transient buffer is being reduced, oldest first
    std::vector<TensorId> whole_, views_, staging_, scratch_;
};

}  // namespace zerosim::strategy::zerosim_system
