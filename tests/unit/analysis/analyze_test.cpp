#include "analysis/analyze.hpp"

#include "analysis/communication_report.hpp"
#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>

namespace zerosim::analysis {
namespace {

TEST(Analyze, TimesAreTheSlowestRanksMedians) {
    const auto example = hand_made::example();
    auto trace = hand_made::measured(example.ops);
    for (auto& row : trace.ranks[1].times)
        if (row.op == example.ops.wait.value) row.end += 40;   // rank 1 ends every step 40 ns later
    const RunReport report = analyze(example.schedule, trace, hand_made::cluster(), hand_made::facts());
    EXPECT_DOUBLE_EQ(report.ranks.at(0).time.step, 480e-9);    // of 475 and 485
    EXPECT_DOUBLE_EQ(report.ranks.at(1).time.step, 520e-9);
    EXPECT_DOUBLE_EQ(report.time.step, 520e-9);
    EXPECT_DOUBLE_EQ(report.ranks[0].time.forward + report.ranks[0].time.backward + report.ranks[0].time.optimizer, 480e-9);
    EXPECT_DOUBLE_EQ(report.tokens_per_second_per_device, 48 / 520e-9);
    EXPECT_DOUBLE_EQ(report.model_flops_utilization, 48 / 520e-9 * 192 / 1e12);
    EXPECT_EQ(report.utilization_of_16_bit_peak, 0) << "there is one peak";
}

TEST(Analyze, UtilizationOf8BitTrainingNamesBothPeaks) {
    const auto example = hand_made::example();
    Facts facts = hand_made::facts();
    facts.peak_dtype = "fp8";
    facts.peak_16_bit_flops = facts.peak_flops;
    facts.peak_flops *= 2;
    const RunReport report = analyze(example.schedule, hand_made::measured(example.ops), hand_made::cluster(), facts);
    EXPECT_GT(report.model_flops_utilization, 0);
    EXPECT_DOUBLE_EQ(report.utilization_of_16_bit_peak, 2 * report.model_flops_utilization);
    EXPECT_DOUBLE_EQ(report.peak_flops, facts.peak_flops);
    EXPECT_EQ(report.peak_dtype, "fp8");
}

TEST(Analyze, CollectivesByKindAxisAndPhase) {
    const auto example = hand_made::example();
    const RunReport report = analyze(example.schedule, hand_made::measured(example.ops), hand_made::cluster(), hand_made::facts());
    ASSERT_EQ(report.collectives.size(), 3u);
    const CollectiveReport& gather = report.collectives[0];
    EXPECT_EQ(gather.kind, "all-gather");
    EXPECT_EQ(gather.axis, "world");
    EXPECT_EQ(gather.phase, "forward");
    EXPECT_EQ(gather.count, 1);
    EXPECT_EQ(gather.message_bytes, 128);          // the larger buffer
    EXPECT_DOUBLE_EQ(gather.sent_bytes, 64);       // (n-1)/n
    EXPECT_DOUBLE_EQ(gather.seconds, 20e-9);       // from rank 1's begin at 130
    EXPECT_DOUBLE_EQ(gather.algbw, 128 / 20e-9);
    EXPECT_DOUBLE_EQ(gather.busbw, 64 / 20e-9);
    EXPECT_EQ(report.collectives[1].kind, "reduce-scatter");
    EXPECT_EQ(report.collectives[1].phase, "backward");
    EXPECT_EQ(report.collectives[2].kind, "scalar-all-reduce");
    EXPECT_TRUE(is_scalar(report.collectives[2]));
    EXPECT_EQ(report.collectives[2].message_bytes, 8);
    EXPECT_EQ(report.message_bytes, 256);          // scalars apart
    EXPECT_DOUBLE_EQ(report.sent_bytes, 128);
}

TEST(Analyze, PartsOfTheMedianStepAddUpToIt) {
    const auto example = hand_made::example();
    const RunReport report = analyze(example.schedule, hand_made::measured(example.ops), hand_made::cluster(), hand_made::facts());
    double sum = 0;
    for (const StepPart& part : report.step_parts) sum += part.seconds;
    EXPECT_NEAR(sum, report.time.step, 1e-18);
    const auto seconds = [&](std::string_view group, std::string_view name) {
        for (const StepPart& part : report.step_parts)
            if (part.group == group && part.name == name) return part.seconds;
        return 0.0;
    };
    EXPECT_DOUBLE_EQ(seconds("compute", "gemm"), 300e-9);
    EXPECT_DOUBLE_EQ(seconds("compute", "optimizer"), 55e-9);            // of 50 and 60
    EXPECT_DOUBLE_EQ(seconds("communication", "all-gather world"), 20e-9);
    EXPECT_DOUBLE_EQ(seconds("waiting", "all-gather world"), 20e-9);
    EXPECT_DOUBLE_EQ(seconds("communication", "scalar-all-reduce world"), 14e-9);
    EXPECT_DOUBLE_EQ(seconds("host", "issue"), 31e-9);
    const CollectiveReport& gather = report.collectives[0];
    EXPECT_DOUBLE_EQ(gather.exposed, 20e-9);
    EXPECT_DOUBLE_EQ(gather.waiting, 20e-9);
}

TEST(Analyze, MemoryByRoleAndHandedOut) {
    const auto example = hand_made::example();
    auto trace = hand_made::measured(example.ops);
    RunReport report = analyze(example.schedule, trace, hand_made::cluster(), hand_made::facts());
    EXPECT_EQ(report.memory.peak_allocated, 96);
    EXPECT_EQ(report.memory.after_init, 64);
    EXPECT_EQ(report.memory.after_step, 64);
    EXPECT_EQ(report.memory.forward_peak, 96);
    EXPECT_EQ(report.memory.optimizer_peak, 64);
    EXPECT_EQ(report.memory.at_peak_by_role[static_cast<std::size_t>(schedule::Role::activation)], 32);
    EXPECT_EQ(report.memory.after_step_by_role[static_cast<std::size_t>(schedule::Role::activation)], 0);
    EXPECT_EQ(report.memory.after_step_by_role[static_cast<std::size_t>(schedule::Role::parameter_shard)], 64);
    EXPECT_TRUE(report.memory.fits);
    ASSERT_TRUE(report.prediction);
    EXPECT_EQ(report.prediction->largest_difference, 0);
    EXPECT_EQ(report.prediction->compared_ops, 2 * 31);

    for (auto& row : trace.ranks[1].times)   // rank 1's device hands out 1000 bytes more during B of the last step
        if (row.step == 3 && row.op == example.ops.backward.value) row.live_bytes += 1000;
    report = analyze(example.schedule, trace, hand_made::cluster(), hand_made::facts());
    EXPECT_EQ(report.prediction->largest_difference, 1000);
    EXPECT_EQ(report.prediction->peak_allocated, 96);
    EXPECT_EQ(report.ranks.at(1).memory.peak_allocated, 1096);
    EXPECT_EQ(report.ranks.at(1).memory.backward_peak, 1096);
    EXPECT_FALSE(report.ranks.at(1).memory.fits);
    EXPECT_TRUE(report.memory.fits);
    EXPECT_EQ(report.largest_rank()->rank, 1);
}

TEST(Analyze, ContextAndReservedBytesDecideWhatFits) {
    const auto example = hand_made::example();
    Facts facts = hand_made::facts();
    facts.memory.reserved_bytes = 890;
    EXPECT_TRUE(analyze(example.schedule, hand_made::measured(example.ops), hand_made::cluster(), facts).memory.fits);
    facts.memory.communicator_bytes = 11;   // 890 + 100 + 11 > 1000
    EXPECT_FALSE(analyze(example.schedule, hand_made::measured(example.ops), hand_made::cluster(), facts).memory.fits);
}

TEST(Analyze, ASimulatedRankStandsForItsRole) {
    const auto example = hand_made::example();
    auto trace = hand_made::measured(example.ops);
    trace.simulated = true;
    trace.ranks.pop_back();
    const RunReport report = analyze(example.schedule, trace, hand_made::cluster(), hand_made::facts());
    ASSERT_EQ(report.ranks.size(), 1u);
    EXPECT_EQ(report.ranks[0].count, 2);
    EXPECT_FALSE(report.prediction);
    EXPECT_DOUBLE_EQ(report.collectives[0].seconds, 130e-9);
}

TEST(Analyze, ClocksAreAligned) {
    const auto example = hand_made::example();
    const auto facts = hand_made::facts();
    const RunReport plain = analyze(example.schedule, hand_made::measured(example.ops), hand_made::cluster(), facts);
    const RunReport skewed = analyze(example.schedule, hand_made::measured(example.ops, 123456789), hand_made::cluster(), facts);
    EXPECT_DOUBLE_EQ(plain.time.exposed_communication, skewed.time.exposed_communication);
    EXPECT_DOUBLE_EQ(plain.collectives[0].seconds, skewed.collectives[0].seconds);
}

}  // namespace
}  // namespace zerosim::analysis
