// States: mixed precision of ddp and fsdp2 keeps fp32 parameters, gradients and two moments (16 bytes a trainable parameter), under ddp with
// 2-byte copies of autocast; zerosim keeps 2-byte parameters and gradients beside fp32 masters and moments (ZeRO paper, section 3.1).
#include "strategy/coarse/planner.hpp"

#include "base/error.hpp"
#include "schedule/builder.hpp"
#include "strategy/empty_schedule.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace zerosim::strategy {
namespace {

using model::ActivationRule;
using model::ParameterGroup;
using schedule::Phase;
using schedule::Role;
using schedule::StreamKind;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

void check_coarse(const Scenario& s) {
    const auto require = [&](bool holds, std::string_view what) {
        if (!holds) throw ConfigError(fmt::format("model {} is coarse: {}", s.model.name, what));
    };
    const System system = s.strategy.system;
    const Training& t = s.training;
    require(system == System::ddp || system == System::fsdp2 || system == System::zerosim, "it is planned for the systems ddp, fsdp2 and zerosim");
    require(system == System::ddp ? s.strategy.zero_stage == 0 : s.strategy.zero_stage == 3 || (system == System::zerosim && s.strategy.zero_stage == 0),
            "ddp has stage 0, fsdp2 stage 3, zerosim stages 0 and 3");
    require(s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks, "shards are split over all ranks");
    require(t.precision == Precision::bf16_mixed || t.precision == Precision::fp16_mixed || t.precision == Precision::bf16, "its rules count 2-byte training");
    require(t.recompute.every == 0, "its rules of activations say what is recomputed (saved = false): train.recompute must be none, and a copy of the model's file with other rules states another choice");
    require(t.optimizer == Optimizer::adamw && t.lora_rank == 0 && t.dropout == 0 && !t.compile && !t.standard_attention && !t.fp8_products,
            "techniques that need its layers are not known");
    require(s.strategy.parameters_at == Placement::device && s.strategy.optimizer_at == Placement::device, "offload is not known");
    require(s.library == kernel::Library::cuda, "its rules are of GPUs");
}

class Plan {
public:
    Plan(schedule::Schedule& schedule, const Scenario& scenario) : scenario_(scenario), program_(schedule) {
        compute_ = program_.stream("compute", StreamKind::compute);
        communication_ = program_.stream("communication", StreamKind::communication);
        pool_ = program_.pool("default", compute_);
        gathered_pool_ = program_.pool("gathered", communication_);
        axis_ = AxisId{schedule.axes.size()};
        schedule.axes.push_back({schedule.names.intern("data"), scenario.ranks, 1});
        sharded_ = scenario.strategy.zero_stage == 3;
        own_ = scenario.strategy.system == System::zerosim;
        pure_ = scenario.training.precision == Precision::bf16;
    }

    auto make() {
        for (const ParameterGroup& group : scenario_.model.coarse.groups) states_.push_back(parameters(group));
        program_.host_wait(compute_, std::vector{OpId{program_.size() - 1}});   // gathers begin after it
        program_.begin_first();
        step(true);
        program_.begin_steady();
        step(false);
        return program_.finish();
    }

private:
    struct State {
        StorageId parameters;
        std::int64_t held = 0;      // parameters that this rank keeps
        StorageId gradients, first_moment, second_moment;
    };

    [[nodiscard]] std::int64_t bytes_each(const ParameterGroup& g) const {
        if (!g.trainable) return size_of(g.frozen_dtype);
        return pure_ || own_ ? 2 : 4;
    }
    [[nodiscard]] StorageId allocate(const std::string& name, std::int64_t bytes, Role role, int layer) {
        const StorageId storage = program_.storage(name, std::max<std::int64_t>(bytes, 1), pool_, role, layer);
        program_.alloc(storage);
        return storage;
    }
    [[nodiscard]] TensorId whole(StorageId storage, DType type = DType::uint8) {
        const std::int64_t bytes = program_.at(storage).bytes;
        return program_.tensor("bytes", storage, bytes % size_of(type) == 0 ? type : DType::uint8, 1, bytes / (bytes % size_of(type) == 0 ? size_of(type) : 1));
    }
    [[nodiscard]] static std::string part(const ParameterGroup& g, const char* what) { return g.name + "." + what; }

