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

    /// What an unsuccessful poll calls for. `moved`: it took long, so data moved. `rest`: nothing has for a while.
    enum class Advice : std::uint8_t { moved, spin, rest };

    /// Counts an unsuccessful poll. `others_idle`: nobody of this process wants the core meanwhile; else it is given to them sooner.
    [[nodiscard]] Advice count(bool others_idle = true) {
        const Clock::time_point now = Clock::now();
        const bool busy = now - resumed_ > kBusyPoll;
        if (busy) reset();
        resumed_ = now;
        if (++idle_ > (others_idle ? kSpins : kShortSpins)) return Advice::rest;
        return busy ? Advice::moved : Advice::spin;
    }
    /// After a rest of the caller's own.
    void rested() { resumed_ = Clock::now(); }

    /// Call after an unsuccessful poll.
    void pause() {
        if (count() != Advice::rest) return;
        if (idle_ <= kSpins + kYields) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(sleep_);
            if (sleep_ < kLongestSleep) sleep_ *= 2;
        }
        rested();
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
    static constexpr std::uint32_t kShortSpins = 100; // some 25 us: what waking a sleeper costs (12 us on a busy core of a virtual machine, 21 on an idle one, 7 of the caller)
    // Few: where a kernel has the core, a yield gives it a whole time slice, and a sleeper is woken in time.
    static constexpr std::uint32_t kYields = 20;
    static constexpr std::chrono::microseconds kShortestSleep{1};
    static constexpr std::chrono::microseconds kLongestSleep{50};

    std::uint32_t idle_ = 0;
    std::chrono::microseconds sleep_ = kShortestSleep;
    Clock::time_point resumed_ = Clock::now();
};

} // namespace zerosim::comm
