#include "cli/collective_table.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace zerosim::cli {
namespace {

using nlohmann::ordered_json;

std::string_view redop(CollectiveKind kind) {
    return kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter ? "sum" : "none";
}

std::string wrong_text(const CollectiveRow& row) { return row.measured ? std::to_string(row.sample.wrong) : "N/A"; }

/// What stands to the right of nccl-tests' columns: how it is predicted, or how far the prediction is off.
std::string right_heading(const CollectiveRow& row) {
    if (!row.predicted) return "";
    return row.measured ? fmt::format(" {:>11} {:>8}", "predicted", "error") : fmt::format(" {:>9} {:>7}", "algo", "proto");
}

std::string right_units(const CollectiveRow& row) {
    return row.predicted && row.measured ? fmt::format(" {:>7} {:>11} {:>8}", "", "(us)", "(%)") : "";
}

std::string right_text(const CollectiveRow& row) {
    if (!row.predicted) return "";
    const CollectivePrediction& predicted = *row.predicted;
    if (!row.measured)
        return fmt::format(" {:>9} {:>7}", cost::name(predicted.choice.algorithm), cost::name(predicted.choice.protocol));
    const double error = row.sample.seconds > 0 ? (predicted.seconds / row.sample.seconds - 1) * 100 : 0;
    return fmt::format(" {:>11.2f} {:>+8.1f}", predicted.seconds * 1e6, error);
}

std::string heading(const CollectiveRow& row) {
    std::string text = fmt::format("#\n# {}\n#\n", name(row.sample.kind));
    text += fmt::format("#{:>11} {:>13} {:>9} {:>7} {:>11} {:>8} {:>8} {:>7}{}\n", "size", "count", "type", "redop", "time", "algbw",
                        "busbw", "#wrong", right_heading(row));
    return text + fmt::format("#{:>11} {:>13} {:>9} {:>7} {:>11} {:>8} {:>8}{}\n", "(B)", "(elements)", "", "", "(us)", "(GB/s)",
                              "(GB/s)", right_units(row));
}

} // namespace

std::string collective_table(const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin) {
    std::string text = fmt::format("# zerosim collectives: {} ranks, {}\n", ranks, origin);
    std::optional<CollectiveKind> kind;
    for (const CollectiveRow& row : rows) {
        const CollectiveSample& s = row.sample;
        if (kind != s.kind) text += heading(row);
        kind = s.kind;
        text += fmt::format("{:>12} {:>13} {:>9} {:>7} {:>11.2f} {:>8.2f} {:>8.2f} {:>7}{}\n", s.bytes, s.count, name(s.type),
                            redop(s.kind), s.seconds * 1e6, s.algbw() / 1e9, s.busbw(ranks) / 1e9, wrong_text(row),
                            right_text(row));
    }
    return text;
}

std::string collective_csv(const std::vector<CollectiveRow>& rows, int ranks) {
    std::string text =
        "kind,ranks,bytes,count,type,redop,seconds,low_seconds,high_seconds,algbw_bytes_per_second,busbw_bytes_per_second,"
        "wrong,predicted_seconds,algorithm,protocol\n";
    for (const CollectiveRow& row : rows) {
        const CollectiveSample& s = row.sample;
        text += fmt::format("{},{},{},{},{},{},{:.9g},{:.9g},{:.9g},{:.9g},{:.9g},{}", name(s.kind), ranks, s.bytes, s.count,
                            name(s.type), redop(s.kind), s.seconds, s.low_seconds, s.high_seconds, s.algbw(), s.busbw(ranks),
                            row.measured ? std::to_string(s.wrong) : "");
        text += row.predicted ? fmt::format(",{:.9g},{},{}\n", row.predicted->seconds, cost::name(row.predicted->choice.algorithm),
                                            cost::name(row.predicted->choice.protocol))
                              : ",,,\n";
    }
    return text;
}

std::string collective_json(const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin) {
    ordered_json list = ordered_json::array();
    for (const CollectiveRow& row : rows) {
        const CollectiveSample& s = row.sample;
        ordered_json item{{"kind", name(s.kind)},
                          {"bytes", s.bytes},
                          {"count", s.count},
                          {"type", name(s.type)},
                          {"redop", redop(s.kind)},
                          {"seconds", s.seconds},
                          {"low_seconds", s.low_seconds},
                          {"high_seconds", s.high_seconds},
                          {"algbw_bytes_per_second", s.algbw()},
                          {"busbw_bytes_per_second", s.busbw(ranks)}};
        if (row.measured) item["wrong"] = s.wrong;
        if (row.predicted) {
            item["predicted_seconds"] = row.predicted->seconds;
            item["algorithm"] = cost::name(row.predicted->choice.algorithm);
            item["protocol"] = cost::name(row.predicted->choice.protocol);
        }
        list.push_back(std::move(item));
    }
    return ordered_json{{"schema_version", 1}, {"ranks", ranks}, {"origin", origin}, {"collectives", list}}.dump(2) + "\n";
}

} // namespace zerosim::cli
