// A rank's forced path: switches set before NCCL would be loaded, refused by all ranks together, read from NCCL's log.
#include "cli/run/gpu_transport.hpp"

#include "base/error.hpp"
#include "comm/local_communicator.hpp"
#include "exec/run_error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace zerosim::cli {
namespace {

using testing::HasSubstr;

/// Two GPUs of one machine without NVLink.
device::GpuMachine two_cards() {
    device::GpuMachine machine;
    machine.gpus.resize(2);
    for (int i = 0; i < 2; ++i) {
        machine.gpus[static_cast<std::size_t>(i)].index = i;
        machine.gpus[static_cast<std::size_t>(i)].pci = fmt::format("0000:{}b:00.0", i + 1);
    }
    return machine;
}

/// Variables of NCCL set in a test are gone after it.
class GpuTransportTest : public testing::Test {
protected:
    void TearDown() override {
        for (const char* name : {"NCCL_P2P_LEVEL", "NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE", "NCCL_NET_DISABLE_INTRA", "NCCL_NVLS_ENABLE", "NCCL_MNNVL_ENABLE", "NCCL_HOSTID",
                                 "NCCL_DEBUG", "NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE"})
            ::unsetenv(name);
    }
    static std::string variable(const char* name) {
        const char* value = std::getenv(name);
        return value == nullptr ? "" : value;
    }
    const comm::LocalWorld world_{1};
};

TEST_F(GpuTransportTest, SetsNcclsSwitchesAndReadsItsLog) {
    const auto host = world_.communicator(0);
    std::string file;
    {
        const GpuTransport transport(Transport::host, "0000:1b:00.0", *host, two_cards());
        EXPECT_EQ(variable("NCCL_P2P_DISABLE"), "1");
        EXPECT_EQ(variable("NCCL_DEBUG"), "INFO");
        file = variable("NCCL_DEBUG_FILE");
        EXPECT_TRUE(transport.paths().empty()) << "NCCL has not said anything";
        std::ofstream(file) << "h:1:2 [0] NCCL INFO Channel 00 : 0[0] -> 1[1] via SHM/direct/direct\nh:1:2 [0] NCCL INFO Channel 01/0 : 0[0] -> 1[1] via P2P/CUMEM\n";
        EXPECT_EQ(transport.paths(), (std::vector<comm::PathUse>{{"host", "SHM/direct", 1}, {"pcie", "P2P/CUMEM", 1}}));
    }
    EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(GpuTransportTest, AutoForcesNothingAndStillReads) {
    const auto host = world_.communicator(0);
    const GpuTransport transport(Transport::automatic, "0000:1b:00.0", *host, two_cards());
    EXPECT_EQ(variable("NCCL_P2P_DISABLE"), "");
    EXPECT_NE(variable("NCCL_DEBUG_FILE"), "");
}

TEST_F(GpuTransportTest, AUsersOwnSwitchIsAConflictAndHisLogHis) {
    const auto host = world_.communicator(0);
    ::setenv("NCCL_DEBUG", "WARN", 1);
    const GpuTransport transport(Transport::automatic, "0000:1b:00.0", *host, two_cards());
    EXPECT_EQ(variable("NCCL_DEBUG_FILE"), "");
    EXPECT_TRUE(transport.paths().empty());
    ::setenv("NCCL_P2P_DISABLE", "1", 1);
    EXPECT_THROW(GpuTransport(Transport::nvlink, "0000:1b:00.0", *host, two_cards()), ConfigError);
}

TEST_F(GpuTransportTest, WhatTheMachineLacksEndsAllRanksAndOneSaysIt) {
    const comm::LocalWorld pair(2);
    std::vector<std::string> said(2);
    std::vector<char> of_peer(2);   // written by two threads: no bits of one byte
    {
        std::vector<std::jthread> ranks;
        for (int rank = 0; rank < 2; ++rank)
            ranks.emplace_back([&, rank] {
                const auto at = static_cast<std::size_t>(rank);
                const auto host = pair.communicator(rank);
                try {
                    const GpuTransport transport(Transport::nvlink, fmt::format("0000:{}b:00.0", rank + 1), *host, two_cards());
                } catch (const exec::RunError& error) {
                    of_peer[at] = error.of_peer();
                    said[at] = error.what();
                } catch (const EnvironmentError& error) {
                    said[at] = error.what();
                }
            });
    }
    EXPECT_THAT(said[0], HasSubstr("transport nvlink: GPU 0 (0000:1b:00.0) and GPU 1 (0000:2b:00.0) are not joined by NVLink"));
    EXPECT_EQ(said[1], said[0]);
    EXPECT_TRUE(of_peer[1]);
    EXPECT_EQ(variable("NCCL_P2P_LEVEL"), "") << "nothing was set";
}

/// What each of two ranks on the same GPU says; "" = nothing.
std::vector<std::string> two_ranks_on_one_gpu() {
    const comm::LocalWorld pair(2);
    std::vector<std::string> said(2);
    std::vector<std::jthread> ranks;
    for (int rank = 0; rank < 2; ++rank)
        ranks.emplace_back([&, rank] {
            const auto host = pair.communicator(rank);
            try {
                const GpuTransport transport(Transport::automatic, "0000:1b:00.0", *host, two_cards());
            } catch (const Error& error) {
                said[static_cast<std::size_t>(rank)] = error.what();
            }
        });
    ranks.clear();
    return said;
}

// One GPU shown to all ranks (CUDA_VISIBLE_DEVICES=0) looks like one that a launcher gave to each: NCCL would refuse it in its own words.
TEST_F(GpuTransportTest, RanksOnOneGpuMustSayThatTheyShareIt) {
    const std::vector<std::string> said = two_ranks_on_one_gpu();
    EXPECT_THAT(said[0], HasSubstr("another rank of this node has the GPU at 0000:1b:00.0"));
    EXPECT_THAT(said[0], HasSubstr("--share-device true"));
    EXPECT_EQ(said[1], said[0]);
    ::setenv("NCCL_HOSTID", "zerosim-rank-0", 1);        // as --share-device does
    ::setenv("NCCL_DEBUG", "WARN", 1);                   // the two are threads here: nothing is left to set
    const std::vector<std::string> shared = two_ranks_on_one_gpu();
    EXPECT_EQ(shared, std::vector<std::string>(2));
}

}  // namespace
}  // namespace zerosim::cli
