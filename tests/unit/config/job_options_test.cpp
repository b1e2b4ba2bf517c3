// variation.* and reliability.*: what their texts mean, and what is refused.
#include "config/job_options.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace zerosim::config {
namespace {

cluster::Cluster cluster_of_nodes() {
    cluster::Cluster cluster;
    cluster.devices_per_node = 8;
    return cluster;
}

cluster::Variation variation_of(const Values& values, const cluster::Cluster& cluster, std::int64_t ranks) {
    std::vector<std::string> notes;
    return config::variation_of(values, cluster, ranks, notes);
}

cluster::Variation variation(const std::string& key, const std::string& value, std::int64_t ranks = 20) {
    Values values;
    values.set(key, value, "test");
    return variation_of(values, cluster_of_nodes(), ranks);
}

TEST(JobOptions, nothing_varies_unless_asked) { EXPECT_TRUE(variation_of(Values(), cluster_of_nodes(), 20).none()); }

TEST(JobOptions, slow_ranks_are_ranges_with_factors) {
    const auto slow = variation("variation.slow-ranks", "17:1.3,4-7:1.1").slow_ranks;
    ASSERT_EQ(slow.size(), 2u);
    EXPECT_EQ(slow[0].first, 17);
    EXPECT_EQ(slow[0].last, 17);
    EXPECT_DOUBLE_EQ(slow[0].factor, 1.3);
    EXPECT_EQ(slow[1].last, 7);
    for (const char* bad : {"20:1.3", "17", "17:x", "7-4:1.1", "3:0", "3:1.1:2", "-1:2", ":"}) EXPECT_THROW((void)variation("variation.slow-ranks", bad), ConfigError) << bad;
}

TEST(JobOptions, links_are_cards_nvlinks_and_the_cards_of_nodes) {
    const auto links = variation("variation.slow-links", "nic:17:0.5,nvlink:3-4:0.7,node:2:0.8").links;
    ASSERT_EQ(links.size(), 3u);
    EXPECT_EQ(links[0].tier, cluster::LinkTier::network);
    EXPECT_EQ(links[0].first, 17);
    EXPECT_EQ(links[1].tier, cluster::LinkTier::nvlink);
    EXPECT_EQ(links[1].last, 4);
    EXPECT_EQ(links[2].first, 16);
    EXPECT_EQ(links[2].last, 19) << "the last node is partly filled";
    EXPECT_DOUBLE_EQ(links[2].fraction, 0.8);
    for (const char* bad : {"nic:17", "nic:17:0", "nic:17:1.5", "nick:1:0.5", "node:3:0.5", "nvlink:20:0.5"})
        EXPECT_THROW((void)variation("variation.slow-links", bad), ConfigError) << bad;
    EXPECT_THAT([] { (void)variation("variation.slow-links", "nick:1:0.5"); }, testing::ThrowsMessage<ConfigError>(testing::HasSubstr("nic")));
}

TEST(JobOptions, failed_links_have_nothing_left) {
    const auto links = variation("variation.failed-links", "nic:1,nvlink:2").links;
    ASSERT_EQ(links.size(), 2u);
    EXPECT_EQ(links[0].fraction, 0);
    EXPECT_EQ(links[1].tier, cluster::LinkTier::nvlink);
    EXPECT_THROW((void)variation("variation.failed-links", "nic:1:0.5"), ConfigError);
}

TEST(JobOptions, links_drawn_at_random_are_the_seeds_and_none_comes_twice) {
    const auto drawn = [](const std::string& key, const std::string& value, const char* seed) {
        Values values;
        values.set(key, value, "test");
        values.set("variation.seed", seed, "test");
        std::vector<std::int64_t> ranks;
        for (const cluster::LinkFault& link : variation_of(values, cluster_of_nodes(), 20).links) {
            EXPECT_EQ(link.first, link.last);
            ranks.push_back(link.first);
        }
        return ranks;
    };
    const auto five = drawn("variation.failed-links", "nic:random*5", "1");
    EXPECT_EQ(five.size(), 5u);
    EXPECT_EQ(std::set(five.begin(), five.end()).size(), 5u);
    EXPECT_EQ(five, drawn("variation.failed-links", "nic:random*5", "1"));
    EXPECT_NE(five, drawn("variation.failed-links", "nic:random*5", "2"));
    EXPECT_NE(five, drawn("variation.slow-links", "nic:random*5:0.5", "1")) << "slow links are other draws";
    auto all = drawn("variation.failed-links", "nic:random*20", "3");
    std::ranges::sort(all);
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<std::int64_t>(i));
    EXPECT_EQ(drawn("variation.failed-links", "nic:random,nvlink:3", "1").size(), 2u);
    for (const char* bad : {"nic:random*21", "nic:random*0", "nic:random5", "nic:random*x", "pair:random", "nic:random:", "nic:random::", "nic:1:", "nic:random:0.5"})
        EXPECT_THROW((void)drawn("variation.failed-links", bad, "1"), ConfigError) << bad;
}

