// Sources: aten/src/ATen/native/transformers/cuda/mem_eff_attention/kernel_backward.h (Params::workspace_size),
// kernels/generate_kernels.py (which kernels exist, in which order they are tried), attention_backward.cu (splits of the keys).
#include "strategy/torch/efficient_attention.hpp"

#include <algorithm>

namespace zerosim::strategy::torch {
namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return ceil_div(value, multiple) * multiple; }

struct Kernel {
    std::int64_t rows, keys;   // of a block: kBlockSizeI, kBlockSizeJ
    bool in_registers;         // kOutputInRF: dk and dv
};

/// The smallest kMaxK that holds the head, of it the highest block that fits into shared memory: blocks of 128 rows do not fit into the
/// 99 KiB of 8.6, 8.9 and 12.x ("we still need fallback to 64 for GPUs with less shmem"), which have one of 128 x 64 for heads up to 96 instead.
Kernel kernel_of(std::int64_t head, bool half, int capability) {
    constexpr std::int64_t kSmallHead = 64, kConsumerHead = 96, kLargeHead = 128;
    constexpr int kAmpere = 80;
    if (head <= kSmallHead) return {64, 64, half};
    const bool small_memory = capability > kAmpere && capability != 90 && capability / 10 != 10;
    if (half && (capability == 86 || capability == 89) && head <= kConsumerHead) return {128, 64, true};
    if (small_memory || (!half && capability < kAmpere)) return {64, 64, false};
    const bool registers = half && head <= kLargeHead;
    return {128, registers && capability >= kAmpere ? 128 : 64, registers};
}

}  // namespace

EfficientRoom efficient_room(const AttentionShape& s, DType dtype, int capability) {
    if (capability == 0) return {};
    const bool half = dtype != DType::fp32;
    const Kernel k = kernel_of(std::max(s.head_dim, s.value_width()), half, capability);
    constexpr int kVolta = 70;
    constexpr std::int64_t kLocks = 16;   // GradQTempStorage: lock, counter, padding
    // Keys are split over blocks, so that dq is summed in memory in fp32 too [kNeedsAccumGradQ].
    const std::int64_t dq = ceil_div(s.sequence, k.rows) * ceil_div(s.head_dim, k.keys) * (kLocks + 4 * k.rows * k.keys);
    std::int64_t dk_dv = 0;
    if (half && !k.in_registers) {
        const std::int64_t splits = std::clamp<std::int64_t>(200 / (s.batch * s.heads), 1, ceil_div(s.key_count(), k.keys));
        dk_dv = 4 * splits * k.keys * (round_up(s.head_dim, k.rows) + round_up(s.value_width(), k.rows));
    }
    return {half && (k.in_registers || capability != kVolta), s.batch * s.heads * round_up(dq + dk_dv, 16)};
}

}  // namespace zerosim::strategy::torch
