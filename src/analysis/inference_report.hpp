// Inference of one rank: memory by part, how much the cache holds, time of the prefill and of a decoded token.
// Filled by inference_report() from the schedule of strategy/inference and its trace; rendered by report/.
// Fields: docs/metrics.md.
#pragma once

#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <cstdint>

namespace zerosim::analysis {

/// What the planner knows beside the schedule.
struct InferenceFacts {
    std::int64_t batch = 0, prompt_tokens = 0, new_tokens = 0;
    std::int64_t cache_token_bytes = 0;      // of one token of one sequence, all layers that see everything
    std::int64_t sequence_cache_bytes = 0;   // of a finished sequence
    std::int64_t largest_batch = 0;
};

struct InferenceReport {
    InferenceFacts facts;
    std::int64_t weights = 0, cache = 0;                      // cache: what the batch's sequences need at their end
    std::int64_t cache_pool = 0;                              // paged: what is set aside for it
    std::int64_t prefill_peak = 0, decode_peak = 0;           // with weights and cache
    double prefill_seconds = 0;                               // to the first token
    double first_token_seconds = 0, last_token_seconds = 0;   // decoding, with the cache at its smallest and largest
    [[nodiscard]] double token_seconds() const { return (first_token_seconds + last_token_seconds) / 2; }
    [[nodiscard]] double request_seconds() const { return prefill_seconds + static_cast<double>(facts.new_tokens - 1) * token_seconds(); }
    [[nodiscard]] double tokens_per_second() const {
        return request_seconds() > 0 ? static_cast<double>(facts.batch * facts.new_tokens) / request_seconds() : 0;
    }
};

/// Parts by the tag's micro_batch: 0 = prefill, 1 = first decoded token, 2 = growth of the cache between, 3 = last token.
[[nodiscard]] InferenceReport inference_report(const schedule::Schedule& schedule, const trace::Trace& trace, const InferenceFacts& facts);

}  // namespace zerosim::analysis
