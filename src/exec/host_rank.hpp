// HostRank: the objects one rank on the CPU runs with: device with its arenas, progress, token source.
// Made by cli/ under mpirun (one a process) and by run_local (one a thread).
// Communicators are the caller's: they differ between threads and MPI.
#pragma once

#include "device/host_device.hpp"
#include "exec/execute.hpp"

#include <memory>
#include <span>

namespace zerosim::exec {

struct HostRankOptions {
    int threads = 1;                  // of the compute stream
    bool planned_arena = true;
    std::string data = "chain";       // data::TokenSource
    std::int64_t vocabulary = 0;      // real, without padding
};

[[nodiscard]] std::unique_ptr<device::HostDevice> make_host_device(const schedule::Schedule& schedule, const schedule::Program& program,
                                                                   const std::optional<schedule::ArenaPlan>& arena, int threads);

/// Runs all ranks as threads of this process. Results by rank. If ranks fail, all end, and the first cause is rethrown.
/// `on_step` is called for rank 0 alone. `progress`: one a rank, the caller's, so that it can say where ranks are.
[[nodiscard]] std::vector<RankResult> run_local(const schedule::Schedule& schedule, const HostRankOptions& host, const ExecuteOptions& options,
                                                std::span<comm::Progress> progress);

}  // namespace zerosim::exec
