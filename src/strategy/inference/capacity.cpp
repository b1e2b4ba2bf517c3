#include "strategy/inference/capacity.hpp"

#include "schedule/memory.hpp"
#include "strategy/inference/cache_size.hpp"
#include "strategy/inference/planner.hpp"

#include <algorithm>

namespace zerosim::strategy {
namespace {

bool fits(Scenario s, std::int64_t batch) {
    s.inference.batch = batch;
    const schedule::MemoryProfile profile = schedule::memory_profile(plan_inference(s), 0);
    const std::int64_t peak = std::max({profile.init_peak, profile.first_step_peak, profile.peak});
    return peak + s.cluster.device.context_bytes <= s.cluster.device.memory_bytes;
}

}  // namespace

std::int64_t largest_batch(const Scenario& s) {
    const std::int64_t tokens = s.inference.prompt_tokens + s.inference.new_tokens;
    if (s.inference.cache == Inference::Cache::paged) return paged_pool_bytes(s) / sequence_cache_bytes(s, tokens);
    constexpr std::int64_t kMost = std::int64_t{1} << 24;
    std::int64_t good = 0, bad = 1;
    while (bad <= kMost && fits(s, bad)) {
        good = bad;
        bad *= 2;
    }
    while (bad - good > 1) {
        const std::int64_t middle = good + (bad - good) / 2;
        (fits(s, middle) ? good : bad) = middle;
    }
    return good;
}

}  // namespace zerosim::strategy
