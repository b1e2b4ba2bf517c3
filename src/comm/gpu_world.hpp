// GpuWorld: NCCL's communicators without its headers: made of a host communicator that carries the unique id, split by the mesh's axes.
// Called by cli/ under mpirun, and for one rank without. Implemented by comm/nccl_world.cpp, or by comm/without_nccl.cpp.
// Starts no collective.
#pragma once

#include "comm/stream_communicator.hpp"

#include <memory>
#include <string>

namespace zerosim::comm {

[[nodiscard]] bool built_with_nccl();
/// "2.28.9"; "none" in builds without.
[[nodiscard]] std::string nccl_version_text();

class GpuWorld {
public:
    /// Collective over `host`'s ranks, each with its GPU chosen. Throws EnvironmentError when they do not all come in time.
    GpuWorld(Communicator& host, double timeout_seconds);
    ~GpuWorld();
    GpuWorld(const GpuWorld&) = delete;
    GpuWorld& operator=(const GpuWorld&) = delete;
    /// Collective over the world.
    [[nodiscard]] std::unique_ptr<StreamCommunicator> split(int colour, int key) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace zerosim::comm
