// The sections of a report about its step: where the time went, the critical path, what a faster resource would bring.
#include "report/cells.hpp"
#include "report/table.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace zerosim::report {
namespace {

constexpr double kSmallShare = 0.0005;   // of the step: smaller parts share a row

/// Seconds of the step by what they were spent on.
struct Shares {
    double compute = 0, communication = 0, transfer = 0, host = 0;
};

/// Waiting for peers is communication: a collective lacks a member.
Shares shares_of(const auto& parts) {
    Shares shares;
    for (const auto& part : parts) {
        if (part.group == "copies" || (part.group == "compute" && part.name.ends_with("transfers"))) shares.transfer += part.seconds;
        else if (part.group == "compute") shares.compute += part.seconds;
        else if (part.group == "communication" || part.group == "waiting") shares.communication += part.seconds;
        else shares.host += part.seconds;
    }
    return shares;
}

/// "communication-bound (97 % of the path below): ", by what a faster part would shorten most. Hidden communication may be what the step waits for,
/// so the compute stream's own shares do not tell.
std::string bound_of(const analysis::RunReport& report, const Shares& stream) {
    const bool path = report.critical_path && report.critical_path->step > 0;
    const Shares shares = path ? shares_of(report.critical_path->parts) : stream;
    const std::array<std::pair<double, std::string_view>, 4> named{
        {{shares.compute, "compute"}, {shares.communication, "communication"}, {shares.host, "host"}, {shares.transfer, "transfer"}}};
    const auto& [seconds, name] = *std::ranges::max_element(named, {}, [](const auto& share) { return share.first; });
    return path ? fmt::format("{}-bound ({:.0f} % of the path below): ", name, 100 * seconds / report.critical_path->step) : fmt::format("{}-bound: ", name);
}

std::string verdict(const analysis::RunReport& report) {
    const double step = report.time.step;
    if (step <= 0) return {};
    Shares stream = {report.time.compute, report.time.exposed_communication, 0, 0};
    if (!report.step_parts.empty()) stream = shares_of(report.step_parts);   // of the same step as the rows above
    stream.host = std::max(0.0, step - stream.compute - stream.communication - stream.transfer);
    const std::string transfers = stream.transfer > kSmallShare * step ? fmt::format(", transfers {:.1f} %", 100 * stream.transfer / step) : "";
    return fmt::format("  {}kernels fill {:.1f} % of the step{}, exposed communication {:.1f} %, host {:.1f} %\n", bound_of(report, stream),
                       100 * stream.compute / step, transfers, 100 * stream.communication / step, 100 * stream.host / step);
}

const analysis::RooflineRow* roof_of(const analysis::RunReport& report, const analysis::StepPart& part) {
    if (part.group != "compute") return nullptr;
    const auto row = std::ranges::find(report.roofline, part.name, &analysis::RooflineRow::name);
    return row == report.roofline.end() ? nullptr : &*row;
}

std::string roof_note(const analysis::RooflineRow& row) {
    std::string note = row.bound + "-bound";
    if (row.intensity() >= 0.05) note += fmt::format(", {:.{}f} FLOP/byte", row.intensity(), row.intensity() < 10 ? 1 : 0);
    return note;
}

struct Group {
    std::string_view key, title, note;
};
constexpr std::array<Group, 5> kGroups{{{"compute", "compute", "compute stream busy"},
                                        {"communication", "exposed communication", "compute stream idle, waiting for data to move"},
                                        {"waiting", "waiting for peers", "compute stream idle, a collective lacked a member"},
                                        {"copies", "exposed copies", "compute stream idle, waiting for a copy"},
                                        {"host", "host", "compute stream idle, nothing to wait for but the host's issue"}}};

/// One group and its parts; parts that are small beside the step share a row.
void add_group(TextTable& table, const analysis::RunReport& report, const Group& group) {
    const double step = report.time.step;
    double sum = 0, small = 0, roof = 0;
    std::vector<const analysis::StepPart*> shown;
    for (const analysis::StepPart& part : report.step_parts) {
        if (part.group != group.key) continue;
        sum += part.seconds;
        if (const auto* row = roof_of(report, part)) roof += row->roof_seconds;
        if (part.seconds < kSmallShare * step) small += part.seconds;
        else shown.push_back(&part);
    }
    if (sum < kSmallShare * step) return;
    table.add({std::string(group.title), milliseconds(sum), percent(sum, step), roof > 0 ? percent(roof, sum) : "", std::string(group.note)});
    if (group.key == "host" && shown.size() < 2) return;
    for (const analysis::StepPart* part : shown) {
        const auto* row = roof_of(report, *part);
        table.add({"  " + words(part->name), milliseconds(part->seconds), percent(part->seconds, step), row ? percent(row->roof_fraction(), 1.0) : "",
                   row ? roof_note(*row) : ""});
    }
    if (small > 0 && !shown.empty()) table.add({"  others", milliseconds(small), percent(small, step), "", ""});
}

/// Without a trace there are no parts; sums that older results hold are shown.
void add_sums(TextTable& table, const analysis::TimeReport& time) {
    table.add({"compute", milliseconds(time.compute), percent(time.compute, time.step), "", "compute stream busy"});
    table.add({"exposed communication", milliseconds(time.exposed_communication), percent(time.exposed_communication, time.step), "",
               "compute stream idle, waiting for a collective"});
}

std::string utilization(const analysis::RunReport& report) {
    std::string text = fmt::format("  {:.1f} tokens/s per device", report.tokens_per_second_per_device);
    if (report.model_flops_utilization > 0) text += fmt::format(", model FLOPs utilization {:.1f} %", 100 * report.model_flops_utilization);
    if (report.utilization_of_16_bit_peak > 0)
        text += fmt::format(" of the {} peak ({:.1f} % of the 16-bit one)", report.peak_dtype, 100 * report.utilization_of_16_bit_peak);
    if (report.hardware_flops_utilization > 0) text += fmt::format(", hardware FLOPs {:.1f} % (with recomputation)", 100 * report.hardware_flops_utilization);
    return text + "\n";
}

std::string interval_line(const analysis::RunReport& report) {
    if (!report.step_interval) return {};
    const analysis::StepInterval& interval = *report.step_interval;
    return fmt::format("  expected between {} and {} ms ({:.0f} % of measured steps lie so)\n", milliseconds(interval.low),
                       milliseconds(interval.high), 100 * interval.coverage);
}

}  // namespace

