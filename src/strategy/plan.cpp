#include "strategy/plan.hpp"

#include "strategy/check_scenario.hpp"
#include "strategy/ddp/planner.hpp"
#include "strategy/fsdp/planner.hpp"
#include "strategy/fsdp2/planner.hpp"
#include "strategy/zerosim/planner.hpp"

namespace zerosim::strategy {

schedule::Schedule plan(const Scenario& scenario) {
    check_scenario(scenario);
    switch (scenario.strategy.system) {
        case System::ddp: return plan_ddp(scenario);
        case System::fsdp: return plan_fsdp(scenario);
        case System::fsdp2: return plan_fsdp2(scenario);
        default: return plan_zerosim(scenario);
    }
}

}  // namespace zerosim::strategy
