#include "device/host_kernels/host_kernels.hpp"

#include <algorithm>

namespace zerosim::device::host {
namespace {

// DeepSpeed's dynamic loss scale (runtime/fp16/loss_scaler.py, DynamicLossScaler, config defaults loss_scale_window = 1000 and
// min_loss_scale = 1): half at an overflow, double after 1000 steps without. Its hysteresis is left out, as in
// torch.cuda.amp.GradScaler.
constexpr float kScaleFactor = 2.0f;
constexpr float kScaleWindow = 1000.0f;
constexpr float kSmallestScale = 1.0f;

} // namespace

void loss_scale_update(const KernelCall& call) {
    const bool skip = *call.operands[0].as<float>() != 0.0f;
    float& scale = *call.operands[1].as<float>();
    float& good_steps = *call.operands[2].as<float>();
    if (skip) {
        scale = std::max(scale / kScaleFactor, kSmallestScale);
        good_steps = 0.0f;
    } else if (++good_steps >= kScaleWindow) {
        scale *= kScaleFactor;
        good_steps = 0.0f;
    }
}

} // namespace zerosim::device::host
