#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"
#include "cli/commands.hpp"
#include "config/cluster_file.hpp"
#include "config/model_file.hpp"
#include "kernel/kernel.hpp"
#include "model/families.hpp"
#include "report/text_table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace zerosim::cli {
namespace {

using nlohmann::ordered_json;

/// A table of text; the header names the columns and the keys of the JSON form.
struct Listing {
    std::string title;
    std::vector<std::string> header;
    std::vector<std::vector<std::string>> rows;
};

Listing list_models(const config::SearchPaths& paths) {
    Listing listing{"models",
                    {"name", "family", "parameters", "layers", "hidden", "heads", "kv-heads", "feed-forward", "vocabulary",
                     "positions", "tied"},
                    {}};
    for (const std::string& name : paths.names("models")) {
        const model::Model m = config::load_model(name, paths).model;
        listing.rows.push_back({name, model::family_name(m), format_count(parameter_count(m)),
                                std::to_string(m.layers), std::to_string(m.hidden), std::to_string(m.heads),
                                std::to_string(m.kv_heads), std::to_string(m.feed_forward), std::to_string(m.vocabulary),
                                std::to_string(m.positions), m.tied ? "yes" : "no"});
    }
    return listing;
}

Listing list_clusters(const config::SearchPaths& paths) {
    Listing listing{"clusters", {"name", "device", "memory", "per-node", "bf16", "memory-rate", "link-rate", "network-rate"}, {}};
    for (const std::string& name : config::cluster_names(paths)) {
        const cluster::Cluster c = config::load_cluster(name, paths);
        listing.rows.push_back({name, c.device.name,
                                c.device.memory_bytes > 0 ? format_bytes(static_cast<double>(c.device.memory_bytes)) : "-",
                                std::to_string(c.devices_per_node), format_flops(c.device.bf16_flops),
                                format_rate(c.device.memory_bytes_per_second), format_rate(c.intra_node.bytes_per_second),
                                c.network.bytes_per_second > 0 ? format_rate(c.network.bytes_per_second) : "-"});
    }
    return listing;
}

Listing list_scenarios(const config::SearchPaths& paths) {
    Listing listing{"scenarios", {"name", "file"}, {}};
    for (const std::string& name : paths.names("scenarios"))
        listing.rows.push_back({name, paths.find("scenarios", name)->string()});
    return listing;
}

Listing list_kernels() {
    Listing listing{"kernels", {"name", "class", "operands"}, {}};
    for (std::size_t i = 0; i < static_cast<std::size_t>(kernel::Kernel::count_); ++i) {
        const auto kernel = static_cast<kernel::Kernel>(i);
        std::string operands;
        for (const kernel::OperandSpec& operand : kernel::operands(kernel)) {
            const char* const arrow = operand.access == kernel::Access::read    ? ""
                                      : operand.access == kernel::Access::write ? ">"
                                                                                : "<>";
            operands += fmt::format("{}{}{}{}", operands.empty() ? "" : " ", arrow, operand.name, operand.optional ? "?" : "");
        }
        listing.rows.push_back({std::string(name(kernel)), std::string(name(kernel_class(kernel))), operands});
    }
    return listing;
}

std::string table_text(const Listing& listing) {
    std::vector<report::TextTable::Column> columns;
    for (const std::string& head : listing.header) columns.push_back({head, "", true});
    report::TextTable table(columns);
    for (const auto& row : listing.rows) table.add(row);
    return "# " + listing.title + "\n" + table.render(report::Style::plain);
}

std::string csv_text(const Listing& listing) {
    const auto line = [](const std::vector<std::string>& cells) {
        std::string text;
        for (const std::string& cell : cells) {
            const bool quoted = cell.find_first_of(",\" ") != std::string::npos;
            text += fmt::format(fmt::runtime(quoted ? "{}\"{}\"" : "{}{}"), text.empty() ? "" : ",", cell);
        }
        return text + "\n";
    };
    std::string text = line(listing.header);
    for (const auto& row : listing.rows) text += line(row);
    return text;
}

ordered_json json_rows(const Listing& listing) {
    ordered_json rows = ordered_json::array();
    for (const auto& row : listing.rows) {
        ordered_json object;
        for (std::size_t i = 0; i < row.size(); ++i) object[listing.header[i]] = row[i];
        rows.push_back(std::move(object));
    }
    return rows;
}

std::vector<Listing> listings(const std::vector<std::string>& positionals, const config::SearchPaths& paths) {
    if (positionals.empty()) return {list_models(paths), list_clusters(paths), list_scenarios(paths)};
    if (positionals.size() > 1)
        throw ConfigError(fmt::format("command line: list takes one word, '{}' is a second", positionals[1]));
    const std::string& what = positionals[0];
    if (what == "models") return {list_models(paths)};
    if (what == "clusters") return {list_clusters(paths)};
    if (what == "scenarios") return {list_scenarios(paths)};
    if (what == "kernels") return {list_kernels()};
    const std::vector<std::string> names{"models", "clusters", "scenarios", "kernels"};
    throw ConfigError(fmt::format("command line: '{}' is not one of {}{}", what, fmt::join(names, ", "), did_you_mean(what, names)));
}

} // namespace

int command_list(const Invocation& invocation) {
    const config::Reading reading = config::read_values(invocation.request());
    print_remarks(reading.warnings, {});
    const config::Format format = config::format_of(reading.values);
    std::string text;
    ordered_json json = ordered_json{{"schema_version", 1}};
    for (const Listing& listing : listings(reading.positionals, invocation.paths)) {
        if (format == config::Format::json) json[listing.title] = json_rows(listing);
        if (format == config::Format::json) continue;
        if (!text.empty()) text += "\n";
        text += format == config::Format::csv ? csv_text(listing) : table_text(listing);
    }
    write_result(reading.values.text("output"), format == config::Format::json ? json.dump(2) + "\n" : text);
    return 0;
}

} // namespace zerosim::cli
