// Running the ranks: as threads of this process, or as one of mpirun's processes.
// Called by command_run with a planned, checked schedule.
// Results come back on rank 0 (all of them); other processes get none.
#pragma once

#include "cli/application.hpp"
#include "cli/collectives/link_reference.hpp"
#include "config/resolve.hpp"
#include "exec/execute.hpp"
#include "exec/host_rank.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::cli {

struct RunInput {
    const config::Resolved& resolved;
    const schedule::Schedule& schedule;
    exec::ExecuteOptions options;
    exec::HostRankOptions host;
};

/// What all ranks measured.
struct RanksRun {
    std::vector<exec::RankResult> ranks;
    std::optional<LinkTimes> links; // of several ranks on CPUs
};

[[nodiscard]] RanksRun run_as_threads(RunInput input);
/// The only rank, on this process's GPU.
[[nodiscard]] RanksRun run_alone_on_gpu(RunInput input);

/// This process's place among mpirun's.
class MpiJob {
public:
    /// `timeout`: seconds that ranks may keep each other waiting outside the run itself, starting MPI included.
    explicit MpiJob(double timeout);
    ~MpiJob();
    MpiJob(const MpiJob&) = delete;
    MpiJob& operator=(const MpiJob&) = delete;
    [[nodiscard]] int rank() const;
    [[nodiscard]] int size() const;
    [[nodiscard]] std::string label() const;     // "[rank 3/8 node-a]"
    /// Collective. Returns when no rank has a failure; else rank 0 prints each different one once, and all ranks end.
    void fail_together(const std::optional<Failure>& mine);
    /// Collective. Refuses a job whose ranks were started with different options or planned different collectives, naming the first
    /// difference.
    void require_same_plan(const config::Resolved& resolved, const schedule::Schedule& schedule);
    /// Collective: the text of every rank, by rank.
    [[nodiscard]] std::vector<std::string> gather(const std::string& mine);
    [[nodiscard]] RanksRun run(RunInput input);
    /// Prints the failure of this rank alone and ends every rank. Never finalizes: others may wait for ever.
    /// `of_peer`: another rank has failed and says so; this one speaks only if that does not end the job.
    [[noreturn]] void fail(const Failure& failure, bool of_peer = false);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace zerosim::cli
