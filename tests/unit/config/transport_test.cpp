// The option `transport`: what it forces, where it is refused.
#include "fixture.hpp"

#include <gmock/gmock.h>

namespace zerosim::config {
namespace {

using ::testing::HasSubstr;

Resolved simulated(std::vector<std::string> words) { return resolve_words(std::move(words), {}, Command::simulate); }

TEST(Transport, TheSimulatedClusterIsTheOneOverThatPath) {
    const auto usual = simulated({"--cluster=h100-sxm", "--ranks=8"}).scenario.cluster, pcie = simulated({"--cluster=h100-sxm", "--ranks=8", "--transport=pcie"}).scenario.cluster;
    EXPECT_EQ(usual.fabric.wiring, cluster::Wiring::switched);
    EXPECT_EQ(pcie.fabric.wiring, cluster::Wiring::pcie);
    EXPECT_LT(pcie.intra_node.achieved_bytes_per_second(), usual.intra_node.achieved_bytes_per_second() / 4);
    EXPECT_TRUE(simulated({"--cluster=h100-sxm", "--ranks=8", "--transport=network"}).scenario.cluster.fabric.devices_apart);
    EXPECT_EQ(simulated({"--cluster=h100-sxm", "--ranks=8", "--transport=host"}).run.transport, zerosim::Transport::host);
}

TEST(Transport, IsRefusedWhereThereIsNoSuchPath) {
    EXPECT_THAT(config_error([] { (void)simulated({"--cluster=l40s-pcie", "--ranks=2", "--transport=nvlink"}); }), HasSubstr("l40s-pcie' has no NVLink"));
    EXPECT_THAT(config_error([] { (void)simulated({"--ranks=2", "--transport=host"}); }), HasSubstr("CPUs"));
    EXPECT_THAT(config_error([] { (void)simulated({"--transport=nvlnk"}); }), HasSubstr("nvlink"));
}

TEST(Transport, ARunOnTheCpuHasOneWayOnly) {
    EXPECT_THAT(config_error([] { (void)resolve_words({"--transport=host", "--device=cpu"}); }), HasSubstr("this run is on the CPU"));
    Machine machine;
    machine.cuda = true;
    EXPECT_EQ(resolve_words({"--transport=host", "--device=cuda"}, {}, Command::run, machine).run.transport, zerosim::Transport::host);
    EXPECT_THAT(config_error([&] { (void)resolve_words({"--transport=nvlink", "--device=cuda", "--share-device=true"}, {}, Command::run, machine); }), HasSubstr("share-device"));
}

}  // namespace
}  // namespace zerosim::config
