// The software stack that runs a job: what its kernels reach of the device, what its optimizer moves, what its host code costs.
// Chosen by config/ from the sharding system (cluster.software); read by cost/ and sim/. Fitted by tests/calibration/fit_steps.cpp.
// Holds ratios, not rates: a device's peaks are in DeviceSpec.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::cluster {

/// Fractions of the device's memory bandwidth that kernels reach, by class, counted in the compulsory bytes of kernel/work.
struct MemoryEfficiency {
    double elementwise = 0, norm = 0, rms_norm = 0, copy = 0, loss = 0, optimizer = 0, embedding = 0; // 0 = the device's memory-efficiency
};

/// Host seconds to issue ops. Zero = the device's host-issue-microseconds.
struct IssueSeconds {
    double forward = 0, backward = 0;                        // a kernel, with the Python or autograd code around it
    double copy = 0;                                         // a cast or copy
    double gather_forward = 0, gather_backward = 0, reduce = 0; // a collective, with the hooks of its unit
};

struct Software {
    std::string name; // empty = a stack of which nothing is known but the device's own figures
    MemoryEfficiency memory;
    IssueSeconds issue;
    double optimizer_bytes_per_parameter = 0; // read and written; 0 = kernel/work's (one fused kernel)
    double loss_forward_bytes = 0, loss_backward_bytes = 0; // a 2-byte logit, up-cast included; 0 = kernel/work's
    int cudnn_attention_from = 90;            // compute capability x 10 from which attention is cuDNN's; below it, and with 0, FlashAttention-2
    double attention_factor = 1;              // of that library's speed
    bool attention_ramp = true;               // short sequences are slower
    bool fused_cross_entropy = false;         // the loss is one kernel over 2-byte logits (planners read this)
    bool loss_in_compute_dtype = false;       // cross-entropy of 2-byte logits without an up-cast (planners read this and the next two)
    bool early_bitsandbytes = false;          // below 0.42: 4-bit layers keep their inputs for backward, and widen weights through fp16
    bool quantized_head = false;              // the head is quantized as the layers of blocks are
    bool compiled = false;                    // torch.compile: element-wise kernels and norms of blocks are fused
    double compiled_traffic = 1;              // what compiling leaves of element-wise traffic
};

/// Known stacks: "torch-2.0", "torch-2.6", "torch-2.11", "torchtitan-2025", "litgpt-2023". Throws ConfigError for another name.
[[nodiscard]] Software software(std::string_view name);
[[nodiscard]] std::vector<std::string> software_names();

} // namespace zerosim::cluster
