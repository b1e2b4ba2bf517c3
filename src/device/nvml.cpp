// The part of NVML's ABI that is used, written out: its header is not in every CUDA toolkit. Names, numbers and structs are those of nvml.h
// 11.5 and later (NVIDIA, "NVML API Reference Guide"; NCCL's src/include/nvmlwrap.h does the same).
#include "device/nvml.hpp"

#include "base/dynamic_library.hpp"
#include "base/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace zerosim::device {
namespace {

using Status = int;
using Handle = void*;
constexpr Status kSuccess = 0, kInsufficientSize = 7;
constexpr unsigned kLinks = 18;                            // NVML_NVLINK_MAX_LINKS
constexpr int kRemoteSwitch = 2;                           // NVML_NVLINK_DEVICE_TYPE_SWITCH
constexpr int kReads = 0, kWrites = 1, kPeerOk = 0;        // NVML_P2P_CAPS_INDEX_READ, _WRITE; NVML_P2P_STATUS_OK

struct PciInfo {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
};
struct MemoryV2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};
constexpr unsigned kMemoryVersion2 = static_cast<unsigned>(sizeof(MemoryV2)) | 2u << 24;
struct ProcessInfo {
    unsigned pid;
    unsigned long long used_gpu_memory;                    // all ones: not available
    unsigned gpu_instance, compute_instance;
};
constexpr unsigned long long kNotAvailable = ~0ULL;

std::string address(const PciInfo& pci) { return fmt::format("{:04x}:{:02x}:{:02x}.0", pci.domain, pci.bus, pci.device); }

}  // namespace

struct Nvml::Functions {
    explicit Functions(const std::string& name) : library("", name) {
        library.find("nvmlInit_v2", init);
        library.find("nvmlShutdown", shutdown);
        library.find("nvmlErrorString", error_string);
        library.find("nvmlDeviceGetCount_v2", count);
        library.find("nvmlDeviceGetHandleByIndex_v2", by_index);
        library.find("nvmlDeviceGetHandleByPciBusId_v2", by_pci);
        library.find("nvmlDeviceGetPciInfo_v3", pci_info);
        library.find_optional("nvmlSystemGetDriverVersion", driver_version);
        library.find_optional("nvmlDeviceGetName", name_of);
        library.find_optional("nvmlDeviceGetNvLinkState", link_state);
        library.find_optional("nvmlDeviceGetNvLinkRemotePciInfo_v2", link_peer);
        library.find_optional("nvmlDeviceGetNvLinkRemoteDeviceType", link_peer_type);
        library.find_optional("nvmlDeviceGetMemoryInfo_v2", memory);
        library.find_optional("nvmlDeviceGetComputeRunningProcesses_v3", processes);
        library.find_optional("nvmlDeviceGetCurrPcieLinkWidth", width);
        library.find_optional("nvmlDeviceGetMaxPcieLinkWidth", width_max);
        library.find_optional("nvmlDeviceGetCurrPcieLinkGeneration", generation);
        library.find_optional("nvmlDeviceGetMaxPcieLinkGeneration", generation_max);
        library.find_optional("nvmlDeviceGetPersistenceMode", persistence);
        library.find_optional("nvmlDeviceGetEccMode", ecc);
        library.find_optional("nvmlDeviceGetMigMode", mig);
        library.find_optional("nvmlDeviceGetP2PStatus", peer_status);
    }
    DynamicLibrary library;
    Status (*init)() = nullptr;
    Status (*shutdown)() = nullptr;
    const char* (*error_string)(Status) = nullptr;
    Status (*count)(unsigned*) = nullptr;
    Status (*by_index)(unsigned, Handle*) = nullptr;
    Status (*by_pci)(const char*, Handle*) = nullptr;
    Status (*pci_info)(Handle, PciInfo*) = nullptr;
    Status (*driver_version)(char*, unsigned) = nullptr;
    Status (*name_of)(Handle, char*, unsigned) = nullptr;
    Status (*link_state)(Handle, unsigned, int*) = nullptr;
    Status (*link_peer)(Handle, unsigned, PciInfo*) = nullptr;
    Status (*link_peer_type)(Handle, unsigned, int*) = nullptr;
    Status (*memory)(Handle, MemoryV2*) = nullptr;
    Status (*processes)(Handle, unsigned*, ProcessInfo*) = nullptr;
    Status (*width)(Handle, unsigned*) = nullptr;
    Status (*width_max)(Handle, unsigned*) = nullptr;
    Status (*generation)(Handle, unsigned*) = nullptr;
    Status (*generation_max)(Handle, unsigned*) = nullptr;
    Status (*persistence)(Handle, int*) = nullptr;
    Status (*ecc)(Handle, int*, int*) = nullptr;
    Status (*mig)(Handle, unsigned*, unsigned*) = nullptr;
    Status (*peer_status)(Handle, Handle, int, int*) = nullptr;

