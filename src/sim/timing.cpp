#include "sim/timing.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

namespace zerosim::sim {
namespace {
/// Ranges of variation.* whose first rank is traced.
constexpr std::size_t kMostTracedRanges = 4;
} // namespace

bool several_communicators(const schedule::Schedule& schedule) {
    for (const schedule::Program& program : schedule.programs) {
        std::set<std::pair<std::uint32_t, std::uint32_t>> communicators;
        for (const schedule::Op& op : program.ops) {
            if (op.kind != schedule::OpKind::collective) continue;
            const AxisId axis = program.collective_of(op).axis;
            if (schedule.axis(axis).size > 1) communicators.emplace(axis.value, schedule.one_communicator_per_axis ? 0 : op.stream.value);
            if (communicators.size() > 1) return true;
        }
    }
    return false;
}

Timing timing(const schedule::Schedule& schedule, const schedule::Program& program, const Durations& durations,
              const cluster::Cluster& cluster, std::span<const LinkShare> link_classes, bool share_links) {
    Timing result{&durations, ends(program), {}, {}};
    for (const LinkShare& share : link_classes)
        result.device_by_links.push_back(collective_durations(schedule, program, durations, with_links(cluster, share)));
    if (!share_links) return result;
    result.demand.resize(program.ops.size());
    for (std::size_t i = 0; i < program.ops.size(); i += durations.launched[i])
        if (program.ops[i].kind == schedule::OpKind::collective) result.demand[i] = link_demand(schedule, program, durations, i, cluster);
    return result;
}

std::vector<std::int64_t> traced_ranks(const cluster::Variation& variation, std::span<const double> factors) {
    std::vector<std::int64_t> ranks(factors.size());
    std::iota(ranks.begin(), ranks.end(), std::int64_t{0});
    if (ranks.size() <= kMostTracedRanks) return ranks;
    const auto [fastest, slowest] = std::ranges::minmax_element(factors);
    std::set<std::int64_t> chosen{0, ranks.back(), fastest - factors.begin(), slowest - factors.begin()};
    for (std::size_t i = 0; i < std::min(variation.slow_ranks.size(), kMostTracedRanges); ++i) chosen.insert(variation.slow_ranks[i].first);
    for (std::size_t i = 0; i < std::min(variation.links.size(), kMostTracedRanges); ++i) chosen.insert(variation.links[i].first);
    return {chosen.begin(), chosen.end()};
}

} // namespace zerosim::sim
