#include "config/deepspeed_keys.hpp"

#include <algorithm>
#include <array>

namespace zerosim::config {
namespace {

using enum Meaning;

constexpr std::array kKeys{
    DeepSpeedKey{"train_batch_size", number, "train.global-batch"},
    DeepSpeedKey{"train_micro_batch_size_per_gpu", number, "train.micro-batch"},
    DeepSpeedKey{"gradient_accumulation_steps", number, "train.gradient-accumulation"},
    DeepSpeedKey{"gradient_clipping", number, "train.clip-gradients"},
    DeepSpeedKey{"fp16.enabled", own},
    DeepSpeedKey{"bf16.enabled", own},
    DeepSpeedKey{"bfloat16.enabled", own},
    DeepSpeedKey{"fp16.initial_scale_power", own},
    DeepSpeedKey{"fp16.loss_scale", unused},
    DeepSpeedKey{"fp16.loss_scale_window", unused},
    DeepSpeedKey{"fp16.hysteresis", unused},
    DeepSpeedKey{"fp16.consecutive_hysteresis", unused},
    DeepSpeedKey{"fp16.min_loss_scale", unused},
    DeepSpeedKey{"fp16.auto_cast", off, "false"},
    DeepSpeedKey{"fp16.fp16_master_weights_and_grads", off, "false"},
    DeepSpeedKey{"bf16.immediate_grad_update", off, "false"},
    DeepSpeedKey{"bf16.check_grad_overflow", off, "true"},
    DeepSpeedKey{"bf16.bf16_master_weights_and_grads", off, "false"},
    DeepSpeedKey{"bf16.bf16_optimizer_states", off, "false"},
    DeepSpeedKey{"communication_data_type", own},
    DeepSpeedKey{"data_types.grad_accum_dtype", own},
    DeepSpeedKey{"data_types.param_dtype", own},
    DeepSpeedKey{"torch_autocast.enabled", off, "false"},
    DeepSpeedKey{"torch_autocast.dtype", unused},
    DeepSpeedKey{"torch_autocast.lower_precision_safe_modules", unused},
    DeepSpeedKey{"optimizer.type", own},
    DeepSpeedKey{"optimizer.params.lr", number, "train.learning-rate"},
    DeepSpeedKey{"optimizer.params.betas", own},
    DeepSpeedKey{"optimizer.params.eps", number, "train.epsilon"},
    DeepSpeedKey{"optimizer.params.weight_decay", number, "train.weight-decay"},
    DeepSpeedKey{"optimizer.params.torch_adam", off, "false"},
    DeepSpeedKey{"optimizer.params.adam_w_mode", off, "true"},
    DeepSpeedKey{"optimizer.params.bias_correction", unused},
    DeepSpeedKey{"optimizer.legacy_fusion", off, "false"},
    DeepSpeedKey{"zero_optimization.stage", number, "strategy.zero-stage"},
    DeepSpeedKey{"zero_optimization.contiguous_gradients", flag, "strategy.contiguous-gradients"},
    DeepSpeedKey{"zero_optimization.reduce_scatter", flag, "strategy.reduce-scatter"},
    DeepSpeedKey{"zero_optimization.reduce_bucket_size", derived, "strategy.reduce-bucket-size"},
    DeepSpeedKey{"zero_optimization.use_multi_rank_bucket_allreduce", flag, "strategy.multi-rank-bucket-allreduce"},
    DeepSpeedKey{"zero_optimization.allgather_partitions", unused},
    DeepSpeedKey{"zero_optimization.allgather_bucket_size", number, "strategy.allgather-bucket-size"},
    DeepSpeedKey{"zero_optimization.overlap_comm", flag, "strategy.overlap-communication"},
    DeepSpeedKey{"zero_optimization.round_robin_gradients", flag, "strategy.round-robin-gradients"},
    DeepSpeedKey{"zero_optimization.sub_group_size", number, "strategy.sub-group-size"},
    DeepSpeedKey{"zero_optimization.stage3_prefetch_bucket_size", derived, "strategy.prefetch-bucket-size"},
    DeepSpeedKey{"zero_optimization.stage3_param_persistence_threshold", derived, "strategy.persistence-threshold"},
    DeepSpeedKey{"zero_optimization.stage3_model_persistence_threshold", number, "strategy.model-persistence-threshold"},
    DeepSpeedKey{"zero_optimization.stage3_max_live_parameters", number, "strategy.max-live-parameters"},
    DeepSpeedKey{"zero_optimization.stage3_max_reuse_distance", number, "strategy.max-reuse-distance"},
    DeepSpeedKey{"zero_optimization.load_from_fp32_weights", unused},
    DeepSpeedKey{"zero_optimization.ignore_unused_parameters", unused},
    DeepSpeedKey{"zero_optimization.stage3_gather_16bit_weights_on_model_save", unused},
    DeepSpeedKey{"zero_optimization.stage3_gather_fp16_weights_on_model_save", unused},
    DeepSpeedKey{"zero_optimization.elastic_checkpoint", unused},
    DeepSpeedKey{"zero_optimization.legacy_stage1", unused},
    DeepSpeedKey{"zero_optimization.memory_efficient_linear", unused},
    DeepSpeedKey{"zero_optimization.override_module_apply", unused},
    DeepSpeedKey{"zero_optimization.log_trace_cache_warnings", unused},
    DeepSpeedKey{"zero_optimization.leaf_module", unused},
    DeepSpeedKey{"zero_optimization.stage3_module_granularity_threshold", off, "0"},
    DeepSpeedKey{"zero_optimization.stage3_use_all_reduce_for_fetch_params", off, "false"},
    DeepSpeedKey{"zero_optimization.stage3_allgather_sequential", off, "false"},
    DeepSpeedKey{"zero_optimization.zero_hpz_partition_size", off, "1"},
    DeepSpeedKey{"zero_optimization.zero_quantized_weights", off, "false"},
    DeepSpeedKey{"zero_optimization.zero_quantized_nontrainable_weights", off, "false"},
    DeepSpeedKey{"zero_optimization.zero_quantized_gradients", off, "false"},
    DeepSpeedKey{"zero_optimization.zeropp_loco_param", off, "null"},
    DeepSpeedKey{"zero_optimization.mics_shard_size", off, "-1"},
    DeepSpeedKey{"zero_optimization.mics_hierarchical_params_gather", off, "false"},
    DeepSpeedKey{"zero_optimization.zenflow", off, "null"},
    DeepSpeedKey{"zero_optimization.pipeline_loading_checkpoint", unused},
    DeepSpeedKey{"zero_optimization.cpu_offload", own},
    DeepSpeedKey{"zero_optimization.cpu_offload_param", own},
    DeepSpeedKey{"zero_optimization.cpu_offload_params", own},
    DeepSpeedKey{"zero_optimization.cpu_offload_use_pin_memory", flag, "strategy.pin-memory"},
    DeepSpeedKey{"zero_optimization.offload_param.device", own},
    DeepSpeedKey{"zero_optimization.offload_optimizer.device", own},
    DeepSpeedKey{"zero_optimization.offload_param.pin_memory", flag, "strategy.pin-memory"},
    DeepSpeedKey{"zero_optimization.offload_optimizer.pin_memory", flag, "strategy.pin-memory"},
    DeepSpeedKey{"zero_optimization.offload_optimizer.ratio", number, "strategy.offload-ratio"},
    DeepSpeedKey{"zero_optimization.offload_param.nvme_path", unused},
    DeepSpeedKey{"zero_optimization.offload_param.buffer_count", number, "strategy.offload-buffer-count"},
    DeepSpeedKey{"zero_optimization.offload_param.buffer_size", number, "strategy.offload-buffer-size"},
    DeepSpeedKey{"zero_optimization.offload_param.max_in_cpu", number, "strategy.offload-max-in-cpu"},
    DeepSpeedKey{"zero_optimization.offload_optimizer.nvme_path", unused},
    DeepSpeedKey{"zero_optimization.offload_optimizer.buffer_count", number, "strategy.offload-optimizer-buffer-count"},
    DeepSpeedKey{"zero_optimization.offload_optimizer.pipeline", unused},
    DeepSpeedKey{"zero_optimization.offload_optimizer.pipeline_read", off, "false"},
    DeepSpeedKey{"zero_optimization.offload_optimizer.pipeline_write", off, "false"},
    DeepSpeedKey{"zero_optimization.offload_optimizer.fast_init", unused},
    DeepSpeedKey{"zero_optimization.offload_optimizer.super_offload", off, "false"},
    DeepSpeedKey{"zero_optimization.offload_optimizer.cpuadam_cores_perc", unused},
    DeepSpeedKey{"prescale_gradients", off, "false"},
    DeepSpeedKey{"gradient_predivide_factor", off, "1"},
    DeepSpeedKey{"sparse_gradients", off, "false"},
    DeepSpeedKey{"amp.enabled", off, "false"},
    DeepSpeedKey{"amp.opt_level", unused},
};
// Sections and settings that concern other things than a plan.
constexpr std::array<std::string_view, 38> kOther{"scheduler",
                                                  "activation_checkpointing",
                                                  "aio",
                                                  "steps_per_print",
                                                  "wall_clock_breakdown",
                                                  "dump_state",
                                                  "zero_allow_untested_optimizer",
                                                  "zero_force_ds_cpu_optimizer",
                                                  "tensorboard",
                                                  "wandb",
                                                  "csv_monitor",
                                                  "comet",
                                                  "flops_profiler",
                                                  "comms_logger",
                                                  "elasticity",
                                                  "autotuning",
                                                  "checkpoint",
                                                  "data_efficiency",
                                                  "curriculum_learning",
                                                  "compression_training",
                                                  "progressive_layer_drop",
                                                  "eigenvalue",
                                                  "quantize_training",
                                                  "hybrid_engine",
                                                  "memory_breakdown",
                                                  "disable_allgather",
                                                  "seed",
                                                  "dataloader_drop_last",
                                                  "nebula",
                                                  "sparse_attention",
                                                  "communication_timeout",
                                                  "load_universal_checkpoint",
                                                  "use_node_local_storage",
                                                  "weight_quantization",
                                                  "pipeline",
                                                  "compile",
                                                  "graph_harvesting",
                                                  "use_data_before_expert_parallelism"};
constexpr std::array<std::string_view, 12> kSections{"fp16",
                                                     "bf16",
                                                     "bfloat16",
                                                     "data_types",
                                                     "torch_autocast",
                                                     "optimizer",
                                                     "optimizer.params",
                                                     "zero_optimization",
                                                     "zero_optimization.offload_param",
                                                     "zero_optimization.offload_optimizer",
                                                     "amp",
                                                     ""};
constexpr DeepSpeedKey kUnused{"", unused};

} // namespace

const DeepSpeedKey* find_deepspeed_key(std::string_view path) {
    const auto* const found = std::ranges::find(kKeys, path, &DeepSpeedKey::path);
    if (found != kKeys.end()) return found;
    return std::ranges::find(kOther, path.substr(0, path.find('.'))) != kOther.end() ? &kUnused : nullptr;
}

std::vector<std::string> deepspeed_keys_below(std::string_view object) {
    std::vector<std::string> all;
    const auto add = [&](std::string_view path) {
        if (!object.empty() && !(path.starts_with(object) && path.substr(object.size()).starts_with('.'))) return;
        const std::string_view rest = object.empty() ? path : path.substr(object.size() + 1);
        std::string name(rest.substr(0, rest.find('.')));
        if (std::ranges::find(all, name) == all.end()) all.push_back(std::move(name));
    };
    for (const DeepSpeedKey& key : kKeys) add(key.path);
    if (object.empty())
        for (const std::string_view key : kOther) add(key);
    return all;
}

bool is_deepspeed_section(std::string_view path) { return std::ranges::find(kSections, path) != kSections.end(); }

} // namespace zerosim::config
