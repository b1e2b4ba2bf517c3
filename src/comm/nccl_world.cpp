#include "comm/byte_exchange.hpp"
#include "comm/gpu_world.hpp"
#include "comm/nccl_communicator.hpp"

#include <cstring>

namespace zerosim::comm {

bool built_with_nccl() { return true; }
std::string nccl_version_text() { return nccl_version(); }
std::shared_ptr<std::byte> registrable_memory(std::int64_t bytes) { return nccl_memory(bytes); }

struct GpuWorld::State {
    NcclCommunicator world;
};

namespace {

NcclId shared_id(Communicator& host) {
    std::string bytes(NCCL_UNIQUE_ID_BYTES, '\0');
    if (host.rank() == 0) {
        const NcclId id = make_nccl_id();
        std::memcpy(bytes.data(), id.data(), id.size());
    }
    bytes = broadcast_bytes(host, bytes, 0);
    NcclId id;
    std::memcpy(id.data(), bytes.data(), id.size());
    return id;
}

}  // namespace

GpuWorld::GpuWorld(Communicator& host, double timeout_seconds) : state_(new State{NcclCommunicator(shared_id(host), host.rank(), host.size(), timeout_seconds)}) {}
GpuWorld::~GpuWorld() = default;
std::unique_ptr<StreamCommunicator> GpuWorld::split(int colour, int key) const { return state_->world.split(colour, key); }
std::function<void()> GpuWorld::raw_call(StreamCommunicator& communicator, const CollectiveCall& call, void* stream) {
    return dynamic_cast<NcclCommunicator&>(communicator).raw_call(call, stream);
}

}  // namespace zerosim::comm
