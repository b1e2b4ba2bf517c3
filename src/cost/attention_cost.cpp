#include "cost/attention_cost.hpp"

#include "cluster/architecture.hpp"
#include "kernel/work.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::cost {
namespace {

// FlashAttention-2's own softmax cost and ramp: Dao 2023, fig. 5 and 6 (A100, H100): head 64 reaches 0.87 to 0.90 of head 128;
// 512 tokens half of 16,384.
constexpr double kFlash2Softmax = 40, kFlash2BackwardSoftmax = 100, kFlash2Ramp = 480;

// Heads are computed in multiples of 64 (head 80 takes as long as 128: h200-kernels.jsonl).
double padded_head(double head_dim) { return std::ceil(head_dim / 64) * 64; }

/// Kernels around the backward product: o and d_o are read for their dot product, the fp32 accumulator of d_q is zeroed, and cast
/// at the end: 7 passes over q in 2 bytes (flash-attention, csrc/flash_attn/src/flash_bwd_launch_template.h). FlashAttention-2's
/// published figures contain them.
double backward_passes_seconds(const kernel::Attributes& a, const cluster::DeviceSpec& device) {
    constexpr double kPasses = 7, kElementBytes = 2;
    const double query = static_cast<double>(a.tokens) * static_cast<double>(a.heads) * static_cast<double>(a.head_dim);
    return kPasses * kElementBytes * query / (device.memory_bytes_per_second * device.memory_efficiency);
}

/// The device's best library is cuDNN where the software takes it.
bool takes_flash2(const cluster::DeviceSpec& device, const cluster::Software& software) {
    const cluster::Architecture* known = cluster::architecture(device);
    const bool cudnn = software.cudnn_attention_from > 0 && known != nullptr && known->capability >= software.cudnn_attention_from;
    return !cudnn && device.attention.flash2_efficiency > 0;
}

} // namespace

double attention_seconds(const kernel::Attributes& attributes, bool backward, double peak, const cluster::DeviceSpec& device,
                         const cluster::Software& software) {
    const cluster::AttentionSpeed& speed = device.attention;
    const bool flash2 = takes_flash2(device, software);
    double efficiency = flash2 ? speed.flash2_efficiency : device.attention_efficiency;
    double softmax = flash2 ? kFlash2Softmax : speed.softmax_flops;
    double ramp = flash2 ? kFlash2Ramp : speed.ramp_tokens;
    if (backward) {
        if (!flash2 && speed.backward_efficiency > 0) efficiency = speed.backward_efficiency;
        softmax = flash2 ? kFlash2BackwardSoftmax : speed.backward_softmax_flops;
    }
    if (!software.attention_ramp) ramp = 0;
    const double n = static_cast<double>(std::max({attributes.sequence, attributes.keys, 1}));
    // Products as counted (window, cached keys, widths of values), each head padded.
    const kernel::Kernel which = backward ? kernel::Kernel::attention_backward : kernel::Kernel::attention_forward;
    const double products_flops = kernel::work(which, attributes, DType::bf16).matrix_flops;
    const double head_dim = static_cast<double>(attributes.head_dim);
    const double value_dim = attributes.value_dim > 0 ? static_cast<double>(attributes.value_dim) : head_dim;
    const auto per_pair = [backward](double head, double value) { return backward ? 6 * head + 4 * value : 2 * head + 2 * value; };
    const double pairs = products_flops / per_pair(head_dim, value_dim);
    const bool padded = speed.backward_efficiency > 0;
    const double flops =
        pairs * (per_pair(padded ? padded_head(head_dim) : head_dim, padded ? padded_head(value_dim) : value_dim) + softmax) * (1 + ramp / n);
    const double products = flops / (peak * efficiency * software.attention_factor);
    const bool own = !flash2 && speed.flash2_efficiency > 0;
    return backward && own ? products + backward_passes_seconds(attributes, device) : products;
}

} // namespace zerosim::cost
