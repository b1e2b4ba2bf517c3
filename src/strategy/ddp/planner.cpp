#include "strategy/ddp/planner.hpp"

#include "strategy/ddp/buckets.hpp"
#include "strategy/empty_schedule.hpp"
#include "strategy/torch/activation_offload.hpp"
#include "strategy/torch/optimizer.hpp"
#include "strategy/torch/quantization.hpp"
#include "strategy/torch/training_step.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>

namespace zerosim::strategy {
namespace {

using schedule::Role;
using schedule::StreamKind;
using torch::Buffer;
using torch::LanguageModel;
using torch::Parameter;
using torch::Tape;

void allocate_parameters(Tape& tape, LanguageModel& model, double density) {
    for (Parameter& p : model.parameters()) {
        if (torch::packs(p, density)) {
            torch::place_packed(tape, p, density);
            continue;
        }
        tape.program.tags.layer = static_cast<std::int16_t>(p.layer);
        const StorageId storage = tape.program.storage(p.name, p.elements() * size_of(p.dtype), tape.options.pool, Role::parameter, p.layer);
        tape.program.alloc(storage);
        p.value.tensor = tape.view(p.name, storage, p.dtype, p.rows, p.columns);
        tape.program.at(p.value.tensor).parameter = p.index;
        tape.program.initialize(tape.options.stream, p.value.tensor, {}, {p.layout, {}, p.elements()});
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
        bytes += tape.program.at(p.value.tensor).extent_bytes();
        ++tensors;
        if (bytes >= kLimit) send();
    }
    send();
    while (!in_flight.empty()) in_flight.pop_front();
}

torch::Updated updated(const Parameter& p) {
    return {p.name, p.layer, p.elements(), p.dtype, p.value.tensor, p.gradient.tensor, {p.layout, {}, p.elements()}};
}

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
    Replicated(Tape& tape, LanguageModel& model, const Scenario& scenario, const ddp::ReducerOptions& options, std::int64_t rank)
        : tape_(tape), model_(model), scenario_(scenario), rank_(rank), axis_(options.axis), stream_(options.stream), optimizer_(tape, scenario) {
        if (scenario.strategy.wrap) reducer_.emplace(tape, model, options);
        if (scenario.strategy.zero_stage == 1) owned_ = partition(model, scenario.ranks);
        if (scenario.training.optimizer_in_backward) update_in_backward();
    }

    void end_first_step() {
        if (reducer_) reducer_->end_first_step();
    }

    [[nodiscard]] torch::StepHooks hooks() {
        torch::StepHooks h;
        if (reducer_) {
            h.before_forward = [this](bool) { reducer_->before_forward(); };
            h.after_backward = [this] { reducer_->finalize(); };
        }
        h.optimize = [this] { optimize(); };
        h.zero_gradients = [this] {
            for (Parameter& p : model_.parameters()) p.gradient = {};
        };
        return h;
    }

private:
    /// torchtune's OptimizerInBackward: register_post_accumulate_grad_hook steps an optimizer of one parameter and drops its gradient.
    void update_in_backward() {
        for (Parameter& p : model_.parameters()) {
            if (!p.trainable) continue;
            p.after_accumulate = [this, &p] {
                optimizer_.step_one(updated(p));
                p.gradient = {};
            };
        }
    }

    void optimize() {
        if (scenario_.training.optimizer_in_backward) return;
        std::vector<torch::Updated> all;
        for (const Parameter& p : model_.parameters())
            if (p.trainable) all.push_back(updated(p));
        if (scenario_.training.clip_gradients > 0) optimizer_.clip(all);
        if (owned_.empty()) return optimizer_.step(all);
        std::vector<torch::Updated> own;
        for (const Parameter* p : owned_[static_cast<std::size_t>(rank_)]) own.push_back(updated(*p));
        optimizer_.step(own);
        broadcast_updated();
    }

    void broadcast_updated() {
        tape_.program.wait_stream(stream_, tape_.options.stream);
        for (std::size_t owner = 0; owner < owned_.size(); ++owner) {
            for (const Parameter* p : owned_[owner]) {
                schedule::Collective c;
                c.kind = CollectiveKind::broadcast;
                c.axis = axis_;
                c.send = c.receive = p->value.tensor;
                c.root = static_cast<std::int32_t>(owner);
                tape_.program.collective(stream_, "broadcast", c);
            }
        }
        tape_.program.wait_stream(tape_.options.stream, stream_);   // Work.wait of each
        tape_.program.mark(tape_.options.stream, "parameters_updated");
    }

    Tape& tape_;
    LanguageModel& model_;
    const Scenario& scenario_;
    std::int64_t rank_;
    AxisId axis_;
    StreamId stream_;
    std::optional<ddp::Reducer> reducer_;          // none: the plain module
    torch::OptimizerStep optimizer_;
    std::vector<std::vector<Parameter*>> owned_;   // by rank, stage 1
};

/// Above this many ranks the program of rank 0, which has the largest parameter, stands for all: real runs have few.
constexpr std::int64_t kMostPrograms = 16;

/// The program of one rank; they differ in what ZeroRedundancyOptimizer gives to each.
std::uint32_t plan_rank(schedule::Schedule& schedule, const Scenario& scenario, std::int64_t rank) {
    schedule::ProgramBuilder program(schedule);
    torch::Memory memory(program);
    const StreamId compute = program.stream("default", StreamKind::compute);
    const StreamId communication = program.stream("all_reduce", StreamKind::communication);
    torch::TapeOptions tape_options = torch::training_options(scenario, program.pool("default", compute), compute, compute_dtype(scenario.training.precision));
    tape_options.autocast = has_master_weights(scenario.training.precision);
    Tape tape(memory, tape_options);
    torch::set_checkpoints(tape.engine, scenario.training);
    if (scenario.training.offload_activations) torch::offload_saved_tensors(tape, program.pool("pinned", compute));
    LanguageModel model(tape, scenario);
    { const Buffer first = tape.scratch("first_tensor", 4); }   // what creates the CUDA context
    allocate_parameters(tape, model, scenario.model.weight_density);
    model.make_buffers();
    if (scenario.strategy.wrap) broadcast_parameters(tape, model);
    constexpr double kMebibyte = 1 << 20;
    const ddp::ReducerOptions options{static_cast<std::int64_t>(scenario.strategy.bucket_cap_mib * kMebibyte), scenario.strategy.gradient_as_bucket_view,
                                      communication, AxisId{0}, program.pool("all_reduce", communication), scenario.ranks};
    Replicated replicated(tape, model, scenario, options, rank);
    program.begin_first();
    torch::TrainingStep step(tape, model, scenario, replicated.hooks());
    step.run();
    replicated.end_first_step();
    program.begin_steady();
    step.run();
    memory.close();
    return program.finish();
}

}  // namespace

schedule::Schedule plan_ddp(const Scenario& scenario) {
    schedule::Schedule schedule = empty_schedule(scenario);
    schedule.axes.push_back({schedule.names.intern("data"), scenario.ranks, 1});
    if (scenario.strategy.zero_stage == 1 && scenario.ranks <= kMostPrograms) {
        for (std::int64_t rank = 0; rank < scenario.ranks; ++rank) schedule.roles.push_back({plan_rank(schedule, scenario, rank), rank, 1});
    } else {
        schedule.roles.push_back({plan_rank(schedule, scenario, 0), 0, scenario.ranks});
    }
    return schedule;
}

}  // namespace zerosim::strategy
