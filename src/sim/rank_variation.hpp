// How fast each rank's device is, how its kernels jitter, and which links its collectives find: from cluster.variation.
// Called by sim::simulate when it keeps a clock for every rank.
// A draw is a function of (seed, rank, step, op): no state, the same in any order.
#pragma once

#include "base/rng.hpp"
#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace zerosim::sim {

/// The standard normal quantile of u in (0, 1), to about 1e-15 (Acklam's rational approximation and one Newton step).
[[nodiscard]] double normal_quantile(double u);

/// A lognormal factor of mean 1: exp(sigma z - sigma^2 / 2), sigma^2 = ln(1 + spread^2).
class Lognormal {
public:
    explicit Lognormal(double relative_spread);
    [[nodiscard]] double at(std::uint64_t hash) const {
        const std::uint64_t cell = hash >> (64 - kBits);
        if (cell < kTail || cell >= kCells - kTail) return exact(hash); // the tails are not straight
        const double within = static_cast<double>((hash << kBits) >> 11) * 0x1.0p-53;
        return table_[cell] + (table_[cell + 1] - table_[cell]) * within;
    }
    [[nodiscard]] double exact(std::uint64_t hash) const;

private:
    static constexpr int kBits = 12;
    static constexpr std::uint64_t kCells = 1u << kBits, kTail = 16;
    double sigma_;
    std::array<double, kCells + 1> table_{}; // at the borders of cells of equal probability
};

/// By rank: how many times as long a kernel takes on its device (slow ranks and device spread, without jitter).
[[nodiscard]] std::vector<double> device_factors(const cluster::Variation& variation, std::int64_t ranks);

/// What is left of the links of a rank, as fractions of their bandwidth.
struct LinkShare {
    double nvlink = 1, network = 1;
    friend auto operator<=>(const LinkShare&, const LinkShare&) = default;
};
/// By rank. A failed network card leaves the node's traffic to its other cards; a device without NVLink takes the way over PCIe.
/// Throws ConfigError where no way is left.
[[nodiscard]] std::vector<LinkShare> link_shares(const cluster::Cluster& cluster, std::int64_t ranks);
/// The cluster as a collective sees it whose weakest links have these shares.
[[nodiscard]] cluster::Cluster with_links(cluster::Cluster cluster, LinkShare share);

/// Throws ConfigError for a rank that the job does not have.
void check_variation(const cluster::Variation& variation, std::int64_t ranks);

} // namespace zerosim::sim
