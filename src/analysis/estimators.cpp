#include "analysis/estimators.hpp"

#include <algorithm>

namespace zerosim::analysis {
namespace {

/// additional_buffer_factor, both functions' default: for pinned copies and fragmentation on the host.
constexpr double kHostBuffers = 1.5;

Estimate deepspeed_stage2(const EstimatorInput& in) {
    const double p = static_cast<double>(in.parameters), gpus = static_cast<double>(in.gpus_per_node * in.nodes);
    if (in.offload_optimizer) return {"DeepSpeed, ZeRO-2 estimator", "2P; host max(4N, 16)P x 1.5", 2 * p, p * std::max(4 * gpus, 16.0) * kHostBuffers};
    return {"DeepSpeed, ZeRO-2 estimator", "4P + 16P/N; host 4P x GPUs of a node x 1.5", 4 * p + 16 * p / gpus,
            p * 4 * static_cast<double>(in.gpus_per_node) * kHostBuffers};
}

Estimate deepspeed_stage3(const EstimatorInput& in) {
    const double p = static_cast<double>(in.parameters), gpus = static_cast<double>(in.gpus_per_node * in.nodes);
    const double layer = 4 * static_cast<double>(in.largest_layer), per_node = 1 / static_cast<double>(in.nodes);
    const char* const name = "DeepSpeed, ZeRO-3 estimator";
    if (in.offload_optimizer && in.offload_parameters) return {name, "4L; host 18P/nodes x 1.5", layer, p * 18 * per_node * kHostBuffers};
    if (in.offload_optimizer) return {name, "4L + 2P/N; host 16P/nodes x 1.5", layer + 2 * p / gpus, p * 16 * per_node * kHostBuffers};
    return {name, "4L + 18P/N; host 4L x GPUs of a node x 1.5", layer + 18 * p / gpus,
            layer * static_cast<double>(in.gpus_per_node) * kHostBuffers};
}

/// The largest of model, gradients, optimizer and step: what the command prints as "Training using Adam".
Estimate accelerate(const EstimatorInput& in) {
    const double fp32 = 4 * static_cast<double>(in.parameters);
    if (in.mixed) return {"accelerate estimate-memory", "max(4P, 6P, 8P): optimizer, batch size 1, one GPU", 2 * fp32, 0};
    return {"accelerate estimate-memory", "16P: step, batch size 1, one GPU", 4 * fp32, 0};
}

}  // namespace

std::vector<Estimate> estimates(const EstimatorInput& input) {
    std::vector<Estimate> all;
    if (input.zero_stage == 1 || input.zero_stage == 2) all.push_back(deepspeed_stage2(input));
    if (input.zero_stage == 3) all.push_back(deepspeed_stage3(input));
    all.push_back(accelerate(input));
    return all;
}

}  // namespace zerosim::analysis
