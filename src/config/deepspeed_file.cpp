#include "config/deepspeed_file.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"
#include "config/deepspeed_keys.hpp"
#include "config/strict_json.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <optional>

namespace zerosim::config {
namespace {

using nlohmann::json;

bool is_auto(const json& value) { return value.is_string() && value.get<std::string>() == "auto"; }

class Reader {
public:
    explicit Reader(std::string name) : name_(std::move(name)) {}

    DeepSpeedFile run(const json& file) {
        if (!file.is_object()) throw ConfigError(fmt::format("{}: a DeepSpeed configuration is a JSON object", name_));
        set("strategy.system", "deepspeed", "deepspeed");
        walk("", file);
        settle();
        return std::move(result_);
    }

private:
    [[noreturn]] void refuse(const std::string& path, const std::string& what) const {
        throw ConfigError(fmt::format("{}: '{}' {}", name_, path, what));
    }
    /// A later setting of the same option must agree: pin_memory stands in two sections.
    void set(std::string_view option, std::string value, const std::string& path) {
        const auto before = std::ranges::find(result_.values, std::string(option), &Value::key);
        if (before == result_.values.end()) {
            result_.values.push_back({std::string(option), std::move(value), fmt::format("{}: {}", name_, path)});
        } else if (before->value != value) {
            refuse(path, fmt::format("is {}, but {} says {}: zerosim has one setting for both", value, before->origin, before->value));
        }
    }

    void walk(const std::string& object, const json& values) {
        for (const auto& [key, value] : values.items()) {
            const std::string path = object.empty() ? key : object + "." + key;
            refuse_unplanned(path, value);
            if (is_deepspeed_section(path)) {
                if (!value.is_object() && !value.is_null()) refuse(path, fmt::format("is {}: a section is an object of settings", value.dump()));
                walk(path, value);
            } else if (const DeepSpeedKey* known = find_deepspeed_key(path)) {
                take(*known, path, value);
            } else {
                unknown(object, key, path);
            }
        }
    }

    /// What would change the plan, and what no rule resolves.
    void refuse_unplanned(const std::string& path, const json& value) const {
        if (path == "zero_optimization.stage" && is_auto(value)) refuse(path, "is auto, which the Trainer does not resolve: give 0, 1, 2 or 3");
        if (path == "tensor_parallel" && value.is_object() && number(path + ".autotp_size", value.value("autotp_size", json(0))) > 1)
            refuse(path + ".autotp_size", fmt::format("is {}: zerosim plans no tensor parallelism", value["autotp_size"].dump()));
    }

    /// DeepSpeed checks the names of its sections, and leaves what it does not know at the top to others.
    void unknown(const std::string& object, const std::string& key, const std::string& path) {
        const std::string hint = did_you_mean(key, deepspeed_keys_below(object));
        if (!object.empty() || !hint.empty()) refuse(path, "is not a key of DeepSpeed" + hint);
        result_.unused.push_back(path);
    }

    void take(const DeepSpeedKey& key, const std::string& path, const json& value) {
        if (path == "gradient_clipping") clipping_given_ = true;
        switch (key.meaning) {
            case Meaning::unused: result_.unused.push_back(path); return;
            case Meaning::own: return take_own(path, value);
            case Meaning::off: return require_off(key, path, value);
            case Meaning::flag:
                if (!is_auto(value) && !value.is_null()) set(key.option, boolean(path, value) ? "true" : "false", path);
                return;
            case Meaning::derived:
                if (is_auto(value)) return set(key.option, "auto", path);
                [[fallthrough]];
            case Meaning::number:
                if (!is_auto(value) && !value.is_null()) set(key.option, number_text(path, value), path);
        }
    }

    /// 5e8, 500000000.0 and "5e8" are all meant.
    [[nodiscard]] double number(const std::string& path, const json& value) const {
        if (value.is_number()) return value.get<double>();
        const auto parsed = value.is_string() ? parse_real(value.get<std::string>()) : std::nullopt;
        if (!parsed) refuse(path, fmt::format("is {}, not a number", value.dump()));
        return *parsed;
    }
    [[nodiscard]] std::string number_text(const std::string& path, const json& value) const {
        const double x = number(path, value);
        return std::trunc(x) == x && std::abs(x) < 1e18 ? fmt::format("{:.0f}", x) : fmt::format("{:g}", x);
    }
    [[nodiscard]] bool boolean(const std::string& path, const json& value) const {
        if (value.is_boolean()) return value.get<bool>();
        const auto parsed = value.is_string() ? parse_boolean(value.get<std::string>()) : std::nullopt;
        if (!parsed) refuse(path, fmt::format("is {}, not true or false", value.dump()));
        return *parsed;
    }

