#include "device/workers.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace zerosim::device {

namespace {

// Kernels of one step follow each other within a few microseconds: a short spin saves the wake-up (about 50 us on a loaded
// machine), a longer one would take cores from other ranks on the same machine.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
}

/// Waits until `word` differs from `old`: spins, then sleeps.
void wait_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
    for (int spin = 0; spin < kSpins; ++spin) {
        if (word.load(std::memory_order_acquire) != old) return;
        pause();
    }
    while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

// One word says which run is on, how many parts it has and which is next, so that a thread that wakes late cannot take a part
// of a run that is over: 24 bits run, 20 bits parts, 20 bits next.
constexpr int kPartBits = 20;
constexpr std::uint64_t kPartMask = (1u << kPartBits) - 1;

struct Ticket {
    std::uint64_t word;
    [[nodiscard]] int parts() const { return static_cast<int>((word >> kPartBits) & kPartMask); }
    [[nodiscard]] int next() const { return static_cast<int>(word & kPartMask); }
    [[nodiscard]] static Ticket make(std::uint64_t run, int parts) {
        return {(run << (2 * kPartBits)) | (static_cast<std::uint64_t>(parts) << kPartBits)};
    }
};

} // namespace

struct Workers::State {
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<const std::function<void(int)>*> body{nullptr};
    std::atomic<std::uint32_t> started{0};    // counts runs; workers wait on it
    std::atomic<std::uint32_t> unfinished{0}; // parts of the current run
    std::atomic<bool> stopping{false};
    std::vector<std::jthread> threads;

    /// Takes parts of the current run until none is left. An exception ends the process: others still use the body.
    void take_parts() noexcept {
        std::uint64_t word = ticket.load(std::memory_order_acquire);
        while (Ticket{word}.next() < Ticket{word}.parts()) {
            if (!ticket.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
            (*body.load(std::memory_order_relaxed))(Ticket{word}.next());
            if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished.notify_one();
            word = ticket.load(std::memory_order_acquire);
        }
    }

    void serve() {
        std::uint32_t seen = 0;
        while (true) {
            wait_while_equal(started, seen);
            seen = started.load(std::memory_order_acquire);
            if (stopping.load(std::memory_order_acquire)) return;
            take_parts();
        }
    }
};

Workers::Workers(int threads) : state_(std::make_unique<State>()) {
    check(threads >= 1, "Workers: at least the calling thread is needed");
    state_->threads.reserve(static_cast<std::size_t>(threads - 1));
    for (int i = 1; i < threads; ++i) state_->threads.emplace_back([state = state_.get()] { state->serve(); });
}

Workers::~Workers() {
    state_->stopping.store(true, std::memory_order_release);
    state_->started.fetch_add(1, std::memory_order_acq_rel);
    state_->started.notify_all();
}

int Workers::threads() const noexcept { return static_cast<int>(state_->threads.size()) + 1; }

void Workers::run(int parts, const std::function<void(int)>& body) {
    check(parts >= 0 && parts <= static_cast<int>(kPartMask), "Workers::run: number of parts out of range");
    if (parts <= 1 || state_->threads.empty()) {
        for (int part = 0; part < parts; ++part) body(part);
        return;
    }
    State& state = *state_;
    state.body.store(&body, std::memory_order_relaxed);
    state.unfinished.store(static_cast<std::uint32_t>(parts), std::memory_order_relaxed);
    const std::uint32_t run = state.started.load(std::memory_order_relaxed) + 1;
    state.ticket.store(Ticket::make(run, parts).word, std::memory_order_release);
    state.started.store(run, std::memory_order_release);
    state.started.notify_all();
    state.take_parts();
    for (std::uint32_t left = state.unfinished.load(std::memory_order_acquire); left != 0;
         left = state.unfinished.load(std::memory_order_acquire))
        wait_while_equal(state.unfinished, left);
}

void parallel_for(Workers* workers, std::int64_t count, std::int64_t grain,
                  const std::function<void(std::int64_t, std::int64_t)>& body) {
    if (count <= 0) return;
    const std::int64_t threads = workers == nullptr ? 1 : workers->threads();
    const std::int64_t chunks = std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1, threads);
    if (chunks == 1) {
        body(0, count);
        return;
    }
    workers->run(static_cast<int>(chunks), [&](int part) { body(count * part / chunks, count * (part + 1) / chunks); });
}

} // namespace zerosim::device
