// What the control groups above this process leave it: those of a Slurm job, a container, a systemd service.
// Used by machine.cpp; tests hand in a tree of their own.
// Reads only; where a limit is not written there is none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace zerosim::cli {

struct ControlGroupRoom {
    std::optional<std::int64_t> memory; // bytes that can still be had
    std::optional<double> cores;        // the quota, in cores
};

/// The least that the process's own group and all above it leave, of version 2 and of version 1 (the kernel's admin-guide/cgroup-v2,
/// cgroup-v1/memory). Cached file pages that were not used lately count as free, since the kernel gives them back first.
[[nodiscard]] ControlGroupRoom control_group_room(const std::filesystem::path& root = "/");

} // namespace zerosim::cli