std::string time_section(const analysis::RunReport& report, Style style) {
    const analysis::TimeReport& time = report.time;
    if (report.step_parts.empty() && time.compute <= 0 && time.communication <= 0)
        return heading("TIME", style) + fmt::format("\n  step {} ms; without a trace nothing says where it went\n", milliseconds(time.step)) + utilization(report);
    TextTable table({{"", "", true}, {"time", "(ms)"}, {"of step", "(%)"}, {"of roof", "(%)"}, {"", "", true}});
    const auto add = [&](std::string_view name, double seconds, std::string_view note) {
        table.add({std::string(name), milliseconds(seconds), percent(seconds, time.step), "", std::string(note)});
    };
    add("step", time.step, "median over the steps after the first, slowest rank");
    add("forward", time.forward, "");
    add("backward", time.backward, "");
    add("optimizer", time.optimizer, "clipping and the step");
    table.rule();
    if (report.step_parts.empty()) add_sums(table, time);
    for (const Group& group : kGroups) add_group(table, report, group);
    table.rule();
    const double hidden = time.communication - time.exposed_communication;
    add("communication", time.communication,
        time.communication > 0 ? fmt::format("some collective running; {:.0f} % of it hidden", 100 * std::max(0.0, hidden) / time.communication) : "some collective running");
    return heading("TIME", style) + "\n" + table.render(style) + interval_line(report) + verdict(report) + utilization(report);
}

std::string path_section(const analysis::RunReport& report, Style style) {
    if (!report.critical_path || report.critical_path->parts.empty()) return {};
    constexpr std::size_t kRows = 7;
    constexpr double kShown = 0.01;   // of the path
    const analysis::CriticalPath& path = *report.critical_path;
    TextTable table({{"what", "", true}, {"phase", "", true}, {"time", "(ms)"}, {"of step", "(%)"}, {"times", ""}, {"longest", "", true}, {"had waited for", "", true}});
    double rest = 0;
    std::size_t rows = 0;
    for (const analysis::PathPart& part : path.parts) {
        if (rows >= kRows || (rows > 0 && part.seconds < kShown * path.step)) {
            rest += part.seconds;
            continue;
        }
        ++rows;
        const bool compute = part.group == "compute";   // kernels wait for kernels: no news
        table.add({words(part.name), part.phase, milliseconds(part.seconds), percent(part.seconds, path.step), std::to_string(part.count), part.longest,
                   compute && part.waited_for != "the host" ? "" : words(part.waited_for)});
    }
    if (rest > 0) table.add({"others", "", milliseconds(rest), percent(rest, path.step), "", "", ""});
    std::string text = heading("CRITICAL PATH: the chain of ops that ends with the step and never waits", style) + "\n" + table.render(style);
    if (path.ranks.size() > 1) {
        std::string ranks;
        for (const std::int64_t rank : path.ranks) ranks += (ranks.empty() ? "" : ", ") + std::to_string(rank);
        text += faint("  through ranks " + ranks, style) + "\n";
    }
    return text;
}

std::string sensitivity_section(const analysis::RunReport& report, Style style) {
    if (report.sensitivity.empty()) return {};
    TextTable table({{"improved", "", true}, {"step", "(ms)"}, {"change", "(%)"}, {"", "", true}});
    constexpr double kNone = 0.00005;
    std::string none;
    for (const analysis::SensitivityRow& row : report.sensitivity) {
        if (std::abs(row.change) >= kNone) table.add({row.resource, milliseconds(row.step), fmt::format("{:+.2f}", 100 * row.change),
                                                    row.other_algorithms > 0 ? fmt::format("the library then chooses otherwise for {} of the collectives", row.other_algorithms) : ""});
        else none += fmt::format("{}{}", none.empty() ? "" : ", ", row.resource);
    }
    if (!none.empty()) none = fmt::format("  no effect: {}\n", none);
    return heading(fmt::format("SENSITIVITY: the step with {:.0f} % more of one thing, all else the same", 100 * report.sensitivity.front().improvement), style) + "\n" +
           table.render(style) + none;
}

}  // namespace zerosim::report
