// Time of a GEMM on a GPU: tiles, waves of tiles, depth, alignment.
// Called by kernel_seconds. Fitted by tests/calibration/fit_gemm.py.
// Does not know kernels' names or streams.
#pragma once

#include "base/dtype.hpp"
#include "cluster/cluster.hpp"

#include <cstdint>

namespace zerosim::cost {

/// C[m,n] = A[m,k] B[k,n].
struct GemmShape {
    std::int64_t m = 0, n = 0, k = 0;
    bool aligned = true;       // every matrix's rows begin at multiples of 16 bytes
    bool along_tokens = false; // k counts tokens: a weight's gradient
};

/// Seconds of the arithmetic (no launch, no memory bound), `peak` in FLOP/s. Needs device.gemm.multiprocessors.
[[nodiscard]] double gemm_seconds(const GemmShape& shape, double peak, const cluster::DeviceSpec& device);

} // namespace zerosim::cost
