// The path that collectives between GPUs of one node take: chosen by the library, or forced to see what it costs.
// Used by config/ (option `transport`), cluster/ (what the path can carry), comm/ (NCCL's switches) and cli/.
// Holds names alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace zerosim {

/// `nvlink`: peer to peer over NVLink. `pcie`: peer to peer over PCIe. `host`: through host memory. `network`: every GPU as if alone on a node.
enum class Transport : std::uint8_t { automatic, nvlink, pcie, host, network };

inline constexpr std::array<std::string_view, 5> kTransportNames{"auto", "nvlink", "pcie", "host", "network"};

[[nodiscard]] constexpr std::string_view name(Transport transport) { return kTransportNames[static_cast<std::size_t>(transport)]; }
[[nodiscard]] constexpr std::optional<Transport> transport_of(std::string_view text) {
    for (std::size_t i = 0; i < kTransportNames.size(); ++i)
        if (kTransportNames[i] == text) return static_cast<Transport>(i);
    return std::nullopt;
}

}  // namespace zerosim
