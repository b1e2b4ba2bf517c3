#include "device/cuda_device.hpp"
#include "device/gpu.hpp"
#include "device/gpu_state.hpp"

#include <fmt/format.h>

#include <fstream>

namespace zerosim::device {
namespace {

int numa_node_of(const std::string& bus_id) {
    std::ifstream file("/sys/bus/pci/devices/" + bus_id + "/numa_node");
    int node = -1;
    file >> node;
    return file ? node : -1;
}

/// CUDA's number of the newest version that the driver knows; 0 without a driver.
int driver_version() {
    int version = 0;
    static_cast<void>(cudaDriverGetVersion(&version));
    return version;
}

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

}  // namespace

bool built_with_cuda() { return true; }

int count_gpus(std::string* reason) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return count;
    static_cast<void>(cudaGetLastError());               // not sticky: a later call may succeed
    if (reason != nullptr) *reason = status == cudaSuccess ? "the driver shows no device" : driver_version() == 0 ? "no NVIDIA driver is installed" : cudaGetErrorString(status);
    return 0;
}

std::vector<GpuInfo> list_gpus() {
    std::vector<GpuInfo> all;
    for (int i = 0; i < count_gpus(); ++i) {
        cudaDeviceProp properties;
        check_cuda(cudaGetDeviceProperties(&properties, i), "cudaGetDeviceProperties");
        const std::string bus_id = pci_of(i);
        all.push_back({properties.name, bus_id, static_cast<std::int64_t>(properties.totalGlobalMem), properties.major * 10 + properties.minor, properties.multiProcessorCount,
                       numa_node_of(bus_id)});
    }
    return all;
}

std::string pci_of(int ordinal) {
    char bus_id[32] = {};
    check_cuda(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), ordinal), "cudaDeviceGetPCIBusId");
    return plain_pci(bus_id);
}

std::int64_t free_gpu_bytes() {
    std::size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return static_cast<std::int64_t>(free);
}

GpuLink link_between(int from, int to) {
    if (from == to) return GpuLink::same;
    int reaches = 0;
    check_cuda(cudaDeviceCanAccessPeer(&reaches, from, to), "cudaDeviceCanAccessPeer");
    return reaches != 0 ? GpuLink::peer : GpuLink::staged;
}

std::string cuda_versions() {
    int runtime = 0;
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    const int driver = driver_version();
    return fmt::format("{} (driver {})", version_text(runtime), driver == 0 ? "none" : version_text(driver));
}

std::unique_ptr<StreamDevice> make_gpu(const GpuOptions& options) { return std::make_unique<CudaDevice>(options); }

}  // namespace zerosim::device
