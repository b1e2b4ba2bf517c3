// RankTeam: the ranks of a benchmark: this process alone under mpirun, or threads of this process.
// Made by `collectives` and `calibrate`, which run one function on every rank and print from rank 0.
// Does not plan or train: command_run has its own launcher, with a watchdog and faults.
#pragma once

#include "comm/communicator.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace zerosim::cli {

/// What the function sees of its rank.
class TeamRank {
public:
    TeamRank(comm::Communicator& communicator, const std::atomic<bool>& stop, double timeout_seconds)
        : communicator_(communicator), stop_(stop), timeout_seconds_(timeout_seconds) {}
    [[nodiscard]] int rank() const { return communicator_.rank(); }
    [[nodiscard]] int size() const { return communicator_.size(); }
    [[nodiscard]] double timeout_seconds() const { return timeout_seconds_; }
    /// What carries NCCL's id between ranks that have GPUs.
    [[nodiscard]] comm::Communicator& communicator() { return communicator_; }
    /// Starts a collective and polls it to the end. Throws EnvironmentError when it takes longer than the timeout or a peer has
    /// failed.
    void run(const comm::CollectiveCall& call);
    /// Until every rank has called it.
    void barrier();
    /// The values of all ranks, rank by rank.
    [[nodiscard]] std::vector<double> gather(const std::vector<double>& values);

private:
    comm::Communicator& communicator_;
    const std::atomic<bool>& stop_;
    double timeout_seconds_;
};

class RankTeam {
public:
    /// Under an MPI launcher its ranks; ConfigError if `asked` (0 = nothing asked) says otherwise. Else `asked` threads, at least
    /// one.
    RankTeam(std::int64_t asked, double timeout_seconds);
    ~RankTeam();
    RankTeam(const RankTeam&) = delete;
    RankTeam& operator=(const RankTeam&) = delete;

    [[nodiscard]] int size() const;
    [[nodiscard]] bool has_rank_zero() const;    // this process prints
    [[nodiscard]] bool of_threads() const;       // of this process
    [[nodiscard]] std::string transport() const; // "MPI processes", "threads"
    /// Calls `body` on every rank at once; rethrows the first exception. Under MPI a failing rank prints it and ends the job.
    void run(const std::function<void(TeamRank&)>& body);

private:
    void run_threads(const std::function<void(TeamRank&)>& body) const;
    struct Mpi;
    std::unique_ptr<Mpi> mpi_;
    int threads_ = 1;
    double timeout_seconds_;
};

} // namespace zerosim::cli
