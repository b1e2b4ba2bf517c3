#include "base/error.hpp"
#include "comm/gpu_world.hpp"

namespace zerosim::comm {

bool built_with_nccl() { return false; }
std::string nccl_version_text() { return "none"; }

struct GpuWorld::State {};
GpuWorld::GpuWorld(Communicator&, double) { throw EnvironmentError("collectives between GPUs need NCCL, and this build has none (ZEROSIM_WITH_NCCL, NCCL_HOME)"); }
GpuWorld::~GpuWorld() = default;
std::unique_ptr<StreamCommunicator> GpuWorld::split(int, int) const { return nullptr; }

}  // namespace zerosim::comm
