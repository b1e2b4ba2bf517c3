#include "cli/signals.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace zerosim::cli {
namespace {

struct State {
    std::vector<std::string> labels, ops;
    std::span<const comm::Progress> progress;
    bool has_peers;   // in other processes of the same job
};

std::atomic<const State*> g_state{nullptr};
std::atomic<bool> g_interrupted{false}, g_reporting{false};

constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr std::array kEnding{SIGINT, SIGTERM};

/// What a launcher leaves between the SIGTERM it sends to all ranks and its SIGKILL is one second in Open MPI, cut short by the first
/// rank that ends: the sleep() of odls_base_default_fns.c (orte_odls_base_default_kill_local_procs) returns at its SIGCHLD. So a rank
/// that is asked to end waits this long for its peers, or they would be killed before they have said where they are.
constexpr int kPeersMilliseconds = 500;

// Only async-signal-safe calls from here on.

/// Goes out in one write: pipes keep that in one piece up to PIPE_BUF (pipe(7)), and what several ranks say shares the launcher's.
class Line {
public:
    Line& add(const char* text, std::size_t length) {
        const std::size_t fits = std::min(length, text_.size() - 1 - length_);   // one is left for the end of the line
        std::memcpy(text_.data() + length_, text, fits);
        length_ += fits;
        return *this;
    }
    Line& add(const char* text) { return add(text, std::strlen(text)); }
    Line& add(const std::string& text) { return add(text.data(), text.size()); }
    Line& add(std::int64_t value) {
        std::array<char, 24> digits{};
        std::size_t at = digits.size();
        const bool negative = value < 0;
        do {
            digits[--at] = static_cast<char>('0' + (negative ? -(value % 10) : value % 10));
            value /= 10;
        } while (value != 0);
        if (negative) digits[--at] = '-';
        return add(digits.data() + at, digits.size() - at);
    }
    void write() {
        text_[length_++] = '\n';
        for (std::size_t done = 0; done < length_;) {
            const ssize_t written = ::write(STDERR_FILENO, text_.data() + done, length_ - done);
            if (written <= 0) break;
            done += static_cast<std::size_t>(written);
        }
        length_ = 0;
    }

private:
    std::array<char, PIPE_BUF> text_;
    std::size_t length_ = 0;
};

const char* signal_name(int signal) {
    switch (signal) {
        case SIGSEGV: return "SIGSEGV";
        case SIGBUS: return "SIGBUS";
        case SIGFPE: return "SIGFPE";
        case SIGILL: return "SIGILL";
        case SIGABRT: return "SIGABRT";
        case SIGINT: return "SIGINT";
        default: return "SIGTERM";
    }
}

void add_op(Line& line, const State& state, std::int64_t op) { line.add("op ").add(op).add(" (").add(state.ops[static_cast<std::size_t>(op)]).add(")"); }

void write_place(Line& line, const State& state, std::size_t rank) {
    const comm::Progress& progress = state.progress[rank];
    const std::int64_t op = progress.op.load(std::memory_order_relaxed);
    if (op < 0 || op >= static_cast<std::int64_t>(state.ops.size())) return line.add(" before its first op").write();
    line.add(" in step ").add(progress.step.load(std::memory_order_relaxed)).add(", ");
    add_op(line, state, op);
    const std::int64_t collective = progress.collective_op.load(std::memory_order_relaxed);
    if (collective >= 0 && collective != op && collective < static_cast<std::int64_t>(state.ops.size())) add_op(line.add("; unfinished: "), state, collective);
    line.write();
}

bool asked_to_end(int signal) { return std::ranges::find(kEnding, signal) != kEnding.end(); }

/// One rank: one line. Several ranks in one process: which of them the signal hit is not known, so where each of them was.
void report(int signal, const State& state) {
    const bool alone = state.labels.size() == 1;
    Line line;
    line.add("zerosim: ");
    if (alone) line.add(state.labels[0]).add(" ");
    line.add(asked_to_end(signal) ? "ended by " : "error: died of ").add(signal_name(signal));
    if (alone) return write_place(line, state, 0);
    line.add("; its ranks were").write();
    for (std::size_t rank = 0; rank < state.labels.size(); ++rank) write_place(line.add("  ").add(state.labels[rank]), state, rank);
}

void on_fatal(int signal) {
    // Another thread's signal while the report is being written waits for the end that it brings.
    while (g_reporting.exchange(true)) ::pause();
    if (const State* state = g_state.exchange(nullptr)) {
        report(signal, *state);
        if (state->has_peers && asked_to_end(signal)) ::poll(nullptr, 0, kPeersMilliseconds);
    }
    ::_exit(128 + signal);
}

void on_interrupt(int signal) {
    if (g_interrupted.exchange(true)) on_fatal(signal);
    Line().add("zerosim: interrupted by ").add(signal_name(signal)).add(": ends after this step; once more ends at once").write();
}

void install(int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    sigfillset(&action.sa_mask);   // one report at a time, also when the launcher's SIGTERM follows
    ::sigaction(signal, &action, nullptr);
}

}  // namespace

SignalReports::SignalReports(std::vector<std::string> labels, std::vector<std::string> ops, std::span<const comm::Progress> progress, Interrupt interrupt) {
    g_state.store(new State{std::move(labels), std::move(ops), progress, interrupt == Interrupt::ends_at_once});
    for (const int signal : kFatal) install(signal, on_fatal);
    for (const int signal : kEnding) install(signal, interrupt == Interrupt::ends_at_once ? on_fatal : on_interrupt);
}

SignalReports::~SignalReports() {
    for (const int signal : kFatal) install(signal, SIG_DFL);
    for (const int signal : kEnding) install(signal, SIG_DFL);
    delete g_state.exchange(nullptr);
}

const std::atomic<bool>& SignalReports::interrupted() { return g_interrupted; }

}  // namespace zerosim::cli
