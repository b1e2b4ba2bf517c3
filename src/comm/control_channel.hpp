// ControlChannel: what ranks tell each other beside collectives: who is in which op, who failed and why.
// Served by the communication thread between polls, so that a watchdog can name missing ranks and one failure ends all.
// Does not decide anything: exec/ does.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::comm {

/// Where a rank is. Written by its host thread (relaxed atomics), read by its communication thread and by signal handlers.
struct Progress {
    std::atomic<std::int64_t> step{0};
    std::atomic<std::int64_t> op{-1};            // position in program order of the op the host thread is in
    std::atomic<std::int64_t> collectives{0};    // collectives the host thread has issued
    std::atomic<std::int64_t> collective_op{-1}; // op of the oldest unfinished collective, -1 = none
};

struct PeerStatus {
    int rank = 0;
    bool answered = false; // false: stopped, dead, or too busy to answer within the patience
    std::int64_t step = 0, op = -1, collectives = 0, collective_op = -1;
};

struct AbortNotice {
    int rank = 0;
    int code = 70;
    std::string reason;
};

class ControlChannel {
public:
    virtual ~ControlChannel() = default;
    /// Answers peers' queries from `mine` and returns an abort a peer has announced. Cheap; call between polls.
    [[nodiscard]] virtual std::optional<AbortNotice> serve(const Progress& mine) = 0;
    /// Asks every peer where it is and waits up to `patience`, still serving.
    [[nodiscard]] virtual std::vector<PeerStatus> query(const Progress& mine, std::chrono::milliseconds patience) = 0;
    /// Tells every peer that this rank fails.
    virtual void announce_abort(const AbortNotice& notice) = 0;
};

} // namespace zerosim::comm
