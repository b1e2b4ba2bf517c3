#include "cli/calibrate_issue.hpp"

#include "cli/collective_benchmark.hpp"
#include "exec/host_rank.hpp"
#include "schedule/builder.hpp"

#include <vector>

namespace zerosim::cli {
namespace {

constexpr int kKernels = 5'000, kSteps = 9;

/// A step of kernels that add 16 elements, each with a temporary of its own.
schedule::Schedule tiny_kernels() {
    schedule::Schedule schedule;
    schedule.axes.push_back({schedule.names.intern("data"), 1, 1});
    schedule::ProgramBuilder builder(schedule);
    const StreamId compute = builder.stream("compute", schedule::StreamKind::compute);
    const PoolId pool = builder.pool("compute", compute);
    const StorageId storage = builder.storage("numbers", 64, pool, schedule::Role::workspace);
    const StorageId temporary = builder.storage("temporary", 64, pool, schedule::Role::activation);
    const TensorId numbers = builder.tensor("numbers", storage, DType::fp32, 0, 16);
    builder.alloc(storage);
    builder.host_wait(compute, {});
    builder.begin_first();
    kernel::Attributes attributes;
    attributes.tokens = 1;
    attributes.out = 16;
    OpId last;
    for (int i = 0; i < kKernels; ++i) {
        builder.alloc(temporary);
        last = builder.compute(compute, "add", kernel::Kernel::add, std::vector{numbers, numbers, numbers}, attributes);
        builder.free(temporary);
    }
    builder.host_wait(compute, {&last, 1});
    schedule.roles.push_back({builder.finish(), 0, 1});
    return schedule;
}

} // namespace

double measure_issue_seconds() {
    exec::ExecuteOptions options;
    options.steps = kSteps;
    options.trace = true; // as `run` has it
    std::vector<comm::Progress> progress(1);
    const schedule::Schedule schedule = tiny_kernels();
    const auto result = exec::run_local(schedule, {1, true, "chain", 256}, options, progress);
    std::vector<double> seconds;
    for (const auto& step : result.front().steps) seconds.push_back(step.seconds / kKernels);
    return percentile(seconds, 0.5);
}

} // namespace zerosim::cli
