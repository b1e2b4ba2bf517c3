#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/machine.hpp"
#include "cli/result_file.hpp"
#include "cli/style.hpp"
#include "report/csv.hpp"
#include "report/json.hpp"
#include "report/perfetto.hpp"
#include "report/table.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>

namespace zerosim::cli {
namespace {

/// The schedule of a stored trace: planned again from the scenario it carries.
schedule::Schedule plan_again(const analysis::RunReport& report, const Invocation& invocation, const std::string& file) {
    config::Values values;
    for (const auto& [key, value] : report.scenario)
        if (config::find_option(key) != nullptr && !value.empty()) values.set(key, value, file);
    const auto command = report.simulated ? config::Command::simulate : config::Command::run;
    return strategy::plan(config::resolve(command, values, invocation.paths, this_machine(invocation.environment)).scenario);
}

std::string render(const analysis::RunReport& result, config::Format format, report::Style style) {
    switch (format) {
        case config::Format::json: return report::render_json(result);
        case config::Format::csv: return report::render_csv({&result, 1});
        case config::Format::table: return report::render_table(result, style);
    }
    return {};
}

}  // namespace

int command_report(const Invocation& invocation) {
    const config::Reading reading = config::read_values(invocation.request());
    print_remarks(reading.warnings, {});
    if (reading.positionals.size() != 1)
        throw ConfigError(fmt::format("report takes one result (JSON) or trace file; {} given", reading.positionals.size()));
    const std::string& file = reading.positionals.front();
    if (!is_result_file(file)) throw ConfigError(fmt::format("'{}' is not a result that `zerosim run --format json` wrote, nor a trace", file));
    const ResultFile result = read_result_file(file);
    const std::string &perfetto = reading.values.text("perfetto"), &output = reading.values.text("output");
    require_beside(output, perfetto, "perfetto");
    if (!perfetto.empty()) {
        if (!result.trace) throw ConfigError(fmt::format("command line: --perfetto needs a trace file; '{}' is a result without times of ops", file));
        report::write_perfetto(perfetto, plan_again(result.report, invocation, file), *result.trace);
    }
    write_result(output, render(result.report, config::format_of(reading.values), output_style(invocation.environment, output)));
    return static_cast<int>(ExitCode::ok);
}

}  // namespace zerosim::cli
