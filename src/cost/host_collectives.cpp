// Exchange: MpiReduction and MpiCommunicator of comm/. Open MPI 4.1 runs their MPI_Ialltoallv and MPI_Iallgather as one message to
// every peer, all at once (ompi/mca/coll/libnbc: nbc_ialltoallv.c, nbc_iallgather.c, "linear").
// Ring, recursive halving and doubling, Bruck: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in
// MPICH", IJHPCA 19(1), 2005; a number of ranks that is no power of two folds the rest onto partners first (section 4.5).
#include "cost/host_collectives.hpp"

#include "cost/uplinks.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace zerosim::cost {
namespace {

using cluster::HostAlgorithm;
using enum CollectiveKind;

/// All-reduces up to this many bytes of all ranks together are one all-gather, summed by every rank
/// (MpiCommunicator::kGatheredBytes).
constexpr double kGatheredBytes = 16 * 1024;

/// One collective among hosts, and what its messages cost.
struct HostTask {
    double bytes;
    const Placement& place;
    const cluster::Cluster& cluster;
    double working_set; // bytes of all the buffers of the group's ranks on a node
    double network;     // bytes/s of a rank to other nodes
    Coldness coldness;
    double reduction;   // bytes/s of a rank's own sums; 0 = they cost nothing

    [[nodiscard]] double ranks() const { return static_cast<double>(place.ranks); }
    [[nodiscard]] double per_node() const { return static_cast<double>(place.per_node); }

