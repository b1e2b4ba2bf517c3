#include "analysis/step_path.hpp"

#include "analysis/median.hpp"
#include "trace/matching.hpp"

#include <algorithm>

namespace zerosim::analysis {

std::vector<PathStretch> slowest_step_path(const schedule::Schedule& schedule, const trace::Trace& trace) {
    const auto matched = trace::match_collectives(schedule, trace);
    std::size_t slowest = 0;
    std::int32_t number = 0;
    double longest = -1;
    for (std::size_t index = 0; index < trace.ranks.size(); ++index) {
        std::vector<StepTimes> steps = timed_steps(schedule, trace, matched, index);
        std::ranges::stable_sort(steps, {}, &StepTimes::length);
        std::vector<double> lengths;
        for (const StepTimes& step : steps) lengths.push_back(static_cast<double>(step.length()));
        if (const double middle = median(std::move(lengths)); !steps.empty() && middle > longest) {
            longest = middle;
            slowest = index;
            number = steps[(steps.size() - 1) / 2].step;
        }
    }
    if (longest < 0) return {};
    return critical_path(steps_of_ranks(schedule, trace, matched, number), slowest);
}

}  // namespace zerosim::analysis
