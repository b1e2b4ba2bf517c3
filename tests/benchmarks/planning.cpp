// How long planning, memory by role and simulation take in process, on one core.
// Also a simulation that keeps a clock for every rank, with its memory.
// usage: benchmark_planning [repeats = 9] [row, such as "llama3.1-405b fsdp2": only this one, whose first call is then that of a process]
#include "config/model_file.hpp"
#include "config/cluster_file.hpp"
#include "config/search_paths.hpp"
#include "schedule/memory.hpp"
#include "sim/memory_replay.hpp"
#include "sim/simulate.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>

#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

using namespace zerosim;

namespace {

/// Bytes of the heap, as operator new and delete below see them.
struct Heap {
    std::size_t live = 0, peak = 0;
} heap;

}  // namespace

void* operator new(std::size_t bytes) {
    void* const memory = std::malloc(bytes);
    if (memory == nullptr) throw std::bad_alloc();
    heap.live += malloc_usable_size(memory);
    heap.peak = std::max(heap.peak, heap.live);
    return memory;
}
void operator delete(void* memory) noexcept {
    heap.live -= malloc_usable_size(memory);
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

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

rusage usage() {
    rusage result{};
    getrusage(RUSAGE_SELF, &result);
    return result;
}

/// Peak resident bytes of the process so far.
double peak_mebibytes() { return static_cast<double>(usage().ru_maxrss) / 1024.0; }

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

/// zerosim's own arena, or the replay of PyTorch's caching allocator.
void reserve(const schedule::Schedule& schedule, strategy::System system) {
    if (system == strategy::System::zerosim) (void)schedule::plan_arena(schedule.programs[0]);
    else (void)sim::replay_memory(schedule.programs[0]);
}

struct Row {
    std::string model, cluster;
    std::int64_t ranks;
    strategy::System system = strategy::System::zerosim;
    [[nodiscard]] std::string name() const { return model + label(system); }
};

void measure(const Row& row, int repeats) {
    strategy::Scenario s = scenario(row.model, row.cluster, row.ranks);
    s.strategy.system = row.system;
    if (row.system == strategy::System::megatron) {   // the distributed optimizer: stage 1
        s.strategy.zero_stage = 1;
        s.model.implementation = model::Implementation::megatron;
    }
    const std::size_t heap_before = heap.peak = heap.live;
    const long faults_before = usage().ru_minflt;
    schedule::Schedule schedule;
    const double first = median_milliseconds(1, [&] {
        schedule = strategy::plan(s);
        (void)schedule::memory_profile(schedule, 0);
    });
    const long faults = usage().ru_minflt - faults_before;
    const double first_reserved = median_milliseconds(1, [&] { reserve(schedule, row.system); });
    const double peak = static_cast<double>(heap.peak - heap_before) / (1 << 20);
    const double plan = median_milliseconds(repeats, [&] { (void)strategy::plan(s); });
    const double memory = median_milliseconds(repeats, [&] { (void)schedule::memory_profile(schedule, 0); });
    const double allocator = median_milliseconds(repeats, [&] { reserve(schedule, row.system); });
    const double simulation = median_milliseconds(repeats, [&] { (void)sim::simulate(schedule, s.cluster, 3); });
    fmt::print("{:<22} {:>6} {:>7} {:>8.2f} {:>8.2f} {:>7} {:>6.1f} {:>8.2f} {:>8.2f} {:>9.2f} {:>8.2f}\n", row.name(), row.ranks,
               schedule.programs[0].ops.size(), first, first + first_reserved, faults, peak, plan, memory, allocator, simulation);
}

}  // namespace

int main(int argc, char** argv) {
    const int repeats = argc > 1 ? std::atoi(argv[1]) : 9;
    const std::string only = argc > 2 ? argv[2] : "";
    using strategy::System;
    const std::vector<Row> rows{{"gpt2-124m", "a100-sxm-80gb", 8}, {"gpt3-175b", "a100-sxm-80gb", 1024}, {"gpt3-175b", "a100-sxm-80gb", 16384},
                                {"llama3.1-405b", "h100-sxm", 1024}, {"gpt2-124m", "h100-sxm", 8, System::fsdp2},
                                {"llama3.1-405b", "h100-sxm", 1024, System::fsdp2},
                                {"llama3.1-405b", "h100-sxm", 1024, System::fsdp}, {"llama3.1-405b", "h100-sxm", 1024, System::deepspeed},
                                {"llama3.1-405b", "h100-sxm", 1024, System::megatron}};
    fmt::print("# stage 3, full recompute. By role: plan and memory; reserved: with the allocator. First call, its page faults, peak heap in MiB;\n"
               "# then medians of {}, milliseconds\n# {:<20} {:>6} {:>7} {:>8} {:>8} {:>7} {:>6} {:>8} {:>8} {:>9} {:>8}\n",
               repeats, "model", "ranks", "ops", "by role", "reserved", "faults", "heap", "plan", "memory", "allocator", "3 steps");
    for (const Row& row : rows)
        if (only.empty() || only == row.name()) measure(row, repeats);
    if (!only.empty()) return 0;
    fmt::print("# every rank apart: jitter, a slow rank, a slow card; once, 3 steps, milliseconds of the processor, MiB resident\n# {:<18} {:>7} {:>8} {:>10} {:>10}\n", "model", "ranks", "ops", "3 steps", "peak MiB");
    measure_varied("gpt3-175b", "a100-sxm-80gb", 1024);
    measure_varied("gpt3-175b", "a100-sxm-80gb", 16384);
}
