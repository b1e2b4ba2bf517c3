// The fits of `zerosim calibrate`: times made by a known machine give that machine back.
#include "cli/calibrate/calibrate_collectives.hpp"
#include "cli/calibrate/calibrate_fit.hpp"

#include "cost/cost.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace zerosim::cli {
namespace {

cluster::Cluster host(std::int64_t cores) {
    cluster::Cluster cluster;
    cluster.device.is_cpu = true;
    cluster.devices_per_node = 1024;
    cluster.cores = cores;
    return cluster;
}

std::vector<CollectiveSample> times_of(const cluster::Cluster& cluster, int ranks) {
    std::vector<CollectiveSample> samples;
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 1 << 10; bytes <= 1 << 26; bytes *= 8)
            samples.push_back(
                {kind, DType::fp32, bytes, bytes / 4, cost::collective_seconds(kind, bytes, ranks, 1, cluster, ranks), 0, 0, 0});
    return samples;
}

TEST(CalibrateFit, finds_the_links_that_made_the_times) {
    for (const int ranks : {2, 4, 7}) { // 7 on 4 cores: their share is taken out again
        cluster::Cluster truth = host(4);
        truth.intra_node = {3e-6, 5e9, 1.0};
        truth.reduction_bytes_per_second = 8e9;
        cluster::Cluster fitted = host(4);
        const LinkFit fit = fit_collectives(fitted, times_of(truth, ranks), ranks, 1 << 25);
        EXPECT_LT(fit.worst_error, 1e-6);
        EXPECT_NEAR(fit.latency.high - fit.latency.low, 0, 1e-10) << "no sample says otherwise";
        EXPECT_EQ(fitted.transport.eager_bytes, 0) << "the simpler model is kept";
        EXPECT_NEAR(fitted.intra_node.latency_seconds, 3e-6, 1e-10);
        EXPECT_NEAR(fitted.intra_node.bytes_per_second, 5e9, 1e5);
        EXPECT_NEAR(fitted.reduction_bytes_per_second, 8e9, 1e5);
        for (const CollectiveSample& sample : times_of(truth, ranks))
            EXPECT_NEAR(predicted_ratio(fitted, sample, ranks), 1.0, 1e-6);
    }
}

TEST(CalibrateFit, finds_announced_messages_and_what_leaves_the_cache) {
    cluster::Cluster truth = host(2);
    truth.intra_node = {0.7e-6, 16e9, 1.0};
    truth.reduction_bytes_per_second = 50e9;
    truth.transport = {cluster::HostAlgorithm::exchange, 4000, 2e-6, 1 << 25, 5e9};
    cluster::Cluster fitted = host(2);
    const LinkFit fit = fit_collectives(fitted, times_of(truth, 2), 2, 1 << 25);
    EXPECT_LT(fit.worst_error, 1e-6);
    EXPECT_EQ(fitted.transport.eager_bytes, 4000);
    EXPECT_EQ(fitted.transport.cache_bytes, 1 << 25);
    EXPECT_NEAR(fitted.transport.rendezvous_seconds, 2e-6, 1e-10);
    EXPECT_NEAR(fitted.transport.uncached_bytes_per_second, 5e9, 1e5);
    EXPECT_NEAR(fitted.intra_node.bytes_per_second, 16e9, 1e5);
}

TEST(CalibrateFit, disturbed_times_give_no_negative_costs_and_stay_near) {
    cluster::Cluster truth = host(2);
    truth.intra_node = {1e-6, 10e9, 1.0}; // reduction: free
    std::vector<CollectiveSample> samples = times_of(truth, 2);
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i].seconds *= i % 2 == 0 ? 1.3 : 1 / 1.3;
    cluster::Cluster fitted = host(2);
    const LinkFit fit = fit_collectives(fitted, samples, 2, 0);
    EXPECT_LT(fit.latency.low, fit.latency.high) << "a disturbed fit says how sure it is";
    EXPECT_GT(fit.median_error, 0.1);
    EXPECT_GE(fitted.intra_node.latency_seconds, 0.0);
    EXPECT_GE(fitted.reduction_bytes_per_second, 0.0);
    for (const CollectiveSample& sample : times_of(truth, 2)) EXPECT_NEAR(predicted_ratio(fitted, sample, 2), 1.0, 0.4);
}

