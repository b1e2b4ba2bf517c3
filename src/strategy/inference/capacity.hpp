// How many sequences of the asked length a device can serve at once.
// Called for the report of inference.
// Counts bytes asked for, not an allocator's segments.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

/// Contiguous: the largest batch whose peak fits, by replanning. Paged: sequences whose blocks the pool holds.
[[nodiscard]] std::int64_t largest_batch(const Scenario& scenario);

}  // namespace zerosim::strategy
