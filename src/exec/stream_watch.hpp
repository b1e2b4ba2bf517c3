// StreamWatch: the second thread of a rank on a GPU. It answers its peers, looks at NCCL's errors, and ends the rank when nothing moves: the host
// thread cannot while it is stuck in a call of CUDA or NCCL, whose queues are full or whose peers do not come.
// Made by execute_on_streams. The only thread that calls MPI while it lives; does not touch the device.
#pragma once

#include "exec/execute_on_streams.hpp"

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace zerosim::exec {

class StreamWatch {
public:
    StreamWatch(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options);
    ~StreamWatch();
    StreamWatch(const StreamWatch&) = delete;
    StreamWatch& operator=(const StreamWatch&) = delete;

    /// The host thread waits for this op of its program and calls check() meanwhile; -1: no longer.
    void host_waits_for(std::int64_t op) { awaited_.store(op, std::memory_order_relaxed); }
    /// Throws what ended the run: a peer's failure, NCCL's, the watchdog's.
    void check();
    /// The host thread has failed with `what` and now lets go of everything: peers and communicators are its own again; the thread only looks that
    /// it comes to an end. Peers are told, if there is something to tell.
    void host_failed(const std::string& what, const std::optional<comm::AbortNotice>& notice);

private:
    using Clock = std::chrono::steady_clock;
    void loop(const std::stop_token& stop);
    void look();
    void watch();
    [[nodiscard]] bool waits_for_peers(std::int64_t op) const;
    [[nodiscard]] std::string missing_ranks() const;
    /// Ends the process when the host thread does not come back within `patience`.
    void fail(std::exception_ptr failure, std::string what, std::chrono::milliseconds patience);

    const schedule::Schedule& schedule_;
    const schedule::Program& program_;
    std::int64_t rank_;
    StreamRankResources resources_;
    const ExecuteOptions& options_;
    std::atomic<std::int64_t> awaited_{-1};
    // Where the host thread was at the last look, and since when.
    std::int64_t step_ = -1, op_ = -1, waited_ = -1;
    Clock::time_point since_ = Clock::now();

    std::atomic<bool> failed_{false};
    std::mutex looking_;                                 // held while the thread is at its work: ending_, what_, limit_
    bool ending_ = false;
    std::string what_;
    std::optional<Clock::time_point> limit_;             // when the host thread must have come to an end
    std::mutex failing_;                                 // failure_
    std::exception_ptr failure_;
    std::jthread thread_;                                // last: it uses all of the above
};

}  // namespace zerosim::exec
