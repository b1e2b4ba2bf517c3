// What the kernels of a CPU core cost by shape: time of an element and of a row, beside the products at the device's rate.
// Filled by config/ from [kernel] of a cluster file and by `zerosim calibrate`; read by cost/host_kernel_cost.
// Does not say what a kernel's elements and rows are (cost/host_kernel_cost does).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace zerosim::cluster {

enum class HostKernel : std::uint8_t {
    product,
    attention_forward, attention_backward,
    gelu_forward, gelu_backward,
    swiglu_forward, swiglu_backward,
    layer_norm_forward, layer_norm_backward,
    rms_norm_forward, rms_norm_backward,
    cross_entropy_forward, cross_entropy_backward,
    embedding_forward, embedding_backward,
    squared_norm,
    count_
};
inline constexpr std::size_t kHostKernels = static_cast<std::size_t>(HostKernel::count_);

inline constexpr std::array<std::string_view, kHostKernels> kHostKernelNames{
    "product", "attention-forward", "attention-backward", "gelu-forward", "gelu-backward", "swiglu-forward", "swiglu-backward",
    "layer-norm-forward", "layer-norm-backward", "rms-norm-forward", "rms-norm-backward", "cross-entropy-forward", "cross-entropy-backward",
    "embedding-forward", "embedding-backward", "squared-norm"};

/// Both 0 = not measured: the roofline of the device.
struct Pace {
    double element_seconds = 0, row_seconds = 0;
    [[nodiscard]] bool known() const { return element_seconds > 0 || row_seconds > 0; }
};

struct HostKernels {
    std::array<std::array<Pace, 2>, kHostKernels> paces{}; // operands of 4 bytes; of 2, which are converted on the way
    std::int64_t cache_bytes = 0;                          // of one core's own (second-level) cache; 0 = not told apart
    double cached_bytes_per_second = 0;                    // streaming kernels whose operands it holds
    [[nodiscard]] const Pace& pace(HostKernel kernel, bool two_bytes) const { return paces[static_cast<std::size_t>(kernel)][two_bytes ? 1 : 0]; }
    [[nodiscard]] Pace& pace(HostKernel kernel, bool two_bytes) { return paces[static_cast<std::size_t>(kernel)][two_bytes ? 1 : 0]; }
};

} // namespace zerosim::cluster
