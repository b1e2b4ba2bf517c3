#include "config/deepspeed_options.hpp"

#include "base/units.hpp"

#include <fmt/core.h>

#include <cmath>

namespace zerosim::config {
namespace {

std::int64_t elements(const Values& values, const char* key) {
    const auto number = parse_real(values.text(key));
    if (!number || !(*number >= 0 && *number <= 1e15)) values.refuse(key, "is not a number of elements from 0 to 1e15, or auto");
    return std::llround(*number);
}

bool offloads(const Values& values) {
    return values.text("strategy.offload-optimizer") != "none" || values.text("strategy.offload-parameters") != "none";
}

} // namespace

/// transformers/integrations/deepspeed.py, trainer_config_finalize.
void settle_deepspeed(Values& values, const model::Model& model) {
    // offload_config.py: the default until pull request 8207.
    if (values.text("strategy.deepspeed-release") != "0.19" && offloads(values)) values.set_default("strategy.pin-memory", "false", "from strategy.deepspeed-release");
    const double h = static_cast<double>(model.hidden);
    const auto settle = [&](const char* key, double number, const char* rule) {
        if (values.text(key) == "auto")
            values.set(key, fmt::format("{:.0f}", std::trunc(number)), fmt::format("{} (auto: {})", values.at(key).origin, rule));
    };
    settle("strategy.reduce-bucket-size", h * h, "hidden x hidden");
    settle("strategy.prefetch-bucket-size", 0.9 * h * h, "0.9 x hidden x hidden");
    settle("strategy.persistence-threshold", 10 * h, "10 x hidden");
}

strategy::DeepSpeedOptions deepspeed_of(const Values& values) {
    strategy::DeepSpeedOptions o;
    o.reduce_bucket = elements(values, "strategy.reduce-bucket-size");
    o.gather_bucket = elements(values, "strategy.allgather-bucket-size");
    o.prefetch_bucket = elements(values, "strategy.prefetch-bucket-size");
    o.persistence_threshold = elements(values, "strategy.persistence-threshold");
    if (!values.text("strategy.model-persistence-threshold").empty() && values.real("strategy.model-persistence-threshold") < 9e18)
        o.model_persistence_threshold = std::llround(values.real("strategy.model-persistence-threshold"));
    o.max_live = elements(values, "strategy.max-live-parameters");
    o.max_reuse_distance = elements(values, "strategy.max-reuse-distance");
    o.sub_group = elements(values, "strategy.sub-group-size");
    o.contiguous_gradients = values.boolean("strategy.contiguous-gradients");
    o.reduce_scatter = values.boolean("strategy.reduce-scatter");
    o.multi_rank_allreduce = values.boolean("strategy.multi-rank-bucket-allreduce");
    o.round_robin_gradients = values.boolean("strategy.round-robin-gradients");
    const std::string& release = values.text("strategy.deepspeed-release");
    o.release = release == "0.14" ? 14 : release == "0.16" ? 16 : 19;
    o.pin_memory = values.boolean("strategy.pin-memory");
    o.offload_ratio = values.real("strategy.offload-ratio");
    o.max_in_cpu = elements(values, "strategy.offload-max-in-cpu");
    o.parameter_buffer = elements(values, "strategy.offload-buffer-size");
    o.parameter_buffers = values.integer("strategy.offload-buffer-count");
    o.optimizer_buffers = values.integer("strategy.offload-optimizer-buffer-count");
    if (values.text("strategy.system") == "deepspeed" && values.given("strategy.overlap-communication"))
        o.overlap = values.boolean("strategy.overlap-communication");
    return o;
}

namespace {

/// Settings that only some stages read: in bits 1 << stage. Stage 0 reduces in torch's own buckets, stage 3 has no flat groups.
struct StagedOption {
    const char* key;
    unsigned stages;
};
constexpr unsigned kFlat = 1U << 1 | 1U << 2, kSharded = 1U << 3, kGradients = kFlat | kSharded;
constexpr StagedOption kStaged[] = {
    {"strategy.reduce-bucket-size", kGradients},       {"strategy.reduce-scatter", kGradients},         {"strategy.contiguous-gradients", kFlat},
    {"strategy.multi-rank-bucket-allreduce", kFlat},   {"strategy.round-robin-gradients", kFlat},       {"strategy.prefetch-bucket-size", kSharded},
    {"strategy.persistence-threshold", kSharded},      {"strategy.model-persistence-threshold", kSharded},
    {"strategy.max-live-parameters", kSharded},        {"strategy.max-reuse-distance", kSharded},       {"strategy.sub-group-size", kSharded},
    {"strategy.offload-ratio", kSharded},              {"strategy.offload-max-in-cpu", kSharded},       {"strategy.offload-buffer-size", kSharded},
    {"strategy.offload-buffer-count", kSharded},       {"strategy.offload-optimizer-buffer-count", kSharded},
    {"strategy.allgather-bucket-size", 0},   // torch has all_gather_into_tensor: stage_1_and_2 gathers a group in one call
};

} // namespace

std::vector<std::string> settings_of_other_stages(const Values& values) {
    std::vector<std::string> settings;
    if (values.text("strategy.system") != "deepspeed") return settings;
    const auto stage = static_cast<unsigned>(values.integer("strategy.zero-stage"));
    for (const StagedOption& option : kStaged)
        if (values.given(option.key) && (option.stages >> stage & 1U) == 0)
            settings.push_back(fmt::format("{} ({}) at strategy.zero-stage {}", option.key, values.at(option.key).origin, stage));
    for (const char* key : {"strategy.pin-memory", "strategy.deepspeed-release"})
        if (values.given(key) && !offloads(values)) settings.push_back(fmt::format("{} ({}) without offload", key, values.at(key).origin));
    return settings;
}

void refuse_deepspeed_options(const Values& values) {
    for (const Option& option : option_table()) {
        if (option.group != "DeepSpeed" || values.text(option.key) == option.default_value) continue;
        values.refuse(option.key, fmt::format("concerns strategy.system deepspeed, not {}", values.text("strategy.system")));
    }
}

} // namespace zerosim::config
