#include "cli/commands.hpp"
#include "cli/machine.hpp"
#include "cli/present.hpp"
#include "cli/simulate_report.hpp"

namespace zerosim::cli {

int command_simulate(const Invocation& invocation) {
    const config::Resolved resolved = config::resolve(invocation.request(), invocation.paths, this_machine(invocation.environment));
    print_remarks(resolved.warnings, resolved.notes);
    const Simulated simulated = simulate(resolved);
    return present(simulated.report, simulated.schedule, simulated.trace, resolved, invocation);
}

}  // namespace zerosim::cli
