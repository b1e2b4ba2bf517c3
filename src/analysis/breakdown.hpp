// Where one step of one rank went: its compute stream's busy time by kernel class and its idle time by cause, to the nanosecond.
// Called by the time report and by the gap analysis; definitions for readers: docs/metrics.md.
// Does not compare traces and does not aggregate steps.
#pragma once

#include "analysis/step_times.hpp"
#include "kernel/kernel.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace zerosim::analysis {

/// kernel::KernelClass, then what moves bytes: casts change the dtype, transfers have host memory on a side (the input's do), or a drive.
inline constexpr std::size_t kKernelClasses = static_cast<std::size_t>(kernel::KernelClass::scalar) + 1;
inline constexpr std::size_t kCastClass = kKernelClasses, kCopyClass = kCastClass + 1, kFillClass = kCopyClass + 1,
                             kTransferClass = kFillClass + 1, kDriveClass = kTransferClass + 1, kHostComputeClass = kDriveClass + 1, kWorkClasses = kHostComputeClass + 1;
[[nodiscard]] std::string_view work_class_name(std::size_t work_class);
/// The class of an op that keeps a stream busy; kWorkClasses for collectives and host bookkeeping.
[[nodiscard]] std::size_t work_class(const schedule::Program& program, const schedule::Op& op);

/// Idle time of the compute stream. A gap lies between two busy ops (or the step's ends); what it waited for is what its next op
/// depends on, through deps, stream order and host waits, as far back as the gap's begin.
struct IdleTime {
    std::int64_t late_peers = 0;    // in a collective that not every member had begun
    std::int64_t collectives = 0;   // in a collective that all members had begun
    std::int64_t other_streams = 0; // in a copy on another stream
    std::int64_t host = 0;          // nothing to wait for but the host's issue (and hand-over to the stream)
    [[nodiscard]] std::int64_t exposed_communication() const { return late_peers + collectives; }
    [[nodiscard]] std::int64_t total() const { return late_peers + collectives + other_streams + host; }
};

/// A piece of that idle time: `length` nanoseconds before `next`, in one cause.
struct Wait {
    OpId cause;               // the collective, or the op on another stream; invalid = the host's issue
    OpId next;                // the op that had to wait; invalid = the step's end
    bool late_peers = false;  // in a collective that not every member had begun
    std::int64_t length = 0;
};

/// step = sum of busy + idle.total() = sum of phases, exactly.
struct Breakdown {
    std::int64_t step = 0;
    std::int64_t forward = 0, backward = 0, optimizer = 0;
    std::int64_t communication = 0;                  // some collective running
    std::array<std::int64_t, kWorkClasses> busy{};
    IdleTime idle;
    std::vector<Wait> waits;                         // idle, piece by piece
    [[nodiscard]] std::int64_t compute() const;
};

[[nodiscard]] Breakdown breakdown(const StepTimes& step);

}  // namespace zerosim::analysis
