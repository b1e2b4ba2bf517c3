// NcclCommunicator: a StreamCommunicator over NCCL, made without blocking and with a timeout, split by the mesh's axes.
// Made by cli/ under mpirun: the unique id goes over MPI, the data over NVLink, PCIe or the network as NCCL finds them.
// Does not retry: a rank that does not come is named by who waits for it.
#pragma once

#include "comm/stream_communicator.hpp"

#include <nccl.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

namespace zerosim::comm {

struct NcclLibrary;

/// What rank 0 makes and every member is given.
using NcclId = std::array<std::byte, NCCL_UNIQUE_ID_BYTES>;
[[nodiscard]] NcclId make_nccl_id();
/// Device memory that collectives can use without copies (ncclMemAlloc), of the current device. EnvironmentError before NCCL 2.19.
[[nodiscard]] std::shared_ptr<std::byte> nccl_memory(std::int64_t bytes);
/// "2.28.9"
[[nodiscard]] std::string nccl_version();

class NcclCommunicator final : public StreamCommunicator {
public:
    /// Collective over the members. Throws EnvironmentError when not all have come within `timeout_seconds`.
    NcclCommunicator(const NcclId& id, int rank, int size, double timeout_seconds);
    ~NcclCommunicator() override;
    NcclCommunicator(const NcclCommunicator&) = delete;
    NcclCommunicator& operator=(const NcclCommunicator&) = delete;
    /// Collective over this communicator: members of one `colour` form a group, ordered by `key`.
    [[nodiscard]] std::unique_ptr<NcclCommunicator> split(int colour, int key) const;

    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return size_; }
    void enqueue(const CollectiveCall& call, void* stream) override;
    void begin_group() override;
    void end_group() override;
    void check_errors() override;
    [[nodiscard]] std::shared_ptr<void> register_memory(void* data, std::int64_t bytes) override;
    void abandon() noexcept override;
    /// NCCL's function with this communicator, ready to be called: for GpuWorld::raw_call.
    [[nodiscard]] std::function<void()> raw_call(const CollectiveCall& call, void* stream) const;

private:
    NcclCommunicator(std::shared_ptr<NcclLibrary> library, ncclComm_t communicator, double timeout_seconds);
    void wait_until_ready(const char* what) const;

    std::shared_ptr<NcclLibrary> library_;
    ncclComm_t communicator_ = nullptr;
    int rank_ = 0, size_ = 1;
    double timeout_seconds_ = 0;
};

}  // namespace zerosim::comm
