// The path between the GPUs of a node: forced with NCCL's switches before it is loaded, refused where the machine does not have it, and
// read from NCCL's log when the run is over.
// Used by gpu_rank, and by whoever else makes NCCL communicators; one object a rank, made before anything of NCCL is called.
// Communicates over MPI alone.
#pragma once

#include "base/transport.hpp"
#include "comm/channel_log.hpp"
#include "comm/communicator.hpp"
#include "device/gpu_state.hpp"

#include <span>
#include <string>
#include <vector>

namespace zerosim::cli {

/// What this machine's management library tells; no GPUs, and the `reason`, where there is none.
[[nodiscard]] device::GpuMachine gpu_machine(std::string* reason = nullptr);

/// Why the GPU at `own` cannot reach those at `peers` (PCI addresses) by this path; "" = it can, or the driver does not say.
[[nodiscard]] std::string missing_path(Transport transport, const device::GpuMachine& machine, const std::string& own, std::span<const std::string> peers);

/// A file of this process's memory with a path of its own, which NCCL can open by name: gone with the process, however that ends.
class MemoryFile {
public:
    MemoryFile();
    ~MemoryFile();
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    /// "" where the system has no such files, or opens none by name.
    [[nodiscard]] std::string path() const;

private:
    int descriptor_;
};

class GpuTransport {
public:
    /// Collective over `host`, whose ranks have their GPUs at `pci`. Throws EnvironmentError where the path is not there, ConfigError where the
    /// environment says otherwise. Ranks on one GPU are refused without `share`; with it, and only where there are some, every rank pretends to NCCL to be
    /// a host of its own. Sets variables of this process.
    GpuTransport(Transport asked, const std::string& pci, comm::Communicator& host, device::GpuMachine machine = gpu_machine(), bool share = false);
    /// Ranks of this job are on one GPU.
    [[nodiscard]] bool sharing() const { return sharing_; }
    /// What NCCL has connected so far, by the most channels first. Empty where its log goes elsewhere (NCCL_DEBUG of the user's own).
    [[nodiscard]] std::vector<comm::PathUse> paths() const;

private:
    device::GpuMachine machine_;
    MemoryFile log_;
    bool reads_log_ = false, sharing_ = false;
};

}  // namespace zerosim::cli
