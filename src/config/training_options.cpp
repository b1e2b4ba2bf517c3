#include "config/training_options.hpp"

#include "base/error.hpp"
#include "base/units.hpp"
#include "config/deepspeed_options.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

namespace zerosim::config {
namespace {

using namespace strategy;

/// The enumerator whose name is the value; the table of options has the same names, so a miss is a bug.
template <class E, std::size_t N>
E pick(const Values& values, const char* key, const std::array<std::pair<std::string_view, E>, N>& names) {
    for (const auto& [text, enumerator] : names) {
        if (text == values.text(key)) return enumerator;
    }
    throw BugError(fmt::format("option {} accepts '{}', which has no meaning", key, values.text(key)));
}

constexpr std::array<std::pair<std::string_view, System>, 6> kSystems{{{"zerosim", System::zerosim},
                                                                       {"ddp", System::ddp},
                                                                       {"fsdp", System::fsdp},
                                                                       {"fsdp2", System::fsdp2},
                                                                       {"deepspeed", System::deepspeed},
                                                                       {"megatron", System::megatron}}};
constexpr std::array<std::pair<std::string_view, Precision>, 5> kPrecisions{{{"bf16-mixed", Precision::bf16_mixed},
                                                                             {"fp8-mixed", Precision::bf16_mixed},
                                                                             {"fp16-mixed", Precision::fp16_mixed},
                                                                             {"bf16", Precision::bf16},
                                                                             {"fp32", Precision::fp32}}};
constexpr std::array<std::pair<std::string_view, Optimizer>, 6> kOptimizers{{{"adamw", Optimizer::adamw},
                                                                             {"adamw-foreach", Optimizer::adamw_foreach},
                                                                             {"sgd-momentum", Optimizer::sgd_momentum},
                                                                             {"adamw-8bit", Optimizer::adamw_8bit},
                                                                             {"adamw-8bit-paged", Optimizer::adamw_8bit_paged},
                                                                             {"adamw-paged", Optimizer::adamw_paged}}};
constexpr std::array<std::pair<std::string_view, Placement>, 3> kPlacements{
    {{"none", Placement::device}, {"cpu", Placement::cpu}, {"nvme", Placement::nvme}}};
constexpr std::array<std::pair<std::string_view, FsdpOptions::BackwardPrefetch>, 3> kBackwardPrefetches{
    {{"pre", FsdpOptions::BackwardPrefetch::pre}, {"post", FsdpOptions::BackwardPrefetch::post}, {"none", FsdpOptions::BackwardPrefetch::none}}};
constexpr std::array<std::pair<std::string_view, WeightFormat>, 6> kWeightFormats{{{"none", WeightFormat::full},
                                                                                   {"nf4", WeightFormat::nf4},
                                                                                   {"nf4-double", WeightFormat::nf4_double},
                                                                                   {"nf4-torchao", WeightFormat::nf4_torchao},
                                                                                   {"int8", WeightFormat::int8},
                                                                                   {"int4", WeightFormat::int4}}};
constexpr std::array<std::pair<std::string_view, DeviceChoice>, 3> kDevices{
    {{"auto", DeviceChoice::automatic}, {"cpu", DeviceChoice::cpu}, {"cuda", DeviceChoice::cuda}}};
constexpr std::array<std::pair<std::string_view, Compute>, 2> kComputes{
    {{"real", Compute::real}, {"synthetic", Compute::synthetic}}};
constexpr std::array<std::pair<std::string_view, Arena>, 2> kArenas{{{"planned", Arena::planned}, {"caching", Arena::caching}}};
constexpr std::array<std::pair<std::string_view, Format>, 3> kFormats{
    {{"table", Format::table}, {"json", Format::json}, {"csv", Format::csv}}};
constexpr std::array<std::pair<std::string_view, FaultAction>, 4> kActions{
    {{"throw", FaultAction::fail}, {"hang", FaultAction::hang}, {"slow", FaultAction::slow}, {"exit", FaultAction::exit}}};

Recompute recompute_of(const Values& values) {
    const std::string& text = values.text("train.recompute");
    if (text == "none") return {0};
    if (text == "full") return {1};
    if (text == "selective") return {1, true};
    if (text.starts_with("every:")) {
        const auto every = parse_integer(std::string_view(text).substr(6));
        if (every && *every >= 1 && *every <= 32767) return {static_cast<int>(*every)};
    }
    values.refuse("train.recompute", "is not none, full, selective or every:K with K at least 1");
}

/// The `zerosim` system stores and reduces gradients in the compute dtype; another dtype is not built.
void check_reduce_precision(const Values& values, Precision precision) {
    const std::string& asked = values.text("train.reduce-precision");
    if (asked.empty() || values.text("strategy.system") != "zerosim") return;
    if (asked != name(compute_dtype(precision))) {
        values.refuse("train.reduce-precision",
                      fmt::format("is not implemented yet for train.precision {}: the zerosim system reduces in {}",
                                  values.text("train.precision"), name(compute_dtype(precision))));
    }
}

/// Nothing where an optional dtype is not given.
std::optional<DType> optional_dtype(const Values& values, const char* key) {
    const std::string& text = values.text(key);
    if (text.empty()) return std::nullopt;
    return text == "fp32" ? DType::fp32 : text == "bf16" ? DType::bf16 : DType::fp16;
}

/// Names between commas.
std::vector<std::string> lora_targets_of(const Values& values) {
    std::vector<std::string> targets;
    const std::string& text = values.text("train.lora-targets");
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        targets.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    for (const std::string& target : targets) {
        static constexpr std::array<std::string_view, 14> kTargets{"q", "k", "v", "o", "gate", "up", "down", "qkv", "gate_up", "q_a", "q_b", "kv_a", "kv_b", "all"};
        if (std::ranges::find(kTargets, target) == kTargets.end())
            values.refuse("train.lora-targets", fmt::format("has '{}'; linear layers are {}", target, fmt::join(kTargets, ", ")));
    }
    return targets;
}

/// Options of PyTorch's eager systems alone: other systems would have to ignore them.
void check_framework_options(const Values& values, System system) {
    const bool ddp = system == System::ddp, fsdp2 = system == System::fsdp2;
    const auto only = [&](bool allowed, const char* key, const char* default_value) {
        if (!allowed && values.text(key) != default_value)
            values.refuse(key, fmt::format("is not implemented yet for strategy.system {}", values.text("strategy.system")));
    };
    if (!ddp && values.boolean("strategy.gradient-as-bucket-view"))
        values.refuse("strategy.gradient-as-bucket-view", fmt::format("is an option of DistributedDataParallel (strategy.system ddp), not of {}", values.text("strategy.system")));
    const bool framework = system != System::zerosim;   // which of them: strategy/check_techniques.cpp
    only(framework, "train.optimizer", "adamw");
    only(framework, "train.compile", "false");
    only(framework, "train.lora-rank", "0");
    if (values.given("train.lora-targets") && values.integer("train.lora-rank") == 0)
        values.refuse("train.lora-targets", "names the layers of adapters, but there are none: give train.lora-rank too");
    only(framework, "train.loss-chunks", "1");
    only(framework, "train.fused-loss", "false");
    only(framework, "train.offload-activations", "none");
    const bool fsdp = system == System::fsdp;
    const bool deepspeed = system == System::deepspeed;
    only(fsdp2 || fsdp || deepspeed, "strategy.offload-parameters", "none");
    only(fsdp2 || fsdp || deepspeed, "strategy.offload-optimizer", "none");
    only(ddp || !framework, "strategy.bucket-cap-mib", "25");
    only(!framework, "strategy.prefetch-depth", "1");
    only(!framework, "strategy.reuse-gathered", "false");
    if (!deepspeed) refuse_deepspeed_options(values);
}

std::optional<Fault> fault_of(const Values& values) {
    const std::string& text = values.text("inject");
    if (text.empty()) return std::nullopt;
    const auto first = text.find(':');
    const auto last = text.rfind(':');
    const auto rank = first == std::string::npos ? std::nullopt : parse_integer(std::string_view(text).substr(0, first));
    for (const auto& [action_name, action] : kActions) {
        if (rank && *rank >= 0 && last > first + 1 && text.substr(last + 1) == action_name)
            return Fault{*rank, text.substr(first + 1, last - first - 1), action};
    }
    values.refuse("inject", "is not rank:op:throw, rank:op:hang, rank:op:slow or rank:op:exit");
}

} // namespace

Strategy strategy_of(const Values& values) {
    Strategy s;
    s.system = pick(values, "strategy.system", kSystems);
    s.zero_stage = static_cast<int>(values.integer("strategy.zero-stage"));
    if (!values.text("strategy.shard-group").empty()) s.shard_group = values.integer("strategy.shard-group");
    s.bucket_cap_mib = values.real("strategy.bucket-cap-mib");
    s.prefetch_depth = static_cast<int>(values.integer("strategy.prefetch-depth"));
    s.overlap_communication = values.boolean("strategy.overlap-communication");
    s.reuse_gathered = values.boolean("strategy.reuse-gathered");
    s.gradient_as_bucket_view = values.boolean("strategy.gradient-as-bucket-view");
    s.wrap = values.boolean("strategy.wrap");
    s.wrap_embeddings = values.boolean("strategy.wrap-embeddings");
    s.fsdp.original_parameters = values.boolean("strategy.use-orig-params");
    s.fsdp.limit_all_gathers = values.boolean("strategy.limit-all-gathers");
    s.fsdp.forward_prefetch = values.boolean("strategy.forward-prefetch");
    s.fsdp.backward_prefetch = pick(values, "strategy.backward-prefetch", kBackwardPrefetches);
    if (!values.text("strategy.sync-each-batch").empty()) s.sync_each_batch = values.text("strategy.sync-each-batch") == "true";
    if (!values.text("strategy.bucket-size").empty()) s.megatron.bucket_elements = values.integer("strategy.bucket-size");
    s.megatron.fuse_gradient_accumulation = values.boolean("strategy.gradient-accumulation-fusion");
    s.deepspeed = deepspeed_of(values);
    if (s.system == System::deepspeed) s.overlap_communication = s.deepspeed.overlap.value_or(s.zero_stage == 3);
    s.parameters_at = pick(values, "strategy.offload-parameters", kPlacements);
    s.optimizer_at = pick(values, "strategy.offload-optimizer", kPlacements);
    return s;
}

Training training_of(const Values& values) {
    Training t;
    t.micro_batch = values.integer("train.micro-batch");
    t.sequence_length = values.integer("train.sequence-length");
    t.gradient_accumulation = values.integer("train.gradient-accumulation");
    t.steps = values.integer("train.steps");
    t.precision = pick(values, "train.precision", kPrecisions);
    t.fp8_products = values.text("train.precision") == "fp8-mixed";
    t.reduce_precision = optional_dtype(values, "train.reduce-precision");
    t.optimizer = pick(values, "train.optimizer", kOptimizers);
    t.learning_rate = values.real("train.learning-rate");
    t.beta1 = values.real("train.beta1");
    t.beta2 = values.real("train.beta2");
    t.epsilon = values.real("train.epsilon");
    t.weight_decay = values.real("train.weight-decay");
    t.clip_gradients = values.real("train.clip-gradients");
    t.initial_loss_scale = values.real("train.initial-loss-scale");
    t.recompute = recompute_of(values);
    t.recompute_early_stop = values.boolean("train.recompute-early-stop");
    t.dropout = values.real("train.dropout");
    t.standard_attention = values.text("train.attention") == "standard";
    t.seed = static_cast<std::uint64_t>(values.integer("train.seed"));
    t.lora_rank = values.integer("train.lora-rank");
    t.lora_targets = lora_targets_of(values);
    t.lora_dropout = values.real("train.lora-dropout");
    t.lora_precision = optional_dtype(values, "train.lora-precision");
    t.frozen_precision = optional_dtype(values, "train.frozen-precision");
    t.lora_embeddings = values.boolean("train.lora-embeddings");
    t.frozen_weights = pick(values, "train.quantize-weights", kWeightFormats);
    t.optimizer_in_backward = values.boolean("train.optimizer-in-backward");
    t.offload_activations = values.text("train.offload-activations") == "cpu";
    t.loss_chunks = values.integer("train.loss-chunks");
    t.fused_loss = values.boolean("train.fused-loss");
    t.compile = values.boolean("train.compile");
    t.data = values.text("train.data");
    t.init = values.text("train.init");
    for (const char* beta : {"train.beta1", "train.beta2"}) {
        if (values.real(beta) >= 1) values.refuse(beta, "is not below 1");
    }
    check_reduce_precision(values, t.precision);
    check_framework_options(values, pick(values, "strategy.system", kSystems));
    return t;
}

RunOptions run_options_of(const Values& values) {
    RunOptions run;
    run.device = pick(values, "device", kDevices);
    run.compute = pick(values, "compute", kComputes);
    run.arena = pick(values, "strategy.arena", kArenas);
    run.timeout_seconds = values.real("timeout-seconds");
    run.inject = fault_of(values);
    run.trace = values.boolean("trace");
    run.check_numerics = values.boolean("check-numerics");
    run.explain = values.boolean("explain");
    run.share_device = values.boolean("share-device");
    run.register_buffers = values.boolean("register-buffers");
    if (run.register_buffers && run.arena != Arena::planned) values.refuse("register-buffers", "registers planned arenas: leave out strategy.arena");
    if (run.register_buffers && run.device == DeviceChoice::cpu) values.refuse("register-buffers", "is for GPUs");
    run.transport = *transport_of(values.text("transport"));
    run.estimators = values.boolean("estimators");
    run.sensitivity = values.boolean("sensitivity");
    run.maximize = values.text("max");
    run.minimize = values.text("min");
    run.fail_if = values.text("fail-if");
    if (!values.text("tolerance").empty()) run.tolerance = values.real("tolerance");
    run.format = format_of(values);
    run.output = values.text("output");
    run.perfetto = values.text("perfetto");
    run.show_schedule = values.boolean("schedule");
    run.show_partition = values.boolean("partition");
    run.ranks_given = values.given("ranks") && values.at("ranks").origin != "MPI";
    return run;
}

Format format_of(const Values& values) { return pick(values, "format", kFormats); }

} // namespace zerosim::config
