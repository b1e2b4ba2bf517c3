#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/commands.hpp"
#include "cli/machine.hpp"
#include "cli/partition.hpp"
#include "cli/run/run_setup.hpp"
#include "model/model.hpp"
#include "report/text_table.hpp"
#include "schedule/dump.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace zerosim::cli {
namespace {

using nlohmann::ordered_json;

std::string model_line(const model::Model& m) {
    std::string text = fmt::format(
        "model {}: {} parameters, {} layers, hidden {}, {} heads ({} key/value, {} wide), feed-forward {}, vocabulary {}", m.name,
        format_count(parameter_count(m)), m.layers, m.hidden, m.heads, m.kv_heads, m.head_dim, m.feed_forward, m.vocabulary);
    if (m.vocabulary != m.real_vocabulary) text += fmt::format(" ({} of them padding)", m.vocabulary - m.real_vocabulary);
    return text + (m.tied ? ", tied\n" : "\n");
}

std::string values_table(const config::Resolved& resolved) {
    report::TextTable table({{"key", "", true}, {"value", "", true}, {"origin", "", true}});
    for (const config::Value& value : resolved.values)
        table.add({value.key, value.value.empty() ? "-" : value.value, value.origin});
    return table.render(report::Style::plain) + "\n" + model_line(resolved.scenario.model);
}

ordered_json values_json(const config::Resolved& resolved) {
    ordered_json json{{"schema_version", 1}};
    for (const config::Value& value : resolved.values)
        json["values"][value.key] = {{"value", value.value}, {"origin", value.origin}};
    json["model"] = {{"name", resolved.scenario.model.name}, {"parameters", parameter_count(resolved.scenario.model)}};
    json["notes"] = resolved.notes;
    return json;
}

std::string values_csv(const config::Resolved& resolved) {
    std::string text = "key,value,origin\n";
    for (const config::Value& value : resolved.values)
        text += fmt::format("{},\"{}\",\"{}\"\n", value.key, value.value, value.origin);
    return text;
}

std::string schedule_text(const schedule::Schedule& schedule, config::Format format) {
    if (format == config::Format::csv) throw ConfigError("command line: format 'csv' is not one of table, json for --schedule");
    std::string text;
    ordered_json programs = ordered_json::array();
    for (const schedule::RankRole& role : schedule.roles) {
        if (format == config::Format::json) {
            programs.push_back({{"first_rank", role.first_rank},
                                {"ranks", role.count},
                                {"program", ordered_json::parse(dump_json(schedule, role.program))}});
        } else {
            text += fmt::format("# ranks {} to {}\n{}", role.first_rank, role.first_rank + role.count - 1,
                                dump_text(schedule, role.program));
        }
    }
    return format == config::Format::json ? ordered_json{{"schema_version", 1}, {"programs", programs}}.dump(2) + "\n" : text;
}

ordered_json partition_json(const std::vector<OwnedRange>& ranges) {
    ordered_json rows = ordered_json::array();
    for (const OwnedRange& r : ranges) {
        rows.push_back({{"rank", r.rank},
                        {"unit", r.unit},
                        {"parameter", r.parameter},
                        {"begin", r.begin},
                        {"end", r.end},
                        {"elements", r.elements}});
    }
    return {{"schema_version", 1}, {"partition", rows}};
}

std::string partition_text(const schedule::Schedule& schedule, config::Format format) {
    const std::vector<OwnedRange> ranges = owned_ranges(schedule);
    if (format == config::Format::json) return partition_json(ranges).dump(2) + "\n";
    if (format == config::Format::csv) {
        std::string text = "rank,unit,parameter,begin,end,elements\n";
        for (const OwnedRange& r : ranges)
            text += fmt::format("{},{},{},{},{},{}\n", r.rank, r.unit, r.parameter, r.begin, r.end, r.elements);
        return text;
    }
    report::TextTable table({{"rank", "", false},
                             {"unit", "", true},
                             {"parameter", "", true},
                             {"begin", "elements", false},
                             {"end", "elements", false},
                             {"share", "", false}});
    for (const OwnedRange& r : ranges) {
        const double share = static_cast<double>(r.end - r.begin) / static_cast<double>(r.elements);
        table.add({std::to_string(r.rank), r.unit, r.parameter, std::to_string(r.begin), std::to_string(r.end),
                   fmt::format("{:.1f} %", 100 * share)});
    }
    return "# elements [begin, end) of each parameter that a rank updates\n" + table.render(report::Style::plain);
}

} // namespace

int command_show(const Invocation& invocation) {
    const config::Resolved resolved =
        config::resolve(invocation.request(), invocation.paths, this_machine(invocation.environment));
    print_remarks(resolved.warnings, resolved.notes);
    const config::RunOptions& run = resolved.run;
    if (run.show_schedule && run.show_partition)
        throw ConfigError("command line: --schedule and --partition are two outputs; ask for one");
    if (!run.show_schedule && !run.show_partition) {
        write_result(run.output, run.format == config::Format::json  ? values_json(resolved).dump(2) + "\n"
                                 : run.format == config::Format::csv ? values_csv(resolved)
                                                                     : values_table(resolved));
        return 0;
    }
    const schedule::Schedule schedule = strategy::plan(resolved.scenario);
    write_result(run.output, run.show_schedule ? schedule_text(schedule, run.format) : partition_text(schedule, run.format));
    // Printed whether it is valid or not, but an invalid one is a bug and ends as such.
    check_schedule(schedule);
    return 0;
}

} // namespace zerosim::cli
