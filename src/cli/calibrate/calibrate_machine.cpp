#include "cli/calibrate/calibrate_machine.hpp"

#include "cli/calibrate/calibrate_collectives.hpp"
#include "cli/calibrate/calibrate_issue.hpp"
#include "cli/machine.hpp"

#include <sched.h>
#include <unistd.h>
#include <algorithm>
#include <fstream>
#include <iterator>

namespace zerosim::cli {
namespace {

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

} // namespace

Measurement measure(RankTeam& team, std::int64_t asked_threads, int repeats) {
    Measurement result;
    result.ranks = team.size();
    result.transport = team.transport();
    team.run([&](TeamRank& rank) {
        const std::int64_t cores = cores_of_all(rank);
        const int threads = static_cast<int>(asked_threads > 0 ? asked_threads : std::max<std::int64_t>(1, cores / rank.size()));
        const int of_round = std::max(1, (repeats + kRounds - 1) / kRounds);
        std::vector<KernelSample> kernels;
        std::vector<CollectiveCase> cases = collective_cases(of_round);
        std::ranges::copy(cold_cases(of_round), std::back_inserter(cases));
        std::vector<std::vector<LinkSample>> collectives;
        std::vector<double> issue, hand_over;
        for (int round = 0; round < kRounds; ++round) {
            keep_least(kernels, measure_kernels(rank, threads, of_round));
            if (rank.size() > 1) collectives.push_back(measure_links(rank, cases));
            const std::vector<double> all = rank.gather({measure_issue_seconds()});
            issue.push_back(*std::max_element(all.begin(), all.end()));
            hand_over.push_back(percentile(rank.gather({measure_hand_over_seconds()}), 0.5));
        }
        if (rank.rank() != 0) return;
        result.issue_seconds = *std::min_element(issue.begin(), issue.end());
        result.hand_over_seconds = *std::min_element(hand_over.begin(), hand_over.end());
        result.samples = std::int64_t{of_round} * kRounds;
        result.cores = cores;
        result.threads = threads;
        result.kernels = std::move(kernels);
        result.links = steady_links(collectives);
    });
    return result;
}

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
    if (measurement.ranks > 1) {
        links = fit_collectives(before, measurement.links.samples, measurement.ranks, last_level_cache());
        before.transport.reference_seconds = measurement.links.reference_seconds;
        before.transport.reference_ranks = measurement.ranks;
    }
    before.collective_launch_seconds = measurement.hand_over_seconds * share;
    return {std::move(before), links};
}

} // namespace zerosim::cli
