// The ranks of a job as `doctor` sees them under mpirun: where each runs, which GPU it would take, with which versions; and what will hurt.
// Called by command_doctor on every rank; judged on rank 0, pure over what the ranks say.
// Communicates nothing itself.
#pragma once

#include "cli/doctor/findings.hpp"
#include "cli/run/gpu_rank.hpp"
#include "cli/doctor/system_files.hpp"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace zerosim::cli {

struct RankFacts {
    int rank = 0, local_rank = 0;
    std::string host;
    std::vector<int> cpus;                       // that it may run on
    std::vector<int> numa_nodes;                 // of these
    std::string gpu;                             // PCI address of the one it would take; "" = none
    int gpu_number = -1, gpu_numa = -1;
    std::map<std::string, std::string> versions; // zerosim, driver, CUDA, NCCL, MPI
    std::vector<std::string> warnings;           // of its host; from the first rank of each
};
/// NCCL's version, or why it cannot be loaded here: it may have gone since the build.
[[nodiscard]] std::string nccl_here();
[[nodiscard]] RankFacts own_rank_facts(const GpuPlace& place, const SystemFiles& files);

[[nodiscard]] std::string to_text(const RankFacts& facts);
/// Throws BugError if it is not what to_text made.
[[nodiscard]] RankFacts rank_facts_from_text(const std::string& text);

[[nodiscard]] Findings rank_findings(std::span<const RankFacts> ranks);

}  // namespace zerosim::cli
