// How the ranks of a CPU cluster move bytes between processes: protocols, caches, and the algorithm of their collectives.
// Filled by config/ from [node] and [collective] of a cluster file and by `zerosim calibrate`; read by cost/host_collectives.
// Latency and rate of the links themselves are Cluster::intra_node and Cluster::network.
#pragma once

#include <cstdint>
#include <string_view>

namespace zerosim::cluster {

/// `exchange`: what comm/ does (all-to-all, own sum in rank order, all-gather). The others are textbook forms that MPI libraries
/// choose from; `fastest`: whichever takes least. `hierarchical`: reduce within nodes, exchange between them, gather within.
enum class HostAlgorithm : std::uint8_t { exchange, ring, recursive, bruck, hierarchical, fastest };

struct HostTransport {
    HostAlgorithm algorithm = HostAlgorithm::exchange;
    std::int64_t eager_bytes = 0;         // longer messages are announced first (rendezvous); 0 = none is
    double rendezvous_seconds = 0;        // beside the link's latency
    std::int64_t cache_bytes = 0;         // last-level cache that the ranks of a node share; 0 = buffers are never in cache
    double uncached_bytes_per_second = 0; // of a link, for buffers that no cache holds; 0 = as in cache
    double narrow_reduction_bytes_per_second = 0; // of 2-byte floats, which are widened, added and rounded; 0 = as those of fp32
    // A broadcast between two ranks, whose bytes go one way: what it takes of a message's latency, and its rate in cache; rate 0 = not measured.
    double one_way_latency_share = 1;
    double one_way_bytes_per_second = 0;
    // Within a step other work has driven buffers and the transport's own memory out of the core's own cache (shared: the last-level cache
    // holds them), or out of all (cold). What a message takes beside the link's latency, and the link's rate; 0 = as when repeated alone.
    double shared_latency_seconds = 0, shared_bytes_per_second = 0;
    double cold_latency_seconds = 0, cold_bytes_per_second = 0;
    // What one all-gather of 64 KiB between so many ranks took while the above was measured: later runs tell by it whether the links are still those.
    double reference_seconds = 0;
    std::int64_t reference_ranks = 0; // 0 = not known
};

/// `exchange`, `ring`, `recursive`, `bruck`, `hierarchical`, `fastest`. Throws ConfigError.
[[nodiscard]] HostAlgorithm host_algorithm(std::string_view name);
[[nodiscard]] std::string_view name(HostAlgorithm algorithm);

} // namespace zerosim::cluster
