// `zerosim calibrate`: measures this machine with all ranks at work, and stores it as the cluster `local`.
#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/calibrate_fit.hpp"
#include "cli/calibrate_kernels.hpp"
#include "cli/commands.hpp"
#include "cli/machine.hpp"
#include "comm/launcher.hpp"
#include "config/cluster_file.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <sched.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <fstream>

namespace zerosim::cli {
namespace {

constexpr double kCollectiveTimeoutSeconds = 120; // the watchdog's default

struct Measurement {
    std::vector<KernelSample> kernels;
    std::vector<CollectiveSample> collectives;
    int ranks = 1, threads = 1;
    std::int64_t cores = 1;
    std::string transport;
};

std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (const auto colon = line.find(": "); line.starts_with("model name") && colon != std::string::npos)
            return line.substr(colon + 2);
    return "CPU";
}

/// Sizes from a scalar's to beyond the caches: latency shows at one end, bandwidth at the other.
std::vector<CollectiveCase> collective_cases(int repeats) {
    std::vector<CollectiveCase> cases;
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 1 << 10; bytes <= 1 << 26; bytes *= 8) cases.push_back({kind, DType::fp32, bytes, repeats});
    return cases;
}

/// Cores that the ranks may use together: launchers bind each to cores of its own, and a control group may allow fewer than there
/// are.
std::int64_t cores_of_all(TeamRank& rank) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    std::vector<double> mine(CPU_SETSIZE + 1, 0.0);
    if (sched_getaffinity(0, sizeof(mask), &mask) == 0)
        for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) mine[cpu] = CPU_ISSET(cpu, &mask) ? 1 : 0;
    const int allowed = available_cores();
    mine.back() = allowed < CPU_COUNT(&mask) ? allowed : 0; // less than its mask: the control group's quota, of all ranks
    const std::vector<double> all = rank.gather(mine);
    std::int64_t cores = 0;
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        bool usable = false;
        for (std::size_t begin = 0; begin < all.size(); begin += mine.size()) usable |= all[begin + cpu] > 0;
        cores += usable;
    }
    if (all[CPU_SETSIZE] > 0) cores = std::min(cores, static_cast<std::int64_t>(all[CPU_SETSIZE]));
    return std::max<std::int64_t>(1, cores);
}

/// `threads` of a rank's kernels; 0: the whole cores it may use.
Measurement measure(RankTeam& team, std::int64_t asked_threads, int repeats) {
    Measurement result;
    result.ranks = team.size();
    result.transport = team.transport();
    team.run([&](TeamRank& rank) {
        const std::int64_t cores = cores_of_all(rank);
        const int threads = static_cast<int>(asked_threads > 0 ? asked_threads : std::max<std::int64_t>(1, cores / rank.size()));
        std::vector<KernelSample> kernels = measure_kernels(rank, threads, repeats);
        std::vector<CollectiveSample> collectives;
        if (rank.size() > 1)
            for (const CollectiveCase& what : collective_cases(repeats)) collectives.push_back(measure_collective(rank, what));
        if (rank.rank() != 0) return;
        result.cores = cores;
        result.threads = threads;
        result.kernels = std::move(kernels);
        result.collectives = std::move(collectives);
    });
    return result;
}

/// What is measured is set; what is not (links, with one rank) stays as `before` has it.
cluster::Cluster fitted(cluster::Cluster before, const Measurement& measurement) {
    before.name = "local";
    before.measured = true;
    before.cores = measurement.cores;
    before.device.name = processor_name() + ", one core";
    before.device.is_cpu = true;
    before.device.memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    fit_kernels(before, measurement.kernels, measurement.ranks);
    if (measurement.ranks > 1) fit_collectives(before, measurement.collectives, measurement.ranks);
    return before;
}

std::string spread(double median, double low, double high) {
    return median > 0 ? fmt::format("{:+.0f}/{:+.0f}%", 100 * (low / median - 1), 100 * (high / median - 1)) : "-";
}

std::string kernel_table(const Measurement& measurement) {
    std::string text =
        fmt::format("# kernels of one rank, {} ranks at once, {} thread{} each; spread: 10th and 90th percentile of the time\n",
                    measurement.ranks, measurement.threads, measurement.threads == 1 ? "" : "s");
    text += fmt::format("{:<44} {:>10} {:>16} {:>12}\n", "kernel", "time", "rate", "spread");
    for (const KernelSample& s : measurement.kernels) {
        const std::string rate = s.work == 0                      ? "-"
                                 : s.resource == Resource::memory ? format_rate(s.work / s.seconds)
                                                                  : format_flops(s.work / s.seconds);
        text += fmt::format("{:<44} {:>10} {:>16} {:>12}\n", s.what, format_seconds(s.seconds), rate,
                            spread(s.seconds, s.low_seconds, s.high_seconds));
    }
    return text;
}

std::string collective_table(const Measurement& measurement, const cluster::Cluster& cluster) {
    if (measurement.collectives.empty()) return "\n# one rank: links were not measured; start 2 or more (mpirun, or --ranks)\n";
    std::string text = fmt::format("\n# collectives of {} {}\n{:<16} {:>10} {:>10} {:>14} {:>12} {:>14}\n", measurement.ranks,
                                   measurement.transport, "kind", "bytes", "time", "busbw", "spread", "model/measured");
    for (const CollectiveSample& s : measurement.collectives)
        text += fmt::format("{:<16} {:>10} {:>10} {:>14} {:>12} {:>14.2f}\n", name(s.kind), s.bytes, format_seconds(s.seconds),
                            format_rate(s.busbw(measurement.ranks)), spread(s.seconds, s.low_seconds, s.high_seconds),
                            predicted_ratio(cluster, s, measurement.ranks));
    return text;
}

