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
    const bool nf4 = t.frozen_weights == WeightFormat::nf4 || t.frozen_weights == WeightFormat::nf4_double;
    const bool shards_packed = s.strategy.system == System::fsdp2 && nf4 && t.precision == Precision::bf16 && s.strategy.parameters_at == Placement::device;
    require(whole || shards_packed || t.frozen_weights == WeightFormat::full,
            "train.quantize-weights needs whole parameters (system ddp, or deepspeed below stage 3), or FSDP2's shards of bitsandbytes' packed bits in the "
            "compute dtype (quant_storage): system fsdp2 with nf4 or nf4-double, train.precision bf16 and no offload");
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
