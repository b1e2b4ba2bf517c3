// The ZeRO paper's closed formulas for one rank: bytes of model states between steps, and elements sent per step.
// Called by cli/ to stand beside predicted and measured numbers; the tests hold the planners to them.
// Knows no padding, no activations and no buffers: that is what the other columns show.
#pragma once

#include <cstdint>
#include <string>

namespace zerosim::analysis {

/// Which states a parameter has (docs/zero.md): mixed = 2-byte parameter and gradient, fp32 master and moments; fp32 = all fp32, no
/// master; bf16 = all 2 bytes, no master.
enum class StatePrecision : std::uint8_t { mixed, fp32, bf16 };

/// Bytes per parameter before any partitioning: P, G and O (the paper's K) of Rajbhandari et al. 2020, section 3.1.
struct StateBytes {
    std::int64_t parameter = 0, gradient = 0, optimizer = 0;
    [[nodiscard]] std::int64_t total() const { return parameter + gradient + optimizer; }
};
[[nodiscard]] StateBytes state_bytes(StatePrecision precision);

struct ZeroFormula {
    int stage = 0;
    std::int64_t parameters = 0, ranks = 1, micro_batches = 1;
    double state_bytes = 0;       // per rank
    std::string state_text;       // "(4 + 12/N)P"
    double sent_elements = 0;     // per rank and step, without scalars
    double sent_bytes = 0;        // times the dtype of parameters and gradients
    std::string sent_text;        // "3GmP"
};

/// Rajbhandari et al. 2020 ("ZeRO: Memory Optimizations Toward Training Trillion Parameter Models"), sections 5 (memory, figure 1)
/// and 7 (communication); m = (N-1)/N as rings really send, G micro-batches of which stages 2 and 3 reduce each.
[[nodiscard]] ZeroFormula zero_formulas(std::int64_t parameters, std::int64_t ranks, std::int64_t micro_batches, int stage,
                                        StatePrecision precision);

}  // namespace zerosim::analysis
