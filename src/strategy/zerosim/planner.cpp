#include "strategy/zerosim/planner.hpp"

#include "strategy/empty_schedule.hpp"
#include "strategy/zerosim/flat_units.hpp"
#include "strategy/zerosim/modules.hpp"
#include "strategy/zerosim/optimizer_phase.hpp"

namespace zerosim::strategy {
namespace {

using namespace zerosim_system;
using schedule::Phase;
using schedule::StreamKind;

void declare_streams(Context& c) {
    const bool overlap = c.scenario.strategy.overlap_communication && c.scenario.ranks > 1;
    c.compute = c.program.stream("compute", StreamKind::compute);
    c.compute_pool = c.program.pool("compute", c.compute);
    c.gather = c.reduce = c.compute;
    c.gather_pool = c.reduce_pool = c.compute_pool;
    if (!overlap) return;
    c.gather = c.program.stream("gather", StreamKind::communication);
    c.gather_pool = c.program.pool("gather", c.gather);
    c.reduce = c.program.stream("reduce", StreamKind::communication);
    c.reduce_pool = c.program.pool("reduce", c.reduce);
}

void locate_parameters(Context& c) {
    c.places.resize(c.parameters.size());
    for (std::uint32_t unit = 0; unit < c.units(); ++unit)
        for (std::uint32_t segment = 0; segment < c.layout(unit).segments.size(); ++segment)
            c.places[static_cast<std::size_t>(c.layout(unit).segments[segment].parameter)] = {unit, segment};
}

std::vector<ModuleVisit> visits_of_step(const Scenario& scenario) {
    const int head = static_cast<int>(scenario.model.layers) + 1;
    std::vector<ModuleVisit> visits;
    for (std::int64_t g = 0; g < scenario.training.gradient_accumulation; ++g) {
        for (int module = 0; module <= head; ++module) visits.push_back({module, false});
        for (int module = head; module >= 0; --module) visits.push_back({module, true});
    }
    return visits;
}

class StepEmitter {
public:
    StepEmitter(Context& context, const States& states)
        : c_(context), emit_(context), gathers_(context, emit_, states), reductions_(context, emit_, states),
          modules_(context, emit_, gathers_, reductions_, states), states_(states) {}

    void run() {
        gathers_.plan_uses(visits_of_step(c_.scenario));
        for (int g = 0; g < c_.scenario.training.gradient_accumulation; ++g) {
            forward(g);
            backward(g);
        }
        emit_optimizer_phase(c_, emit_, states_, reductions_);
    }

private:
    void tag(int micro_batch, Phase phase, int layer) {
        c_.program.tags = {.micro_batch = static_cast<std::int16_t>(micro_batch), .layer = static_cast<std::int16_t>(layer), .phase = phase};
    }

    template <class Body>
    void visit(Body&& body) {
        gathers_.begin_use();
        body();
        gathers_.end_use();
    }

    void forward(int g) {
        tag(g, Phase::forward, -1);
        if (g == 0) c_.program.fill(c_.compute, states_.scalars.loss_and_bins, 0);
        c_.program.input(c_.compute, states_.tokens, states_.targets);
        TensorId x;
        visit([&] { x = modules_.embedding_forward(); });
        for (int layer = 0; layer < c_.scenario.model.layers; ++layer) {
            tag(g, Phase::forward, layer);
            visit([&] { x = modules_.block_forward(layer, x, !c_.scenario.training.recompute.applies(layer)); });
        }
        tag(g, Phase::forward, -1);
        visit([&] { modules_.head_forward(x); });
    }

    void backward(int g) {
        reductions_.begin_micro_batch(g);
        tag(g, Phase::backward, -1);
        TensorId gradient;
        visit([&] { gradient = modules_.head_backward(); });
        for (int layer = static_cast<int>(c_.scenario.model.layers) - 1; layer >= 0; --layer) {
            tag(g, Phase::backward, layer);
            visit([&] { modules_.block_backward(layer, gradient); });
        }
        tag(g, Phase::backward, -1);
        visit([&] { modules_.embedding_backward(gradient); });
        reductions_.end_micro_batch();
    }

    Context& c_;
    Emitter emit_;
    Gathers gathers_;
    Reductions reductions_;
    Modules modules_;
    const States& states_;
};

}  // namespace

schedule::Schedule plan_zerosim(const Scenario& scenario) {
    schedule::Schedule schedule = empty_schedule(scenario);
    const auto parameters = model::parameters(scenario.model);
    schedule.axes.push_back({schedule.names.intern("data"), scenario.ranks, 1});
    schedule.layouts = flat_units(parameters, scenario, schedule.names);

    schedule::ProgramBuilder program(schedule);
    constexpr std::size_t kOpsOfBlock = 150;   // a Llama block with recomputation: a guess, only for room
    program.reserve(kOpsOfBlock * static_cast<std::size_t>(scenario.model.layers));
    Context context{scenario, parameters, schedule, program, AxisId{0}, {}, {}, {}, {}, {}, {}, {}};
    declare_streams(context);
    locate_parameters(context);
    const States states = emit_states(context);
    program.host_wait(context.compute, std::vector{OpId{program.size() - 1}});   // all states are on this stream
    program.begin_first();
    StepEmitter(context, states).run();
    schedule.roles.push_back({program.finish(), 0, scenario.ranks});
    return schedule;
}

}  // namespace zerosim::strategy
