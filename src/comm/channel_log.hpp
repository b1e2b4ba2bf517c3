// What NCCL says of its connections (NCCL_DEBUG=INFO), read: between which ranks, over what.
// Called by cli/ after a run on GPUs, on the log of its own process, and by tests on captured lines.
// Knows no NCCL header and asks no driver: whether two devices share NVLink is handed in.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::comm {

/// One channel on which this process sends.
struct ChannelUse {
    int channel = 0;
    int from = 0, to = 0;                     // ranks of the communicator
    int from_device = -1, to_device = -1;     // NVML's numbers on their nodes; -1: the log names PCI addresses (before NCCL 2.20)
    std::string via;                          // "P2P/CUMEM", "SHM/direct", "NET/IB/GDRDMA", "NVLS": without card numbers and modes
    friend bool operator==(const ChannelUse&, const ChannelUse&) = default;
};
/// Lines that are not about channels are passed over; NVLS (all GPUs of a node at once) is one use for each communicator.
[[nodiscard]] std::vector<ChannelUse> parse_channel_log(std::string_view log);

/// One path of a rank's traffic.
struct PathUse {
    std::string path;                         // a transport's name: nvlink, pcie, host, network
    std::string via;
    std::int64_t channels = 0;
    friend bool operator==(const PathUse&, const PathUse&) = default;
};
/// `nvlink(from, to)`: whether these devices of this node are joined by NVLink, asked of peer-to-peer channels alone.
[[nodiscard]] std::vector<PathUse> paths_used(std::span<const ChannelUse> uses, const std::function<bool(int, int)>& nvlink);

}  // namespace zerosim::comm
