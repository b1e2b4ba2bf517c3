#include "base/error.hpp"
#include "base/log.hpp"
#include "cli/run_ranks.hpp"
#ifdef ZEROSIM_HAS_MPI
#include "cli/rank_results.hpp"
#include "cli/signals.hpp"
#include "comm/byte_exchange.hpp"
#include "comm/mpi_communicator.hpp"
#include "comm/mpi_control.hpp"
#include "comm/mpi_session.hpp"
#include "schedule/dump.hpp"
#endif

#include <fmt/core.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <unistd.h>

namespace zerosim::cli {

#ifdef ZEROSIM_HAS_MPI

namespace {

std::string host_name() {
    char name[256] = "unknown host";
    (void)::gethostname(name, sizeof name - 1);
    return name;
}

exec::RankCommunicators communicators_of(const schedule::Schedule& schedule, std::int64_t rank, const comm::MpiCommunicator& world) {
    const schedule::Program& program = schedule.program_of(rank);
    exec::RankCommunicators result(program.streams.size(), schedule.axes.size());
    for (const auto& [stream, axis_id] : exec::communicators_needed(program)) {
        const schedule::Axis& axis = schedule.axis(axis_id);
        const std::int64_t coordinate = axis.coordinate(rank);
        result.set(stream, axis_id, world.split(static_cast<int>(rank - coordinate * axis.stride), static_cast<int>(coordinate)));
    }
    return result;
}

/// Everything a rank's bytes and collectives follow from: the dump, line by line.
std::string first_difference(const std::vector<std::string>& mine, const std::vector<std::string>& theirs) {
    for (std::size_t i = 0; i < std::max(mine.size(), theirs.size()); ++i) {
        const std::string a = i < mine.size() ? mine[i] : "(no more collectives)", b = i < theirs.size() ? theirs[i] : "(no more collectives)";
        if (a != b) return fmt::format("collective {}: rank 0 has {}; here it is {}", i, b, a);
    }
    return "the collectives are the same, but not the operations";
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

}  // namespace

struct MpiJob::State {
    comm::MpiSession session;
    comm::MpiCommunicator world{MPI_COMM_WORLD, comm::ReductionOrder::rank};
    comm::MpiControl control{MPI_COMM_WORLD};
    std::string host = host_name();
};

MpiJob::MpiJob() : state_(std::make_unique<State>()) {}
MpiJob::~MpiJob() = default;
int MpiJob::rank() const { return state_->session.rank(); }
int MpiJob::size() const { return state_->session.size(); }
std::string MpiJob::label() const { return fmt::format("[rank {}/{} {}]", rank(), size(), state_->host); }

void MpiJob::fail(int code, const std::string& text) {
    state_->session.abandon();
    // A rank that only learnt of another's failure lets that one speak first.
    if (text.starts_with("ended because")) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    fmt::print(stderr, "{}\n", log_line({rank(), size(), state_->host}, LogLevel::error, text));
    std::fflush(nullptr);
    state_->session.abort(code);
}

void MpiJob::require_same_schedule(const schedule::Schedule& schedule) {
    std::string sequence;
    for (const std::string& line : schedule::collective_sequence(schedule, rank())) sequence += line + "\n";
    const std::uint64_t hash = schedule::sequence_hash(schedule, rank());
    const auto hashes = comm::all_gather_bytes(state_->world, {reinterpret_cast<const char*>(&hash), sizeof hash});
    if (std::equal(hashes.begin() + 1, hashes.end(), hashes.begin())) return;
    const std::string reference = comm::broadcast_bytes(state_->world, sequence, 0);
    if (reference != sequence)
        throw ConfigError(fmt::format("the ranks planned different schedules: {}; start all ranks with the same options and files", first_difference(lines_of(sequence), lines_of(reference))));
    // Ranks that agree with rank 0 wait to be ended by those that do not.
    std::this_thread::sleep_for(std::chrono::seconds(2));
    throw ConfigError("ended because other ranks planned another schedule than rank 0");
}

std::vector<exec::RankResult> MpiJob::run(RunInput input) {
    const schedule::Schedule& schedule = input.schedule;
    const schedule::Program& program = schedule.program_of(rank());
    std::vector<comm::Progress> progress(1);
    std::vector<std::string> ops;
    for (std::size_t i = 0; i < program.ops.size(); ++i) ops.push_back(schedule::describe(schedule, program, OpId{i}));
    auto communicators = communicators_of(schedule, rank(), state_->world);
    if (input.host.planned_arena) input.options.arena = schedule::plan_arena(program);
    const auto device = exec::make_host_device(schedule, program, input.options.arena, input.host.threads);
    data::TokenSource tokens(input.host.data, input.host.vocabulary);
    const SignalReports signals({label()}, std::move(ops), progress);
    input.options.interrupted = &SignalReports::interrupted();
    input.options.on_stuck = [this](const std::string& what) { fail(static_cast<int>(ExitCode::environment), what); };
    input.options.leave = [] { std::_Exit(static_cast<int>(ExitCode::environment)); };
    if (rank() != 0) input.options.on_step = nullptr;
    const exec::RankResult mine = exec::execute_rank(schedule, rank(), {*device, communicators, &state_->control, progress[0], tokens}, input.options);
    std::vector<exec::RankResult> all;
    for (const std::string& bytes : comm::all_gather_bytes(state_->world, to_bytes(mine)))
        if (rank() == 0) all.push_back(rank_result_from_bytes(bytes));
    return all;
}

#else

struct MpiJob::State {};
MpiJob::MpiJob() { throw EnvironmentError("started by an MPI launcher, but this build has no MPI (configure with ZEROSIM_WITH_MPI=ON)"); }
MpiJob::~MpiJob() = default;
int MpiJob::rank() const { return 0; }
int MpiJob::size() const { return 1; }
std::string MpiJob::label() const { return {}; }
void MpiJob::fail(int code, const std::string&) { std::_Exit(code); }
void MpiJob::require_same_schedule(const schedule::Schedule&) {}
std::vector<exec::RankResult> MpiJob::run(RunInput) { return {}; }

#endif

}  // namespace zerosim::cli
