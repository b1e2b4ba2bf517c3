// What all parts of the zerosim planner share: the scenario, the program under construction, its streams and pools, the units.
// Made by plan_zerosim; passed by reference to the parts (states, gathers, reductions, modules, optimizer).
// Decides nothing itself.
#pragma once

#include "schedule/builder.hpp"
#include "strategy/scenario.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::strategy::zerosim_system {

using schedule::Role;

struct Context {
    const Scenario& scenario;
    const std::vector<model::Parameter>& parameters;
    schedule::Schedule& schedule;
    schedule::ProgramBuilder& program;
    AxisId data_axis;
    StreamId compute, gather, reduce;             // all the compute stream when communication does not overlap
    PoolId compute_pool, gather_pool, reduce_pool;

    struct Place {
        std::uint32_t unit = 0, segment = 0;
    };
    std::vector<Place> places;                    // by parameter: where in which layout

    [[nodiscard]] DType dtype() const { return compute_dtype(scenario.training.precision); }
    [[nodiscard]] std::int64_t element_bytes() const { return size_of(dtype()); }
    [[nodiscard]] int stage() const { return scenario.strategy.zero_stage; }
    [[nodiscard]] const schedule::FlatLayout& layout(std::size_t unit) const { return schedule.layouts[unit]; }
    [[nodiscard]] std::size_t units() const { return schedule.layouts.size(); }
    [[nodiscard]] std::string_view unit_name(std::size_t unit) const { return schedule.names[layout(unit).name]; }
    /// Elements [coordinate * shard, ...) of the unit.
    [[nodiscard]] schedule::ShardRange shard_range(std::size_t unit) const {
        return {LayoutId{unit}, {0, layout(unit).shard, data_axis}, layout(unit).shard};
    }
    [[nodiscard]] schedule::ShardRange whole_range(std::size_t unit) const { return {LayoutId{unit}, {}, layout(unit).padded}; }
    /// The slice of a whole unit's buffer that this rank owns.
    [[nodiscard]] schedule::Linear shard_offset(std::size_t unit, DType type) const {
        return {0, layout(unit).shard * size_of(type), data_axis};
    }
};

}  // namespace zerosim::strategy::zerosim_system
