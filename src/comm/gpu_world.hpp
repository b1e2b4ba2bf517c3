// GpuWorld: NCCL's communicators without its headers: made of a host communicator that carries the unique id, split by the mesh's axes.
// Called by cli/ under mpirun, and for one rank without. Implemented by comm/nccl_world.cpp, or by comm/without_nccl.cpp.
// Starts no collective but for benchmarks.
#pragma once

#include "comm/stream_communicator.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace zerosim::comm {

[[nodiscard]] bool built_with_nccl();
/// "2.28.9"; "none" in builds without.
[[nodiscard]] std::string nccl_version_text();
/// Device memory of the current device that can be registered (StreamCommunicator::register_memory). EnvironmentError where the library has none.
[[nodiscard]] std::shared_ptr<std::byte> registrable_memory(std::int64_t bytes);

class GpuWorld {
public:
    /// Collective over `host`'s ranks, each with its GPU chosen. Throws EnvironmentError when they do not all come in time.
    GpuWorld(Communicator& host, double timeout_seconds);
    ~GpuWorld();
    GpuWorld(const GpuWorld&) = delete;
    GpuWorld& operator=(const GpuWorld&) = delete;
    /// Collective over the world.
    [[nodiscard]] std::unique_ptr<StreamCommunicator> split(int colour, int key) const;
    /// The library's own call on a communicator that split() made, as a program without this project would enqueue it: what benchmarks hold
    /// StreamCommunicator::enqueue against. The communicator outlives it.
    [[nodiscard]] static std::function<void()> raw_call(StreamCommunicator& communicator, const CollectiveCall& call, void* stream);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace zerosim::comm