    /// Buffers that the node's last-level cache cannot hold are read from memory and written to it: the part that does not fit.
    [[nodiscard]] double memory_part() const {
        const double cache = static_cast<double>(cluster.transport.cache_bytes);
        return cache > 0 && working_set > cache ? 1 - cache / working_set : 0.0;
    }
    /// A second exchange at once: the transport is warm by then, and no buffer has left the last-level cache since.
    [[nodiscard]] HostTask just_used() const {
        HostTask again = *this;
        again.coldness = {0, 0, coldness.own_data, 0};
        return again;
    }
    /// Seconds a byte of buffers that the core's own cache holds, the last-level cache, and none, by the parts of each. Rates are those of
    /// bytes that go both ways; one way takes `share` of that.
    [[nodiscard]] double by_age(double warm, double share) const {
        const cluster::HostTransport& transport = cluster.transport;
        const double shared = transport.shared_bytes_per_second > 0 ? std::max(warm, share / transport.shared_bytes_per_second) : warm;
        const double cold = transport.cold_bytes_per_second > 0 ? std::max(shared, share / transport.cold_bytes_per_second) : shared;
        return warm + coldness.own_data * (shared - warm) + coldness.data * (cold - shared);
    }
    [[nodiscard]] double seconds_a_byte() const {
        const double cached = by_age(1 / cluster.intra_node.achieved_bytes_per_second(), 1.0);
        const double uncached = cluster.transport.uncached_bytes_per_second;
        return uncached > 0 ? cached + memory_part() * std::max(0.0, 1 / uncached - cached) : cached;
    }
    /// One of two ranks sends, the other receives. Not measured: 0.5 of a step in which both do, where cores copy in and out, 1 where the
    /// receiver alone copies (btl_vader_single_copy_mechanism); measured 0.3 to 0.9, and one number for all.
    [[nodiscard]] double one_way(double size) const {
        constexpr double kOneWay = 0.7;
        const cluster::HostTransport& transport = cluster.transport;
        if (place.nodes > 1 || transport.one_way_bytes_per_second <= 0) return kOneWay * ring_step(size);
        const double cached = by_age(1 / transport.one_way_bytes_per_second, kOneWay);
        const double beyond = transport.uncached_bytes_per_second > 0 ? kOneWay / transport.uncached_bytes_per_second : 0.0;
        const double latency = within(1, size) - size * seconds_a_byte();
        return latency * transport.one_way_latency_share + size * (cached + memory_part() * std::max(0.0, beyond - cached));
    }
    /// Messages of `size` to a rank of the same node: all start at once, each is announced and delivered by the same core.
    [[nodiscard]] double within(double messages, double size) const {
        if (messages <= 0) return 0.0;
        const bool announced = cluster.transport.eager_bytes > 0 && size > static_cast<double>(cluster.transport.eager_bytes);
        const double shared = cluster.transport.shared_latency_seconds, beyond = std::max(0.0, cluster.transport.cold_latency_seconds - shared);
        const double cold = coldness.own_transport * shared + coldness.transport * beyond;
        const double each = cluster.intra_node.latency_seconds + cold + (announced ? cluster.transport.rendezvous_seconds : 0.0);
        return messages * (each + size * seconds_a_byte());
    }
    [[nodiscard]] double across(double messages, double size) const {
        return messages > 0 ? messages * (cluster.network.latency_seconds + size / network) : 0.0;
    }
    /// To every other rank at once: the node's links and the network work side by side.
    [[nodiscard]] double to_all(double size) const {
        const double near = per_node() - 1, far = ranks() - per_node();
        const double latencies = within(near, size) - near * size * (near > 0 ? seconds_a_byte() : 0.0) +
                                 far * (far > 0 ? cluster.network.latency_seconds : 0.0);
        return latencies + std::max(near > 0 ? near * size * seconds_a_byte() : 0.0, far > 0 ? far * size / network : 0.0);
    }
    /// From every other rank to one, or back: the root's core and the cards of its node work for all.
    [[nodiscard]] double to_one(double size) const {
        if (place.nodes == 1) return (ranks() - 1) * one_way(size);
        const double far = ranks() - per_node();
        return std::max(within(per_node() - 1, size), far * (cluster.network.latency_seconds + size / (network * per_node())));
    }
    /// One step in which every rank passes `size` on to a rank `distance` away in rank order.
    [[nodiscard]] double step(double size, double distance) const {
        if (place.nodes == 1 || distance < per_node() / 2) return within(1, size);
        // All ranks of a node send to other nodes at once, unless the step is a ring's, where one does, with all the cards.
        return std::max(within(1, size), across(1, size));
    }
    [[nodiscard]] double ring_step(double size) const {
        if (place.nodes == 1) return within(1, size);
        return std::max(place.per_node > 1 ? within(1, size) : 0.0, cluster.network.latency_seconds + size / (network * per_node()));
    }
    [[nodiscard]] double sum(double read) const {
        return reduction > 0 ? read / reduction : 0.0;
    }
};

double exchange(CollectiveKind kind, const HostTask& t) {
    const double slice = t.bytes / t.ranks();
    switch (kind) {
        case all_to_all:
        case all_gather: return t.to_all(slice);
        case reduce_scatter: return t.to_all(slice) + t.sum(t.bytes);
        case all_reduce:
            if (t.bytes * t.ranks() <= kGatheredBytes) return t.to_all(t.bytes) + t.sum(t.bytes * t.ranks());
            return t.to_all(slice) + t.sum(t.bytes) + t.just_used().to_all(slice);
        case gather:
        case scatter: return t.to_one(slice);
        case send_recv: return t.ring_step(t.bytes);
        case reduce: // MpiCommunicator: small ones are gathered and summed by the root, others like an all-reduce that gathers to the root alone
            if (t.bytes * t.ranks() <= kGatheredBytes) return t.to_one(t.bytes) + t.sum(t.bytes * t.ranks());
            return t.to_all(slice) + t.sum(t.bytes) + t.to_one(slice);
        case broadcast: break;
    }
    // A pipelined chain, whose links between its ends carry bytes both ways.
    return t.place.ranks == 2 ? t.one_way(t.bytes) : (t.ranks() - 2) * t.ring_step(0) + t.ring_step(t.bytes);
}

double ring(CollectiveKind kind, const HostTask& t) {
    const double steps = t.ranks() - 1, slice = t.bytes / t.ranks();
    const double gather = steps * t.ring_step(slice);
    // Every step adds what arrives to the own part: two reads.
    const double scatter = gather + t.sum(steps * 2 * slice);
    switch (kind) {
        case all_gather: return gather;
        case reduce_scatter: return scatter;
        case all_reduce: return scatter + gather;
        default: return exchange(kind, t);
    }
}

/// log2(n) steps, of S/2, S/4 ... S/n (halving) or back (doubling).
double halving(const HostTask& t, bool sums) {
    const double whole = static_cast<double>(std::bit_floor(static_cast<std::uint64_t>(t.place.ranks)));
    double seconds = 0;
    for (double distance = whole / 2, size = t.bytes / 2; distance >= 1; distance /= 2, size /= 2)
        seconds += t.step(size, distance) + (sums ? t.sum(2 * size) : 0.0);
    return seconds;
}

double recursive(CollectiveKind kind, const HostTask& t) {
    if (kind != all_gather && kind != reduce_scatter && kind != all_reduce) return exchange(kind, t);
    const bool even = std::has_single_bit(static_cast<std::uint64_t>(t.place.ranks));
    const double fold = even ? 0.0 : t.step(t.bytes, 1); // a rank of the rest and its partner
    const double scatter = halving(t, true) + (even ? 0.0 : fold + t.sum(2 * t.bytes));
    const double gather = halving(t, false) + fold;
    if (kind == all_gather) return gather;
    return kind == reduce_scatter ? scatter + (even ? 0.0 : t.step(t.bytes / t.ranks(), 1)) : scatter + gather;
}

/// ceil(log2 n) steps for any n; an all-to-all moves half of the message in each.
double bruck(CollectiveKind kind, const HostTask& t) {
    if (kind != all_gather && kind != all_to_all) return recursive(kind, t);
    double seconds = 0;
    const double slice = t.bytes / t.ranks();
    for (double have = 1; have < t.ranks(); have *= 2)
        seconds += t.step(kind == all_to_all ? t.bytes / 2 : slice * std::min(have, t.ranks() - have), have);
    return seconds;
}

/// Within the nodes, then among the ranks of equal place in their nodes, then within again.
double hierarchical(CollectiveKind kind, const HostTask& t) {
    const bool offered = kind == all_gather || kind == reduce_scatter || kind == all_reduce;
    if (t.place.nodes == 1 || t.place.per_node == 1 || !offered) return exchange(kind, t);
    const Placement inside{t.place.per_node, t.place.per_node, 1}, between{t.place.nodes, 1, t.place.nodes};
    const HostTask whole{t.bytes, inside, t.cluster, t.working_set, t.network, t.coldness, t.reduction};
    const HostTask part{t.bytes / t.per_node(), between, t.cluster, t.working_set, t.network, t.coldness, t.reduction};
    const double scatter = exchange(reduce_scatter, whole), gather = exchange(all_gather, whole);
    if (kind == all_gather) return exchange(all_gather, part) + gather;
    if (kind == reduce_scatter) return scatter + exchange(reduce_scatter, part);
    return scatter + exchange(all_reduce, part) + gather;
}

HostTimed timed(HostAlgorithm algorithm, CollectiveKind kind, const HostTask& t) {
    switch (algorithm) {
        case HostAlgorithm::ring: return {Algorithm::ring, ring(kind, t)};
        case HostAlgorithm::recursive: return {Algorithm::recursive, recursive(kind, t)};
        case HostAlgorithm::bruck: return {Algorithm::bruck, bruck(kind, t)};
        case HostAlgorithm::hierarchical: return {Algorithm::hierarchical, hierarchical(kind, t)};
        case HostAlgorithm::exchange:
        case HostAlgorithm::fastest: break;
    }
    return {Algorithm::exchange, exchange(kind, t)};
}

/// Send and receive buffers of a rank, and of the larger buffer's size 1/n where one is a slice.
double buffer_bytes(CollectiveKind kind, double bytes, double ranks) {
    const bool sliced = kind == all_gather || kind == reduce_scatter || kind == gather || kind == scatter;
    return sliced ? bytes * (1 + 1 / ranks) : kind == broadcast ? bytes : 2 * bytes;
}

} // namespace

HostTimed host_collective(CollectiveKind kind, double bytes, const Placement& place, const cluster::Cluster& cluster, Coldness coldness,
                          DType type) {
    const double ranks = static_cast<double>(place.ranks);
    const double narrow = size_of(type) == 2 ? cluster.transport.narrow_reduction_bytes_per_second : 0.0;
    const double network = cluster.network.achieved_bytes_per_second() * uplink_share(kind, place, cluster);
    const HostTask task{bytes, place, cluster, buffer_bytes(kind, bytes, ranks) * static_cast<double>(place.per_node), network,
                        coldness, narrow > 0 ? narrow : cluster.reduction_bytes_per_second};
    HostTimed best = timed(cluster.transport.algorithm, kind, task);
    if (cluster.transport.algorithm == HostAlgorithm::fastest)
        for (const HostAlgorithm algorithm : {HostAlgorithm::ring, HostAlgorithm::recursive, HostAlgorithm::bruck, HostAlgorithm::hierarchical})
            if (const HostTimed candidate = timed(algorithm, kind, task); candidate.seconds < best.seconds) best = candidate;
    return best;
}

} // namespace zerosim::cost
