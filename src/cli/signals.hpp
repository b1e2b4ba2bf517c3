// What a dying process still says: rank, host, step and op, for signals that can be caught; Ctrl-C and SIGTERM ask the run to end.
// Installed by command_run around the run.
// Holds the only process-wide state of zerosim, because signal handlers have no other.
#pragma once

#include "comm/control_channel.hpp"

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace zerosim::cli {

/// What Ctrl-C and SIGTERM do (schedulers send it at the time limit, and SIGKILL half a minute later): where all ranks are in this process
/// they can end after the same step; a process of several cannot agree.
enum class Interrupt : std::uint8_t { ends_after_the_step, ends_at_once };

/// While it lives: SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT print where each rank of this process is and end it with 128 + signal.
/// SIGINT and SIGTERM do so too, or set interrupted() the first time. A rank of several processes lets its peers speak first.
class SignalReports {
public:
    /// `labels` by local rank ("[rank 3/8 node-a]"), `ops` by position in the program. `progress` outlives this.
    SignalReports(std::vector<std::string> labels, std::vector<std::string> ops, std::span<const comm::Progress> progress, Interrupt interrupt);
    ~SignalReports();
    SignalReports(const SignalReports&) = delete;
    SignalReports& operator=(const SignalReports&) = delete;

    [[nodiscard]] static const std::atomic<bool>& interrupted();
};

}  // namespace zerosim::cli
