#include "analysis/compare.hpp"
#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/machine.hpp"
#include "cli/result_file.hpp"
#include "cli/simulate/simulate_report.hpp"
#include "cli/style.hpp"
#include "report/compare_json.hpp"
#include "report/compare_table.hpp"
#include "report/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace zerosim::cli {
namespace {

/// `compare a.cfg b.cfg --ranks 8` plans both for 8 ranks: options of the scenario pass on, those of the comparison stay here.
analysis::RunReport simulate_scenario(const std::string& scenario, const config::CommandLine& line, const Invocation& invocation) {
    config::Request request{config::Command::simulate, {scenario}, invocation.environment};
    for (const config::Value& option : line.options) {
        const config::Option* known = config::find_option(option.key);
        if (known->accepted_by(config::Command::simulate) && option.key != "format" && option.key != "output" && option.key != "explain")
            request.arguments.push_back("--" + option.key + "=" + option.value);
    }
    const config::Resolved resolved = config::resolve(request, invocation.paths, this_machine(invocation.environment));
    print_remarks(resolved.warnings, resolved.notes);
    return simulate_report(resolved);
}

/// The file's name without folder and ending; the whole path where two share a name.
std::vector<std::string> labels_of(const std::vector<std::string>& inputs) {
    std::vector<std::string> labels;
    for (const std::string& input : inputs) labels.push_back(std::filesystem::path(input).stem().string());
    for (const std::string& label : labels)
        if (std::ranges::count(labels, label) > 1) return inputs;
    return labels;
}

/// Exit code 1 names what differs more than allowed.
int judge(std::span<const std::string> labels, std::span<const analysis::RunReport> reports, double tolerance) {
    int code = static_cast<int>(ExitCode::ok);
    for (const analysis::ComparedValue& row : analysis::compare(reports)) {
        if (row.difference() <= tolerance) continue;
        code = static_cast<int>(ExitCode::check_failed);
        std::string values;
        for (std::size_t i = 0; i < row.values.size(); ++i)
            values += fmt::format("{}{} {}", i == 0 ? "" : ", ", labels[i], report::format_quantity(row.quantity, row.values[i]));
        fmt::print(stderr, "zerosim: {}: {} differs by {:.2f} %, more than the tolerance of {:.2f} % ({})\n", row.section, row.name,
                   100 * row.difference(), 100 * tolerance, values);
    }
    return code;
}

}  // namespace

int command_compare(const Invocation& invocation) {
    const config::Reading reading = config::read_values(invocation.request());
    print_remarks(reading.warnings, {});
    const std::vector<std::string>& inputs = reading.positionals;
    if (inputs.size() < 2)
        throw ConfigError(fmt::format("compare takes two or more results (JSON) or scenario files; {} given, as in: "
                                      "zerosim compare stage0.json stage3.json", inputs.size()));
    const config::CommandLine line = config::parse_command_line(invocation.command, invocation.arguments);
    const std::vector<std::string>& systems = config::find_option("strategy.system")->choices;
    for (const std::string& input : inputs)
        if (std::ranges::find(systems, input) != systems.end())
            throw ConfigError(fmt::format("'{}' is neither a result nor a scenario file; systems side by side: zerosim sweep --over strategy.system={}", input, fmt::join(inputs, ",")));
    std::vector<analysis::RunReport> reports;
    for (const std::string& input : inputs)
        reports.push_back(is_result_file(input) ? read_result_file(input).report : simulate_scenario(input, line, invocation));
    const std::vector<std::string> labels = labels_of(inputs);
    print_remarks({}, analysis::comparison_notes(labels, reports));
    const config::Format format = config::format_of(reading.values);
    const std::string& output = reading.values.text("output");
    write_result(output, format == config::Format::json  ? report::render_comparison_json(labels, reports)
                         : format == config::Format::csv ? report::render_csv(reports)
                                                         : report::render_comparison(labels, reports, output_style(invocation.environment, output)));
    return reading.values.text("tolerance").empty() ? static_cast<int>(ExitCode::ok) : judge(labels, reports, reading.values.real("tolerance"));
}

}  // namespace zerosim::cli
