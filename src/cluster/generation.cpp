#include "cluster/generation.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"

#include <fmt/core.h>

#include <array>

namespace zerosim::cluster {
namespace {

struct Generation {
    const char* name;
    double gemm_efficiency;
    GemmTiles gemm;
    double attention_efficiency;
    AttentionSpeed attention;
};

// GEMM: fit_gemm.py on the bf16 rows of tests/calibration/gemm.csv with m >= 1024 (aiconfigurator's grids, launch-free bursts).
// Mean error: A100 5.1 %, H100 3.8 %, H200 3.4 %, B200 5.0 %, L40S 7.8 %.
// sustained: Hopper 0.875: blocks on an H200 run at 0.90 of the grid, whole steps at 0.85 (h200-*.jsonl); Ampere 0.95,
// fitted on llm-foundry's and torchtitan's A100 rows (docs/accuracy.md); others 1, not measured.
// unaligned: H200, 50,257-wide F.linear: 97 of 989 TFLOP/s; the same Ampere kernels (align1) run on all, so an SM of an A100
// (1.41 against 1.98 GHz) has 0.17 of its own peak. Its weight gradient: head of gpt2-1.5b, 16,384 tokens: 251 TFLOP/s.
// Attention, Hopper: cuDNN as PyTorch 2.11 calls it on an H200 (h200-kernels.jsonl, 4.9 % mean error), and FlashAttention-2 from
// Dao 2023 (fig. 5, 6: 328 of 989 TFLOP/s on an H100, 189 of 312 on an A100, causal, head 128, 16,384 tokens; head 64 284 and
// 171; 512 tokens half of that). Ada runs Ampere's kernels and takes their figures. Blackwell's attention was not measured here:
// assumed two thirds of Hopper's fraction of the peak, since softmax, not products, bounds it (Shah et al. 2024, FlashAttention-3).
// Compute capabilities 8.6 (GA10x: A10, A40, RTX 3090) and 12.0 (RTX Blackwell) take the figures of their generation: not fitted apart.
constexpr std::array<Generation, 6> kGenerations{{
    {"ampere", 0.88, {0, 103, 0.14, 0.255, 0.95, 0.17, 0.25}, 0.64, {0.64, 30, 75, 450, 0}},
    {"ampere-8.6", 0.88, {0, 103, 0.14, 0.255, 0.95, 0.17, 0.25}, 0.64, {0.64, 30, 75, 450, 0}},
    {"hopper", 0.85, {0, 140, 0.026, 1.0, 0.875, 0.098, 0.25}, 0.90, {0.63, 204, 155, 300, 0.36}},
    {"ada", 0.67, {0, 42, 0.029, 0.22, 1.0, 0.17, 0.25}, 0.64, {0.64, 30, 75, 450, 0}},
    {"blackwell", 0.714, {0, 27, 0.019, 0.52, 1.0, 0.098, 0.25}, 0.60, {0.50, 204, 155, 300, 0.2}},
    {"blackwell-12.0", 0.714, {0, 27, 0.019, 0.52, 1.0, 0.098, 0.25}, 0.60, {0.50, 204, 155, 300, 0.2}},
}};

} // namespace

void set_generation(DeviceSpec& device, std::string_view name) {
    for (const Generation& generation : kGenerations) {
        if (name != generation.name) continue;
        const std::int64_t multiprocessors = device.gemm.multiprocessors;
        device.generation = name;
        device.gemm = generation.gemm;
        device.gemm.multiprocessors = multiprocessors;
        device.gemm_efficiency = generation.gemm_efficiency;
        device.attention = generation.attention;
        device.attention_efficiency = generation.attention_efficiency;
        return;
    }
    throw ConfigError(fmt::format("device.generation '{}' is unknown{}", name, did_you_mean(name, generation_names())));
}

std::vector<std::string> generation_names() {
    std::vector<std::string> names;
    for (const Generation& generation : kGenerations) names.emplace_back(generation.name);
    return names;
}

} // namespace zerosim::cluster
