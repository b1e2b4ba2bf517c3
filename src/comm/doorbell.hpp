// Doorbell: wakes the communication threads of a node's other ranks when something was sent to them, so that they may sleep meanwhile.
// Made by cli/ (make_mpi_doorbell) for jobs on one node; rung and waited for by exec/'s communication thread.
// Says nothing about what was sent, and is no barrier: a rank that hears nothing looks again after a while.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace zerosim::comm {

/// One a rank, each on a cache line of its own, in memory that the ranks share.
struct alignas(64) Bell {
    std::atomic<std::uint32_t> rings{0};
    std::atomic<std::uint32_t> sleepers{0};
};

/// Linux: futex(2). Elsewhere wait() sleeps for as long as it is told to.
class Doorbell {
public:
    /// `memory` keeps the bells.
    Doorbell(std::shared_ptr<void> memory, std::span<Bell> bells, std::size_t own) : memory_(std::move(memory)), bells_(bells), own_(own) {}
    [[nodiscard]] std::size_t ranks() const { return bells_.size(); }
    /// Rings so far. Read it before looking for what was sent, and give it to wait().
    [[nodiscard]] std::uint32_t heard() const { return bells_[own_].rings.load(std::memory_order_acquire); }
    void ring_others();
    /// From another thread of this rank.
    void ring_own() { ring(bells_[own_]); }
    /// Sleeps until the bell has rung since `heard`, or `longest` has passed.
    void wait(std::uint32_t heard, std::chrono::microseconds longest);

private:
    static void ring(Bell& bell);
    std::shared_ptr<void> memory_;
    std::span<Bell> bells_;
    std::size_t own_;
};

} // namespace zerosim::comm
