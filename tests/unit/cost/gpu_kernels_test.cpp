// GEMM and attention by shape, software stacks, 8-bit products: the properties that their formulas must have.
#include "base/error.hpp"
#include "cluster/generation.hpp"
#include "cost/attention_cost.hpp"
#include "cost/cost.hpp"
#include "cost/gemm_cost.hpp"

#include <gtest/gtest.h>

namespace zerosim::cost {
namespace {

using kernel::Kernel;

cluster::DeviceSpec hopper() {
    cluster::DeviceSpec device;
    device.bf16_flops = 1000e12;
    device.fp8_flops = 2000e12;
    device.memory_bytes_per_second = 4e12;
    device.gemm.multiprocessors = 132;
    cluster::set_generation(device, "hopper");
    return device;
}

double efficiency(const GemmShape& s, const cluster::DeviceSpec& device) {
    return 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k) / gemm_seconds(s, 1000e12, device) / 1000e12;
}

TEST(Gemm, whole_waves_of_deep_tiles_reach_the_generations_efficiency) {
    const cluster::DeviceSpec device = hopper();
    // 132 tiles of 256 x 128: one wave.
    const double reached = efficiency({256 * 12, 128 * 11, 1 << 20, true, false}, device);
    EXPECT_NEAR(reached, device.gemm_efficiency * device.gemm.sustained, 1e-3);
}

TEST(Gemm, a_tile_more_than_a_wave_costs_another_wave) {
    const cluster::DeviceSpec device = hopper();
    const double one = gemm_seconds({256 * 12, 128 * 11, 4096, true, false}, 1000e12, device);
    const double more = gemm_seconds({256 * 12 + 1, 128 * 11, 4096, true, false}, 1000e12, device);
    EXPECT_GT(more, 1.1 * one) << "smaller tiles soften it, but do not hide it";
    EXPECT_LE(more, 2.0 * one + 1e-12);
}

TEST(Gemm, shallow_products_are_less_efficient) {
    const cluster::DeviceSpec device = hopper();
    EXPECT_LT(efficiency({8192, 8192, 256, true, false}, device), 0.7 * efficiency({8192, 8192, 8192, true, false}, device));
}

TEST(Gemm, an_unaligned_vocabulary_is_slow) {
    const cluster::DeviceSpec device = hopper();
    kernel::Attributes odd;
    odd.tokens = 16384;
    odd.in = 1600;
    odd.out = 50257;
    kernel::Attributes padded = odd;
    padded.out = 50304;
    const auto seconds = [&](Kernel kernel, const kernel::Attributes& a) { return kernel_seconds(kernel, a, DType::bf16, device); };
    // H200: 97 TFLOP/s at 50,257 columns, about 700 at a multiple of 8; weight gradient 251.
    EXPECT_GT(seconds(Kernel::linear_forward, odd), 5 * seconds(Kernel::linear_forward, padded));
    EXPECT_GT(seconds(Kernel::linear_backward_weight, odd), 2 * seconds(Kernel::linear_backward_weight, padded));
    EXPECT_LT(seconds(Kernel::linear_backward_weight, odd), seconds(Kernel::linear_forward, odd));
}

TEST(Gemm, eight_bit_products_gain_less_than_twice_and_more_when_deep) {
    const cluster::DeviceSpec device = hopper();
    kernel::Attributes a;
    a.tokens = a.in = a.out = 8192;
    kernel::Attributes fp8 = a;
    fp8.fp8 = true;
    const double gain = kernel_seconds(Kernel::linear_forward, a, DType::bf16, device) / kernel_seconds(Kernel::linear_forward, fp8, DType::bf16, device);
    EXPECT_GT(gain, 1.3);
    EXPECT_LT(gain, 2.0);
    a.in = fp8.in = a.out = fp8.out = 1024;
    const double small = kernel_seconds(Kernel::linear_forward, a, DType::bf16, device) / kernel_seconds(Kernel::linear_forward, fp8, DType::bf16, device);
    EXPECT_LT(small, gain);
}

TEST(Gemm, eight_bit_products_gain_on_devices_known_by_an_efficiency_alone) {
    cluster::DeviceSpec device = hopper();
    device.gemm.multiprocessors = 0; // an MI300X
    kernel::Attributes a;
    a.tokens = a.in = a.out = 8192;
    kernel::Attributes fp8 = a;
    fp8.fp8 = true;
    const double gain = kernel_seconds(Kernel::linear_forward, a, DType::bf16, device) / kernel_seconds(Kernel::linear_forward, fp8, DType::bf16, device);
    EXPECT_GT(gain, 1.3);
    EXPECT_LT(gain, 2.0);
}

kernel::Attributes attention_of(std::int32_t batch, std::int32_t sequence, std::int32_t head_dim) {
    kernel::Attributes a;
    a.batch = batch;
    a.sequence = sequence;
    a.tokens = std::int64_t{batch} * sequence;
    a.heads = a.kv_heads = 32;
    a.head_dim = head_dim;
    return a;
}

TEST(Attention, grows_with_the_square_of_a_long_sequence_and_backward_costs_more) {
    const cluster::DeviceSpec device = hopper();
    const cluster::Software software;
    const auto seconds = [&](std::int32_t sequence, bool backward) {
        return attention_seconds(attention_of(1, sequence, 128), backward, 1000e12, device, software);
    };
    EXPECT_NEAR(seconds(65536, false) / seconds(32768, false), 4, 0.05);
    EXPECT_GT(seconds(8192, true), 2.5 * seconds(8192, false));
    // The same number of pairs in shorter sequences takes longer.
    EXPECT_GT(attention_seconds(attention_of(64, 512, 128), false, 1000e12, device, software), seconds(4096, false));
}

TEST(Attention, heads_are_padded_to_64) {
    const cluster::DeviceSpec device = hopper();
    const auto seconds = [&](std::int32_t head) { return attention_seconds(attention_of(1, 8192, head), false, 1000e12, device, {}); };
    EXPECT_DOUBLE_EQ(seconds(80), seconds(128));
    EXPECT_LT(seconds(64), seconds(80));
}

TEST(Attention, the_software_chooses_the_library) {
    const cluster::DeviceSpec device = hopper();
    const auto seconds = [&](std::string_view stack) {
        return attention_seconds(attention_of(1, 8192, 128), false, 1000e12, device, cluster::software(stack));
    };
    EXPECT_LT(seconds("torch-2.11"), seconds("torch-2.6")) << "cuDNN against FlashAttention-2";
    EXPECT_LT(seconds("torch-2.6"), seconds("torch-2.0")) << "FlashAttention-2 against Triton";
}

TEST(Software, compiling_saves_elementwise_traffic_and_unfused_norms) {
    const cluster::DeviceSpec device = hopper();
    cluster::Software eager = cluster::software("torch-2.6"), compiled = eager;
    compiled.compiled = true;
    kernel::Attributes a;
    a.tokens = 16384;
    a.in = a.out = 4096;
    for (const Kernel kernel : {Kernel::rms_norm_forward, Kernel::swiglu_backward})
        EXPECT_LT(kernel_seconds(kernel, a, DType::bf16, device, 1, compiled), 0.6 * kernel_seconds(kernel, a, DType::bf16, device, 1, eager));
}

TEST(Software, unknown_names_are_refused) {
    EXPECT_THROW((void)cluster::software("torch-9"), ConfigError);
    cluster::DeviceSpec device;
    EXPECT_THROW(cluster::set_generation(device, "hoper"), ConfigError);
    for (const std::string& name : cluster::software_names()) EXPECT_EQ(cluster::software(name).name, name);
}

} // namespace
} // namespace zerosim::cost
