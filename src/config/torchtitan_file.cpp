// Keys: torchtitan/config/job_config.py (and train_configs/*.toml of earlier versions, which named some of them elsewhere).
#include "config/torchtitan_file.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"

#include <fmt/core.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <map>

namespace zerosim::config {
namespace {

struct Plain {
    std::string_view key, option;
};
constexpr std::array<Plain, 12> kPlain{{{"training.local_batch_size", "train.micro-batch"},
                                        {"training.batch_size", "train.micro-batch"},
                                        {"training.seq_len", "train.sequence-length"},
                                        {"training.max_norm", "train.clip-gradients"},
                                        {"training.steps", "train.steps"},
                                        {"training.compile", "train.compile"},
                                        {"compile.enable", "train.compile"},
                                        {"optimizer.lr", "train.learning-rate"},
                                        {"optimizer.beta1", "train.beta1"},
                                        {"optimizer.beta2", "train.beta2"},
                                        {"optimizer.eps", "train.epsilon"},
                                        {"optimizer.weight_decay", "train.weight-decay"}}};
/// Keys with a rule of their own.
constexpr std::array<std::string_view, 26> kOwn{
    "training.global_batch_size", "training.mixed_precision_param", "training.mixed_precision_reduce", "training.enable_cpu_offload",
    "training.data_parallel_shard_degree", "training.data_parallel_replicate_degree", "training.tensor_parallel_degree",
    "parallelism.data_parallel_shard_degree", "parallelism.data_parallel_replicate_degree", "parallelism.fsdp_reshard_after_forward",
    "parallelism.tensor_parallel_degree", "parallelism.pipeline_parallel_degree", "parallelism.context_parallel_degree",
    "parallelism.expert_parallel_degree", "experimental.pipeline_parallel_degree", "experimental.context_parallel_degree",
    "activation_checkpoint.mode", "activation_checkpoint.selective_ac_option", "optimizer.name", "optimizer.implementation", "optimizer.fused",
    "model.name", "model.flavor", "model.converters", "float8.enable_float8_linear", "compile.components"};
/// Of sections whose other keys would change a plan: what does not.
constexpr std::array<std::string_view, 20> kHarmless{
    "training.dataset", "training.dataset_path", "training.warmup_steps", "training.seed", "training.deterministic", "training.gc_freq", "training.gc_debug",
    "training.debug_moe_force_load_balance", "training.dtype", "training.dump_folder", "training.enable_loss_parallel", "parallelism.enable_async_tensor_parallel",
    "parallelism.disable_loss_parallel", "parallelism.pipeline_parallel_schedule", "parallelism.pipeline_parallel_microbatch_size",
    "parallelism.context_parallel_rotate_method", "parallelism.enable_compiled_autograd", "parallelism.expert_tensor_parallel_degree",
    "activation_checkpoint.per_op_sac_force_recompute_mm_shapes_by_fqns", "activation_checkpoint.early_stop"};
constexpr std::array<std::string_view, 3> kStrict{"training", "parallelism", "activation_checkpoint"};

class Reader {
public:
    explicit Reader(const std::filesystem::path& path) : path_(path), builder_(path.string()) {}

    FrameworkFile run() {
        load();
        builder_.set("strategy.system", "fsdp2", builder_.name());
        for (const Plain& plain : kPlain)
            if (has(plain.key)) builder_.set(plain.option, text(plain.key), at(plain.key));
        model();
        precision();
        parallelism();
        activation_checkpoint();
        optimizer();
        return builder_.finish();
    }

private:
    struct Entry {
        std::string value;
        int line = 0;
    };
    [[nodiscard]] bool has(std::string_view key) const { return entries_.contains(std::string(key)); }
    [[nodiscard]] std::string text(std::string_view key, std::string otherwise = "") const {
        const auto entry = entries_.find(std::string(key));
        return entry == entries_.end() ? otherwise : entry->second.value;
    }
    [[nodiscard]] std::string at(std::string_view key) const {
        const auto entry = entries_.find(std::string(key));
        return builder_.place(entry == entries_.end() ? 0 : entry->second.line, key);
    }
    [[noreturn]] void refuse(std::string_view key, const std::string& what) const { throw ConfigError(fmt::format("{} '{}' {}", at(key), text(key), what)); }
    void set(std::string_view option, std::string value, std::string_view key) { builder_.set(option, std::move(value), at(key)); }
    /// A key that moved between sections.
    [[nodiscard]] std::string either(std::string_view first, std::string_view second) const { return std::string(has(first) ? first : second); }
    [[nodiscard]] std::int64_t degree(std::string_view key, std::int64_t otherwise) const {
        if (!has(key)) return otherwise;
        const std::string value = text(key);
        if (value.empty() || value.size() > 9 || value.find_first_not_of("-0123456789") != std::string::npos) refuse(key, "is not a count");
        return std::stoll(value);
    }

