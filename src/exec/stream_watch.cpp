#include "exec/stream_watch.hpp"

#include "base/error.hpp"
#include "exec/watchdog.hpp"
#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::exec {
namespace {

/// Between two looks: short against any timeout, long against what a look costs (an MPI_Iprobe and an atomic read a communicator).
constexpr std::chrono::milliseconds kLook{5};
/// How long the host thread may take to notice that the run has failed: less than peers wait for who failed to say so itself (mpi_job.cpp). Then to abort
/// communicators and let go of what it holds, which takes NCCL and the driver no second unless something hangs there too.
constexpr std::chrono::milliseconds kNotice{250}, kEnd{5000};
/// A rank that is stuck and has learnt of a peer's failure: that peer lets go of its communicators first and then ends the job itself, once and with its own
/// exit code. This one speaks only if it does not.
constexpr std::chrono::milliseconds kPeersWord{2000};

}  // namespace

StreamWatch::StreamWatch(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options)
    : schedule_(schedule), program_(schedule.program_of(rank)), rank_(rank), resources_(resources), options_(options), thread_([this](const std::stop_token& stop) { loop(stop); }) {}

StreamWatch::~StreamWatch() = default;

void StreamWatch::check() {
    if (!failed_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(failing_);
    std::rethrow_exception(failure_);
}

void StreamWatch::host_failed(const std::string& what, const std::optional<comm::AbortNotice>& notice) {
    {
        const std::lock_guard lock(looking_);
        ending_ = true;
        what_ = what;
        limit_ = Clock::now() + kEnd;
    }
    if (notice && resources_.control != nullptr) resources_.control->announce_abort(*notice);
}

void StreamWatch::fail(std::exception_ptr failure, std::string what, std::chrono::milliseconds patience) {
    what_ = std::move(what);
    limit_ = Clock::now() + patience;
    {
        const std::lock_guard lock(failing_);
        failure_ = std::move(failure);
    }
    failed_.store(true, std::memory_order_release);
}

void StreamWatch::loop(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        {
            const std::lock_guard lock(looking_);
            if (!ending_ && !failed_.load(std::memory_order_relaxed)) {
                try {
                    look();
                } catch (const RunError& error) {
                    fail(std::current_exception(), error.what(), error.of_peer() ? kPeersWord : kNotice);
                } catch (const std::exception& error) {
                    fail(std::current_exception(), error.what(), kNotice);
                }
            }
            if (limit_ && Clock::now() > *limit_) {      // the host thread does not come back
                limit_.reset();
                if (options_.on_stuck) options_.on_stuck(what_);
            }
        }
        std::this_thread::sleep_for(kLook);
    }
}

void StreamWatch::look() {
    if (resources_.control != nullptr)
        if (const auto notice = resources_.control->serve(resources_.progress))
            throw failure_of_peer(rank_, *notice);
    resources_.communicators.for_each([](comm::StreamCommunicator& communicator) { communicator.check_errors(); });
    watch();
}

/// Else it hangs by itself: it is in a call that needs nobody, or in one that is behind what peers have not done (launches into a full queue).
bool StreamWatch::waits_for_peers(std::int64_t op) const {
    return waited_ >= 0 || program_.ops[static_cast<std::size_t>(op)].kind == schedule::OpKind::collective;
}

void StreamWatch::watch() {
    const std::int64_t step = resources_.progress.step.load(std::memory_order_relaxed), op = resources_.progress.op.load(std::memory_order_relaxed);
    const std::int64_t waited = awaited_.load(std::memory_order_relaxed);
    const auto now = Clock::now();
    if (step != step_ || op != op_ || waited != waited_) {
        step_ = step, op_ = op, waited_ = waited;
        since_ = now;
        return;
    }
    if (op < 0) return;                                  // not begun
    const double seconds = std::chrono::duration<double>(now - since_).count();
    if (seconds < options_.timeout_seconds + (waits_for_peers(op) ? (rank_ == 0 ? 0.0 : kOtherRanksGrace) : kOwnHangGrace)) return;
    const auto at = static_cast<std::size_t>(waited >= 0 ? waited : op);
    const std::string what = fmt::format("watchdog: step {}, op {} ({}) has not ended for {:.0f} s (timeout-seconds){}", step, at, schedule::describe(schedule_, program_, OpId{at}), seconds,
                                         missing_ranks());
    if (resources_.control != nullptr) resources_.control->announce_abort({static_cast<int>(rank_), static_cast<int>(ExitCode::environment), what});
    throw RunError(rank_, ExitCode::environment, what, false);
}

std::string StreamWatch::missing_ranks() const {
    std::string missing;
    if (resources_.control == nullptr) return missing;
    const std::int64_t collectives = resources_.progress.collectives.load(std::memory_order_relaxed);
    for (const comm::PeerStatus& peer : resources_.control->query(resources_.progress, kQueryPatience)) {
        const bool behind = peer.step < step_ || (peer.step == step_ && peer.collectives < collectives);
        if (!peer.answered || behind)
            missing += missing_line(peer, peer.op < 0 ? "" : schedule::describe(schedule_, schedule_.program_of(peer.rank), OpId{static_cast<std::size_t>(peer.op)}));
    }
    return missing.empty() ? "\n  no rank is missing: the device, or the way between the ranks, does not move" : missing;
}

}  // namespace zerosim::exec
