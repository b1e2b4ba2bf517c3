// The kernels that `calibrate` times on a GPU: those of a GPT-2 step at 16 x 1024 tokens, large square products, AdamW, fills and casts.
// Called by calibrate on every rank; on any StreamDevice, so that tests run small ones without a GPU.
// Fits nothing and prints nothing.
#pragma once

#include "cli/calibrate/stream_bench.hpp"
#include "kernel/work.hpp"

#include <string>
#include <vector>

namespace zerosim::cli {

/// One kernel call of the vocabulary with its operands' shapes.
struct GpuKernelCase {
    struct Operand {
        std::int64_t rows = 0, columns = 0;
        DType dtype = DType::fp32;
        bool absent = false;
    };
    std::string what;                        // "linear-forward 16384 x 768 x 3072 bf16"
    kernel::Kernel kernel{};
    kernel::Attributes attributes;
    DType type = DType::bf16;
    std::vector<Operand> operands;
    std::int64_t shard = 0;                  // elements of the optimizer's range; 0 = the kernel has none
    bool fits = true;                        // calibrate's fit uses it; else it is only reported
};

/// What it took, and its work by formula (kernel::work).
struct GpuKernelSample {
    GpuKernelCase kernel;
    Timing seconds;
    kernel::Work work;
    [[nodiscard]] double flops_rate() const { return seconds.median > 0 ? work.matrix_flops / seconds.median : 0.0; }
    [[nodiscard]] double bytes_rate() const { return seconds.median > 0 ? work.bytes / seconds.median : 0.0; }
};

/// Sizes are divided by `shrink`. `library`: whose workspaces the operands hold.
[[nodiscard]] std::vector<GpuKernelCase> gpu_kernel_cases(std::int64_t shrink = 1, kernel::Library library = kernel::Library::cuda);

[[nodiscard]] std::int64_t operand_bytes(const GpuKernelCase& what);
/// The least shrink (1, 2, 4, ...) with which every case's operands lie in `bytes`; EnvironmentError where none does.
[[nodiscard]] std::int64_t shrink_for(std::int64_t bytes);

[[nodiscard]] GpuKernelSample measure_gpu_kernel(StreamBench& bench, const GpuKernelCase& what, int batches);

}  // namespace zerosim::cli
