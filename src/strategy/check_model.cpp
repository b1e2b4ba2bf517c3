#include "strategy/check_model.hpp"

#include "base/error.hpp"
#include "model/families.hpp"
#include "strategy/check_scenario.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::strategy {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds) throw ConfigError(what);
}

bool is_windowed(const Scenario& s) {
    const model::Model& m = s.model;
    return m.sliding_window > 0 && s.training.sequence_length > m.sliding_window;
}

/// zerosim's own kernels: gpt2 and llama.
void check_own_kernels(const Scenario& s) {
    const std::string feature = model::beyond_basic(s.model);
    require(feature.empty(), fmt::format("model {} has {}: only the systems ddp, fsdp, fsdp2 and deepspeed have modules for it", s.model.name, feature));
    require(!is_windowed(s), fmt::format("train.sequence-length {} is more than the attention window of {} ({} tokens); windowed attention is not implemented yet "
                                         "for the asked system: ddp, fsdp, fsdp2 and deepspeed have it",
                                         s.training.sequence_length, s.model.name, s.model.sliding_window));
    require(!s.training.standard_attention || s.strategy.system == System::megatron,
            "train.attention standard is of the systems ddp, fsdp, fsdp2, deepspeed and megatron; the asked system's kernels never store scores");
}

}  // namespace

bool has_eager_modules(const Scenario& s) { return is_eager(s) && s.strategy.system != System::megatron; }

void check_model(const Scenario& s) {
    if (!has_eager_modules(s)) return check_own_kernels(s);
    const model::Model& m = s.model;
    const Training& t = s.training;
    require(m.implementation != model::Implementation::megatron, "model.implementation megatron has no modules for PyTorch's systems");
    require(m.final_softcap == 0 || (t.loss_chunks == 1 && !t.fused_loss),
            fmt::format("model {} has soft-capped logits: train.loss-chunks and train.fused-loss know a plain head only", m.name));
    require(!m.head_bias || !t.fused_loss, fmt::format("model {} has a bias in the head: train.fused-loss knows a plain head only", m.name));
    require(!t.standard_attention || m.latent.kv_rank == 0 || m.implementation == model::Implementation::huggingface,
            "train.attention standard with latent attention is known for model.implementation huggingface");
}

std::string planned_only(const Scenario& s) {
    const std::string feature = model::beyond_basic(s.model);
    if (!feature.empty()) return fmt::format("model {} has {}", s.model.name, feature);
    if (s.training.standard_attention) return "train.attention standard";
    if (!has_eager_modules(s)) return {};
    if (s.training.dropout > 0) return fmt::format("train.dropout {}", s.training.dropout);
    if (is_windowed(s)) return "windowed attention";
    return {};
}

}  // namespace zerosim::strategy
