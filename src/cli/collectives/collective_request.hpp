// What a call of `zerosim collectives` asks for, read from its options and checked.
// Made by command_collectives.
// Measures and predicts nothing.
#pragma once

#include "base/transport.hpp"
#include "cli/collectives/collective_benchmark.hpp"
#include "config/values.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::cli {

struct CollectiveRequest {
    std::vector<CollectiveCase> cases; // by kind, sizes growing
    std::int64_t ranks = 0;            // 0 = not given
    std::int64_t stride = 1;
    bool predict = false, compare = false;
    bool on_gpus = false, share_device = false, register_buffers = false;
    double timeout_seconds = 0;
    Transport transport = Transport::automatic;
};

/// Throws ConfigError.
[[nodiscard]] CollectiveRequest collective_request(const config::Values& values);
/// The root is one of them: ConfigError.
void require_root(const config::Values& values, std::int64_t ranks);
/// On hosts, before anything is allocated: ConfigError where MPI cannot count a message, EnvironmentError where the buffers of a node's ranks are
/// more than `available` bytes (0 = unknown).
void require_room(const CollectiveRequest& request, std::int64_t ranks, std::int64_t ranks_here, bool by_mpi, std::int64_t available);

} // namespace zerosim::cli
