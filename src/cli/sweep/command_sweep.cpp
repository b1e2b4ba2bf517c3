#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/machine.hpp"
#include "cli/simulate/simulate_report.hpp"
#include "cli/style.hpp"
#include "cli/sweep/sweep_points.hpp"
#include "report/sweep_svg.hpp"
#include "report/sweep_table.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace zerosim::cli {
namespace {

using analysis::SweepPoint;
using analysis::SweepReport;

struct Sweep {
    SweepReport report;
    std::vector<std::vector<std::string>> points;
    std::vector<std::string> warnings, notes;   // of the first point that was computed
    std::mutex first;                           // guards scenario, parameters, warnings and notes
    std::size_t first_index = SIZE_MAX;
};

/// A point that the scenario refuses says so in its row; what is no matter of configuration ends the sweep.
SweepPoint compute(const Invocation& invocation, const config::Values& asked, const config::Machine& machine, const ReferenceBatch& reference, Sweep& sweep,
                   std::size_t index) {
    try {
        config::Values values = point_values(asked, sweep.report.axes, sweep.points[index], reference);
        const config::Resolved resolved = config::resolve(config::Command::simulate, std::move(values), invocation.paths, machine);
        const analysis::RunReport report = simulate_report(resolved);
        const std::scoped_lock lock(sweep.first);
        if (index < sweep.first_index) {
            sweep.first_index = index;
            sweep.report.scenario = report.scenario;
            sweep.report.parameters = report.parameters;
            sweep.warnings = resolved.warnings;
            sweep.notes = resolved.notes;
        }
        return analysis::sweep_point(sweep.points[index], report);
    } catch (const ConfigError& refused) {
        SweepPoint point;
        point.values = sweep.points[index];
        point.error = refused.what();
        return point;
    }
}

/// Points are independent: threads take the next one until none is left. The first error that is not a point's own is thrown again.
void compute_all(const Invocation& invocation, const config::Values& asked, const ReferenceBatch& reference, Sweep& sweep) {
    const config::Machine machine = this_machine(invocation.environment);
    const std::int64_t jobs = asked.integer("jobs");
    const std::size_t workers = std::min(sweep.points.size(), static_cast<std::size_t>(jobs > 0 ? jobs : std::max(1, machine.cores)));
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex failing;
    {
        std::vector<std::jthread> threads;
        for (std::size_t worker = 0; worker < workers; ++worker)
            threads.emplace_back([&] {
                for (std::size_t index = next++; index < sweep.points.size(); index = next++) {
                    try {
                        sweep.report.points[index] = compute(invocation, asked, machine, reference, sweep, index);
                    } catch (...) {
                        const std::scoped_lock lock(failing);
                        if (!failure) failure = std::current_exception();
                        next = sweep.points.size();
                    }
                }
            });
    }
    if (failure) std::rethrow_exception(failure);
}

std::string render(const SweepReport& report, config::Format format, report::Style style) {
    switch (format) {
        case config::Format::json: return report::render_sweep_json(report);
        case config::Format::csv: return report::render_sweep_csv(report);
        case config::Format::table: return report::render_sweep_table(report, style);
    }
    return {};
}

}  // namespace

int command_sweep(const Invocation& invocation) {
    const config::Reading reading = config::read_scenario(invocation.request(), invocation.paths);
    print_remarks(reading.warnings, {});
    const config::Values& asked = reading.values;
    require_beside(asked.text("output"), asked.text("svg"), "svg");
    require_writable(asked.text("output"));
    if (!asked.text("svg").empty()) require_writable(asked.text("svg"));
    Sweep sweep;
    sweep.report.axes = sweep_axes(asked.text("over"));
    check_swept(asked, sweep.report.axes);
    const ReferenceBatch reference = reference_batch(asked, sweep.report.axes);
    sweep.report.scaling = reference.scaling == Scaling::strong ? "strong" : "weak";
    sweep.points = combinations(sweep.report.axes);
    sweep.report.points.resize(sweep.points.size());
    compute_all(invocation, asked, reference, sweep);
    analysis::add_efficiencies(sweep.report);
    print_remarks(sweep.warnings, sweep.notes);
    const std::string& output = asked.text("output");
    write_result(output, render(sweep.report, config::format_of(asked), output_style(invocation.environment, output)));
    if (const std::string& svg = asked.text("svg"); !svg.empty()) write_result(svg, report::render_sweep_svg(sweep.report));
    const bool any = std::ranges::any_of(sweep.report.points, [](const SweepPoint& point) { return point.error.empty(); });
    return static_cast<int>(any ? ExitCode::ok : ExitCode::usage);
}

}  // namespace zerosim::cli
