#include "cluster/fabric.hpp"

#include "base/error.hpp"
#include "cluster/host_transport.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>

namespace zerosim::cluster {
namespace {

constexpr std::array<std::string_view, 4> kWirings{"switch", "hybrid-cube-mesh", "full-mesh", "pcie"};
constexpr std::array<std::string_view, 5> kTunings{"none", "nccl-volta", "nccl-ampere", "nccl-hopper", "nccl-blackwell"};

constexpr std::array<std::string_view, 5> kAlgorithms{"ring", "tree", "nvls", "nvls-tree", "pat"};
constexpr std::array<std::string_view, 3> kProtocols{"ll", "ll128", "simple"};
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

template <std::size_t N>
std::uint8_t bits_of(const std::array<std::string_view, N>& names, std::string_view list, const char* key) {
    unsigned bits = 0;
    for (std::size_t from = 0; from <= list.size();) {
        const std::size_t comma = std::min(list.find(',', from), list.size());
        std::string_view name = list.substr(from, comma - from);
        while (name.starts_with(' ')) name.remove_prefix(1);
        while (name.ends_with(' ')) name.remove_suffix(1);
        bits |= 1U << index_of(names, name, key);
        from = comma + 1;
    }
    return static_cast<std::uint8_t>(bits);
}

template <std::size_t N>
std::string list_of(const std::array<std::string_view, N>& names, std::uint8_t bits) {
    std::string list;
    for (std::size_t i = 0; i < N; ++i)
        if ((bits >> i & 1U) != 0) list += fmt::format("{}{}", list.empty() ? "" : ", ", names[i]);
    return list;
}

} // namespace

std::uint8_t allowed_algorithms(std::string_view list) { return bits_of(kAlgorithms, list, "collective.nccl-algorithms"); }
std::uint8_t allowed_protocols(std::string_view list) { return bits_of(kProtocols, list, "collective.nccl-protocols"); }
std::string algorithm_list(std::uint8_t allowed) { return list_of(kAlgorithms, allowed); }
std::string protocol_list(std::uint8_t allowed) { return list_of(kProtocols, allowed); }

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

} // namespace zerosim::cluster
