// Over all shipped clusters, kinds and groups of 2 to 64 ranks: more bytes, more ranks or a slower network never make a collective
// faster, but for the reasons that are named here.
#include "config/cluster_file.hpp"
#include "cost/collective_choice.hpp"
#include "cost/cost.hpp"
#include "cost/placement.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

namespace zerosim::cost {
namespace {

using cluster::Cluster;
using cluster::Wiring;
using enum CollectiveKind;

constexpr std::int64_t kLeast = 1 << 10, kMost = 1 << 30, kRanks = 64;

const std::map<std::string, Cluster>& clusters() {
    static const std::map<std::string, Cluster> all = [] {
        const config::SearchPaths shipped{{ZEROSIM_SOURCE_DIR "/configs"}};
        std::map<std::string, Cluster> result;
        for (const std::string& name : config::cluster_names(shipped))
            if (name != "local") result.emplace(name, config::load_cluster(name, shipped));
        return result;
    }();
    return all;
}

struct Timed {
    double seconds = 0;
    CollectiveChoice choice;
    [[nodiscard]] bool same(const Timed& other) const {
        return choice.algorithm == other.choice.algorithm && choice.protocol == other.choice.protocol;
    }
    [[nodiscard]] std::string text() const {
        return fmt::format("{:.1f} us {} {}", seconds * 1e6, name(choice.algorithm), name(choice.protocol));
    }
};

Timed timed(CollectiveKind kind, std::int64_t bytes, std::int64_t ranks, std::int64_t stride, const Cluster& cluster) {
    return {collective_seconds(kind, bytes, ranks, stride, cluster), collective_choice(kind, bytes, ranks, stride, cluster)};
}

void for_all(const std::function<void(const std::string&, const Cluster&, CollectiveKind, std::int64_t ranks, std::int64_t stride)>& check) {
    for (const auto& [name, cluster] : clusters())
        for (const CollectiveKind kind : kCollectiveKinds)
            for (const std::int64_t stride : {1, 8})
                for (std::int64_t ranks = 2; ranks <= kRanks; ++ranks)
                    if (ranks * stride <= cluster.devices_per_node || cluster.network.bytes_per_second > 0) check(name, cluster, kind, ranks, stride);
}

/// Where NCCL leaves one algorithm or protocol for another by its own estimate, it may have stayed too long: by this much at most.
/// Measured: 2 x 8 B200 are 52 % faster with 1 MiB than with 512 KiB, 4 B200 31 % with 256 KiB than with 128 (tests/truth/collectives).
constexpr double kLeftLate = 0.6;

/// Networks slower to answer than NCCL believes (14 us, hwLat of Simple) by half or more: its choices there may be off by any factor.
bool believed(const Cluster& cluster, const Placement& place) { return place.nodes == 1 || cluster.network.latency_seconds < 1.5 * 14e-6; }

/// The least part of the time before that a change to `now` may leave.
double least_part(const Timed& before, const Timed& now, const Cluster& cluster, const Placement& place) {
    if (now.same(before)) return 1;
    return believed(cluster, place) ? 1 - kLeftLate : 0;
}

TEST(CollectiveGrowth, with_bytes) {
    for_all([](const std::string& name, const Cluster& cluster, CollectiveKind kind, std::int64_t ranks, std::int64_t stride) {
        Timed before = timed(kind, kLeast, ranks, stride, cluster);
        for (std::int64_t bytes = 2 * kLeast; bytes <= kMost; bytes *= 2) {
            const Timed now = timed(kind, bytes, ranks, stride, cluster);
            EXPECT_GE(now.seconds, before.seconds * least_part(before, now, cluster, place(ranks, stride, cluster)))
                << name << ' ' << zerosim::name(kind) << ' ' << ranks << " ranks, stride " << stride << ", " << bytes << " bytes: " << before.text() << " -> " << now.text();
            before = now;
        }
    });
}

/// Why a larger group may be faster though it runs the same algorithm and protocol.
bool more_links(const Cluster& cluster, const Placement& fewer, const Placement& more) {
    // Direct links: with every device the group gets links that it did not have.
    const bool direct = cluster.fabric.wiring == Wiring::full_mesh || cluster.fabric.wiring == Wiring::hybrid_cube_mesh;
    if (direct && more.per_node > fewer.per_node) return true;
    // The last node fills: everything that leaves a node passes through the cards of its devices, and 9 GPUs have 1 there, 16 have 8.
    return more.nodes > 1 && more.nodes == fewer.nodes && more.least_per_node() > fewer.least_per_node();
}

TEST(CollectiveGrowth, with_ranks) {
    for_all([](const std::string& name, const Cluster& cluster, CollectiveKind kind, std::int64_t ranks, std::int64_t stride) {
        if (ranks == kRanks || (cluster.network.bytes_per_second <= 0 && (ranks + 1) * stride > cluster.devices_per_node)) return;
        const Placement fewer = place(ranks, stride, cluster), more = place(ranks + 1, stride, cluster);
        if (more_links(cluster, fewer, more)) return;
        // The same bytes go to more peers: what went over bridges or links within the node goes over the network too.
        const double same = kind == all_to_all || kind == gather || kind == scatter ? 0.85 : 0.97;
        for (std::int64_t bytes = kLeast; bytes <= kMost; bytes *= 4) {
            const Timed before = timed(kind, bytes, ranks, stride, cluster), now = timed(kind, bytes, ranks + 1, stride, cluster);
            EXPECT_GE(now.seconds, before.seconds * std::min(same, least_part(before, now, cluster, more)))
                << name << ' ' << zerosim::name(kind) << ' ' << ranks << " ranks + 1, stride " << stride << ", " << bytes << " bytes: " << before.text() << " -> " << now.text();
        }
    });
}

TEST(CollectiveGrowth, with_less_bandwidth) {
    for_all([](const std::string& name, const Cluster& cluster, CollectiveKind kind, std::int64_t ranks, std::int64_t stride) {
        Cluster faster = cluster;
        faster.network.bytes_per_second *= 2;
        for (std::int64_t bytes = kLeast; bytes <= kMost; bytes *= 4) {
            const Timed before = timed(kind, bytes, ranks, stride, cluster), now = timed(kind, bytes, ranks, stride, faster);
            EXPECT_GE(before.seconds, now.seconds * least_part(now, before, cluster, place(ranks, stride, cluster)))
                << name << ' ' << zerosim::name(kind) << ' ' << ranks << " ranks, stride " << stride << ", " << bytes << " bytes, twice the network: " << before.text() << " -> " << now.text();
        }
    });
}

} // namespace
} // namespace zerosim::cost
