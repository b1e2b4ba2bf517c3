// A cluster with more of one resource: what sensitivity asks for.
// Called by cli/ for `simulate --sensitivity`.
// Does not say what the step gains: that takes another simulation.
#pragma once

#include "cluster/cluster.hpp"

#include <span>
#include <string>

namespace zerosim::cluster {

enum class Resource : std::uint8_t { matrix_throughput, memory_bandwidth, node_bandwidth, network_bandwidth, latency, kernel_launch, host_issue, host_link, host_memory, nvme };
[[nodiscard]] std::span<const Resource> all_resources();
/// As the cluster's wiring has it: "NVLink bandwidth", "PCIe bandwidth between devices", ...
[[nodiscard]] std::string name(Resource resource, const Cluster& cluster);
/// Rates times `factor`, times and latencies divided by it.
[[nodiscard]] Cluster improved(Cluster cluster, Resource resource, double factor);

} // namespace zerosim::cluster
