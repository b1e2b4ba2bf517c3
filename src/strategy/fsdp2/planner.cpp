#include "strategy/fsdp2/planner.hpp"

#include "base/error.hpp"
#include "strategy/empty_schedule.hpp"
#include "strategy/fsdp2/parameter_group.hpp"
#include "strategy/torch/activation_offload.hpp"
#include "strategy/torch/training_step.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <memory>

namespace zerosim::strategy {
namespace {

using namespace fsdp2;
using schedule::Phase;
using schedule::StreamKind;
using torch::LanguageModel;

/// FSDPState of the root and of every block, and the hooks that drive their groups.
class Sharded {
public:
    Sharded(Tape& tape, Comm& comm, LanguageModel& model, const Scenario& scenario) : tape_(tape), comm_(comm), model_(model), scenario_(scenario), optimizer_(tape, scenario) {
        const bool reshard = scenario.strategy.zero_stage == 3;
        for (int layer = 0; layer < model.layers(); ++layer)
            blocks_.push_back(std::make_unique<ParameterGroup>(tape, comm, model.block(layer), reshard, layer));
        std::vector<Parameter*> root = model.root();
        if (scenario.strategy.wrap_embeddings) {
            for (Parameter* own : {&model.parameters().front(), &model.head()}) {
                std::erase(root, own);
                apart_.push_back({own, std::make_unique<ParameterGroup>(tape, comm, std::vector{own}, reshard, -1)});
            }
            if (!blocks_.empty()) apart_.back().before = blocks_.back().get();
            hook_apart();
        }
        root_ = std::make_unique<ParameterGroup>(tape, comm, root, reshard, -1);
    }

    /// to_empty(): module by module; a tied head is visited after the embedding that it shares.
    void allocate_shards() {
        for (Parameter& p : model_.parameters()) group_of(p).allocate_shard(&p, false);
        if (scenario_.model.tied) root_->allocate_shard(&model_.parameters().front(), true);
    }

    [[nodiscard]] torch::StepHooks hooks() {
        torch::StepHooks h;
        h.before_forward = [this](bool last) {
            comm_.synchronize = last || scenario_.strategy.sync_each_batch.value_or(false);
            for (Apart& unit : apart_) unit.calls = 0;
            // [_root_pre_forward]: the first gathers read what the optimizer wrote.
            comm_.gathers_wait(tape_.program, tape_.program.last(comm_.compute));
            root_->unshard();
            root_->wait_for_unshard(true);
        };
        h.blocks.before = [this](int layer, Value x) { return before_block(layer, std::move(x)); };
        h.blocks.after = [this](int layer, const Value& output) { after_block(layer, output); };
        h.after_forward = [this](const Value& logits) { after_forward(logits); };
        h.after_backward = [this] { after_backward(); };
        h.optimize = [this] { optimize(); };
        h.zero_gradients = [this] {
            // Their pool's stream reuses them only after its next wait for the current one [foreach_reduce]; here it waits at once.
            tape_.program.wait_stream(comm_.scatter, comm_.compute);
            tape_.program.wait_stream(comm_.reduce, comm_.compute);
            for (ParameterGroup* group : groups()) group->drop_gradients();
        };
        return h;
    }

private:
    /// A unit of one parameter, whose module is called like any other: the embedding, the head.
    struct Apart {
        Parameter* parameter;
        std::unique_ptr<ParameterGroup> group;
        ParameterGroup* before = nullptr;   // whose forward ends before this one's first: what backward prefetches then; null: none
        int calls = 0;                      // of one forward
    };

    Apart* apart(const Parameter* p) {
        const auto found = std::ranges::find(apart_, p, &Apart::parameter);
        return found == apart_.end() ? nullptr : &*found;
    }
    ParameterGroup& group_of(const Parameter& p) {
        if (const Apart* own = apart(&p)) return *own->group;
        return p.layer < 0 ? *root_ : *blocks_[static_cast<std::size_t>(p.layer)];
    }
    /// Blocks, the root, units of their own.
    std::vector<ParameterGroup*> groups() {
        std::vector<ParameterGroup*> all;
        for (const auto& block : blocks_) all.push_back(block.get());
        all.push_back(root_.get());
        for (const Apart& unit : apart_) all.push_back(unit.group.get());
        return all;
    }

    /// [RegisterPostBackwardFunction]: runs when the gradient of a unit's input is complete.
    Value with_post_backward(ParameterGroup& group, Value x) {
        auto node = tape_.engine.node({x.node});
        if (node) {
            node->apply = [&group](torch::Node&, torch::Values& g) {
                group.post_backward();
                return torch::Values{g[0]};
            };
        }
        x.node = node;
        return x;
    }

    /// Each call of such a module, a chunk of the loss too, gathers and reshards its weight, and so does its backward.
    void hook_apart() {
        tape_.before_module = [this](const torch::ModuleCall& call, const Value& x) {
            const Apart* unit = apart(call.weight);
            if (unit == nullptr) return x;
            unit->group->unshard();
            unit->group->wait_for_unshard(true);
            return with_post_backward(*unit->group, x);
        };
        tape_.after_module = [this](const torch::ModuleCall& call, const Value& output) {
            Apart* unit = apart(call.weight);
            if (unit == nullptr) return output;
            unit->group->after_forward();
            const bool first = unit->calls++ == 0;   // [_backward_prefetch]: before a later call comes the unit itself
            if (output.node) {
                output.node->before = [unit, first] {
                    unit->group->unshard();
                    unit->group->wait_for_unshard(false);
                    if (first && unit->before != nullptr) unit->before->unshard();
                };
            }
            return output;
        };
    }

