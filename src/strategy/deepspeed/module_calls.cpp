#include "strategy/deepspeed/module_calls.hpp"

#include <span>
#include <string_view>

namespace zerosim::strategy::deepspeed {
namespace {

struct Row {
    std::string_view module;
    int forward, backward;
};

// Calls of parameterless modules since the module before. Llama: model, rotary_emb; block, self_attn, mlp, act_fn.
// GPT-2: transformer, drop; block, attn, resid_dropout, mlp, act, dropout. Backward meets a container before what it contains.
constexpr Row kLlama[] = {{"wte", 2, 0}, {"ln1", 1, 0},  {"q", 1, 0},    {"o", 0, 1},   {"gate", 1, 1},
                          {"up", 1, 0},  {"down", 0, 2}, {"norm", 0, 1}, {"head", 0, 1}};
constexpr Row kGpt2[] = {{"wte", 2, 0}, {"ln1", 1, 0},  {"qkv", 1, 0},  {"o", 0, 2},   {"ln2", 1, 0},
                         {"up", 1, 1},  {"down", 1, 3}, {"norm", 1, 1}, {"head", 0, 1}};
constexpr Row kPlain[] = {{"wte", 1, 0}, {"ln1", 1, 0}, {"down", 0, 1}, {"head", 0, 1}};

int find(std::span<const Row> rows, std::string_view module, bool forward) {
    for (const Row& row : rows)
        if (row.module == module) return forward ? row.forward : row.backward;
    return 0;
}

std::string_view name_of(const torch::ModuleCall& call) {
    const std::string_view name = call.weight->name;
    return name == "wte" && !call.embedding ? "head" : name; // tied
}

} // namespace

int Containers::before_forward(const torch::ModuleCall& call) const {
    return find(!huggingface_ ? std::span<const Row>(kPlain)
                : gpt_        ? std::span<const Row>(kGpt2)
                              : std::span<const Row>(kLlama),
                name_of(call), true);
}

int Containers::before_backward(const torch::ModuleCall& call) const {
    return find(!huggingface_ ? std::span<const Row>(kPlain)
                : gpt_        ? std::span<const Row>(kGpt2)
                              : std::span<const Row>(kLlama),
                name_of(call), false);
}

} // namespace zerosim::strategy::deepspeed
