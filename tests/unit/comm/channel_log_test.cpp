#include "comm/channel_log.hpp"

#include <gtest/gtest.h>

namespace zerosim::comm {
namespace {

/// Lines of NCCL logs in public issues (github.com/NVIDIA/nccl 1189, 1161; NVIDIA/nccl-tests 331, 252), host names shortened.
constexpr std::string_view kTwoNodes =
    "gpu-06:4015539:4015652 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB [RO]; OOB eno1:10.0.0.6<0>\n"
    "gpu-06:4015539:4015652 [0] NCCL INFO Channel 07/0 : 0[0] -> 2[0] [receive] via NET/IB/3/GDRDMA\n"
    "gpu-06:4015540:4015653 [1] NCCL INFO Channel 01/0 : 3[1] -> 1[1] [send] via NET/IB/2/GDRDMA\n"
    "gpu-06:4015540:4015653 [1] NCCL INFO Channel 03/0 : 3[1] -> 1[1] [send] via NET/IB/2/GDRDMA\n"
    "gpu-06:4015540:4015653 [1] NCCL INFO Channel 00/0 : 3[1] -> 2[0] via P2P/CUMEM\n"
    "gpu-06:4015540:4015653 [1] NCCL INFO Connected all rings\n";

const auto kNever = [](int, int) { return false; };
const auto kAlways = [](int, int) { return true; };

TEST(ChannelLog, ReadsWhatIsSentAndPassesOverTheRest) {
    const auto uses = parse_channel_log(kTwoNodes);
    ASSERT_EQ(uses.size(), 3u);
    EXPECT_EQ(uses[0], (ChannelUse{1, 3, 1, 1, 1, "NET/IB/GDRDMA"}));
    EXPECT_EQ(uses[2], (ChannelUse{0, 3, 2, 1, 0, "P2P/CUMEM"}));
}

TEST(ChannelLog, KnowsEveryFormOfPeerToPeer) {
    const auto uses = parse_channel_log(
        "lrdn2296:4063850:4063882 [0] NCCL INFO Channel 03/1 : 0[0] -> 1[1] via P2P/direct pointer/read\n"
        "h:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/IPC\n"
        "h:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/MNNVL/read\n"
        "h:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 5[5] via P2P/indirect/1[1]/read\r\n");
    ASSERT_EQ(uses.size(), 4u);
    EXPECT_EQ(uses[0].via, "P2P/direct pointer");
    EXPECT_EQ(uses[1].via, "P2P/IPC");
    EXPECT_EQ(uses[2].via, "P2P/MNNVL");
    EXPECT_EQ(uses[3].via, "P2P/indirect");
}

TEST(ChannelLog, ReadsTheNetworksNamesWithoutTheirCards) {
    const auto uses = parse_channel_log(
        "h:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[0] [send] via NET/Socket/0\n"
        "h:1:2 [0] NCCL INFO Channel 01/0 : 0[0] -> 1[0] [send] via NET/IB/8(1)/GDRDMA(PCI)/Shared\n"
        "h:1:2 [0] NCCL INFO Channel 01/0 : 0[0] -> 1[0] [send] via NET/AWS Libfabric/2\n");
    ASSERT_EQ(uses.size(), 3u);
    EXPECT_EQ(uses[0].via, "NET/Socket");
    EXPECT_EQ(uses[1].via, "NET/IB/GDRDMA");
    EXPECT_EQ(uses[2].via, "NET/AWS Libfabric");
}

TEST(ChannelLog, OlderLogsNamePciAddressesInsteadOfDevices) {
    const auto uses = parse_channel_log("h:1:2 [1] NCCL INFO Channel 00/0 : 1[21000] -> 0[1000] via P2P/direct pointer\n"
                                        "h:1:2 [1] NCCL INFO Channel 00 : 1[ca000] -> 0[c7000] via SHM/direct/direct\n");
    ASSERT_EQ(uses.size(), 2u);
    EXPECT_EQ(uses[0], (ChannelUse{0, 1, 0, -1, -1, "P2P/direct pointer"}));
    EXPECT_EQ(uses[1].via, "SHM/direct");
}

TEST(ChannelLog, DamagedLinesAreNoChannels) {
    for (const std::string_view line : {"", "Channel 00 : 0[0] -> 1[1] via SHM/direct/direct", "NCCL INFO Channel", "NCCL INFO Channel 00 : 0[0] -> 1[1]",
                                        "NCCL INFO Channel xx : 0[0] -> 1[1] via SHM", "NCCL INFO Channel 00 : 0 -> 1 via SHM", "NCCL INFO Channel 00/02 : 0 1 2 3"})
        EXPECT_TRUE(parse_channel_log(line).empty()) << line;
}

TEST(PathsUsed, CountsChannelsByPathMostFirst) {
    const auto paths = paths_used(parse_channel_log(kTwoNodes), kAlways);
    EXPECT_EQ(paths, (std::vector<PathUse>{{"network", "NET/IB/GDRDMA", 2}, {"nvlink", "P2P/CUMEM", 1}}));
}

TEST(PathsUsed, PeerToPeerIsNvlinkOnlyWhereTheDevicesAreJoinedByIt) {
    const auto uses = parse_channel_log("h:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM\n"
                                        "h:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 2[2] via P2P/CUMEM\n"
                                        "h:1:2 [0] NCCL INFO Channel 00 : 0[0] -> 3[3] via SHM/direct/direct\n");
    const auto paths = paths_used(uses, [](int from, int to) { return from == 0 && to == 1; });
    EXPECT_EQ(paths, (std::vector<PathUse>{{"nvlink", "P2P/CUMEM", 1}, {"pcie", "P2P/CUMEM", 1}, {"host", "SHM/direct", 1}}));
}

TEST(PathsUsed, MulticastAndMultiNodeNvlinkNeedNoPairs) {
    const auto uses = parse_channel_log("h:1:2 [0] NCCL INFO NVLS comm 0x55d0 headRank 0 nHeads 8 buffSize 1048576 memSize 2097152\n"
                                        "h:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 9[1] via P2P/MNNVL\n");
    const auto paths = paths_used(uses, kNever);
    EXPECT_EQ(paths, (std::vector<PathUse>{{"nvlink", "NVLS", 1}, {"nvlink", "P2P/MNNVL", 1}}));
}

}  // namespace
}  // namespace zerosim::comm
