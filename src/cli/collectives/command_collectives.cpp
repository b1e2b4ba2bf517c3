// `zerosim collectives`: nccl-tests' table, measured through the Communicator or predicted by the cost model.
#include "base/error.hpp"
#include "cli/collectives/collective_request.hpp"
#include "cli/collectives/collective_table.hpp"
#include "cli/collectives/gpu_bench_rank.hpp"
#include "cli/collectives/gpu_collectives.hpp"
#include "cli/collectives/nccl_tests_arguments.hpp"
#include "cli/commands.hpp"
#include "cli/machine.hpp"
#include "cluster/forced_path.hpp"
#include "config/cluster_file.hpp"
#include "config/cluster_gaps.hpp"
#include "config/gpu_preset.hpp"
#include "cost/cost.hpp"
#include "device/gpu.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

namespace zerosim::cli {
namespace {

/// What GPUs are held against unless told, as for a run: what calibrate found out about them, else the preset of such devices.
std::string cluster_name(const config::Values& values, const config::SearchPaths& paths) {
    if (values.given("cluster") || values.text("device") != "cuda" || device::count_gpus() == 0) return values.text("cluster");
    const std::vector<std::string> names = config::cluster_names(paths);
    if (std::ranges::find(names, "local-gpu") != names.end()) return "local-gpu";
    return config::preset_of_gpu(device::list_gpus().front().name, paths.names("clusters")).value_or(values.text("cluster"));
}

cluster::Cluster cluster_of(const config::Values& values, const config::SearchPaths& paths) {
    cluster::Cluster result = config::load_cluster(cluster_name(values, paths), paths);
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
    CollectiveSample sample;
    sample.kind = what.kind;
    sample.type = what.type;
    sample.count = call_count(what.kind, what.type, what.bytes, ranks);
    sample.bytes = comm::message_bytes(what.kind, sample.count, what.type, ranks);
    const CollectivePrediction predicted = prediction(sample, ranks, stride, cluster);
    sample.seconds = sample.low_seconds = sample.high_seconds = predicted.seconds;
    return {sample, false, predicted, std::nullopt, 0, what.options.root, what.options.reduction};
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
std::vector<CollectiveRow> measure_on_gpus(RankTeam& team, const CollectiveRequest& request, std::string& paths) {
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
            if (rank.rank() == 0) rows.push_back({sample.out_of_place, true, std::nullopt, sample.in_place, sample.raw_seconds, what.options.root, what.options.reduction});
        }
        if (rank.rank() == 0) paths = paths_text(gpu.paths());
    });
    return rows;
}

/// Only the rank 0 of the team has rows.
std::vector<CollectiveRow> measure(RankTeam& team, const CollectiveRequest& request, const config::Machine& machine, std::string& paths) {
    if (request.on_gpus) return measure_on_gpus(team, request, paths);
    const bool by_mpi = !team.of_threads();
    const std::int64_t ranks_here = by_mpi ? machine.local_ranks.value_or(team.size()) : team.size();
    std::vector<CollectiveRow> rows;
    team.run([&](TeamRank& rank) {
        require_room(request, rank.size(), ranks_here, by_mpi, available_memory());
        rank.barrier(); // nobody has allocated yet
        for (const CollectiveCase& what : request.cases) {
            CollectiveRow row{measure_collective(rank, what), true, std::nullopt, std::nullopt, 0, what.options.root, what.options.reduction};
            CollectiveCase in_place = what;
            in_place.options.in_place = true;
            if (has_in_place(what.kind)) row.in_place = measure_collective(rank, in_place);
            if (rank.rank() == 0) rows.push_back(std::move(row));
        }
    });
    return rows;
}

void require_right(const std::vector<CollectiveRow>& rows) {
    for (const CollectiveRow& row : rows)
        for (const std::int64_t wrong : {row.sample.wrong, row.in_place ? row.in_place->wrong : 0})
            if (wrong > 0) throw VerificationError(fmt::format("{} of {} bytes gave {} wrong elements", name(row.sample.kind), row.sample.bytes, wrong));
}

} // namespace

int command_collectives(const Invocation& invocation) {
    const config::Reading reading =
        config::read_values({invocation.command, from_nccl_tests(invocation.arguments), invocation.environment});
    if (!reading.positionals.empty())
        throw ConfigError(
            fmt::format("command line: collectives takes no '{}'; name a kind with --kind", reading.positionals.front()));
    const CollectiveRequest request = collective_request(reading.values);
    if (request.predict) {
        cluster::Cluster cluster = cluster_of(reading.values, invocation.paths);
        const std::int64_t ranks = request.ranks > 0 ? request.ranks : cluster.devices_per_node;
        require_root(reading.values, ranks);
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
    require_root(reading.values, team.size());
    std::string paths;
    std::vector<CollectiveRow> rows = measure(team, request, this_machine(invocation.environment), paths);
    if (!team.has_rank_zero()) return 0;
    std::string origin =
        request.on_gpus ? fmt::format("GPUs{}{}, NCCL {}; batches of {} calls as nccl-tests, median of 5, slowest rank", request.share_device ? " (shared)" : "",
                                      request.register_buffers ? ", registered buffers" : "",
                                      comm::nccl_version_text(), request.cases.front().repeats)
                        : fmt::format("{}, median of {}, slowest rank", team.transport(), request.cases.front().repeats);
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
