// What this machine and the launcher offer: cores, memory, ranks on the node.
// Used by the commands that resolve a scenario and by `doctor`.
// Starts no MPI.
#pragma once

#include "config/resolve.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace zerosim::cli {

/// Cores this process may use: its affinity mask, and the control groups' quota where that is less.
[[nodiscard]] int available_cores();
/// Bytes that can be had now: MemAvailable, and what the control groups leave where that is less; 0 = unknown.
[[nodiscard]] std::int64_t available_memory();
/// Bytes of address space that the process may still take (RLIMIT_AS, ulimit -v); none = as many as it wants.
[[nodiscard]] std::optional<std::int64_t> address_space_left();
/// Bytes of last-level cache of the cores this machine has, each shared one counted once (sysfs); 0 = unknown.
[[nodiscard]] std::int64_t last_level_cache();
/// Bytes of one core's own, second-level cache; 0 = unknown.
[[nodiscard]] std::int64_t own_cache();
[[nodiscard]] std::string host_name();
/// Cores, and the launcher's ranks per node from its variables (Open MPI, MPICH). The world size comes from MPI itself.
[[nodiscard]] config::Machine this_machine(const std::map<std::string, std::string>& environment);
/// this_machine() that has also looked for GPUs, which costs a driver's start: for `run`.
[[nodiscard]] config::Machine machine_with_gpus(const std::map<std::string, std::string>& environment);

} // namespace zerosim::cli
