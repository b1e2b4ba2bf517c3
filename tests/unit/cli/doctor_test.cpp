// What `doctor` says of machines made up: GPUs and their links, cards, and the ranks of a job.
#include "cli/doctor/doctor_gpus.hpp"
#include "cli/doctor/doctor_ranks.hpp"
#include "cli/run/gpu_transport.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

using device::GpuState;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

/// A healthy machine: GPUs joined by 18 NVLinks each through switches, a card for each below its switch.
Hardware healthy(int gpus) {
    Hardware h;
    h.machine.driver = "580.65.06";
    h.shared_memory_bytes = 32 * kGiB;
    for (int i = 0; i < gpus; ++i) {
        GpuState gpu;
        gpu.index = i;
        gpu.pci = fmt::format("0000:{}b:00.0", i + 1);
        gpu.name = "NVIDIA H200";
        gpu.nvlinks.assign(18, {"0000:c0:00.0", true});
        gpu.pcie_width = gpu.pcie_width_max = 16;
        gpu.pcie_generation_max = 5;
        gpu.persistence = gpu.ecc = true;
        gpu.peer_access.assign(static_cast<std::size_t>(gpus), 1);
        gpu.total_bytes = 140 * kGiB;
        gpu.used_bytes = 4 << 20;
        h.machine.gpus.push_back(gpu);
        h.gpu_numa.push_back(i < gpus / 2 ? 0 : 1);
        h.gpus.emplace_back(static_cast<std::size_t>(gpus), Nearness::other_numa);
        h.cards.push_back({fmt::format("mlx5_{}", i), "InfiniBand", "0000:aa:00.0", 0, 400, true});
    }
    for (int i = 0; i < gpus; ++i) {
        h.to_cards.emplace_back(static_cast<std::size_t>(gpus), Nearness::other_numa);
        h.to_cards.back()[static_cast<std::size_t>(i)] = Nearness::same_switch;
    }
    return h;
}

std::vector<std::string> warnings(const Hardware& h) { return gpu_findings(h, std::nullopt).warnings; }

TEST(DoctorGpus, AHealthyMachineIsDescribedWithoutAWarning) {
    const Findings f = gpu_findings(healthy(4), std::nullopt);
    EXPECT_THAT(f.warnings, IsEmpty());
    EXPECT_THAT(f.facts, Contains(Pair("driver", "580.65.06")));
    EXPECT_THAT(f.facts, Contains(Pair("GPU 0", AllOf(HasSubstr("NVIDIA H200, 140 GiB"), HasSubstr("PCI 0000:1b:00.0 gen5 x16"), HasSubstr("NUMA node 0, persistence on, ECC on")))));
    EXPECT_THAT(f.facts, Contains(Pair("GPU 0 to GPU 1-3", "NVLink x18"))) << "equal links are one line";
    EXPECT_THAT(f.facts, Contains(Pair("mlx5_1", "InfiniBand, up, 400 Gbit/s, NUMA node 0, behind one PCIe switch with GPU 1")));
}

TEST(DoctorGpus, PairsWithoutPeerAccessAreNamed) {
    Hardware h = healthy(2);
    for (GpuState& gpu : h.machine.gpus) gpu.nvlinks.clear();
    EXPECT_EQ(link_text(h, 0, 1), "PCIe, other NUMA node");
    EXPECT_THAT(warnings(h), IsEmpty());
    h.machine.gpus[0].peer_access = {1, 0};
    EXPECT_EQ(link_text(h, 0, 1), "host memory (no peer access), other NUMA node");
    EXPECT_THAT(warnings(h), ElementsAre(HasSubstr("GPUs without access to each other (0-1)")));
}