    State parameters(const ParameterGroup& g) {
        program_.tags.layer = static_cast<std::int16_t>(states_.size());
        // Each block is split by itself, so each is padded.
        const std::int64_t block = ceil_div(g.parameters, g.blocks);
        State state;
        state.held = sharded_ ? ceil_div(block, scenario_.ranks) * g.blocks : g.parameters;
        state.parameters = allocate(part(g, "parameters"), state.held * bytes_each(g), sharded_ ? Role::parameter_shard : Role::parameter, program_.tags.layer);
        program_.fill(compute_, whole(state.parameters), 0);
        if (own_ && g.trainable && !pure_) {
            const StorageId master = allocate(part(g, "masters"), 4 * state.held, Role::master_weight, program_.tags.layer);
            program_.fill(compute_, whole(master), 0);
        }
        return state;
    }

    void step(bool first) {
        forward();
        backward();
        optimizer(first);
    }

    template <class Visit>
    void rules_of(const ParameterGroup& g, Visit visit) {
        for (const ActivationRule& rule : scenario_.model.coarse.rules)
            if (rule.group == g.name) visit(rule);
    }

    /// Products of 1,024 x 1,024 matrices with as many rows as the FLOPs need: what the GPU reaches on large ones.
    void work(const std::string& name, double flops, TensorId operand, TensorId result) {
        if (flops <= 0) return;
        constexpr std::int64_t kWidth = 1024;
        kernel::Attributes a;
        a.in = a.out = kWidth;
        a.batch = 1;
        a.tokens = std::max<std::int64_t>(1, std::llround(flops / (2.0 * kWidth * kWidth)));
        program_.compute(compute_, name, kernel::Kernel::batched_product, std::vector{operand, operand, result}, a);
    }

    /// One block of a sharded group at a time: in 2 bytes, frozen ones as they are stored.
    [[nodiscard]] StorageId gather(const ParameterGroup& g, const State& state) {
        const DType type = g.trainable ? DType::bf16 : g.frozen_dtype;
        const std::int64_t shard = state.held / g.blocks;
        const StorageId storage =
            program_.storage(part(g, "gathered"), shard * scenario_.ranks * size_of(type), gathered_pool_, Role::gathered_parameter, program_.tags.layer);
        program_.alloc(storage);
        for (std::int64_t block = 0; block < g.blocks; ++block) {
            schedule::Collective c;
            c.kind = CollectiveKind::all_gather;
            c.axis = axis_;
            c.receive = program_.tensor("gathered", storage, type, 1, shard * scenario_.ranks);
            c.send = program_.tensor("shard", state.parameters, type, 1, shard);
            program_.wait_event(compute_, program_.collective(communication_, "all_gather", c));
        }
        return storage;
    }
    void release(StorageId gathered) {
        const OpId used = program_.last(compute_);
        program_.free(gathered, std::vector{used});
    }

    void forward() {
        const auto& groups = scenario_.model.coarse.groups;
        saved_.assign(groups.size(), {});
        for (std::size_t i = 0; i < groups.size(); ++i) {
            program_.tags = {.micro_batch = 0, .layer = static_cast<std::int16_t>(i), .phase = Phase::forward};
            const StorageId weights = sharded_ ? gather(groups[i], states_[i]) : states_[i].parameters;
            if (!sharded_ && !own_ && !pure_ && groups[i].trainable) saved_[i].push_back(allocate(part(groups[i], "autocast"), 2 * groups[i].parameters, Role::activation, program_.tags.layer));
            rules_of(groups[i], [&](const ActivationRule& rule) {
                const auto bytes = static_cast<std::int64_t>(rule.elements * static_cast<double>(rule.bytes * scenario_.training.micro_batch));
                const StorageId made = allocate(rule.name, rule.saved ? bytes * rule.copies : bytes, rule.saved ? Role::activation : Role::workspace, program_.tags.layer);
                work(rule.name, rule.flops * static_cast<double>(rule.copies * scenario_.training.micro_batch), whole(weights), whole(made));
                if (rule.saved) saved_[i].push_back(made);
                else program_.free(made);
            });
            if (sharded_) release(weights);
        }
    }

    void backward() {
        const auto& groups = scenario_.model.coarse.groups;
        for (std::size_t i = groups.size(); i-- > 0;) {
            program_.tags = {.micro_batch = 0, .layer = static_cast<std::int16_t>(i), .phase = Phase::backward};
            const ParameterGroup& g = groups[i];
            const StorageId weights = sharded_ ? gather(g, states_[i]) : states_[i].parameters;
            const std::int64_t element = own_ || pure_ ? 2 : 4;
            if (g.trainable) states_[i].gradients = allocate(part(g, "gradients"), states_[i].held * element, sharded_ ? Role::gradient_shard : Role::gradient, program_.tags.layer);
            rules_of(g, [&](const ActivationRule& rule) {
                work(rule.name + ".backward", (g.trainable ? 2 : 1) * rule.flops * static_cast<double>(rule.copies * scenario_.training.micro_batch), whole(weights),
                     g.trainable ? whole(states_[i].gradients) : whole(weights));
            });
            for (const StorageId storage : saved_[i]) program_.free(storage);
            if (g.trainable) reduce(g, states_[i], element);
            if (sharded_) release(weights);
        }
    }

