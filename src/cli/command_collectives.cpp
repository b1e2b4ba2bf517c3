// `zerosim collectives`: nccl-tests' table, measured through the Communicator or predicted by the cost model.
#include "base/error.hpp"
#include "cli/collective_benchmark.hpp"
#include "cli/commands.hpp"
#include "config/cluster_file.hpp"
#include "cost/cost.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <optional>

namespace zerosim::cli {
namespace {

using nlohmann::ordered_json;

constexpr CollectiveKind kKinds[] = {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter,
                                     CollectiveKind::broadcast, CollectiveKind::all_to_all};

struct Request {
    std::vector<CollectiveCase> cases;
    std::int64_t ranks = 0; // 0 = not given
    bool predict = false;
    double timeout_seconds = 0;
};

std::vector<CollectiveKind> kinds_of(const config::Values& values) {
    const std::string& asked = values.text("kind");
    std::vector<CollectiveKind> kinds;
    for (const CollectiveKind kind : kKinds)
        if (asked == "all" || asked == name(kind)) kinds.push_back(kind);
    return kinds;
}

DType type_of(const config::Values& values) {
    for (const DType type : {DType::fp32, DType::bf16, DType::fp16, DType::fp64})
        if (values.text("type") == name(type)) return type;
    values.refuse("type", "is not a floating-point type");
}

Request request_of(const config::Values& values) {
    Request request;
    const std::int64_t minimum = values.bytes("minimum-bytes"), maximum = values.bytes("maximum-bytes");
    if (minimum < 1) values.refuse("minimum-bytes", "is not above 0");
    if (maximum < minimum) values.refuse("maximum-bytes", "is less than minimum-bytes");
    for (const CollectiveKind kind : kinds_of(values))
        for (std::int64_t bytes = minimum; bytes <= maximum; bytes *= values.integer("step-factor"))
            request.cases.push_back({kind, type_of(values), bytes, static_cast<int>(values.integer("repeats"))});
    if (values.given("ranks")) request.ranks = values.integer("ranks");
    request.predict = values.boolean("predict");
    request.timeout_seconds = values.real("timeout-seconds");
    return request;
}

CollectiveSample predict(const CollectiveCase& what, std::int64_t ranks, const cluster::Cluster& cluster) {
    const std::int64_t count = call_count(what.kind, what.type, what.bytes, ranks);
    CollectiveSample sample{what.kind, what.type, comm::message_bytes(what.kind, count, what.type, ranks), 0, 0, 0, 0, 0};
    sample.count = sample.bytes / size_of(what.type);
    sample.seconds = sample.low_seconds = sample.high_seconds =
        cost::collective_seconds(what.kind, sample.bytes, ranks, 1, cluster);
    return sample;
}

std::string_view redop(CollectiveKind kind) {
    return kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter ? "sum" : "none";
}

/// Columns and units as nccl-tests prints them: B, us, GB/s of 10^9.
std::string table_text(const std::vector<CollectiveSample>& samples, int ranks, const std::string& origin, bool predicted) {
    std::string text = fmt::format("# zerosim collectives: {} ranks, {}\n", ranks, origin);
    std::optional<CollectiveKind> kind;
    for (const CollectiveSample& sample : samples) {
        if (kind != sample.kind) {
            kind = sample.kind;
            text += fmt::format("#\n# {}\n#\n", name(sample.kind));
            text += fmt::format("#{:>11} {:>13} {:>9} {:>7} {:>11} {:>8} {:>8} {:>7}\n", "size", "count", "type", "redop", "time",
                                "algbw", "busbw", "#wrong");
            text += fmt::format("#{:>11} {:>13} {:>9} {:>7} {:>11} {:>8} {:>8}\n", "(B)", "(elements)", "", "", "(us)", "(GB/s)",
                                "(GB/s)");
        }
        text += fmt::format("{:>12} {:>13} {:>9} {:>7} {:>11.2f} {:>8.2f} {:>8.2f} {:>7}\n", sample.bytes, sample.count,
                            name(sample.type), redop(sample.kind), sample.seconds * 1e6, sample.algbw() / 1e9,
                            sample.busbw(ranks) / 1e9, predicted ? "N/A" : std::to_string(sample.wrong));
    }
    return text;
}

std::string csv_text(const std::vector<CollectiveSample>& samples, int ranks, bool predicted) {
    std::string text =
        "kind,ranks,bytes,count,type,redop,seconds,low_seconds,high_seconds,algbw_bytes_per_second,busbw_bytes_per_second,"
        "wrong\n";
    for (const CollectiveSample& s : samples)
        text += fmt::format("{},{},{},{},{},{},{:.9g},{:.9g},{:.9g},{:.9g},{:.9g},{}\n", name(s.kind), ranks, s.bytes, s.count,
                            name(s.type), redop(s.kind), s.seconds, s.low_seconds, s.high_seconds, s.algbw(), s.busbw(ranks),
                            predicted ? "" : std::to_string(s.wrong));
    return text;
}

std::string json_text(const std::vector<CollectiveSample>& samples, int ranks, const std::string& origin, bool predicted) {
    ordered_json rows = ordered_json::array();
    for (const CollectiveSample& s : samples) {
        ordered_json row{{"kind", name(s.kind)},
                         {"bytes", s.bytes},
                         {"count", s.count},
                         {"type", name(s.type)},
                         {"redop", redop(s.kind)},
                         {"seconds", s.seconds},
                         {"low_seconds", s.low_seconds},
                         {"high_seconds", s.high_seconds},
                         {"algbw_bytes_per_second", s.algbw()},
                         {"busbw_bytes_per_second", s.busbw(ranks)}};
        if (!predicted) row["wrong"] = s.wrong;
        rows.push_back(std::move(row));
    }
    return ordered_json{{"schema_version", 1}, {"ranks", ranks}, {"origin", origin}, {"collectives", rows}}.dump(2) + "\n";
}

void write_samples(const config::Values& values, const std::vector<CollectiveSample>& samples, int ranks,
                   const std::string& origin, bool predicted) {
    const config::Format format = config::format_of(values);
    write_result(values.text("output"), format == config::Format::json  ? json_text(samples, ranks, origin, predicted)
                                        : format == config::Format::csv ? csv_text(samples, ranks, predicted)
                                                                        : table_text(samples, ranks, origin, predicted));
}

/// nccl-tests' letters.
std::vector<std::string> with_long_names(std::vector<std::string> arguments) {
    constexpr std::pair<const char*, const char*> letters[] = {
        {"-b", "--minimum-bytes"}, {"-e", "--maximum-bytes"}, {"-f", "--step-factor"}, {"-n", "--repeats"}, {"-d", "--type"}};
    for (std::string& word : arguments)
        for (const auto& [letter, key] : letters)
            if (word == letter) word = key;
    return arguments;
}

} // namespace

int command_collectives(const Invocation& invocation) {
    const config::Reading reading =
        config::read_values({invocation.command, with_long_names(invocation.arguments), invocation.environment});
    if (!reading.positionals.empty())
        throw ConfigError(
            fmt::format("command line: collectives takes no '{}'; name a kind with --kind", reading.positionals.front()));
    const Request request = request_of(reading.values);
    if (request.predict) {
        const cluster::Cluster cluster = config::load_cluster(reading.values.text("cluster"), invocation.paths);
        const std::int64_t ranks = request.ranks > 0 ? request.ranks : cluster.devices_per_node;
        std::vector<CollectiveSample> samples;
        for (const CollectiveCase& what : request.cases) samples.push_back(predict(what, ranks, cluster));
        print_remarks(reading.warnings, {});
        write_samples(reading.values, samples, static_cast<int>(ranks), fmt::format("predicted for cluster '{}'", cluster.name),
                      true);
        return 0;
    }
    RankTeam team(request.ranks, request.timeout_seconds);
    std::vector<CollectiveSample> samples;
    team.run([&](TeamRank& rank) {
        for (const CollectiveCase& what : request.cases) {
            const CollectiveSample sample = measure_collective(rank, what);
            if (rank.rank() == 0) samples.push_back(sample);
        }
    });
    if (!team.has_rank_zero()) return 0;
    print_remarks(reading.warnings, {});
    write_samples(reading.values, samples, team.size(),
                  fmt::format("{}, out of place, median of {}, slowest rank", team.transport(), request.cases.front().repeats),
                  false);
    for (const CollectiveSample& sample : samples)
        if (sample.wrong > 0)
            throw VerificationError(
                fmt::format("{} of {} bytes gave {} wrong elements", name(sample.kind), sample.bytes, sample.wrong));
    return 0;
}

} // namespace zerosim::cli
