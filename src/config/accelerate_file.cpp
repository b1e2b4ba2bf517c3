// Keys: accelerate/commands/config/config_args.py (ClusterConfig), accelerate/utils/dataclasses.py (FullyShardedDataParallelPlugin,
// DeepSpeedPlugin, MegatronLMPlugin), transformers/training_args.py.
#include "config/accelerate_file.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "config/deepspeed_file.hpp"

#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace zerosim::config {
namespace {

/// A key that sets an option as it is.
struct Plain {
    std::string_view key, option;
    bool flag = false;
};
constexpr std::array<Plain, 21> kTop{{{"num_processes", "ranks"},
                                      {"gradient_accumulation_steps", "train.gradient-accumulation"},
                                      {"per_device_train_batch_size", "train.micro-batch"},
                                      {"max_seq_length", "train.sequence-length"},
                                      {"max_length", "train.sequence-length"},
                                      {"max_grad_norm", "train.clip-gradients"},
                                      {"ddp_bucket_cap_mb", "strategy.bucket-cap-mib"},
                                      {"learning_rate", "train.learning-rate"},
                                      {"adam_beta1", "train.beta1"},
                                      {"adam_beta2", "train.beta2"},
                                      {"adam_epsilon", "train.epsilon"},
                                      {"weight_decay", "train.weight-decay"},
                                      {"max_steps", "train.steps"},
                                      {"seed", "train.seed"},
                                      {"torch_compile", "train.compile", true},
                                      {"use_liger_kernel", "train.fused-loss", true},
                                      {"deepspeed_config.zero_stage", "strategy.zero-stage"},
                                      {"deepspeed_config.gradient_accumulation_steps", "train.gradient-accumulation"},
                                      {"deepspeed_config.gradient_clipping", "train.clip-gradients"},
                                      {"megatron_lm_config.megatron_lm_gradient_clipping", "train.clip-gradients"},
                                      {"megatron_lm_config.megatron_lm_num_micro_batches", "train.gradient-accumulation"}}};
/// Keys with a rule of their own below.
constexpr std::array<std::string_view, 33> kOwn{
    "distributed_type", "num_machines", "mixed_precision", "bf16", "fp16", "gradient_checkpointing", "optim", "fsdp", "deepspeed",
    "fsdp_config.version", "fsdp_config.sharding_strategy", "fsdp_config.reshard_after_forward", "fsdp_config.auto_wrap_policy",
    "fsdp_config.backward_prefetch", "fsdp_config.backward_prefetch_policy", "fsdp_config.forward_prefetch", "fsdp_config.offload_params",
    "fsdp_config.use_orig_params", "fsdp_config.activation_checkpointing", "fsdp_config.limit_all_gathers",
    "deepspeed_config.offload_optimizer_device", "deepspeed_config.offload_param_device", "deepspeed_config.deepspeed_config_file",
    "deepspeed_config.zero_stage", "deepspeed_config.gradient_clipping", "deepspeed_config.gradient_accumulation_steps",
    "megatron_lm_config.megatron_lm_tp_degree", "megatron_lm_config.megatron_lm_pp_degree", "megatron_lm_config.megatron_lm_use_distributed_optimizer",
    "megatron_lm_config.megatron_lm_recompute_activations", "megatron_lm_config.megatron_lm_sequence_parallelism", "use_cpu", "fsdp_config.cpu_offload"};
/// Known keys of sections that change nothing in a plan.
constexpr std::array<std::string_view, 17> kUnused{
    "fsdp_config.transformer_layer_cls_to_wrap", "fsdp_config.min_num_params", "fsdp_config.sync_module_states", "fsdp_config.cpu_ram_efficient_loading",
    "fsdp_config.state_dict_type", "fsdp_config.xla", "deepspeed_config.zero3_init_flag", "deepspeed_config.zero3_save_16bit_model",
    "deepspeed_config.offload_optimizer_nvme_path", "deepspeed_config.offload_param_nvme_path", "deepspeed_config.deepspeed_multinode_launcher",
    "deepspeed_config.deepspeed_hostfile", "deepspeed_config.deepspeed_exclusion_filter", "deepspeed_config.deepspeed_inclusion_filter",
    "deepspeed_config.deepspeed_moe_layer_cls_names", "fsdp_config.transformer_layer_cls", "fsdp_config.wrap_policy"};
constexpr std::array<std::string_view, 3> kSections{"fsdp_config", "deepspeed_config", "megatron_lm_config"};

struct Entry {
    std::string value;
    int line = 0;
};

class Reader {
public:
    Reader(const std::filesystem::path& path) : path_(path), builder_(path.string()) {}

