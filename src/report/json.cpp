#include "report/json.hpp"

#include "base/error.hpp"
#include "base/units.hpp"
#include "report/step_json.hpp"
#include "report/device_json.hpp"
#include "report/explain_json.hpp"
#include "report/inference_json.hpp"
#include "report/job_json.hpp"

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

Json by_role(const schedule::RoleBytes& bytes) {
    Json object = Json::object();
    for (std::size_t role = 0; role < bytes.size(); ++role) object[std::string(name(static_cast<schedule::Role>(role)))] = bytes[role];
    return object;
}

Json allocator_json(const analysis::AllocatorReport& allocator, std::int64_t reserved, std::int64_t allocated) {
    Json json{{"peak_active_bytes", allocator.peak_active},
              {"requested_after_step_bytes", allocator.requested_after_step},
              {"inactive_split_after_step_bytes", allocator.inactive_split},
              {"peak_inactive_split_bytes", allocator.peak_inactive_split},
              {"fragmentation_bytes", reserved - allocated},
              {"alloc_retries", allocator.retries}};
    if (const auto& shortage = allocator.out_of_memory)
        json["out_of_memory"] = {{"requested_bytes", shortage->requested},
                                 {"allocated_bytes", shortage->allocated},
                                 {"reserved_bytes", shortage->reserved},
                                 {"capacity_bytes", shortage->capacity},
                                 {"largest_free_block_bytes", shortage->largest_free}};
    return json;
}

Json memory_json(const analysis::MemoryReport& memory) {
    Json json{{"peak_allocated_bytes", memory.peak_allocated},
            {"peak_reserved_bytes", memory.peak_reserved},
            {"init_peak_bytes", memory.init_peak},
            {"first_step_peak_bytes", memory.first_step_peak},
            {"after_init_bytes", memory.after_init},
            {"after_step_bytes", memory.after_step},
            {"phase_peaks_bytes",
             {{"forward", memory.forward_peak}, {"backward", memory.backward_peak}, {"optimizer", memory.optimizer_peak}}},
            {"at_peak_by_role_bytes", by_role(memory.at_peak_by_role)},
            {"after_step_by_role_bytes", by_role(memory.after_step_by_role)},
            {"device_total_bytes", memory.device_total},
            {"context_bytes", memory.context},
            {"communicator_bytes", memory.communicator},
            {"fits", memory.fits},
            {"host", {{"peak_bytes", memory.host_peak}, {"pinned_bytes", memory.host_pinned}}}};
    if (memory.driver) json["driver"] = driver_json(*memory.driver);
    if (memory.allocator) json["allocator"] = allocator_json(*memory.allocator, memory.peak_reserved, memory.peak_allocated);
    return json;
}

Json time_json(const analysis::TimeReport& time) {
    return {{"step_seconds", time.step},
            {"forward_seconds", time.forward},
            {"backward_seconds", time.backward},
            {"optimizer_seconds", time.optimizer},
            {"compute_seconds", time.compute},
            {"communication_seconds", time.communication},
            {"exposed_communication_seconds", time.exposed_communication}};
}

Json communication_json(const analysis::RunReport& report) {
    Json rows = Json::array();
    for (const analysis::CollectiveReport& row : report.collectives)
        rows.push_back({{"kind", row.kind},
                        {"axis", row.axis},
                        {"phase", row.phase},
                        {"ranks", row.ranks},
                        {"count", row.count},
                        {"message_bytes", row.message_bytes},
                        {"sent_bytes", row.sent_bytes},
                        {"seconds", row.seconds},
                        {"algbw_bytes_per_second", row.algbw},
                        {"busbw_bytes_per_second", row.busbw},
                        {"exposed_seconds", row.exposed},
                        {"hidden_seconds", std::max(0.0, row.seconds - row.exposed)},
                        {"waiting_seconds", row.waiting}});
    return {{"message_bytes_per_rank", report.message_bytes}, {"sent_bytes_per_rank", report.sent_bytes}, {"collectives", std::move(rows)}};
}

Json training_json(const analysis::TrainingReport& training) {
    return {{"losses", training.losses},
            {"gradient_norms", training.gradient_norms},
            {"final_parameter_norms", training.final_parameter_norms},
            {"final_parameter_hashes", training.final_parameter_hashes}};
}

Json formula_json(const analysis::ZeroFormula& formula) {
    return {{"stage", formula.stage},
            {"parameters", formula.parameters},
            {"ranks", formula.ranks},
            {"micro_batches", formula.micro_batches},
            {"state_bytes", formula.state_bytes},
            {"state_formula", formula.state_text},
            {"sent_elements", formula.sent_elements},
            {"sent_bytes", formula.sent_bytes},
            {"sent_formula", formula.sent_text}};
}

Json prediction_json(const analysis::PredictionReport& prediction) {
    Json parts = Json::array();
    for (const analysis::GapPart& part : prediction.gap)
        parts.push_back({{"cause", part.cause}, {"predicted_seconds", part.predicted}, {"measured_seconds", part.measured}});
    return {{"peak_allocated_bytes", prediction.peak_allocated},
            {"after_step_bytes", prediction.after_step},
            {"largest_difference_bytes", prediction.largest_difference},
            {"compared_ops", prediction.compared_ops},
            {"step_seconds", prediction.step},
            {"measured_step_seconds", prediction.measured_step},
            {"gap", std::move(parts)}};
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
    if (report.training) root["training"] = training_json(*report.training);
    root["ranks"] = Json::array();
    for (const analysis::RankReport& rank : report.ranks)
        root["ranks"].push_back(
            {{"rank", rank.rank}, {"count", rank.count}, {"memory", memory_json(rank.memory)}, {"time", time_json(rank.time)}});
    if (report.formula) root["formula"] = formula_json(*report.formula);
    if (report.prediction) root["prediction"] = prediction_json(*report.prediction);
    add_transport_json(root, report);
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
