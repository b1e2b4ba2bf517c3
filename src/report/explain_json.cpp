#include "report/explain_json.hpp"

#include "report/json_fields.hpp"

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

template <class Archive, class Holder>
void holder_fields(Archive archive, Holder& h) {
    archive("name", h.name);
    archive("role", h.role);
    archive("bytes", h.bytes);
    archive("count", h.count);
    archive("formula", h.formula);
    archive("numbers", h.numbers);
}

template <class Archive, class Alternative>
void alternative_fields(Archive archive, Alternative& a) {
    archive("key", a.key);
    archive("value", a.value);
    archive("what", a.what);
    archive("peak_allocated_bytes", a.peak_allocated);
    archive("saves_bytes", a.saves);
}

template <class Archive, class Explanation>
void explanation_fields(Archive archive, Explanation& e) {
    archive("peak_op", e.peak_op);
    archive("peak_phase", e.peak_phase);
    archive("peak_layer", e.peak_layer);
    archive("peak_bytes", e.peak_bytes);
    archive("other_bytes", e.other_bytes);
    archive("remarks", e.remarks);
}

template <class Archive, class Estimate>
void estimate_fields(Archive archive, Estimate& e) {
    archive("tool", e.tool);
    archive("formula", e.formula);
    archive("device_bytes", e.device_bytes);
    archive("host_bytes", e.host_bytes);
}

template <class Archive, class Limit>
void limit_fields(Archive archive, Limit& l) {
    archive("key", l.key);
    archive("largest", l.largest);
    archive("value", l.value);
    archive("next", l.next);
    archive("step", l.step);
    archive("stopped_by", l.stopped_by);
    archive("evaluations", l.evaluations);
}

Json explanation_json(const analysis::Explanation& e) {
    Json object;
    explanation_fields(Writer{object}, e);
    object["holders"] = Json::array();
    for (const analysis::Holder& h : e.holders) holder_fields(Writer{object["holders"].emplace_back()}, h);
    object["alternatives"] = Json::array();
    for (const analysis::Alternative& a : e.alternatives) alternative_fields(Writer{object["alternatives"].emplace_back()}, a);
    return object;
}

analysis::Explanation parse_explanation(const Json& object) {
    analysis::Explanation e;
    explanation_fields(Reader{object}, e);
    for (const Json& row : object.at("holders")) holder_fields(Reader{row}, e.holders.emplace_back());
    for (const Json& row : object.at("alternatives")) alternative_fields(Reader{row}, e.alternatives.emplace_back());
    return e;
}

}  // namespace

void write_explanations(const analysis::RunReport& report, Json& root) {
    if (report.explanation) root["explanation"] = explanation_json(*report.explanation);
    if (!report.estimates.empty()) root["estimators"] = Json::array();
    for (const analysis::Estimate& e : report.estimates) estimate_fields(Writer{root["estimators"].emplace_back()}, e);
    if (report.limit) limit_fields(Writer{root["limit"]}, *report.limit);
}

void read_explanations(const Json& root, analysis::RunReport& report) {
    if (root.contains("explanation")) report.explanation = parse_explanation(root["explanation"]);
    if (root.contains("estimators"))
        for (const Json& row : root["estimators"]) estimate_fields(Reader{row}, report.estimates.emplace_back());
    if (root.contains("limit")) limit_fields(Reader{root["limit"]}, report.limit.emplace());
}

}  // namespace zerosim::report
