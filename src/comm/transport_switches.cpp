// NCCL user guide, "Environment Variables": NCCL_P2P_DISABLE (no access between GPUs, over NVLink or PCI), NCCL_P2P_LEVEL (the largest distance
// at which it is used: NVL, ..., SYS), NCCL_SHM_DISABLE ("SHM is used between devices when peer-to-peer cannot happen, therefore, host memory
// is used; NCCL uses the network when SHM is disabled"), NCCL_NVLS_ENABLE, NCCL_MNNVL_ENABLE (NVLink between nodes), NCCL_HOSTID (two
// ranks with different ids are on different hosts); NCCL 2.30 src/graph/paths.cc: NCCL_NET_DISABLE_INTRA (no network within a node where it
// would be faster).
#include "comm/transport_switches.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

namespace zerosim::comm {

Switches transport_switches(Transport transport, int rank) {
    switch (transport) {
        case Transport::automatic: return {};
        case Transport::nvlink: return {{"NCCL_P2P_LEVEL", "NVL"}, {"NCCL_P2P_DISABLE", "0"}, {"NCCL_SHM_DISABLE", "1"}, {"NCCL_NET_DISABLE_INTRA", "1"}};
        case Transport::pcie:
            return {{"NCCL_P2P_LEVEL", "SYS"}, {"NCCL_P2P_DISABLE", "0"}, {"NCCL_SHM_DISABLE", "1"}, {"NCCL_NET_DISABLE_INTRA", "1"}, {"NCCL_NVLS_ENABLE", "0"}};
        case Transport::host:
            return {{"NCCL_P2P_DISABLE", "1"}, {"NCCL_SHM_DISABLE", "0"}, {"NCCL_NET_DISABLE_INTRA", "1"}, {"NCCL_NVLS_ENABLE", "0"}, {"NCCL_MNNVL_ENABLE", "0"}};
        case Transport::network:
            return {{"NCCL_P2P_DISABLE", "1"}, {"NCCL_SHM_DISABLE", "1"}, {"NCCL_NVLS_ENABLE", "0"}, {"NCCL_MNNVL_ENABLE", "0"}, {"NCCL_HOSTID", fmt::format("zerosim-rank-{}", rank)}};
    }
    return {};
}

void check_switches(const Switches& switches, Transport transport, const std::function<std::optional<std::string>(const std::string&)>& value_of) {
    for (const auto& [variable, wanted] : switches)
        if (const auto there = value_of(variable); there && *there != wanted)
            throw ConfigError(fmt::format("transport {}: {}={} is set in the environment, and {}={} is needed; unset it, or leave the choice to it (transport auto)", name(transport),
                                          variable, *there, variable, wanted));
}

Switches log_switches(const std::string& file, const std::function<std::optional<std::string>(const std::string&)>& value_of) {
    if (value_of("NCCL_DEBUG") || value_of("NCCL_DEBUG_FILE") || value_of("NCCL_DEBUG_SUBSYS")) return {};
    return {{"NCCL_DEBUG", "INFO"}, {"NCCL_DEBUG_SUBSYS", "INIT"}, {"NCCL_DEBUG_FILE", file}};
}

}  // namespace zerosim::comm