TEST(CalibrateFit, a_few_samples_that_something_else_disturbed_do_not_decide) {
    cluster::Cluster truth = host(2);
    truth.intra_node = {1e-6, 10e9, 1.0};
    truth.reduction_bytes_per_second = 20e9;
    std::vector<CollectiveSample> samples = times_of(truth, 2);
    samples[1].seconds *= 40;
    samples[7].seconds *= 15;
    samples[10].seconds *= 1000; // and its low percentile tells
    samples[10].low_seconds = samples[10].seconds / 1000;
    cluster::Cluster fitted = host(2);
    (void)fit_collectives(fitted, samples, 2, 0);
    for (const CollectiveSample& sample : times_of(truth, 2)) EXPECT_NEAR(predicted_ratio(fitted, sample, 2), 1.0, 0.15) << sample.bytes;
}

TEST(CalibrateFit, kernel_rates_are_per_core) {
    const std::vector<KernelSample> samples = {
        {Resource::gemm_fp32, "", 8e9, 0, 1.0, 0, 0},   {Resource::gemm_fp32, "", 2e9, 0, 1.0, 0, 0},
        {Resource::gemm_bf16, "", 4e9, 0, 1.0, 0, 0},   {Resource::gemm_fp16, "", 4e9, 0, 1.0, 0, 0},
        {Resource::attention, "", 1e9, 1e9, 1.0, 0, 0}, {Resource::vector, "", 2e9, 0, 1.0, 0, 0},
        {Resource::memory, "", 6e9, 0, 1.0, 0, 0},      {Resource::overhead, "", 0, 0, 1e-6, 0, 0}};
    cluster::Cluster two_each = host(4);
    fit_kernels(two_each, samples, 2);
    EXPECT_DOUBLE_EQ(two_each.device.fp32_flops, 2.5e9) << "10e9 in 2 s on two cores";
    EXPECT_DOUBLE_EQ(two_each.device.memory_bytes_per_second, 3e9);
    EXPECT_DOUBLE_EQ(two_each.device.attention_efficiency, (1e9 / 2.5e9) / (2.0 - 1e9 / 1e9))
        << "without the second of softmax on two cores";
    EXPECT_DOUBLE_EQ(two_each.device.kernel_launch_seconds, 1e-6);
    cluster::Cluster crowded = host(4);
    fit_kernels(crowded, samples, 8);
    EXPECT_DOUBLE_EQ(crowded.device.memory_bytes_per_second, 12e9) << "half a core each";
    EXPECT_DOUBLE_EQ(crowded.device.kernel_launch_seconds, 0.5e-6);
}

TEST(CalibrateFit, percentiles_interpolate) {
    EXPECT_DOUBLE_EQ(percentile({3, 1, 2}, 0.5), 2);
    EXPECT_DOUBLE_EQ(percentile({1, 2}, 0.5), 1.5);
    EXPECT_DOUBLE_EQ(percentile({5, 1, 2, 3, 4}, 1.0), 5);
    EXPECT_DOUBLE_EQ(percentile({}, 0.5), 0);
}

KernelSample sample_of(Resource resource, kernel::Kernel kernel, const kernel::Attributes& attributes, DType type, const cluster::DeviceSpec& truth) {
    KernelSample sample;
    sample.resource = resource;
    sample.host = cost::host_work(kernel, attributes);
    sample.type = type;
    sample.work = sample.host->matrix_flops + sample.host->elements;
    sample.seconds = sample.low_seconds = sample.high_seconds = cost::host_seconds(*sample.host, type, truth).value();
    return sample;
}

