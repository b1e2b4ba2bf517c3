// `zerosim collectives`: nccl-tests' table, measured through the Communicator or predicted by the cost model.
#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/collectives/collective_table.hpp"
#include "cli/commands.hpp"
#include "cli/collectives/gpu_bench_rank.hpp"
#include "cli/collectives/gpu_collectives.hpp"
#include "cluster/forced_path.hpp"
#include "config/cluster_file.hpp"
#include "config/cluster_gaps.hpp"
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
    bool on_gpus = false, share_device = false, register_buffers = false;
    double timeout_seconds = 0;
    Transport transport = Transport::automatic;
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
    if (values.given("sizes"))
        for (const char* other : {"minimum-bytes", "maximum-bytes", "step-factor"})
            if (values.given(other)) values.refuse(other, "and --sizes exclude each other: a list, or a range");
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
    request.on_gpus = values.text("device") == "cuda";
    request.share_device = values.boolean("share-device");
    request.register_buffers = values.boolean("register-buffers");
    if (request.register_buffers && !request.on_gpus) values.refuse("register-buffers", "is for GPUs: add --device cuda");
    request.transport = *transport_of(values.text("transport"));
    if (request.transport != Transport::automatic && !request.on_gpus && !request.predict) values.refuse("transport", "forces the path between GPUs: add --device cuda, or --predict");
    if (request.share_device && request.transport != Transport::automatic && request.transport != Transport::network)
        values.refuse("transport", "contradicts share-device: ranks that share a GPU reach each other over the network alone");
    if (request.share_device && !request.on_gpus) values.refuse("share-device", "is for GPUs: add --device cuda");
    return request;
}

cluster::Cluster cluster_of(const config::Values& values, const config::SearchPaths& paths) {
    cluster::Cluster result = config::load_cluster(values.text("cluster"), paths);
    if (values.text("device") == "cuda" && result.device.is_cpu) values.refuse("cluster", "is of CPUs: name one of GPUs, a preset or what calibrate --device cuda wrote");
    if (values.given("cluster.gpus-per-node"))
        result = cluster::with_devices_per_node(result, values.integer("cluster.gpus-per-node"));
    if (values.given("cluster.network-gigabits-per-node"))
        result = cluster::with_network_gigabits_per_node(result, values.real("cluster.network-gigabits-per-node"));
    return result;
}

CollectivePrediction prediction(const CollectiveSample& sample, std::int64_t ranks, std::int64_t stride,
                                const cluster::Cluster& cluster) {
    return {cost::collective_seconds(sample.kind, sample.bytes, ranks, stride, cluster, 0, sample.type),
            cost::collective_choice(sample.kind, sample.bytes, ranks, stride, cluster)};
}

CollectiveRow predict(const CollectiveCase& what, std::int64_t ranks, std::int64_t stride, const cluster::Cluster& cluster) {
    const std::int64_t count = call_count(what.kind, what.type, what.bytes, ranks);
    CollectiveSample sample{what.kind, what.type, comm::message_bytes(what.kind, count, what.type, ranks), 0, 0, 0, 0, 0};
    sample.count = count;
    const CollectivePrediction predicted = prediction(sample, ranks, stride, cluster);
    sample.seconds = sample.low_seconds = sample.high_seconds = predicted.seconds;
    return {sample, false, predicted, std::nullopt, 0};
}

void write_rows(const config::Values& values, const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin) {
    const config::Format format = config::format_of(values);
    write_result(values.text("output"), format == config::Format::json  ? collective_json(rows, ranks, origin)
                                        : format == config::Format::csv ? collective_csv(rows, ranks)
                                                                        : collective_table(rows, ranks, origin));
}

/// "; over nvlink (NVLS, P2P/CUMEM)" of rank 0
std::string paths_text(const std::vector<comm::PathUse>& paths) {
    std::string text;
    for (const comm::PathUse& use : paths) text += fmt::format("{}{} ({})", text.empty() ? "; over " : ", ", use.path, use.via);
    return text;
}

