// A thousand steps on a GPU: the driver's figure of the device must not move after the second, and what the device handed out must all be back.
#include "comm/local_communicator.hpp"
#include "device/gpu.hpp"
#include "exec/execute_on_streams.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <gtest/gtest.h>

namespace zerosim::test {
namespace {

/// The driver's pool grows in such pieces, and which memory it finds free depends on how far the device is.
constexpr std::int64_t kPoolGranule = std::int64_t{32} << 20;

/// Planned: every pool is cut from one arena. Stream-ordered: by the driver's own pool.
class CudaLeak : public testing::TestWithParam<bool> {};

TEST_P(CudaLeak, AThousandStepsLeaveTheDriversFigureWhereItWas) {
    std::string reason;
    if (device::count_gpus(&reason) == 0) GTEST_SKIP() << "no GPU: " << reason;
    strategy::Scenario s = scenario(tiny_llama(), 0, 1);
    s.library = kernel::Library::cuda;
    s.training.steps = 1000;
    const schedule::Schedule schedule = strategy::plan(s);
    exec::ExecuteOptions options = options_of(s);
    options.trace = false;
    if (GetParam()) options.arena = schedule::plan_arena(schedule.program_of(0));
    const auto gpu = device::make_gpu(exec::gpu_options(schedule, schedule.program_of(0), options.arena));
    exec::StreamCommunicators communicators(schedule.program_of(0).streams.size(), schedule.axes.size());
    comm::Progress progress;
    data::TokenSource tokens(s.training.data, s.model.real_vocabulary);
    const exec::RankResult result = exec::execute_on_streams(schedule, 0, {*gpu, communicators, nullptr, progress, tokens}, options);
    ASSERT_TRUE(result.driver.measured()) << "cudaMemGetInfo told nothing";
    EXPECT_LE(result.driver.growth(), GetParam() ? 0 : kPoolGranule) << "used after step 2: " << result.driver.settled << ", after step 1000: " << result.driver.at_end;
    EXPECT_EQ(result.steps.size(), 1000u);
    EXPECT_LT(result.steps.back().loss, result.steps.front().loss);
}

INSTANTIATE_TEST_SUITE_P(Pools, CudaLeak, testing::Bool(), [](const auto& tested) { return tested.param ? "planned" : "stream_ordered"; });

}  // namespace
}  // namespace zerosim::test
