#include "report/compare_json.hpp"

#include "base/error.hpp"
#include "report/json.hpp"

#include <nlohmann/json.hpp>

namespace zerosim::report {
namespace {

std::string_view unit_key(analysis::Quantity quantity) {
    switch (quantity) {
        case analysis::Quantity::bytes: return "bytes";
        case analysis::Quantity::seconds: return "seconds";
        case analysis::Quantity::count: return "count";
        case analysis::Quantity::tokens_per_second: return "tokens_per_second";
        case analysis::Quantity::ratio: return "ratio";
    }
    return "";
}

}  // namespace

std::string render_comparison_json(std::span<const std::string> labels, std::span<const analysis::RunReport> reports) {
    check(labels.size() == reports.size(), "one label per compared report");
    nlohmann::ordered_json root;
    root["schema_version"] = kSchemaVersion;
    root["compared"] = std::vector<std::string>(labels.begin(), labels.end());
    root["scenario"] = nlohmann::ordered_json::object();
    for (const analysis::ComparedKey& key : analysis::differing_keys(reports)) root["scenario"][key.key] = key.values;
    root["quantities"] = nlohmann::ordered_json::array();
    for (const analysis::ComparedValue& row : analysis::compare(reports))
        root["quantities"].push_back({{"section", row.section},
                                      {"name", row.name},
                                      {"unit", unit_key(row.quantity)},
                                      {"values", row.values},
                                      {"relative_difference", row.difference()}});
    return root.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace zerosim::report
