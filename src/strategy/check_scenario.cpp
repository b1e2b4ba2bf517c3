#include "strategy/check_scenario.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

namespace zerosim::strategy {
namespace {

void require(bool holds, std::string_view what) {
    if (!holds) throw ConfigError(std::string(what));
}

std::string_view name_of(System system) {
    switch (system) {
        case System::zerosim: return "zerosim";
        case System::ddp: return "ddp";
        case System::fsdp: return "fsdp";
        case System::fsdp2: return "fsdp2";
        case System::deepspeed: return "deepspeed";
        case System::megatron: return "megatron";
    }
    return "?";
}

/// What only the planners of eager PyTorch know.
void check_torch_options(const Scenario& s) {
    const bool ddp = s.strategy.system == System::ddp, fsdp2 = s.strategy.system == System::fsdp2;
    const std::string_view system = name_of(s.strategy.system);
    const bool offload = s.strategy.parameters_at == Placement::cpu || s.strategy.optimizer_at == Placement::cpu;
    require(ddp || fsdp2 || s.training.optimizer == Optimizer::adamw,
            fmt::format("train.optimizer: the {} system has adamw only; adamw-foreach and sgd-momentum are ddp's and fsdp2's", system));
    require(ddp || fsdp2 || !s.training.compile, fmt::format("train.compile concerns the systems ddp and fsdp2, not {}", system));
    require(ddp || !s.strategy.gradient_as_bucket_view, fmt::format("strategy.gradient-as-bucket-view is an option of ddp, not of {}", system));
    require(ddp || fsdp2 || s.training.lora_rank == 0, fmt::format("train.lora-rank is {}, but the {} system trains all parameters; ddp and fsdp2 have adapters", s.training.lora_rank, system));
    require(fsdp2 || !offload, fmt::format("strategy.offload-parameters and -optimizer are not implemented for the {} system; fsdp2 has them", system));
    require(s.strategy.parameters_at == s.strategy.optimizer_at,
            "strategy.offload-parameters and strategy.offload-optimizer must be equal: FSDP2's CPUOffloadPolicy moves shards, gradients and states together");
}

void check_eager(const Scenario& s) {
    const auto& t = s.training;
    const bool ddp = s.strategy.system == System::ddp;
    const std::string_view system = name_of(s.strategy.system);
    const int lowest = ddp ? 0 : 2;
    require(s.strategy.zero_stage == lowest || s.strategy.zero_stage == lowest + 1,
            fmt::format("strategy.zero-stage is {}; the {} system has stages {} and {}", s.strategy.zero_stage, system, lowest, lowest + 1));
    require(t.precision != Precision::fp16_mixed, fmt::format("train.precision fp16-mixed is not implemented for the {} system", system));
    require(t.dropout == 0, fmt::format("train.dropout is not implemented for the {} system", system));
    require(s.model.implementation != model::Implementation::megatron, fmt::format("model.implementation megatron has no modules for the {} system", system));
    require(!ddp || s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks, "strategy.shard-group is an option of fsdp2, not of ddp");
    require(t.lora_rank == 0 || s.model.family == model::Family::llama,
            "train.lora-rank: adapters on q, k and v need separate projections; gpt2 has one of all three");
}

void check_zerosim(const Scenario& s) {
    require(s.strategy.zero_stage >= 0 && s.strategy.zero_stage <= 3, fmt::format("strategy.zero-stage is {}; it must be 0, 1, 2 or 3", s.strategy.zero_stage));
    require(s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks,
            fmt::format("strategy.shard-group is {}, but the {} system shards over all {} ranks so far", s.strategy.shard_group, name_of(s.strategy.system), s.ranks));
    require(s.strategy.prefetch_depth >= 0, "strategy.prefetch-depth must not be negative");
}

}  // namespace

void check_scenario(const Scenario& s) {
    const auto& t = s.training;
    const System system = s.strategy.system;
    require(system != System::deepspeed && system != System::megatron, fmt::format("strategy.system: '{}' has no planner so far", name_of(system)));
    require(s.ranks >= 1, fmt::format("ranks is {}; it must be at least 1", s.ranks));
    require(t.micro_batch >= 1 && t.gradient_accumulation >= 1, "train.micro-batch and train.gradient-accumulation must be at least 1");
    require(t.sequence_length >= 1 && t.sequence_length <= s.model.positions,
            fmt::format("train.sequence-length is {}; {} has positions for 1 to {}", t.sequence_length, s.model.name, s.model.positions));
    require(s.strategy.bucket_cap_mib > 0, "strategy.bucket-cap-mib must be positive");
    require(!t.fp8_products || s.library == kernel::Library::cuda, "train.precision fp8-mixed needs a cluster of GPUs: the host's kernels have no 8-bit products");
    require(!t.fp8_products || s.cluster.device.fp8_flops > 0, fmt::format("train.precision fp8-mixed: cluster {} has no device.fp8-teraflops", s.cluster.name));
    require(!t.recompute.selective || system == System::ddp || system == System::fsdp2,
            fmt::format("train.recompute selective concerns the systems ddp and fsdp2, not {}", name_of(system)));
    check_torch_options(s);
    system == System::ddp || system == System::fsdp2 ? check_eager(s) : check_zerosim(s);
}

}  // namespace zerosim::strategy
