#include "cost/nccl_memory.hpp"

#include "cost/collective_choice.hpp"
#include "cost/nccl_topology.hpp"

#include <map>
#include <set>
#include <tuple>

namespace zerosim::cost {
namespace {

constexpr std::int64_t kKiB = 1024, kMiB = kKiB * kKiB;
// NCCL 2.30 src/include/device.h and src/init.cc, buffers of a connection with 8 steps: LL 8 lines * 512 threads * 8 * 16 B,
// LL128 120 * 640 * 8 * 8 B, Simple NCCL_BUFFSIZE = 4 MiB.
constexpr std::int64_t kLl = 8 * 512 * 8 * 16, kLl128 = 120 * 640 * 8 * 8, kSimple = 4 * kMiB;
/// Peer to peer: the receiver keeps all three, rounded up to 2 MiB; the sender 2 MiB (an NCCL log with sizes: github.com/NVIDIA/nccl issue 1685
/// shows 10,485,760 and 2,097,152).
constexpr std::int64_t kPeerReceive = 10 * kMiB, kPeerSend = 2 * kMiB;
static_assert(kLl + kLl128 + kSimple <= kPeerReceive);
/// Over the network with GPUDirect: LL128 and Simple lie on the device, LL on the host, at both ends.
constexpr std::int64_t kNetwork = kLl128 + kSimple;
/// NVLS: a channel's buffers of up to 8 steps of 128 KiB for each GPU of the node, once to reduce and once to multicast
/// (src/transport/nvls.cc): 256 MiB with 16 channels on 8 GPUs.
constexpr std::int64_t kNvlsChannelOfHead = 8 * 128 * kKiB;

using Connected = std::set<Algorithm>;

std::int64_t connections(const Placement& place, const NcclTopology& topology) {
    return topology.channels * (place.per_node > 1 ? kPeerReceive + kPeerSend : 2 * kNetwork);
}

/// Rings connect one neighbour in each direction; trees add the ways back.
std::int64_t group_bytes(const Connected& algorithms, const Placement& place, const NcclTopology& topology) {
    std::int64_t bytes = 0;
    for (const Algorithm algorithm : algorithms) switch (algorithm) {
            case Algorithm::nvls:
            case Algorithm::nvls_tree: {
                const std::int64_t channels = topology.generation >= 3 ? 24 : 16;   // NCCL 2.30 src/graph/connect.cc: Blackwell 24, Hopper 16
                bytes += 2 * channels * kNvlsChannelOfHead * place.per_node;
                if (algorithm == Algorithm::nvls_tree) bytes += topology.channels * 2 * kNetwork;
                break;
            }
            default: bytes += connections(place, topology); break;
        }
    return bytes;
}

}  // namespace

std::int64_t nccl_memory_bytes(const schedule::Schedule& schedule, const schedule::Program& program, const cluster::Cluster& cluster) {
    if (cluster.device.is_cpu || cluster.free_communication || cluster.fabric.tuning == cluster::CollectiveTuning::none) return 0;
    std::map<AxisId, Connected> groups;
    std::set<std::tuple<AxisId, CollectiveKind, std::int64_t>> seen;
    for (const schedule::Op& op : program.ops) {
        if (op.kind != schedule::OpKind::collective) continue;
        const schedule::Collective& c = program.collective_of(op);
        const schedule::Axis& axis = schedule.axis(c.axis);
        const std::int64_t bytes = schedule::message_bytes(program, c);
        if (axis.size <= 1 || bytes == 0 || !seen.insert({c.axis, c.kind, bytes}).second) continue;
        groups[c.axis].insert(collective_choice(c.kind, bytes, axis.size, axis.stride, cluster, schedule.ranks).algorithm);
    }
    std::int64_t total = 0;
    for (const auto& [axis_id, algorithms] : groups) {
        const schedule::Axis& axis = schedule.axis(axis_id);
        const Placement at = place(axis.size, axis.stride, cluster, schedule.ranks);
        total += group_bytes(algorithms, at, nccl_topology(at, cluster));
    }
    return total;
}

}  // namespace zerosim::cost