    void load() {
        toml::table root;
        try {
            root = toml::parse_file(path_.string());
        } catch (const toml::parse_error& error) {
            throw ConfigError(fmt::format("{}:{}: not TOML: {}", builder_.name(), error.source().begin.line, std::string(error.description())));
        }
        walk("", root);
    }

    void walk(const std::string& section, const toml::table& table) {
        for (const auto& [name, node] : table) {
            const std::string key = section.empty() ? std::string(name.str()) : section + "." + std::string(name.str());
            if (const toml::table* const inner = node.as_table()) {
                walk(key, *inner);
            } else {
                put(key, node);
            }
        }
    }

    void put(const std::string& key, const toml::node& node) {
        const bool known = std::ranges::find(kPlain, key, &Plain::key) != kPlain.end() || std::ranges::find(kOwn, key) != kOwn.end();
        const int line = static_cast<int>(node.source().begin.line);
        if (!known) {
            const std::string section = key.substr(0, key.find('.'));
            const bool strict = std::ranges::find(kStrict, section) != kStrict.end() && std::ranges::find(kHarmless, key) == kHarmless.end();
            if (strict) throw ConfigError(fmt::format("{} is no key of torchtitan's{}", builder_.place(line, key), did_you_mean(key, names())));
            builder_.unused(key);
            return;
        }
        entries_[key] = {value_text(node), line};
    }

    static std::string value_text(const toml::node& node) {
        if (const auto* const value = node.as_string()) return value->get();
        if (const auto* const value = node.as_integer()) return std::to_string(value->get());
        if (const auto* const value = node.as_floating_point()) return fmt::format("{}", value->get());
        if (const auto* const value = node.as_boolean()) return value->get() ? "true" : "false";
        std::string all;
        if (const auto* const values = node.as_array())
            for (const auto& item : *values) all += fmt::format("{}{}", all.empty() ? "" : " ", value_text(item));
        return all;
    }

    static std::vector<std::string> names() {
        std::vector<std::string> all;
        for (const Plain& plain : kPlain) all.emplace_back(plain.key);
        for (const std::string_view key : kOwn) all.emplace_back(key);
        for (const std::string_view key : kHarmless) all.emplace_back(key);
        return all;
    }

    void model() {
        static const std::map<std::string, std::string> kFlavors{{"8B", "llama3.1-8b"}, {"70B", "llama3.1-70b"}, {"405B", "llama3.1-405b"}};
        if (has("compile.components") && text("compile.components").find("model") == std::string::npos) builder_.unused("compile.components without model");
        if (!has("model.flavor")) return;
        const auto preset = kFlavors.find(text("model.flavor"));
        const std::string family = text("model.name", "llama3");
        if ((family == "llama3" || family == "llama3.1") && preset != kFlavors.end()) {
            set("model", preset->second, "model.flavor");
        } else {
            builder_.unused(fmt::format("model.flavor {} {} (name the model with --model)", family, text("model.flavor")));
        }
    }

