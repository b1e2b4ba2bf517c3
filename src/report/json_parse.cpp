#include "base/error.hpp"
#include "report/device_json.hpp"
#include "report/explain_json.hpp"
#include "report/inference_json.hpp"
#include "report/job_json.hpp"
#include "report/json.hpp"
#include "report/report_fields.hpp"
#include "report/step_json.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

analysis::AllocatorReport parse_allocator(const Json& object) {
    analysis::AllocatorReport allocator;
    allocator_fields(Reader{object}, allocator);
    if (const auto found = object.find("out_of_memory"); found != object.end()) shortage_fields(Reader{*found}, allocator.out_of_memory.emplace());
    return allocator;
}

analysis::MemoryReport parse_memory(const Json& object) {
    analysis::MemoryReport memory;
    memory_fields(Reader{object}, memory);
    if (const auto driver = object.find("driver"); driver != object.end()) memory.driver = parse_driver(*driver);
    if (const auto allocator = object.find("allocator"); allocator != object.end()) memory.allocator = parse_allocator(*allocator);
    return memory;
}

analysis::TimeReport parse_time(const Json& object) {
    analysis::TimeReport time;
    time_fields(Reader{object}, time);
    return time;
}

analysis::PredictionReport parse_prediction(const Json& object) {
    analysis::PredictionReport prediction;
    prediction_fields(Reader{object}, prediction);
    for (const Json& part : object.at("gap")) gap_fields(Reader{part}, prediction.gap.emplace_back());
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
    for (const Json& row : root.at("communication").at("collectives")) collective_fields(Reader{row}, report.collectives.emplace_back());
    root.at("throughput").at("tokens_per_second_per_device").get_to(report.tokens_per_second_per_device);
    root.at("throughput").at("model_flops_utilization").get_to(report.model_flops_utilization);
    parse_step_json(root, report);
    parse_transport_json(root, report);
    parse_links_json(root, report);
    for (const Json& rank : root.at("ranks"))
        report.ranks.push_back({rank.at("rank").get<std::int64_t>(), rank.at("count").get<std::int64_t>(), parse_memory(rank.at("memory")),
                                parse_time(rank.at("time"))});
    if (root.contains("training")) training_fields(Reader{root["training"]}, report.training.emplace());
    if (root.contains("formula")) formula_fields(Reader{root["formula"]}, report.formula.emplace());
    if (root.contains("prediction")) report.prediction = parse_prediction(root["prediction"]);
    parse_job_json(root, report);
    parse_inference_json(root, report);
    report.coarse = root.at("model").value("coarse", false);
    read_explanations(root, report);
    Reader{root}.if_there("notes", report.notes);
    Reader{root}.if_there("unused", report.unused);
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
        const std::string_view what = error.what();   // "[json.exception.out_of_range.403] key 'x' not found"
        throw ConfigError(fmt::format("'{}' is not a zerosim result: {}", source, what.substr(what.find("] ") == what.npos ? 0 : what.find("] ") + 2)));
    }
}

}  // namespace zerosim::report
