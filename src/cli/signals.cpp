#include "cli/signals.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <unistd.h>

namespace zerosim::cli {
namespace {

struct State {
    std::vector<std::string> labels, ops;
    std::span<const comm::Progress> progress;
};

std::atomic<const State*> g_state{nullptr};
std::atomic<bool> g_interrupted{false}, g_reporting{false};

constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM};

// Only async-signal-safe calls from here on.
void write_text(const char* text, std::size_t length) {
    while (length > 0) {
        const ssize_t written = ::write(STDERR_FILENO, text, length);
        if (written <= 0) return;
        text += written;
        length -= static_cast<std::size_t>(written);
    }
}
void write_text(const char* text) { write_text(text, std::strlen(text)); }
void write_text(const std::string& text) { write_text(text.data(), text.size()); }

void write_number(std::int64_t value) {
    std::array<char, 24> digits{};
    std::size_t at = digits.size();
    const bool negative = value < 0;
    do {
        digits[--at] = static_cast<char>('0' + (negative ? -(value % 10) : value % 10));
        value /= 10;
    } while (value != 0);
    if (negative) digits[--at] = '-';
    write_text(digits.data() + at, digits.size() - at);
}

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

void write_op(const State& state, std::int64_t op) {
    write_text("op ");
    write_number(op);
    write_text(" (");
    write_text(state.ops[static_cast<std::size_t>(op)]);
    write_text(")");
}

void report_place(const State& state, std::size_t rank) {
    const comm::Progress& progress = state.progress[rank];
    const std::int64_t op = progress.op.load(std::memory_order_relaxed);
    if (op < 0 || op >= static_cast<std::int64_t>(state.ops.size())) {
        write_text(" before its first op\n");
        return;
    }
    write_text(" in step ");
    write_number(progress.step.load(std::memory_order_relaxed));
    write_text(", ");
    write_op(state, op);
    const std::int64_t collective = progress.collective_op.load(std::memory_order_relaxed);
    if (collective >= 0 && collective != op && collective < static_cast<std::int64_t>(state.ops.size())) {
        write_text("; unfinished: ");
        write_op(state, collective);
    }
    write_text("\n");
}

/// One rank: one line. Several ranks in one process: which of them the signal hit is not known, so where each of them was.
void report(int signal, const State& state) {
    const bool asked = signal == SIGTERM || signal == SIGINT, alone = state.labels.size() == 1;
    write_text("zerosim: ");
    if (alone) write_text(state.labels[0]), write_text(" ");
    write_text(asked ? "ended by " : "error: died of ");
    write_text(signal_name(signal));
    if (alone) return report_place(state, 0);
    write_text("; its ranks were\n");
    for (std::size_t rank = 0; rank < state.labels.size(); ++rank) {
        write_text("  ");
        write_text(state.labels[rank]);
        report_place(state, rank);
    }
}

void on_fatal(int signal) {
    // Another thread's signal while the report is being written waits for the end that it brings.
    while (g_reporting.exchange(true)) ::pause();
    if (const State* state = g_state.exchange(nullptr)) report(signal, *state);
    ::_exit(128 + signal);
}

void on_interrupt(int) {
    if (g_interrupted.exchange(true)) ::_exit(130);
    write_text("zerosim: interrupted: ends after this step; once more ends at once\n");
}

void install(int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    sigfillset(&action.sa_mask);   // one report at a time, also when the launcher's SIGTERM follows
    ::sigaction(signal, &action, nullptr);
}

}  // namespace

SignalReports::SignalReports(std::vector<std::string> labels, std::vector<std::string> ops, std::span<const comm::Progress> progress, Interrupt interrupt) {
    g_state.store(new State{std::move(labels), std::move(ops), progress});
    for (const int signal : kFatal) install(signal, on_fatal);
    install(SIGINT, interrupt == Interrupt::ends_at_once ? on_fatal : on_interrupt);
}

SignalReports::~SignalReports() {
    for (const int signal : kFatal) install(signal, SIG_DFL);
    install(SIGINT, SIG_DFL);
    delete g_state.exchange(nullptr);
}

const std::atomic<bool>& SignalReports::interrupted() { return g_interrupted; }

}  // namespace zerosim::cli
