// The critical path folded for a report: by name and phase, with the longest op and what most of the time had waited for.
#include "analysis/critical_path.hpp"
#include "analysis/step_parts.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <tuple>

namespace zerosim::analysis {
namespace {

struct Group {
    PathPart part;
    std::int64_t length = 0, longest = 0;
    std::map<std::string, std::int64_t> waited_for;   // weighted by the ops' own time
};

std::string phase_of(const schedule::Op& op) { return op.tags.recompute ? "recompute" : std::string(name(op.tags.phase)); }

std::pair<std::string, std::string> group_and_name(const schedule::Schedule& schedule, const schedule::Program& program, const PathStretch& stretch) {
    if (!stretch.op.valid()) return {"host", "late start"};
    const schedule::Op& op = program.op(stretch.op);
    if (stretch.kind == PathStretch::Kind::host)
        return {"host", op.kind == schedule::OpKind::collective ? "issue of collectives" : op.kind == schedule::OpKind::host_wait ? "wake-up" : "issue of kernels"};
    if (op.kind == schedule::OpKind::collective) return {stretch.lacks_member ? "waiting" : "communication", collective_name(schedule, program.collective_of(op))};
    const bool compute = program.streams[op.stream.index()].kind == schedule::StreamKind::compute;
    if (compute) return {"compute", std::string(work_class_name(work_class(program, op)))};
    return name_of_wait(schedule, program, stretch.op, false);
}

std::string waited_for(const schedule::Schedule& schedule, const schedule::Program& program, const PathStretch& stretch,
                       std::span<const std::int64_t> ranks) {
    if (stretch.late_rank_index >= 0) return "rank " + std::to_string(ranks[static_cast<std::size_t>(stretch.late_rank_index)]);
    if (stretch.waited_for_host) return "the host";
    if (!stretch.waited_for.valid()) return {};
    PathStretch before = stretch;
    before.op = stretch.waited_for;
    return group_and_name(schedule, program, before).second;
}

std::string label_of(const schedule::Schedule& schedule, const schedule::Program& program, OpId id) {
    if (!id.valid()) return {};
    const schedule::Op& op = program.op(id);
    std::string text(schedule.names[op.name]);
    if (text.empty()) text = name(op.kind);
    const std::string layer = "block " + std::to_string(op.tags.layer);
    if (op.tags.layer >= 0 && text.find(layer) == std::string::npos) text = layer + ' ' + text;
    return text;
}

}  // namespace

CriticalPath path_report(const schedule::Schedule& schedule, std::span<const PathStretch> path, std::span<const std::int64_t> ranks) {
    CriticalPath report;
    std::map<std::tuple<std::string, std::string, std::string>, Group> groups;
    std::int64_t total = 0;
    for (const PathStretch& stretch : path) {
        const schedule::Program& program = schedule.program_of(ranks[stretch.rank_index]);
        const auto [group_name, name] = group_and_name(schedule, program, stretch);
        const std::string phase = stretch.op.valid() ? phase_of(program.op(stretch.op)) : "";
        Group& group = groups[{group_name, name, phase}];
        const std::int64_t length = stretch.end - stretch.begin;
        total += length;
        group.length += length;
        group.part.count += 1;
        if (length > group.longest) {
            group.longest = length;
            group.part.longest = label_of(schedule, program, stretch.op);
        }
        if (stretch.kind == PathStretch::Kind::op) group.waited_for[waited_for(schedule, program, stretch, ranks)] += length;
        if (std::ranges::find(report.ranks, ranks[stretch.rank_index]) == report.ranks.end()) report.ranks.push_back(ranks[stretch.rank_index]);
    }
    for (auto& [key, group] : groups) {
        std::tie(group.part.group, group.part.name, group.part.phase) = key;
        group.part.seconds = static_cast<double>(group.length) * 1e-9;
        group.part.longest_seconds = static_cast<double>(group.longest) * 1e-9;
        const auto most = std::ranges::max_element(group.waited_for, {}, [](const auto& entry) { return entry.second; });
        if (most != group.waited_for.end()) group.part.waited_for = most->first;
        report.parts.push_back(group.part);
    }
    std::ranges::stable_sort(report.parts, std::greater{}, &PathPart::seconds);
    report.step = static_cast<double>(total) * 1e-9;
    if (!report.ranks.empty()) report.rank = report.ranks.front();
    return report;
}

}  // namespace zerosim::analysis
