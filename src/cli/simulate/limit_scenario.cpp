#include "cli/simulate/limit_scenario.hpp"

#include "analysis/explain.hpp"
#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"
#include "schedule/memory.hpp"
#include "search/limit.hpp"
#include "strategy/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace zerosim::cli {
namespace {

/// Sequences are tried in multiples of 64 tokens: attention kernels work on blocks of that many.
constexpr std::int64_t kSequenceStep = 64;
constexpr std::int64_t kMostMicroBatch = 1 << 16, kMostLayers = 10'000, kMostRanks = 1 << 20;

struct Bounds {
    std::string_view key;
    bool largest = true;
    search::Range range;
};

Bounds bounds_of(const config::Resolved& resolved) {
    const strategy::Scenario& s = resolved.scenario;
    const bool largest = !resolved.run.maximize.empty();
    const std::string& key = largest ? resolved.run.maximize : resolved.run.minimize;
    if (largest && !resolved.run.minimize.empty()) throw ConfigError("--max and --min ask for two different things; give one");
    std::vector<Bounds> known{Bounds{"model.layers", true, {1, kMostLayers, 1}}, Bounds{"ranks", false, {1, kMostRanks, 1}}};
    if (s.inference.enabled) {
        known.push_back({"inference.batch", true, {1, kMostMicroBatch, 1}});
    } else {
        known.push_back({"train.micro-batch", true, {1, kMostMicroBatch, 1}});
        if (!s.model.is_coarse()) known.push_back({"train.sequence-length", true, {1, s.model.positions, std::min(kSequenceStep, s.model.positions)}});
    }
    std::vector<std::string> names;
    for (const Bounds& bounds : known) {
        if (bounds.largest != largest) continue;
        if (bounds.key == key) return bounds;
        names.emplace_back(bounds.key);
    }
    throw ConfigError(fmt::format("--{} '{}': it takes {}{}", largest ? "max" : "min", key, fmt::join(names, ", "), did_you_mean(key, names)));
}

std::int64_t needed_bytes(const analysis::MemoryReport& m) { return m.peak_reserved + m.context + m.communicator; }

std::string missing(const Replanned& planned) {
    const analysis::MemoryReport& m = planned.memory;
    const auto peak = std::max({std::pair{m.forward_peak, "forward"}, std::pair{m.backward_peak, "backward"}, std::pair{m.optimizer_peak, "optimizer"},
                                std::pair{m.init_peak, "init"}});
    return fmt::format("the device: {} needed, {} there; the peak is in {}", format_bytes(static_cast<double>(needed_bytes(m))),
                       format_bytes(static_cast<double>(m.device_total)), peak.second);
}

/// What to try when nothing fits: what grows or shrinks with neither is left.
std::string advice(const strategy::Scenario& s, const Bounds& bounds) {
    const bool can_recompute = s.training.recompute.every == 0 && !s.inference.enabled && !s.model.is_coarse();
    const char* const recompute = can_recompute ? "train.recompute full, " : "";
    if (bounds.key == "ranks")
        return s.strategy.zero_stage < 3 ? fmt::format("more ranks shrink what strategy.zero-stage {} shards alone: try a higher stage (--explain names the rest)",
                                                       s.strategy.zero_stage)
                                         : fmt::format("all states are sharded, the rest is the same on every rank: try {}a smaller train.micro-batch or "
                                                       "train.sequence-length (--explain names the holders)", recompute);
    return fmt::format("try {}{}more ranks (--min ranks), or a smaller job (--explain names the holders)", s.strategy.zero_stage < 3 ? "a higher strategy.zero-stage, " : "",
                       recompute);
}

/// Ranks grow by whole nodes beyond the first, as jobs are launched.
std::int64_t ranks_at(std::int64_t index, std::int64_t per_node) { return index <= per_node ? index : (index - per_node + 1) * per_node; }

/// Where no number of ranks fits: the one that needs least, of one node's and whole nodes' by doubling. Needs grow again beyond it: shards are
/// padded, and a first row of every parameter is gathered from each rank (fsdp2).
std::int64_t least_needing_ranks(Replanner& replanner, std::int64_t per_node) {
    std::int64_t best = 1, least = INT64_MAX;
    for (std::int64_t ranks = 1; ranks <= kMostRanks; ranks = ranks < per_node ? std::min(2 * ranks, per_node) : 2 * ranks) {
        const auto planned = replanner.with("ranks", std::to_string(ranks));
        if (!planned || needed_bytes(planned->memory) >= least) continue;
        least = needed_bytes(planned->memory);
        best = ranks;
    }
    return best;
}

}  // namespace

analysis::Limit limit_of(const config::Resolved& resolved, Replanner& replanner) {
    const Bounds bounds = bounds_of(resolved);
    const std::string key(bounds.key);
    const std::int64_t per_node = std::max<std::int64_t>(1, resolved.scenario.cluster.devices_per_node);
    const auto value_at = [&](std::int64_t index) { return bounds.key == "ranks" ? ranks_at(index, per_node) : index; };
    const auto holds = [&](std::int64_t index) {
        const auto planned = replanner.with(key, std::to_string(value_at(index)));
        return planned && planned->memory.fits;
    };
    const search::Found found = bounds.largest ? search::largest(bounds.range, holds) : search::smallest(bounds.range, holds);
    analysis::Limit limit{key, bounds.largest, found.value == 0 ? 0 : value_at(found.value), found.next == 0 ? 0 : value_at(found.next),
                          bounds.range.step, "", found.evaluations};
    if (found.next == 0) {
        limit.stopped_by = bounds.largest ? fmt::format("nothing up to {}", format_count(bounds.range.high)) : "nothing: one rank fits";
        if (bounds.key == "train.sequence-length") limit.stopped_by = fmt::format("the {} positions of model {}", format_count(bounds.range.high), resolved.scenario.model.name);
    } else {
        const bool no_ranks = limit.value == 0 && bounds.key == "ranks";
        if (no_ranks) limit.next = least_needing_ranks(replanner, per_node);
        const auto next = replanner.with(key, std::to_string(limit.next));
        limit.stopped_by = next ? missing(*next) : replanner.refusal();
        if (limit.value == 0) limit.stopped_by += (no_ranks ? ", and no other number of ranks that was tried needs less; " : "; ") + advice(resolved.scenario, bounds);
    }
    return limit;
}

}  // namespace zerosim::cli
