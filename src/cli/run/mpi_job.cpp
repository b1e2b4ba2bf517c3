#include "base/error.hpp"
#include "base/log.hpp"
#include "cli/run/run_ranks.hpp"
#ifdef ZEROSIM_HAS_MPI
#include "cli/run/agreement.hpp"
#include "cli/run/deadline.hpp"
#include "cli/run/gpu_rank.hpp"
#include "cli/machine.hpp"
#include "cli/run/rank_results.hpp"
#include "cli/signals.hpp"
#include "comm/byte_exchange.hpp"
#include "comm/mpi_communicator.hpp"
#include "comm/mpi_control.hpp"
#include "comm/mpi_doorbell.hpp"
#include "comm/mpi_session.hpp"
#include "schedule/dump.hpp"
#endif

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>

namespace zerosim::cli {

#ifdef ZEROSIM_HAS_MPI

namespace {

/// A rank that hangs in the run is named by the watchdog, which has this much more time than its timeout.
constexpr double kWatchdogGrace = 2.0;
/// Starting processes on a busy machine takes this long, whatever a collective may take.
constexpr double kStartSeconds = 10.0;
/// Rank 0 speaks for all that wait with it; the others only if it does not.
constexpr double kOtherRanksGrace = 0.8;

}  // namespace

struct MpiJob::State {
    comm::MpiSession session;
    comm::MpiCommunicator world{MPI_COMM_WORLD, comm::ReductionOrder::rank};
    comm::MpiControl control{MPI_COMM_WORLD};
    std::unique_ptr<comm::Doorbell> doorbell;
    std::string host = host_name();
    double timeout = 0;

