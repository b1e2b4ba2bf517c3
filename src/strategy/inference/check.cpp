#include "strategy/inference/check.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

namespace zerosim::strategy {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds) throw ConfigError("mode inference: " + what);
}

}  // namespace

void check_inference(const Scenario& s) {
    const Inference& i = s.inference;
    const Training& t = s.training;
    require(!s.model.is_coarse(), fmt::format("model {} is known by groups of parameters only, not layer by layer", s.model.name));
    const bool whole = s.strategy.system == System::zerosim && s.strategy.zero_stage == 0;
    const bool sharded = s.strategy.system == System::fsdp2 && s.strategy.zero_stage == 3;
    require(whole || sharded, "a rank has all weights (strategy.system zerosim, strategy.zero-stage 0) or gathers their shards (fsdp2, stage 3: ZeRO-Inference); "
                              "tensor parallelism is not implemented");
    require(sharded || s.strategy.parameters_at == Placement::device, "strategy.offload-parameters needs sharded weights: fsdp2, stage 3");
    require(s.strategy.parameters_at != Placement::nvme, "strategy.offload-parameters nvme is not implemented");
    require(!sharded || i.cache == Inference::Cache::contiguous, "sharded weights need inference.cache contiguous");
    require(!sharded || (t.frozen_weights == WeightFormat::full && s.model.weight_density == 1), "sharded weights are not quantized or pruned");
    require(!sharded || s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks, "shards are split over all ranks");
    require(s.ranks >= 1 && i.batch >= 1 && i.prompt_tokens >= 1 && i.new_tokens >= 1, "batch, prompt and new tokens must be at least 1");
    require(i.prompt_tokens + i.new_tokens <= s.model.positions,
            fmt::format("{} prompt and {} new tokens; {} has {} positions", i.prompt_tokens, i.new_tokens, s.model.name, s.model.positions));
    require(t.lora_rank == 0, "train.lora-rank: adapters are taken as merged into the weights");
    require(t.recompute.every == 0 && t.dropout == 0 && !t.compile && !t.fp8_products, "train.recompute, train.dropout, train.compile and fp8-mixed are of training");
    require(!t.standard_attention || i.cache == Inference::Cache::contiguous, "train.attention standard needs inference.cache contiguous");
    require(s.library == kernel::Library::cuda, fmt::format("cluster {} has no GPUs; the modules of inference are those of GPUs", s.cluster.name));
}

}  // namespace zerosim::strategy
