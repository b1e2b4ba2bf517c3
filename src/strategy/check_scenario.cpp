#include "strategy/check_scenario.hpp"

#include "base/error.hpp"
#include "strategy/check_deepspeed.hpp"
#include "strategy/check_model.hpp"
#include "strategy/check_techniques.hpp"

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
    const bool ddp = s.strategy.system == System::ddp, fsdp2 = s.strategy.system == System::fsdp2, fsdp = s.strategy.system == System::fsdp;
    const std::string_view system = name_of(s.strategy.system);
    const bool offload = s.strategy.parameters_at == Placement::cpu || s.strategy.optimizer_at == Placement::cpu;
    require(fsdp2 || !s.strategy.wrap_embeddings, fmt::format("strategy.wrap-embeddings is an option of fsdp2, not of {}", system));
    require(!s.strategy.wrap_embeddings || !s.model.tied,
            fmt::format("strategy.wrap-embeddings: {} has one weight for embedding and head, which two units of FSDP2 cannot share", s.model.name));
    require(!s.strategy.wrap_embeddings || !s.training.fused_loss,
            "strategy.wrap-embeddings: train.fused-loss reads the head's weight without calling its module, so that FSDP2 would not gather it");
    require(ddp || !s.strategy.gradient_as_bucket_view, fmt::format("strategy.gradient-as-bucket-view is an option of ddp, not of {}", system));
    if (s.strategy.system == System::deepspeed) return;   // check_deepspeed knows its offload
    require(fsdp2 || fsdp || !offload, fmt::format("strategy.offload-parameters and -optimizer are not implemented for the {} system; fsdp2 has them", system));
    require(s.strategy.parameters_at == s.strategy.optimizer_at,
            "strategy.offload-parameters and strategy.offload-optimizer must be equal: FSDP2's CPUOffloadPolicy moves shards, gradients and states together");
}

/// FullyShardedDataParallel's arguments.
void check_fsdp(const Scenario& s) {
    const bool fsdp = s.strategy.system == System::fsdp;
    const FsdpOptions& o = s.strategy.fsdp;
    const FsdpOptions defaults;
    require(fsdp || (o.original_parameters && o.limit_all_gathers && !o.forward_prefetch && o.backward_prefetch == defaults.backward_prefetch),
            fmt::format("strategy.use-orig-params, -limit-all-gathers, -forward-prefetch and -backward-prefetch are arguments of fsdp, not of {}",
                        name_of(s.strategy.system)));
    require(fsdp || s.strategy.system == System::fsdp2 || !s.strategy.sync_each_batch,
            fmt::format("strategy.sync-each-batch is an option of fsdp and fsdp2, not of {}", name_of(s.strategy.system)));
    if (!fsdp) return;
    require(s.training.lora_rank == 0, "train.lora-rank: adapters are not implemented for fsdp, whose flat parameters mix trained and frozen; fsdp2 has them");
    require(s.strategy.zero_stage == 2 || s.strategy.zero_stage == 3,
            fmt::format("strategy.zero-stage is {}; strategy.system fsdp shards as stage 2 (SHARD_GRAD_OP) or 3 (FULL_SHARD)", s.strategy.zero_stage));
}

void check_eager(const Scenario& s) {
    const bool ddp = s.strategy.system == System::ddp;
    const std::string_view system = name_of(s.strategy.system);
    const int lowest = ddp ? 0 : 2;
    require(s.strategy.zero_stage == lowest || s.strategy.zero_stage == lowest + 1,
            fmt::format("strategy.zero-stage is {}; the {} system has stages {} and {}", s.strategy.zero_stage, system, lowest, lowest + 1));
    require(!ddp || s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks, "strategy.shard-group is an option of fsdp2, not of ddp");
}

