// How the devices of a node are wired and which collective library moves their bytes.
// Filled by config/ from [node], [network] and [collective] of a cluster file; read by cost/nccl_*.
// Holds no rates but that of the bridge: links within a node and the network are `Link`s of the Cluster.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace zerosim::cluster {

/// `switched`: every device reaches every other at full rate (NVSwitch). `hybrid_cube_mesh`: the NVLinks of DGX-1 and HGX-1 with
/// 8 V100. `full_mesh`: a link of its own to each peer (MI300X). `pcie`: a tree of PCIe switches.
enum class Wiring : std::uint8_t { switched, hybrid_cube_mesh, full_mesh, pcie };

/// Whose tables choose and time a collective; `none`: rings and trees of alpha and beta.
enum class CollectiveTuning : std::uint8_t { none, nccl_volta, nccl_ampere, nccl_hopper, nccl_blackwell };

/// How the nodes reach one another. `non_blocking`: every card sends to every other at full rate. `fat_tree`: all cards of a node hang
/// on the leaf switch of its rack. `rail`: card i of every node on leaf switch i, so that collectives meet fewer uplinks.
enum class NetworkWiring : std::uint8_t { non_blocking, fat_tree, rail };

struct Fabric {
    CollectiveTuning tuning = CollectiveTuning::none;
    Wiring wiring = Wiring::switched;
    /// LL128 needs 128-byte stores that arrive whole: not on every network (the plug-in of EFA on p4d switches it off).
    bool network_ll128 = true;
    /// What NCCL_ALGO and NCCL_PROTO leave to choose from, which some networks' plug-ins prescribe: a bit for each, in the order of
    /// allowed_algorithms and allowed_protocols; 0 = all.
    std::uint8_t algorithms = 0, protocols = 0;
    /// Devices that reach one another over the node's links (a PCIe switch, an NVLink bridge); 0 = all of the node. Larger groups
    /// go through the host's bridges.
    std::int64_t island_devices = 0;
    double bridge_bytes_per_second = 0; // of a ring, one direction, achieved
    std::int64_t bridges = 0;           // that work at the same time; 0 = one for each crossing
    NetworkWiring network = NetworkWiring::non_blocking;
    std::int64_t cards = 0;             // network cards of a node, 0 = one for each device; devices of fewer cards share them
    std::int64_t leaf_nodes = 0;        // nodes that share leaf switches; 0 = all
    bool devices_apart = false;         // collectives over the network even within a node (transport = network)
    double oversubscription = 1;        // of a leaf: what its nodes can send over what its uplinks carry
};

/// `switch`, `hybrid-cube-mesh`, `full-mesh`, `pcie`. Throws ConfigError.
[[nodiscard]] Wiring wiring(std::string_view name);
[[nodiscard]] std::string_view name(Wiring wiring);
/// `non-blocking`, `fat-tree`, `rail`. Throws ConfigError.
[[nodiscard]] NetworkWiring network_wiring(std::string_view name);
[[nodiscard]] std::string_view name(NetworkWiring wiring);
/// `none`, `nccl-volta`, `nccl-ampere` (and Ada), `nccl-hopper`, `nccl-blackwell`. Throws ConfigError.
[[nodiscard]] CollectiveTuning collective_tuning(std::string_view name);
[[nodiscard]] std::string_view name(CollectiveTuning tuning);
/// Lists of `ring`, `tree`, `nvls`, `nvls-tree`, `pat` and of `ll`, `ll128`, `simple`, separated by commas. Throw ConfigError.
[[nodiscard]] std::uint8_t allowed_algorithms(std::string_view list);
[[nodiscard]] std::uint8_t allowed_protocols(std::string_view list);
[[nodiscard]] std::string algorithm_list(std::uint8_t allowed);
[[nodiscard]] std::string protocol_list(std::uint8_t allowed);

} // namespace zerosim::cluster
