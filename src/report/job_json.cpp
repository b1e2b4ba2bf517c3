#include "report/job_json.hpp"

#include "report/json_fields.hpp"

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

template <class Archive, class Rank>
void rank_fields(Archive archive, Rank& r) {
    archive("rank", r.rank);
    archive("busy_seconds", r.busy);
    archive("waited_seconds", r.waited);
    archive("caused_waiting_seconds", r.caused);
    archive("collectives_as_last", r.last);
}

template <class Archive, class Variation>
void variation_fields(Archive archive, Variation& v) {
    archive("step_seconds", v.step);
    archive("undisturbed_step_seconds", v.undisturbed_step);
    archive("ranks", v.ranks);
    archive("mean_waited_seconds", v.mean_waited);
    archive("largest_waited_seconds", v.largest_waited);
    archive("exposed_waiting_seconds", v.exposed_waiting);
    archive("shortest_busy_seconds", v.shortest_busy);
    archive("mean_busy_seconds", v.mean_busy);
    archive("longest_busy_seconds", v.longest_busy);
    archive.if_there("other_algorithms", v.other_algorithms);
}

template <class Archive, class Reliability>
void reliability_fields(Archive archive, Reliability& r) {
    archive("mtbf_seconds", r.mtbf);
    archive("checkpoint_bytes", r.checkpoint_bytes);
    archive("checkpoint_seconds", r.checkpoint);
    archive("interval_seconds", r.interval);
    archive("restart_seconds", r.restart);
    archive("checkpoint_share", r.checkpoint_share);
    archive("failure_share", r.failure_share);
    archive("spare_share", r.spare_share);
    archive("goodput", r.goodput);
}

}  // namespace

void add_job_json(Json& root, const analysis::RunReport& report) {
    if (report.variation) {
        Json& object = root["variation"] = Json::object();
        variation_fields(Writer{object}, *report.variation);
        Json ranks = Json::array();
        for (const analysis::VaryingRank& rank : report.variation->waited_for) {
            Json row;
            rank_fields(Writer{row}, rank);
            ranks.push_back(std::move(row));
        }
        object["waited_for"] = std::move(ranks);
    }
    if (report.reliability) {
        Json& object = root["reliability"] = Json::object();
        reliability_fields(Writer{object}, *report.reliability);
    }
}

void parse_job_json(const Json& root, analysis::RunReport& report) {
    if (root.contains("variation")) {
        const Json& object = root["variation"];
        analysis::VariationReport variation;
        variation_fields(Reader{object}, variation);
        for (const Json& row : object.at("waited_for")) rank_fields(Reader{row}, variation.waited_for.emplace_back());
        report.variation = std::move(variation);
    }
    if (root.contains("reliability")) {
        analysis::ReliabilityReport reliability;
        reliability_fields(Reader{root["reliability"]}, reliability);
        report.reliability = reliability;
    }
}

}  // namespace zerosim::report
