#include "cli/collectives/rank_team.hpp"

#include "base/error.hpp"
#include "cli/application.hpp"
#include "comm/backoff.hpp"
#include "comm/launcher.hpp"
#include "comm/local_communicator.hpp"
#ifdef ZEROSIM_HAS_MPI
#include "comm/mpi_communicator.hpp"
#include "comm/mpi_session.hpp"
#endif

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

namespace zerosim::cli {

void TeamRank::run(const comm::CollectiveCall& call) {
    const comm::Ticket ticket = communicator_.start(call);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds_);
    comm::Backoff backoff;
    for (int polls = 0; !communicator_.test(ticket); ++polls) {
        backoff.pause();
        if (polls % 64 != 63) continue; // a look at the clock costs more than a poll
        if (stop_.load(std::memory_order_relaxed)) throw EnvironmentError("another rank has failed");
        if (std::chrono::steady_clock::now() > deadline)
            throw EnvironmentError(fmt::format("rank {} of {}: {} of {} {} elements is not complete after {} s (timeout-seconds)",
                                               rank(), size(), name(call.kind), call.count, name(call.dtype), timeout_seconds_));
    }
}

void TeamRank::barrier() {
    float one = 1, sum = 0;
    std::vector<float> scratch(static_cast<std::size_t>(size()));
    run({CollectiveKind::all_reduce, Reduction::sum, DType::fp32, 1, 0, &one, &sum, scratch.data()});
}

std::vector<double> TeamRank::gather(const std::vector<double>& values) {
    std::vector<double> all(values.size() * static_cast<std::size_t>(size()));
    run({CollectiveKind::all_gather, Reduction::none, DType::fp64, static_cast<std::int64_t>(values.size()), 0, values.data(),
         all.data(), nullptr});
    return all;
}

#ifdef ZEROSIM_HAS_MPI
struct RankTeam::Mpi {
    comm::MpiSession session;
    comm::MpiCommunicator world{MPI_COMM_WORLD, comm::ReductionOrder::rank};
};
#else
struct RankTeam::Mpi {};
#endif

RankTeam::RankTeam(std::int64_t asked, double timeout_seconds) : timeout_seconds_(timeout_seconds) {
    if (!comm::launched_by_mpi()) {
        threads_ = static_cast<int>(std::max<std::int64_t>(1, asked));
        return;
    }
#ifdef ZEROSIM_HAS_MPI
    mpi_ = std::make_unique<Mpi>();
    if (asked != 0 && asked != mpi_->session.size())
        throw ConfigError(
            fmt::format("ranks = {}, but mpirun has started {}; leave ranks out or start as many", asked, mpi_->session.size()));
#else
    throw EnvironmentError("started by an MPI launcher, but this build has no MPI (ZEROSIM_WITH_MPI)");
#endif
}

RankTeam::~RankTeam() = default;

#ifdef ZEROSIM_HAS_MPI
int RankTeam::size() const { return mpi_ ? mpi_->session.size() : threads_; }
bool RankTeam::has_rank_zero() const { return !mpi_ || mpi_->session.rank() == 0; }
#else
int RankTeam::size() const { return threads_; }
bool RankTeam::has_rank_zero() const { return true; }
#endif
bool RankTeam::of_threads() const { return !mpi_; }
std::string RankTeam::transport() const { return of_threads() ? "threads" : "MPI processes"; }

void RankTeam::run(const std::function<void(TeamRank&)>& body) {
#ifdef ZEROSIM_HAS_MPI
    if (mpi_) {
        const std::atomic<bool> stop = false;
        TeamRank rank(mpi_->world, stop, timeout_seconds_);
        try {
            body(rank);
        } catch (...) { // peers may wait for this rank for ever: no way back to main
            const Failure failure = describe_failure(std::current_exception());
            fmt::print(stderr, "zerosim: rank {}: error: {}\n", mpi_->session.rank(), failure.text);
            mpi_->session.abandon();
            mpi_->session.abort(failure.code);
        }
        return;
    }
#endif
    run_threads(body);
}

void RankTeam::run_threads(const std::function<void(TeamRank&)>& body) const {
    const comm::LocalWorld world(threads_);
    std::atomic<bool> stop = false;
    std::mutex mutex;
    std::exception_ptr first;
    {
        std::vector<std::jthread> ranks;
        for (int index = 0; index < threads_; ++index)
            ranks.emplace_back([&, index] {
                const auto communicator = world.communicator(index);
                try {
                    TeamRank rank(*communicator, stop, timeout_seconds_);
                    body(rank);
                } catch (...) {
                    communicator->abandon();
                    const std::lock_guard lock(mutex);
                    if (!first) first = std::current_exception();
                    stop = true;
                }
            });
    }
    if (first) std::rethrow_exception(first);
}

} // namespace zerosim::cli
