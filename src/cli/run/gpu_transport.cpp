#include "cli/run/gpu_transport.hpp"

#include "base/error.hpp"
#include "cli/machine.hpp"
#include "comm/byte_exchange.hpp"
#include "comm/transport_switches.hpp"
#include "device/nvml.hpp"
#include "exec/run_error.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>

namespace zerosim::cli {
namespace {

std::optional<std::string> variable(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

void set(const comm::Switches& switches) {
    for (const auto& [name, value] : switches) ::setenv(name.c_str(), value.c_str(), 1);
}

/// Where a rank's GPU is.
struct Seat {
    std::string host, pci;
    bool operator==(const Seat&) const = default;
};

/// Of all ranks, by rank.
std::vector<Seat> seats_of(const std::string& pci, comm::Communicator& host) {
    std::vector<Seat> seats;
    for (const std::string& text : comm::all_gather_bytes(host, host_name() + " " + pci)) seats.push_back({text.substr(0, text.rfind(' ')), text.substr(text.rfind(' ') + 1)});
    return seats;
}

/// GPUs of the other ranks of this host.
std::vector<std::string> peers_of(const std::vector<Seat>& seats, int rank) {
    std::vector<std::string> peers;
    for (std::size_t other = 0; other < seats.size(); ++other)
        if (static_cast<int>(other) != rank && seats[other].host == seats[static_cast<std::size_t>(rank)].host) peers.push_back(seats[other].pci);
    return peers;
}

bool any_two_equal(const std::vector<Seat>& seats) {
    for (auto seat = seats.begin(); seat != seats.end(); ++seat)
        if (std::find(seats.begin(), seat, *seat) != seat) return true;
    return false;
}

/// NCCL refuses two ranks on one device of one host: each pretends to be a host of its own. On one machine they talk over the loopback interface, which
/// NCCL leaves out unless it is named; between machines it chooses. Slow, and right; the user's own settings win.
void pretend_separate_hosts(const std::vector<Seat>& seats, int rank) {
    ::setenv("NCCL_HOSTID", fmt::format("zerosim-rank-{}", rank).c_str(), 0);
    if (std::ranges::all_of(seats, [&](const Seat& seat) { return seat.host == seats.front().host; })) ::setenv("NCCL_SOCKET_IFNAME", "lo", 0);
}

std::string no_nvlink(const device::GpuState& from, const device::GpuState& to) {
    return fmt::format("GPU {} ({}) and GPU {} ({}) are not joined by NVLink{}", from.index, from.pci, to.index, to.pci,
                       from.nvlinks_down > 0 ? fmt::format("; {} NVLinks of GPU {} are down", from.nvlinks_down, from.index) : "");
}

/// NCCL refuses ranks of one host that have the same GPU ("Duplicate GPU detected"), unless they pretend to be hosts of their own (share-device).
std::string same_gpu(const std::string& own, std::span<const std::string> peers) {
    if (variable("NCCL_HOSTID") || std::ranges::find(peers, own) == peers.end()) return {};
    return fmt::format("another rank of this node has the GPU at {} too (CUDA_VISIBLE_DEVICES={}): show each rank its own, or all GPUs to all ranks; or allow it with --share-device true",
                       own, variable("CUDA_VISIBLE_DEVICES").value_or(""));
}

/// All ranks end, and one of them says why.
void require_path(const std::string& why, comm::Communicator& host) {
    const std::vector<std::string> all = comm::all_gather_bytes(host, why);
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
        if (all[rank].empty()) continue;
        const std::string& text = all[rank];
        if (static_cast<int>(rank) == host.rank()) throw EnvironmentError(text);
        throw exec::RunError(static_cast<std::int64_t>(rank), ExitCode::environment, text, true);
    }
}

}  // namespace

device::GpuMachine gpu_machine(std::string* reason) {
    try {
        return device::Nvml().machine();
    } catch (const EnvironmentError& error) {
        if (reason != nullptr) *reason = error.what();
        return {};
    }
}

std::string missing_path(Transport transport, const device::GpuMachine& machine, const std::string& own, std::span<const std::string> peers) {
    const device::GpuState* from = machine.find(own);
    if (from == nullptr) return {};
    for (const std::string& address : peers) {
        const device::GpuState* to = machine.find(address);
        if (to == nullptr) continue;
        const int links = nvlinks_between(*from, *to);
        if (transport == Transport::nvlink && links == 0) return no_nvlink(*from, *to);
        if (transport != Transport::pcie) continue;
        if (links > 0)
            return fmt::format("GPU {} and GPU {} are joined by {} NVLinks, over which the driver sends all their peer-to-peer traffic; NCCL cannot choose PCIe "
                               "(only the kernel module's NVreg_NvLinkDisable=1 can). transport host crosses PCIe by way of host memory",
                               from->index, to->index, links);
        const auto at = static_cast<std::size_t>(to->index);
        if (at < from->peer_access.size() && from->peer_access[at] == 0)
            return fmt::format("GPU {} does not reach the memory of GPU {} over PCIe (ACS or IOMMU on, or a consumer card's driver)", from->index, to->index);
    }
    return {};
}

MemoryFile::MemoryFile() : descriptor_(::memfd_create("zerosim-nccl-log", MFD_CLOEXEC)) {}
MemoryFile::~MemoryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}
std::string MemoryFile::path() const {
    const std::string path = fmt::format("/proc/self/fd/{}", descriptor_);
    const int again = descriptor_ < 0 ? -1 : ::open(path.c_str(), O_WRONLY | O_CLOEXEC);   // as NCCL will; where it cannot, its log goes to stdout (debug.cc)
    if (again < 0) return "";
    ::close(again);
    return path;
}

GpuTransport::GpuTransport(Transport asked, const std::string& pci, comm::Communicator& host, device::GpuMachine machine, bool share) : machine_(std::move(machine)) {
    const comm::Switches switches = comm::transport_switches(asked, host.rank());
    comm::check_switches(switches, asked, variable);
    const std::vector<Seat> seats = seats_of(pci, host);
    const std::vector<std::string> peers = peers_of(seats, host.rank());
    sharing_ = any_two_equal(seats);
    std::string why = share ? "" : same_gpu(pci, peers);
    if (const std::string missing = missing_path(asked, machine_, pci, peers); why.empty() && !missing.empty()) why = fmt::format("transport {}: {}", name(asked), missing);
    require_path(why, host);
    if (share && sharing_) pretend_separate_hosts(seats, host.rank());
    set(switches);
    const std::string file = log_.path();
    const comm::Switches log = file.empty() ? comm::Switches{} : comm::log_switches(file, variable);
    set(log);
    reads_log_ = !log.empty();
}

std::vector<comm::PathUse> GpuTransport::paths() const {
    if (!reads_log_) return {};
    std::ifstream file(log_.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto joined = [this](int from, int to) {
        const auto known = [this](int index) { return index >= 0 && static_cast<std::size_t>(index) < machine_.gpus.size(); };
        return known(from) && known(to) && nvlinks_between(machine_.gpus[static_cast<std::size_t>(from)], machine_.gpus[static_cast<std::size_t>(to)]) > 0;
    };
    return comm::paths_used(comm::parse_channel_log(text), joined);
}

}  // namespace zerosim::cli
