// The option groups Strategy, Training and Run as the structs they fill.
// Called by resolve() alone.
// Reads values; what needs the model or the cluster is checked by resolve().
#pragma once

#include "config/resolve.hpp"

namespace zerosim::config {

[[nodiscard]] strategy::Strategy strategy_of(const Values& values);
[[nodiscard]] strategy::Training training_of(const Values& values);
[[nodiscard]] RunOptions run_options_of(const Values& values);

} // namespace zerosim::config
