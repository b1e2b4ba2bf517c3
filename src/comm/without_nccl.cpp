#include "base/error.hpp"
#include "comm/gpu_world.hpp"

namespace zerosim::comm {

bool built_with_nccl() { return false; }
std::string nccl_version_text() { return "none"; }
std::shared_ptr<std::byte> registrable_memory(std::int64_t) { throw EnvironmentError("register-buffers: this build has no NCCL"); }

struct GpuWorld::State {};
GpuWorld::GpuWorld(Communicator&, double) { throw EnvironmentError("collectives between GPUs need NCCL, and this build has none (ZEROSIM_WITH_NCCL, NCCL_HOME)"); }
GpuWorld::~GpuWorld() = default;
std::unique_ptr<StreamCommunicator> GpuWorld::split(int, int) const { return nullptr; }
std::function<void()> GpuWorld::raw_call(StreamCommunicator&, const CollectiveCall&, void*) { return {}; }

}  // namespace zerosim::comm