TEST(CalibrateFit, finds_the_paces_that_made_the_times) {
    cluster::DeviceSpec truth;
    truth.fp32_flops = truth.bf16_flops = truth.fp16_flops = 100e9;
    truth.host_kernels.pace(cluster::HostKernel::product, false) = truth.host_kernels.pace(cluster::HostKernel::product, true) = {0.1e-9, 0};
    truth.host_kernels.pace(cluster::HostKernel::attention_forward, false) = {1e-9, 0};
    truth.host_kernels.pace(cluster::HostKernel::layer_norm_forward, false) = {0.2e-9, 30e-9};
    std::vector<KernelSample> samples;
    for (const Resource resource : {Resource::gemm_fp32, Resource::gemm_bf16, Resource::gemm_fp16, Resource::vector, Resource::memory, Resource::attention})
        samples.push_back({resource, "", 1e9, 0, 0.01, 0.01, 0.01});
    for (const std::int64_t width : {64, 256}) {
        kernel::Attributes a;
        a.tokens = 512;
        a.in = a.out = width;
        samples.push_back(sample_of(Resource::pace, kernel::Kernel::linear_forward, a, DType::fp32, truth));
        samples.push_back(sample_of(Resource::pace, kernel::Kernel::layer_norm_forward, a, DType::fp32, truth));
        a.batch = 1;
        a.sequence = 512;
        a.heads = a.kv_heads = 4;
        a.head_dim = static_cast<std::int32_t>(width / 4);
        samples.push_back(sample_of(Resource::pace, kernel::Kernel::attention_forward, a, DType::fp32, truth));
    }
    cluster::Cluster fitted = host(2);
    fit_kernels(fitted, samples, 2);
    const cluster::HostKernels& found = fitted.device.host_kernels;
    EXPECT_NEAR(fitted.device.fp32_flops, 100e9, 1e3);
    EXPECT_NEAR(found.pace(cluster::HostKernel::product, false).element_seconds, 0.1e-9, 1e-15);
    EXPECT_NEAR(found.pace(cluster::HostKernel::attention_forward, false).element_seconds, 1e-9, 1e-14);
    EXPECT_NEAR(found.pace(cluster::HostKernel::layer_norm_forward, false).row_seconds, 30e-9, 1e-13);
    EXPECT_FALSE(found.pace(cluster::HostKernel::gelu_forward, false).known()) << "was not measured";
}

TEST(CalibrateFit, tells_cold_buffers_and_sums_of_2_byte_floats_from_warm_ones_of_4) {
    cluster::Cluster truth = host(2);
    truth.intra_node = {1e-6, 10e9, 1.0};
    truth.reduction_bytes_per_second = 100e9;
    truth.transport.shared_latency_seconds = 0.5e-6;
    truth.transport.shared_bytes_per_second = 8e9;
    truth.transport.cold_latency_seconds = 2e-6;
    truth.transport.cold_bytes_per_second = 6e9;
    truth.transport.narrow_reduction_bytes_per_second = 20e9;
    std::vector<CollectiveSample> samples = times_of(truth, 2);
    for (const DType type : {DType::fp32, DType::bf16})
        for (const std::int64_t bytes : {1 << 12, 1 << 16, 1 << 20}) {
            CollectiveSample cold{CollectiveKind::reduce_scatter, type, bytes, 0,
                                  cost::collective_seconds(CollectiveKind::reduce_scatter, bytes, 2, 1, truth, 2, type, cost::kCold), 0, 0, 0};
            cold.coldness = cost::kCold;
            samples.push_back(cold);
            if (type == DType::fp32) {
                cold.coldness = cost::kShared;
                cold.seconds = cost::collective_seconds(cold.kind, bytes, 2, 1, truth, 2, type, cost::kShared);
                samples.push_back(cold);
            }
        }
    cluster::Cluster fitted = host(2);
    (void)fit_collectives(fitted, samples, 2, 1 << 25);
    EXPECT_NEAR(fitted.transport.cold_latency_seconds, 2e-6, 1e-9);
    EXPECT_NEAR(fitted.transport.cold_bytes_per_second, 6e9, 1e6);
    EXPECT_NEAR(fitted.transport.narrow_reduction_bytes_per_second, 20e9, 1e7);
    EXPECT_NEAR(fitted.transport.shared_latency_seconds, 0.5e-6, 1e-9);
    EXPECT_NEAR(fitted.transport.shared_bytes_per_second, 8e9, 1e6);
}

