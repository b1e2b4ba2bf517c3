// Fits the constants of src/cost/nccl_measured.cpp to tests/truth/collectives and prints them: fit_collectives [rounds [every]].
// With `every`, each every-th sweep is left out of the fit, which then begins 1.3 times off in every constant so that it keeps
// nothing of earlier fits; the error of the sweeps left out is printed.
// One group of clusters at a time (a generation within nodes, PCIe, all networks), one constant at a time, up and down by ever
// smaller factors, while the mean over sweeps of the mean |log(predicted / measured)| falls; sizes from 16 MiB up count three times.
// Latencies and link efficiencies are those of the cluster files, which name the row they come from.
#include "config/cluster_file.hpp"
#include "cost/nccl_seconds.hpp"
#include "support/collective_sweeps.hpp"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <span>

namespace {

using namespace zerosim;
using cost::NcclMeasured;

struct Constant {
    const char* name;
    std::function<double&(NcclMeasured&)> of;
};
#define ZEROSIM_CONSTANT(part, field) Constant{#field, [](NcclMeasured& m) -> double& { return m.part.field; }}

const std::vector<Constant> kWithin{
    ZEROSIM_CONSTANT(within, ll_cost),          ZEROSIM_CONSTANT(within, ll_ramp_us),    ZEROSIM_CONSTANT(within, ll128_start_us),
    ZEROSIM_CONSTANT(within, ll128_hop),        ZEROSIM_CONSTANT(within, ll128_cost),    ZEROSIM_CONSTANT(within, simple_start_us),
    ZEROSIM_CONSTANT(within, simple_hop),       ZEROSIM_CONSTANT(within, copy_rate),     ZEROSIM_CONSTANT(within, pairs_rate),
    ZEROSIM_CONSTANT(within, pairs_limit),      ZEROSIM_CONSTANT(within, pairs_peer_us), ZEROSIM_CONSTANT(within, pairs_ramp_us),
    ZEROSIM_CONSTANT(within, pairs_ramp_bytes), ZEROSIM_CONSTANT(within, nvls_start_us), ZEROSIM_CONSTANT(within, nvls_ramp_us),
    ZEROSIM_CONSTANT(within, nvls_ramp_bytes),  ZEROSIM_CONSTANT(within, nvls_rate)};
const std::vector<Constant> kAcross{
    ZEROSIM_CONSTANT(across, lone_rate),           ZEROSIM_CONSTANT(across, ring_ll_cost),
    ZEROSIM_CONSTANT(across, ring_ll128_cost),     ZEROSIM_CONSTANT(across, ring_simple_hop),
    ZEROSIM_CONSTANT(across, ring_ll128_network),  ZEROSIM_CONSTANT(across, ring_simple_network),
    ZEROSIM_CONSTANT(across, tree_rate),           ZEROSIM_CONSTANT(across, tree_ll_cost),
    ZEROSIM_CONSTANT(across, tree_ll128_cost),     ZEROSIM_CONSTANT(across, tree_ll128_hop),
    ZEROSIM_CONSTANT(across, tree_ll128_network),  ZEROSIM_CONSTANT(across, tree_ll_ramp_network),
    ZEROSIM_CONSTANT(across, tree_ramp_us),
    ZEROSIM_CONSTANT(across, tree_ramp_network),   ZEROSIM_CONSTANT(across, nvls_tree_rate),
    ZEROSIM_CONSTANT(across, nvls_tree_start_us),  ZEROSIM_CONSTANT(across, nvls_tree_network),
    ZEROSIM_CONSTANT(across, nvls_tree_ramp_us),   ZEROSIM_CONSTANT(across, nvls_tree_ramp_network),
    ZEROSIM_CONSTANT(across, nvls_tree_ramp_bytes)};

/// A sweep with what does not depend on the constants.
struct Prepared {
    const test::Sweep* sweep;
    cluster::Cluster cluster;
    cost::Placement place;
    cost::NcclTopology topology;
    std::vector<cost::NcclChoice> choices;
};

double loss(const std::vector<Prepared>& sweeps, const NcclMeasured& tried) {
    double sum = 0;
    for (const Prepared& p : sweeps) {
        // Over nodes every generation keeps its own constants within them.
        const NcclMeasured measured = p.place.nodes > 1 ? NcclMeasured{cost::nccl_measured(p.topology).within, tried.across} : tried;
        double errors = 0, weights = 0;
        for (std::size_t i = 0; i < p.choices.size(); ++i) {
            const test::Point& point = p.sweep->points[i];
            const double predicted = cost::nccl_seconds(p.choices[i], p.sweep->kind, static_cast<double>(point.bytes), p.place,
                                                        p.topology, p.cluster, measured);
            const double weight = point.bytes >= test::kLargeBytes ? 3 : 1;
            errors += weight * std::min(1.0, std::abs(std::log(predicted / point.seconds)));
            weights += weight;
        }
        sum += errors / weights;
    }
    return sum / static_cast<double>(sweeps.size());
}

NcclMeasured fit(const std::vector<Prepared>& sweeps, NcclMeasured best, std::span<const Constant> constants, int rounds) {
    std::vector<double> steps(constants.size(), 0.3); // of the logarithm
    double reached = loss(sweeps, best);
    for (int round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < constants.size(); ++i) {
            bool better = false;
            for (const double sign : {1.0, -1.0}) {
                NcclMeasured tried = best;
                constants[i].of(tried) *= std::exp(sign * steps[i]);
                const double now = loss(sweeps, tried);
                if (now >= reached - 1e-7) continue;
                best = tried, reached = now, better = true;
                break;
            }
            steps[i] *= better ? 1.2 : 0.6;
        }
    return best;
}

/// The group whose constants a cluster's sweeps determine: 0 to 3 generations within nodes, 4 PCIe, 5 networks.
std::size_t group(const Prepared& p) {
    if (p.place.nodes > 1) return 5;
    return p.topology.nvlink ? static_cast<std::size_t>(p.topology.generation) : 4;
}

using Groups = std::array<std::vector<Prepared>, 6>;

/// Scored sweeps of clusters with a tuning; of every `every` the first goes to `aside`.
Groups prepare(const std::vector<test::Sweep>& sweeps, std::size_t every, Groups& aside) {
    Groups groups;
    std::size_t seen = 0;
    for (const test::Sweep& sweep : sweeps) {
        if (sweep.use != "score") continue;
        Prepared p{&sweep, config::load_cluster(fmt::format("{}/configs/clusters/{}.cfg", ZEROSIM_SOURCE_DIR, sweep.cluster)), {}, {},
                   {}};
        if (p.cluster.fabric.tuning == cluster::CollectiveTuning::none) continue;
        p.place = cost::place(sweep.ranks, sweep.stride, p.cluster);
        p.topology = cost::nccl_topology(p.place, p.cluster);
        for (const test::Point& point : sweep.points)
            p.choices.push_back(cost::nccl_choice(sweep.kind, static_cast<double>(point.bytes), p.place, p.topology,
                                                  p.cluster.fabric.network_ll128));
        const std::size_t index = group(p);
        const bool keep = every == 0 || seen++ % every != 0;
        (keep ? groups : aside)[index].push_back(std::move(p));
    }
    return groups;
}

/// Median over the sweeps' median errors, over all sizes and from 16 MiB up.
void print_error(const char* what, const std::vector<Prepared>& sweeps, const NcclMeasured& tried) {
    std::vector<double> all, large;
    int within = 0;
    for (const Prepared& p : sweeps) {
        const NcclMeasured measured = p.place.nodes > 1 ? NcclMeasured{cost::nccl_measured(p.topology).within, tried.across} : tried;
        std::vector<double> errors, errors_large;
        for (std::size_t i = 0; i < p.choices.size(); ++i) {
            const test::Point& point = p.sweep->points[i];
            errors.push_back(std::abs(cost::nccl_seconds(p.choices[i], p.sweep->kind, static_cast<double>(point.bytes), p.place,
                                                         p.topology, p.cluster, measured) / point.seconds - 1));
            if (point.bytes >= test::kLargeBytes) errors_large.push_back(errors.back());
        }
        all.push_back(test::median(errors));
        large.push_back(test::median(errors_large));
        within += all.back() <= 0.15 && large.back() <= 0.08;
    }
    fmt::print("  {}: {} sweeps, {:.1f} % over all sizes, {:.1f} % from 16 MiB up, {} within 15 % and 8 %\n", what, sweeps.size(),
               100 * test::median(all), 100 * test::median(large), within);
}

} // namespace

