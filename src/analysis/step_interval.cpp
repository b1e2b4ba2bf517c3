#include "analysis/step_interval.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace zerosim::analysis {
namespace {

enum class ErrorClass : std::uint8_t { compute, within_node, network, host };

/// Whether ranks of one group of the axis lie on different nodes. Names of collectives end with the axis (step_parts.hpp).
bool spans_nodes(const schedule::Schedule& schedule, const cluster::Cluster& cluster, const std::string& collective) {
    for (const schedule::Axis& axis : schedule.axes)
        if (collective.ends_with(' ' + std::string(schedule.names[axis.name])) && (axis.size - 1) * axis.stride + 1 > cluster.devices_per_node) return true;
    return false;
}

/// Copies are bound by memory and links whose rates are the kernels' or the vendor's: they count as compute.
ErrorClass class_of(const schedule::Schedule& schedule, const cluster::Cluster& cluster, const StepPart& part) {
    if (part.group == "host") return ErrorClass::host;
    if (part.group != "communication" && part.group != "waiting") return ErrorClass::compute;
    return spans_nodes(schedule, cluster, part.name) ? ErrorClass::network : ErrorClass::within_node;
}

/// Drives and the host's optimizer: no measured step of the residuals has them.
bool unmeasured(const StepPart& part) { return part.name.starts_with("NVMe") || (part.group == "host" && part.name == "compute"); }

/// Of the step: what is less moves the bounds less than a step's residual does.
constexpr double kNegligible = 0.05;

}  // namespace

std::optional<StepInterval> step_interval(const schedule::Schedule& schedule, const cluster::Cluster& cluster, std::span<const StepPart> parts,
                           const cluster::Residuals& residuals) {
    std::array<double, 4> seconds{};
    double all = 0, without_residual = 0;
    for (const StepPart& part : parts) {
        seconds[static_cast<std::size_t>(class_of(schedule, cluster, part))] += part.seconds;
        all += part.seconds;
        if (unmeasured(part)) without_residual += part.seconds;
    }
    if (without_residual > kNegligible * all) return std::nullopt;
    const std::array<const cluster::Residual*, 4> by_class{&residuals.compute, &residuals.within_node, &residuals.network, &residuals.host};
    double middle = 0, below = 0, above = 0;
    for (std::size_t i = 0; i < seconds.size(); ++i) {
        const cluster::Residual& residual = *by_class[i];
        middle += seconds[i] * (1 + residual.median);
        below += std::pow(seconds[i] * (residual.median - residual.low), 2);
        above += std::pow(seconds[i] * (residual.high - residual.median), 2);
    }
    // Where the class's median is beside 1, the bounds may lie on one side of the prediction: they are widened to hold it.
    return StepInterval{std::clamp(middle - std::sqrt(below), 0.0, all), std::max(all, middle + std::sqrt(above)), residuals.coverage};
}

}  // namespace zerosim::analysis
