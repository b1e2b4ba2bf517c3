#include "strategy/plan.hpp"

#include "strategy/check_scenario.hpp"
#include "strategy/coarse/planner.hpp"
#include "strategy/ddp/planner.hpp"
#include "strategy/deepspeed/planner.hpp"
#include "strategy/fsdp/planner.hpp"
#include "strategy/fsdp2/planner.hpp"
#include "strategy/inference/planner.hpp"
#include "strategy/megatron/planner.hpp"
#include "strategy/zerosim/planner.hpp"

namespace zerosim::strategy {

namespace {

schedule::Schedule plan_system(const Scenario& scenario) {
    switch (scenario.strategy.system) {
        case System::ddp: return plan_ddp(scenario);
        case System::fsdp: return plan_fsdp(scenario);
        case System::fsdp2: return plan_fsdp2(scenario);
        case System::deepspeed: return plan_deepspeed(scenario);
        case System::megatron: return plan_megatron(scenario);
        default: return plan_zerosim(scenario);
    }
}

}  // namespace

schedule::Schedule plan(const Scenario& scenario) {
    if (scenario.inference.enabled) return plan_inference(scenario);
    if (scenario.model.is_coarse()) return plan_coarse(scenario);
    check_scenario(scenario);
    schedule::Schedule schedule = plan_system(scenario);
    // torch.distributed has one NCCL communicator for each process group, which runs its operations in the order of issue, whatever streams
    // they come from. Our executor, which also runs the frameworks' schedules on the host, has one for each stream.
    schedule.one_communicator_per_axis = scenario.strategy.system != System::zerosim && scenario.library == kernel::Library::cuda;
    return schedule;
}

}  // namespace zerosim::strategy
