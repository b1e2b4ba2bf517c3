// The table's sections on ranks that are not alike and on a job's failures.
#include "base/units.hpp"
#include "report/cells.hpp"
#include "report/table.hpp"

namespace zerosim::report {
namespace {

/// Failures that cost less than this go without saying.
constexpr double kWorthSaying = 0.001;

std::string duration(double seconds) {
    if (seconds < 120) return fmt::format("{:.3g} s", seconds);
    if (seconds < 2 * 3600) return fmt::format("{:.3g} min", seconds / 60);
    if (seconds < 48 * 3600) return fmt::format("{:.3g} h", seconds / 3600);
    return fmt::format("{:.3g} days", seconds / 86400);
}

}  // namespace

std::string variation_section(const analysis::RunReport& report, Style style) {
    if (!report.variation) return {};
    const analysis::VariationReport& v = *report.variation;
    std::string text = heading("VARIATION, a clock for each of " + std::to_string(v.ranks) + " ranks", style) + "\n";
    text += fmt::format("  step {} ms, {} ms without: {:+.1f} %\n", milliseconds(v.step), milliseconds(v.undisturbed_step),
                        v.undisturbed_step > 0 ? 100 * (v.step / v.undisturbed_step - 1) : 0.0);
    const std::string shortest = milliseconds(v.shortest_busy), longest = milliseconds(v.longest_busy);
    text += shortest == longest ? fmt::format("  with no collective beside them the kernels of every rank take {} ms\n", longest)
                                : fmt::format("  with no collective beside them the kernels of a rank take {} to {} ms, {} on average\n", shortest, longest, milliseconds(v.mean_busy));
    text += fmt::format("  in collectives ranks wait {} ms for later peers on average, {} at most\n", milliseconds(v.mean_waited), milliseconds(v.largest_waited));
    text += fmt::format("  compute streams stand still for collectives for up to {} ms longer than without\n", milliseconds(v.exposed_waiting));
    if (v.other_algorithms > 0) text += fmt::format("  on the weaker links the library chooses otherwise for {} of the collectives, by its own estimates\n", v.other_algorithms);
    if (v.waited_for.empty()) return text;
    TextTable table({{"most waited for", "", true}, {"came last", "(times)"}, {"peers waited", "(ms)"}, {"kernels", "(ms)"}});
    for (const analysis::VaryingRank& rank : v.waited_for)
        table.add({fmt::format("rank {}", rank.rank), std::to_string(rank.last), milliseconds(rank.caused), milliseconds(rank.busy)});
    return text + table.render(style);
}

std::string reliability_section(const analysis::RunReport& report, Style style) {
    if (!report.reliability || 1 - report.reliability->goodput < kWorthSaying) return {};
    const analysis::ReliabilityReport& r = *report.reliability;
    std::string text = heading("RELIABILITY of a long job", style) + "\n";
    text += fmt::format("  goodput {:.1f} %: a failure every {}, a checkpoint of {} every {} takes {}, a restart {}\n", 100 * r.goodput, duration(r.mtbf),
                        format_bytes(static_cast<double>(r.checkpoint_bytes)), duration(r.interval), duration(r.checkpoint), duration(r.restart));
    text += fmt::format("  lost: checkpoints {:.2f} %, work done twice and restarts {:.2f} %", 100 * r.checkpoint_share, 100 * r.failure_share);
    return text + (r.spare_share > 0 ? fmt::format(", waiting for a node {:.2f} %\n", 100 * r.spare_share) : "\n");
}

}  // namespace zerosim::report
