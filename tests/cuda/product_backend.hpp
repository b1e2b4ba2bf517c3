// Matrix products where there is no GPU: CudaBlas itself, over a library with cuBLASLt's functions that computes on the host.
// Called by the emulated back end. Apart from it, for CUDA's own headers and those of the emulated grid exclude each other.
// Knows no case.
#pragma once

#include "device/device.hpp"

namespace zerosim::device::test {

[[nodiscard]] bool has_product_backend();
void run_product(const KernelCall& call, std::byte* scratch);

}  // namespace zerosim::device::test
