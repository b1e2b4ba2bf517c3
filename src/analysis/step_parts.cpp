#include "analysis/step_parts.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <type_traits>

namespace zerosim::analysis {
namespace {

constexpr std::string_view kScalarPrefix = "scalar-";

template <class Parts, class Value>
void add_part(Parts& parts, const std::string& group, const std::string& name, Value value) {
    for (auto& part : parts)
        if (part.group == group && part.name == name) {
            if constexpr (std::is_same_v<Value, double>) part.seconds += value;
            else part.length += value;
            return;
        }
    parts.push_back({group, name, value});
}

/// Groups in the order of a report.
int order_of(const std::string& group) {
    static constexpr std::array<std::string_view, 5> kGroups{"compute", "communication", "waiting", "copies", "host"};
    return static_cast<int>(std::ranges::find(kGroups, group) - kGroups.begin());
}

/// The one or two steps in the middle by length.
std::vector<std::size_t> middle_steps(std::span<const StepTimes> steps) {
    std::vector<std::size_t> order(steps.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return steps[i].length(); });
    const std::size_t half = order.size() / 2;
    if (order.empty()) return {};
    if (order.size() % 2 == 1) return {order[half]};
    return {order[half - 1], order[half]};
}

}  // namespace

std::string collective_name(const schedule::Schedule& schedule, const schedule::Collective& collective) {
    std::string text(collective.scalar ? kScalarPrefix : std::string_view{});
    text += name(collective.kind);
    return text + ' ' + std::string(schedule.names[schedule.axis(collective.axis).name]);
}

std::string copy_name(const schedule::Program& program, const schedule::Op& op) {
    const std::size_t kind = work_class(program, op);
    if (kind == kDriveClass) return "NVMe copies";
    if (kind == kTransferClass) return "PCIe copies";
    if (kind == kCastClass || kind == kCopyClass || kind == kFillClass) return "device copies";
    return std::string(kind < kWorkClasses ? work_class_name(kind) : schedule::name(op.kind));
}

std::pair<std::string, std::string> name_of_wait(const schedule::Schedule& schedule, const schedule::Program& program, OpId cause,
                                                 bool late_peers) {
    if (!cause.valid()) return {"host", "issue"};
    const schedule::Op& op = program.op(cause);
    if (op.kind == schedule::OpKind::collective)
        return {late_peers ? "waiting" : "communication", collective_name(schedule, program.collective_of(op))};
    if (op.kind == schedule::OpKind::host_compute) return {"host", "compute"};
    return {"copies", copy_name(program, op)};
}

std::vector<NamedPart> named_parts(const schedule::Schedule& schedule, const StepTimes& step, const Breakdown& breakdown) {
    std::vector<NamedPart> parts;
    for (std::size_t kind = 0; kind < kWorkClasses; ++kind)
        if (breakdown.busy[kind] > 0) parts.push_back({"compute", std::string(work_class_name(kind)), breakdown.busy[kind]});
    for (const Wait& wait : breakdown.waits) {
        const auto [group, name] = name_of_wait(schedule, *step.program, wait.cause, wait.late_peers);
        add_part(parts, group, name, wait.length);
    }
    return parts;
}

std::vector<StepPart> step_parts(const schedule::Schedule& schedule, std::span<const StepTimes> steps, std::span<const Breakdown> breakdowns) {
    std::vector<StepPart> parts;
    const std::vector<std::size_t> middle = middle_steps(steps);
    const double share = middle.empty() ? 0.0 : 1e-9 / static_cast<double>(middle.size());
    for (const std::size_t i : middle)
        for (const NamedPart& part : named_parts(schedule, steps[i], breakdowns[i]))
            add_part(parts, part.group, part.name, static_cast<double>(part.length) * share);
    std::ranges::stable_sort(parts, [](const StepPart& a, const StepPart& b) {
        const int left = order_of(a.group), right = order_of(b.group);
        return left != right ? left < right : a.seconds > b.seconds;
    });
    return parts;
}

}  // namespace zerosim::analysis
