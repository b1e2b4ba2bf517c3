// How long planning, memory by role and simulation take in process, on one core.
// usage: benchmark_planning [repeats = 9]
#include "config/model_file.hpp"
#include "config/cluster_file.hpp"
#include "config/search_paths.hpp"
#include "schedule/memory.hpp"
#include "sim/memory_replay.hpp"
#include "sim/simulate.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
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

void measure(const std::string& model, const std::string& cluster, std::int64_t ranks, int repeats, strategy::System system = strategy::System::zerosim) {
    const auto paths = config::default_search_paths();
    strategy::Scenario s;
    s.model = config::load_model(model, paths).model;
    s.cluster = config::load_cluster(cluster);
    s.library = kernel::Library::cuda;
    s.ranks = ranks;
    s.strategy.zero_stage = 3;
    s.strategy.system = system;
    s.training.sequence_length = std::min<std::int64_t>(s.model.positions, 8192);
    s.training.recompute.every = 1;
    const auto schedule = strategy::plan(s);
    const double plan = median_milliseconds(repeats, [&] { (void)strategy::plan(s); });
    const double memory = median_milliseconds(repeats, [&] { (void)schedule::memory_profile(schedule, 0); });
    // zerosim's own arena, or the replay of PyTorch's caching allocator.
    const double arena = median_milliseconds(repeats, [&] {
        if (system == strategy::System::zerosim) (void)schedule::plan_arena(schedule.programs[0]);
        else (void)sim::replay_memory(schedule.programs[0]);
    });
    const double simulation = median_milliseconds(repeats, [&] { (void)sim::simulate(schedule, s.cluster, 3); });
    fmt::print("{:<20} {:>7} {:>8} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.2f}\n", model + (system == strategy::System::fsdp2 ? " fsdp2" : ""), ranks, schedule.programs[0].ops.size(), plan, memory, arena, simulation);
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
}