TEST(JobOptions, a_mistyped_link_is_told_every_form_in_its_own_words) {
    const auto told = [](const std::string& key, const std::string& value) -> std::string {
        try {
            (void)variation(key, value);
        } catch (const ConfigError& error) { return error.what(); }
        return "accepted";
    };
    using testing::AllOf;
    using testing::HasSubstr;
    EXPECT_THAT(told("variation.failed-links", "nic:randm*3"), AllOf(HasSubstr("has 'nic:randm*3'"), HasSubstr("nic:random or nic:random*COUNT (drawn from variation.seed)")));
    EXPECT_THAT(told("variation.failed-links", "brick:randm"), AllOf(HasSubstr("has 'brick:randm'"), HasSubstr("brick:random*COUNT")));
    EXPECT_THAT(told("variation.failed-links", "nic:random:"), HasSubstr("has 'nic:random:'"));
    EXPECT_THAT(told("variation.slow-links", "nic:random*2"), AllOf(HasSubstr("has 'nic:random*2'"), HasSubstr("nic:random*COUNT:FRACTION")));
    EXPECT_THAT(told("variation.slow-links", "node:random:2"), AllOf(HasSubstr("has 'node:random:2'"), HasSubstr("COUNT of 1 to 3")));
    EXPECT_THAT(told("variation.slow-links", "nci:random:0.5"), AllOf(HasSubstr("has 'nci:random:0.5'"), HasSubstr("nic")));
    EXPECT_THAT(told("variation.slow-links", "brick:random:0.5"), HasSubstr("has 'brick:random:0.5'"));
}

TEST(JobOptions, what_was_drawn_is_told) {
    Values values;
    values.set("variation.failed-links", "nic:7,nvlink:random*2", "test");
    values.set("variation.slow-links", "nic:random*20:0.5", "test");
    std::vector<std::string> notes;
    const cluster::Variation variation = config::variation_of(values, cluster_of_nodes(), 20, notes);
    ASSERT_EQ(notes.size(), 2u) << "nothing was drawn for nic:7";
    const std::vector<cluster::LinkFault>& links = variation.links; // 20 slow ones first
    EXPECT_THAT(notes[0], testing::StartsWith("variation.slow-links: nic:random*20:0.5 drew " + std::to_string(links[0].first) + ", "));
    EXPECT_THAT(notes[0], testing::EndsWith(" and 4 more of 20 (variation.seed 0)"));
    ASSERT_EQ(links.size(), 23u);
    EXPECT_EQ(notes[1], "variation.failed-links: nvlink:random*2 drew " + std::to_string(links[21].first) + ", " + std::to_string(links[22].first) + " of 20 (variation.seed 0)");
}

cluster::Variation failed(const std::string& value, cluster::Cluster cluster) {
    Values values;
    values.set("variation.failed-links", value, "test");
    return variation_of(values, cluster, 20);
}