TEST(DoctorGpus, EveryPathology) {
    const auto one = [](auto change) {
        Hardware h = healthy(2);
        change(h);
        return warnings(h);
    };
    EXPECT_THAT(one([](Hardware& h) {
                    h.machine.gpus[1].nvlinks.resize(16);
                    h.machine.gpus[1].nvlinks_down = 2;
                }),
                ElementsAre(HasSubstr("GPU 1: 2 of its 18 NVLinks are down")));
    EXPECT_THAT(one([](Hardware& h) { h.machine.gpus[0].pcie_width = 8; }), ElementsAre(HasSubstr("GPU 0: PCIe x8 of x16")));
    EXPECT_THAT(one([](Hardware& h) { h.machine.gpus[0].mig = true; }), ElementsAre(HasSubstr("MIG is on")));
    EXPECT_THAT(one([](Hardware& h) { h.machine.gpus[0].persistence = false; }), ElementsAre(HasSubstr("persistence mode is off")));
    EXPECT_THAT(one([](Hardware& h) {
                    h.machine.gpus[1].processes = {{4242, 2 * kGiB}};
                    h.machine.gpus[1].used_bytes = 3 * kGiB;
                }),
                ElementsAre(HasSubstr("GPU 1: in use: 1 process, 3.00 GiB of memory taken")));
    EXPECT_THAT(one([](Hardware& h) { h.shared_memory_bytes = 64 << 20; }), ElementsAre(AllOf(HasSubstr("64.0 MiB free"), HasSubstr("--shm-size=1g"))));
    EXPECT_THAT(one([](Hardware& h) { h.lockable_bytes = 64 << 10; }), ElementsAre(HasSubstr("ulimit -l")));
    EXPECT_THAT(one([](Hardware& h) { h.to_cards[1] = {Nearness::other_numa, Nearness::other_numa}; }), ElementsAre(HasSubstr("GPU 1: every RDMA card is on another NUMA node")));
    EXPECT_THAT(one([](Hardware& h) {
                    for (NetworkCard& card : h.cards) card.up = false;
                    h.lockable_bytes = 64 << 10;
                }),
                IsEmpty())
        << "no RDMA card is up: nothing is registered";
}

TEST(DoctorGpus, AMachineThatIsNotTheClusterItIsTakenFor) {
    cluster::Cluster expected;
    expected.name = "h200-sxm";
    expected.devices_per_node = 4;
    expected.device.memory_bytes = 140 * kGiB;
    Hardware h = healthy(4);
    EXPECT_THAT(gpu_findings(h, expected).warnings, IsEmpty());
    h.machine.gpus[3].nvlinks.clear();
    EXPECT_THAT(gpu_findings(h, expected).warnings, ElementsAre(HasSubstr("cluster h200-sxm has NVLink between these GPUs, this machine none: 0-3, 1-3, 2-3")));
    expected.fabric.wiring = cluster::Wiring::pcie;
    EXPECT_THAT(gpu_findings(h, expected).warnings, IsEmpty());
    expected.devices_per_node = 8;
    expected.device.memory_bytes = 80 * kGiB;
    EXPECT_THAT(gpu_findings(h, expected).warnings, ElementsAre(HasSubstr("has 8 GPUs a node, this machine 4"), HasSubstr("GPUs of 80.0 GiB")));
}

TEST(DoctorGpus, ForgottenSwitchesAreNamed) {
    EXPECT_THAT(switch_findings({{"NCCL_P2P_DISABLE", "1"}, {"NCCL_SHM_DISABLE", "0"}}).warnings, ElementsAre(HasSubstr("NCCL_P2P_DISABLE=1")));
}

RankFacts rank(int number, const std::string& gpu, std::vector<int> cpus, int gpu_numa) {
    RankFacts f;
    f.rank = f.local_rank = number;
    f.host = "node-a";
    f.numa_nodes = {cpus.front() < 4 ? 0 : 1};
    f.cpus = std::move(cpus);
    f.gpu = gpu;
    f.gpu_number = number;
    f.gpu_numa = gpu_numa;
    f.versions = {{"NCCL", "2.28.9"}, {"MPI", "Open MPI v4.1.4"}};
    return f;
}

