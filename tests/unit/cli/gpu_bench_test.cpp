// The benchmarks of GPUs on streams and collectives of the host: every kernel case runs, collectives are verified, the fits give back a known machine.
#include "cli/collectives/gpu_collectives.hpp"
#include "cli/calibrate/gpu_fit.hpp"
#include "cli/calibrate/gpu_issue.hpp"
#include "cli/calibrate/calibrate_issue.hpp"
#include "cli/calibrate/gpu_kernels.hpp"

#include "comm/local_communicator.hpp"
#include "config/cluster_file.hpp"
#include "config/gpu_preset.hpp"
#include "cost/cost.hpp"
#include "support/host_streams.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace zerosim::cli {
namespace {

using kernel::Kernel;

std::unique_ptr<test::HostStreams> host_streams() {
    device::HostDeviceOptions options;
    options.threads = 1;
    options.policy = device::MemoryPolicy::caching;
    options.pools = {"benchmark"};
    options.poison = {false};
    return std::make_unique<test::HostStreams>(std::make_unique<device::HostDevice>(std::move(options)));
}

TEST(GpuKernels, every_case_runs_with_the_operands_of_its_kernel) {
    const std::vector<GpuKernelCase> cases = gpu_kernel_cases(64, kernel::Library::host);
    RankTeam team(1, 60);
    std::vector<GpuKernelSample> samples;
    team.run([&](TeamRank& rank) {
        const auto device = host_streams();
        StreamBench bench(*device, rank);
        for (const GpuKernelCase& what : cases) {
            EXPECT_EQ(what.operands.size(), kernel::operands(what.kernel).size()) << what.what;
            samples.push_back(measure_gpu_kernel(bench, what, 1));
        }
        EXPECT_EQ(device->handed_out_bytes(), 0) << "buffers are given back";
    });
    ASSERT_EQ(samples.size(), cases.size());
    for (const GpuKernelSample& sample : samples) {
        EXPECT_GT(sample.seconds.median, 0) << sample.kernel.what;
        EXPECT_GT(sample.work.bytes, 0) << sample.kernel.what;
    }
}

TEST(GpuIssue, the_executor_on_streams_runs_the_tiny_kernels) {
    const schedule::Schedule schedule = tiny_kernels(40);
    for (const schedule::Tensor& tensor : schedule.program_of(0).tensors) EXPECT_EQ(tensor.rows * tensor.columns, 16) << "a kernel of no elements is not launched";
    const schedule::ArenaPlan arena = schedule::plan_arena(schedule.program_of(0));
    for (const bool traced : {false, true}) {
        device::HostDeviceOptions options;
        options.threads = 1;
        options.policy = device::MemoryPolicy::planned;
        options.pools = {"compute"};
        options.poison = {false};
        options.arena_bytes = arena.pool_bytes;
        test::HostStreams device(std::make_unique<device::HostDevice>(std::move(options)));
        EXPECT_GT(step_seconds_a_kernel(device, schedule, arena, 40, traced), 0);
    }
}

/// Does not communicate.
class Idle final : public comm::StreamCommunicator {
public:
    explicit Idle(int ranks) : ranks_(ranks) {}
    [[nodiscard]] int rank() const override { return 0; }
    [[nodiscard]] int size() const override { return ranks_; }
    void enqueue(const comm::CollectiveCall&, void*) override {}
    void begin_group() override {}
    void end_group() override {}
    void check_errors() override {}
    void abandon() noexcept override {}

private:
    int ranks_;
};

/// Rank 0's samples of every kind on `ranks` threads.
std::vector<GpuCollectiveSample> collectives(int ranks, bool idle, bool registered) {
    const comm::LocalWorld world(ranks);
    RankTeam team(ranks, 60);
    std::vector<GpuCollectiveSample> samples;
    team.run([&](TeamRank& rank) {
        const auto device = host_streams();
        StreamBench bench(*device, rank);
        std::unique_ptr<comm::StreamCommunicator> communicator;
        if (idle) communicator = std::make_unique<Idle>(ranks);
        else communicator = std::make_unique<test::BlockingCollectives>(world.communicator(rank.rank()));
        const RawCall raw = [&](const comm::CollectiveCall& call, void* stream) -> std::function<void()> {
            return [&communicator, call, stream] { communicator->enqueue(call, stream); };
        };
        RegistrableMemory registrable;
        if (registered) registrable = [](std::int64_t bytes) { return std::shared_ptr<std::byte>(new std::byte[static_cast<std::size_t>(bytes)], std::default_delete<std::byte[]>()); };
        for (const CollectiveKind kind : kCollectiveKinds) {
            if (is_reduction(kind)) continue; // the host's need scratch
            CollectiveCase what;
            what.kind = kind, what.type = DType::bf16, what.bytes = 6000, what.repeats = 2, what.options.root = ranks - 1;
            const GpuCollectiveSample sample = measure_gpu_collective(bench, *communicator, raw, what, registrable);
            if (rank.rank() == 0) samples.push_back(sample);
        }
    });
    return samples;
}

TEST(GpuCollectives, both_places_are_verified_and_the_raw_call_is_timed) {
    for (const int ranks : {1, 2, 3}) {
        const std::vector<GpuCollectiveSample> samples = collectives(ranks, false, ranks == 2);
        ASSERT_EQ(samples.size(), 6u);
        for (const GpuCollectiveSample& sample : samples) {
            EXPECT_EQ(sample.out_of_place.wrong, 0) << name(sample.out_of_place.kind) << " on " << ranks;
            EXPECT_GT(sample.raw_seconds, 0);
            EXPECT_EQ(sample.in_place.has_value(), has_in_place(sample.out_of_place.kind));
            EXPECT_EQ(sample.in_place.value_or(sample.out_of_place).wrong, 0) << name(sample.out_of_place.kind) << " on " << ranks;
        }
    }
}

TEST(GpuCollectives, a_collective_that_moves_nothing_is_wrong_in_both_places) {
    for (const GpuCollectiveSample& sample : collectives(2, true, false)) {
        EXPECT_GT(sample.out_of_place.wrong, 0) << name(sample.out_of_place.kind);
        EXPECT_GT(sample.in_place.value_or(sample.out_of_place).wrong, 0) << name(sample.out_of_place.kind);
    }
}

TEST(GpuCollectives, sums_stay_exact_in_bf16_on_many_ranks) {
    const CollectiveExercise exercise(CollectiveKind::all_reduce, DType::bf16, 512, 5, 96);
    const std::vector<std::byte> contents = exercise.contents();
    double most = 0;
    for (std::int64_t i = 0; i < exercise.sent; ++i) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, contents.data() + 2 * i, 2);
        most = std::max(most, static_cast<double>(bf16_to_float(bits)));
    }
    EXPECT_LE(most * 96, 256) << "bf16 holds whole numbers up to 256";
    EXPECT_GT(most, 0);
}