    FrameworkFile run() {
        load();
        for (const Plain& plain : kTop)
            if (const Entry* e = find(plain.key)) builder_.set(plain.option, plain.flag ? flag_text(at(plain.key), e->value) : e->value, at(plain.key));
        precision();
        trainer();
        system();
        return builder_.finish();
    }

private:
    [[nodiscard]] std::string at(std::string_view key) const {
        const auto entry = entries_.find(std::string(key));
        return builder_.place(entry == entries_.end() ? 0 : entry->second.line, key);
    }
    [[noreturn]] void refuse(std::string_view key, const std::string& what) const { throw ConfigError(fmt::format("{} '{}' {}", at(key), text(key), what)); }
    [[nodiscard]] const Entry* find(std::string_view key) const {
        const auto entry = entries_.find(std::string(key));
        return entry == entries_.end() || entry->second.value.empty() || entry->second.value == "null" || entry->second.value == "auto" ? nullptr : &entry->second;
    }
    [[nodiscard]] std::string text(std::string_view key, std::string otherwise = "") const {
        const Entry* const entry = find(key);
        return entry != nullptr ? entry->value : otherwise;
    }
    [[nodiscard]] bool flag(std::string_view key, bool otherwise) const {
        const Entry* const entry = find(key);
        return entry == nullptr ? otherwise : flag_text(at(key), entry->value) == "true";
    }
    void set(std::string_view option, std::string value, std::string_view key) { builder_.set(option, std::move(value), at(key)); }

    /// Every scalar of the file by "section.key"; fsdp_ prefixes of the FSDP section are left out, as in the Trainer's fsdp_config.
    void load() {
        YAML::Node root;
        try {
            root = YAML::LoadFile(path_.string());
        } catch (const YAML::BadFile&) {
            throw ConfigError(fmt::format("{}: cannot be read", builder_.name()));
        } catch (const YAML::Exception& error) {
            throw ConfigError(fmt::format("{}:{}: not YAML: {}", builder_.name(), error.mark.line + 1, error.msg));
        }
        if (!root.IsMap()) throw ConfigError(fmt::format("{}: an accelerate configuration is a YAML map", builder_.name()));
        for (const auto& pair : root) take(pair.first.as<std::string>(), pair.second);
    }

    void take(const std::string& key, const YAML::Node& node) {
        const bool section = std::ranges::find(kSections, key) != kSections.end();
        if (node.IsMap() && section) {
            for (const auto& pair : node) {
                std::string name = pair.first.as<std::string>();
                if (key == "fsdp_config" && name.starts_with("fsdp_")) name = name.substr(5);
                put(key + "." + name, key + "." + pair.first.as<std::string>(), pair.second, true);
            }
        } else {
            put(key, key, node, false);
        }
    }

    void put(const std::string& key, const std::string& written, const YAML::Node& node, bool in_section) {
        const bool known = std::ranges::find(kOwn, key) != kOwn.end() || std::ranges::find(kTop, key, &Plain::key) != kTop.end();
        const int line = node.Mark().line + 1;
        if (!known) {
            const bool harmless = !in_section || std::ranges::find(kUnused, key) != kUnused.end() || key.starts_with("megatron_lm_config.");
            if (!harmless) throw ConfigError(fmt::format("{} is no key of that section{}", builder_.place(line, written), did_you_mean(key, names())));
            builder_.unused(written);
            return;
        }
        if (const auto before = entries_.find(key); before != entries_.end())
            throw ConfigError(fmt::format("{} stands twice, first in line {}: keep the one that is meant", builder_.place(line, written), before->second.line));
        std::string value;
        if (node.IsSequence()) {
            for (const auto& item : node) value += (value.empty() ? "" : " ") + item.as<std::string>();
        } else if (!node.IsNull()) {
            if (!node.IsScalar()) throw ConfigError(fmt::format("{} is not a single value", builder_.place(line, written)));
            value = node.Scalar();
        }
        entries_[key] = {value, line};
    }

    static std::vector<std::string> names() {
        std::vector<std::string> all;
        for (const std::string_view key : kOwn) all.emplace_back(key);
        for (const std::string_view key : kUnused) all.emplace_back(key);
        return all;
    }

    void precision() {
        if (find("mixed_precision")) {
            const std::string value = one_of(at("mixed_precision"), text("mixed_precision"), {"no", "bf16", "fp16", "fp8"});
            set("train.precision", value == "no" ? "fp32" : value + "-mixed", "mixed_precision");
        }
        for (const char* key : {"bf16", "fp16"})
            if (flag(key, false)) set("train.precision", std::string(key) + "-mixed", key);
    }

