// Kernel rates of this machine, as a rank gets them while all ranks work: GEMM, attention, vector arithmetic, memory, overhead.
// Called by `calibrate` on every rank, through the same host kernels that a run uses.
// Does not print and does not store.
#pragma once

#include "cli/collectives/rank_team.hpp"
#include "cost/host_kernel_cost.hpp"
#include "kernel/kernel.hpp"

#include <optional>
#include <string>
#include <vector>

namespace zerosim::cli {

/// What a measurement says about the machine.
enum class Resource : std::uint8_t { gemm_fp32, gemm_bf16, gemm_fp16, attention, vector, memory, cached_memory, overhead, pace };

struct KernelSample {
    Resource resource{};
    std::string what;                         // "linear 1024 x 768 x 3072 fp32"
    double work = 0;                          // FLOPs or bytes; 0 for overhead
    double vector_work = 0;                   // attention: FLOPs of its softmax, beside those of its products
    double seconds = 0;                       // median over ranks and repeats
    double low_seconds = 0, high_seconds = 0; // 10th and 90th percentile
    std::optional<cost::HostWork> host{};     // by shape, where the kernel has a pace
    DType type = DType::fp32;
};

/// Called on every rank at once; the result is the same on all. `threads` of a rank.
[[nodiscard]] std::vector<KernelSample> measure_kernels(TeamRank& rank, int threads, int repeats);

} // namespace zerosim::cli
