// Routed experts as transformers 5 computes them with grouped products: router, permutation, two grouped products, weighting, scatter.
// Called by the decoder's blocks. Routing is taken as balanced: every expert gets the same number of rows, so products have full tiles.
// Knows no expert parallelism: all experts are on every rank that gathers the block.
// Sources: transformers integrations/moe.py (grouped_mm_experts_forward), models/{mixtral,qwen3_moe,deepseek_v3}/modeling_*.py.
#pragma once

#include "model/model.hpp"
#include "strategy/torch/tape.hpp"

namespace zerosim::strategy::torch {

struct ExpertWeights {
    Parameter* router = nullptr;     // [experts, hidden]
    Parameter* gate_up = nullptr;    // [experts, 2 feed-forward, hidden]
    Parameter* down = nullptr;       // [experts, hidden, feed-forward]
};

/// hidden [T, h] -> [T, h].
[[nodiscard]] Value routed_experts(Tape& tape, const Value& hidden, const ExpertWeights& weights, const model::Experts& experts);

}  // namespace zerosim::strategy::torch
