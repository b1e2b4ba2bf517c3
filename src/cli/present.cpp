#include "cli/present.hpp"

#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/fail_if.hpp"
#include "cli/style.hpp"
#include "report/csv.hpp"
#include "report/json.hpp"
#include "report/perfetto.hpp"
#include "report/table.hpp"

#include <fmt/core.h>

namespace zerosim::cli {
namespace {

std::string render(const analysis::RunReport& report, const config::Resolved& resolved, const Invocation& invocation) {
    switch (resolved.run.format) {
        case config::Format::json: return report::render_json(report);
        case config::Format::csv: return report::render_csv({&report, 1});
        case config::Format::table: break;
    }
    return report::render_table(report, output_style(invocation.environment, resolved.run.output));
}

void warn_of_size(const analysis::RunReport& report, const config::Resolved& resolved) {
    if (report.memory.fits) return;
    const analysis::RankReport* largest = report.largest_rank();
    const analysis::MemoryReport& memory = largest == nullptr ? report.memory : largest->memory;
    const double fraction = resolved.scenario.allocator.memory_fraction;
    const std::string share = fraction == 0 ? "" : fmt::format(", of which the allocator may reserve {:g} (allocator.memory-fraction)", fraction);
    print_remarks({fmt::format("does not fit: {} needed, {} on {}{}", format_bytes(static_cast<double>(memory.peak_reserved + memory.context + memory.communicator)),
                               format_bytes(static_cast<double>(resolved.scenario.cluster.device.memory_bytes)), resolved.scenario.cluster.device.name, share)}, {});
}

}  // namespace

void check_presentable(const config::RunOptions& run) {
    if (!run.fail_if.empty()) check_condition(run.fail_if);
    require_beside(run.output, run.perfetto, "perfetto");
    require_writable(run.output);
    if (!run.perfetto.empty()) require_writable(run.perfetto);
}

int present(const analysis::RunReport& report, const schedule::Schedule& schedule, const trace::Trace& trace, const config::Resolved& resolved,
            const Invocation& invocation) {
    write_result(resolved.run.output, render(report, resolved, invocation));
    warn_of_size(report, resolved);
    if (!resolved.run.perfetto.empty()) {
        const std::int64_t bytes = report::write_perfetto(resolved.run.perfetto, schedule, trace);
        if (bytes > report::kPerfettoWarnBytes)
            print_remarks({fmt::format("{} holds {} of JSON; ui.perfetto.dev struggles above 200 MB: run fewer steps or ranks", resolved.run.perfetto, format_bytes(static_cast<double>(bytes)))}, {});
    }
    if (resolved.run.fail_if.empty() || !condition_holds(resolved.run.fail_if, report)) return static_cast<int>(ExitCode::ok);
    print_remarks({fmt::format("fail-if holds: {}", resolved.run.fail_if)}, {});
    return static_cast<int>(ExitCode::check_failed);
}

}  // namespace zerosim::cli
