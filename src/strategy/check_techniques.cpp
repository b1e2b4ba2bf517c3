#include "strategy/check_techniques.hpp"

#include "base/error.hpp"
#include "strategy/adapters.hpp"
#include "strategy/check_scenario.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace zerosim::strategy {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds) throw ConfigError(what);
}

/// Plans the modules of strategy/torch, megatron's own apart.
bool has_torch_modules(const Scenario& s) { return is_eager(s) && s.strategy.system != System::megatron; }

/// Frameworks' techniques, by option.
void check_system(const Scenario& s) {
    if (has_torch_modules(s)) return;
    const Training& t = s.training;
    const auto only = [](bool unused, const char* option) {
        require(unused, fmt::format("{} is of the systems ddp, fsdp, fsdp2 and deepspeed; the asked system has no such modules", option));
    };
    only(t.optimizer == Optimizer::adamw, "train.optimizer other than adamw");
    only(!t.compile || s.strategy.system == System::megatron, "train.compile");
    only(t.lora_rank == 0, "train.lora-rank");
    only(t.loss_chunks == 1, "train.loss-chunks");
    only(!t.fused_loss || s.strategy.system == System::megatron, "train.fused-loss");
    only(!t.offload_activations, "train.offload-activations");
    only(s.model.weight_density == 1, "model.weight-density");
}

void check_adapters(const Scenario& s) {
    const Training& t = s.training;
    const auto needs_adapters = [&](bool unused, const char* option) {
        require(unused || t.lora_rank > 0, fmt::format("{} concerns adapters and frozen weights: it needs train.lora-rank", option));
    };
    needs_adapters(t.lora_dropout == 0, "train.lora-dropout");
    needs_adapters(!t.lora_precision, "train.lora-precision");
    needs_adapters(!t.frozen_precision, "train.frozen-precision");
    needs_adapters(!t.lora_embeddings, "train.lora-embeddings");
    needs_adapters(t.frozen_weights == WeightFormat::full, "train.quantize-weights");
    needs_adapters(s.model.weight_density == 1, "model.weight-density");
    if (t.lora_rank == 0) return;
    std::vector<std::string_view> names;
    for (const LinearLayer& layer : linear_layers(s.model)) names.push_back(layer.name);
    for (const std::string& target : t.lora_targets)
        require(target == "all" || std::ranges::find(names, target) != names.end(),
                fmt::format("train.lora-targets: model {} has no linear layer '{}' in its blocks; it has {}", s.model.name, target, fmt::join(names, ", ")));
}

/// Packed weights that are sharded: bitsandbytes' Params4bit where quant_storage makes a vector of the compute dtype of them (its documentation: FSDP-QLoRA;
/// transformers: the same with ZeRO-3), torchao's NF4Tensor under FSDP2, for which it has the hooks.
void check_packed_shards(const Scenario& s, bool whole) {
    const Training& t = s.training;
    if (whole || t.frozen_weights == WeightFormat::full) return;
    const bool fsdp2 = s.strategy.system == System::fsdp2, zero3 = s.strategy.system == System::deepspeed;
    require(t.frozen_weights != WeightFormat::int8,
            "train.quantize-weights int8 needs whole parameters (system ddp, or deepspeed below stage 3): bitsandbytes' Int8Params are integers, which "
            "have no quant_storage, so that neither FSDP nor ZeRO-3 shards them; nf4 is sharded by fsdp2 and by deepspeed stage 3");
    require(t.frozen_weights != WeightFormat::int4,
            "train.quantize-weights int4 needs whole parameters (system ddp, or deepspeed below stage 3): GPTQ's packed weights are integer buffers, not "
            "parameters, which neither FSDP nor ZeRO-3 shards; nf4 is sharded by fsdp2 and by deepspeed stage 3");
    require(fsdp2 || zero3, "train.quantize-weights nf4 with sharded weights is planned for fsdp2 and for deepspeed stage 3");
    require(fsdp2 || t.frozen_weights != WeightFormat::nf4_torchao,
            "train.quantize-weights nf4-torchao: torchao's NF4Tensor has hooks for FSDP2, none for ZeRO-3, which shards nf4 and nf4-double");
    require(!fsdp2 || (t.precision == Precision::bf16 && s.strategy.parameters_at == Placement::device),
            "train.quantize-weights under fsdp2: packed bits are sharded in the compute dtype (quant_storage), so train.precision must be bf16, without offload");
}

/// Sharded parameters have one dtype and one layout; packed bits take the compute dtype's.
void check_sharding(const Scenario& s) {
    const Training& t = s.training;
    const bool ddp = s.strategy.system == System::ddp;
    const auto only_ddp = [&](bool unused, const char* option) {
        require(unused || ddp, fmt::format("{} is implemented for the system ddp, which keeps whole parameters", option));
    };
    only_ddp(!t.lora_precision, "train.lora-precision");
    only_ddp(!t.frozen_precision, "train.frozen-precision");
    only_ddp(!t.lora_embeddings, "train.lora-embeddings");
    const bool whole = ddp || (s.strategy.system == System::deepspeed && s.strategy.zero_stage < 3);
    check_packed_shards(s, whole);
    require(whole || s.model.weight_density == 1, "model.weight-density needs whole parameters: system ddp, or deepspeed below stage 3");
    require(!s.strategy.wrap || !t.lora_embeddings || t.lora_precision == t.frozen_precision,
            "train.lora-embeddings: DDP's buckets have one dtype, so train.lora-precision and train.frozen-precision must be equal (or strategy.wrap false)");
    only_ddp(s.strategy.wrap, "strategy.wrap false");
    require(s.strategy.wrap || s.ranks == 1, "strategy.wrap false: without DistributedDataParallel nothing reduces gradients between ranks");
    only_ddp(!t.optimizer_in_backward, "train.optimizer-in-backward");
    require(!t.optimizer_in_backward || !s.strategy.wrap,
            "train.optimizer-in-backward needs strategy.wrap false: DDP's buckets need all gradients of a step");
    require(!t.optimizer_in_backward || (t.gradient_accumulation == 1 && t.clip_gradients == 0),
            "train.optimizer-in-backward: no gradients are left to accumulate or to clip");
}

}  // namespace

void check_techniques(const Scenario& s) {
    const Training& t = s.training;
    const bool nvme = s.strategy.parameters_at == Placement::nvme || s.strategy.optimizer_at == Placement::nvme;
    require(!nvme || s.strategy.system == System::deepspeed, "strategy.offload-parameters and -optimizer nvme are of the system deepspeed (ZeRO-Infinity)");
    require(!t.fused_loss || t.loss_chunks == 1, "train.fused-loss chooses its own chunks: train.loss-chunks must be 1");
    check_system(s);
    check_adapters(s);
    check_sharding(s);
}

}  // namespace zerosim::strategy