    void require_off(const DeepSpeedKey& key, const std::string& path, const json& value) const {
        if (value.is_null() || is_auto(value)) return;
        const json wanted = json::parse(key.option);
        const bool same = wanted.is_number()    ? number(path, value) == wanted.get<double>()
                          : wanted.is_boolean() ? boolean(path, value) == wanted.get<bool>()
                                                : value == wanted;
        if (!same) refuse(path, fmt::format("is {}: zerosim plans {} only", value.dump(), key.option));
    }

    void take_own(const std::string& path, const json& value) {
        if (is_auto(value)) {
            if (path.ends_with(".enabled")) precision_follows_options_ = true;
            return;
        }
        if (path == "fp16.enabled")
            fp16_ = boolean(path, value);
        else if (path.ends_with("16.enabled"))
            bf16_ = boolean(path, value);
        else if (path == "fp16.initial_scale_power")
            scale_power_ = number(path, value);
        else if (path == "optimizer.type")
            take_optimizer(path, value);
        else if (path == "optimizer.params.betas")
            take_betas(path, value);
        else if (path.ends_with(".device") || path.find(".cpu_offload") != std::string::npos)
            take_offload(path, value);
        else
            types_.emplace_back(path, value);
    }

    void take_optimizer(const std::string& path, const json& value) const {
        const std::string type = value.is_string() ? value.get<std::string>() : value.dump();
        std::string lower(type);
        std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (lower != "adamw" && lower != "adam")
            refuse(path, fmt::format("is {}: zerosim plans AdamW and Adam (FusedAdam, DeepSpeedCPUAdam) only", type));
    }
    void take_betas(const std::string& path, const json& value) {
        if (!value.is_array() || value.size() != 2) refuse(path, fmt::format("is {}, not two numbers", value.dump()));
        if (is_auto(value[0]) || is_auto(value[1])) return;
        set("train.beta1", fmt::format("{:g}", number(path, value[0])), path);
        set("train.beta2", fmt::format("{:g}", number(path, value[1])), path);
    }
    void take_offload(const std::string& path, const json& value) {
        const bool parameters = path.find("param") != std::string::npos && path.find("offload_optimizer") == std::string::npos;
        std::string device = "none";
        if (path.ends_with(".device")) {
            if (!value.is_null()) device = value.is_string() ? value.get<std::string>() : value.dump();
            if (device != "none" && device != "cpu" && device != "nvme") refuse(path, fmt::format("is {}, not none, cpu or nvme", device));
        } else if (boolean(path, value)) {
            device = "cpu"; // deprecated: cpu_offload, cpu_offload_param
        } else {
            return;
        }
        set(parameters ? "strategy.offload-parameters" : "strategy.offload-optimizer", device, path);
    }

    /// What follows from several keys, and DeepSpeed's defaults where they differ from zerosim's.
    void settle() {
        if (fp16_ && bf16_) refuse("fp16.enabled", "and 'bf16.enabled' are both true");
        const char* const precision = fp16_ ? "fp16-mixed" : bf16_ ? "bf16-mixed" : "fp32";
        if (fp16_ || bf16_ || !precision_follows_options_)
            set("train.precision", precision, fp16_ ? "fp16.enabled" : bf16_ ? "bf16.enabled" : "neither fp16 nor bf16");
        if (fp16_ && scale_power_) set("train.initial-loss-scale", fmt::format("{:.0f}", std::exp2(*scale_power_)), "fp16.initial_scale_power");
        const std::string compute = fp16_ ? "fp16" : bf16_ ? "bf16" : "fp32";
        for (const auto& [path, value] : types_) {
            if (value.is_null()) continue;
            const std::string type = value.is_string() ? value.get<std::string>() : value.dump();
            if (!precision_follows_options_ && type != compute && !(type == "bfloat16" && bf16_))
                refuse(path, fmt::format("is {}: zerosim plans the compute dtype ({}) only", type, compute));
            result_.unused.push_back(path);
        }
        if (!clipping_given_) set("train.clip-gradients", "1", "DeepSpeed's default of gradient_clipping");
    }

    std::string name_;
    DeepSpeedFile result_;
    bool fp16_ = false, bf16_ = false, precision_follows_options_ = false, clipping_given_ = false;
    std::optional<double> scale_power_;
    std::vector<std::pair<std::string, json>> types_;
};

} // namespace

DeepSpeedFile read_deepspeed_file(const std::filesystem::path& path) {
    std::ifstream stream(path);
    if (!stream) throw ConfigError(fmt::format("deepspeed: file '{}' cannot be read", path.string()));
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    return Reader(path.string()).run(parse_json(text, path.string(), true));
}

} // namespace zerosim::config
