#include "cli/calibrate/gpu_calibrate.hpp"

#include "base/error.hpp"
#include "cli/collectives/gpu_bench_rank.hpp"
#include "cli/calibrate/gpu_calibrate_text.hpp"
#include "cli/collectives/gpu_collectives.hpp"
#include "cli/calibrate/gpu_issue.hpp"
#include "config/cluster_file.hpp"
#include "config/gpu_preset.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>

namespace zerosim::cli {
namespace {

using device::CopyPath;

/// A GPU that has other work, or is small, has no room for the shapes of GPT-2; all ranks take the same. A quarter of what is free: freed memory stays with
/// the driver's pool, and buffers of copies and of collectives, two of each, come from elsewhere.
std::int64_t room_of(TeamRank& rank, bool shared) {
    double least = static_cast<double>(device::free_gpu_bytes());
    for (const double bytes : rank.gather({least})) least = std::min(least, bytes);
    return static_cast<std::int64_t>(least) / 4 / (shared ? rank.size() : 1);
}

std::vector<CollectiveCase> collective_cases(std::int64_t room) {
    constexpr int kCalls = 20;                    // nccl-tests' -n
    std::vector<CollectiveCase> cases;
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 4 << 10; bytes <= std::min(std::int64_t{256} << 20, room / 2); bytes *= 4) cases.push_back({kind, DType::bf16, bytes, kCalls});
    return cases;
}

GpuCopySample copy_sample(CopyPath path, int from, int to, std::int64_t bytes, int repeats) {
    return {path, from, to, bytes, timing_of(device::time_copies(path, from, to, bytes, repeats))};
}

/// Rank 0's GPU and its host, while the other ranks wait; then every pair of GPUs that this process sees.
std::vector<GpuCopySample> measure_copies(int ordinal, std::int64_t room) {
    constexpr std::int64_t kMost = std::int64_t{256} << 20, kSmall = 4 << 10;
    const std::int64_t large = std::clamp(room / 8 / kSmall * kSmall, 2 * kSmall, kMost);   // the largest copy has two buffers of 4 large
    constexpr int kRepeats = 9;
    std::vector<GpuCopySample> copies{copy_sample(CopyPath::within, ordinal, ordinal, 4 * large, kRepeats)};
    for (const CopyPath path : {CopyPath::pinned_to_device, CopyPath::pinned_from_device, CopyPath::pageable_to_device, CopyPath::pageable_from_device})
        for (const std::int64_t bytes : {kSmall, large}) copies.push_back(copy_sample(path, ordinal, ordinal, bytes, kRepeats));
    for (int other = 0; other < device::count_gpus(); ++other)
        if (other != ordinal)
            for (const std::int64_t bytes : {kSmall, large}) copies.push_back(copy_sample(CopyPath::between, ordinal, other, bytes, kRepeats));
    return copies;
}

/// An addition of 16 elements: what a kernel costs that does nothing.
void measure_launch(StreamBench& bench, int batches, GpuMeasurement& result) {
    std::vector<DeviceBuffer> buffers;
    std::vector<device::TensorView> views;
    for (int i = 0; i < 3; ++i) {
        const DeviceBuffer& buffer = buffers.emplace_back(bench.device(), 64);
        views.push_back({buffer.data(), 1, 16, 16, DType::fp32});
        bench.device().fill(views.back(), 0.5);
    }
    kernel::Attributes attributes;
    attributes.tokens = 1;
    attributes.out = 16;
    const device::KernelCall call{kernel::Kernel::add, attributes, views, {}, {}, {}};
    const auto launch = [&] { bench.device().launch(call); };
    result.tiny_kernel = bench.time(batches, launch);
    constexpr int kQueued = 500;                  // fewer than the driver queues before a launch waits for the device (1,024)
    (void)bench.batch(kQueued, launch);
    result.launch_seconds = bench.host_seconds();
}

GpuMeasurement measure(RankTeam& team, const GpuCalibration& asked, device::GpuInfo& gpu) {
    GpuMeasurement result;
    team.run([&](TeamRank& rank) {
        GpuMeasurement mine;
        mine.ranks = rank.size();
        GpuBenchRank place(rank, asked.share, rank.size() > 1, asked.timeout_seconds);
        const device::GpuInfo info = device::list_gpus().at(static_cast<std::size_t>(place.ordinal()));
        mine.shared = place.sharing();
        mine.issue_seconds = measure_gpu_issue_seconds(place.ordinal(), false);
        mine.traced_issue_seconds = measure_gpu_issue_seconds(place.ordinal(), true);
        StreamBench bench(place.device(), rank);
        measure_launch(bench, asked.batches, mine);
        const std::int64_t room = room_of(rank, mine.shared);
        mine.shrink = shrink_for(room);
        for (const GpuKernelCase& what : gpu_kernel_cases(mine.shrink)) mine.kernels.push_back(measure_gpu_kernel(bench, what, asked.batches));
        if (rank.size() > 1)
            for (const CollectiveCase& what : collective_cases(room)) {
                const GpuCollectiveSample sample = measure_gpu_collective(bench, place.communicator(), {}, what);
                mine.collectives.push_back(sample.in_place.value_or(sample.out_of_place));   // as the executor has them
            }
        rank.barrier();
        if (rank.rank() == 0) mine.copies = measure_copies(place.ordinal(), room);
        rank.barrier();
        if (rank.rank() != 0) return;
        result = std::move(mine);
        gpu = info;
    });
    return result;
}

std::string preset_for(const std::string& gpu, const config::SearchPaths& paths) {
    const std::vector<std::string> presets = paths.names("clusters");
    const auto preset = config::preset_of_gpu(gpu, presets);
    if (!preset)
        throw ConfigError(fmt::format("no preset is of a device called '{}': name one with --cluster for what is not measured (peaks, network); known: {}", gpu, fmt::join(presets, ", ")));
    return *preset;
}

}  // namespace

std::string calibrate_gpus(RankTeam& team, const GpuCalibration& asked, const config::SearchPaths& paths) {
    require_processes(team);
    device::GpuInfo gpu;
    const GpuMeasurement measured = measure(team, asked, gpu);
    if (!team.has_rank_zero()) return {};
    const std::string base = asked.base.empty() ? preset_for(gpu.name, paths) : asked.base;
    cluster::Cluster cluster = config::load_cluster(base, paths);
    if (cluster.device.is_cpu) throw ConfigError(fmt::format("cluster = {}: a cluster of CPUs says nothing about GPUs", base));
    const cluster::DeviceSpec preset = cluster.device;
    cluster.name = asked.file.stem().string();
    cluster.device.name = gpu.name;
    cluster.device.memory_bytes = gpu.memory_bytes;
    const GpuFitQuality quality = fit_gpu(cluster, measured);
    const GpuCalibrationText text{gpu, base, asked.file.string(), fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr))), asked.batches, preset};
    config::save_cluster(asked.file, cluster, provenance(text, measured, quality));
    return asked.json ? calibration_json(text, measured, cluster, quality) : calibration_table(text, measured, cluster, quality);
}

}  // namespace zerosim::cli
