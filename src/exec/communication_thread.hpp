// CommunicationThread: the one thread of a rank that moves data between ranks (and so the only one that calls MPI during a run).
// The interpreter posts collectives and the copies that follow them; streams stay FIFO, different streams progress side by side.
// Between polls it serves the control channel and watches for ranks that hang. Does not interpret schedules.
#pragma once

#include "comm/backoff.hpp"
#include "exec/execute.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace zerosim::exec {

/// Work for a communication stream.
struct CommunicationTask {
    std::size_t op = 0;                          // position in the program
    StreamId stream;
    comm::Communicator* communicator = nullptr;  // null: a copy or fill
    comm::CollectiveCall call;
    device::TensorView source, destination;
    bool accumulate = false, is_fill = false;
    double value = 0;
    trace::OpTime* time = nullptr;               // begin and end are written here
};

class CommunicationThread {
public:
    /// `explain(op)` names an op in messages.
    CommunicationThread(std::size_t ops, std::size_t streams, RankResources resources, const ExecuteOptions& options, std::int64_t rank,
                        std::function<std::string(std::size_t)> explain);
    ~CommunicationThread();
    CommunicationThread(const CommunicationThread&) = delete;
    CommunicationThread& operator=(const CommunicationThread&) = delete;

    void post(const CommunicationTask& task);
    /// Blocks until the op posted last at this position is complete. Throws when the run has failed.
    void wait(std::size_t op);
    /// Throws when a peer has failed or the watchdog has spoken.
    void check();
    /// Ends the thread; tells every peer first that this rank fails, if it is the one to say so.
    void stop(std::optional<comm::AbortNotice> notice);

private:
    struct Queue {
        std::deque<CommunicationTask> tasks;
        bool started = false;
        comm::Ticket ticket = 0;
        std::chrono::steady_clock::time_point since;
    };

    void loop();
    void take_posted();
    bool advance(Queue& queue);
    bool start(Queue& queue);
    void complete(Queue& queue);
    void rest(comm::Backoff& backoff, std::uint32_t heard);
    void wake();
    void watch();
    void serve();
    [[nodiscard]] const Queue* oldest() const;
    [[nodiscard]] std::string missing_ranks(const CommunicationTask& task);
    void fail(std::exception_ptr failure);
    void end_by_watchdog(const std::string& what);

    RankResources resources_;
    const ExecuteOptions& options_;
    std::int64_t rank_;
    std::function<std::string(std::size_t)> explain_;

    std::mutex mutex_;                           // posted_, sleeping
    std::condition_variable wake_;
    std::vector<CommunicationTask> posted_;
    std::atomic<std::uint32_t> posted_count_{0}, taken_count_{0};
    std::atomic<bool> stop_{false}, sleeping_{false};
    std::atomic<bool> host_waits_{false};            // so no kernel wants the core

    std::vector<std::atomic<std::uint32_t>> done_;   // by op: how often it has completed
    std::vector<std::uint32_t> expected_;            // by op: how often it was posted (host thread's)
    std::atomic<std::uint32_t> completions_{0};

    std::atomic<bool> failed_{false};
    std::mutex failure_mutex_;
    std::exception_ptr failure_;
    std::optional<comm::AbortNotice> announcement_;  // guarded by mutex_

    std::vector<Queue> queues_;
    bool own_core_ = false;                          // ranks of this node do not outnumber its cores
    std::chrono::microseconds doze_;
    std::chrono::steady_clock::time_point moved_;    // when something last did
    std::chrono::steady_clock::time_point next_watch_, host_since_;
    std::int64_t host_op_ = -1, host_step_ = -1;
    std::jthread thread_;
};

}  // namespace zerosim::exec
