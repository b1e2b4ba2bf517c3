// Small scenarios for tests: GPT-2- and Llama-like models with odd sizes.
#pragma once

#include "strategy/plan.hpp"

#include <string>

namespace zerosim::test {

inline model::Model tiny_gpt2(bool tied = true) {
    model::Model m;
    m.name = "tiny-gpt2";
    m.family = model::Family::gpt2;
    m.layers = 2;
    m.hidden = 12;
    m.heads = m.kv_heads = 3;
    m.head_dim = 4;
    m.feed_forward = 20;
    m.vocabulary = m.real_vocabulary = 23;
    m.positions = 16;
    m.tied = tied;
    m.qkv_bias = m.output_bias = m.mlp_bias = true;
    return m;
}

inline model::Model tiny_llama(bool tied = false) {
    model::Model m = tiny_gpt2(tied);
    m.name = "tiny-llama";
    m.family = model::Family::llama;
    m.layers = 3;
    m.heads = 4;
    m.kv_heads = 2;
    m.head_dim = 4;
    m.feed_forward = 17;
    m.qkv_bias = m.output_bias = m.mlp_bias = false;
    return m;
}

/// A model with heads of 64 elements, for planners: nobody trains it.
inline model::Model model_of(model::Family family, std::int64_t layers, std::int64_t heads, std::int64_t feed_forward, std::int64_t vocabulary, std::int64_t positions) {
    model::Model m;
    m.name = "small";
    m.family = family;
    m.layers = layers;
    m.heads = m.kv_heads = heads;
    m.head_dim = 64;
    m.hidden = m.heads * m.head_dim;
    m.feed_forward = feed_forward;
    m.vocabulary = m.real_vocabulary = vocabulary;
    m.positions = positions;
    return m;
}

inline strategy::Scenario scenario(const model::Model& model, int stage, std::int64_t ranks) {
    strategy::Scenario s;
    s.model = model;
    s.ranks = ranks;
    s.strategy.zero_stage = stage;
    s.training.micro_batch = 2;
    s.training.sequence_length = 8;
    s.training.steps = 3;
    s.training.precision = strategy::Precision::fp32;
    s.training.data = "chain";
    s.training.init = "hash";
    return s;
}

}  // namespace zerosim::test
