#include "strategy/ddp/planner.hpp"

#include "strategy/ddp/buckets.hpp"
#include "strategy/torch/optimizer.hpp"
#include "strategy/torch/training_step.hpp"

#include <algorithm>
#include <deque>
#include <memory>

namespace zerosim::strategy {
namespace {

using schedule::Role;
using schedule::StreamKind;
using torch::Buffer;
using torch::LanguageModel;
using torch::Parameter;
using torch::Tape;

void allocate_parameters(Tape& tape, LanguageModel& model) {
    for (Parameter& p : model.parameters()) {
        tape.program.tags.layer = static_cast<std::int16_t>(p.layer);
        const StorageId storage = tape.program.storage(p.name, p.elements() * size_of(p.dtype), tape.options.pool, Role::parameter, p.layer);
        tape.program.alloc(storage);
        p.value.tensor = tape.view(p.name, storage, p.dtype, p.rows, p.columns);
        tape.program.at(p.value.tensor).parameter = p.index;
        tape.program.fill(tape.options.stream, p.value.tensor, 0);   // initial values come from the framework
        p.value.dtype = p.dtype;
        p.value.rows = p.rows;
        p.value.columns = p.columns;
        tape.require_gradient(p);
    }
    tape.program.tags.layer = -1;
}

/// _sync_module_states: parameters are broadcast through flat copies of at least 250 MiB, at most two in flight; one tensor alone
/// needs no copy [broadcast_coalesced, c10d/comm.cpp].
void broadcast_parameters(Tape& tape, LanguageModel& model) {
    constexpr std::int64_t kLimit = 250 << 20;
    std::deque<Buffer> in_flight;
    std::int64_t bytes = 0;
    int tensors = 0;
    const auto send = [&] {
        if (tensors == 0) return;
        if (in_flight.size() == 2) in_flight.pop_front();
        in_flight.push_back(tensors > 1 ? tape.memory.allocate("broadcast_copy", bytes, tape.options.pool, Role::staging) : Buffer{});
        bytes = tensors = 0;
    };
    for (const Parameter& p : model.parameters()) {
        bytes += p.elements() * size_of(p.dtype);
        ++tensors;
        if (bytes >= kLimit) send();
    }
    send();
    while (!in_flight.empty()) in_flight.pop_front();
}

torch::Updated updated(const Parameter& p) { return {p.name, p.layer, p.elements(), p.dtype, p.value.tensor}; }

/// ZeroRedundancyOptimizer._partition_parameters: the largest first, each to the rank with the least so far.
std::vector<std::vector<Parameter*>> partition(LanguageModel& model, std::int64_t ranks) {
    std::vector<Parameter*> sorted;
    for (Parameter& p : model.parameters())
        if (p.trainable) sorted.push_back(&p);
    std::ranges::stable_sort(sorted, [](const Parameter* a, const Parameter* b) { return a->elements() > b->elements(); });
    std::vector<std::vector<Parameter*>> owned(static_cast<std::size_t>(ranks));
    std::vector<std::int64_t> sizes(owned.size(), 0);
    for (Parameter* p : sorted) {
        const auto least = static_cast<std::size_t>(std::ranges::min_element(sizes) - sizes.begin());
        owned[least].push_back(p);
        sizes[least] += p->elements();
    }
    return owned;
}

class Replicated {
public:
    Replicated(Tape& tape, LanguageModel& model, const Scenario& scenario, const ddp::ReducerOptions& options)
        : tape_(tape), model_(model), scenario_(scenario), axis_(options.axis), stream_(options.stream), reducer_(tape, model, options), optimizer_(tape, scenario) {
        if (scenario.strategy.zero_stage == 1) owned_ = partition(model, scenario.ranks);
    }

    void end_first_step() { reducer_.end_first_step(); }

    [[nodiscard]] torch::StepHooks hooks() {
        torch::StepHooks h;
        h.before_forward = [this](bool) { reducer_.before_forward(); };
        h.after_backward = [this] { reducer_.finalize(); };
        h.optimize = [this] { optimize(); };
        h.zero_gradients = [this] {
            for (Parameter& p : model_.parameters()) p.gradient = {};
        };
        return h;
    }

private:
    void optimize() {
        std::vector<torch::Updated> all;
        for (const Parameter& p : model_.parameters())
            if (p.trainable) all.push_back(updated(p));
        if (scenario_.training.clip_gradients > 0) optimizer_.clip(all);
        if (owned_.empty()) return optimizer_.step(all);
        std::vector<torch::Updated> own;   // rank 0's, which has the largest parameter
        for (const Parameter* p : owned_.front()) own.push_back(updated(*p));
        optimizer_.step(own);
        broadcast_updated();
    }

    void broadcast_updated() {
        std::vector<OpId> sent;
        for (std::size_t owner = 0; owner < owned_.size(); ++owner) {
            for (const Parameter* p : owned_[owner]) {
                schedule::Collective c;
                c.kind = CollectiveKind::broadcast;
                c.axis = axis_;
                c.send = c.receive = p->value.tensor;
                c.root = static_cast<std::int32_t>(owner);
                sent.push_back(tape_.program.collective(stream_, "broadcast", c));
            }
        }
        tape_.program.mark(tape_.options.stream, "parameters_updated", sent);
    }

    Tape& tape_;
    LanguageModel& model_;
    const Scenario& scenario_;
    AxisId axis_;
    StreamId stream_;
    ddp::Reducer reducer_;
    torch::OptimizerStep optimizer_;
    std::vector<std::vector<Parameter*>> owned_;   // by rank, stage 1
};

}  // namespace

schedule::Schedule plan_ddp(const Scenario& scenario) {
    schedule::Schedule schedule;
    schedule.ranks = scenario.ranks;
    for (const auto& parameter : model::parameters(scenario.model)) schedule.parameters.push_back(parameter.name);
    schedule.axes.push_back({schedule.names.intern("data"), scenario.ranks, 1});
    schedule::ProgramBuilder program(schedule);
    torch::Memory memory(program);
    const StreamId compute = program.stream("default", StreamKind::compute);
    const StreamId communication = program.stream("all_reduce", StreamKind::communication);
    Tape tape(memory, {program.pool("default", compute), compute, scenario.training.precision == Precision::bf16_mixed, scenario.training.fp8_products});
    tape.engine.early_stop = scenario.training.recompute_early_stop;
    tape.engine.selective = scenario.training.recompute.selective;
    LanguageModel model(tape, scenario);
    { const Buffer first = tape.scratch("first_tensor", 4); }   // what creates the CUDA context
    allocate_parameters(tape, model);
    model.make_buffers();
    broadcast_parameters(tape, model);
    constexpr double kMebibyte = 1 << 20;
    const ddp::ReducerOptions options{static_cast<std::int64_t>(scenario.strategy.bucket_cap_mib * kMebibyte), scenario.strategy.gradient_as_bucket_view,
                                      communication, AxisId{0}};
    Replicated replicated(tape, model, scenario, options);
    program.begin_first();
    torch::TrainingStep step(tape, model, scenario, replicated.hooks());
    step.run();
    replicated.end_first_step();
    program.begin_steady();
    step.run();
    memory.close();
    schedule.roles.push_back({program.finish(), 0, scenario.ranks});
    return schedule;
}

}  // namespace zerosim::strategy
