#include "device/host_kernels/host_kernels.hpp"
#include "device/norm_bins.hpp"

namespace zerosim::device::host {

// Clipping by the global norm as torch.nn.utils.clip_grad_norm_ does it: min(1, clip / (norm + 1e-6)); the 1e-6 is PyTorch's.
void gradient_scale(const KernelCall& call) {
    const auto& o = call.operands;
    const bool scaled = o[1].data != nullptr;
    const double loss_scale = scaled ? static_cast<double>(*o[1].as<float>()) : 1.0;
    const double norm =
        std::sqrt(sum_of_norm_bins({o[0].as<double>(), static_cast<std::size_t>(kernel::kNormBins)})) / loss_scale;
    const bool skip = scaled && !std::isfinite(norm);
    double clipping = 1.0;
    if (call.attributes.clip > 0) {
        clipping = static_cast<double>(call.attributes.clip) / (norm + 1e-6);
        if (clipping > 1.0) clipping = 1.0; // written so that NaN stays NaN
    }
    if (!skip) *o[2].as<float>() += 1.0f;
    *o[3].as<double>() = norm;
    *o[4].as<float>() = static_cast<float>(clipping / loss_scale);
    *o[5].as<float>() = skip ? 1.0f : 0.0f;
}

} // namespace zerosim::device::host
