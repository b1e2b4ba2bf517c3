#include "report/json.hpp"

#include "base/error.hpp"
#include "base/units.hpp"
#include "report/device_json.hpp"
#include "report/explain_json.hpp"
#include "report/inference_json.hpp"
#include "report/job_json.hpp"
#include "report/report_fields.hpp"
#include "report/step_json.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

/// nlohmann would write null for what is not a number.
void check_finite(const Json& value, const std::string& path) {
    if (value.is_number_float() && !std::isfinite(value.get<double>())) throw BugError("the report's field " + path + " is not a finite number");
    if (!value.is_structured()) return;
    for (const auto& [key, child] : value.items()) check_finite(child, path + "/" + key);
}

/// Numbers and booleans of the scenario keep their type.
Json typed(const std::string& text) {
    if (const auto integer = parse_integer(text)) return *integer;
    if (const auto real = parse_real(text)) return *real;
    if (const auto boolean = parse_boolean(text)) return *boolean;
    return text;
}

/// An object of fields that one of report_fields.hpp names.
template <class Fields>
Json object_of(Fields fields) {
    Json object = Json::object();
    fields(Writer{object});
    return object;
}

Json allocator_json(const analysis::AllocatorReport& allocator, std::int64_t reserved, std::int64_t allocated) {
    Json json = object_of([&](Writer writer) { allocator_fields(writer, allocator); });
    json["fragmentation_bytes"] = reserved - allocated;
    if (const auto& shortage = allocator.out_of_memory) json["out_of_memory"] = object_of([&](Writer writer) { shortage_fields(writer, *shortage); });
    return json;
}

Json memory_json(const analysis::MemoryReport& memory) {
    Json json = object_of([&](Writer writer) { memory_fields(writer, memory); });
    if (memory.driver) json["driver"] = driver_json(*memory.driver);
    if (memory.allocator) json["allocator"] = allocator_json(*memory.allocator, memory.peak_reserved, memory.peak_allocated);
    return json;
}

Json time_json(const analysis::TimeReport& time) {
    return object_of([&](Writer writer) { time_fields(writer, time); });
}

Json communication_json(const analysis::RunReport& report) {
    Json rows = Json::array();
    for (const analysis::CollectiveReport& row : report.collectives) {
        rows.push_back(object_of([&](Writer writer) { collective_fields(writer, row); }));
        rows.back()["hidden_seconds"] = std::max(0.0, row.seconds - row.exposed);
    }
    return {{"message_bytes_per_rank", report.message_bytes}, {"sent_bytes_per_rank", report.sent_bytes}, {"collectives", std::move(rows)}};
}

Json prediction_json(const analysis::PredictionReport& prediction) {
    Json json = object_of([&](Writer writer) { prediction_fields(writer, prediction); });
    json["gap"] = Json::array();
    for (const analysis::GapPart& part : prediction.gap) json["gap"].push_back(object_of([&](Writer writer) { gap_fields(writer, part); }));
    return json;
}

}  // namespace

std::string render_json(const analysis::RunReport& report) {
    Json root;
    root["schema_version"] = kSchemaVersion;
    root["scenario"] = Json::object();
    for (const auto& [key, value] : report.scenario) root["scenario"][key] = typed(value);
    root["model"] = {{"parameters", report.parameters}, {"trainable_parameters", report.trainable_parameters}};
    root["memory"] = memory_json(report.memory);
    root["time"] = time_json(report.time);
    root["communication"] = communication_json(report);
    root["throughput"] = {{"tokens_per_second_per_device", report.tokens_per_second_per_device},
                          {"model_flops_utilization", report.model_flops_utilization}};
    add_step_json(root, report);
    if (report.training) root["training"] = object_of([&](Writer writer) { training_fields(writer, *report.training); });
    root["ranks"] = Json::array();
    for (const analysis::RankReport& rank : report.ranks)
        root["ranks"].push_back(
            {{"rank", rank.rank}, {"count", rank.count}, {"memory", memory_json(rank.memory)}, {"time", time_json(rank.time)}});
    if (report.formula) root["formula"] = object_of([&](Writer writer) { formula_fields(writer, *report.formula); });
    if (report.prediction) root["prediction"] = prediction_json(*report.prediction);
    add_transport_json(root, report);
    add_links_json(root, report);
    add_job_json(root, report);
    add_inference_json(root, report);
    if (report.coarse) root["model"]["coarse"] = true;
    write_explanations(report, root);
    if (!report.notes.empty()) root["notes"] = report.notes;
    if (!report.unused.empty()) root["unused"] = report.unused;
    check_finite(root, "");
    return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace zerosim::report