void check_megatron(const Scenario& s) {
    const MegatronOptions defaults;
    const bool megatron = s.strategy.system == System::megatron;
    require(megatron || (s.strategy.megatron.bucket_elements == 0 && s.strategy.megatron.fuse_gradient_accumulation == defaults.fuse_gradient_accumulation),
            fmt::format("strategy.bucket-size and strategy.gradient-accumulation-fusion are options of megatron, not of {}", name_of(s.strategy.system)));
    if (!megatron) return;
    constexpr std::int64_t kMostHostRanks = 64;   // each has a program of its own (megatron/planner.cpp)
    require(s.library == kernel::Library::cuda || s.strategy.zero_stage != 1 || s.ranks <= kMostHostRanks,
            fmt::format("ranks is {}; strategy.system megatron at stage 1 has at most {} on hosts: choose a cluster of GPUs", s.ranks, kMostHostRanks));
    require(s.strategy.zero_stage <= 1, fmt::format("strategy.zero-stage is {}; megatron has stages 0 (replicated) and 1 (distributed optimizer)", s.strategy.zero_stage));
    require(s.training.precision != Precision::bf16, "train.precision bf16: Megatron-LM keeps fp32 main parameters; bf16-mixed, fp16-mixed and fp32 are known");
    require(!s.strategy.megatron.fuse_gradient_accumulation || s.training.reduce_precision.value_or(DType::fp32) == DType::fp32,
            "train.reduce-precision: gradient accumulation fusion adds into fp32 main gradients; set strategy.gradient-accumulation-fusion false");
    require(s.strategy.megatron.bucket_elements == 0 || s.strategy.overlap_communication,
            "strategy.bucket-size: without strategy.overlap-communication Megatron-LM has one bucket");
    require(s.model.implementation == model::Implementation::megatron, "strategy.system megatron has its own modules: model.implementation megatron");
}

void check_zerosim(const Scenario& s) {
    require(s.strategy.zero_stage >= 0 && s.strategy.zero_stage <= 3, fmt::format("strategy.zero-stage is {}; it must be 0, 1, 2 or 3", s.strategy.zero_stage));
    require(s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks,
            fmt::format("strategy.shard-group is {}, but the {} system shards over all {} ranks so far", s.strategy.shard_group, name_of(s.strategy.system), s.ranks));
    require(s.strategy.prefetch_depth >= 0, "strategy.prefetch-depth must not be negative");
}

}  // namespace

bool is_eager(const Scenario& s) {
    return s.strategy.system != System::zerosim;
}

void check_scenario(const Scenario& s) {
    const auto& t = s.training;
    const System system = s.strategy.system;
    require(s.ranks >= 1, fmt::format("ranks is {}; it must be at least 1", s.ranks));
    require(t.micro_batch >= 1 && t.gradient_accumulation >= 1, "train.micro-batch and train.gradient-accumulation must be at least 1");
    require(t.sequence_length >= 1 && t.sequence_length <= s.model.positions,
            fmt::format("train.sequence-length is {}; {} has positions for 1 to {}", t.sequence_length, s.model.name, s.model.positions));
    require(s.strategy.bucket_cap_mib > 0, "strategy.bucket-cap-mib must be positive");
    require(!t.fp8_products || s.library == kernel::Library::cuda, "train.precision fp8-mixed needs a cluster of GPUs: the host's kernels have no 8-bit products");
    require(!t.fp8_products || s.cluster.device.fp8_flops > 0, fmt::format("train.precision fp8-mixed: cluster {} has no device.fp8-teraflops", s.cluster.name));
    require(!t.recompute.selective || system == System::ddp || system == System::fsdp2 || system == System::deepspeed || system == System::megatron || s.strategy.system == System::fsdp,
            fmt::format("train.recompute selective concerns the systems ddp and fsdp2, not {}", name_of(system)));
    check_torch_options(s);
    check_techniques(s);
    check_model(s);
    check_deepspeed(s);
    check_megatron(s);
    if (system == System::deepspeed || system == System::megatron) return;
    check_fsdp(s);
    system == System::ddp || system == System::fsdp2 || s.strategy.system == System::fsdp ? check_eager(s) : check_zerosim(s);
}

}  // namespace zerosim::strategy