    void check(Status status, const char* what) const {
        if (status != kSuccess) throw EnvironmentError(fmt::format("{}: {}", what, error_string(status)));
    }
    [[nodiscard]] Handle handle_of(const std::string& pci) const {
        Handle device = nullptr;
        check(by_pci(pci.c_str(), &device), "nvmlDeviceGetHandleByPciBusId");
        return device;
    }
    [[nodiscard]] static int number(Status (*function)(Handle, unsigned*), Handle device) {
        unsigned value = 0;
        return function != nullptr && function(device, &value) == kSuccess ? static_cast<int>(value) : 0;
    }
    [[nodiscard]] std::optional<bool> mig_of(Handle device) const {
        unsigned now = 0, pending = 0;
        if (mig == nullptr || mig(device, &now, &pending) != kSuccess) return std::nullopt;
        return now != 0;
    }
    [[nodiscard]] std::vector<GpuProcess> processes_of(Handle device) const {
        std::vector<GpuProcess> result;
        if (processes == nullptr) return result;
        std::vector<ProcessInfo> found(64);
        while (true) {
            auto room = static_cast<unsigned>(found.size());
            const Status status = processes(device, &room, found.data());
            if (status == kInsufficientSize && found.size() < 4096) {
                found.resize(found.size() * 4);
                continue;
            }
            if (status == kSuccess) found.resize(room);
            else found.clear();
            break;
        }
        for (const ProcessInfo& process : found)
            result.push_back({process.pid, process.used_gpu_memory == kNotAvailable ? -1 : static_cast<std::int64_t>(process.used_gpu_memory)});
        return result;
    }
    /// By the index of the other.
    [[nodiscard]] std::vector<int> peers_of(Handle device, unsigned own, unsigned devices) const {
        std::vector<int> result(devices, -1);
        for (unsigned other = 0; other < devices; ++other) {
            Handle peer = nullptr;
            int reads = 0, writes = 0;
            if (other == own) result[other] = 1;
            else if (peer_status != nullptr && by_index(other, &peer) == kSuccess && peer_status(device, peer, kReads, &reads) == kSuccess &&
                     peer_status(device, peer, kWrites, &writes) == kSuccess)
                result[other] = reads == kPeerOk && writes == kPeerOk ? 1 : 0;
        }
        return result;
    }
    void add_links(GpuState& gpu, Handle device) const {
        if (link_state == nullptr) return;
        for (unsigned link = 0; link < kLinks; ++link) {
            int up = 0;
            if (link_state(device, link, &up) != kSuccess) continue;   // a link that this device does not have
            if (up == 0) {
                ++gpu.nvlinks_down;
                continue;
            }
            NvLinkEnd end;
            int type = -1;
            end.to_switch = link_peer_type != nullptr && link_peer_type(device, link, &type) == kSuccess && type == kRemoteSwitch;
            PciInfo peer{};
            if (link_peer != nullptr && link_peer(device, link, &peer) == kSuccess) end.peer = address(peer);
            gpu.nvlinks.push_back(end);
        }
    }
};

