#include "cli/simulate/library_choice.hpp"

#include "cost/collective_choice.hpp"
#include "sim/rank_variation.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace zerosim::cli {

std::int64_t chosen_otherwise(const schedule::Schedule& schedule, const cluster::Cluster& now,
                              const std::vector<std::vector<cluster::Cluster>>& then) {
    if (now.device.is_cpu || now.free_communication) return 0;
    std::set<std::tuple<AxisId, CollectiveKind, std::int64_t>> seen;
    std::int64_t others = 0;
    for (const schedule::Program& program : schedule.programs)
        for (const schedule::Op& op : program.ops) {
            if (op.kind != schedule::OpKind::collective) continue;
            const schedule::Collective& c = program.collective_of(op);
            const schedule::Axis& axis = schedule.axis(c.axis);
            const std::int64_t bytes = schedule::message_bytes(program, c);
            if (axis.size <= 1 || !seen.insert({c.axis, c.kind, bytes}).second) continue;
            const auto chosen = [&](const cluster::Cluster& on) {
                return cost::collective_choice(c.kind, bytes, axis.size, axis.stride, on, schedule.ranks);
            };
            const cost::CollectiveChoice usual = chosen(now);
            others += std::ranges::any_of(then.at(c.axis.index()), [&](const cluster::Cluster& on) {
                const cost::CollectiveChoice choice = chosen(on);
                return choice.algorithm != usual.algorithm || choice.protocol != usual.protocol;
            });
        }
    return others;
}

std::vector<std::vector<cluster::Cluster>> clusters_of_faulty_groups(const schedule::Schedule& schedule, const cluster::Cluster& cluster) {
    const std::vector<sim::LinkShare> shares = sim::link_shares(cluster, schedule.ranks);
    std::vector<std::vector<cluster::Cluster>> result;
    for (const schedule::Axis& axis : schedule.axes) {
        std::map<std::int64_t, sim::LinkShare> weakest; // by a group's first rank
        for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) {
            sim::LinkShare& share = weakest[rank - axis.coordinate(rank) * axis.stride];
            const sim::LinkShare& own = shares[static_cast<std::size_t>(rank)];
            share = {std::min(share.nvlink, own.nvlink), std::min(share.network, own.network)};
        }
        std::set<sim::LinkShare> faulty;
        for (const auto& [first, share] : weakest)
            if (share != sim::LinkShare{}) faulty.insert(share);
        std::vector<cluster::Cluster>& clusters = result.emplace_back();
        for (const sim::LinkShare& share : faulty) clusters.push_back(sim::with_links(cluster, share));
    }
    return result;
}

}  // namespace zerosim::cli
