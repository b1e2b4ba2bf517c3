#include "strategy/inference/sharded_weights.hpp"

#include <utility>

namespace zerosim::strategy {

using schedule::StreamKind;

fsdp2::Comm inference_streams(schedule::Schedule& schedule, schedule::ProgramBuilder& program, const Scenario& s) {
    fsdp2::Comm c;
    c.compute = program.stream("default", StreamKind::compute);
    c.compute_pool = program.pool("default", c.compute);
    c.copy_in = program.stream("all_gather_copy_in", StreamKind::copy);
    c.copy_in_pool = program.pool("all_gather_copy_in", c.copy_in);
    c.gather = program.stream("all_gather", StreamKind::communication);
    c.host_pool = program.pool("pinned", c.compute);
    c.shard_ranks = s.ranks;
    c.shard = AxisId{schedule.axes.size()};
    schedule.axes.push_back({schedule.names.intern("shard"), s.ranks, 1});
    c.shard_dtype = c.compute_dtype = compute_dtype(s.training.precision);
    c.offload = s.strategy.parameters_at == Placement::cpu;
    return c;
}

ShardedWeights::ShardedWeights(torch::Tape& tape, fsdp2::Comm& comm, torch::LanguageModel& model, const Scenario& scenario)
    : tape_(tape), comm_(comm), model_(model), scenario_(scenario) {
    for (int layer = 0; layer < model.layers(); ++layer) blocks_.push_back(std::make_unique<fsdp2::ParameterGroup>(tape, comm, model.block(layer), true, layer));
    root_ = std::make_unique<fsdp2::ParameterGroup>(tape, comm, model.root(), true, -1);
}

void ShardedWeights::allocate() {
    for (torch::Parameter& p : model_.parameters()) (p.layer < 0 ? *root_ : *blocks_[static_cast<std::size_t>(p.layer)]).allocate_shard(&p, false);
    if (scenario_.model.tied) root_->allocate_shard(&model_.parameters().front(), true);
}

void ShardedWeights::begin_forward() {
    comm_.gathers_wait(tape_.program, tape_.program.last(comm_.compute));
    root_->unshard();
    root_->wait_for_unshard(true);
}

void ShardedWeights::end_forward() {
    root_->after_forward();
    comm_.gathers_wait(tape_.program, std::exchange(comm_.copied_out, {}));
    comm_.previous_gather.reset();
}

torch::BlockHooks ShardedWeights::hooks() {
    torch::BlockHooks hooks;
    hooks.before = [this](int layer, torch::Value x) {
        fsdp2::ParameterGroup& group = *blocks_[static_cast<std::size_t>(layer)];
        group.unshard();
        group.wait_for_unshard(true);
        return x;
    };
    hooks.after = [this](int layer, const torch::Value&) { blocks_[static_cast<std::size_t>(layer)]->after_forward(); };
    return hooks;
}

}  // namespace zerosim::strategy
