// One collective at one size between GPUs, as nccl-tests measures it: calls behind each other on a stream, out of place and in place, verified;
// and the library's own call in turn with the communicator's. Called by `collectives --device cuda` and by `calibrate`, on every rank.
// Does not print and does not know a cost model.
#pragma once

#include "cli/collectives/collective_benchmark.hpp"
#include "cli/calibrate/stream_bench.hpp"
#include "comm/stream_communicator.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace zerosim::cli {

struct GpuCollectiveSample {
    CollectiveSample out_of_place;
    std::optional<CollectiveSample> in_place;      // all-to-all and send-recv have none
    double raw_seconds = 0;                        // out of place, by the library's own call; 0 = not measured
};

/// Makes the library's own call of a collective on a stream; empty: there is none to compare with.
using RawCall = std::function<std::function<void()>(const comm::CollectiveCall&, void* stream)>;

/// Memory that the library can have registered; empty: the device's own pool, not registered.
using RegistrableMemory = std::function<std::shared_ptr<std::byte>(std::int64_t bytes)>;

/// `what.repeats` calls in a batch. Called on every rank; the result is the same on all.
[[nodiscard]] GpuCollectiveSample measure_gpu_collective(StreamBench& bench, comm::StreamCommunicator& communicator, const RawCall& raw, const CollectiveCase& what,
                                                         const RegistrableMemory& registrable = {});

}  // namespace zerosim::cli
