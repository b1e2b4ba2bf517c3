#include "cli/calibrate/gpu_issue.hpp"

#include "cli/calibrate/calibrate_issue.hpp"
#include "cli/collectives/collective_benchmark.hpp"
#include "data/tokens.hpp"
#include "device/gpu.hpp"
#include "exec/execute_on_streams.hpp"

namespace zerosim::cli {

double step_seconds_a_kernel(device::StreamDevice& device, const schedule::Schedule& schedule, const schedule::ArenaPlan& arena, int kernels, bool traced) {
    constexpr int kSteps = 9;
    exec::ExecuteOptions options;
    options.steps = kSteps;
    options.trace = traced;
    options.arena = arena;
    exec::StreamCommunicators communicators(schedule.program_of(0).streams.size(), schedule.axes.size());
    comm::Progress progress;
    data::TokenSource tokens("chain", 256);
    const exec::RankResult result = exec::execute_on_streams(schedule, 0, {device, communicators, nullptr, progress, tokens}, options);
    std::vector<double> seconds;
    for (const auto& step : result.steps) seconds.push_back(step.seconds / kernels);
    return percentile(seconds, 0.5);
}

double measure_gpu_issue_seconds(int ordinal, bool traced) {
    constexpr int kKernels = 500;                 // fewer than the driver queues before a launch waits for the device (1,024)
    const schedule::Schedule schedule = tiny_kernels(kKernels);
    const schedule::Program& program = schedule.program_of(0);
    const schedule::ArenaPlan arena = schedule::plan_arena(program);
    device::GpuOptions gpu;
    gpu.ordinal = ordinal;
    for (const schedule::Stream& stream : program.streams) gpu.streams.push_back({stream.kind == schedule::StreamKind::communication});
    for (const schedule::Pool& pool : program.pools) gpu.pools.push_back({std::string(schedule.names[pool.name]), pool.owner});
    gpu.arena_bytes = arena.pool_bytes;
    const auto device = device::make_gpu(gpu);
    return step_seconds_a_kernel(*device, schedule, arena, kKernels, traced);
}

}  // namespace zerosim::cli
