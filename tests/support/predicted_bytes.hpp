// What ranks handed out, held against what the schedule predicts, at every op.
#pragma once

#include "schedule/memory.hpp"
#include "support/training.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace zerosim::test {

inline void expect_predicted_bytes(const schedule::Schedule& schedule, const std::vector<exec::RankResult>& ranks, const std::string& what) {
    for (std::size_t r = 0; r < ranks.size(); ++r) {
        const auto rank = static_cast<std::int64_t>(r);
        const auto& program = schedule.program_of(rank);
        const auto init = schedule::live_bytes(program, 0, program.first_begin, 0);
        const auto first = schedule::live_bytes(program, program.first_begin, program.steady_begin, init.empty() ? 0 : init.back());
        const auto steady = schedule::live_bytes(program, program.steady_begin, program.ops.size(), first.empty() ? (init.empty() ? 0 : init.back()) : first.back());
        std::vector<std::int64_t> predicted = init;
        predicted.insert(predicted.end(), first.begin(), first.end());
        predicted.insert(predicted.end(), steady.begin(), steady.end());
        ASSERT_FALSE(ranks[r].trace.times.empty()) << what;
        for (const auto& time : ranks[r].trace.times) ASSERT_EQ(time.live_bytes, predicted[time.op]) << what << " rank " << r << " op " << time.op << " step " << time.step;
        const auto profile = schedule::memory_profile(schedule, rank);
        EXPECT_EQ(ranks[r].peak_bytes, std::max({profile.peak, profile.init_peak, profile.first_step_peak})) << what;
        EXPECT_EQ(ranks[r].end_bytes, profile.after_step) << what;
    }
}

}  // namespace zerosim::test