    void precision() {
        const std::string parameters = one_of(at("training.mixed_precision_param"), text("training.mixed_precision_param", "bfloat16"), {"bfloat16", "float32"});
        const std::string reduction = one_of(at("training.mixed_precision_reduce"), text("training.mixed_precision_reduce", "float32"), {"float32"});
        const bool float8 = text("model.converters").find("float8") != std::string::npos || text("float8.enable_float8_linear") == "true";
        if (float8 && parameters == "float32") refuse("training.mixed_precision_param", "contradicts 8-bit products");
        set("train.precision", float8 ? "fp8-mixed" : parameters == "bfloat16" ? "bf16-mixed" : "fp32", "training.mixed_precision_param");
        if (parameters == "bfloat16") set("train.reduce-precision", "fp32", "training.mixed_precision_reduce");
        if (text("training.enable_cpu_offload") == "true")
            for (const char* option : {"strategy.offload-parameters", "strategy.offload-optimizer"}) set(option, "cpu", "training.enable_cpu_offload");
        if (degree("training.global_batch_size", -1) > 0) set("train.global-batch", text("training.global_batch_size"), "training.global_batch_size");
    }

    void parallelism() {
        const std::string shard = either("parallelism.data_parallel_shard_degree", "training.data_parallel_shard_degree");
        const std::string replicate = either("parallelism.data_parallel_replicate_degree", "training.data_parallel_replicate_degree");
        const std::int64_t shards = degree(shard, -1), replicas = degree(replicate, 1);
        if (shards == 0 || shards < -1) refuse(shard, "is neither -1 (all ranks) nor a count");
        if (replicas < 1) refuse(replicate, "is not a count of at least 1");
        if (shards > 0) {
            set("strategy.shard-group", std::to_string(shards), shard);
            set("ranks", std::to_string(shards * replicas), shard);
        } else if (replicas > 1) {
            refuse(replicate, "needs data_parallel_shard_degree: the ranks of one group are not known");
        }
        for (const auto& [key, old, option] : {std::tuple{"parallelism.tensor_parallel_degree", "training.tensor_parallel_degree", "parallel.tensor"},
                                              std::tuple{"parallelism.pipeline_parallel_degree", "experimental.pipeline_parallel_degree", "parallel.pipeline"},
                                              std::tuple{"parallelism.context_parallel_degree", "experimental.context_parallel_degree", "parallel.context"},
                                              std::tuple{"parallelism.expert_parallel_degree", "", "parallel.expert"}}) {
            const std::string written = either(key, old);
            if (has(written) && text(written) != "1") set(option, text(written), written);
        }
        const std::string reshard = "parallelism.fsdp_reshard_after_forward";
        const std::string policy = one_of(at(reshard), text(reshard, "default"), {"default", "always", "never"});
        set("strategy.zero-stage", policy == "never" ? "2" : "3", reshard);
    }

    void activation_checkpoint() {
        const std::string mode = one_of(at("activation_checkpoint.mode"), text("activation_checkpoint.mode", "selective"), {"none", "selective", "full"});
        if (mode != "selective") return set("train.recompute", mode, "activation_checkpoint.mode");
        const std::string option = text("activation_checkpoint.selective_ac_option", "2");
        if (option == "op") return set("train.recompute", "selective", "activation_checkpoint.selective_ac_option");
        if (degree("activation_checkpoint.selective_ac_option", 2) < 1) refuse("activation_checkpoint.selective_ac_option", "is neither 'op' nor a count");
        set("train.recompute", "every:" + option, "activation_checkpoint.selective_ac_option");
    }

    void optimizer() {
        (void)one_of(at("optimizer.name"), text("optimizer.name", "AdamW"), {"AdamW", "Adam"});
        const std::string legacy = text("optimizer.fused") == "false" ? "foreach" : "fused";
        const std::string implementation = one_of(at("optimizer.implementation"), text("optimizer.implementation", legacy), {"fused", "foreach"});
        set("train.optimizer", implementation == "fused" ? "adamw" : "adamw-foreach", "optimizer.implementation");
    }

    std::filesystem::path path_;
    FrameworkFileBuilder builder_;
    std::map<std::string, Entry> entries_;
};

}  // namespace

FrameworkFile read_torchtitan_file(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) throw ConfigError(fmt::format("{}: cannot be read", path.string()));
    return Reader(path).run();
}

}  // namespace zerosim::config
