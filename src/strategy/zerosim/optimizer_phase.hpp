// The end of a step: gradient norm, clip factor, AdamW on what this rank owns, gathering the updated parameters.
// Called by plan_zerosim after the last micro-batch's backward.
// Does not touch activations.
#pragma once

#include "strategy/zerosim/emitter.hpp"
#include "strategy/zerosim/reductions.hpp"
#include "strategy/zerosim/states.hpp"

namespace zerosim::strategy::zerosim_system {

void emit_optimizer_phase(Context& context, Emitter& emitter, const States& states, Reductions& reductions);

}  // namespace zerosim::strategy::zerosim_system
