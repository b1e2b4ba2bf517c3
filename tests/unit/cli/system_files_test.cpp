// The kernel's files, made up: two sockets, a switch with GPU and card below it, a card on the other socket, an interface, the loopback.
#include "cli/doctor/system_files.hpp"

#include "support/fake_system.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(CpuList, ReadsAndWritesTheKernelsForm) {
    EXPECT_THAT(cpu_list("0-3,8,10-11"), ElementsAre(0, 1, 2, 3, 8, 10, 11));
    EXPECT_THAT(cpu_list("7"), ElementsAre(7));
    EXPECT_THAT(cpu_list(""), IsEmpty());
    EXPECT_THAT(cpu_list("x,2"), ElementsAre(2));
    EXPECT_EQ(cpu_text({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
    EXPECT_EQ(cpu_text({}), "");
}

TEST(SystemFiles, FindsNumaNodesInOrder) {
    const test::FakeSystem fake = test::two_sockets();
    const auto nodes = fake.files().numa_nodes();
    ASSERT_EQ(nodes.size(), 2u);
    EXPECT_EQ(nodes[1].number, 1);
    EXPECT_THAT(nodes[1].cpus, ElementsAre(4, 5, 6, 7));
}

TEST(SystemFiles, FindsCardsOnce) {
    const test::FakeSystem fake = test::two_sockets();
    const auto cards = fake.files().cards();
    ASSERT_EQ(cards.size(), 3u) << "mlx5_0's interface is mlx5_0, and lo has no device";
    EXPECT_EQ(cards[0].name, "mlx5_0");
    EXPECT_EQ(cards[0].kind, "InfiniBand");
    EXPECT_EQ(cards[0].pci, "0000:1d:00.0");
    EXPECT_EQ(cards[0].numa_node, 0);
    EXPECT_DOUBLE_EQ(cards[0].gigabits, 400);
    EXPECT_TRUE(cards[0].up);
    EXPECT_EQ(cards[1].kind, "RoCE");
    EXPECT_FALSE(cards[1].up);
    EXPECT_EQ(cards[2].name, "eth1");
    EXPECT_DOUBLE_EQ(cards[2].gigabits, 25);
}

TEST(SystemFiles, DevicesAreNearByTheBridgesTheyShare) {
    const test::FakeSystem fake = test::two_sockets();
    const SystemFiles files = fake.files();
    EXPECT_EQ(files.nearness("0000:1b:00.0", "0000:1d:00.0"), Nearness::same_switch);
    EXPECT_EQ(files.nearness("0000:1b:00.0", "0000:21:00.0"), Nearness::same_root);
    EXPECT_EQ(files.nearness("0000:1b:00.0", "0000:31:00.0"), Nearness::same_numa);
    EXPECT_EQ(files.nearness("0000:1b:00.0", "0000:ab:00.0"), Nearness::other_numa);
    EXPECT_EQ(files.nearness("0000:1b:00.0", "0000:ff:00.0"), Nearness::unknown);
    EXPECT_EQ(files.nearness("0000:1b:00.0", ""), Nearness::unknown);
    EXPECT_EQ(files.numa_node_of("0000:ab:00.0"), 1);
    EXPECT_EQ(files.numa_node_of("0000:ff:00.0"), -1);
}

TEST(SystemFiles, AnEmptyTreeHasNothing) {
    const test::FakeSystem fake;
    EXPECT_THAT(fake.files().numa_nodes(), IsEmpty());
    EXPECT_THAT(fake.files().cards(), IsEmpty());
}

}  // namespace
}  // namespace zerosim::cli
