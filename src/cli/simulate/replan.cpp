#include "cli/simulate/replan.hpp"

#include "base/error.hpp"
#include "cli/facts.hpp"
#include "cli/machine.hpp"
#include "strategy/plan.hpp"

namespace zerosim::cli {

Replanner::Replanner(const Invocation& invocation) : invocation_(invocation), machine_(invocation.command == config::Command::run ? machine_with_gpus(invocation.environment) : this_machine(invocation.environment)) {}

config::Values& Replanner::values_of_request() {
    if (!values_) values_ = config::read_scenario(invocation_.request(), invocation_.paths).values;
    return *values_;
}

config::Resolved Replanner::resolved_with(const std::string& key, const std::string& value) {
    config::Values changed = values_of_request();
    changed.set(key, value, "changed");
    return config::resolve(invocation_.command, std::move(changed), invocation_.paths, machine_);
}

std::optional<Replanned> Replanner::with(const std::string& key, const std::string& value) {
    try {
        Replanned planned;
        planned.resolved = resolved_with(key, value);
        const schedule::Schedule schedule = strategy::plan(planned.resolved.scenario);
        const analysis::Facts facts = facts_of(planned.resolved, schedule);
        planned.memory = analysis::memory_report(schedule, 0, planned.resolved.scenario.cluster, facts.memory);
        return planned;
    } catch (const ConfigError& refused) {
        refusal_ = refused.what();
        return std::nullopt;
    }
}

}  // namespace zerosim::cli