TEST(CalibrateFit, a_broadcast_between_two_ranks_has_a_rate_of_its_own) {
    cluster::Cluster truth = host(2);
    truth.intra_node = {1e-6, 10e9, 1.0};
    truth.transport.one_way_latency_share = 0.5;
    truth.transport.one_way_bytes_per_second = 25e9;
    std::vector<CollectiveSample> samples = times_of(truth, 2);
    for (const std::int64_t bytes : {1 << 10, 1 << 14, 1 << 18, 1 << 22})
        samples.push_back({CollectiveKind::broadcast, DType::fp32, bytes, 0, cost::collective_seconds(CollectiveKind::broadcast, bytes, 2, 1, truth, 2), 0, 0, 0});
    cluster::Cluster fitted = host(2);
    (void)fit_collectives(fitted, samples, 2, 0);
    EXPECT_NEAR(fitted.transport.one_way_latency_share, 0.5, 1e-3);
    EXPECT_NEAR(fitted.transport.one_way_bytes_per_second, 25e9, 1e7);
    EXPECT_NEAR(fitted.intra_node.bytes_per_second, 10e9, 1e6) << "broadcasts say nothing of messages both ways";
}

TEST(CalibrateFit, more_ranks_than_two_leave_no_rate_of_broadcasts_behind) {
    cluster::Cluster truth = host(4);
    truth.intra_node = {1e-6, 10e9, 1.0};
    std::vector<CollectiveSample> samples = times_of(truth, 4);
    samples.push_back({CollectiveKind::broadcast, DType::fp32, 1 << 20, 0, cost::collective_seconds(CollectiveKind::broadcast, 1 << 20, 4, 1, truth, 4), 0, 0, 0});
    cluster::Cluster fitted = host(4); // as another calibration left it
    fitted.transport.one_way_latency_share = 0.5;
    fitted.transport.one_way_bytes_per_second = 2e9;
    (void)fit_collectives(fitted, samples, 4, 0);
    EXPECT_EQ(fitted.transport.one_way_bytes_per_second, 0) << "two ranks then take the documented part of a step of the new links";
    EXPECT_EQ(fitted.transport.one_way_latency_share, 0);
}

CollectiveSample gather_that_took(double seconds) {
    CollectiveSample sample;
    sample.bytes = 1024;
    sample.seconds = seconds;
    return sample;
}

TEST(CalibrateLinks, samples_of_one_state_count_where_the_links_have_two) {
    // Three of five times the links are slow, by 1.7, not at once for both cases.
    const double slow = 17e-6, fast = 10e-6;
    const auto round = [](double first, double second) {
        return std::vector<LinkSample>{{gather_that_took(first / 10), first}, {gather_that_took(second / 5), second}};
    };
    const SteadyLinks links = steady_links({round(slow, slow), round(fast, slow), round(slow, fast), round(fast, fast), round(slow, slow)});
    EXPECT_EQ(links.samples[0].seconds, slow / 10);
    EXPECT_EQ(links.samples[1].seconds, slow / 5);
    EXPECT_NEAR(links.fastest, fast / slow, 1e-9);
    EXPECT_NEAR(links.slowest, 1, 1e-9);
    EXPECT_EQ(links.unsteady, 0);
}

TEST(CalibrateLinks, a_case_that_was_never_measured_near_the_middle_is_told) {
    const auto round = [](double first, double last) {
        return std::vector<LinkSample>{{gather_that_took(1e-6), first}, {gather_that_took(2e-6), first}, {gather_that_took(last / 5), last}};
    };
    const SteadyLinks links = steady_links({round(10e-6, 30e-6), round(10e-6, 25e-6), round(11e-6, 20e-6)});
    EXPECT_EQ(links.unsteady, 1);
    ASSERT_EQ(links.samples.size(), 3U);
    EXPECT_DOUBLE_EQ(links.samples.back().seconds, 4e-6) << "the round nearest to the others' state";
}

TEST(CalibrateLinks, one_rank_has_none) { EXPECT_TRUE(steady_links({}).samples.empty()); }

} // namespace
} // namespace zerosim::cli
