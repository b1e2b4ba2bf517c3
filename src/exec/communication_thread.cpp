#include "exec/communication_thread.hpp"

#include "base/error.hpp"
#include "exec/run_error.hpp"
#include "exec/thread_priority.hpp"
#include "exec/watchdog.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>

namespace zerosim::exec {
namespace {

using Clock = std::chrono::steady_clock;

std::int64_t nanoseconds() { return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count(); }
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// How often the watchdog looks.
constexpr std::chrono::milliseconds kWatchInterval{100};
/// An idle thread still serves its peers this often.
constexpr std::chrono::milliseconds kIdleWait{5};
/// Before it sleeps it polls this often (some 2 us): the next collective may follow at once. No longer: whoever is to post it may need this core.
constexpr int kIdlePolls = 10;
/// Asleep at its doorbell it looks up by itself this often, more and more rarely while nothing moves: answers within a transfer do not ring.
/// On a virtual machine a timer costs its core 22 us (two threads on a core, 20 to 100 us of sleep: compute slows by that much each time).
constexpr std::chrono::microseconds kShortestDoze{50}, kLongestDoze{1000};
/// While its own rank's kernels wait as well, nobody else wants the core, and it polls on for as long. A core that goes idle takes 20 to 30 us to
/// come back on a virtual machine, which peers that are late by a little would add to every exposed collective.
constexpr std::chrono::milliseconds kLongestSpin{5};

}  // namespace

CommunicationThread::CommunicationThread(std::size_t ops, std::size_t streams, RankResources resources, const ExecuteOptions& options, std::int64_t rank,
                                         std::function<std::string(std::size_t)> explain)
    : resources_(resources), options_(options), rank_(rank), explain_(std::move(explain)), done_(ops), expected_(ops, 0), queues_(streams),
      doze_(kShortestDoze), next_watch_(Clock::now()), host_since_(Clock::now()) {
    // Where ranks fill their cores with kernels, whoever moves data must not wait for a time slice.
    std::promise<bool> raised;
    thread_ = std::jthread([this, &raised] {
        const bool cores_enough = resources_.doorbell && resources_.doorbell->ranks() <= std::thread::hardware_concurrency();
        own_core_ = cores_enough;
        raised.set_value(raise_thread_priority(cores_enough));
        loop();
    });
    if (!raised.get_future().get() && resources_.control != nullptr) lower_thread_priority();
}

CommunicationThread::~CommunicationThread() {
    stop_.store(true, std::memory_order_release);
    wake_.notify_one();
}

void CommunicationThread::post(const CommunicationTask& task) {
    ++expected_[task.op];
    {
        const std::lock_guard lock(mutex_);
        posted_.push_back(task);
    }
    posted_count_.fetch_add(1, std::memory_order_release);
    wake();
}

void CommunicationThread::wake() {
    if (sleeping_.load(std::memory_order_acquire)) wake_.notify_one();
    if (resources_.doorbell) resources_.doorbell->ring_own();
}

void CommunicationThread::wait(std::size_t op) {
    const auto finished = [&] { return done_[op].load(std::memory_order_acquire) == expected_[op]; };
    constexpr int kSpins = 200;   // a few microseconds: shorter than a sleep and a wake-up
    for (int spin = 0; spin < kSpins; ++spin)
        if (finished()) return;
    host_waits_.store(true, std::memory_order_release);
    wake();
    const struct Computes {
        std::atomic<bool>& waits;
        ~Computes() { waits.store(false, std::memory_order_relaxed); }
    } computes{host_waits_};
    while (!finished()) {
        const std::uint32_t seen = completions_.load(std::memory_order_acquire);
        if (finished()) return;
        check();
        completions_.wait(seen, std::memory_order_acquire);
    }
}

void CommunicationThread::check() {
    if (!failed_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(failure_mutex_);
    std::rethrow_exception(failure_);
}

void CommunicationThread::stop(std::optional<comm::AbortNotice> notice) {
    {
        const std::lock_guard lock(mutex_);
        announcement_ = std::move(notice);
    }
    stop_.store(true, std::memory_order_release);
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void CommunicationThread::fail(std::exception_ptr failure) {
    {
        const std::lock_guard lock(failure_mutex_);
        if (failure_) return;
        failure_ = std::move(failure);
    }
    failed_.store(true, std::memory_order_release);
    completions_.fetch_add(1, std::memory_order_release);
    completions_.notify_all();
}

void CommunicationThread::take_posted() {
    if (posted_count_.load(std::memory_order_acquire) == taken_count_.load(std::memory_order_relaxed)) return;
    const std::lock_guard lock(mutex_);
    for (const CommunicationTask& task : posted_) queues_[task.stream.index()].tasks.push_back(task);
    taken_count_.fetch_add(static_cast<std::uint32_t>(posted_.size()), std::memory_order_relaxed);
    posted_.clear();
}

bool CommunicationThread::start(Queue& queue) {
    CommunicationTask& task = queue.tasks.front();
    if (task.time) task.time->begin = nanoseconds();
    queue.started = true;
    queue.since = Clock::now();
    if (task.communicator) {
        queue.ticket = task.communicator->start(task.call);
        return false;
    }
    if (task.is_fill) resources_.device.fill(task.destination, task.value);
    else resources_.device.copy(task.source, task.destination, task.accumulate);
    complete(queue);
    return true;
}

void CommunicationThread::complete(Queue& queue) {
    const CommunicationTask task = queue.tasks.front();
    if (task.time) task.time->end = nanoseconds();
    queue.tasks.pop_front();
    queue.started = false;
    done_[task.op].fetch_add(1, std::memory_order_release);
    completions_.fetch_add(1, std::memory_order_release);
    completions_.notify_all();
}

/// True when something moved.
bool CommunicationThread::advance(Queue& queue) {
    if (queue.tasks.empty()) return false;
    if (!queue.started) {
        start(queue);
        return true;
    }
    if (!queue.tasks.front().communicator->test(queue.ticket)) return false;
    complete(queue);
    return true;
}

const CommunicationThread::Queue* CommunicationThread::oldest() const {
    const Queue* found = nullptr;
    for (const Queue& queue : queues_)
        if (queue.started && (!found || queue.since < found->since)) found = &queue;
    return found;
}

std::string CommunicationThread::missing_ranks(const CommunicationTask& task) {
    const std::int64_t step = resources_.progress.step.load(std::memory_order_relaxed);
    std::string missing;
    for (const comm::PeerStatus& peer : resources_.control->query(resources_.progress, kQueryPatience)) {
        const bool behind = peer.step < step || (peer.step == step && peer.op < static_cast<std::int64_t>(task.op));
        if (!peer.answered || behind) missing += missing_line(peer, peer.op < 0 ? "" : explain_(static_cast<std::size_t>(peer.op)));
    }
    return missing.empty() ? "\n  no rank is missing: the transport itself does not move" : missing;
}

void CommunicationThread::end_by_watchdog(const std::string& what) {
    if (resources_.control) resources_.control->announce_abort({static_cast<int>(rank_), static_cast<int>(ExitCode::environment), what});
    fail(std::make_exception_ptr(RunError(rank_, ExitCode::environment, what, false)));
}

void CommunicationThread::watch() {
    const auto now = Clock::now();
    if (now < next_watch_ || failed_.load(std::memory_order_relaxed)) return;
    next_watch_ = now + kWatchInterval;
    const Queue* queue = oldest();
    if (queue && seconds_since(queue->since) > options_.timeout_seconds + (rank_ == 0 ? 0 : kOtherRanksGrace)) {
        const CommunicationTask& task = queue->tasks.front();
        end_by_watchdog(fmt::format("watchdog: step {}, op {} ({}) has waited {:.0f} s for its group of {} ranks{}", resources_.progress.step.load(), task.op,
                                    explain_(task.op), seconds_since(queue->since), task.communicator->size(), resources_.control ? missing_ranks(task) : ""));
        return;
    }
    const std::int64_t op = resources_.progress.op.load(std::memory_order_relaxed), step = resources_.progress.step.load(std::memory_order_relaxed);
    if (op != host_op_ || step != host_step_ || queue) {
        host_op_ = op;
        host_step_ = step;
        host_since_ = now;
    } else if (op >= 0 && seconds_since(host_since_) > options_.timeout_seconds + kOwnHangGrace) {
        const std::string what = fmt::format("watchdog: step {}, op {} ({}) has not ended for {:.0f} s", step, op, explain_(static_cast<std::size_t>(op)), seconds_since(host_since_));
        end_by_watchdog(what);
        const auto patience = Clock::now() + kQueryPatience;
        while (!stop_.load(std::memory_order_acquire) && Clock::now() < patience) std::this_thread::sleep_for(kWatchInterval / 10);
        if (!stop_.load(std::memory_order_acquire) && options_.on_stuck) options_.on_stuck(what);
    }
}

void CommunicationThread::serve() {
    if (!resources_.control) return;
    const Queue* queue = oldest();
    resources_.progress.collective_op.store(queue ? static_cast<std::int64_t>(queue->tasks.front().op) : -1, std::memory_order_relaxed);
    if (const auto notice = resources_.control->serve(resources_.progress)) fail(std::make_exception_ptr(failure_of_peer(rank_, *notice)));
}

/// After an unsuccessful poll: spins, then leaves the core to the kernels until a peer rings.
void CommunicationThread::rest(comm::Backoff& backoff, std::uint32_t heard) {
    using Advice = comm::Backoff::Advice;
    if (!resources_.doorbell) return backoff.pause();
    const bool host_waits = host_waits_.load(std::memory_order_acquire);
    const Advice advice = backoff.count(host_waits);
    if (advice == Advice::rest && host_waits && own_core_ && Clock::now() - moved_ < kLongestSpin) return;
    if (advice == Advice::moved) {
        moved_ = Clock::now();
        doze_ = kShortestDoze;
        resources_.doorbell->ring_others();
    } else if (advice == Advice::rest) {
        resources_.doorbell->wait(heard, doze_);
        doze_ = std::min(kLongestDoze, doze_ * 2);
        backoff.rested();
    }
}

void CommunicationThread::loop() {
    comm::Backoff backoff;
    int idle_polls = 0;
    try {
        while (!stop_.load(std::memory_order_acquire)) {
            serve();
            watch();
            const std::uint32_t heard = resources_.doorbell ? resources_.doorbell->heard() : 0;
            take_posted();
            backoff.rested(); // what follows is a poll
            bool moved = false, pending = false;
            if (!failed_.load(std::memory_order_relaxed))
                for (Queue& queue : queues_) {
                    while (advance(queue)) moved = true;
                    pending = pending || !queue.tasks.empty();
                }
            if (moved || pending) idle_polls = 0;
            if (moved) {
                moved_ = Clock::now();
                backoff.reset();
                doze_ = kShortestDoze;
                if (resources_.doorbell) resources_.doorbell->ring_others();
            } else if (pending) rest(backoff, heard);
            else if (++idle_polls < kIdlePolls) std::this_thread::yield();
            else {
                std::unique_lock lock(mutex_);
                sleeping_.store(true, std::memory_order_release);
                wake_.wait_for(lock, kIdleWait, [&] { return stop_.load() || !posted_.empty(); });
                sleeping_.store(false, std::memory_order_release);
                backoff.reset();
            }
        }
        const std::lock_guard lock(mutex_);
        if (announcement_ && resources_.control) resources_.control->announce_abort(*announcement_);
    } catch (...) {
        fail(std::current_exception());
    }
}

}  // namespace zerosim::exec