    struct OnHost {
        exec::RankResult result;
        std::optional<LinkTimes> links;
    };
    [[nodiscard]] OnHost run_on_host(MpiJob& job, RunInput& input, comm::Progress& progress);
    /// While no thread but this one calls MPI: before the executor has the communicators, and after it.
    [[nodiscard]] double link_reference(MpiJob& job, const char* phase) {
        const Deadline waiting = deadline(job, phase);
        const std::atomic<bool> stop = false;
        TeamRank rank(world, stop, 2 * (timeout + kWatchdogGrace));   // the deadline comes first
        return link_reference_seconds(rank);
    }
    Deadline deadline(MpiJob& job, std::string phase) const {
        return {timeout + kWatchdogGrace, [&job, phase = std::move(phase), seconds = timeout + kWatchdogGrace] {
                    job.fail({static_cast<int>(ExitCode::environment),
                              fmt::format("waited {:.0f} s for the other ranks while {}: one of them is stopped, dead or much slower (timeout-seconds)", seconds, phase)});
                }};
    }
};

MpiJob::State::OnHost MpiJob::State::run_on_host(MpiJob& job, RunInput& input, comm::Progress& progress) {
    const schedule::Schedule& schedule = input.schedule;
    const schedule::Program& program = schedule.program_of(session.rank());
    auto communicators = [&] {
        const Deadline setting_up = deadline(job, "setting up");
        doorbell = comm::make_mpi_doorbell(MPI_COMM_WORLD);
        return exec::split_communicators<comm::Communicator>(schedule, session.rank(), [this](int colour, int key) { return world.split(colour, key); });
    }();
    if (input.host.planned_arena) input.options.arena = schedule::plan_arena(program);
    const auto device = exec::make_host_device(schedule, program, input.options.arena, input.host.threads);
    data::TokenSource tokens(input.host.data, input.host.vocabulary);
    const double before = session.size() > 1 ? link_reference(job, "setting up") : 0;
    OnHost run{exec::execute_rank(schedule, session.rank(), {*device, communicators, &control, progress, tokens, doorbell.get()}, input.options), {}};
    if (session.size() > 1) run.links = {before, link_reference(job, "bringing the results together")};
    return run;
}

MpiJob::MpiJob(double timeout) {
    const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
    const double patience = std::max(timeout, kStartSeconds) + kWatchdogGrace + (rank && std::string_view(rank) != "0" ? kOtherRanksGrace : 0);
    const Deadline deadline(patience, [patience] {   // MPI_Abort needs MPI: leaving is what ends the job here
        fmt::print(stderr, "{}\n", log_line({}, LogLevel::error, fmt::format("MPI has not started after {:.0f} s: a rank is stopped, dead or unreachable (timeout-seconds)", patience)));
        std::fflush(nullptr);
        std::_Exit(static_cast<int>(ExitCode::environment));
    });
    state_ = std::make_unique<State>();
    state_->timeout = timeout;
}
MpiJob::~MpiJob() = default;
int MpiJob::rank() const { return state_->session.rank(); }
int MpiJob::size() const { return state_->session.size(); }
std::string MpiJob::label() const { return fmt::format("[rank {}/{} {}]", rank(), size(), state_->host); }

void MpiJob::fail(const Failure& failure, bool of_peer) {
    state_->session.abandon();
    if (of_peer) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    fmt::print(stderr, "{}\n", log_line({rank(), size(), state_->host}, LogLevel::error, failure.text));
    std::fflush(nullptr);
    state_->session.abort(failure.code);
}

void MpiJob::fail_together(const std::optional<Failure>& mine) {
    const Deadline deadline = state_->deadline(*this, "starting");
    const std::string word = mine ? fmt::format("{} {}", mine->code, mine->text) : "";
    const std::vector<std::string> words = comm::all_gather_bytes(state_->world, word);
    const auto first = std::ranges::find_if(words, [](const std::string& text) { return !text.empty(); });
    if (first == words.end()) return;
    const int code = std::atoi(first->c_str());
    state_->session.abandon();
    if (rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(3));   // rank 0 speaks and ends all
    else
        for (const Voice& voice : voices(words)) {
            const std::string text = voice.text.substr(voice.text.find(' ') + 1);
            fmt::print(stderr, "{}\n", log_line({}, LogLevel::error, voice.who.empty() ? text : voice.who + ": " + text));
        }
    std::fflush(nullptr);
    state_->session.abort(code);
}

void MpiJob::require_same_plan(const config::Resolved& resolved, const schedule::Schedule& schedule) {
    const std::vector<std::string> mine = agreement_lines(resolved, schedule, rank());
    std::string theirs;
    {
        const Deadline deadline = state_->deadline(*this, "comparing their options");
        theirs = comm::broadcast_bytes(state_->world, join_lines(mine), 0);
    }
    const std::string difference = first_difference(mine, split_lines(theirs));
    std::optional<Failure> failure;
    if (!difference.empty())
        failure = {static_cast<int>(ExitCode::usage), fmt::format("the ranks would not run the same schedule: {}; start all ranks with the same options and files", difference)};
    fail_together(failure);
}

std::vector<std::string> MpiJob::gather(const std::string& mine) {
    const Deadline deadline = state_->deadline(*this, "telling each other where they are");
    return comm::all_gather_bytes(state_->world, mine);
}

RanksRun MpiJob::run(RunInput input) {
    const schedule::Schedule& schedule = input.schedule;
    const schedule::Program& program = schedule.program_of(rank());
    std::vector<comm::Progress> progress(1);
    std::vector<std::string> ops;
    for (std::size_t i = 0; i < program.ops.size(); ++i) ops.push_back(schedule::describe(schedule, program, OpId{i}));
    const SignalReports signals({label()}, std::move(ops), progress, Interrupt::ends_at_once);
    input.options.on_stuck = [this](const std::string& what) { fail({static_cast<int>(ExitCode::environment), what}); };
    input.options.leave = [this] {
        fmt::print(stderr, "{}\n", log_line({rank(), size(), state_->host}, LogLevel::error, "injected exit (--inject): leaves without telling the others"));
        std::_Exit(static_cast<int>(ExitCode::environment));
    };
    if (rank() != 0) input.options.on_step = nullptr;
    const bool gpu = input.resolved.scenario.library == kernel::Library::cuda;
    const State::OnHost mine = gpu ? State::OnHost{run_on_gpu(input, gpu_place(rank(), size()), state_->world, &state_->control, progress[0]), {}}
                                   : state_->run_on_host(*this, input, progress[0]);
    const Deadline deadline = state_->deadline(*this, "bringing the results together");
    RanksRun all{{}, mine.links};
    for (const std::string& bytes : comm::all_gather_bytes(state_->world, to_bytes(mine.result)))
        if (rank() == 0) all.ranks.push_back(rank_result_from_bytes(bytes));
    return all;
}

#else

struct MpiJob::State {};
MpiJob::MpiJob(double) { throw EnvironmentError("started by an MPI launcher, but this build has no MPI (configure with ZEROSIM_WITH_MPI=ON)"); }
MpiJob::~MpiJob() = default;
int MpiJob::rank() const { return 0; }
int MpiJob::size() const { return 1; }
std::string MpiJob::label() const { return {}; }
void MpiJob::fail_together(const std::optional<Failure>&) {}
void MpiJob::fail(const Failure& failure, bool) { std::_Exit(failure.code); }
void MpiJob::require_same_plan(const config::Resolved&, const schedule::Schedule&) {}
std::vector<std::string> MpiJob::gather(const std::string&) { return {}; }
RanksRun MpiJob::run(RunInput) { return {}; }

#endif

}  // namespace zerosim::cli
