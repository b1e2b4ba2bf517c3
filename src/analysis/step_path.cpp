#include "analysis/step_path.hpp"

#include "analysis/median.hpp"
#include "trace/matching.hpp"

#include <algorithm>

namespace zerosim::analysis {

std::vector<PathStretch> slowest_step_path(const schedule::Schedule& schedule, const trace::Trace& trace) {
    const auto matched = trace::match_collectives(schedule, trace);
    std::vector<std::vector<StepTimes>> ranks;
    std::size_t slowest = 0;
    double longest = -1;
    for (std::size_t index = 0; index < trace.ranks.size(); ++index) {
        ranks.push_back(timed_steps(schedule, trace, matched, index));
        std::ranges::stable_sort(ranks.back(), {}, &StepTimes::length);
        std::vector<double> lengths;
        for (const StepTimes& step : ranks.back()) lengths.push_back(static_cast<double>(step.length()));
        if (const double middle = median(std::move(lengths)); !ranks.back().empty() && middle > longest) {
            longest = middle;
            slowest = index;
        }
    }
    if (longest < 0) return {};
    const std::int32_t number = ranks[slowest][(ranks[slowest].size() - 1) / 2].step;
    std::vector<const StepTimes*> steps;
    for (const auto& rank : ranks) {
        const auto same = std::ranges::find(rank, number, &StepTimes::step);
        steps.push_back(same == rank.end() ? nullptr : &*same);
    }
    return critical_path(steps, slowest);
}

}  // namespace zerosim::analysis