    void reduce(const ParameterGroup& g, const State& state, std::int64_t element) {
        const DType type = element == 4 ? DType::fp32 : DType::bf16;
        schedule::Collective c;
        c.axis = axis_;
        c.reduction = Reduction::average;
        if (!sharded_) {
            c.kind = CollectiveKind::all_reduce;
            c.send = c.receive = whole(state.gradients, type);
            program_.wait_stream(communication_, compute_);
            program_.collective(communication_, "all_reduce", c);
            return;
        }
        const std::int64_t shard = state.held / g.blocks;
        const StorageId whole_block = program_.storage(part(g, "gradient_block"), shard * scenario_.ranks * element, pool_, Role::gradient, program_.tags.layer);
        program_.alloc(whole_block);
        program_.fill(compute_, whole(whole_block, type), 0);   // what the products of a block write
        OpId last;
        for (std::int64_t block = 0; block < g.blocks; ++block) {
            c.kind = CollectiveKind::reduce_scatter;
            c.send = program_.tensor("block", whole_block, type, 1, shard * scenario_.ranks);
            c.receive = program_.tensor("shard", state.gradients, type, 1, shard);
            program_.wait_stream(communication_, compute_);
            last = program_.collective(communication_, "reduce_scatter", c);
        }
        program_.free(whole_block, std::vector{last});
    }

    void optimizer(bool first) {
        const auto& groups = scenario_.model.coarse.groups;
        program_.tags = {.phase = Phase::optimizer};
        program_.wait_stream(compute_, communication_);
        for (std::size_t i = 0; i < groups.size(); ++i) {
            if (!groups[i].trainable) continue;
            program_.tags.layer = static_cast<std::int16_t>(i);
            const std::int64_t moment = pure_ ? 2 : 4;
            State& state = states_[i];
            const auto moments = [&](const char* name, Role role) {
                const StorageId storage = allocate(part(groups[i], name), moment * state.held, role, program_.tags.layer);
                program_.fill(compute_, whole(storage), 0);
                return storage;
            };
            if (first) {
                state.first_moment = moments("first_moment", Role::first_moment);
                state.second_moment = moments("second_moment", Role::second_moment);
            }
            kernel::Attributes a;   // one pass over gradients, moments and parameters
            a.tokens = 1;
            a.out = state.held * bytes_each(groups[i]);
            program_.compute(compute_, "optimizer_step", kernel::Kernel::elementwise,
                             std::vector{whole(state.gradients), whole(state.first_moment), whole(state.second_moment), whole(state.parameters)}, a);
            program_.free(states_[i].gradients);
        }
        program_.tags = {.phase = Phase::optimizer};
        program_.host_wait(compute_, std::vector{OpId{program_.size() - 1}});
    }

    const Scenario& scenario_;
    schedule::ProgramBuilder program_;
    StreamId compute_, communication_;
    PoolId pool_, gathered_pool_;
    AxisId axis_;
    bool sharded_ = false, own_ = false, pure_ = false;
    std::vector<State> states_;
    std::vector<std::vector<StorageId>> saved_;
};

}  // namespace

std::int64_t coarse_trainable_parameters(const model::Model& model) {
    std::int64_t sum = 0;
    for (const ParameterGroup& group : model.coarse.groups)
        if (group.trainable) sum += group.parameters;
    return sum;
}

schedule::Schedule plan_coarse(const Scenario& scenario) {
    check_coarse(scenario);
    schedule::Schedule schedule = empty_schedule(scenario);
    Plan plan(schedule, scenario);
    schedule.roles.push_back({plan.make(), 0, scenario.ranks});
    schedule.notes.push_back(fmt::format("coarse: {} is known by {} groups of parameters and {} rules of activations; states are exact by formula, activations and time "
                                         "are as good as the rules",
                                         scenario.model.name, scenario.model.coarse.groups.size(), scenario.model.coarse.rules.size()));
    return schedule;
}

}  // namespace zerosim::strategy
