#include "sim/peers.hpp"

#include <algorithm>
#include <numeric>

namespace zerosim::sim {
namespace {

using schedule::Axis;
using schedule::RankRole;

// Group of rank r: same block r / (size * stride), same r % stride. Roles are contiguous, so two of them meet in at most one
// block: the one that holds the end of the first and the begin of the second.
bool share_group(const Axis& axis, const RankRole& first, const RankRole& second) {
    const std::int64_t block = axis.size * axis.stride;
    const std::int64_t first_end = first.first_rank + first.count;
    const std::int64_t base = (first_end - 1) / block * block;
    if (second.first_rank >= base + block) return false;
    const std::int64_t a = std::max(first.first_rank, base);
    const std::int64_t b = second.first_rank;
    const std::int64_t a_count = first_end - a;
    const std::int64_t b_count = std::min(second.first_rank + second.count, base + block) - b;
    const std::int64_t apart = (b - a) % axis.stride; // residues [a, a + a_count) and [b, b + b_count)
    return a_count > apart || b_count > (axis.stride - apart) % axis.stride;
}

std::uint32_t root(std::vector<std::uint32_t>& parent, std::uint32_t role) {
    while (parent[role] != role) role = parent[role] = parent[parent[role]];
    return role;
}

} // namespace

Peers peers(const schedule::Schedule& schedule) {
    Peers result;
    const auto roles = static_cast<std::uint32_t>(schedule.roles.size());
    for (const Axis& axis : schedule.axes) {
        std::vector<std::uint32_t> parent(roles);
        std::iota(parent.begin(), parent.end(), 0u);
        for (std::uint32_t a = 0; a < roles; ++a)
            for (std::uint32_t b = a + 1; b < roles; ++b)
                if (share_group(axis, schedule.roles[a], schedule.roles[b])) parent[root(parent, b)] = root(parent, a);
        std::vector<std::uint32_t>& sets = result.set_of.emplace_back(roles);
        const auto base = static_cast<std::uint32_t>(result.sizes.size());
        result.sizes.resize(base + roles, 0);
        for (std::uint32_t role = 0; role < roles; ++role) ++result.sizes[sets[role] = base + root(parent, role)];
    }
    return result;
}

} // namespace zerosim::sim
