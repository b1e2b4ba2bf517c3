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
    EXPECT_EQ(call_count(CollectiveKind::gather, DType::fp32, 1001, 3), 83);
    EXPECT_EQ(call_count(CollectiveKind::send_recv, DType::fp32, 1001, 3), 250);
}

CollectiveCase case_of(CollectiveKind kind, DType type, std::int64_t bytes, CollectiveOptions options) {
    CollectiveCase result;
    result.kind = kind, result.type = type, result.bytes = bytes, result.repeats = 2, result.options = options;
    return result;
}

TEST(CollectiveBenchmark, every_kind_type_and_place_is_right_on_any_number_of_ranks) {
    for (const int ranks : {1, 2, 3, 5}) {
        RankTeam team(ranks, 60);
        std::vector<CollectiveSample> samples;
        team.run([&](TeamRank& rank) {
            for (const CollectiveKind kind : kCollectiveKinds)
                for (const DType type : {DType::fp32, DType::bf16, DType::fp16, DType::fp64, DType::int32, DType::int64, DType::uint8})
                    for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1000}, std::int64_t{1 << 16}})
                        for (const bool in_place : {false, true}) {
                            if (in_place && !has_in_place(kind)) continue;
                            CollectiveOptions options;
                            options.root = ranks - 1, options.in_place = in_place, options.warm_ups = 1;
                            const CollectiveSample sample = measure_collective(rank, case_of(kind, type, bytes, options));
                            if (rank.rank() == 0) samples.push_back(sample);
                        }
        });
        ASSERT_EQ(samples.size(), 7u * 3u * (2u * 7u + 2u));
        for (const CollectiveSample& sample : samples)
            EXPECT_EQ(sample.wrong, 0) << name(sample.kind) << " " << name(sample.type) << " " << ranks;
    }
}

TEST(CollectiveBenchmark, averages_are_right_within_rounding_and_unchecked_is_said) {
    RankTeam team(3, 60);
    std::vector<CollectiveSample> samples;
    team.run([&](TeamRank& rank) {
        for (const DType type : {DType::fp32, DType::bf16, DType::fp16, DType::fp64}) {
            CollectiveOptions options;
            options.reduction = Reduction::average;
            options.check = type != DType::fp64;
            const CollectiveSample sample = measure_collective(rank, case_of(CollectiveKind::reduce, type, 3000, options));
            if (rank.rank() == 0) samples.push_back(sample);
        }
    });
    for (const CollectiveSample& sample : samples) {
        EXPECT_EQ(sample.wrong, 0) << name(sample.type);
        EXPECT_EQ(sample.checked, sample.type != DType::fp64);
    }
}

// Each kind's result on each rank that has one: every element counts when nothing was received.
TEST(CollectiveBenchmark, what_was_not_received_is_wrong) {
    for (const CollectiveKind kind : kCollectiveKinds)
        for (int rank = 0; rank < 3; ++rank) {
            const CollectiveExercise exercise(kind, DType::fp32, 1200, rank, 3, 1);
            const std::vector<std::byte> nothing(static_cast<std::size_t>(exercise.received_bytes()), std::byte{0xff});
            const bool none = (kind == CollectiveKind::broadcast && rank == 1) || ((kind == CollectiveKind::reduce || kind == CollectiveKind::gather) && rank != 1);
            EXPECT_EQ(exercise.wrong(nothing.data(), false), none ? 0 : exercise.received) << name(kind) << " on rank " << rank;
        }
}

TEST(CollectiveBenchmark, bandwidths_follow_nccl_tests_definitions) {
    CollectiveSample sample;
    sample.bytes = 1000, sample.seconds = 1e-6;
    EXPECT_DOUBLE_EQ(sample.algbw(), 1e9);
    const auto busbw = [&](CollectiveKind kind) { return sample.kind = kind, sample.busbw(4); };
    EXPECT_DOUBLE_EQ(busbw(CollectiveKind::all_reduce), 1.5e9);
    EXPECT_DOUBLE_EQ(busbw(CollectiveKind::gather), 0.75e9);     // gather.cu, scatter.cu
    EXPECT_DOUBLE_EQ(busbw(CollectiveKind::scatter), 0.75e9);
    EXPECT_DOUBLE_EQ(busbw(CollectiveKind::reduce), 1e9);        // reduce.cu
    EXPECT_DOUBLE_EQ(busbw(CollectiveKind::send_recv), 1e9);     // sendrecv.cu
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