TEST(DoctorRanks, EachRankIsToldWithItsPlace) {
    const Findings f = rank_findings(std::vector{rank(0, "0000:1b:00.0", {0, 1}, 0), rank(1, "0000:ab:00.0", {4, 5}, 1)});
    EXPECT_THAT(f.warnings, IsEmpty());
    EXPECT_THAT(f.facts, Contains(Pair("rank 1", "node-a, cores 4-5, NUMA node 1, GPU 1 (PCI 0000:ab:00.0, NUMA node 1)")));
}

TEST(DoctorRanks, BindingSharingAndVersionsThatHurt) {
    EXPECT_THAT(rank_findings(std::vector{rank(0, "0000:1b:00.0", {4, 5}, 0)}).warnings, ElementsAre(HasSubstr("rank 0 of node-a is bound to NUMA node 1, and its GPU 0 hangs on node 0")));
    EXPECT_THAT(rank_findings(std::vector{rank(0, "0000:1b:00.0", {0}, 0), rank(1, "0000:1b:00.0", {1}, 0)}).warnings, ElementsAre(HasSubstr("ranks 0-1 of node-a would share GPU 0000:1b:00.0")));
    EXPECT_THAT(rank_findings(std::vector{rank(0, "", {0}, -1), rank(1, "", {0}, -1)}).warnings, ElementsAre(HasSubstr("ranks 0-1 of node-a share 1 core (0)")));
    auto other = rank(1, "0000:ab:00.0", {4, 5}, 1);
    other.host = "node-b";
    other.versions["NCCL"] = "2.27.3";
    other.warnings = {"GPU 3: MIG is on"};
    EXPECT_THAT(rank_findings(std::vector{rank(0, "0000:1b:00.0", {0, 1}, 0), other}).warnings,
                ElementsAre("node-b: GPU 3: MIG is on", "NCCL differs between ranks: 2.27.3 on rank 1, 2.28.9 on rank 0"));
}

TEST(DoctorRanks, FactsSurviveTheirJourney) {
    RankFacts sent = rank(3, "0000:1b:00.0", {0, 1, 7}, 0);
    sent.warnings = {"x"};
    const RankFacts got = rank_facts_from_text(to_text(sent));
    EXPECT_EQ(to_text(got), to_text(sent));
    EXPECT_EQ(got.cpus, sent.cpus);
    EXPECT_EQ(got.versions, sent.versions);
}

TEST(MissingPath, NvlinkNeedsNvlinksAndPcieNeedsNone) {
    Hardware h = healthy(3);
    h.machine.gpus[2].nvlinks.clear();
    h.machine.gpus[2].nvlinks_down = 18;
    const auto pci = [&](int i) { return h.machine.gpus[static_cast<std::size_t>(i)].pci; };
    const std::vector<std::string> second{pci(1)}, third{pci(2)};
    EXPECT_EQ(missing_path(Transport::nvlink, h.machine, pci(0), second), "");
    EXPECT_THAT(missing_path(Transport::nvlink, h.machine, pci(0), third), HasSubstr("GPU 0 (0000:1b:00.0) and GPU 2 (0000:3b:00.0) are not joined by NVLink"));
    EXPECT_THAT(missing_path(Transport::nvlink, h.machine, pci(2), second), HasSubstr("18 NVLinks of GPU 2 are down"));
    EXPECT_THAT(missing_path(Transport::pcie, h.machine, pci(0), second), HasSubstr("joined by 18 NVLinks"));
    EXPECT_EQ(missing_path(Transport::pcie, h.machine, pci(0), third), "");
    h.machine.gpus[0].peer_access[2] = 0;
    EXPECT_THAT(missing_path(Transport::pcie, h.machine, pci(0), third), HasSubstr("does not reach the memory of GPU 2 over PCIe"));
    for (const Transport always : {Transport::automatic, Transport::host, Transport::network}) EXPECT_EQ(missing_path(always, h.machine, pci(0), third), "") << name(always);
    EXPECT_EQ(missing_path(Transport::nvlink, {}, pci(0), third), "") << "nobody tells";
}

}  // namespace
}  // namespace zerosim::cli
