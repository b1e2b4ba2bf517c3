#include "analysis/gap.hpp"

#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace zerosim::analysis {
namespace {

std::map<std::string, std::pair<std::int64_t, std::int64_t>> by_cause(const StepGap& gap) {
    std::map<std::string, std::pair<std::int64_t, std::int64_t>> result;
    for (const StepGap::Part& part : gap.parts) result[part.cause] = {part.predicted, part.measured};
    return result;
}

/// A prediction of the hand-made schedule: one rank for the role, nobody late, kernels as given.
trace::Trace predicted(const hand_made::Ops& ops) {
    trace::Trace trace = hand_made::measured(ops);
    trace.simulated = true;
    trace.ranks.pop_back();
    return trace;
}

TEST(Gap, PartsByHand) {
    const auto example = hand_made::example();
    auto measured = hand_made::measured(example.ops);
    for (auto& rank : measured.ranks)
        for (auto& row : rank.times)
            if (row.op == example.ops.wait.value) row.end += 7;   // the host sleeps at the end of the step
    const StepGap gap = step_gap(example.schedule, predicted(example.ops), measured);
    EXPECT_EQ(gap.rank, 0);
    EXPECT_EQ(gap.predicted_step, 475);
    EXPECT_EQ(gap.measured_step, 482);
    const auto parts = by_cause(gap);
    using Pair = std::pair<std::int64_t, std::int64_t>;
    EXPECT_EQ(parts.at("gemm"), Pair(300, 300));
    EXPECT_EQ(parts.at("optimizer"), Pair(50, 50));
    EXPECT_EQ(parts.at("late peers"), Pair(0, 20));               // predicted: all begin together
    EXPECT_EQ(parts.at("exposed collectives"), Pair(94, 74));
    EXPECT_EQ(parts.at("host issue"), Pair(31, 38));
    EXPECT_EQ(parts.at("contention"), Pair(0, 0));
}

TEST(Gap, KernelsSlowedBesideACollectiveAreContention) {
    const auto example = hand_made::example();
    auto measured = hand_made::measured(example.ops);
    // F1 runs beside the gather: 40 ns longer than its kind runs alone. F2 and B, alone, each take 10 % longer.
    for (auto& rank : measured.ranks)
        for (auto& row : rank.times) {
            if (row.op == example.ops.first_forward.value) row.end += 30;
            if (row.op == example.ops.second_forward.value) row.begin -= 5, row.end += 5;
            if (row.op == example.ops.backward.value) row.begin += 5, row.end += 15;
            if (row.op == example.ops.reduce.value) row.begin += 15, row.end += 15;
            if (row.op == example.ops.adamw.value) row.begin += 15, row.end += 15;
            if (row.op == example.ops.norm.value || row.op == example.ops.wait.value) row.begin += 15, row.end += 15;
        }
    const auto parts = by_cause(step_gap(example.schedule, predicted(example.ops), measured));
    EXPECT_EQ(parts.at("gemm").second, 110 + 110 + 110);   // 130 measured; 110 would have been expected of it
    EXPECT_EQ(parts.at("contention").second, 20);
}

// Whatever the times, the parts sum to the gap to the nanosecond.
TEST(Gap, PartsSumToTheGap) {
    const auto example = hand_made::example();
    std::mt19937_64 random(7);
    for (int round = 0; round < 500; ++round) {
        const auto shake = [&](trace::Trace trace) {
            for (auto& rank : trace.ranks) {
                rank.clock_offset = static_cast<std::int64_t>(random() % 200) - 100;
                for (auto& row : rank.times) {
                    row.issue += static_cast<std::int64_t>(random() % 300);
                    row.begin = row.issue + static_cast<std::int64_t>(random() % 300);
                    row.end = row.begin + static_cast<std::int64_t>(random() % 300);
                }
            }
            return trace;
        };
        const StepGap gap = step_gap(example.schedule, shake(predicted(example.ops)), shake(hand_made::measured(example.ops)));
        std::int64_t expected = 0, measured = 0;
        for (const StepGap::Part& part : gap.parts) {
            EXPECT_GE(part.predicted, 0) << part.cause;
            EXPECT_GE(part.measured, 0) << part.cause;
            expected += part.predicted;
            measured += part.measured;
        }
        ASSERT_EQ(expected, gap.predicted_step) << "round " << round;
        ASSERT_EQ(measured, gap.measured_step) << "round " << round;
    }
}

TEST(Gap, IsAddedToTheReportInSeconds) {
    const auto example = hand_made::example();
    const auto measured = hand_made::measured(example.ops);
    RunReport report = analyze(example.schedule, measured, hand_made::cluster(), hand_made::facts());
    add_prediction(report, example.schedule, predicted(example.ops), measured);
    double gap = 0;
    for (const GapPart& part : report.prediction->gap) gap += part.gap();
    EXPECT_NEAR(gap, report.prediction->measured_step - report.prediction->step, 1e-15);
    EXPECT_GT(report.prediction->compared_ops, 0);   // the memory half stays
}

}  // namespace
}  // namespace zerosim::analysis
