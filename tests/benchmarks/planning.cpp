// How long planning, memory by role and simulation take in process, on one core.
// Also a simulation that keeps a clock for every rank, with its memory. usage: benchmark_planning [repeats = 9]
#include "config/model_file.hpp"
#include "config/cluster_file.hpp"
#include "config/search_paths.hpp"
#include "schedule/memory.hpp"
#include "sim/memory_replay.hpp"
#include "sim/simulate.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

using namespace zerosim;

namespace {

double median_milliseconds(int repeats, const std::function<void()>& body) {
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        body();
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    }
    std::ranges::nth_element(times, times.begin() + repeats / 2);
    return times[static_cast<std::size_t>(repeats / 2)];
}

strategy::Scenario scenario(const std::string& model, const std::string& cluster, std::int64_t ranks) {
    const auto paths = config::default_search_paths();
    strategy::Scenario s;
    s.model = config::load_model(model, paths).model;
    s.cluster = config::load_cluster(cluster);
    s.library = kernel::Library::cuda;
    s.ranks = ranks;
    s.strategy.zero_stage = 3;
    s.training.sequence_length = std::min<std::int64_t>(s.model.positions, 8192);
    s.training.recompute.every = 1;
    return s;
}

/// Peak resident bytes of the process so far.
double peak_mebibytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

/// A clock for every rank: jitter of kernels, a slow rank and a slow network card.
void measure_varied(const std::string& model, const std::string& cluster, std::int64_t ranks) {
    strategy::Scenario s = scenario(model, cluster, ranks);
    s.cluster.variation.jitter = 0.05;
    s.cluster.variation.device_spread = 0.02;
    s.cluster.variation.slow_ranks = {{17, 17, 1.3}};
    s.cluster.variation.links = {{cluster::LinkTier::network, 40, 40, 0.5}};
    const auto schedule = strategy::plan(s);
    const std::clock_t begin = std::clock(); // of the processor: other load does not count
    (void)sim::simulate(schedule, s.cluster, 3);
    const double simulation = 1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    fmt::print("{:<20} {:>7} {:>8} {:>10.1f} {:>10.0f}\n", model, ranks, schedule.programs[0].ops.size(), simulation, peak_mebibytes());
}

const char* label(strategy::System system) {
    switch (system) {
        case strategy::System::fsdp: return " fsdp";
        case strategy::System::fsdp2: return " fsdp2";
        case strategy::System::deepspeed: return " ds3";
        case strategy::System::megatron: return " megatron";
        default: return "";
    }
}

void measure(const std::string& model, const std::string& cluster, std::int64_t ranks, int repeats, strategy::System system = strategy::System::zerosim) {
    strategy::Scenario s = scenario(model, cluster, ranks);
    s.strategy.system = system;
    if (system == strategy::System::megatron) {   // the distributed optimizer: stage 1
        s.strategy.zero_stage = 1;
        s.model.implementation = model::Implementation::megatron;
    }
    const auto schedule = strategy::plan(s);
    const double plan = median_milliseconds(repeats, [&] { (void)strategy::plan(s); });
    const double memory = median_milliseconds(repeats, [&] { (void)schedule::memory_profile(schedule, 0); });
    // zerosim's own arena, or the replay of PyTorch's caching allocator.
    const double arena = median_milliseconds(repeats, [&] {
        if (system == strategy::System::zerosim) (void)schedule::plan_arena(schedule.programs[0]);
        else (void)sim::replay_memory(schedule.programs[0]);
    });
    const double simulation = median_milliseconds(repeats, [&] { (void)sim::simulate(schedule, s.cluster, 3); });
    fmt::print("{:<20} {:>7} {:>8} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.2f}\n", model + label(system), ranks, schedule.programs[0].ops.size(), plan, memory, arena, simulation);
}

}  // namespace

int main(int argc, char** argv) {
    const int repeats = argc > 1 ? std::atoi(argv[1]) : 9;
    fmt::print("# stage 3, full recompute; medians of {}, milliseconds\n# {:<18} {:>7} {:>8} {:>10} {:>10} {:>10} {:>10}\n", repeats, "model", "ranks", "ops", "plan", "memory", "allocator", "3 steps");
    measure("gpt2-124m", "a100-sxm-80gb", 8, repeats);
    measure("gpt3-175b", "a100-sxm-80gb", 1024, repeats);
    measure("gpt3-175b", "a100-sxm-80gb", 16384, repeats);
    measure("llama3.1-405b", "h100-sxm", 1024, repeats);
    measure("gpt2-124m", "h100-sxm", 8, repeats, strategy::System::fsdp2);
    measure("llama3.1-405b", "h100-sxm", 1024, repeats, strategy::System::fsdp2);
    for (const auto system : {strategy::System::fsdp, strategy::System::deepspeed, strategy::System::megatron}) measure("llama3.1-405b", "h100-sxm", 1024, repeats, system);
    fmt::print("# every rank apart: jitter, a slow rank, a slow card; once, 3 steps, milliseconds of the processor, MiB resident\n# {:<18} {:>7} {:>8} {:>10} {:>10}\n", "model", "ranks", "ops", "3 steps", "peak MiB");
    measure_varied("gpt3-175b", "a100-sxm-80gb", 1024);
    measure_varied("gpt3-175b", "a100-sxm-80gb", 16384);
}
