#include "cli/collectives/collective_table.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace zerosim::cli {
namespace {

using nlohmann::ordered_json;

std::string_view redop(const CollectiveRow& row) {
    if (!is_reduction(row.sample.kind)) return "none";
    return row.reduction == Reduction::average ? "avg" : "sum";
}

/// nccl-tests: -1 where there is none.
int root(const CollectiveRow& row) { return has_root(row.sample.kind) ? row.root : -1; }

/// What stands to the right of nccl-tests' columns.
struct Beside {
    bool in_place = false, raw = false, predicted = false, measured = false;
};

Beside beside(const std::vector<CollectiveRow>& rows) {
    Beside result;
    for (const CollectiveRow& row : rows) {
        result.in_place = result.in_place || row.in_place.has_value();
        result.raw = result.raw || row.raw_seconds > 0;
        result.predicted = result.predicted || row.predicted.has_value();
        result.measured = result.measured || row.measured;
    }
    return result;
}

std::string timed_text(const CollectiveSample& sample, int ranks, bool measured) {
    const std::string wrong = measured && sample.checked ? std::to_string(sample.wrong) : "N/A";
    return fmt::format(" {:>10.2f} {:>7.2f} {:>7.2f} {:>6}", sample.seconds * 1e6, sample.algbw() / 1e9, sample.busbw(ranks) / 1e9, wrong);
}

/// How it is predicted, or how far the prediction is off.
std::string predicted_text(const CollectiveRow& row) {
    const CollectivePrediction& predicted = *row.predicted;
    if (!row.measured) return fmt::format(" {:>12} {:>7}", cost::name(predicted.choice.algorithm), cost::name(predicted.choice.protocol));
    const double error = row.sample.seconds > 0 ? (predicted.seconds / row.sample.seconds - 1) * 100 : 0;
    return fmt::format(" {:>10.2f} {:>+7.1f}", predicted.seconds * 1e6, error);
}

std::string row_text(const CollectiveRow& row, int ranks, const Beside& beside) {
    const CollectiveSample& s = row.sample;
    std::string text = fmt::format("{:>13} {:>13} {:>6} {:>6} {:>5}", s.bytes, s.count, name(s.type), redop(row), root(row));
    text += timed_text(s, ranks, row.measured);
    if (beside.in_place)
        text += row.in_place ? timed_text(*row.in_place, ranks, true) : fmt::format(" {:>10} {:>7} {:>7} {:>6}", "N/A", "N/A", "N/A", "N/A");
    if (beside.raw && row.raw_seconds > 0) text += fmt::format(" {:>10.2f} {:>7.1f}", row.raw_seconds * 1e6, 100 * row.raw_seconds / s.seconds);
    else if (beside.raw) text += fmt::format(" {:>10} {:>7}", "N/A", "N/A");
    return text + (row.predicted ? predicted_text(row) : "") + "\n";
}

/// nccl-tests' three lines, with the kind above.
std::string heading(CollectiveKind kind, const Beside& beside) {
    const bool compared = beside.predicted && beside.measured;
    std::string timed = fmt::format(" {:>10} {:>7} {:>7} {:>6}", "time", "algbw", "busbw", "#wrong");
    std::string units = fmt::format(" {:>10} {:>7} {:>7} {:>6}", "(us)", "(GB/s)", "(GB/s)", "");
    if (beside.in_place) timed += timed, units += units;
    if (beside.raw) timed += fmt::format(" {:>10} {:>7}", "NCCL's own", "of it"), units += fmt::format(" {:>10} {:>7}", "(us)", "(%)");
    if (compared) timed += fmt::format(" {:>10} {:>7}", "predicted", "error"), units += fmt::format(" {:>10} {:>7}", "(us)", "(%)");
    else if (beside.predicted) timed += fmt::format(" {:>12} {:>7}", "algo", "proto");
    std::string text = fmt::format("#\n# {}\n", name(kind));
    if (beside.in_place) text += fmt::format("#{:>47}{:^34}{:^34}\n", "", "out-of-place", "in-place");
    text += fmt::format("#{:>12} {:>13} {:>6} {:>6} {:>5}{}\n", "size", "count", "type", "redop", "root", timed);
    return text + fmt::format("#{:>12} {:>13} {:>6} {:>6} {:>5}{}\n", "(B)", "(elements)", "", "", "", units);
}

std::string summary_text(const CollectiveSummary& summary) {
    std::string text;
    if (summary.checked) text += fmt::format("# Out of bounds values : {} {}\n", summary.wrong, summary.wrong == 0 ? "OK" : "FAILED");
    return text + fmt::format("# Avg bus bandwidth    : {:.6g}\n", summary.average_busbw / 1e9);
}

} // namespace

