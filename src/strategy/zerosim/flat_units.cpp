#include "strategy/zerosim/flat_units.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::strategy::zerosim_system {
namespace {

using model::Parameter;
using model::Site;

/// Unit of stage 3: -1 = root (tied), else the module.
int stage3_unit(const Parameter& parameter, const model::Model& model) {
    const int module = module_of(parameter, model);
    const bool outer = module == 0 || module == model.layers + 1;
    return model.tied && outer ? -1 : module;
}

std::string stage3_name(int unit, const model::Model& model) {
    if (unit < 0) return "root";
    if (unit == 0) return "embedding";
    return unit == model.layers + 1 ? "head" : fmt::format("block {}", unit - 1);
}

/// Parameter indices in the order in which backward finishes their gradients: last module first; a tied embedding last of all.
std::vector<std::int32_t> gradient_ready_order(const std::vector<Parameter>& parameters, const model::Model& model) {
    std::vector<std::int32_t> order(parameters.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
        const int module_a = module_of(parameters[static_cast<std::size_t>(a)], model), module_b = module_of(parameters[static_cast<std::size_t>(b)], model);
        return module_a != module_b ? module_a > module_b : a > b;
    });
    return order;
}

void append(schedule::FlatLayout& layout, std::int32_t index, const Parameter& parameter) {
    layout.segments.push_back({index, layout.total, parameter.elements(), parameter.matrix});
    layout.total += parameter.elements();
}

void pad(schedule::FlatLayout& layout, std::int64_t ranks) {
    layout.shard = (layout.total + ranks - 1) / ranks;
    layout.padded = layout.shard * ranks;
}

std::vector<schedule::FlatLayout> modules(const std::vector<Parameter>& parameters, const Scenario& scenario, schedule::Names& names) {
    const auto& model = scenario.model;
    std::vector<schedule::FlatLayout> units;
    // The head's unit (or the root) comes first: its gradient is the first to begin.
    for (int module = static_cast<int>(model.layers) + 1; module >= 0; --module) {
        schedule::FlatLayout layout;
        const int unit = model.tied && module == model.layers + 1 ? -1 : module;
        layout.name = names.intern(stage3_name(unit, model));
        for (std::size_t i = 0; i < parameters.size(); ++i)
            if (stage3_unit(parameters[i], model) == unit) append(layout, static_cast<std::int32_t>(i), parameters[i]);
        if (!layout.segments.empty()) units.push_back(std::move(layout));
    }
    return units;
}

std::vector<schedule::FlatLayout> buckets(const std::vector<Parameter>& parameters, const Scenario& scenario, schedule::Names& names) {
    // A bucket closes once it has reached the cap, as DDP's do (torch/csrc/distributed/c10d/reducer.cpp, compute_bucket_assignment_by_size).
    const double cap = scenario.strategy.bucket_cap_mib * 1024 * 1024;
    const auto bytes = static_cast<double>(size_of(compute_dtype(scenario.training.precision)));
    std::vector<schedule::FlatLayout> units;
    for (const std::int32_t index : gradient_ready_order(parameters, scenario.model)) {
        if (units.empty() || static_cast<double>(units.back().total) * bytes >= cap) {
            units.emplace_back();
            units.back().name = names.intern(fmt::format("bucket {}", units.size() - 1));
        }
        append(units.back(), index, parameters[static_cast<std::size_t>(index)]);
    }
    return units;
}

}  // namespace

int module_of(const Parameter& parameter, const model::Model& model) {
    switch (parameter.site) {
        case Site::token_embedding:
        case Site::position_embedding: return 0;
        case Site::final_norm:
        case Site::final_norm_bias:
        case Site::head: return static_cast<int>(model.layers) + 1;
        default: return parameter.layer + 1;
    }
}

std::vector<schedule::FlatLayout> flat_units(const std::vector<Parameter>& parameters, const Scenario& scenario, schedule::Names& names) {
    auto units = scenario.strategy.zero_stage == 3 ? modules(parameters, scenario, names) : buckets(parameters, scenario, names);
    for (auto& unit : units) pad(unit, scenario.ranks);
    return units;
}

}  // namespace zerosim::strategy::zerosim_system
