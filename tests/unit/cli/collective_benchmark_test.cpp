// `zerosim collectives` on threads: message sizes, verified results, failures that end the team.
#include "cli/collectives/collective_benchmark.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

TEST(CollectiveBenchmark, messages_are_the_largest_that_divide) {
    EXPECT_EQ(call_count(CollectiveKind::all_reduce, DType::fp32, 1001, 3), 250);
    EXPECT_EQ(call_count(CollectiveKind::all_gather, DType::fp32, 1001, 3), 83);
    EXPECT_EQ(call_count(CollectiveKind::reduce_scatter, DType::bf16, 5, 3), 0);
}

TEST(CollectiveBenchmark, every_kind_and_type_is_right_on_any_number_of_ranks) {
    for (const int ranks : {1, 2, 3, 5}) {
        RankTeam team(ranks, 60);
        std::vector<CollectiveSample> samples;
        team.run([&](TeamRank& rank) {
            for (const CollectiveKind kind :
                 {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter,
                  CollectiveKind::broadcast, CollectiveKind::all_to_all})
                for (const DType type : {DType::fp32, DType::bf16, DType::fp16, DType::fp64})
                    for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1000}, std::int64_t{1 << 16}}) {
                        const CollectiveSample sample = measure_collective(rank, {kind, type, bytes, 2});
                        if (rank.rank() == 0) samples.push_back(sample);
                    }
        });
        ASSERT_EQ(samples.size(), 60u);
        for (const CollectiveSample& sample : samples)
            EXPECT_EQ(sample.wrong, 0) << name(sample.kind) << " " << name(sample.type) << " " << ranks;
    }
}

TEST(CollectiveBenchmark, bandwidths_follow_nccl_tests_definitions) {
    const CollectiveSample sample{CollectiveKind::all_reduce, DType::fp32, 1000, 250, 1e-6, 0, 0, 0};
    EXPECT_DOUBLE_EQ(sample.algbw(), 1e9);
    EXPECT_DOUBLE_EQ(sample.busbw(4), 1.5e9);
}

TEST(RankTeam, one_rank_that_fails_ends_all) {
    RankTeam team(3, 60);
    try {
        team.run([](TeamRank& rank) {
            if (rank.rank() == 1) throw EnvironmentError("rank 1 has no luck");
            rank.barrier();
        });
        FAIL();
    } catch (const EnvironmentError& error) {
        EXPECT_STREQ(error.what(), "rank 1 has no luck");
    }
}

TEST(RankTeam, a_rank_that_never_comes_is_a_timeout_that_names_the_collective) {
    RankTeam team(2, 0.05);
    try {
        team.run([](TeamRank& rank) {
            if (rank.rank() == 0) rank.barrier();
        });
        FAIL();
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("rank 0 of 2"), testing::HasSubstr("all-reduce")));
    }
}

} // namespace
} // namespace zerosim::cli
