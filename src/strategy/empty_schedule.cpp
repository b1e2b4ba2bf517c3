#include "strategy/empty_schedule.hpp"

namespace zerosim::strategy {

schedule::Schedule empty_schedule(const Scenario& scenario) {
    schedule::Schedule schedule;
    schedule.ranks = scenario.ranks;
    for (const auto& parameter : model::parameters(scenario.model)) schedule.parameters.push_back(parameter.name);
    return schedule;
}

}  // namespace zerosim::strategy