TEST(GpuKernels, cases_shrink_until_they_have_room) {
    const auto largest = [](std::int64_t shrink) {
        std::int64_t bytes = 0;
        for (const GpuKernelCase& what : gpu_kernel_cases(shrink)) bytes = std::max(bytes, operand_bytes(what));
        return bytes;
    };
    EXPECT_EQ(shrink_for(largest(1)), 1);
    EXPECT_EQ(shrink_for(largest(1) - 1), 2);
    for (const std::int64_t shrink : {2, 16, 512}) {
        EXPECT_EQ(shrink_for(largest(shrink)), shrink);
        EXPECT_LT(largest(shrink), largest(shrink / 2));
    }
    EXPECT_THROW((void)shrink_for(100), EnvironmentError);
}

/// Times that a known machine would take.
GpuMeasurement times_of(const cluster::Cluster& truth) {
    GpuMeasurement measured;
    for (const GpuKernelCase& what : gpu_kernel_cases()) {
        GpuKernelSample sample{what, {}, kernel::work(what.kernel, what.attributes, what.type)};
        const double seconds = predicted_seconds(truth, sample);
        sample.seconds = {seconds, seconds, seconds};
        measured.kernels.push_back(sample);
    }
    const double launch = truth.device.kernel_launch_seconds;
    measured.tiny_kernel = {launch, launch, launch};
    measured.issue_seconds = 4e-6;
    for (const device::CopyPath path : {device::CopyPath::pinned_to_device, device::CopyPath::pinned_from_device})
        for (const std::int64_t bytes : {std::int64_t{4} << 10, std::int64_t{256} << 20}) {
            const double seconds = truth.host_link.latency_seconds + static_cast<double>(bytes) / truth.host_link.bytes_per_second;
            measured.copies.push_back({path, 0, 0, bytes, {seconds, seconds, seconds}});
        }
    measured.ranks = 8;
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 4 << 10; bytes <= std::int64_t{256} << 20; bytes *= 4)
            measured.collectives.push_back({kind, DType::bf16, bytes, bytes / 2, cost::collective_seconds(kind, bytes, 8, 1, truth, 8), 0, 0, 0});
    return measured;
}

