#include "strategy/fsdp/planner.hpp"

#include "strategy/empty_schedule.hpp"
#include "strategy/fsdp/flat_parameter.hpp"
#include "strategy/torch/activation_offload.hpp"
#include "strategy/torch/training_step.hpp"

#include <deque>
#include <memory>
#include <utility>

namespace zerosim::strategy {
namespace {

using namespace fsdp;
using schedule::StreamKind;
using torch::LanguageModel;
using BackwardPrefetch = FsdpOptions::BackwardPrefetch;

/// FullyShardedDataParallel of every block and of the root: hooks, prefetch and the rate limit of all-gathers.
class Wrapped {
public:
    Wrapped(Tape& tape, Comm& comm, LanguageModel& model, const Scenario& scenario)
        : tape_(tape), comm_(comm), model_(model), scenario_(scenario), optimizer_(tape, scenario),
          sync_each_batch_(scenario.strategy.sync_each_batch.value_or(true)) {
        for (int layer = 0; layer < model.layers(); ++layer) add(model.block(layer), layer);
        add(model.root(), -1);
    }

    /// Blocks are wrapped before the root that contains them.
    void shard() {
        for (const auto& unit : units_) unit->shard();
    }

    [[nodiscard]] torch::StepHooks hooks() {
        torch::StepHooks h;
        h.before_forward = [this](bool last) { before_forward(last); };
        h.blocks.before = [this](int layer, Value x) {
            pre_forward(index(layer));
            return x;
        };
        h.blocks.after = [this](int layer, const Value& output) { post_forward(index(layer), output); };
        h.after_forward = [this](const Value& logits) { post_forward(root(), logits); };
        h.after_backward = [this] {   // [_post_backward_final_callback]
            tape_.program.wait_stream(comm_.compute, comm_.post_backward);
            tape_.program.wait_stream(comm_.compute, comm_.all_reduce);
        };
        h.optimize = [this] { optimize(); };
        h.zero_gradients = [this] {
            for (const auto& unit : units_) unit->drop_gradient();
        };
        return h;
    }

private:
    /// In post-forward order: blocks, then the root.
    static std::size_t index(int layer) { return static_cast<std::size_t>(layer); }
    [[nodiscard]] std::size_t root() const { return units_.size() - 1; }

    void add(const std::vector<Parameter*>& parameters, int layer) {
        const std::size_t unit = units_.size();
        units_.push_back(std::make_unique<FlatParameter>(tape_, comm_, parameters, layer));
        units_.back()->after_accumulate = [this, unit] { post_backward(unit); };
    }

    /// [_unshard]: with limit_all_gathers the host waits until the third-last unit's memory is free.
    void unshard(FlatParameter& unit) {
        unit.pre_unshard();
        constexpr std::size_t kMaxInFlight = 2;   // [_FreeEventQueue]
        if (scenario_.strategy.fsdp.limit_all_gathers && free_events_.size() >= kMaxInFlight) {
            tape_.program.host_wait(comm_.unshard, std::vector<OpId>{free_events_.front()});
            free_events_.pop_front();
        }
        unit.unshard();
    }

    /// [_reshard]
    void reshard(std::size_t unit, bool free) {
        const bool own_copy = comm_.shard_ranks == 1;   // NO_SHARD: the low-precision copy goes in any case [post_reshard]
        if (free || own_copy) {
            const OpId event = units_[unit]->reshard();
            if (!own_copy) free_events_.push_back(event);
        }
        units_[unit]->prefetched = false;
    }

    /// [_root_pre_forward], then the root's own unshard.
    void before_forward(bool last) {
        comm_.synchronize = last || sync_each_batch_;
        for (const StreamId stream : {comm_.unshard, comm_.pre_unshard}) tape_.program.wait_stream(stream, comm_.compute);
        if (std::exchange(step_begins_, false)) free_events_.clear();   // the host has waited for the step before
        if (first_forward_)
            for (const auto& unit : units_) unit->initialize_attributes();
        pre_forward(root());
    }

    void pre_forward(std::size_t unit) {
        FlatParameter& u = *units_[unit];
        if (!u.prefetched) unshard(u);
        u.wait_for_unshard();
        u.use_unsharded_views();
        if (!scenario_.strategy.fsdp.forward_prefetch || first_forward_) return;   // the order is that of the first forward
        const std::size_t next = unit == root() ? 0 : unit + 1;                    // the root runs first
        if (next == root() || units_[next]->prefetched || units_[next]->gathered()) return;
        unshard(*units_[next]);
        units_[next]->prefetched = true;
    }

    /// The root's parameters stay: backward begins with them.
    void post_forward(std::size_t unit, const Value& output) {
        reshard(unit, unit != root() && comm_.reshard_after_forward);
        units_[unit]->needs_pre_backward_unshard = true;
        if (output.node) output.node->before = [this, unit] { pre_backward(unit); };
        if (unit == root()) first_forward_ = false;
    }

    void pre_backward(std::size_t unit) {
        FlatParameter& u = *units_[unit];
        if (!u.prefetched) unshard(u);
        u.wait_for_unshard();
        u.needs_pre_backward_unshard = false;
        if (scenario_.strategy.fsdp.backward_prefetch == BackwardPrefetch::pre) backward_prefetch(unit);
    }