    void trainer() {
        if (flag("gradient_checkpointing", false)) set("train.recompute", "full", "gradient_checkpointing");
        if (!find("optim")) return;
        static const std::map<std::string, std::string> kOptimizers{
            {"adamw_torch", "adamw-foreach"}, {"adamw_torch_fused", "adamw"}, {"adamw_bnb_8bit", "adamw-8bit"}, {"adamw_8bit", "adamw-8bit"},
            {"paged_adamw_8bit", "adamw-8bit-paged"}, {"paged_adamw", "adamw-paged"}, {"paged_adamw_32bit", "adamw-paged"}};
        const auto found = kOptimizers.find(text("optim"));
        if (found == kOptimizers.end()) refuse("optim", "is no optimizer that is planned: adamw_torch, adamw_torch_fused, adamw_bnb_8bit, paged_adamw, paged_adamw_8bit");
        set("train.optimizer", found->second, "optim");
    }

    void system() {
        std::string type = text("distributed_type", find("fsdp") ? "FSDP" : find("deepspeed") ? "DEEPSPEED" : "NO");
        type = one_of(at("distributed_type"), type, {"NO", "MULTI_GPU", "MULTI_CPU", "FSDP", "DEEPSPEED", "MEGATRON_LM"});
        machines();
        if (type == "FSDP") return fsdp();
        if (type == "DEEPSPEED") return deepspeed();
        if (type == "MEGATRON_LM") return megatron();
        if (find("fsdp") || find("deepspeed")) refuse("distributed_type", "contradicts the keys fsdp and deepspeed");
        set("strategy.system", "ddp", "distributed_type");
        set("strategy.zero-stage", "0", "distributed_type");
        modules("distributed_type");
    }

    /// A Trainer's models are those of transformers.
    void modules(std::string_view key) { builder_.set_default("model.implementation", "huggingface", at(key)); }

    void machines() {
        if (!find("num_machines") || text("num_machines") == "1") return;
        const std::int64_t machines = number("num_machines"), processes = number("num_processes");
        if (processes % machines != 0) refuse("num_machines", fmt::format("does not divide num_processes {}", processes));
        set("cluster.gpus-per-node", std::to_string(processes / machines), "num_machines");
    }

    [[nodiscard]] std::int64_t number(std::string_view key) const {
        std::int64_t value = 0;
        const std::string digits = text(key);
        for (const char c : digits) {
            if (c < '0' || c > '9' || digits.size() > 9) refuse(key, "is not a count");
            value = 10 * value + (c - '0');
        }
        if (value == 0) refuse(key, "is not a count of at least 1");
        return value;
    }

