#include "comm/transport_switches.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>

#include <map>

namespace zerosim::comm {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

std::function<std::optional<std::string>(const std::string&)> environment(std::map<std::string, std::string> values) {
    return [values = std::move(values)](const std::string& name) {
        const auto found = values.find(name);
        return found == values.end() ? std::nullopt : std::optional(found->second);
    };
}

std::string refusal(Transport transport, std::map<std::string, std::string> values) {
    try {
        check_switches(transport_switches(transport, 3), transport, environment(std::move(values)));
    } catch (const ConfigError& error) {
        return error.what();
    }
    return {};
}

TEST(TransportSwitches, LeaveOnlyTheAskedPathOpen) {
    EXPECT_THAT(transport_switches(Transport::automatic, 0), IsEmpty());
    EXPECT_THAT(transport_switches(Transport::nvlink, 0), Contains(Pair("NCCL_P2P_LEVEL", "NVL")));
    EXPECT_THAT(transport_switches(Transport::pcie, 0), Contains(Pair("NCCL_NVLS_ENABLE", "0")));
    for (const Transport peer : {Transport::nvlink, Transport::pcie}) {
        EXPECT_THAT(transport_switches(peer, 0), Contains(Pair("NCCL_SHM_DISABLE", "1"))) << name(peer);
        EXPECT_THAT(transport_switches(peer, 0), Contains(Pair("NCCL_P2P_DISABLE", "0"))) << name(peer);
    }
    for (const Transport staged : {Transport::host, Transport::network}) EXPECT_THAT(transport_switches(staged, 0), Contains(Pair("NCCL_P2P_DISABLE", "1"))) << name(staged);
    EXPECT_THAT(transport_switches(Transport::host, 0), Contains(Pair("NCCL_SHM_DISABLE", "0")));
}

TEST(TransportSwitches, OverTheNetworkEveryRankIsAHost) {
    EXPECT_THAT(transport_switches(Transport::network, 3), Contains(Pair("NCCL_HOSTID", "zerosim-rank-3")));
    EXPECT_NE(transport_switches(Transport::network, 3), transport_switches(Transport::network, 4));
}

TEST(TransportSwitches, TheUsersOwnSwitchesAreNotOverruled) {
    EXPECT_EQ(refusal(Transport::nvlink, {{"NCCL_SHM_DISABLE", "1"}, {"NCCL_ALGO", "Ring"}}), "");
    EXPECT_THAT(refusal(Transport::nvlink, {{"NCCL_P2P_DISABLE", "1"}}), HasSubstr("NCCL_P2P_DISABLE=1 is set in the environment, and NCCL_P2P_DISABLE=0 is needed"));
    EXPECT_EQ(refusal(Transport::automatic, {{"NCCL_P2P_DISABLE", "1"}}), "");
}

TEST(TransportSwitches, TheUsersOwnLogStaysTheUsers) {
    EXPECT_THAT(log_switches("/tmp/log", environment({})), Contains(Pair("NCCL_DEBUG_FILE", "/tmp/log")));
    EXPECT_THAT(log_switches("/tmp/log", environment({{"NCCL_DEBUG", "WARN"}})), IsEmpty());
    EXPECT_THAT(log_switches("/tmp/log", environment({{"NCCL_DEBUG_FILE", "nccl.log"}})), IsEmpty());
}

}  // namespace
}  // namespace zerosim::comm
