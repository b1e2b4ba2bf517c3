#include "analysis/links_report.hpp"

#include "analysis/run_report.hpp"
#include "base/units.hpp"

#include <fmt/core.h>

#include <cmath>

namespace zerosim::analysis {

std::string links_line(const LinksReport& links, std::string_view cluster) {
    constexpr double kNear = 1.15;   // more than medians of one state of the links differ by (cli/calibrate: steady_links)
    if (!(links.before > 0 && links.after > 0 && links.calibrated > 0)) return {};
    const double before = std::log(links.before / links.calibrated), after = std::log(links.after / links.calibrated);
    const double farthest = std::abs(before) > std::abs(after) ? before : after;
    if (std::abs(farthest) <= std::log(kNear)) return {};
    return fmt::format("links: a reference all-gather of {} took {} before the steps and {} after them, {} when '{}' was calibrated: "
                       "collectives are predicted up to {:.1f} times too {}",
                       format_bytes(static_cast<double>(links.reference_bytes)), format_seconds(links.before), format_seconds(links.after),
                       format_seconds(links.calibrated), cluster, std::exp(std::abs(farthest)), farthest > 0 ? "short" : "long");
}

std::string links_line(const RunReport& report) { return report.links ? links_line(*report.links, report.value("cluster")) : std::string(); }

}  // namespace zerosim::analysis