Nvml::Nvml(const std::string& library) : f_(std::make_unique<Functions>(library)) { f_->check(f_->init(), "nvmlInit"); }
Nvml::~Nvml() { static_cast<void>(f_->shutdown()); }

GpuState Nvml::state_of(unsigned index, unsigned devices) const {
    GpuState gpu;
    Handle device = nullptr;
    f_->check(f_->by_index(index, &device), "nvmlDeviceGetHandleByIndex");
    gpu.index = static_cast<int>(index);
    PciInfo pci{};
    f_->check(f_->pci_info(device, &pci), "nvmlDeviceGetPciInfo");
    gpu.pci = address(pci);
    std::array<char, 96> name{};
    if (f_->name_of != nullptr && f_->name_of(device, name.data(), static_cast<unsigned>(name.size())) == kSuccess) gpu.name = name.data();
    f_->add_links(gpu, device);
    gpu.pcie_width = Functions::number(f_->width, device);
    gpu.pcie_width_max = Functions::number(f_->width_max, device);
    gpu.pcie_generation = Functions::number(f_->generation, device);
    gpu.pcie_generation_max = Functions::number(f_->generation_max, device);
    int now = 0, pending = 0;
    if (f_->persistence != nullptr && f_->persistence(device, &now) == kSuccess) gpu.persistence = now != 0;
    if (f_->ecc != nullptr && f_->ecc(device, &now, &pending) == kSuccess) gpu.ecc = now != 0;
    gpu.mig = f_->mig_of(device);
    gpu.processes = f_->processes_of(device);
    gpu.peer_access = f_->peers_of(device, index, devices);
    MemoryV2 memory{kMemoryVersion2, 0, 0, 0, 0};
    if (f_->memory != nullptr && f_->memory(device, &memory) == kSuccess) {
        gpu.used_bytes = static_cast<std::int64_t>(memory.used);
        gpu.total_bytes = static_cast<std::int64_t>(memory.total - memory.reserved);
    }
    return gpu;
}

GpuMachine Nvml::machine() const {
    GpuMachine machine;
    std::array<char, 80> version{};
    if (f_->driver_version != nullptr && f_->driver_version(version.data(), static_cast<unsigned>(version.size())) == kSuccess) machine.driver = version.data();
    unsigned count = 0;
    f_->check(f_->count(&count), "nvmlDeviceGetCount");
    for (unsigned i = 0; i < count; ++i) machine.gpus.push_back(state_of(i, count));
    return machine;
}

std::int64_t Nvml::used_bytes(const std::string& pci) const {
    const Handle device = f_->handle_of(pci);
    MemoryV2 memory{kMemoryVersion2, 0, 0, 0, 0};
    if (f_->memory == nullptr || f_->mig_of(device).value_or(false) || f_->memory(device, &memory) != kSuccess) return -1;
    return static_cast<std::int64_t>(memory.used);
}

std::int64_t Nvml::process_bytes(const std::string& pci, std::int64_t pid) const {
    const auto all = f_->processes_of(f_->handle_of(pci));
    const auto found = std::ranges::find(all, pid, &GpuProcess::pid);
    return found == all.end() ? -1 : found->bytes;
}

int nvlinks_between(const GpuState& from, const GpuState& to) {
    if (from.pci == to.pci) return 0;
    const auto direct = std::ranges::count_if(from.nvlinks, [&](const NvLinkEnd& end) { return !end.to_switch && end.peer == to.pci; });
    const auto to_switches = [](const GpuState& gpu) { return std::ranges::count_if(gpu.nvlinks, &NvLinkEnd::to_switch); };
    return static_cast<int>(direct + std::min(to_switches(from), to_switches(to)));
}

std::string plain_pci(std::string address) {
    std::ranges::transform(address, address.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto domain = address.find(':');
    if (domain != std::string::npos && domain > 4 && address.find(':', domain + 1) != std::string::npos) address.erase(0, domain - 4);
    return address;
}

}  // namespace zerosim::device
