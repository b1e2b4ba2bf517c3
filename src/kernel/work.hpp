// Work of a kernel by formula: FLOPs, bytes read and written, workspace. Never a duration.
// Used by the planners (workspace), cost/ (durations) and analysis/ (MFU).
// Does not know a device's speed.
#pragma once

#include "kernel/kernel.hpp"

namespace zerosim::kernel {

struct Work {
    double flops = 0;          // multiply and add counted as two; causal attention counts the triangle only
    double matrix_flops = 0;   // the part done by matrix units (GEMM, attention)
    double bytes = 0;          // compulsory traffic: every operand read or written once
};
/// `type` = dtype of activations and weights of the call; elements of a shard (squared_norm, adamw) are attributes.tokens.
[[nodiscard]] Work work(Kernel kernel, const Attributes& attributes, DType type);

/// Which kernel library runs the schedule: its workspaces differ, and so does what a device hands out.
enum class Library : std::uint8_t { host, cuda };

/// Bytes of scratch a kernel needs beside its operands (fp32 panels of 2-byte GEMMs on the host, score tiles of attention).
/// `threads` = threads of the compute stream.
[[nodiscard]] std::int64_t workspace_bytes(Kernel kernel, const Attributes& attributes, DType type, Library library, int threads);

}  // namespace zerosim::kernel
