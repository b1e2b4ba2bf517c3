#include "cluster/fabric.hpp"

#include "base/error.hpp"
#include "cluster/host_transport.hpp"

#include <fmt/core.h>

#include <array>
#include <string>

namespace zerosim::cluster {
namespace {

constexpr std::array<std::string_view, 4> kWirings{"switch", "hybrid-cube-mesh", "full-mesh", "pcie"};
constexpr std::array<std::string_view, 5> kTunings{"none", "nccl-volta", "nccl-ampere", "nccl-hopper", "nccl-blackwell"};

constexpr std::array<std::string_view, 3> kNetworks{"non-blocking", "fat-tree", "rail"};
constexpr std::array<std::string_view, 6> kHostAlgorithms{"exchange", "ring", "recursive", "bruck", "hierarchical", "fastest"};

template <std::size_t N>
std::size_t index_of(const std::array<std::string_view, N>& names, std::string_view name, const char* key) {
    std::string known;
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == name) return i;
        known += fmt::format("{}{}", i == 0 ? "" : ", ", names[i]);
    }
    throw ConfigError(fmt::format("{} '{}' is unknown (known: {})", key, name, known));
}

} // namespace

Wiring wiring(std::string_view name) { return static_cast<Wiring>(index_of(kWirings, name, "node.wiring")); }
std::string_view name(Wiring wiring) { return kWirings[static_cast<std::size_t>(wiring)]; }

CollectiveTuning collective_tuning(std::string_view name) {
    return static_cast<CollectiveTuning>(index_of(kTunings, name, "collective.tuning"));
}
std::string_view name(CollectiveTuning tuning) { return kTunings[static_cast<std::size_t>(tuning)]; }

NetworkWiring network_wiring(std::string_view name) { return static_cast<NetworkWiring>(index_of(kNetworks, name, "network.wiring")); }
std::string_view name(NetworkWiring wiring) { return kNetworks[static_cast<std::size_t>(wiring)]; }

HostAlgorithm host_algorithm(std::string_view name) {
    return static_cast<HostAlgorithm>(index_of(kHostAlgorithms, name, "collective.algorithm"));
}
std::string_view name(HostAlgorithm algorithm) { return kHostAlgorithms[static_cast<std::size_t>(algorithm)]; }
std::vector<std::string_view> host_algorithm_names() { return {kHostAlgorithms.begin(), kHostAlgorithms.end()}; }

std::vector<std::string_view> wiring_names() { return {kWirings.begin(), kWirings.end()}; }
std::vector<std::string_view> tuning_names() { return {kTunings.begin(), kTunings.end()}; }

} // namespace zerosim::cluster
