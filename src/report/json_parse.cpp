#include "base/error.hpp"
#include "report/device_json.hpp"
#include "report/explain_json.hpp"
#include "report/inference_json.hpp"
#include "report/job_json.hpp"
#include "report/json.hpp"
#include "report/step_json.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

schedule::RoleBytes parse_roles(const Json& object) {
    schedule::RoleBytes bytes{};
    for (std::size_t role = 0; role < bytes.size(); ++role)
        bytes[role] = object.value(std::string(name(static_cast<schedule::Role>(role))), std::int64_t{0});
    return bytes;
}

analysis::MemoryReport parse_memory(const Json& object) {
    analysis::MemoryReport memory;
    object.at("peak_allocated_bytes").get_to(memory.peak_allocated);
    object.at("peak_reserved_bytes").get_to(memory.peak_reserved);
    object.at("init_peak_bytes").get_to(memory.init_peak);
    object.at("first_step_peak_bytes").get_to(memory.first_step_peak);
    object.at("after_init_bytes").get_to(memory.after_init);
    object.at("after_step_bytes").get_to(memory.after_step);
    object.at("phase_peaks_bytes").at("forward").get_to(memory.forward_peak);
    object.at("phase_peaks_bytes").at("backward").get_to(memory.backward_peak);
    object.at("phase_peaks_bytes").at("optimizer").get_to(memory.optimizer_peak);
    memory.at_peak_by_role = parse_roles(object.at("at_peak_by_role_bytes"));
    memory.after_step_by_role = parse_roles(object.at("after_step_by_role_bytes"));
    object.at("device_total_bytes").get_to(memory.device_total);
    object.at("context_bytes").get_to(memory.context);
    object.at("communicator_bytes").get_to(memory.communicator);
    object.at("fits").get_to(memory.fits);
    object.at("host").at("peak_bytes").get_to(memory.host_peak);
    object.at("host").at("pinned_bytes").get_to(memory.host_pinned);
    if (const auto driver = object.find("driver"); driver != object.end()) memory.driver = parse_driver(*driver);
    return memory;
}

analysis::TimeReport parse_time(const Json& object) {
    analysis::TimeReport time;
    object.at("step_seconds").get_to(time.step);
    object.at("forward_seconds").get_to(time.forward);
    object.at("backward_seconds").get_to(time.backward);
    object.at("optimizer_seconds").get_to(time.optimizer);
    object.at("compute_seconds").get_to(time.compute);
    object.at("communication_seconds").get_to(time.communication);
    object.at("exposed_communication_seconds").get_to(time.exposed_communication);
    return time;
}

analysis::CollectiveReport parse_collective(const Json& object) {
    analysis::CollectiveReport row;
    object.at("kind").get_to(row.kind);
    object.at("axis").get_to(row.axis);
    object.at("phase").get_to(row.phase);
    row.ranks = object.value("ranks", std::int64_t{1});
    object.at("count").get_to(row.count);
    object.at("message_bytes").get_to(row.message_bytes);
    object.at("sent_bytes").get_to(row.sent_bytes);
    object.at("seconds").get_to(row.seconds);
    object.at("algbw_bytes_per_second").get_to(row.algbw);
    object.at("busbw_bytes_per_second").get_to(row.busbw);
    row.exposed = object.value("exposed_seconds", 0.0);
    row.waiting = object.value("waiting_seconds", 0.0);
    return row;
}

analysis::TrainingReport parse_training(const Json& object) {
    analysis::TrainingReport training;
    object.at("losses").get_to(training.losses);
    object.at("gradient_norms").get_to(training.gradient_norms);
    object.at("final_parameter_norms").get_to(training.final_parameter_norms);
    object.at("final_parameter_hashes").get_to(training.final_parameter_hashes);
    return training;
}

analysis::ZeroFormula parse_formula(const Json& object) {
    analysis::ZeroFormula formula;
    object.at("stage").get_to(formula.stage);
    object.at("parameters").get_to(formula.parameters);
    object.at("ranks").get_to(formula.ranks);
    object.at("micro_batches").get_to(formula.micro_batches);
    object.at("state_bytes").get_to(formula.state_bytes);
    object.at("state_formula").get_to(formula.state_text);
    object.at("sent_elements").get_to(formula.sent_elements);
    object.at("sent_bytes").get_to(formula.sent_bytes);
    object.at("sent_formula").get_to(formula.sent_text);
    return formula;
}

analysis::PredictionReport parse_prediction(const Json& object) {
    analysis::PredictionReport prediction;
    object.at("peak_allocated_bytes").get_to(prediction.peak_allocated);
    object.at("after_step_bytes").get_to(prediction.after_step);
    object.at("largest_difference_bytes").get_to(prediction.largest_difference);
    object.at("compared_ops").get_to(prediction.compared_ops);
    object.at("step_seconds").get_to(prediction.step);
    object.at("measured_step_seconds").get_to(prediction.measured_step);
    for (const Json& part : object.at("gap"))
        prediction.gap.push_back({part.at("cause").get<std::string>(), part.at("predicted_seconds").get<double>(),
                                  part.at("measured_seconds").get<double>()});
    return prediction;
}

analysis::RunReport parse_report(const Json& root) {
    analysis::RunReport report;
    for (const auto& [key, value] : root.at("scenario").items())
        report.scenario.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
    root.at("model").at("parameters").get_to(report.parameters);
    root.at("model").at("trainable_parameters").get_to(report.trainable_parameters);
    report.memory = parse_memory(root.at("memory"));
    report.time = parse_time(root.at("time"));
    root.at("communication").at("message_bytes_per_rank").get_to(report.message_bytes);
    root.at("communication").at("sent_bytes_per_rank").get_to(report.sent_bytes);
    for (const Json& row : root.at("communication").at("collectives")) report.collectives.push_back(parse_collective(row));
    root.at("throughput").at("tokens_per_second_per_device").get_to(report.tokens_per_second_per_device);
    root.at("throughput").at("model_flops_utilization").get_to(report.model_flops_utilization);
    parse_step_json(root, report);
    parse_transport_json(root, report);
    for (const Json& rank : root.at("ranks"))
        report.ranks.push_back({rank.at("rank").get<std::int64_t>(), rank.at("count").get<std::int64_t>(), parse_memory(rank.at("memory")),
                                parse_time(rank.at("time"))});
    if (root.contains("training")) report.training = parse_training(root["training"]);
    if (root.contains("formula")) report.formula = parse_formula(root["formula"]);
    if (root.contains("prediction")) report.prediction = parse_prediction(root["prediction"]);
    parse_job_json(root, report);
    parse_inference_json(root, report);
    report.coarse = root.at("model").value("coarse", false);
    read_explanations(root, report);
    report.simulated = !report.training.has_value();   // only a run has trained
    return report;
}

}  // namespace

analysis::RunReport parse_json(std::string_view text, std::string_view source) {
    try {
        const Json root = Json::parse(text);
        if (const int version = root.at("schema_version").get<int>(); version != kSchemaVersion)
            throw ConfigError(fmt::format("'{}' has schema_version {}; this program reads {}", source, version, kSchemaVersion));
        return parse_report(root);
    } catch (const nlohmann::json::exception& error) {
        throw ConfigError(fmt::format("'{}' is not a zerosim result: {}", source, error.what()));
    }
}

}  // namespace zerosim::report
