#include "cli/calibrate/calibrate_issue.hpp"

#include "cli/collectives/collective_benchmark.hpp"
#include "exec/host_rank.hpp"
#include "schedule/builder.hpp"

#include <algorithm>
#include <vector>

namespace zerosim::cli {
namespace {

constexpr int kKernels = 5'000, kSteps = 9;

/// Kernels of some 10 us, long enough for the communication thread to fall asleep; `collectives`: each waits for a collective of one
/// rank, which moves nothing, and that for the kernel before.
schedule::Schedule kernels_in_turn(int kernels, bool collectives) {
    constexpr std::int64_t kElements = 1 << 15;
    schedule::Schedule schedule;
    schedule.axes.push_back({schedule.names.intern("data"), 1, 1});
    schedule::ProgramBuilder builder(schedule);
    const StreamId compute = builder.stream("compute", schedule::StreamKind::compute);
    const StreamId gather = builder.stream("gather", schedule::StreamKind::communication);
    const PoolId pool = builder.pool("compute", compute);
    const StorageId storage = builder.storage("numbers", kElements * 4, pool, schedule::Role::workspace);
    const TensorId numbers = builder.tensor("numbers", storage, DType::fp32, 0, kElements);
    builder.alloc(storage);
    builder.host_wait(compute, {});
    builder.begin_first();
    kernel::Attributes attributes;
    attributes.tokens = 1;
    attributes.out = kElements;
    schedule::Collective collective;
    collective.kind = CollectiveKind::all_gather;
    collective.axis = AxisId{0};
    collective.send = collective.receive = numbers;
    OpId last;
    for (int i = 0; i < kernels; ++i) {
        const std::vector<OpId> before = i > 0 && collectives ? std::vector{last} : std::vector<OpId>{};
        last = builder.compute(compute, "add", kernel::Kernel::add, std::vector{numbers, numbers, numbers}, attributes, before);
        if (collectives) last = builder.collective(gather, "gather", collective, {&last, 1});
    }
    builder.host_wait(compute, {&last, 1});
    schedule.roles.push_back({builder.finish(), 0, 1});
    return schedule;
}

double step_seconds(const schedule::Schedule& schedule) {
    exec::ExecuteOptions options;
    options.steps = kSteps;
    options.trace = true; // as `run` has it
    std::vector<comm::Progress> progress(1);
    const auto result = exec::run_local(schedule, {1, true, "chain", 256}, options, progress);
    std::vector<double> seconds;
    for (const auto& step : result.front().steps) seconds.push_back(step.seconds);
    return percentile(seconds, 0.5);
}

} // namespace

schedule::Schedule tiny_kernels(int kernels) {
    schedule::Schedule schedule;
    schedule.axes.push_back({schedule.names.intern("data"), 1, 1});
    schedule::ProgramBuilder builder(schedule);
    const StreamId compute = builder.stream("compute", schedule::StreamKind::compute);
    const PoolId pool = builder.pool("compute", compute);
    const StorageId storage = builder.storage("numbers", 64, pool, schedule::Role::workspace);
    const StorageId temporary = builder.storage("temporary", 64, pool, schedule::Role::activation);
    const TensorId numbers = builder.tensor("numbers", storage, DType::fp32, 1, 16);
    builder.alloc(storage);
    builder.host_wait(compute, {});
    builder.begin_first();
    kernel::Attributes attributes;
    attributes.tokens = 1;
    attributes.out = 16;
    OpId last;
    for (int i = 0; i < kernels; ++i) {
        builder.alloc(temporary);
        last = builder.compute(compute, "add", kernel::Kernel::add, std::vector{numbers, numbers, numbers}, attributes);
        builder.free(temporary);
    }
    builder.host_wait(compute, {&last, 1});
    schedule.roles.push_back({builder.finish(), 0, 1});
    return schedule;
}

double measure_issue_seconds() { return step_seconds(tiny_kernels(kKernels)) / kKernels; }

double measure_hand_over_seconds() {
    constexpr int kCollectives = 300;
    const double with = step_seconds(kernels_in_turn(kCollectives, true)), without = step_seconds(kernels_in_turn(kCollectives, false));
    return std::max(0.0, with - without) / kCollectives;
}

} // namespace zerosim::cli
