#include "report/device_json.hpp"

#include "report/json_fields.hpp"

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

template <class Archive, class Driver>
void driver_fields(Archive archive, Driver& d) {
    archive("used_bytes", d.used);
    archive("others_bytes", d.others);
    archive("context_bytes", d.context);
    archive("pools_bytes", d.pools);
    archive("communicators_bytes", d.communicators);
    archive("libraries_bytes", d.libraries);
    archive("other_bytes", d.other);
    archive("settled_bytes", d.settled);
    archive("growth_bytes", d.growth);
    archive("process_bytes", d.of_process);
    archive("shared", d.shared);
    archive("predicted_context_bytes", d.predicted_context);
    archive("predicted_communicator_bytes", d.predicted_communicator);
}

template <class Archive, class Path>
void path_fields(Archive archive, Path& p) {
    archive("path", p.path);
    archive("via", p.via);
    archive("ranks", p.ranks);
    archive("channels", p.channels);
}

}  // namespace

Json driver_json(const analysis::DriverReport& driver) {
    Json object = Json::object();
    driver_fields(Writer{object}, driver);
    return object;
}

analysis::DriverReport parse_driver(const Json& object) {
    analysis::DriverReport driver;
    driver_fields(Reader{object}, driver);
    return driver;
}

void add_transport_json(Json& root, const analysis::RunReport& report) {
    if (!report.transport) return;
    Json used = Json::array();
    for (const auto& path : report.transport->used) {
        Json object = Json::object();
        path_fields(Writer{object}, path);
        used.push_back(std::move(object));
    }
    root["transport"] = {{"asked", report.transport->asked}, {"used", std::move(used)}};
}

void parse_transport_json(const Json& root, analysis::RunReport& report) {
    const auto found = root.find("transport");
    if (found == root.end()) return;
    analysis::TransportReport transport{found->at("asked").get<std::string>(), {}};
    for (const Json& object : found->at("used")) path_fields(Reader{object}, transport.used.emplace_back());
    report.transport = std::move(transport);
}

void add_links_json(Json& root, const analysis::RunReport& report) {
    if (!report.links) return;
    const analysis::LinksReport& links = *report.links;
    root["links"] = {{"reference_bytes", links.reference_bytes}, {"reference_seconds", {links.before, links.after}}};
    if (links.calibrated > 0) root["links"]["calibrated_reference_seconds"] = links.calibrated;
}

void parse_links_json(const Json& root, analysis::RunReport& report) {
    const auto found = root.find("links");
    if (found == root.end()) return;
    const Json& seconds = found->at("reference_seconds");
    report.links = analysis::LinksReport{found->at("reference_bytes").get<std::int64_t>(), seconds.at(0).get<double>(), seconds.at(1).get<double>(),
                                         found->value("calibrated_reference_seconds", 0.0)};
}

}  // namespace zerosim::report
