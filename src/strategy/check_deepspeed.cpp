#include "strategy/check_deepspeed.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

namespace zerosim::strategy {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds) throw ConfigError(what);
}

void check_offload(const Scenario& s) {
    const int stage = s.strategy.zero_stage;
    const Placement parameters = s.strategy.parameters_at, optimizer = s.strategy.optimizer_at;
    require(parameters == Placement::device || stage == 3,
            fmt::format("strategy.offload-parameters: DeepSpeed offloads parameters at stage 3 only; strategy.zero-stage is {}", stage));
    require(optimizer == Placement::device || stage > 0,
            "strategy.offload-optimizer: DeepSpeed offloads optimizer states at stages 1, 2 and 3; strategy.zero-stage is 0");
    require(optimizer != Placement::nvme || stage == 3,
            fmt::format("strategy.offload-optimizer nvme: DeepSpeed swaps to NVMe at stage 3 only; strategy.zero-stage is {}", stage));
}

void check_sizes(const DeepSpeedOptions& o) {
    require(o.reduce_bucket > 0, fmt::format("strategy.reduce-bucket-size is {}; it must be positive", o.reduce_bucket));
    require(o.gather_bucket % 2 == 0, fmt::format("strategy.allgather-bucket-size is {}; DeepSpeed asks for an even number", o.gather_bucket));
    require(o.sub_group > 0, fmt::format("strategy.sub-group-size is {}; it must be positive", o.sub_group));
    require(o.multi_rank_allreduce || o.reduce_scatter, "strategy.multi-rank-bucket-allreduce false needs strategy.reduce-scatter true");
    require(o.offload_ratio >= 0 && o.offload_ratio <= 1,
            fmt::format("strategy.offload-ratio is {}; it is a share between 0 and 1", o.offload_ratio));
}

} // namespace

void check_deepspeed(const Scenario& s) {
    const DeepSpeedOptions& o = s.strategy.deepspeed;
    if (s.strategy.system != System::deepspeed) {
        require(o == DeepSpeedOptions{},
                "strategy: an option of DeepSpeed (reduce-bucket-size, sub-group-size, ...) is set, but strategy.system is not deepspeed");
        return;
    }
    const Training& t = s.training;
    const int stage = s.strategy.zero_stage;
    require(stage >= 0 && stage <= 3, fmt::format("strategy.zero-stage is {}; it must be 0, 1, 2 or 3", stage));
    require(s.model.implementation != model::Implementation::megatron, "model.implementation megatron has no modules for the deepspeed system");
    require(s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks,
            fmt::format("strategy.shard-group is {}; MiCS and hpZ are not implemented: deepspeed shards over all {} ranks", s.strategy.shard_group,
                        s.ranks));
    require(t.precision != Precision::bf16,
            "train.precision bf16 (bf16_master_weights_and_grads) is not implemented for deepspeed; bf16-mixed is its bf16 engine");
    require(t.optimizer == Optimizer::adamw, "train.optimizer: the deepspeed system has adamw (FusedAdam, DeepSpeedCPUAdam) only");
    require(!t.compile && !t.fp8_products, "train.compile and 8-bit products are not implemented for the deepspeed system");
    require(t.dropout == 0, "train.dropout is not implemented for the deepspeed system");
    require(!t.reduce_precision || *t.reduce_precision == compute_dtype(t.precision),
            "train.reduce-precision: communication_data_type other than the compute dtype is not implemented for deepspeed");
    require(stage < 3 || !t.fused_loss, "train.fused-loss reads the head's weight outside of its module: not implemented for deepspeed stage 3");
    check_offload(s);
    check_sizes(o);
}

} // namespace zerosim::strategy