    void fsdp() {
        const std::string version = one_of(at("fsdp_config.version"), text("fsdp_config.version", "1"), {"1", "2"});
        const bool first = version == "1";
        set("strategy.system", first ? "fsdp" : "fsdp2", find("fsdp_config.version") ? "fsdp_config.version" : "distributed_type");
        modules("distributed_type");
        sharding(first);
        const std::string wrap = text("fsdp_config.auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
        if (wrap != "TRANSFORMER_BASED_WRAP") refuse("fsdp_config.auto_wrap_policy", "is not planned: units are blocks, TRANSFORMER_BASED_WRAP");
        if (flag("fsdp_config.offload_params", flag("fsdp_config.cpu_offload", text("fsdp").find("offload") != std::string::npos)))
            for (const char* option : {"strategy.offload-parameters", "strategy.offload-optimizer"}) set(option, "cpu", "fsdp_config.offload_params");
        if (flag("fsdp_config.activation_checkpointing", false)) set("train.recompute", "full", "fsdp_config.activation_checkpointing");
        // accumulate() leaves the reduction to the last micro-batch (no_sync); set_mixed_precision reduces in the compute dtype.
        builder_.set_default("strategy.sync-each-batch", "false", at("distributed_type"));
        const Value* const precision = builder_.find("train.precision");
        for (const char* narrow : {"bf16", "fp16"})
            if (precision != nullptr && precision->value == std::string(narrow) + "-mixed") builder_.set_default("train.reduce-precision", narrow, precision->origin);
        prefetch(first);
    }

    /// Stage and, for hybrid sharding, the group: a node.
    void sharding(bool first) {
        std::string key = "fsdp_config.sharding_strategy", value = text(key);
        if (value.empty() && find("fsdp")) {
            key = "fsdp";
            for (const char* name : {"hybrid_shard_zero2", "hybrid_shard", "shard_grad_op", "no_shard", "full_shard"})
                if (value.empty() && text("fsdp").find(name) != std::string::npos) value = name;
            std::ranges::transform(value, value.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        }
        const std::string reshard = text("fsdp_config.reshard_after_forward");
        if (!reshard.empty() && first && value.empty()) {   // newer names of version 1
            key = "fsdp_config.reshard_after_forward";
            value = reshard;
        }
        if (!first) {
            if (!reshard.empty()) return set("strategy.zero-stage", flag("fsdp_config.reshard_after_forward", true) ? "3" : "2", "fsdp_config.reshard_after_forward");
            if (value.empty()) return set("strategy.zero-stage", "3", "distributed_type");
        }
        static const std::vector<std::string> kNames{"FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2"};
        if (value.empty()) value = kNames[0];
        if (value.size() == 1 && value[0] >= '1' && value[0] <= '5') value = kNames[static_cast<std::size_t>(value[0] - '1')];
        value = one_of(at(key), value, kNames);
        if (value == "NO_SHARD") refuse(key, "is not planned: distributed_type MULTI_GPU replicates");
        const bool full = value == "FULL_SHARD" || value == "HYBRID_SHARD";
        set("strategy.zero-stage", full ? "3" : "2", key);
        if (!value.starts_with("HYBRID")) return;
        set("strategy.shard-group", std::to_string(number("num_processes") / (find("num_machines") ? number("num_machines") : 1)), key);
    }

    void prefetch(bool first) {
        const auto of_first = [&](const char* key) {
            if (!find(key)) return false;
            if (!first) builder_.unused(std::string(key) + " (FSDP2 has no such argument)");
            return first;
        };
        for (const char* key : {"fsdp_config.backward_prefetch", "fsdp_config.backward_prefetch_policy"}) {
            if (!of_first(key)) continue;
            std::string value = text(key);
            std::ranges::transform(value, value.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
            value = one_of(at(key), value, {"BACKWARD_PRE", "BACKWARD_POST", "NO_PREFETCH"});
            set("strategy.backward-prefetch", value == "BACKWARD_PRE" ? "pre" : value == "BACKWARD_POST" ? "post" : "none", key);
        }
        const auto pass = [&](const char* key, const char* option) {
            if (of_first(key)) set(option, flag(key, true) ? "true" : "false", key);
        };
        pass("fsdp_config.forward_prefetch", "strategy.forward-prefetch");
        pass("fsdp_config.use_orig_params", "strategy.use-orig-params");
        pass("fsdp_config.limit_all_gathers", "strategy.limit-all-gathers");
    }

    void deepspeed() {
        const std::string key = find("deepspeed") ? "deepspeed" : "deepspeed_config.deepspeed_config_file";
        modules("distributed_type");
        if (!find(key)) {
            set("strategy.system", "deepspeed", "distributed_type");
            builder_.set_default("strategy.zero-stage", "2", at("distributed_type"));   // DeepSpeedPlugin
            for (const auto& [part, option] : {std::pair{"deepspeed_config.offload_optimizer_device", "strategy.offload-optimizer"},
                                               std::pair{"deepspeed_config.offload_param_device", "strategy.offload-parameters"}})
                if (find(part)) set(option, one_of(at(part), text(part), {"none", "cpu", "nvme"}), part);
            return;
        }
        // accelerate refuses these beside a file [DeepSpeedPlugin, launch]: the file has them.
        for (const char* part : {"zero_stage", "gradient_clipping", "gradient_accumulation_steps", "offload_optimizer_device", "offload_param_device"})
            if (const std::string own = std::string("deepspeed_config.") + part; find(own)) refuse(own, fmt::format("stands beside {}, which has it", key));
        std::filesystem::path file = text(key);
        std::error_code error;
        if (!std::filesystem::exists(file, error)) file = path_.parent_path() / file;
        DeepSpeedFile inner = read_deepspeed_file(file);
        for (Value& value : inner.values) builder_.set(value.key, value.value, value.origin);
        for (std::string& unused : inner.unused) builder_.unused(file.string() + ": " + unused);
    }

    void megatron() {
        set("strategy.system", "megatron", "distributed_type");
        const std::string section = "megatron_lm_config.megatron_lm_";
        for (const auto& [part, option] : {std::pair{"tp_degree", "parallel.tensor"}, std::pair{"pp_degree", "parallel.pipeline"}})
            if (find(section + part)) set(option, text(section + part), section + part);
        const std::string distributed = section + "use_distributed_optimizer";
        set("strategy.zero-stage", flag(distributed, false) ? "1" : "0", find(distributed) ? distributed : "distributed_type");
        if (flag(section + "recompute_activations", false)) {
            set("train.recompute", "selective", section + "recompute_activations");
        }
        if (flag(section + "sequence_parallelism", false)) builder_.unused(section + "sequence_parallelism (without tensor parallelism)");
    }

    std::filesystem::path path_;
    FrameworkFileBuilder builder_;
    std::map<std::string, Entry> entries_;
};

}  // namespace

FrameworkFile read_accelerate_file(const std::filesystem::path& path) { return Reader(path).run(); }

}  // namespace zerosim::config
