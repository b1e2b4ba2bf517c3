// Inference of one replica: weights, the cache of keys and values, a prefill of the whole batch and two decoded tokens (the first and
// the last of each sequence), as a schedule of eager modules without gradients.
// Called by plan() for `mode inference`; capacity.hpp says how much the cache may hold.
// Each rank serves a batch of its own, with all weights or (strategy.system fsdp2, stage 3) gathering their shards in every forward; there is
// no tensor parallelism. Sampling is greedy, over fp32 probabilities.
// Sources: transformers cache_utils.py (DynamicLayer, DynamicSlidingWindowLayer) and generation/utils.py; vLLM v1 kv_cache_interface.py,
// worker/gpu_worker.py (determine_available_memory), attention/backends/mla.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

// What a tag's micro_batch means in the steady segment.
inline constexpr int kPrefill = 0, kFirstToken = 1, kBetween = 2, kLastToken = 3;

/// Throws ConfigError for what inference does not know.
[[nodiscard]] schedule::Schedule plan_inference(const Scenario& scenario);
/// Paged: what the cache gets: the device's memory times its utilization, without context, weights and the batch's activations, in whole
/// blocks; at least what the batch needs.
[[nodiscard]] std::int64_t paged_pool_bytes(const Scenario& scenario);

}  // namespace zerosim::strategy
