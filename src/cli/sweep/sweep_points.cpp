#include "cli/sweep/sweep_points.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::cli {
namespace {

constexpr std::string_view kOrigin = "sweep";
constexpr std::size_t kMostPoints = 100'000;

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts(1);
    for (const char c : text) {
        if (c == separator) parts.emplace_back();
        else parts.back() += c;
    }
    return parts;
}

/// "8..1024": 8, 16, ..., 1024.
std::vector<std::string> doubling(const std::string& text, std::size_t dots) {
    const auto from = parse_integer(text.substr(0, dots)), to = parse_integer(text.substr(dots + 2));
    if (!from || !to || *from < 1 || *to < *from) throw ConfigError(fmt::format("over: '{}' is not FROM..TO with 1 <= FROM <= TO", text));
    std::vector<std::string> values;
    for (std::int64_t value = *from; value <= *to; value *= 2) values.push_back(std::to_string(value));
    return values;
}

/// Not what is asked of a result or where it goes.
bool of_scenario(const config::Option& option) {
    return option.accepted_by(config::Command::simulate) && option.group != "Checks" && option.group != "Output";
}

analysis::SweepAxis axis_of(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
        throw ConfigError(fmt::format("over: '{}' is not KEY=VALUE,VALUE,..., as in --over ranks=8,16,32", text));
    analysis::SweepAxis axis{text.substr(0, equals), {}};
    const config::Option* option = config::find_option(axis.key);
    if (option == nullptr || !of_scenario(*option)) {
        std::vector<std::string> keys;
        for (const config::Option& other : config::option_table())
            if (of_scenario(other)) keys.push_back(other.key);
        throw ConfigError(fmt::format("over: '{}' is no option of a scenario{}", axis.key, did_you_mean(axis.key, keys)));
    }
    for (const std::string& word : split(text.substr(equals + 1), ',')) {
        const std::size_t dots = word.find("..");
        const std::vector<std::string> values = dots == std::string::npos ? std::vector{word} : doubling(word, dots);
        axis.values.insert(axis.values.end(), values.begin(), values.end());
    }
    return axis;
}

std::string divisors(std::int64_t number) {
    std::string text;
    for (std::int64_t i = 1; i <= number; ++i)
        if (number % i == 0) text += (text.empty() ? "" : ", ") + std::to_string(i);
    return text;
}

/// The divisors of `number` next to `value`, below and above.
std::string nearest_divisors(std::int64_t number, std::int64_t value) {
    std::int64_t below = value, above = value;
    while (below > 1 && number % below != 0) --below;
    while (above < number && number % above != 0) ++above;
    return number % below == 0 && below != above && above <= number ? fmt::format("{} or {}", below, above) : std::to_string(below);
}

void set_batch(config::Values& values, std::int64_t ranks, std::int64_t micro_batch, std::int64_t accumulation) {
    if (values.text("mode") == "inference") return;   // its batch is inference.batch, of each rank
    const std::string origin(kOrigin);
    values.set("train.micro-batch", std::to_string(micro_batch), origin);
    values.set("train.gradient-accumulation", std::to_string(accumulation), origin);
    values.set("train.global-batch", std::to_string(ranks * micro_batch * accumulation), origin);
}

/// The global batch stays: the largest micro-batch up to the reference that divides a rank's share, then as many as are needed.
void scale_strongly(config::Values& values, const ReferenceBatch& reference) {
    const std::int64_t ranks = values.integer("ranks");
    const std::int64_t global = reference.global_batch_swept ? values.integer("train.global-batch") : reference.global_batch;
    if (global % ranks != 0)
        throw ConfigError(fmt::format("global batch {} is no multiple of {} ranks; {} ranks divide it", global, ranks, nearest_divisors(global, std::min(ranks, global))));
    const std::int64_t share = global / ranks;
    std::int64_t micro = reference.micro_batch_swept ? values.integer("train.micro-batch") : std::min(reference.micro_batch, share);
    if (reference.accumulation_swept) {
        const std::int64_t accumulation = values.integer("train.gradient-accumulation");
        if (share % accumulation != 0)
            throw ConfigError(fmt::format("a rank's {} sequences are no multiple of {} micro-batches; these divide: {}", share, accumulation, divisors(share)));
        micro = share / accumulation;
    } else if (reference.micro_batch_swept && share % micro != 0) {
        throw ConfigError(fmt::format("a rank's {} sequences are no multiple of micro-batch {}; these divide: {}", share, micro, divisors(share)));
    }
    while (share % micro != 0) --micro;
    set_batch(values, ranks, micro, share / micro);
}

bool has(const std::vector<analysis::SweepAxis>& axes, std::string_view key) {
    return std::ranges::any_of(axes, [&](const analysis::SweepAxis& axis) { return axis.key == key; });
}

}  // namespace

