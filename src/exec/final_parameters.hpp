// Final parameters: what a rank contributes to each parameter's norm and hash, and how the ranks' parts add up.
// Called at the end of execute_rank; combined by cli/ and tests over all ranks.
// Host arithmetic; does not move parameters.
#pragma once

#include "device/device.hpp"
#include "exec/rank_memory.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::exec {

/// The hash is a sum over elements of a hash of (index, bits), so the parts of any partition add up to the same.
struct FinalParameter {
    double squared_norm = 0;
    std::uint64_t hash = 0;
};

/// This rank's part, by parameter. Master weights where there are any. A parameter that every rank holds whole is rank 0's to report.
[[nodiscard]] std::vector<FinalParameter> final_parameters(const schedule::Schedule& schedule, const schedule::Program& program, const RankMemory& memory,
                                                           std::int64_t rank, device::Device& device);

}  // namespace zerosim::exec
