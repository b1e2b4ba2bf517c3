#include "analysis/variation.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace zerosim::analysis {

VariationReport variation_report(const trace::Trace& trace, const RunReport& varied, const TimeReport& undisturbed) {
    check(!trace.statistics.empty(), "a report on variation needs a clock for every rank");
    const auto seconds = [](std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; };
    const std::vector<trace::RankStatistics>& ranks = trace.statistics;
    const auto count = static_cast<double>(ranks.size());
    VariationReport report;
    report.step = varied.time.step;
    report.undisturbed_step = undisturbed.step;
    for (const RankReport& rank : varied.ranks)
        report.exposed_waiting = std::max(report.exposed_waiting, rank.time.exposed_communication - undisturbed.exposed_communication);
    report.ranks = static_cast<std::int64_t>(ranks.size());
    report.shortest_busy = seconds(ranks.front().busy);
    for (const trace::RankStatistics& rank : ranks) {
        report.mean_waited += seconds(rank.waited) / count;
        report.mean_busy += seconds(rank.busy) / count;
        report.largest_waited = std::max(report.largest_waited, seconds(rank.waited));
        report.shortest_busy = std::min(report.shortest_busy, seconds(rank.busy));
        report.longest_busy = std::max(report.longest_busy, seconds(rank.busy));
    }
    std::vector<trace::RankStatistics> order = ranks;
    const std::size_t listed = std::min(kMostWaitedFor, order.size());
    std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(listed), [](const auto& a, const auto& b) {
        return a.caused != b.caused ? a.caused > b.caused : a.rank < b.rank;
    });
    for (std::size_t i = 0; i < listed && order[i].caused > 0; ++i)
        report.waited_for.push_back({order[i].rank, seconds(order[i].busy), seconds(order[i].waited), seconds(order[i].caused), order[i].last});
    return report;
}

}  // namespace zerosim::analysis
