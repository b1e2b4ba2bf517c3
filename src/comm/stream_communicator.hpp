// StreamCommunicator: collectives of one group that run on a device's stream, behind the host. Back end: NCCL.
// Called by exec/stream_interpreter in program order; polled for errors by its watch.
// Does not order streams, own buffers or know schedules.
#pragma once

#include "comm/communicator.hpp"

#include <memory>

namespace zerosim::comm {

class StreamCommunicator {
public:
    virtual ~StreamCommunicator() = default;
    [[nodiscard]] virtual int rank() const = 0;
    [[nodiscard]] virtual int size() const = 0;
    /// Enqueues on `stream` (the device's native handle) and returns. Members enqueue the same collectives in the same order. Reductions are
    /// in the library's order: the same bits on the same machine, not those of rank order.
    virtual void enqueue(const CollectiveCall& call, void* stream) = 0;
    /// Calls between the two start together, on as many communicators of the process as they are for.
    virtual void begin_group() = 0;
    virtual void end_group() = 0;
    /// Lets the library move data in [data, data + bytes) without copies of its own, where it can (NCCL: user buffer registration). All members call it
    /// alike, and pass ranges at equal offsets. Ends with the handle, which must go before the communicator. Null: the library has no such thing.
    [[nodiscard]] virtual std::shared_ptr<void> register_memory(void* /*data*/, std::int64_t /*bytes*/) { return nullptr; }
    /// Throws EnvironmentError with the library's words when a collective in flight has failed.
    virtual void check_errors() = 0;
    /// The failure path: ends kernels that wait for peers which never come.
    virtual void abandon() noexcept = 0;
};

}  // namespace zerosim::comm
