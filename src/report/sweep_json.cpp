#include "base/error.hpp"
#include "base/units.hpp"
#include "report/json.hpp"
#include "report/sweep_table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

/// Numbers keep their type.
Json typed(const std::string& text) {
    if (const auto integer = parse_integer(text)) return *integer;
    if (const auto real = parse_real(text)) return *real;
    if (const auto boolean = parse_boolean(text)) return *boolean;
    return text;
}

Json point_json(const analysis::SweepReport& sweep, const analysis::SweepPoint& point) {
    Json values = Json::object();
    for (std::size_t i = 0; i < sweep.axes.size(); ++i) values[sweep.axes[i].key] = typed(point.values[i]);
    if (!point.error.empty()) return {{"values", std::move(values)}, {"error", point.error}};
    Json object = {{"values", std::move(values)},
                   {"ranks", point.ranks},
                   {"micro_batch", point.micro_batch},
                   {"gradient_accumulation", point.gradient_accumulation},
                   {"global_batch", point.global_batch},
                   {"step_seconds", point.time.step},
                   {"compute_seconds", point.time.compute},
                   {"communication_seconds", point.time.communication},
                   {"exposed_communication_seconds", point.time.exposed_communication},
                   {"tokens_per_second", point.tokens_per_second},
                   {"tokens_per_second_per_device", point.tokens_per_second_per_device},
                   {"efficiency", point.efficiency},
                   {"model_flops_utilization", point.model_flops_utilization},
                   {"peak_allocated_bytes", point.peak_allocated},
                   {"peak_reserved_bytes", point.peak_reserved},
                   {"needed_bytes", point.needed},
                   {"device_total_bytes", point.device_total},
                   {"fits", point.fits}};
    if (point.interval) {
        object["step_seconds_low"] = point.interval->low;
        object["step_seconds_high"] = point.interval->high;
    }
    for (const auto& [key, value] : object.items())
        if (value.is_number_float() && !std::isfinite(value.get<double>())) throw BugError("the sweep's field " + key + " is not a finite number");
    return object;
}

std::string quoted(const Json& value) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + '"';
}

}  // namespace

std::string render_sweep_json(const analysis::SweepReport& sweep) {
    Json root = {{"schema_version", kSchemaVersion}, {"scenario", Json::object()}, {"model", {{"parameters", sweep.parameters}}}};
    for (const auto& [key, value] : sweep.scenario) root["scenario"][key] = typed(value);
    root["scaling"] = sweep.scaling;
    root["over"] = Json::array();
    for (const analysis::SweepAxis& axis : sweep.axes) {
        Json values = Json::array();
        for (const std::string& value : axis.values) values.push_back(typed(value));
        root["over"].push_back({{"key", axis.key}, {"values", std::move(values)}});
    }
    root["points"] = Json::array();
    for (const analysis::SweepPoint& point : sweep.points) root["points"].push_back(point_json(sweep, point));
    return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string render_sweep_csv(const analysis::SweepReport& sweep) {
    std::vector<std::string> columns;
    std::vector<Json> points;
    for (const analysis::SweepPoint& point : sweep.points) {
        Json object = point_json(sweep, point), flat = Json::object();
        for (const auto& [key, value] : object["values"].items()) flat[key] = value;
        object.erase("values");
        for (const auto& [key, value] : object.items()) flat[key] = value;
        for (const auto& [key, value] : flat.items())
            if (std::ranges::find(columns, key) == columns.end()) columns.push_back(key);
        points.push_back(std::move(flat));
    }
    std::string text;
    for (const std::string& column : columns) text += fmt::format("{}{}", text.empty() ? "" : ",", column);
    text += '\n';
    for (const Json& point : points) {
        for (std::size_t i = 0; i < columns.size(); ++i) text += fmt::format("{}{}", i == 0 ? "" : ",", point.contains(columns[i]) ? quoted(point[columns[i]]) : "");
        text += '\n';
    }
    return text;
}

}  // namespace zerosim::report
