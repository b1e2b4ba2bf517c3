// Other work between collectives, as a step has: a matrix product that reads and writes a given number of bytes.
// Used by collective_benchmark, to measure what a collective takes once its buffers and the transport's memory have left the caches.
// Does not time.
#pragma once

#include "device/device.hpp"
#include "device/pool_memory.hpp"
#include "device/workers.hpp"
#include "kernel/kernel.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zerosim::cli {

/// A product, since a loop that only writes leaves more behind than kernels do: after 48 MiB of it a message of 8 bytes takes 3 to 4 us on Zen 5,
/// after as much of a product 8 to 10 (0.5 us when repeated), for a product's code and page walks come into the caches too.
class OtherWork {
public:
    /// `bytes`: read and written together; 0 = none.
    explicit OtherWork(std::int64_t bytes);
    [[nodiscard]] bool none() const { return attributes_.tokens == 0; }
    void run();

private:
    device::CachingMemory memory_{"other work"}; // huge pages, as a run has
    device::Workers workers_{1};
    kernel::Attributes attributes_;
    std::vector<device::TensorView> operands_;
};

} // namespace zerosim::cli
