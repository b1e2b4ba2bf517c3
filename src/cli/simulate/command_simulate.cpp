#include "cli/commands.hpp"
#include "cli/simulate/explain_scenario.hpp"
#include "cli/simulate/limit_scenario.hpp"
#include "cli/machine.hpp"
#include "cli/present.hpp"
#include "cli/simulate/sensitivity.hpp"
#include "cli/simulate/simulate_report.hpp"

namespace zerosim::cli {
namespace {

/// The scenario to show: as asked, or at the limit that --max or --min found (where nothing fits, as asked).
config::Resolved at_limit(config::Resolved asked, Replanner& replanner, std::optional<analysis::Limit>& limit) {
    if (asked.run.maximize.empty() && asked.run.minimize.empty()) return asked;
    limit = limit_of(asked, replanner);
    if (limit->value == 0) return asked;
    const std::string value = std::to_string(limit->value);
    replanner.fix(limit->key, value);
    return replanner.resolved_with(limit->key, value);
}

}  // namespace

int command_simulate(const Invocation& invocation) {
    config::Resolved asked = config::resolve(invocation.request(), invocation.paths, this_machine(invocation.environment));
    print_remarks(asked.warnings, asked.notes);
    check_presentable(asked.run);
    Replanner replanner(invocation);
    std::optional<analysis::Limit> limit;
    const config::Resolved resolved = at_limit(std::move(asked), replanner, limit);
    Simulated simulated = simulate(resolved);
    print_remarks({}, simulated.report.notes);
    simulated.report.limit = std::move(limit);
    if (resolved.run.sensitivity) simulated.report.sensitivity = sensitivity(simulated, resolved);
    add_explanations(simulated.report, simulated.schedule, resolved, replanner);
    return present(simulated.report, simulated.schedule, simulated.trace, resolved, invocation);
}

}  // namespace zerosim::cli
