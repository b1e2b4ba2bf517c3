// A two-rank schedule of ten ops and a trace of it with times chosen by hand, for the tests of trace/, analysis/ and report/.
#pragma once

#include "analysis/analyze.hpp"
#include "cluster/cluster.hpp"
#include "schedule/builder.hpp"
#include "trace/trace.hpp"

#include <array>

namespace zerosim::hand_made {

inline constexpr std::int64_t kParameterBytes = 64, kActivationBytes = 32;

struct Ops {
    OpId alloc_parameter, alloc_activation, first_forward, gather, second_forward, backward, reduce, free_activation, adamw, norm, wait;
};

struct Example {
    schedule::Schedule schedule;
    Ops ops;
};

inline schedule::Collective collective(CollectiveKind kind, TensorId send, TensorId receive, Reduction reduction) {
    schedule::Collective result;
    result.kind = kind;
    result.axis = AxisId{0};
    result.send = send;
    result.receive = receive;
    result.reduction = reduction;
    return result;
}

/// compute: F1 [gather] F2 B [reduce] A [norm]; F2 waits for the gather, A for the reduction, the host at last for the norm.
/// `scale` multiplies sizes, as that of measured() multiplies times and bytes.
inline Example example(std::int64_t scale = 1) {
    using namespace schedule;
    Example result;
    Schedule& schedule = result.schedule;
    schedule.ranks = 2;
    schedule.axes.push_back({schedule.names.intern("world"), 2, 1});
    ProgramBuilder build(schedule);
    const StreamId compute = build.stream("compute", StreamKind::compute), wire = build.stream("communication", StreamKind::communication);
    const PoolId pool = build.pool("device", compute);
    const StorageId parameter = build.storage("parameter", kParameterBytes * scale, pool, Role::parameter_shard);
    const StorageId activation = build.storage("activation", kActivationBytes * scale, pool, Role::activation);
    const TensorId shard = build.tensor("shard", parameter, DType::fp32, scale, 16), whole = build.tensor("whole", parameter, DType::fp32, scale, 32);
    const TensorId scalar = build.tensor("norm", parameter, DType::fp64, 1, 1);
    Ops& ops = result.ops;
    const kernel::Attributes none;
    build.tags.phase = Phase::init;
    ops.alloc_parameter = build.alloc(parameter);
    build.begin_first();
    build.begin_steady();
    build.tags.phase = Phase::forward;
    ops.alloc_activation = build.alloc(activation);
    ops.first_forward = build.compute(compute, "F1", kernel::Kernel::linear_forward, {}, none);
    ops.gather = build.collective(wire, "gather", collective(CollectiveKind::all_gather, shard, whole, Reduction::none));
    ops.second_forward = build.compute(compute, "F2", kernel::Kernel::linear_forward, {}, none, std::array{ops.gather});
    build.tags.phase = Phase::backward;
    ops.backward = build.compute(compute, "B", kernel::Kernel::linear_backward_input, {}, none);
    ops.reduce = build.collective(wire, "reduce", collective(CollectiveKind::reduce_scatter, whole, shard, Reduction::sum), std::array{ops.backward});
    ops.free_activation = build.free(activation);
    build.tags.phase = Phase::optimizer;
    ops.adamw = build.compute(compute, "A", kernel::Kernel::adamw, {}, none, std::array{ops.reduce});
    schedule::Collective norm = collective(CollectiveKind::all_reduce, scalar, scalar, Reduction::sum);
    norm.scalar = true;
    ops.norm = build.collective(wire, "norm", norm, std::array{ops.adamw});
    ops.wait = build.host_wait(compute, std::array{ops.norm});
    const std::uint32_t program = build.finish();
    schedule.roles.push_back({program, 0, 2});
    return result;
}

/// Times of one step from `at`. `gather_begin` is the rank's own; `adamw` how long the optimizer takes (50: a step of 475 ns).
inline void add_step(trace::RankTrace& rank, const Ops& ops, std::int32_t step, std::int64_t at, std::int64_t gather_begin,
                     std::int64_t adamw = 50) {
    const std::int64_t with = kParameterBytes + kActivationBytes, without = kParameterBytes, late = adamw - 50;
    const auto add = [&](OpId op, std::int64_t issue, std::int64_t begin, std::int64_t end, std::int64_t live) {
        rank.times.push_back({step, op.value, at + issue, at + begin, at + end, live});
    };
    add(ops.alloc_activation, 0, 0, 0, with);
    add(ops.first_forward, 5, 10, 110, with);
    add(ops.gather, 20, gather_begin, 150, with);
    add(ops.second_forward, 30, 155, 255, with);
    add(ops.backward, 40, 255, 355, with);
    add(ops.reduce, 356, 360, 400, with);
    add(ops.free_activation, 370, 370, 370, without);
    add(ops.adamw, 380, 405, 455 + late, without);
    add(ops.norm, 390, 456 + late, 470 + late, without);
    add(ops.wait, 395, 395, 475 + late, without);
}

/// Three steps; rank 1 begins the gather of rank 0's begin + 110 ns: late. Rank 1's clock is `skew` ns behind rank 0's.
inline trace::Trace measured(const Ops& ops, std::int64_t skew = 0, std::int64_t scale = 1) {
    trace::Trace trace;
    for (const std::int64_t number : {0, 1}) {
        trace::RankTrace rank;
        rank.rank = number;
        const std::int64_t origin = 1000 - (number == 1 ? skew : 0), gather = number == 0 ? 20 : 130;
        rank.times.push_back({0, ops.alloc_parameter.value, origin - 500, origin - 500, origin - 500, kParameterBytes});
        add_step(rank, ops, 1, origin, gather, 350);          // warm-up: not to be reported
        add_step(rank, ops, 2, origin + 1000, gather, 50);
        add_step(rank, ops, 3, origin + 2000, gather, 60);
        for (trace::OpTime& row : rank.times)
            for (std::int64_t* value : {&row.issue, &row.begin, &row.end, &row.live_bytes}) *value *= scale;
        trace.ranks.push_back(std::move(rank));
    }
    trace.ranks[1].clock_offset = skew;
    return trace;
}

inline cluster::Cluster cluster() {
    cluster::Cluster result;
    result.name = "hand-made";
    result.device.memory_bytes = 1000;
    result.device.context_bytes = 100;
    return result;
}

inline analysis::Facts facts() {
    analysis::Facts result;
    result.scenario = {{"model", "example"}, {"ranks", "2"}, {"strategy.system", "zerosim"}, {"strategy.zero-stage", "3"},
                       {"train.precision", "fp32"}, {"cluster", "hand-made"}};
    result.parameters = result.trainable_parameters = 32;
    result.flops_per_token = 192;
    result.tokens_per_step_per_rank = 48;
    result.peak_flops = 1e12;
    result.formula = analysis::zero_formulas(32, 2, 1, 3, analysis::StatePrecision::fp32);
    analysis::TrainingReport training;
    training.losses = {2.5, 2.25, 2.0};
    training.gradient_norms = {1.5, 1.25, 1.0};
    training.final_parameter_norms = {{"w", 3.5}};
    training.final_parameter_hashes = {{"w", "00ff"}};
    result.training = training;
    return result;
}

}  // namespace zerosim::hand_made
