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
enum class Optimizer : std::uint8_t { adamw, adamw_foreach, sgd_momentum, adamw_8bit, adamw_8bit_paged, adamw_paged };
enum class Placement : std::uint8_t { device, cpu, nvme };
/// How frozen weights of linear layers are stored: bitsandbytes' NF4 (with double quantization), torchao's, LLM.int8, GPTQ's 4 bits.
enum class WeightFormat : std::uint8_t { full, nf4, nf4_double, nf4_torchao, int8, int4 };
enum class CollectiveOrder : std::uint8_t { rank, library };

/// Arguments of FullyShardedDataParallel (fsdp).
struct FsdpOptions {
    enum class BackwardPrefetch : std::uint8_t { pre, post, none };
    bool original_parameters = true;          // use_orig_params: the optimizer sees each parameter's part of a shard
    bool limit_all_gathers = true;            // at most two gathered units whose release the host has not seen
    bool forward_prefetch = false;
    BackwardPrefetch backward_prefetch = BackwardPrefetch::pre;
};
/// Options of Megatron-LM's data parallelism (megatron).
struct MegatronOptions {
    std::int64_t bucket_elements = 0;         // 0 = max(40e6, 1e6 * data-parallel size)
    bool fuse_gradient_accumulation = true;   // weight gradients are added into the main gradients by their product
};

/// DeepSpeed's `zero_optimization`: names and defaults of DeepSpeed 0.19 (runtime/zero/config.py). Sizes are elements.
struct DeepSpeedOptions {
    std::int64_t reduce_bucket = 500'000'000, gather_bucket = 500'000'000, prefetch_bucket = 50'000'000;
    std::int64_t max_live = 1'000'000'000, max_reuse_distance = 1'000'000'000, sub_group = 1'000'000'000;
    std::int64_t persistence_threshold = 100'000, model_persistence_threshold = INT64_MAX;
    std::optional<bool> overlap;              // none = stage 3 only
    bool contiguous_gradients = true, round_robin_gradients = false;
    bool reduce_scatter = true;               // stages 1, 2: reduce slices by owner; stage 3: reduce-scatter; false: plain all-reduce
    bool multi_rank_allreduce = true;         // stages 1, 2: slices of all owners in one all-reduce; false: each owner receives its own alone
    int release = 19;                         // 0.14, 0.16 or 0.19: how gradients of stage 3 are offloaded
    bool pin_memory = true;                   // offloaded states and parameters
    double offload_ratio = 1;                 // stage 3: share of the sub-groups whose states are offloaded
    std::int64_t parameter_buffers = 5, parameter_buffer = 100'000'000, max_in_cpu = 1'000'000'000, optimizer_buffers = 4;   // nvme
    friend bool operator==(const DeepSpeedOptions&, const DeepSpeedOptions&) = default;
};

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
    FsdpOptions fsdp;
    MegatronOptions megatron;
    DeepSpeedOptions deepspeed;
    std::optional<bool> sync_each_batch;      // fsdp, fsdp2: reduce after every micro-batch; none: fsdp true, fsdp2 false (no_sync)
    bool wrap = true;                         // ddp with one rank: false = the plain module, without buckets
    bool wrap_embeddings = false;             // fsdp2: embedding and head are units of their own, not parts of the root's
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
    double lora_dropout = 0;                  // of an adapter's input
    std::optional<DType> lora_precision;      // of adapters; none = as train.precision says
    std::optional<DType> frozen_precision;    // of frozen parameters that are not quantized; none = as train.precision says
    bool lora_embeddings = false;             // copies of embedding and head are trained (PEFT's modules_to_save)
    WeightFormat frozen_weights = WeightFormat::full;
    bool optimizer_in_backward = false;       // each parameter is updated when its gradient is ready, and the gradient dropped
    bool offload_activations = false;         // saved tensors go to pinned host memory
    std::int64_t loss_chunks = 1;             // of the tokens: logits, loss and their gradients of one chunk at a time
    bool fused_loss = false;                  // head and loss fused: the head's gradient is computed in forward (Liger)
    bool standard_attention = false;          // scores are stored (eager modules); false: flash
    bool compile = false;                     // torch.compile of each block
    double initial_loss_scale = 65536;        // fp16-mixed; DeepSpeed initial_scale_power 16
    std::string data = "";                    // path, or "chain"; empty = the project's own docs
    std::string init = "normal";              // normal | hash
};

/// `mode inference`: a batch is prefilled and then generates tokens one by one.
struct Inference {
    enum class Cache : std::uint8_t { contiguous, paged };
    enum class CachePrecision : std::uint8_t { compute, fp8, int8 };
    bool enabled = false;
    std::int64_t batch = 1, prompt_tokens = 0, new_tokens = 0;
    Cache cache = Cache::contiguous;
    CachePrecision precision = CachePrecision::compute;
    std::int64_t block_size = 16;             // tokens of a page
    double memory_utilization = 0.9;          // share of the device that paged inference may take
};

/// PyTorch's caching allocator: keys of PYTORCH_CUDA_ALLOC_CONF. 0 = not set.
struct Allocator {
    bool expandable_segments = false;
    std::int64_t max_split_size_mb = 0, roundup_power2_divisions = 0;
    double garbage_collection_threshold = 0;
    double memory_fraction = 0;               // set_per_process_memory_fraction
};

struct Scenario {
    model::Model model;
    cluster::Cluster cluster;
    Strategy strategy;
    Training training;
    Inference inference;
    Allocator allocator;
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
