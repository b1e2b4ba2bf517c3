// Published sweeps ready to be fitted: what NCCL chooses is settled once, constants and links are tried many times.
// Used by fit_collectives (prints constants for src/cost/nccl_measured.cpp) and hold_out_collectives (sweeps that no fit saw).
// Knows which constants there are; the formulas are cost::nccl_seconds'.
#pragma once

#include "config/cluster_file.hpp"
#include "cost/nccl_seconds.hpp"
#include "support/collective_sweeps.hpp"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <span>

namespace zerosim::calibration {

using cost::NcclMeasured;

struct Constant {
    const char* name;
    std::function<double&(NcclMeasured&)> of;
};
#define ZEROSIM_CONSTANT(part, field) Constant{#field, [](NcclMeasured& m) -> double& { return m.part.field; }}

inline const std::vector<Constant> kWithin{
    ZEROSIM_CONSTANT(within, ll_cost),          ZEROSIM_CONSTANT(within, ll_ramp_us),    ZEROSIM_CONSTANT(within, ll128_start_us),
    ZEROSIM_CONSTANT(within, ll128_hop),        ZEROSIM_CONSTANT(within, ll128_cost),    ZEROSIM_CONSTANT(within, simple_start_us),
    ZEROSIM_CONSTANT(within, simple_hop),       ZEROSIM_CONSTANT(within, copy_rate),     ZEROSIM_CONSTANT(within, pairs_rate),
    ZEROSIM_CONSTANT(within, memory_us), ZEROSIM_CONSTANT(within, pairs_memory_us), ZEROSIM_CONSTANT(within, memory_bytes),
    ZEROSIM_CONSTANT(within, all_reduce_copy),
    ZEROSIM_CONSTANT(within, pairs_copy),       ZEROSIM_CONSTANT(within, pairs_peer_us), ZEROSIM_CONSTANT(within, pairs_ramp_us),
    ZEROSIM_CONSTANT(within, pairs_ramp_bytes), ZEROSIM_CONSTANT(within, nvls_start_us), ZEROSIM_CONSTANT(within, nvls_ramp_us),
    ZEROSIM_CONSTANT(within, nvls_ramp_bytes),  ZEROSIM_CONSTANT(within, nvls_rate)};
inline const std::vector<Constant> kAcross{
    ZEROSIM_CONSTANT(across, lone_rate),           ZEROSIM_CONSTANT(across, ring_ll_card),        ZEROSIM_CONSTANT(across, ring_ll128_cost),
    ZEROSIM_CONSTANT(across, ring_ll128_hop),      ZEROSIM_CONSTANT(across, ring_simple_hop),     ZEROSIM_CONSTANT(across, ring_ll128_network),
    ZEROSIM_CONSTANT(across, ring_simple_network), ZEROSIM_CONSTANT(across, tree_rate),           ZEROSIM_CONSTANT(across, tree_ll128_cost),
    ZEROSIM_CONSTANT(across, tree_ll128_network),  ZEROSIM_CONSTANT(across, tree_ll_ramp_network), ZEROSIM_CONSTANT(across, tree_ramp_us),
    ZEROSIM_CONSTANT(across, tree_ramp_bytes),     ZEROSIM_CONSTANT(across, nvls_tree_rate),      ZEROSIM_CONSTANT(across, nvls_tree_start_us),
    ZEROSIM_CONSTANT(across, nvls_tree_network),   ZEROSIM_CONSTANT(across, nvls_tree_ramp_us),   ZEROSIM_CONSTANT(across, nvls_tree_ramp_network),
    ZEROSIM_CONSTANT(across, nvls_tree_ramp_bytes), ZEROSIM_CONSTANT(across, tree_ll128_start_us)};

/// A sweep with what does not depend on the constants.
struct Prepared {
    const test::Sweep* sweep;
    cluster::Cluster cluster;
    cost::Placement place;
    cost::NcclTopology topology;
    std::vector<cost::NcclChoice> choices;
};

/// Constants within a node, PCIe or one generation of NVLink, are shared by every cluster of the kind; those over networks by all.
constexpr std::array<const char*, 6> kGroups{"kVolta", "kAmpere", "kHopper", "kBlackwell", "kPcie", "kAcross"};
constexpr std::size_t kNetworks = 5;

/// The group whose constants a cluster's sweeps determine.
inline std::size_t group(const Prepared& p) {
    if (p.place.nodes > 1) return kNetworks;
    return p.topology.nvlink ? static_cast<std::size_t>(p.topology.generation) : 4;
}

inline const std::vector<Constant>& constants_of(std::size_t group) { return group == kNetworks ? kAcross : kWithin; }

/// What is thought of a generation's constants before its sweeps are seen: those of the generation before it, of Ampere Hopper's (Volta
/// itself has Ampere's where nothing was measured). Networks and PCIe have no such neighbour.
inline const NcclMeasured* belief_of(std::size_t group) {
    if (group > 3) return nullptr;
    constexpr std::array<std::int64_t, 4> kNeighbours{1, 2, 1, 2};
    return &cost::nccl_measured({.generation = kNeighbours[group], .nvlink = true});
}

/// Over nodes every generation keeps its own constants within them.
inline NcclMeasured measured_of(const Prepared& p, const NcclMeasured& tried) {
    return p.place.nodes > 1 ? NcclMeasured{cost::nccl_measured(p.topology).within, tried.across} : tried;
}

inline double seconds_of(const Prepared& p, std::size_t i, const NcclMeasured& measured) {
    return cost::nccl_seconds(p.choices[i], p.sweep->kind, static_cast<double>(p.sweep->points[i].bytes), p.place, p.topology, p.cluster,
                              measured);
}

/// Mean |log(predicted / measured)|, at most 1 a size; sizes from 16 MiB up count three times.
inline double loss(const Prepared& p, const NcclMeasured& tried) {
    const NcclMeasured measured = measured_of(p, tried);
    double errors = 0, weights = 0;
    for (std::size_t i = 0; i < p.choices.size(); ++i) {
        const double weight = p.sweep->points[i].bytes >= test::kLargeBytes ? 3 : 1;
        errors += weight * std::min(1.0, std::abs(std::log(seconds_of(p, i, measured) / p.sweep->points[i].seconds)));
        weights += weight;
    }
    return errors / weights;
}

inline double loss(std::span<const Prepared> sweeps, const NcclMeasured& tried) {
    double sum = 0;
    for (const Prepared& p : sweeps) sum += loss(p, tried);
    return sum / static_cast<double>(sweeps.size());
}

/// Medians of |predicted / measured - 1|.
struct Error {
    double all = 0, large = 0;
    [[nodiscard]] bool within() const { return all <= 0.15 && large <= 0.08; }
};

inline Error error(const Prepared& p, const NcclMeasured& tried) {
    const NcclMeasured measured = measured_of(p, tried);
    std::vector<double> errors, large;
    for (std::size_t i = 0; i < p.choices.size(); ++i) {
        errors.push_back(std::abs(seconds_of(p, i, measured) / p.sweep->points[i].seconds - 1));
        if (p.sweep->points[i].bytes >= test::kLargeBytes) large.push_back(errors.back());
    }
    return {test::median(errors), test::median(large)};
}

/// One number at a time, up and down by ever smaller factors, while `loss` falls. `numbers[i](factor)` multiplies number i.
inline void descend(std::span<const std::function<void(double)>> numbers, const std::function<double()>& loss, int rounds) {
    std::vector<double> steps(numbers.size(), 0.3); // of the logarithm
    double reached = loss();
    for (int round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            bool better = false;
            for (const double sign : {1.0, -1.0}) {
                const double factor = std::exp(sign * steps[i]);
                numbers[i](factor);
                if (const double now = loss(); now < reached - 1e-7) {
                    reached = now, better = true;
                    break;
                }
                numbers[i](1 / factor);
            }
            steps[i] *= better ? 1.2 : 0.6;
        }
}

/// Scored sweeps of clusters with a tuning, by group.
inline std::array<std::vector<Prepared>, 6> prepare(const std::vector<test::Sweep>& sweeps) {
    std::array<std::vector<Prepared>, 6> groups;
    for (const test::Sweep& sweep : sweeps) {
        if (sweep.use != "score") continue;
        Prepared p{&sweep, config::load_cluster(fmt::format("{}/configs/clusters/{}.cfg", ZEROSIM_SOURCE_DIR, sweep.cluster)), {}, {}, {}};
        if (p.cluster.fabric.tuning == cluster::CollectiveTuning::none) continue;
        p.place = cost::place(sweep.ranks, sweep.stride, p.cluster);
        p.topology = cost::nccl_topology(p.place, p.cluster);
        for (const test::Point& point : sweep.points)
            p.choices.push_back(
                cost::nccl_choice(sweep.kind, static_cast<double>(point.bytes), p.place, p.topology, p.cluster.fabric.network_ll128));
        groups[group(p)].push_back(std::move(p));
    }
    return groups;
}

} // namespace zerosim::calibration