std::vector<analysis::SweepAxis> sweep_axes(const std::string& over) {
    if (over.empty()) throw ConfigError("sweep needs --over KEY=VALUE,VALUE,..., as in --over ranks=8,16,32");
    std::vector<analysis::SweepAxis> axes;
    std::size_t points = 1;
    for (const std::string& text : split(over, ';')) {
        axes.push_back(axis_of(text));
        points *= axes.back().values.size();
        for (std::size_t i = 0; i + 1 < axes.size(); ++i)
            if (axes[i].key == axes.back().key) throw ConfigError(fmt::format("over: '{}' is given twice", axes[i].key));
    }
    if (axes.size() > 2) throw ConfigError(fmt::format("over: a sweep goes over one option or two; {} given", axes.size()));
    if (points > kMostPoints) throw ConfigError(fmt::format("over: {} points are more than {}", points, kMostPoints));
    return axes;
}

void check_swept(const config::Values& asked, const std::vector<analysis::SweepAxis>& axes) {
    for (const analysis::SweepAxis& axis : axes) {
        const bool says_share = axis.key == "ranks" && asked.given("train.global-batch");
        if (asked.at(axis.key).origin == "command line" && !says_share) asked.refuse(axis.key, "contradicts --over, which goes over this option");
    }
}

Scaling scaling_of(const config::Values& values) {
    const bool strong = values.boolean("strong"), weak = values.boolean("weak");
    if (strong && weak) throw ConfigError("--strong and --weak exclude each other: the global batch stays, or that of a rank does");
    return strong || (!weak && values.given("train.global-batch")) ? Scaling::strong : Scaling::weak;
}

ReferenceBatch reference_batch(const config::Values& values, const std::vector<analysis::SweepAxis>& axes) {
    ReferenceBatch reference;
    reference.scaling = scaling_of(values);
    reference.micro_batch_swept = has(axes, "train.micro-batch");
    reference.accumulation_swept = has(axes, "train.gradient-accumulation");
    reference.global_batch_swept = has(axes, "train.global-batch");
    if (reference.global_batch_swept && reference.scaling == Scaling::weak)
        throw ConfigError("over: train.global-batch follows from the ranks under --weak; use --strong, or train.micro-batch");
    if (reference.micro_batch_swept && reference.accumulation_swept && reference.scaling == Scaling::strong)
        throw ConfigError("over: under --strong one of train.micro-batch and train.gradient-accumulation follows from the other");
    config::Values first = values;
    for (const analysis::SweepAxis& axis : axes) first.set(axis.key, axis.values.front(), std::string(kOrigin));
    // Weak scaling of a scenario with a global batch: a rank's share at the scenario's own number of ranks.
    const std::int64_t ranks = reference.scaling == Scaling::weak && values.given("train.global-batch") ? values.integer("ranks") : first.integer("ranks");
    reference.micro_batch = first.integer("train.micro-batch");
    reference.gradient_accumulation = first.integer("train.gradient-accumulation");
    reference.global_batch = ranks * reference.micro_batch * reference.gradient_accumulation;
    if (!values.given("train.global-batch")) return reference;
    reference.global_batch = values.integer("train.global-batch");
    const std::int64_t share = std::max<std::int64_t>(1, reference.global_batch / ranks);
    if (!values.given("train.micro-batch")) reference.micro_batch = std::max<std::int64_t>(1, share / reference.gradient_accumulation);
    else if (!values.given("train.gradient-accumulation")) reference.gradient_accumulation = std::max<std::int64_t>(1, share / reference.micro_batch);
    return reference;
}

config::Values point_values(config::Values asked, const std::vector<analysis::SweepAxis>& axes, const std::vector<std::string>& point,
                            const ReferenceBatch& reference) {
    for (std::size_t i = 0; i < axes.size(); ++i) asked.set(axes[i].key, point[i], std::string(kOrigin));
    if (reference.scaling == Scaling::strong) {
        scale_strongly(asked, reference);
        return asked;
    }
    set_batch(asked, asked.integer("ranks"), reference.micro_batch_swept ? asked.integer("train.micro-batch") : reference.micro_batch,
              reference.accumulation_swept ? asked.integer("train.gradient-accumulation") : reference.gradient_accumulation);
    return asked;
}

std::vector<std::vector<std::string>> combinations(const std::vector<analysis::SweepAxis>& axes) {
    std::vector<std::vector<std::string>> points(1);
    for (const analysis::SweepAxis& axis : axes) {
        std::vector<std::vector<std::string>> longer;
        for (const auto& point : points)
            for (const std::string& value : axis.values) {
                longer.push_back(point);
                longer.back().push_back(value);
            }
        points = std::move(longer);
    }
    return points;
}

}  // namespace zerosim::cli
