// cluster::: how ranks lie on nodes and share cores and networks.
#include "cluster/cluster.hpp"

#include <gtest/gtest.h>

namespace zerosim::cluster {
namespace {

TEST(Cluster, the_last_node_may_be_partly_filled) {
    Cluster cluster;
    cluster.devices_per_node = 8;
    EXPECT_EQ(nodes(cluster, 1), 1);
    EXPECT_EQ(nodes(cluster, 8), 1);
    EXPECT_EQ(nodes(cluster, 9), 2);
}

TEST(Cluster, ranks_of_a_cpu_node_have_whole_cores_or_a_fraction_of_one) {
    Cluster cluster;
    cluster.devices_per_node = 16;
    EXPECT_EQ(cores_per_rank(cluster, 5), 1.0) << "a GPU cluster";
    cluster.cores = 4;
    EXPECT_EQ(cores_per_rank(cluster, 1), 4.0);
    EXPECT_EQ(cores_per_rank(cluster, 3), 1.0) << "one thread each; the fourth core is idle";
    EXPECT_EQ(cores_per_rank(cluster, 4), 1.0);
    EXPECT_EQ(cores_per_rank(cluster, 8), 0.5);
    EXPECT_EQ(cores_per_rank(cluster, 1000), 0.25) << "16 a node";
}

TEST(Cluster, a_nodes_network_is_shared_by_its_devices) {
    Cluster cluster;
    cluster.devices_per_node = 8;
    cluster = with_network_gigabits_per_node(cluster, 3200);
    EXPECT_DOUBLE_EQ(cluster.network.bytes_per_second, 50e9);
    cluster = with_devices_per_node(cluster, 4);
    EXPECT_EQ(cluster.devices_per_node, 4);
    EXPECT_DOUBLE_EQ(cluster.network.bytes_per_second, 100e9);
}

} // namespace
} // namespace zerosim::cluster
