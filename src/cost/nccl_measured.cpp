// Sources of the sweeps: column `source` of tests/truth/collectives/sweeps.csv. Refit: tests/calibration/fit_collectives.cpp.
#include "cost/nccl_measured.hpp"

#include <array>

namespace zerosim::cost {
namespace {

// All generations over networks (EFA, InfiniBand, RoCE, GPUDirect-TCPX; 2, 4 and 20 nodes of A100, H100, H200, B200, GB200). Not fitted, since
// the sweeps do not tell them apart: hops of LL128 in trees, as the latencies of NVLink in tuning.cc (1.25 over 0.6); LL sends two
// bytes for one.
constexpr AcrossNodes kAcross{
    .lone_rate = 0.736,
    .ring_ll_card = 8.1, .ring_ll128_cost = 1.119,
    .ring_ll128_hop = 1.372, .ring_simple_hop = 9.226, .ring_ll128_network = 1.216, .ring_simple_network = 2.019,
    .tree_rate = 0.8408, .tree_ll_cost = 2, .tree_ll128_cost = 1.328, .tree_ll_ramp_network = 0.767,
    .tree_ll128_start_us = 37, .tree_ll128_hop = 2.08, .tree_ll128_network = 1.562,
    .tree_ramp_us = 594, .tree_ramp_bytes = 32.05e6,
    .nvls_tree_rate = 1.03,
    .nvls_tree_start_us = 64.5, .nvls_tree_network = 0.8724,
    .nvls_tree_ramp_us = 139.8, .nvls_tree_ramp_network = 6.765, .nvls_tree_ramp_bytes = 31e6,
};

// V100, hybrid cube mesh (nccl-tests on one node, vTrain's sweeps of 2 to 8 GPUs). All-to-all: as Ampere, not measured.
constexpr WithinNode kVolta{
    .ll_cost = 1.66, .ll_ramp_us = 7.5,
    .ll128_start_us = 11, .ll128_hop = 1.54, .ll128_cost = 1.17,
    .simple_start_us = 0, .simple_hop = 5.54, .copy_rate = 2.1,
    .pairs_rate = 0.883, .pairs_copy = 3.51, .pairs_peer_us = 1.65, .pairs_ramp_us = 29.2, .pairs_ramp_bytes = 1.985e6,
};

// A100, NVSwitch (aiconfigurator, NCCL 2.27; vTrain; OCI).
constexpr WithinNode kAmpere{
    .ll_cost = 1.82, .ll_ramp_us = 4.6,
    .ll128_start_us = 3.7, .ll128_hop = 1.98, .ll128_cost = 1.73,
    .simple_start_us = 24.2, .simple_hop = 13.1, .copy_rate = 1.9,
    .pairs_rate = 0.883, .pairs_copy = 3.51, .pairs_peer_us = 1.65, .pairs_ramp_us = 29.2, .pairs_ramp_bytes = 1.985e6,
};

// H100 and H200, NVSwitch (aiconfigurator, NCCL 2.23 and 2.29; AWS p5; stas00/ml-engineering).
constexpr WithinNode kHopper{
    .ll_cost = 1.81, .ll_ramp_us = 3.2,
    .ll128_start_us = 11.4, .ll128_hop = 1.57, .ll128_cost = 1.17,
    .simple_start_us = 20, .simple_hop = 2.3, .copy_rate = 2.1,
    .pairs_rate = 0.884, .pairs_copy = 11.3, .pairs_peer_us = 1.18, .pairs_ramp_us = 29.4, .pairs_ramp_bytes = 9.79e6,
    .nvls_start_us = 17.6, .nvls_ramp_us = 77, .nvls_ramp_bytes = 17.7e6, .nvls_rate = 0.718,
};

// B200, B300, GB200, GB300, NVSwitch (aiconfigurator, NCCL 2.27 and 2.29; GKE; stas00/ml-engineering). LL128: as Hopper.
constexpr WithinNode kBlackwell{
    .ll_cost = 2.28, .ll_ramp_us = 1.8,
    .ll128_start_us = 11.4, .ll128_hop = 1.57, .ll128_cost = 1.17,
    .simple_start_us = 5.8, .simple_hop = 8.85, .copy_rate = 1.48,
    .pairs_rate = 0.8783, .pairs_copy = 1.002, .pairs_peer_us = 0.528, .pairs_ramp_us = 8.305, .pairs_ramp_bytes = 39.2e3,
    .nvls_start_us = 23.5, .nvls_ramp_us = 161, .nvls_ramp_bytes = 46.5e6, .nvls_rate = 0.683,
};

// L40S, RTX 4090 with and without peer access, RTX PRO 6000 on PCIe (aiconfigurator; nccl-tests of single hosts).
constexpr WithinNode kPcie{
    .ll_cost = 2.386, .ll_ramp_us = 0,
    .simple_start_us = 13.17, .simple_hop = 5.898, .copy_rate = 5.331,
    .pairs_rate = 0.8, .pairs_copy = 5.3, .pairs_peer_us = 1.519, .pairs_ramp_us = 3.366, .pairs_ramp_bytes = 11.84e3,
};

constexpr std::array<NcclMeasured, 4> kNvlink{{{kVolta, kAcross}, {kAmpere, kAcross}, {kHopper, kAcross}, {kBlackwell, kAcross}}};
constexpr NcclMeasured kOverPcie{kPcie, kAcross};

} // namespace

const NcclMeasured& nccl_measured(const NcclTopology& topology) {
    return topology.nvlink ? kNvlink[static_cast<std::size_t>(topology.generation)] : kOverPcie;
}

} // namespace zerosim::cost
