#include "cli/simulate/simulate_report.hpp"

#include "analysis/analyze.hpp"
#include "analysis/reliability.hpp"
#include "analysis/variation.hpp"
#include "base/transport.hpp"
#include "cli/facts.hpp"
#include "cli/simulate/library_choice.hpp"
#include "cluster/forced_path.hpp"
#include "sim/simulate.hpp"
#include "sim/steady.hpp"
#include "strategy/inference/cache_size.hpp"
#include "strategy/inference/capacity.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::cli {
namespace {

analysis::TimeReport times_without_variation(const schedule::Schedule& schedule, cluster::Cluster cluster, std::span<const sim::Durations> durations) {
    cluster.variation = {};
    return analysis::slowest_time(schedule, sim::simulate(schedule, cluster, kSimulatedSteps, {durations, false}));
}

/// What its ranks' differences cost the step, and failures a long job.
void add_job_reports(Simulated& result, const cluster::Cluster& cluster, const std::optional<analysis::TimeReport>& undisturbed) {
    analysis::RunReport& report = result.report;
    if (undisturbed) {
        report.variation = analysis::variation_report(result.trace, report, *undisturbed);
        if (!cluster.variation.links.empty())
            report.variation->other_algorithms = chosen_otherwise(result.schedule, cluster, clusters_of_faulty_groups(result.schedule, cluster));
    }
    const std::int64_t bytes = analysis::checkpoint_bytes(result.schedule, report.parameters, report.trainable_parameters);
    if (!cluster.device.is_cpu && bytes > 0) report.reliability = analysis::reliability(cluster, result.schedule.ranks, bytes, report.time.step);
}

analysis::InferenceReport inference(const Simulated& result, const strategy::Scenario& s) {
    const std::int64_t tokens = s.inference.prompt_tokens + s.inference.new_tokens;
    const analysis::InferenceFacts facts{s.inference.batch, s.inference.prompt_tokens, s.inference.new_tokens, strategy::cached_token_bytes(s) * s.model.layers,
                                         strategy::sequence_cache_bytes(s, tokens), strategy::largest_batch(s)};
    return analysis::inference_report(result.schedule, result.trace, facts);
}

/// The path within a node, and the network between nodes.
std::optional<analysis::TransportReport> simulated_transport(const config::Resolved& resolved) {
    const strategy::Scenario& s = resolved.scenario;
    if (s.cluster.device.is_cpu || s.ranks < 2) return std::nullopt;
    const Transport asked = resolved.run.transport;
    const Transport within = asked == Transport::automatic ? cluster::usual_path(s.cluster) : asked;
    analysis::TransportReport report{std::string(name(asked)), {{std::string(name(within)), "", s.ranks, 0}}};
    if (s.ranks > s.cluster.devices_per_node && within != Transport::network) report.used.push_back({std::string(name(Transport::network)), "", s.ranks, 0});
    return report;
}

/// Drawn kernels never settle; without them the trace went on until its ranks had, or for as long as it may.
bool settled(const trace::Trace& trace, const cluster::Variation& variation) {
    if (variation.none() || variation.jitter > 0) return true;
    return std::ranges::all_of(trace.ranks, [](const trace::RankTrace& rank) { return rank.times.empty() || sim::is_steady(rank, rank.times.back().step); });
}

}  // namespace

Simulated simulate(const config::Resolved& resolved) {
    Simulated result;
    result.schedule = strategy::plan(resolved.scenario);
    const cluster::Cluster& cluster = resolved.scenario.cluster;
    std::optional<analysis::TimeReport> undisturbed;
    {
        const std::vector<sim::Durations> durations = sim::durations_of_programs(result.schedule, cluster);
        // First, so that its trace is gone when the other one is made.
        if (!cluster.variation.none() && !resolved.scenario.inference.enabled) undisturbed = times_without_variation(result.schedule, cluster, durations);
        const sim::Options options{durations, !resolved.run.perfetto.empty()};   // rows of bookkeeping are drawn, and else not looked at
        result.trace = sim::simulate_until_steady(result.schedule, cluster, kSimulatedSteps, kMostSimulatedSteps, options);
    }
    result.report = analysis::analyze(result.schedule, result.trace, resolved.scenario.cluster, facts_of(resolved, result.schedule, &result.trace));
    if (resolved.scenario.inference.enabled) {
        result.report.inference = inference(result, resolved.scenario);
        result.report.tokens_per_second_per_device = result.report.inference->tokens_per_second();
    }
    result.report.coarse = resolved.scenario.model.is_coarse();
    result.report.notes = result.schedule.notes;
    if (!settled(result.trace, resolved.scenario.cluster.variation))
        result.report.notes.push_back(fmt::format("steps still differ after {}: ranks that differ have not settled, and the time is that of the last two", kMostSimulatedSteps));
    result.report.unused = resolved.unused;
    result.report.transport = simulated_transport(resolved);
    if (!resolved.scenario.inference.enabled) add_job_reports(result, cluster, undisturbed);
    return result;
}

analysis::RunReport simulate_report(const config::Resolved& resolved) { return simulate(resolved).report; }

}  // namespace zerosim::cli
