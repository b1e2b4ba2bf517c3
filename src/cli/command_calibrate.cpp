// `zerosim calibrate`: measures this machine with all ranks at work, and stores it as the cluster `local`.
#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/calibrate_fit.hpp"
#include "cli/calibrate_issue.hpp"
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
    double issue_seconds = 0;
    std::int64_t samples = 0; // of each time, over all rounds
    std::string transport;
};

/// Everything is measured so many times over, and the least median of a round counts: what disturbs one for seconds spares another.
constexpr int kRounds = 3;

template <class Sample> void keep_least(std::vector<Sample>& best, const std::vector<Sample>& round) {
    if (best.empty()) best = round;
    for (std::size_t i = 0; i < best.size(); ++i)
        if (round[i].seconds < best[i].seconds) best[i] = round[i];
}

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
        for (std::int64_t bytes = 1 << 10; bytes <= 1 << 26; bytes *= 4) cases.push_back({kind, DType::fp32, bytes, repeats});
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
        const int of_round = std::max(1, (repeats + kRounds - 1) / kRounds);
        std::vector<KernelSample> kernels;
        std::vector<CollectiveSample> collectives;
        std::vector<double> issue;
        for (int round = 0; round < kRounds; ++round) {
            keep_least(kernels, measure_kernels(rank, threads, of_round));
            std::vector<CollectiveSample> links;
            if (rank.size() > 1)
                for (const CollectiveCase& what : collective_cases(of_round)) links.push_back(measure_collective(rank, what));
            keep_least(collectives, links);
            const std::vector<double> all = rank.gather({measure_issue_seconds()});
            issue.push_back(*std::max_element(all.begin(), all.end()));
        }
        if (rank.rank() != 0) return;
        result.issue_seconds = *std::min_element(issue.begin(), issue.end());
        result.samples = std::int64_t{of_round} * kRounds;
        result.cores = cores;
        result.threads = threads;
        result.kernels = std::move(kernels);
        result.collectives = std::move(collectives);
    });
    return result;
}

/// A cluster, and how well its links are known.
struct Fitted {
    cluster::Cluster cluster;
    LinkFit links;
};

/// What is measured is set; what is not (links, with one rank) stays as `before` has it.
Fitted fitted(cluster::Cluster before, const Measurement& measurement) {
    before.name = "local";
    before.measured = true;
    before.cores = measurement.cores;
    before.device.name = processor_name() + ", one core";
    before.device.is_cpu = true;
    before.device.memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    fit_kernels(before, measurement.kernels, measurement.ranks);
    // The kernel itself is the model's; ranks that share a core take turns.
    const double share = std::min(1.0, cluster::cores_per_rank(before, measurement.ranks));
    before.device.host_issue_seconds = std::max(0.0, measurement.issue_seconds * share - before.device.kernel_launch_seconds);
    LinkFit links;
    if (measurement.ranks > 1) links = fit_collectives(before, measurement.collectives, measurement.ranks, last_level_cache());
    return {std::move(before), links};
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

/// A value and the range that it takes with any one measurement left out.
std::string with_range(const std::string& value, const std::string& low, const std::string& high) {
    return low == high ? value : fmt::format("{} ({} to {})", value, low, high);
}

std::string seconds_range(double value, const LinkFit::Range& range) {
    return with_range(format_seconds(value), format_seconds(range.low), format_seconds(range.high));
}

std::string rate_range(double value, const LinkFit::Range& range) {
    if (!(range.low > 0)) return value > 0 ? format_rate(value) + ", hardly told apart from free" : "free";
    return with_range(format_rate(value), format_rate(1 / range.high), format_rate(1 / range.low));
}

std::string link_table(const cluster::Cluster& c, const LinkFit& fit, std::size_t samples) {
    std::string text = fmt::format("link {} a message", seconds_range(c.intra_node.latency_seconds, fit.latency));
    if (c.transport.eager_bytes > 0)
        text += fmt::format(", and {} above {} B", seconds_range(c.transport.rendezvous_seconds, fit.rendezvous), c.transport.eager_bytes);
    text += fmt::format("\nlink {}", rate_range(c.intra_node.bytes_per_second, fit.seconds_a_byte));
    if (c.transport.cache_bytes > 0)
        text += fmt::format(" within {} of cache, {} beyond", format_bytes(c.transport.cache_bytes),
                            format_rate(c.transport.uncached_bytes_per_second));
    text += fmt::format("; reduction {}\n", rate_range(c.reduction_bytes_per_second, fit.reduction_seconds_a_byte));
    return text + fmt::format("in brackets: the range with any one of {} times left out; error of the fit: median {:.0f}%, worst {:.0f}%\n",
                              samples, 100 * fit.median_error, 100 * fit.worst_error);
}

std::string fit_table(const Measurement& measurement, const Fitted& fit) {
    const cluster::Cluster& c = fit.cluster;
    std::string text =
        fmt::format("\n# cluster 'local': {} cores; rates of one core; the best of {} rounds, {} samples each time\n", c.cores, kRounds,
                    measurement.samples);
    text += fmt::format("GEMM fp32 {}, bf16 {}, fp16 {}; attention {:.2f} of it\n", format_flops(c.device.fp32_flops),
                        format_flops(c.device.bf16_flops), format_flops(c.device.fp16_flops), c.device.attention_efficiency);
    text += fmt::format("vector {}, memory {}, {} a kernel, {} to issue one\n", format_flops(c.device.vector_flops),
                        format_rate(c.device.memory_bytes_per_second), format_seconds(c.device.kernel_launch_seconds),
                        format_seconds(c.device.host_issue_seconds));
    return measurement.collectives.empty() ? text : text + link_table(c, fit.links, measurement.collectives.size());
}

std::string json_text(const Measurement& measurement, const Fitted& fit, const std::string& file) {
    const cluster::Cluster& cluster = fit.cluster;
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
                        {"samples", measurement.samples},
                        {"issue_seconds", measurement.issue_seconds},
                        {"fit", {{"median_error", fit.links.median_error}, {"worst_error", fit.links.worst_error}}},
                        {"kernels", kernels},
                        {"collectives", collectives},
                        {"file", file}}
               .dump(2) +
           "\n";
}

std::string provenance(const Measurement& m, int repeats) {
    return fmt::format(
        "Written by zerosim calibrate: {} {}, {} thread(s) each, on {} cores; medians of {} repeats, all ranks at once.\n"
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
    const Fitted fit = fitted(config::load_cluster("local", invocation.paths), measurement);
    config::save_cluster(file, fit.cluster, provenance(measurement, repeats));
    if (format == config::Format::json)
        fmt::print("{}", json_text(measurement, fit, file.string()));
    else
        fmt::print("{}{}{}\nstored in {}\n", kernel_table(measurement), collective_table(measurement, fit.cluster),
                   fit_table(measurement, fit), file.string());
    return 0;
}

} // namespace zerosim::cli
