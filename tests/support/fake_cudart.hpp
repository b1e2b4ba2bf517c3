// What the tests' CUDA runtime has seen: see fake_cudart.cpp.
// Asked by tests that run CudaDevice on it.
// Includes no header of CUDA.
#pragma once

#include <cstddef>

namespace zerosim::test {

/// Calls refused so far, those of destructors too, whose answers nobody reads.
[[nodiscard]] int fake_cudart_errors();
/// Allocations, streams and events not given back.
[[nodiscard]] std::size_t fake_cudart_live();

}  // namespace zerosim::test