    /// The unit whose forward ended before this one's.
    void backward_prefetch(std::size_t unit) {
        if (unit == 0) return;
        FlatParameter& previous = *units_[unit - 1];
        if (!previous.needs_pre_backward_unshard || previous.prefetched) return;
        unshard(previous);
        previous.prefetched = true;
    }

    /// [_post_backward_hook]
    void post_backward(std::size_t unit) {
        reshard(unit, comm_.synchronize || comm_.reshard_after_forward);
        if (scenario_.strategy.fsdp.backward_prefetch == BackwardPrefetch::post) backward_prefetch(unit);
        if (comm_.synchronize) units_[unit]->reduce_gradient();
    }

    void optimize() {
        step_begins_ = true;
        std::vector<torch::Updated> updated;
        for (const auto& unit : units_)
            for (torch::Updated& part : unit->updated()) updated.push_back(std::move(part));
        if (comm_.offload) {
            tape_.program.host_wait(comm_.compute, std::vector<OpId>{tape_.program.last(comm_.post_backward), tape_.program.last(comm_.all_reduce)});
            return optimizer_.step_on_host(updated, comm_.host_pool);
        }
        if (scenario_.training.clip_gradients > 0)
            optimizer_.clip(updated, comm_.shard_ranks > 1 ? std::optional(torch::NormReduction{comm_.nccl, comm_.shard}) : std::nullopt);
        optimizer_.step(updated);
    }

    Tape& tape_;
    Comm& comm_;
    LanguageModel& model_;
    const Scenario& scenario_;
    torch::OptimizerStep optimizer_;
    bool sync_each_batch_, first_forward_ = true, step_begins_ = true;
    std::vector<std::unique_ptr<FlatParameter>> units_;
    std::deque<OpId> free_events_;
};

void declare(Comm& c, schedule::Schedule& schedule, schedule::ProgramBuilder& program, const Scenario& s) {
    c.compute = program.stream("default", StreamKind::compute);
    c.pre_unshard = program.stream("pre_unshard", StreamKind::copy);
    c.unshard = program.stream("unshard", StreamKind::copy);
    c.post_backward = program.stream("post_backward", StreamKind::copy);
    c.all_reduce = program.stream("all_reduce", StreamKind::copy);
    c.nccl = program.stream("nccl_shard", StreamKind::communication);   // one process group: gathers and reductions in one queue
    c.nccl_replicate = program.stream("nccl_replicate", StreamKind::communication);
    c.compute_pool = program.pool("default", c.compute);
    c.pre_unshard_pool = program.pool("pre_unshard", c.pre_unshard);
    c.unshard_pool = program.pool("unshard", c.unshard);
    c.post_backward_pool = program.pool("post_backward", c.post_backward);
    c.all_reduce_pool = program.pool("all_reduce", c.all_reduce);
    c.host_pool = program.pool("pinned", c.compute);
    static_cast<torch::ShardedMesh&>(c) = torch::declare_sharded_mesh(schedule, s);
    c.reshard_after_forward = s.strategy.zero_stage == 3;
    c.original_parameters = s.strategy.fsdp.original_parameters;
    // What runs has one program for all ranks: a flat shard's states have the same bytes as those of its parts, rounding aside.
    c.states_of_rank_0 = c.original_parameters && s.library == kernel::Library::cuda;
    // [_get_gradient_predivide_factor]: about the square root of the data-parallel ranks.
    std::int64_t factor = 1;
    while (s.ranks % factor == 0 && s.ranks / factor > factor) factor *= 2;
    c.predivide = static_cast<double>(factor);
    c.postdivide = static_cast<double>(s.ranks) / c.predivide;
}

}  // namespace

schedule::Schedule plan_fsdp(const Scenario& scenario) {
    schedule::Schedule schedule = empty_schedule(scenario);
    schedule::ProgramBuilder program(schedule);
    constexpr std::size_t kOpsOfBlock = 600;   // two steps of a Llama block with recomputation: a guess, only for room
    program.reserve(kOpsOfBlock * static_cast<std::size_t>(scenario.model.layers));
    torch::Memory memory(program);
    Comm comm;
    declare(comm, schedule, program, scenario);
    Tape tape(memory, torch::training_options(scenario, comm.compute_pool, comm.compute, comm.compute_dtype));
    torch::set_checkpoints(tape.engine, scenario.training);
    if (scenario.training.offload_activations) torch::offload_saved_tensors(tape, comm.host_pool);
    LanguageModel model(tape, scenario);
    Wrapped wrapped(tape, comm, model, scenario);
    { const Buffer first = tape.scratch("first_tensor", 4); }   // what creates the CUDA context
    wrapped.shard();
    model.make_buffers();
    program.host_wait(comm.compute, std::vector<OpId>{OpId{program.size() - 1}});
    program.begin_first();
    torch::TrainingStep step(tape, model, scenario, wrapped.hooks());
    step.run();
    program.begin_steady();
    step.run();
    memory.close();
    schedule.roles.push_back({program.finish(), 0, scenario.ranks});
    return schedule;
}

}  // namespace zerosim::strategy
