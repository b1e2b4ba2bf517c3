#include "search/changes.hpp"

#include "base/units.hpp"

#include <fmt/format.h>

namespace zerosim::search {
namespace {

using strategy::Placement;
using strategy::Scenario;
using strategy::System;

void sharding(const Scenario& s, std::vector<Change>& all) {
    const int stage = s.strategy.zero_stage;
    if (s.ranks == 1) return;
    if (stage < 3) all.push_back({"strategy.zero-stage", std::to_string(stage + 1), fmt::format("ZeRO stage {}", stage + 1), true});
    if (stage > 0) all.push_back({"strategy.zero-stage", std::to_string(stage - 1), fmt::format("ZeRO stage {}", stage - 1), false});
    if (s.strategy.shard_group != 0 && s.strategy.shard_group < s.ranks)
        all.push_back({"strategy.shard-group", std::to_string(s.ranks), "shards over all ranks", true});
    if (s.strategy.system == System::ddp && !s.strategy.gradient_as_bucket_view)
        all.push_back({"strategy.gradient-as-bucket-view", "true", "gradients as views of the buckets", true});
    if (s.strategy.overlap_communication)
        all.push_back({"strategy.overlap-communication", "false", "no overlap: one set of communication buffers", false});
}

/// DeepSpeed's fixed buffers, which small models and few ranks pay for most.
void buckets(const Scenario& s, std::vector<Change>& all) {
    constexpr std::int64_t kSmallBucket = 50'000'000, kSmallGroup = 100'000'000;
    if (s.strategy.system != System::deepspeed || s.strategy.zero_stage == 0) return;
    const strategy::DeepSpeedOptions& o = s.strategy.deepspeed;
    if (o.reduce_bucket > kSmallBucket) all.push_back({"strategy.reduce-bucket-size", "5e7", "IPG buckets of 5e7 elements", true});
    if (s.strategy.zero_stage < 3) return;
    if (o.sub_group > kSmallGroup) all.push_back({"strategy.sub-group-size", "1e8", "the step over sub-groups of 1e8 elements", true});
    if (o.max_live > kSmallGroup) all.push_back({"strategy.max-live-parameters", "1e8", "prefetching up to 1e8 gathered elements", true});
    if (o.max_reuse_distance > kSmallGroup) all.push_back({"strategy.max-reuse-distance", "1e8", "parameters released unless used within 1e8 elements", true});
}

void activations(const Scenario& s, std::vector<Change>& all) {
    const auto& t = s.training;
    const bool full = t.recompute.every == 1 && !t.recompute.selective;
    if (!full) all.push_back({"train.recompute", "full", "recompute every block in backward", true});
    if (t.recompute.every == 0) all.push_back({"train.recompute", "selective", "recompute all but attention and every second product", true});
    if (t.recompute.every != 0) all.push_back({"train.recompute", "none", "no recomputation", false});
    if (t.micro_batch > 1) {
        const std::int64_t half = t.micro_batch / 2;
        all.push_back({"train.micro-batch", std::to_string(half), fmt::format("micro-batch {} (more accumulation keeps the global batch)", half), true});
    }
    if (t.gradient_accumulation > 1) all.push_back({"train.gradient-accumulation", "1", "no accumulation", false});
    all.push_back({"train.attention", "flash", "attention that never stores its scores", true});
    all.push_back({"train.loss-chunks", "8", "the loss in 8 chunks of tokens", true});
}

void states(const Scenario& s, std::vector<Change>& all) {
    if (s.strategy.optimizer_at == Placement::device) {
        if (s.strategy.system == System::fsdp2 || s.strategy.system == System::fsdp)
            all.push_back({"strategy.offload-parameters", "cpu", "parameters, gradients and states in host memory", true});
        else all.push_back({"strategy.offload-optimizer", "cpu", "optimizer states in host memory", true});
    }
    all.push_back({"train.optimizer", "adamw-8bit", "optimizer states in 8 bits", true});
    if (s.training.optimizer == strategy::Optimizer::adamw_foreach)
        all.push_back({"train.optimizer", "adamw", "the fused optimizer: no temporaries of the whole shard", true});
    if (s.training.precision == strategy::Precision::fp32)
        all.push_back({"train.precision", "bf16-mixed", "activations in two bytes", true});
}

/// Rows of eight two-byte elements are 16 bytes, the width of the tensor cores' loads; wider tiles want 64 (NVIDIA, Matrix
/// Multiplication Background User's Guide, "Tensor Core requirements": multiples of 8 for FP16, 64 on A100 and later for full speed).
constexpr std::int64_t kTile = 64;

std::string unaligned(const char* what, std::int64_t size) {
    const std::int64_t next = (size + kTile - 1) / kTile * kTile;
    return fmt::format("{} {} is not a multiple of {}: its products run slower; {} would be", what, format_count(size), kTile, format_count(next));
}

}  // namespace

std::vector<Change> changes(const Scenario& scenario) {
    std::vector<Change> all;
    sharding(scenario, all);
    buckets(scenario, all);
    activations(scenario, all);
    states(scenario, all);
    return all;
}

std::vector<std::string> unaligned_sizes(const Scenario& s) {
    std::vector<std::string> all;
    if (s.cluster.device.is_cpu) return all;
    if (s.model.vocabulary % kTile != 0) all.push_back(unaligned("vocabulary", s.model.vocabulary) + " (model.vocabulary-multiple pads it)");
    if (s.model.hidden % kTile != 0) all.push_back(unaligned("hidden size", s.model.hidden));
    if (s.model.feed_forward % kTile != 0) all.push_back(unaligned("feed-forward size", s.model.feed_forward));
    return all;
}

}  // namespace zerosim::search
