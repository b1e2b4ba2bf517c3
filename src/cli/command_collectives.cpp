// `zerosim collectives`: nccl-tests' table, measured through the Communicator or predicted by the cost model.
#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/collective_table.hpp"
#include "cli/commands.hpp"
#include "config/cluster_file.hpp"
#include "cost/cost.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

namespace zerosim::cli {
namespace {

constexpr CollectiveKind kKinds[] = {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter,
                                     CollectiveKind::broadcast, CollectiveKind::all_to_all};

struct Request {
    std::vector<CollectiveCase> cases;
    std::int64_t ranks = 0; // 0 = not given
    std::int64_t stride = 1;
    bool predict = false, compare = false;
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

/// `sizes`, or the powers of step-factor from minimum-bytes to maximum-bytes.
std::vector<std::int64_t> sizes_of(const config::Values& values) {
    std::vector<std::int64_t> sizes;
    std::string_view rest = values.text("sizes");
    while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        const auto bytes = parse_bytes(rest.substr(0, comma));
        if (!bytes || *bytes < 1) values.refuse("sizes", "is not a list of sizes such as 8,64K,1M");
        sizes.push_back(*bytes);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    if (!sizes.empty()) return sizes;
    const std::int64_t minimum = values.bytes("minimum-bytes"), maximum = values.bytes("maximum-bytes");
    if (minimum < 1) values.refuse("minimum-bytes", "is not above 0");
    if (maximum < minimum) values.refuse("maximum-bytes", "is less than minimum-bytes");
    for (std::int64_t bytes = minimum; bytes <= maximum; bytes *= values.integer("step-factor")) sizes.push_back(bytes);
    return sizes;
}

Request request_of(const config::Values& values) {
    Request request;
    for (const CollectiveKind kind : kinds_of(values))
        for (const std::int64_t bytes : sizes_of(values))
            request.cases.push_back({kind, type_of(values), bytes, static_cast<int>(values.integer("repeats"))});
    if (values.given("ranks")) request.ranks = values.integer("ranks");
    request.stride = values.integer("stride");
    request.predict = values.boolean("predict");
    request.compare = values.boolean("compare");
    if (request.predict && request.compare) values.refuse("compare", "measures; leave out --predict");
    if (!request.predict && request.stride != 1) values.refuse("stride", "is of predicted groups: add --predict");
    request.timeout_seconds = values.real("timeout-seconds");
    return request;
}

cluster::Cluster cluster_of(const config::Values& values, const config::SearchPaths& paths) {
    cluster::Cluster result = config::load_cluster(values.text("cluster"), paths);
    if (values.given("cluster.gpus-per-node"))
        result = cluster::with_devices_per_node(result, values.integer("cluster.gpus-per-node"));
    if (values.given("cluster.network-gigabits-per-node"))
        result = cluster::with_network_gigabits_per_node(result, values.real("cluster.network-gigabits-per-node"));
    return result;
}

CollectivePrediction prediction(const CollectiveSample& sample, std::int64_t ranks, std::int64_t stride,
                                const cluster::Cluster& cluster) {
    return {cost::collective_seconds(sample.kind, sample.bytes, ranks, stride, cluster),
            cost::collective_choice(sample.kind, sample.bytes, ranks, stride, cluster)};
}

CollectiveRow predict(const CollectiveCase& what, std::int64_t ranks, std::int64_t stride, const cluster::Cluster& cluster) {
    const std::int64_t count = call_count(what.kind, what.type, what.bytes, ranks);
    CollectiveSample sample{what.kind, what.type, comm::message_bytes(what.kind, count, what.type, ranks), 0, 0, 0, 0, 0};
    sample.count = sample.bytes / size_of(what.type);
    const CollectivePrediction predicted = prediction(sample, ranks, stride, cluster);
    sample.seconds = sample.low_seconds = sample.high_seconds = predicted.seconds;
    return {sample, false, predicted};
}

void write_rows(const config::Values& values, const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin) {
    const config::Format format = config::format_of(values);
    write_result(values.text("output"), format == config::Format::json  ? collective_json(rows, ranks, origin)
                                        : format == config::Format::csv ? collective_csv(rows, ranks)
                                                                        : collective_table(rows, ranks, origin));
}

/// Only the rank 0 of the team has rows.
std::vector<CollectiveRow> measure(RankTeam& team, const Request& request) {
    std::vector<CollectiveRow> rows;
    team.run([&](TeamRank& rank) {
        for (const CollectiveCase& what : request.cases) {
            const CollectiveSample sample = measure_collective(rank, what);
            if (rank.rank() == 0) rows.push_back({sample, true, std::nullopt});
        }
    });
    return rows;
}

void require_right(const std::vector<CollectiveRow>& rows) {
    for (const CollectiveRow& row : rows)
        if (row.sample.wrong > 0)
            throw VerificationError(
                fmt::format("{} of {} bytes gave {} wrong elements", name(row.sample.kind), row.sample.bytes, row.sample.wrong));
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
        const cluster::Cluster cluster = cluster_of(reading.values, invocation.paths);
        const std::int64_t ranks = request.ranks > 0 ? request.ranks : cluster.devices_per_node;
        std::vector<CollectiveRow> rows;
        for (const CollectiveCase& what : request.cases) rows.push_back(predict(what, ranks, request.stride, cluster));
        print_remarks(reading.warnings, {});
        write_rows(reading.values, rows, static_cast<int>(ranks), fmt::format("predicted for cluster '{}'", cluster.name));
        return 0;
    }
    RankTeam team(request.ranks, request.timeout_seconds);
    std::vector<CollectiveRow> rows = measure(team, request);
    if (!team.has_rank_zero()) return 0;
    std::string origin =
        fmt::format("{}, out of place, median of {}, slowest rank", team.transport(), request.cases.front().repeats);
    if (request.compare) {
        const cluster::Cluster cluster = cluster_of(reading.values, invocation.paths);
        for (CollectiveRow& row : rows) row.predicted = prediction(row.sample, team.size(), 1, cluster);
        origin += fmt::format("; predicted for cluster '{}'", cluster.name);
    }
    print_remarks(reading.warnings, {});
    write_rows(reading.values, rows, team.size(), origin);
    require_right(rows);
    return 0;
}

} // namespace zerosim::cli
