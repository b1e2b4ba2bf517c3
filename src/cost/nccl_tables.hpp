// The constants of NCCL 2.30 src/graph/tuning.cc, under its names. Rows: Volta, Ampere, Hopper, Blackwell.
// Read by nccl_tuning.cpp.
// Not measurements: what NCCL believes. Microseconds and GB/s (10^9) as in its source.
#pragma once

#include <array>
#include <cstddef>

namespace zerosim::cost::nccl {

using ByProtocol = std::array<double, 3>; // LL, LL128, Simple
using ByNodes = std::array<double, 3>;    // 1, 2, 3 or more nodes
using ByGeneration = std::array<ByNodes, 4>;

constexpr ByProtocol kTreeBaseLat{6.8, 14.0, 8.4}, kRingBaseLat{6.6, 14.0, 8.4};
constexpr double kPatBaseLat = 8.0;

/// hwLat of one kind of link.
struct HardwareLatency {
    ByProtocol tree, ring;
    double nvls, nvls_tree, pat;
};
constexpr HardwareLatency kNvlinkLat{{.6, 1.25, 4}, {.6, 1.9, 3.4}, 25, 25, 4};
constexpr HardwareLatency kPciLat{{1, 1.9, 4}, {1, 2.5, 5.7}, 0, 0, 4};
constexpr HardwareLatency kNetLat{{5, 8.5, 14}, {2.7, 4, 14}, 18, 20.9, 14};

constexpr ByGeneration kLlMaxBw{{{39, 39, 20.4}, {87.7, 22.5, 19}, {141, 45, 35}, {282, 90, 70}}};
constexpr std::array<double, 4> kPerChMaxRingLl128Bw{20, 20, 36.7, 40};
constexpr ByGeneration kPerChMaxTreeLl128Bw{{{20, 20, 20}, {20, 20, 20}, {36.7, 36.7, 29}, {55.6, 31.67, 20}}};
constexpr ByGeneration kPerChMaxTreeBw{{{26.5, 18.5, 10}, {24, 23.6, 17.8}, {38.7, 41.4, 36}, {70, 42.8, 24}}};
constexpr ByGeneration kPerChMaxNvlsTreeBw{{{26.5, 18.5, 10}, {24, 23.6, 17.8}, {0, 57.7, 45.5}, {0, 96, 80}}};
constexpr std::array<double, 4> kNvlsEfficiency{0, 0, .85, .74};

constexpr double kTreeEfficiency = 0.92, kRingLl128Efficiency = 0.92, kTreeLlShare = 1 / 3.8;
constexpr double kTreeLl128WithinNode = 7.0 / 9.0, kTreeLl128 = 120.0 / 128.0;
constexpr double kPatEfficiency = 0.75;
constexpr double kNetOverhead = 1.0;                   // us; 2 on AMD hosts, which is not known here
constexpr double kRingPlateau = 1.4, kRingPlateauBeforeAmpere = 1.9;
constexpr double kPlateauBytes = 64;                   // of a channel and rank

/// treeCorrectionFactor: by log2(bytes / 64), from 64 B to 256 MB and above.
constexpr std::size_t kCorrections = 24;
constexpr std::array<std::array<double, kCorrections>, 3> kTreeCorrection{
    {{1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1, 1},
     {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1, 1},
     {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9, .9}}};

} // namespace zerosim::cost::nccl
