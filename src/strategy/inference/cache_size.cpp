#include "strategy/inference/cache_size.hpp"

#include <algorithm>

namespace zerosim::strategy {
namespace {

using Cache = Inference::Cache;
using CachePrecision = Inference::CachePrecision;

bool caches_latent(const Scenario& s) { return s.model.latent.kv_rank > 0 && s.inference.cache == Cache::paged; }

}  // namespace

std::int64_t cached_elements(const Scenario& s) {
    const model::Model& m = s.model;
    if (caches_latent(s)) return m.latent.kv_rank + m.latent.rotary_dim;
    return m.kv_heads * (m.query_dim() + m.value_dim());
}

std::int64_t cached_token_bytes(const Scenario& s) {
    const std::int64_t elements = cached_elements(s);
    if (s.inference.precision == CachePrecision::compute) return elements * size_of(compute_dtype(s.training.precision));
    if (s.inference.precision == CachePrecision::fp8) return elements;   // one scale for a tensor
    // A scale and a zero of 2 bytes for each head's key and value of a token [QwenLM/Qwen modeling_qwen.py, quantize_cache_v].
    constexpr std::int64_t kScaleAndZero = 4;
    const std::int64_t vectors = caches_latent(s) ? 1 : 2 * s.model.kv_heads;
    return elements + kScaleAndZero * vectors;
}

std::int64_t cached_tokens(const Scenario& s, std::int64_t layer, std::int64_t tokens) {
    const std::int64_t kept = s.model.is_windowed(layer) ? std::min(tokens, s.model.sliding_window) : tokens;
    if (s.inference.cache == Cache::contiguous) return kept;
    const std::int64_t block = s.inference.block_size;
    return (kept + block - 1) / block * block;
}

std::int64_t sequence_cache_bytes(const Scenario& s, std::int64_t tokens) {
    std::int64_t sum = 0;
    for (std::int64_t layer = 0; layer < s.model.layers; ++layer) sum += cached_tokens(s, layer, tokens);
    return sum * cached_token_bytes(s);
}

}  // namespace zerosim::strategy
