// Backoff: what a poller does between two unsuccessful polls: spin, then yield, then sleep a little.
// Used by Communicator::run, exec/'s communication thread, control channels and benchmarks.
// Does not poll and does not know what is waited for.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

namespace zerosim::comm {

/// Spinning answers within a poll; yielding hands the core to a peer or a compute thread when there are more threads than cores;
/// sleeping leaves it to them for good while a peer is late. An unsuccessful poll may still have moved data (MPI moves it inside
/// MPI_Test): a poll that took long did, and counts as progress. Giving up the core in the middle of a transfer costs a time
/// slice of whoever else runs, milliseconds.
class Backoff {
public:
    using Clock = std::chrono::steady_clock;

    /// Call after an unsuccessful poll.
    void pause() {
        const Clock::time_point now = Clock::now();
        if (now - resumed_ > kBusyPoll) reset();
        resumed_ = now;
        if (++idle_ <= kSpins) return;
        if (idle_ <= kSpins + kYields) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(sleep_);
            if (sleep_ < kLongestSleep) sleep_ *= 2;
        }
        resumed_ = Clock::now();
    }
    /// Call when something was achieved.
    void reset() {
        idle_ = 0;
        sleep_ = kShortestSleep;
    }

private:
    // An idle MPI_Test takes 0.1 to 0.5 us, copying one 32 KiB fragment (btl_vader_max_send_size) 3 us and more.
    static constexpr std::chrono::nanoseconds kBusyPoll{2000};
    static constexpr std::uint32_t kSpins = 200;   // some 50 us
    // Few: where a kernel has the core, a yield gives it a whole time slice, and a sleeper is woken in time.
    static constexpr std::uint32_t kYields = 20;
    static constexpr std::chrono::microseconds kShortestSleep{1};
    static constexpr std::chrono::microseconds kLongestSleep{50};

    std::uint32_t idle_ = 0;
    std::chrono::microseconds sleep_ = kShortestSleep;
    Clock::time_point resumed_ = Clock::now();
};

} // namespace zerosim::comm