    Value before_block(int layer, Value x) {
        ParameterGroup& group = *blocks_[static_cast<std::size_t>(layer)];
        group.unshard();
        group.wait_for_unshard(true);
        return with_post_backward(group, std::move(x));
    }

    void after_block(int layer, const Value& output) {
        blocks_[static_cast<std::size_t>(layer)]->after_forward();
        if (!output.node) return;
        output.node->before = [this, layer] {
            ParameterGroup& group = *blocks_[static_cast<std::size_t>(layer)];
            group.unshard();
            group.wait_for_unshard(false);
            if (layer > 0) blocks_[static_cast<std::size_t>(layer - 1)]->unshard();   // backward prefetch, one group ahead
        };
    }

    void after_forward(const Value& logits) {
        root_->after_forward();
        if (logits.node) {
            logits.node->before = [this, of_head = std::move(logits.node->before)] {
                for (ParameterGroup* group : groups()) group->begin_backward();
                if (of_head) of_head();
                root_->unshard();
                root_->wait_for_unshard(false);
                if (apart_.empty() && !blocks_.empty()) blocks_.back()->unshard();
            };
        }
        comm_.gathers_wait(tape_.program, std::exchange(comm_.copied_out, {}));
        comm_.previous_gather.reset();
    }

    /// [_root_post_backward_final_callback]: groups whose inputs need no gradient, root first; then what is still held goes.
    void after_backward() {
        if (!root_->finished_backward()) root_->post_backward();
        for (ParameterGroup* group : groups())
            if (!group->finished_backward()) group->post_backward();
        comm_.previous_reduce_input.reset();
        // [finalize_backward]: the current stream waits for every post_reduce event.
        tape_.program.wait_stream(comm_.compute, comm_.scatter);
        tape_.program.wait_stream(comm_.compute, comm_.reduce);
        if (!comm_.all_reduce_inputs.empty()) tape_.program.wait_stream(comm_.scatter, comm_.reduce);
        comm_.all_reduce_inputs.clear();
    }

    void optimize() {
        std::vector<torch::Updated> updated;
        for (Parameter& p : model_.parameters())
            if (p.trainable) updated.push_back(group_of(p).updated(&p));
        tape_.program.host_wait(comm_.compute, std::vector<OpId>{comm_.last_reduction});
        if (comm_.offload) return optimizer_.step_on_host(updated, comm_.host_pool);   // clipping too
        if (scenario_.training.clip_gradients > 0) optimizer_.clip(updated, comm_.shard_ranks > 1 ? std::optional(torch::NormReduction{comm_.reduce, comm_.shard}) : std::nullopt);
        optimizer_.step(updated);
    }

    Tape& tape_;
    Comm& comm_;
    LanguageModel& model_;
    const Scenario& scenario_;
    torch::OptimizerStep optimizer_;
    std::vector<std::unique_ptr<ParameterGroup>> blocks_;
    std::unique_ptr<ParameterGroup> root_;
    std::vector<Apart> apart_;
};

void declare(Comm& c, schedule::Schedule& schedule, schedule::ProgramBuilder& program, const Scenario& s) {
    c.compute = program.stream("default", StreamKind::compute);
    c.copy_in = program.stream("all_gather_copy_in", StreamKind::copy);
    c.gather = program.stream("all_gather", StreamKind::communication);
    c.scatter = program.stream("reduce_scatter", StreamKind::communication);
    c.reduce = program.stream("all_reduce", StreamKind::communication);
    c.compute_pool = program.pool("default", c.compute);
    c.copy_in_pool = program.pool("all_gather_copy_in", c.copy_in);
    c.scatter_pool = program.pool("reduce_scatter", c.scatter);
    c.reduce_pool = program.pool("all_reduce", c.reduce);
    c.host_pool = program.pool("pinned", c.compute);
    static_cast<torch::ShardedMesh&>(c) = torch::declare_sharded_mesh(schedule, s);
}

}  // namespace

schedule::Schedule plan_fsdp2(const Scenario& scenario) {
    schedule::Schedule schedule = empty_schedule(scenario);
    schedule::ProgramBuilder program(schedule);
    constexpr std::size_t kOpsOfBlock = 700;   // two steps of a Llama block with recomputation: a guess, only for room
    program.reserve(kOpsOfBlock * static_cast<std::size_t>(scenario.model.layers));
    torch::Memory memory(program);
    Comm comm;
    declare(comm, schedule, program, scenario);
    Tape tape(memory, torch::training_options(scenario, comm.compute_pool, comm.compute, comm.compute_dtype));
    torch::set_checkpoints(tape.engine, scenario.training);
    if (scenario.training.offload_activations) torch::offload_saved_tensors(tape, comm.host_pool);
    LanguageModel model(tape, scenario);
    Sharded sharded(tape, comm, model, scenario);
    { const Buffer first = tape.scratch("first_tensor", 4); }   // what creates the CUDA context
    sharded.allocate_shards();
    model.make_buffers();
    program.host_wait(comm.compute, std::vector<OpId>{OpId{program.size() - 1}});   // the gathers' streams begin after it
    program.begin_first();
    torch::TrainingStep step(tape, model, scenario, sharded.hooks());
    step.run();
    program.begin_steady();
    step.run();
    memory.close();
    schedule.roles.push_back({program.finish(), 0, scenario.ranks});
    return schedule;
}

}  // namespace zerosim::strategy