TEST(JobOptions, a_brick_is_one_of_a_devices_nvlinks) {
    cluster::Cluster cluster = cluster_of_nodes();
    cluster.fabric.tuning = cluster::CollectiveTuning::nccl_hopper;
    cluster.intra_node.bytes_per_second = 450e9;
    const auto links = failed("brick:3,brick:4-5", cluster).links;
    ASSERT_EQ(links.size(), 2u);
    EXPECT_DOUBLE_EQ(links[0].fraction, 17.0 / 18);
    EXPECT_EQ(links[1].last, 5);
    for (const char* bad : {"brick", "brick:20", "brick:3:0.5", "brik:3"}) EXPECT_THROW((void)failed(bad, cluster), ConfigError) << bad;
    cluster.fabric.tuning = cluster::CollectiveTuning::none;
    EXPECT_THROW((void)failed("brick:3", cluster), ConfigError) << "how many it has is not known";
    Values slow;
    slow.set("variation.slow-links", "brick:3:0.5", "test");
    EXPECT_THROW((void)variation_of(slow, cluster, 20), ConfigError);
}

TEST(JobOptions, pairs_have_links_of_their_own_only_without_a_switch) {
    cluster::Cluster cluster = cluster_of_nodes();
    EXPECT_THAT([&] { (void)failed("pair:0-3", cluster); }, testing::ThrowsMessage<ConfigError>(testing::HasSubstr("brick:RANK")));
    cluster.fabric.wiring = cluster::Wiring::full_mesh;
    const auto pairs = failed("pair:9-11", cluster).pairs;
    ASSERT_EQ(pairs.size(), 1u);
    EXPECT_EQ(pairs[0].second, 11);
    for (const char* bad : {"pair:3", "pair:3-3", "pair:7-8", "pair:18-20", "pair:0-3:0.5"}) EXPECT_THROW((void)failed(bad, cluster), ConfigError) << bad;
}

TEST(JobOptions, devices_on_pcie_have_no_nvlink_to_lose) {
    cluster::Cluster cluster = cluster_of_nodes();
    cluster.fabric.wiring = cluster::Wiring::pcie;
    for (const auto& [key, value] : {std::pair{"variation.failed-links", "nvlink:2"}, std::pair{"variation.slow-links", "nvlink:2:0.5"}}) {
        Values values;
        values.set(key, value, "test");
        EXPECT_THROW((void)variation_of(values, cluster, 20), ConfigError) << key;
    }
    cluster.fabric.wiring = cluster::Wiring::switched;
    cluster.fabric.devices_apart = true;
    Values forced;
    forced.set("transport", "network", "test");
    forced.set("variation.failed-links", "nvlink:2", "test");
    EXPECT_THAT([&] { (void)variation_of(forced, cluster, 20); }, testing::ThrowsMessage<ConfigError>(testing::HasSubstr("with transport network no collective takes NVLink")));
    Values card;
    card.set("variation.slow-links", "nic:2:0.5", "test");
    EXPECT_EQ(variation_of(card, cluster, 20).links.size(), 1u);
}

TEST(JobOptions, reliability_has_published_defaults) {
    const cluster::Reliability defaults = reliability_of(Values());
    EXPECT_NEAR(defaults.device_mtbf_hours, 50'677, 1);
    EXPECT_EQ(defaults.spare_nodes, -1);
    Values values;
    values.set("reliability.device-mtbf-hours", "1000", "test");
    values.set("reliability.spare-nodes", "0", "test");
    values.set("reliability.checkpoint-interval-seconds", "900", "test");
    const cluster::Reliability given = reliability_of(values);
    EXPECT_EQ(given.device_mtbf_hours, 1000);
    EXPECT_EQ(given.spare_nodes, 0);
    EXPECT_EQ(given.interval_seconds, 900);
}

} // namespace
} // namespace zerosim::config
