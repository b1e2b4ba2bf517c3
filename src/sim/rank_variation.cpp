#include "sim/rank_variation.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace zerosim::sim {
namespace {

constexpr std::uint64_t kDeviceDraw = 0xD1; // apart from the draws of steps

double cumulative_normal(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

/// Acklam's rational approximation (relative error 1.2e-9), lower half.
double lower_quantile(double u) {
    constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02, 1.383577518672690e+02, -3.066479806614716e+01, 2.506628277459239e+00};
    constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01, -1.328068155288572e+01};
    constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00, -2.549732539343734e+00, 4.374664141464968e+00, 2.938163982698783e+00};
    constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00};
    if (u < 0.02425) {
        const double q = std::sqrt(-2 * std::log(u));
        return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) / ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    }
    const double q = u - 0.5, r = q * q;
    return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
           (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

void check_ranks(std::int64_t first, std::int64_t last, std::int64_t ranks, const char* key) {
    if (last >= ranks || first > last || first < 0)
        throw ConfigError(fmt::format("{} names rank {}, but the job has ranks 0 to {}", key, first > last ? first : last, ranks - 1));
}

/// Cards of each node that work, as a share of all: NCCL searches anew when the job starts again, and its channels use every card
/// that is left (ncclTopoCompute); a ring is as wide as its narrowest node (ncclTopoPostset takes the least number of channels).
void share_failed_cards(std::vector<LinkShare>& shares, const cluster::Cluster& cluster) {
    const std::int64_t node = cluster.devices_per_node, ranks = static_cast<std::int64_t>(shares.size());
    for (std::int64_t begin = 0; begin < ranks; begin += node) {
        const auto first = shares.begin() + begin, last = shares.begin() + std::min(begin + node, ranks);
        const auto failed = std::count_if(first, last, [](const LinkShare& s) { return s.network == 0; });
        if (failed == 0) continue;
        if (failed == last - first && (ranks > node || cluster.fabric.devices_apart))
            throw ConfigError(fmt::format("variation.failed-links leaves node {} (ranks {} to {}) without a network card", begin / node, begin, begin + (last - first) - 1));
        const double left = 1 - static_cast<double>(failed) / static_cast<double>(last - first);
        double slowest = 1;
        for (auto s = first; s != last; ++s)
            if (s->network > 0) slowest = std::min(slowest, s->network);
        for (auto s = first; s != last; ++s) s->network = left * slowest;
    }
}

} // namespace

double normal_quantile(double u) {
    const bool upper = u > 0.5;
    const double p = upper ? 1 - u : u;
    double z = lower_quantile(p);
    // One step of Newton's method on Phi(z) = p.
    z -= (cumulative_normal(z) - p) * std::sqrt(2 * std::numbers::pi) * std::exp(0.5 * z * z);
    return upper ? -z : z;
}

Lognormal::Lognormal(double relative_spread) : sigma_(std::sqrt(std::log1p(relative_spread * relative_spread))) {
    for (std::uint64_t i = 1; i < kCells; ++i)
        table_[i] = std::exp(sigma_ * normal_quantile(static_cast<double>(i) / static_cast<double>(kCells)) - 0.5 * sigma_ * sigma_);
}

double Lognormal::exact(std::uint64_t hash) const {
    const double u = (static_cast<double>(hash >> 12) + 0.5) * 0x1.0p-52; // in (0, 1)
    return std::exp(sigma_ * normal_quantile(u) - 0.5 * sigma_ * sigma_);
}

std::vector<double> device_factors(const cluster::Variation& variation, std::int64_t ranks) {
    std::vector<double> factors(static_cast<std::size_t>(ranks), 1.0);
    if (variation.device_spread > 0) {
        const Lognormal spread(variation.device_spread);
        for (std::size_t rank = 0; rank < factors.size(); ++rank) factors[rank] = spread.exact(hash64(hash64(variation.seed, kDeviceDraw), rank));
    }
    for (const cluster::SlowRanks& slow : variation.slow_ranks)
        for (std::int64_t rank = slow.first; rank <= slow.last; ++rank) factors[static_cast<std::size_t>(rank)] *= slow.factor;
    return factors;
}

std::vector<LinkShare> link_shares(const cluster::Cluster& cluster, std::int64_t ranks) {
    std::vector<LinkShare> shares(static_cast<std::size_t>(ranks));
    // NVLink down: the device's ring goes over its PCIe link.
    const double nvlink = cluster.intra_node.achieved_bytes_per_second(), pcie = cluster.host_link.achieved_bytes_per_second();
    for (const cluster::LinkFault& fault : cluster.variation.links)
        for (std::int64_t rank = fault.first; rank <= fault.last; ++rank) {
            LinkShare& share = shares[static_cast<std::size_t>(rank)];
            if (fault.tier == cluster::LinkTier::network)
                share.network *= fault.fraction;
            else if (fault.fraction > 0)
                share.nvlink *= fault.fraction;
            else if (pcie > 0 && nvlink > 0)
                share.nvlink = std::min(share.nvlink, pcie / nvlink);
            else
                throw ConfigError(fmt::format("variation.failed-links: cluster '{}' has no PCIe link (node.host-link-gigabytes-per-second) that could take the "
                                              "place of rank {}'s NVLink", cluster.name, rank));
        }
    share_failed_cards(shares, cluster);
    return shares;
}

cluster::Cluster with_links(cluster::Cluster cluster, LinkShare share) {
    cluster.intra_node.bytes_per_second *= share.nvlink;
    cluster.network.bytes_per_second *= share.network;
    return cluster;
}

void check_variation(const cluster::Variation& variation, std::int64_t ranks) {
    for (const cluster::SlowRanks& slow : variation.slow_ranks) check_ranks(slow.first, slow.last, ranks, "variation.slow-ranks");
    for (const cluster::LinkFault& fault : variation.links)
        check_ranks(fault.first, fault.last, ranks, fault.fraction > 0 ? "variation.slow-links" : "variation.failed-links");
    for (const cluster::FailedPair& pair : variation.pairs) check_ranks(pair.first, pair.second, ranks, "variation.failed-links");
}

} // namespace zerosim::sim
