// StepGate: lets the ranks of one process end after the same step when the user interrupts them.
// Made by cli/ for ranks as threads; asked by every rank before each step.
// Does not look at signals itself: it reads a flag.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>

namespace zerosim::exec {

/// A rank that looked at the flag alone could leave while another is already in the next step and waits for it there.
class StepGate {
public:
    explicit StepGate(const std::atomic<bool>& interrupted) : interrupted_(interrupted) {}

    /// The first rank that sees the flag decides: the last step is the latest that any rank has begun.
    [[nodiscard]] bool may_start(int step) {
        const std::lock_guard lock(mutex_);
        if (last_ == kNone && interrupted_.load(std::memory_order_relaxed)) last_ = begun_;
        if (step > last_) return false;
        begun_ = std::max(begun_, step);
        return true;
    }

private:
    static constexpr int kNone = std::numeric_limits<int>::max();
    const std::atomic<bool>& interrupted_;
    std::mutex mutex_;
    int begun_ = 0, last_ = kNone;
};

}  // namespace zerosim::exec
