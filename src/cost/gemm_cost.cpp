#include "cost/gemm_cost.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace zerosim::cost {
namespace {

struct Tile {
    double rows, columns;
};
// Output tiles of a thread block (or a pair) in cuBLAS and CUTLASS (CUTLASS 3.5, media/docs/efficient_gemm.md): the library's
// heuristic picks the fastest, and so do we.
constexpr std::array<Tile, 6> kTiles{{{256, 128}, {128, 256}, {128, 128}, {128, 64}, {64, 128}, {64, 64}}};
constexpr double kLargestTile = 256.0 * 128.0;

double tiled_seconds(const GemmShape& shape, const Tile& tile, double peak, const cluster::DeviceSpec& device) {
    const cluster::GemmTiles& g = device.gemm;
    const double sms = static_cast<double>(g.multiprocessors);
    const double tiles =
        std::ceil(static_cast<double>(shape.m) / tile.rows) * std::ceil(static_cast<double>(shape.n) / tile.columns);
    // The last wave is partly filled. Where the library splits work along k (stream-K, split-K), part of that loss is avoided.
    const double full = tiles / sms, waves = full + g.wave_quantization * (std::ceil(full) - full);
    const double area = tile.rows * tile.columns;
    const double efficiency = device.gemm_efficiency * std::pow(area / kLargestTile, g.small_tile_loss) * g.sustained;
    return waves * 2.0 * area * (static_cast<double>(shape.k) + g.depth_overhead) * sms / (peak * efficiency);
}

} // namespace

double gemm_seconds(const GemmShape& shape, double peak, const cluster::DeviceSpec& device) {
    double best = std::numeric_limits<double>::infinity();
    for (const Tile& tile : kTiles) best = std::min(best, tiled_seconds(shape, tile, peak, device));
    if (shape.aligned) return best;
    const double flops = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) * static_cast<double>(shape.k);
    const double efficiency = shape.along_tokens ? device.gemm.unaligned_weight_efficiency : device.gemm.unaligned_efficiency;
    return std::max(best, flops / (peak * efficiency));
}

} // namespace zerosim::cost
