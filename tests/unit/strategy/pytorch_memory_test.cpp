// The systems ddp and fsdp2 against the real allocator: docs/accuracy.md holds the table of these errors.
#include "sim/memory_replay.hpp"
#include "strategy/adapters.hpp"
#include "strategy/plan.hpp"
#include "unit/strategy/measured_jobs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace zerosim::tests {
namespace {

double error(std::int64_t predicted, std::int64_t measured) {
    return std::abs(static_cast<double>(predicted - measured) / static_cast<double>(measured));
}

/// Errors of one figure over all jobs, in percent.
struct Errors {
    const char* name;
    std::vector<double> percents;
    void add(std::int64_t predicted, std::int64_t measured) { percents.push_back(100 * error(predicted, measured)); }
    [[nodiscard]] double quantile(double q) {
        std::ranges::sort(percents);
        return percents[std::min(percents.size() - 1, static_cast<std::size_t>(q * static_cast<double>(percents.size())))];
    }
    void expect(double median, double p90, double largest) {
        EXPECT_LE(quantile(0.5), median) << name;
        EXPECT_LE(quantile(0.9), p90) << name;
        EXPECT_LE(quantile(1.0), largest) << name;
        EXPECT_GE(std::ranges::count(percents, 0.0), 103) << name;   // to the byte
    }
};

TEST(PytorchMemory, MeasuredJobsAreMet) {
    const auto jobs = measured_jobs();
    ASSERT_EQ(jobs.size(), 104u);
    Errors forward{"forward", {}}, backward{"backward", {}}, optimizer{"optimizer", {}}, after_step{"after step", {}}, peak{"peak", {}}, reserved{"reserved", {}};
    for (const MeasuredJob& job : jobs) {
        const schedule::Schedule schedule = strategy::plan(job.scenario);
        const sim::MemoryReplay replay = sim::replay_memory(schedule.program_of(0));
        const std::int64_t highest = std::max({replay.forward_peak, replay.backward_peak, replay.optimizer_peak});
        EXPECT_EQ(model::parameter_count(job.scenario.model) + strategy::adapter_parameters(job.scenario.model, job.scenario.training), job.parameters) << job.text;
        EXPECT_EQ(replay.after_init, job.after_init) << job.text;
        forward.add(replay.forward_peak, job.forward);
        backward.add(replay.backward_peak, job.backward);
        optimizer.add(replay.optimizer_peak, job.optimizer);
        after_step.add(replay.after_step, job.after_step);
        peak.add(highest, job.peak);
        reserved.add(replay.peak_reserved, job.reserved);
    }
    // The largest errors are those of the job below, whose process ran out of memory.
    peak.expect(0, 0, 0.05);
    forward.expect(0, 0, 0.05);
    backward.expect(0, 0, 0.05);
    optimizer.expect(0, 0, 0.3);
    after_step.expect(0, 0, 0.4);
    reserved.expect(0, 0, 9.0);
}

/// This job reserved less than any choice of free blocks needs (docs/accuracy.md): its process shared the GPU, and one cudaMalloc failed.
TEST(PytorchMemory, AJobWithoutRoomIsMetOnceItsDeviceIsSmaller) {
    const auto jobs = measured_jobs();
    const auto job = std::ranges::find_if(jobs, [](const MeasuredJob& j) {
        return j.scenario.model.name == "llama3.1-8b" && j.scenario.ranks == 64 && j.scenario.strategy.zero_stage == 2;
    });
    ASSERT_NE(job, jobs.end());
    const schedule::Schedule schedule = strategy::plan(job->scenario);
    sim::AllocatorSettings settings;
    settings.capacity = std::int64_t{38} << 30;
    const sim::MemoryReplay replay = sim::replay_memory(schedule.program_of(0), settings);
    EXPECT_EQ(replay.retries, 1);
    EXPECT_FALSE(replay.out_of_memory.has_value());
    EXPECT_EQ(replay.forward_peak, job->forward);
    EXPECT_EQ(replay.backward_peak, job->backward);
    EXPECT_EQ(replay.optimizer_peak, job->optimizer);
    EXPECT_EQ(replay.after_step, job->after_step);
    EXPECT_EQ(replay.peak_reserved, job->reserved);
}

}  // namespace
}  // namespace zerosim::tests