TEST(GpuFit, gives_back_the_machine_that_made_the_times) {
    cluster::Cluster truth = config::load_cluster("h200-sxm");
    truth.device.gemm_efficiency *= 0.8;
    truth.device.attention_efficiency *= 0.5;
    truth.device.attention.backward_efficiency *= 0.6;
    truth.device.memory_efficiency = 0.81;
    truth.device.fp32_flops *= 0.7;
    truth.device.kernel_launch_seconds = 1.9e-6;
    truth.host_link = {7e-6, 41e9, 1.0};
    truth.intra_node.efficiency *= 0.9;
    truth.intra_node.latency_seconds *= 1.3;
    truth.collective_launch_seconds *= 1.3;
    cluster::Cluster found = config::load_cluster("h200-sxm");
    const GpuFitQuality quality = fit_gpu(found, times_of(truth));
    EXPECT_NEAR(found.device.gemm_efficiency, truth.device.gemm_efficiency, 1e-3);
    EXPECT_NEAR(found.device.attention_efficiency, truth.device.attention_efficiency, 1e-3);
    EXPECT_NEAR(found.device.attention.backward_efficiency, truth.device.attention.backward_efficiency, 1e-3);
    EXPECT_NEAR(found.device.memory_efficiency, truth.device.memory_efficiency, 1e-3);
    EXPECT_NEAR(found.device.fp32_flops / truth.device.fp32_flops, 1, 1e-3);
    EXPECT_DOUBLE_EQ(found.device.kernel_launch_seconds, 1.9e-6);
    EXPECT_DOUBLE_EQ(found.device.host_issue_seconds, 4e-6);
    EXPECT_NEAR(found.host_link.bytes_per_second / 41e9, 1, 1e-6);
    EXPECT_NEAR(found.host_link.latency_seconds, 7e-6, 1e-9);
    EXPECT_NEAR(found.intra_node.efficiency / truth.intra_node.efficiency, 1, 0.02);
    EXPECT_NEAR(found.intra_node.latency_seconds / truth.intra_node.latency_seconds, 1, 0.05);
    EXPECT_LT(quality.worst_error, 0.01);
    EXPECT_LT(quality.collective_worst_error, 0.05);
    EXPECT_TRUE(found.measured);
}

TEST(GpuFit, the_file_says_what_was_fitted) {
    cluster::Cluster found = config::load_cluster("h200-sxm");
    found.device.attention.backward_efficiency = 0.123;
    const cluster::Cluster again = config::parse_cluster("again", config::cluster_text(found, "by a test"));
    EXPECT_DOUBLE_EQ(again.device.attention.backward_efficiency, 0.123);
    EXPECT_EQ(again.device.generation, found.device.generation);
}

TEST(GpuFit, ranks_that_share_a_gpu_leave_the_links_alone) {
    const cluster::Cluster preset = config::load_cluster("h200-sxm");
    cluster::Cluster slow = preset;
    slow.intra_node.efficiency *= 0.1;
    GpuMeasurement measured = times_of(slow);
    measured.shared = true;
    cluster::Cluster found = preset;
    fit_gpu(found, measured);
    EXPECT_DOUBLE_EQ(found.intra_node.efficiency, preset.intra_node.efficiency);
}

TEST(GpuPreset, is_found_by_the_words_of_the_devices_name) {
    const std::vector<std::string> presets{"a100-pcie-80gb", "a100-sxm-40gb", "a100-sxm-80gb", "h100-nvl", "h100-pcie", "h100-sxm", "h200-nvl", "h200-sxm", "l4-pcie", "l40s-pcie", "a6000-pcie",
                                           "rtx-pro-6000-pcie", "rtx4090-pcie", "gcp-dra-h200"};
    EXPECT_EQ(config::preset_of_gpu("NVIDIA H200", presets), "h200-sxm");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA H100 80GB HBM3", presets), "h100-sxm");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA H100 PCIe", presets), "h100-pcie");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA H100 NVL", presets), "h100-nvl");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA L40S", presets), "l40s-pcie");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA A100-SXM4-80GB", presets), "a100-sxm-80gb");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA GeForce RTX 4090", presets), "rtx4090-pcie");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA RTX PRO 6000 Blackwell Server Edition", presets), "rtx-pro-6000-pcie");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA RTX A6000", presets), "a6000-pcie");
    EXPECT_EQ(config::preset_of_gpu("NVIDIA RTX A4000", presets), std::nullopt);
    EXPECT_EQ(config::preset_of_gpu("NVIDIA Unheard-Of", presets), std::nullopt);
    EXPECT_EQ(config::preset_of_gpu("", presets), std::nullopt);
}

}  // namespace
}  // namespace zerosim::cli