std::vector<CollectiveSummary> summaries(const std::vector<CollectiveRow>& rows, int ranks) {
    std::vector<CollectiveSummary> all;
    std::int64_t count = 0;
    const auto add = [&](const CollectiveSample& sample, bool measured) {
        CollectiveSummary& summary = all.back();
        summary.average_busbw += (sample.busbw(ranks) - summary.average_busbw) / static_cast<double>(++count);
        summary.checked = summary.checked || (measured && sample.checked);
        summary.wrong += sample.wrong;
    };
    for (const CollectiveRow& row : rows) {
        if (all.empty() || all.back().kind != row.sample.kind) all.push_back({row.sample.kind}), count = 0;
        add(row.sample, row.measured);
        if (row.in_place) add(*row.in_place, true);
    }
    return all;
}

std::string collective_table(const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin) {
    std::string text = fmt::format("# zerosim collectives: {} rank{}, {}\n", ranks, ranks == 1 ? "" : "s", origin);
    const Beside columns = beside(rows);
    const std::vector<CollectiveSummary> ends = summaries(rows, ranks);
    auto end = ends.begin();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const CollectiveKind kind = rows[i].sample.kind;
        if (i == 0 || rows[i - 1].sample.kind != kind) text += heading(kind, columns);
        text += row_text(rows[i], ranks, columns);
        if (i + 1 == rows.size() || rows[i + 1].sample.kind != kind) text += summary_text(*end++);
    }
    return text;
}

std::string collective_csv(const std::vector<CollectiveRow>& rows, int ranks) {
    std::string text =
        "kind,ranks,bytes,count,type,redop,root,seconds,low_seconds,high_seconds,algbw_bytes_per_second,busbw_bytes_per_second,"
        "wrong,predicted_seconds,algorithm,protocol";
    const Beside columns = beside(rows);
    const bool in_place = columns.in_place || columns.raw;
    text += in_place ? ",in_place_seconds,in_place_wrong,raw_seconds\n" : "\n";
    for (const CollectiveRow& row : rows) {
        const CollectiveSample& s = row.sample;
        text += fmt::format("{},{},{},{},{},{},{},{:.9g},{:.9g},{:.9g},{:.9g},{:.9g},{}", name(s.kind), ranks, s.bytes, s.count,
                            name(s.type), redop(row), root(row), s.seconds, s.low_seconds, s.high_seconds, s.algbw(), s.busbw(ranks),
                            row.measured && s.checked ? std::to_string(s.wrong) : "");
        text += row.predicted ? fmt::format(",{:.9g},{},{}", row.predicted->seconds, cost::name(row.predicted->choice.algorithm),
                                            cost::name(row.predicted->choice.protocol))
                              : ",,,";
        if (in_place) text += row.in_place ? fmt::format(",{:.9g},{}", row.in_place->seconds, row.in_place->checked ? std::to_string(row.in_place->wrong) : "") : ",,";
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
                          {"redop", redop(row)},
                          {"seconds", s.seconds},
                          {"low_seconds", s.low_seconds},
                          {"high_seconds", s.high_seconds},
                          {"algbw_bytes_per_second", s.algbw()},
                          {"busbw_bytes_per_second", s.busbw(ranks)}};
        if (has_root(s.kind)) item["root"] = row.root;
        if (row.measured && s.checked) item["wrong"] = s.wrong;
        if (row.in_place) {
            item["in_place"] = {{"seconds", row.in_place->seconds}, {"busbw_bytes_per_second", row.in_place->busbw(ranks)}};
            if (row.in_place->checked) item["in_place"]["wrong"] = row.in_place->wrong;
        }
        if (row.raw_seconds > 0) item["raw_seconds"] = row.raw_seconds;
        if (row.predicted) {
            item["predicted_seconds"] = row.predicted->seconds;
            item["algorithm"] = cost::name(row.predicted->choice.algorithm);
            item["protocol"] = cost::name(row.predicted->choice.protocol);
        }
        list.push_back(std::move(item));
    }
    ordered_json averages = ordered_json::object();
    for (const CollectiveSummary& summary : summaries(rows, ranks)) averages[std::string(name(summary.kind))] = summary.average_busbw;
    return ordered_json{{"schema_version", 1}, {"ranks", ranks}, {"origin", origin}, {"average_busbw_bytes_per_second", averages}, {"collectives", list}}.dump(2) + "\n";
}

} // namespace zerosim::cli