int main(int count, char** arguments) {
    constexpr std::array<const char*, 6> names{"kVolta", "kAmpere", "kHopper", "kBlackwell", "kPcie", "kAcross"};
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 40;
    const std::size_t every = count > 2 ? static_cast<std::size_t>(std::atoi(arguments[2])) : 0;
    const std::vector<test::Sweep> sweeps = test::collective_sweeps();
    Groups aside;
    const Groups groups = prepare(sweeps, every, aside);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (groups[g].empty()) continue;
        const auto& constants = g == 5 ? kAcross : kWithin;
        const NcclMeasured before = cost::nccl_measured(groups[g].front().topology);
        NcclMeasured start = before;
        for (std::size_t i = 0; every > 0 && i < constants.size(); ++i) constants[i].of(start) *= i % 2 == 0 ? 1.3 : 1 / 1.3;
        NcclMeasured after = fit(groups[g], start, constants, rounds);
        fmt::print("{}: {} sweeps, loss {:.4f} -> {:.4f}\n", names[g], groups[g].size(), loss(groups[g], before), loss(groups[g], after));
        print_error("fitted", groups[g], after);
        if (!aside[g].empty()) print_error("left out", aside[g], after);
        for (const Constant& constant : constants)
            if (constant.of(after) != 0) fmt::print("    .{} = {:.4g},\n", constant.name, constant.of(after));
    }
    return 0;
}
