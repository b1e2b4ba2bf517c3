// The executor's own time per op: zero-size kernels on one stream, allocs and frees charged to them; zero-size collectives on one
// communication stream; and the hand-over from the compute stream to a communication stream and back. Tracing on and off.
#include "exec/host_rank.hpp"
#include "schedule/builder.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <vector>

using namespace zerosim;

namespace {

constexpr int kOps = 20'000, kRepeats = 9;

enum class Load { kernels, kernels_with_memory, copies, collectives, hand_over };

/// kOps ops of one kind in a step.
schedule::Schedule make(Load load) {
    schedule::Schedule s;
    s.axes.push_back({s.names.intern("data"), 1, 1});
    schedule::ProgramBuilder b(s);
    const StreamId compute = b.stream("compute", schedule::StreamKind::compute);
    const StreamId reduce = b.stream("reduce", schedule::StreamKind::communication);
    const PoolId pool = b.pool("compute", compute);
    const StorageId storage = b.storage("empty", 64, pool, schedule::Role::workspace);
    const TensorId x = b.tensor("x", storage, DType::fp32, 0, 8);
    const StorageId temporary = b.storage("temporary", 4096, pool, schedule::Role::activation);
    b.alloc(storage);
    b.host_wait(compute, {});
    b.begin_first();
    kernel::Attributes attributes;
    attributes.out = 8;
    schedule::Collective collective{CollectiveKind::all_reduce, AxisId{0}, x, x, {}, Reduction::sum, 0, false, -1};
    OpId last;
    for (int i = 0; i < kOps; ++i) {
        if (load == Load::kernels_with_memory) b.alloc(temporary);
        if (load == Load::copies) last = b.copy(compute, x, x);
        else if (load == Load::collectives) last = b.collective(reduce, "sum", collective);
        else if (load == Load::hand_over) last = b.collective(compute, "sum", collective);
        else last = b.compute(compute, "add", kernel::Kernel::add, std::vector{x, x, x}, attributes);
        if (load == Load::kernels_with_memory) b.free(temporary);
    }
    b.host_wait(compute, {&last, 1});
    s.roles.push_back({b.finish(), 0, 1});
    return s;
}

double median_microseconds_per_op(Load load, bool trace) {
    const auto s = make(load);
    exec::ExecuteOptions options;
    options.steps = kRepeats;
    options.trace = trace;
    std::vector<comm::Progress> progress(1);
    auto result = exec::run_local(s, {1, true, "chain", 256}, options, progress);
    std::vector<double> times;
    for (const auto& step : result[0].steps) times.push_back(step.seconds);
    std::ranges::nth_element(times, times.begin() + kRepeats / 2);
    return times[kRepeats / 2] * 1e6 / kOps;
}

}  // namespace

int main() {
    const std::pair<Load, const char*> loads[] = {{Load::kernels, "zero-size kernel"},
                                                  {Load::kernels_with_memory, "zero-size kernel with alloc and free"},
                                                  {Load::copies, "zero-size copy"},
                                                  {Load::collectives, "zero-size collective, one communication stream"},
                                                  {Load::hand_over, "collective on the compute stream (hand-over and back)"}};
    fmt::print("# executor's own time, {} ops a step, median of {} steps\n# {:<52} {:>12} {:>12}\n", kOps, kRepeats, "op", "traced (us)", "untraced (us)");
    for (const auto& [load, name] : loads)
        fmt::print("  {:<52} {:>12.3f} {:>12.3f}\n", name, median_microseconds_per_op(load, true), median_microseconds_per_op(load, false));
}
