// Options of PyTorch's caching allocator.
// Rows for the option table, and their values; called by resolve.
// Does not model the allocator: sim/ does.
#pragma once

#include "config/values.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::config {

[[nodiscard]] strategy::Allocator allocator_of(const Values& values);

}  // namespace zerosim::config
