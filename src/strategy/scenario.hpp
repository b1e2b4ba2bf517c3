// Scenario = Model + Cluster + Strategy + Training: everything a plan is a function of.
// Assembled by config/ (or by tests); read by planners, engines and reports.
// Plain data with defaults equal to the option table's; no parsing here.
#pragma once

#include "base/dtype.hpp"
#include "cluster/cluster.hpp"
#include "kernel/work.hpp"
#include "model/model.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::strategy {

enum class System : std::uint8_t { zerosim, ddp, fsdp, fsdp2, deepspeed, megatron };
enum class Precision : std::uint8_t { bf16_mixed, fp16_mixed, bf16, fp32 };
enum class Optimizer : std::uint8_t { adamw, adamw_foreach, sgd_momentum };
enum class Placement : std::uint8_t { device, cpu };
enum class CollectiveOrder : std::uint8_t { rank, library };

struct Strategy {
    System system = System::zerosim;
    int zero_stage = 0;
    std::int64_t shard_group = 0;             // 0 = world size
    double bucket_cap_mib = 25;               // stages 0-2: gradients are reduced in buckets of about this size
    int prefetch_depth = 1;                   // stage 3: units gathered ahead of the one computing
    bool overlap_communication = true;        // false: collectives run on the compute stream
    bool reuse_gathered = false;              // stage 3: save the gathers that the unit's last use makes unnecessary
    bool gradient_as_bucket_view = false;     // ddp: gradients are views of the buckets
    Placement parameters_at = Placement::device, optimizer_at = Placement::device;   // fsdp2: where shards and states lie
};

/// none, full, or every K-th block (0, K, 2K, ...): every = 0, 1, K.
struct Recompute {
    int every = 0;
    bool selective = false;                   // attention and every second product are kept (torchtitan's op-level policy)
    [[nodiscard]] bool applies(int layer) const { return every > 0 && layer % every == 0; }
};

struct Training {
    std::int64_t micro_batch = 1;
    std::int64_t sequence_length = 0;         // 0 = the model's positions
    std::int64_t gradient_accumulation = 1;
    std::int64_t steps = 3;
    Precision precision = Precision::bf16_mixed;
    bool fp8_products = false;                // fp8-mixed: bf16-mixed whose linear layers of blocks multiply in 8 bits
    std::optional<DType> reduce_precision;    // of gradients as they are reduced; none = by system
    Optimizer optimizer = Optimizer::adamw;
    double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.1, clip_gradients = 0;
    Recompute recompute;
    bool recompute_early_stop = true;         // recomputation ends at the last tensor that backward needs
    double dropout = 0;
    std::uint64_t seed = 0;
    std::int64_t lora_rank = 0;               // 0 = no adapters
    std::vector<std::string> lora_targets;    // q, k, v, o
    bool compile = false;                     // torch.compile of each block
    double initial_loss_scale = 65536;        // fp16-mixed; DeepSpeed initial_scale_power 16
    std::string data = "";                    // path, or "chain"; empty = the project's own docs
    std::string init = "normal";              // normal | hash
};

struct Scenario {
    model::Model model;
    cluster::Cluster cluster;
    Strategy strategy;
    Training training;
    std::int64_t ranks = 1;
    CollectiveOrder collective_order = CollectiveOrder::rank;
    kernel::Library library = kernel::Library::host;   // whose workspaces and scratch the schedule holds
    int compute_threads = 1;                           // of the compute stream, host library
};

/// dtype of activations, weights at compute, and of gradients as they are reduced.
[[nodiscard]] constexpr DType compute_dtype(Precision precision) {
    switch (precision) {
        case Precision::bf16_mixed:
        case Precision::bf16: return DType::bf16;
        case Precision::fp16_mixed: return DType::fp16;
        case Precision::fp32: return DType::fp32;
    }
    return DType::fp32;
}
/// fp32 master weights beside 2-byte parameters.
[[nodiscard]] constexpr bool has_master_weights(Precision precision) {
    return precision == Precision::bf16_mixed || precision == Precision::fp16_mixed;
}

}  // namespace zerosim::strategy