std::string fit_table(const Measurement& measurement, const cluster::Cluster& c) {
    std::string text =
        fmt::format("\n# cluster 'local': {} cores; rates of one core\nGEMM fp32 {}, bf16 {}, fp16 {}; attention {:.2f} of it\n",
                    c.cores, format_flops(c.device.fp32_flops), format_flops(c.device.bf16_flops),
                    format_flops(c.device.fp16_flops), c.device.attention_efficiency);
    text += fmt::format("vector {}, memory {}, {} a kernel\n", format_flops(c.device.vector_flops),
                        format_rate(c.device.memory_bytes_per_second), format_seconds(c.device.kernel_launch_seconds));
    if (measurement.collectives.empty()) return text;
    std::vector<double> errors;
    for (const CollectiveSample& s : measurement.collectives)
        errors.push_back(std::abs(predicted_ratio(c, s, measurement.ranks) - 1));
    return text + fmt::format("link {} + {}, reduction {}; error of the fit: median {:.0f}%, worst {:.0f}%\n",
                              format_seconds(c.intra_node.latency_seconds), format_rate(c.intra_node.bytes_per_second),
                              c.reduction_bytes_per_second > 0 ? format_rate(c.reduction_bytes_per_second) : "free",
                              100 * percentile(errors, 0.5), 100 * percentile(errors, 1.0));
}

std::string json_text(const Measurement& measurement, const cluster::Cluster& cluster, const std::string& file) {
    using nlohmann::ordered_json;
    ordered_json kernels = ordered_json::array(), collectives = ordered_json::array();
    for (const KernelSample& s : measurement.kernels)
        kernels.push_back({{"kernel", s.what},
                           {"seconds", s.seconds},
                           {"low_seconds", s.low_seconds},
                           {"high_seconds", s.high_seconds},
                           {s.resource == Resource::memory ? "bytes_per_second" : "flops_per_second", s.work / s.seconds}});
    for (const CollectiveSample& s : measurement.collectives)
        collectives.push_back({{"kind", name(s.kind)},
                               {"bytes", s.bytes},
                               {"seconds", s.seconds},
                               {"low_seconds", s.low_seconds},
                               {"high_seconds", s.high_seconds},
                               {"model_over_measured", predicted_ratio(cluster, s, measurement.ranks)}});
    return ordered_json{{"schema_version", 1},
                        {"ranks", measurement.ranks},
                        {"threads", measurement.threads},
                        {"cores", cluster.cores},
                        {"transport", measurement.transport},
                        {"kernels", kernels},
                        {"collectives", collectives},
                        {"file", file}}
               .dump(2) +
           "\n";
}

std::string provenance(const Measurement& m, int repeats) {
    return fmt::format(
        "Written by zerosim calibrate: {} {}, {} thread(s) each, on {} cores; median of {} repeats, all ranks at once.\n"
        "Rates are of one core.{}",
        m.ranks, m.transport, m.threads, m.cores, repeats,
        m.ranks > 1 ? "" : " One rank: the links are those that this file replaced.");
}

/// As asked; without a launcher a rank a core, but at least two, for the links, and no more than eight, for the buffers.
std::int64_t ranks_of(const config::Values& values) {
    if (values.given("ranks")) return values.integer("ranks");
    return comm::launched_by_mpi() ? 0 : std::clamp(available_cores(), 2, 8);
}

std::filesystem::path destination(const config::Values& values) {
    if (!values.text("output").empty()) return values.text("output");
    const std::filesystem::path folder = config::user_clusters();
    if (folder.empty()) throw EnvironmentError("neither XDG_CONFIG_HOME nor HOME is set: name a file with --output");
    return folder / "local.cfg";
}

} // namespace

int command_calibrate(const Invocation& invocation) {
    const config::Reading reading = config::read_values(invocation.request());
    if (!reading.positionals.empty())
        throw ConfigError(
            fmt::format("command line: calibrate takes no '{}'; --output names the file", reading.positionals.front()));
    const config::Values& values = reading.values;
    const std::filesystem::path file = destination(values);
    const config::Format format = config::format_of(values);
    if (format == config::Format::csv) values.refuse("format", "is not one of calibrate's; use table or json");
    RankTeam team(ranks_of(values), kCollectiveTimeoutSeconds);
    const int repeats = static_cast<int>(values.integer("repeats"));
    const Measurement measurement = measure(team, values.integer("compute-threads"), repeats);
    if (!team.has_rank_zero()) return 0;
    print_remarks(reading.warnings, {});
    const cluster::Cluster cluster = fitted(config::load_cluster("local", invocation.paths), measurement);
    config::save_cluster(file, cluster, provenance(measurement, repeats));
    if (format == config::Format::json)
        fmt::print("{}", json_text(measurement, cluster, file.string()));
    else
        fmt::print("{}{}{}\nstored in {}\n", kernel_table(measurement), collective_table(measurement, cluster),
                   fit_table(measurement, cluster), file.string());
    return 0;
}

} // namespace zerosim::cli
