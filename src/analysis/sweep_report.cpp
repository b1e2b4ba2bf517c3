#include "analysis/sweep_report.hpp"

#include <algorithm>
#include <charconv>
#include <map>

namespace zerosim::analysis {
namespace {

std::int64_t integer_of(const RunReport& report, std::string_view key) {
    const std::string text = report.value(key);
    std::int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

}  // namespace

std::string SweepReport::value(std::string_view key) const {
    const auto found = std::ranges::find(scenario, key, [](const auto& entry) -> std::string_view { return entry.first; });
    return found == scenario.end() ? std::string{} : found->second;
}

SweepPoint sweep_point(std::vector<std::string> values, const RunReport& report) {
    SweepPoint point;
    point.values = std::move(values);
    point.ranks = integer_of(report, "ranks");
    point.micro_batch = integer_of(report, "train.micro-batch");
    point.gradient_accumulation = integer_of(report, "train.gradient-accumulation");
    point.global_batch = integer_of(report, "train.global-batch");
    point.time = report.time;
    point.interval = report.step_interval;
    point.tokens_per_second_per_device = report.tokens_per_second_per_device;
    point.tokens_per_second = report.tokens_per_second_per_device * static_cast<double>(point.ranks);
    point.model_flops_utilization = report.model_flops_utilization;
    const RankReport* largest = report.largest_rank();
    const MemoryReport& memory = largest == nullptr ? report.memory : largest->memory;
    point.peak_allocated = memory.peak_allocated;
    point.peak_reserved = memory.peak_reserved;
    point.needed = memory.peak_reserved + memory.context + memory.communicator;
    point.device_total = memory.device_total;
    point.fits = memory.fits;
    return point;
}

void add_efficiencies(SweepReport& sweep) {
    std::map<std::string, double> first;   // by curve
    for (SweepPoint& point : sweep.points) {
        if (!point.error.empty()) continue;
        const std::string curve = point.values.size() > 1 ? point.values[1] : "";
        const double reference = first.try_emplace(curve, point.tokens_per_second_per_device).first->second;
        point.efficiency = reference > 0 ? point.tokens_per_second_per_device / reference : 0;
    }
}

}  // namespace zerosim::analysis