/// Between GPUs, beside the library's own call. `paths`: what NCCL connected.
std::vector<CollectiveRow> measure_on_gpus(RankTeam& team, const Request& request, std::string& paths) {
    require_processes(team);
    std::vector<CollectiveRow> rows;
    team.run([&](TeamRank& rank) {
        GpuBenchRank gpu(rank, request.share_device, true, request.timeout_seconds, request.transport);
        StreamBench bench(gpu.device(), rank);
        const RawCall raw = [&gpu](const comm::CollectiveCall& call, void* stream) { return comm::GpuWorld::raw_call(gpu.communicator(), call, stream); };
        RegistrableMemory registrable;
        if (request.register_buffers) registrable = comm::registrable_memory;
        for (const CollectiveCase& what : request.cases) {
            const GpuCollectiveSample sample = measure_gpu_collective(bench, gpu.communicator(), raw, what, registrable);
            if (rank.rank() == 0) rows.push_back({sample.out_of_place, true, std::nullopt, sample.in_place, sample.raw_seconds});
        }
        if (rank.rank() == 0) paths = paths_text(gpu.paths());
    });
    return rows;
}

/// Only the rank 0 of the team has rows.
std::vector<CollectiveRow> measure(RankTeam& team, const Request& request, std::string& paths) {
    if (request.on_gpus) return measure_on_gpus(team, request, paths);
    std::vector<CollectiveRow> rows;
    team.run([&](TeamRank& rank) {
        for (const CollectiveCase& what : request.cases) {
            const CollectiveSample sample = measure_collective(rank, what);
            if (rank.rank() == 0) rows.push_back({sample, true, std::nullopt, std::nullopt, 0});
        }
    });
    return rows;
}

void require_right(const std::vector<CollectiveRow>& rows) {
    for (const CollectiveRow& row : rows)
        for (const std::int64_t wrong : {row.sample.wrong, row.in_place ? row.in_place->wrong : 0})
            if (wrong > 0) throw VerificationError(fmt::format("{} of {} bytes gave {} wrong elements", name(row.sample.kind), row.sample.bytes, wrong));
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
        cluster::Cluster cluster = cluster_of(reading.values, invocation.paths);
        const std::int64_t ranks = request.ranks > 0 ? request.ranks : cluster.devices_per_node;
        cluster = cluster::over(std::move(cluster), request.transport, ranks);
        std::vector<CollectiveRow> rows;
        for (const CollectiveCase& what : request.cases) rows.push_back(predict(what, ranks, request.stride, cluster));
        std::vector<std::string> warnings = reading.warnings;
        if (std::string gaps = config::cluster_gaps(cluster, false); !gaps.empty()) warnings.push_back(std::move(gaps));
        print_remarks(warnings, {});
        write_rows(reading.values, rows, static_cast<int>(ranks), fmt::format("predicted for cluster '{}'{}", cluster.name, request.transport == Transport::automatic ? "" : fmt::format(" over {}", name(request.transport))));
        return 0;
    }
    RankTeam team(request.ranks, request.timeout_seconds);
    std::string paths;
    std::vector<CollectiveRow> rows = measure(team, request, paths);
    if (!team.has_rank_zero()) return 0;
    std::string origin =
        request.on_gpus ? fmt::format("GPUs{}{}, NCCL {}; batches of {} calls as nccl-tests, median of 5, slowest rank", request.share_device ? " (shared)" : "",
                                      request.register_buffers ? ", registered buffers" : "",
                                      comm::nccl_version_text(), request.cases.front().repeats)
                        : fmt::format("{}, out of place, median of {}, slowest rank", team.transport(), request.cases.front().repeats);
    origin += paths;
    if (request.compare) {
        const cluster::Cluster cluster = cluster::over(cluster_of(reading.values, invocation.paths), request.transport, team.size());
        for (CollectiveRow& row : rows) row.predicted = prediction(row.sample, team.size(), 1, cluster);
        origin += fmt::format("; predicted for cluster '{}'", cluster.name);
    }
    print_remarks(reading.warnings, {});
    write_rows(reading.values, rows, team.size(), origin);
    require_right(rows);
    return 0;
}

} // namespace zerosim::cli
