// Bytes of the cache of keys and values, by formula.
// Used by the planner of inference and by its report.
// Knows no allocator.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

/// Elements that one token of one layer keeps: keys and values of all key heads, or (paged, latent attention) the small vector.
[[nodiscard]] std::int64_t cached_elements(const Scenario& scenario);
/// Of one token of one layer, with the scales of 8-bit integers.
[[nodiscard]] std::int64_t cached_token_bytes(const Scenario& scenario);
/// Tokens of a sequence of `tokens` that a layer keeps: windowed layers keep their window; paged ones whole blocks.
[[nodiscard]] std::int64_t cached_tokens(const Scenario& scenario, std::int64_t layer, std::int64_t tokens);
/// Of one sequence, all layers.
[[nodiscard]] std::int64_t sequence_cache_bytes(const Scenario& scenario, std::int64_t tokens);

}  // namespace zerosim::strategy
