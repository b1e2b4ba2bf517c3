#include "cli/collectives/collective_table.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>

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

bool has_in_place(const std::vector<CollectiveRow>& rows) {
    return std::any_of(rows.begin(), rows.end(), [](const CollectiveRow& row) { return row.in_place || row.raw_seconds > 0; });
}

/// nccl-tests' second half, and how fast the library's own call is beside.
std::string in_place_heading() { return fmt::format(" {:>11} {:>8} {:>8} {:>7} {:>11} {:>8}", "in place", "algbw", "busbw", "#wrong", "NCCL's own", "of it"); }
std::string in_place_units() { return fmt::format(" {:>7} {:>11} {:>8} {:>8} {:>7} {:>11} {:>8}", "", "(us)", "(GB/s)", "(GB/s)", "", "(us)", "(%)"); }

std::string in_place_text(const CollectiveRow& row, int ranks) {
    std::string text = fmt::format(" {:>11} {:>8} {:>8} {:>7}", "N/A", "N/A", "N/A", "N/A");
    if (row.in_place)
        text = fmt::format(" {:>11.2f} {:>8.2f} {:>8.2f} {:>7}", row.in_place->seconds * 1e6, row.in_place->algbw() / 1e9, row.in_place->busbw(ranks) / 1e9, row.in_place->wrong);
    if (!(row.raw_seconds > 0)) return text + fmt::format(" {:>11} {:>8}", "N/A", "N/A");
    return text + fmt::format(" {:>11.2f} {:>8.1f}", row.raw_seconds * 1e6, 100 * row.raw_seconds / row.sample.seconds);
}

std::string heading(const CollectiveRow& row, bool in_place) {
    std::string text = fmt::format("#\n# {}\n#\n", name(row.sample.kind));
    text += fmt::format("#{:>11} {:>13} {:>9} {:>7} {:>11} {:>8} {:>8} {:>7}{}{}\n", "size", "count", "type", "redop", "time", "algbw",
                        "busbw", "#wrong", in_place ? in_place_heading() : "", right_heading(row));
    const std::string units = in_place ? in_place_units() + (row.predicted ? fmt::format(" {:>11} {:>8}", "(us)", "(%)") : "") : right_units(row);
    return text + fmt::format("#{:>11} {:>13} {:>9} {:>7} {:>11} {:>8} {:>8}{}\n", "(B)", "(elements)", "", "", "(us)", "(GB/s)", "(GB/s)", units);
}

} // namespace

std::string collective_table(const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin) {
    std::string text = fmt::format("# zerosim collectives: {} ranks, {}\n", ranks, origin);
    std::optional<CollectiveKind> kind;
    const bool in_place = has_in_place(rows);
    for (const CollectiveRow& row : rows) {
        const CollectiveSample& s = row.sample;
        if (kind != s.kind) text += heading(row, in_place);
        kind = s.kind;
        text += fmt::format("{:>12} {:>13} {:>9} {:>7} {:>11.2f} {:>8.2f} {:>8.2f} {:>7}{}{}\n", s.bytes, s.count, name(s.type),
                            redop(s.kind), s.seconds * 1e6, s.algbw() / 1e9, s.busbw(ranks) / 1e9, wrong_text(row),
                            in_place ? in_place_text(row, ranks) : "", right_text(row));
    }
    return text;
}

std::string collective_csv(const std::vector<CollectiveRow>& rows, int ranks) {
    std::string text =
        "kind,ranks,bytes,count,type,redop,seconds,low_seconds,high_seconds,algbw_bytes_per_second,busbw_bytes_per_second,"
        "wrong,predicted_seconds,algorithm,protocol";
    const bool in_place = has_in_place(rows);
    text += in_place ? ",in_place_seconds,in_place_wrong,raw_seconds\n" : "\n";
    for (const CollectiveRow& row : rows) {
        const CollectiveSample& s = row.sample;
        text += fmt::format("{},{},{},{},{},{},{:.9g},{:.9g},{:.9g},{:.9g},{:.9g},{}", name(s.kind), ranks, s.bytes, s.count,
                            name(s.type), redop(s.kind), s.seconds, s.low_seconds, s.high_seconds, s.algbw(), s.busbw(ranks),
                            row.measured ? std::to_string(s.wrong) : "");
        text += row.predicted ? fmt::format(",{:.9g},{},{}", row.predicted->seconds, cost::name(row.predicted->choice.algorithm),
                                            cost::name(row.predicted->choice.protocol))
                              : ",,,";
        if (in_place) text += row.in_place ? fmt::format(",{:.9g},{}", row.in_place->seconds, row.in_place->wrong) : ",,";
        if (in_place) text += row.raw_seconds > 0 ? fmt::format(",{:.9g}", row.raw_seconds) : ",";
        text += "\n";
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
        if (row.in_place)
            item["in_place"] = {{"seconds", row.in_place->seconds}, {"busbw_bytes_per_second", row.in_place->busbw(ranks)}, {"wrong", row.in_place->wrong}};
        if (row.raw_seconds > 0) item["raw_seconds"] = row.raw_seconds;
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
