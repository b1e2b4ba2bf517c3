// Which sequences of the global batch a rank's micro-batch has: its tokens, and the counters of its kernels' randomness.
// Used by both interpreters.
// Moves nothing to a device.
#pragma once

#include "exec/execute.hpp"

#include <vector>

namespace zerosim::exec {

/// Rank r of N takes sequences [rB/N, (r+1)B/N), its micro-batches in order.
[[nodiscard]] inline std::int64_t first_sequence(const ExecuteOptions& options, std::int64_t rank, std::int64_t micro_batch) {
    return (rank * options.gradient_accumulation + micro_batch) * options.micro_batch;
}

/// Ops outside of micro-batches count as of the first.
[[nodiscard]] inline device::KernelContext kernel_context(const ExecuteOptions& options, std::int64_t rank, int step, const schedule::Op& op) {
    device::KernelContext context;
    context.seed = options.seed;
    context.step = step;
    context.first_sample = first_sequence(options, rank, op.tags.micro_batch < 0 ? 0 : op.tags.micro_batch);
    return context;
}

/// Reused from one micro-batch to the next.
struct MicroBatch {
    std::vector<std::int32_t> tokens, targets;
    void read(data::TokenSource& source, const ExecuteOptions& options, std::int64_t rank, int step, std::int64_t micro_batch, std::int64_t count) {
        tokens.resize(static_cast<std::size_t>(count));
        targets.resize(tokens.size());
        source.fill_sequences(step - 1, first_sequence(options, rank, micro_batch), options.micro_batch, options.step_shape, tokens.data(), targets.data());
    }
};

}  // namespace zerosim::exec
