// Running the ranks: as threads of this process, or as one of mpirun's processes.
// Called by command_run with a planned, checked schedule.
// Results come back on rank 0 (all of them); other processes get none.
#pragma once

#include "config/resolve.hpp"
#include "exec/execute.hpp"
#include "exec/host_rank.hpp"

#include <memory>
#include <string>
#include <vector>

namespace zerosim::cli {

struct RunInput {
    const config::Resolved& resolved;
    const schedule::Schedule& schedule;
    exec::ExecuteOptions options;
    exec::HostRankOptions host;
};

[[nodiscard]] std::vector<exec::RankResult> run_as_threads(RunInput input);

/// This process's place among mpirun's.
class MpiJob {
public:
    MpiJob();
    ~MpiJob();
    MpiJob(const MpiJob&) = delete;
    MpiJob& operator=(const MpiJob&) = delete;
    [[nodiscard]] int rank() const;
    [[nodiscard]] int size() const;
    [[nodiscard]] std::string label() const;     // "[rank 3/8 node-a]"
    /// Refuses a job whose ranks planned different schedules, naming the first difference. Collective.
    void require_same_schedule(const schedule::Schedule& schedule);
    [[nodiscard]] std::vector<exec::RankResult> run(RunInput input);
    /// Prints `text` for this rank and ends every rank with `code`. Never finalizes: others may wait for ever.
    [[noreturn]] void fail(int code, const std::string& text);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace zerosim::cli
