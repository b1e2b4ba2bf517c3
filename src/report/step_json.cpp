#include "report/step_json.hpp"

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

Json path_json(const analysis::CriticalPath& path) {
    Json parts = Json::array();
    for (const analysis::PathPart& part : path.parts)
        parts.push_back({{"group", part.group},
                         {"name", part.name},
                         {"phase", part.phase},
                         {"seconds", part.seconds},
                         {"count", part.count},
                         {"longest", part.longest},
                         {"longest_seconds", part.longest_seconds},
                         {"waited_for", part.waited_for}});
    return {{"rank", path.rank}, {"step_seconds", path.step}, {"ranks", path.ranks}, {"parts", std::move(parts)}};
}

analysis::CriticalPath parse_path(const Json& object) {
    analysis::CriticalPath path;
    object.at("rank").get_to(path.rank);
    object.at("step_seconds").get_to(path.step);
    object.at("ranks").get_to(path.ranks);
    for (const Json& part : object.at("parts"))
        path.parts.push_back({part.at("group"), part.at("name"), part.at("phase"), part.at("seconds"), part.at("count"), part.at("longest"),
                              part.at("longest_seconds"), part.at("waited_for")});
    return path;
}

Json roofline_json(const analysis::RooflineRow& row) {
    return {{"name", row.name},
            {"count", row.count},
            {"flops", row.flops},
            {"bytes", row.bytes},
            {"seconds", row.seconds},
            {"roof_seconds", row.roof_seconds},
            {"flops_per_byte", row.intensity()},
            {"roof_fraction", row.roof_fraction()},
            {"bound", row.bound}};
}

}  // namespace

void add_step_json(Json& root, const analysis::RunReport& report) {
    if (report.step_interval) {
        root["time"]["step_seconds_low"] = report.step_interval->low;
        root["time"]["step_seconds_high"] = report.step_interval->high;
        root["time"]["step_interval_coverage"] = report.step_interval->coverage;
    }
    root["throughput"]["hardware_flops_utilization"] = report.hardware_flops_utilization;
    root["throughput"]["model_flops_per_step"] = report.model_flops;
    if (report.peak_flops > 0) root["throughput"].update({{"peak_flops_per_second", report.peak_flops}, {"peak_dtype", report.peak_dtype}});
    if (report.utilization_of_16_bit_peak > 0) root["throughput"]["model_flops_utilization_of_16_bit_peak"] = report.utilization_of_16_bit_peak;
    root["throughput"]["hardware_flops_per_step"] = report.hardware_flops;
    root["breakdown"] = Json::array();
    for (const analysis::StepPart& part : report.step_parts)
        root["breakdown"].push_back({{"group", part.group}, {"name", part.name}, {"seconds", part.seconds}});
    root["roofline"] = Json::array();
    for (const analysis::RooflineRow& row : report.roofline) root["roofline"].push_back(roofline_json(row));
    if (report.critical_path) root["critical_path"] = path_json(*report.critical_path);
    if (report.sensitivity.empty()) return;
    root["sensitivity"] = Json::array();
    for (const analysis::SensitivityRow& row : report.sensitivity)
        root["sensitivity"].push_back({{"resource", row.resource}, {"improvement", row.improvement}, {"step_seconds", row.step}, {"change", row.change},
                                       {"other_algorithms", row.other_algorithms}});
}

void parse_step_json(const Json& root, analysis::RunReport& report) {
    const Json& time = root.at("time");
    if (time.contains("step_seconds_low"))
        report.step_interval = {time.at("step_seconds_low"), time.at("step_seconds_high"), time.at("step_interval_coverage")};
    const Json& throughput = root.at("throughput");
    report.hardware_flops_utilization = throughput.value("hardware_flops_utilization", 0.0);
    report.model_flops = throughput.value("model_flops_per_step", 0.0);
    report.peak_flops = throughput.value("peak_flops_per_second", 0.0);
    report.peak_dtype = throughput.value("peak_dtype", "");
    report.utilization_of_16_bit_peak = throughput.value("model_flops_utilization_of_16_bit_peak", 0.0);
    report.hardware_flops = throughput.value("hardware_flops_per_step", 0.0);
    for (const Json& part : root.value("breakdown", Json::array()))
        report.step_parts.push_back({part.at("group"), part.at("name"), part.at("seconds")});
    for (const Json& row : root.value("roofline", Json::array()))
        report.roofline.push_back({row.at("name"), row.at("count"), row.at("flops"), row.at("bytes"), row.at("seconds"), row.at("roof_seconds"), row.at("bound")});
    if (root.contains("critical_path")) report.critical_path = parse_path(root["critical_path"]);
    for (const Json& row : root.value("sensitivity", Json::array()))
        report.sensitivity.push_back({row.at("resource"), row.at("improvement"), row.at("step_seconds"), row.at("change"), row.value("other_algorithms", std::int64_t{0})});
}

}  // namespace zerosim::report
