// What is asked of the driver's management library, against a library that answers for four GPUs (tests/support/fake_nvml.cpp).
#include "device/nvml.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::device {
namespace {

const std::string kLibrary = ZEROSIM_FAKE_NVML;

TEST(Nvml, ReadsTheWholeMachine) {
    const GpuMachine machine = Nvml(kLibrary).machine();
    EXPECT_EQ(machine.driver, "535.104.05");
    ASSERT_EQ(machine.gpus.size(), 4u);
    const GpuState& gpu = machine.gpus[1];
    EXPECT_EQ(gpu.index, 1);
    EXPECT_EQ(gpu.pci, "0000:2b:00.0");
    EXPECT_EQ(gpu.name, "NVIDIA Test 80GB");
    EXPECT_EQ(gpu.total_bytes, std::int64_t{79} << 30);
    EXPECT_EQ(gpu.used_bytes, std::int64_t{3} << 30);
    EXPECT_EQ(gpu.pcie_generation_max, 4);
    ASSERT_EQ(gpu.processes.size(), 2u);
    EXPECT_EQ(gpu.processes[0].pid, 4242);
    EXPECT_EQ(gpu.processes[0].bytes, std::int64_t{2} << 30);
    EXPECT_EQ(gpu.processes[1].bytes, -1) << "hidden";
    EXPECT_EQ(machine.find("0000:2b:00.0"), &gpu);
    EXPECT_EQ(machine.find("0000:99:00.0"), nullptr);
}

TEST(Nvml, KnowsWhatIsOffAndWhatIsNotTold) {
    const GpuMachine machine = Nvml(kLibrary).machine();
    EXPECT_EQ(machine.gpus[0].persistence, false);
    EXPECT_EQ(machine.gpus[1].persistence, true);
    EXPECT_EQ(machine.gpus[2].pcie_width, 8);
    EXPECT_EQ(machine.gpus[2].pcie_width_max, 16);
    EXPECT_EQ(machine.gpus[2].ecc, true);
    EXPECT_EQ(machine.gpus[3].ecc, std::nullopt);
    EXPECT_EQ(machine.gpus[3].mig, true);
    EXPECT_EQ(machine.gpus[3].nvlinks_down, 1);
    EXPECT_THAT(machine.gpus[0].peer_access, testing::ElementsAre(1, 1, 0, 0));
}

TEST(Nvml, PairsAreJoinedDirectlyOrBySwitches) {
    const auto gpus = Nvml(kLibrary).machine().gpus;
    EXPECT_EQ(nvlinks_between(gpus[0], gpus[1]), 4);
    EXPECT_EQ(nvlinks_between(gpus[2], gpus[3]), 1) << "the weaker side has one link to the switches";
    EXPECT_EQ(nvlinks_between(gpus[1], gpus[2]), 0);
    EXPECT_EQ(nvlinks_between(gpus[0], gpus[0]), 0);
}

TEST(Nvml, TellsMemoryOfDevicesAndProcesses) {
    const Nvml nvml(kLibrary);
    EXPECT_EQ(nvml.used_bytes("0000:2b:00.0"), std::int64_t{3} << 30);
    EXPECT_EQ(nvml.used_bytes("0000:4b:00.0"), -1) << "a part of it would be the rank's";
    EXPECT_EQ(nvml.process_bytes("0000:2b:00.0", 4242), std::int64_t{2} << 30);
    EXPECT_EQ(nvml.process_bytes("0000:2b:00.0", 4243), -1);
    EXPECT_EQ(nvml.process_bytes("0000:2b:00.0", 1), -1);
}

TEST(Nvml, SaysWhatIsMissing) {
    EXPECT_THAT([] { Nvml("libnvidia-ml-that-is-not-there.so.1"); }, testing::ThrowsMessage<EnvironmentError>(testing::HasSubstr("libnvidia-ml-that-is-not-there.so.1")));
    const Nvml nvml(kLibrary);
    EXPECT_THAT([&] { (void)nvml.used_bytes("0000:77:00.0"); }, testing::ThrowsMessage<EnvironmentError>(testing::HasSubstr("Not Found")));
}

TEST(Pci, AddressesAreWrittenOneWay) {
    EXPECT_EQ(plain_pci("0000:1B:00.0"), "0000:1b:00.0");
    EXPECT_EQ(plain_pci("00000000:1B:00.0"), "0000:1b:00.0");
    EXPECT_EQ(plain_pci("0001:1b:00.0"), "0001:1b:00.0");
}

}  // namespace
}  // namespace zerosim::device
