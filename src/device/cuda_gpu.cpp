#include "device/cuda_device.hpp"
#include "device/gpu.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>

namespace zerosim::device {
namespace {

/// /sys names PCI devices in lower case.
int numa_node_of(std::string bus_id) {
    std::transform(bus_id.begin(), bus_id.end(), bus_id.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::ifstream file("/sys/bus/pci/devices/" + bus_id + "/numa_node");
    int node = -1;
    file >> node;
    return file ? node : -1;
}

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

}  // namespace

bool built_with_cuda() { return true; }

int count_gpus(std::string* reason) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return count;
    static_cast<void>(cudaGetLastError());               // not sticky: a later call may succeed
    if (reason != nullptr) *reason = status == cudaSuccess ? "the driver shows no device" : cudaGetErrorString(status);
    return 0;
}

std::vector<GpuInfo> list_gpus() {
    std::vector<GpuInfo> all;
    for (int i = 0; i < count_gpus(); ++i) {
        cudaDeviceProp properties;
        check_cuda(cudaGetDeviceProperties(&properties, i), "cudaGetDeviceProperties");
        char bus_id[32] = {};
        check_cuda(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), i), "cudaDeviceGetPCIBusId");
        all.push_back({properties.name, bus_id, static_cast<std::int64_t>(properties.totalGlobalMem), properties.major * 10 + properties.minor, properties.multiProcessorCount,
                       numa_node_of(bus_id)});
    }
    return all;
}

GpuLink link_between(int from, int to) {
    if (from == to) return GpuLink::same;
    int reaches = 0;
    check_cuda(cudaDeviceCanAccessPeer(&reaches, from, to), "cudaDeviceCanAccessPeer");
    return reaches != 0 ? GpuLink::peer : GpuLink::staged;
}

std::string cuda_versions() {
    int runtime = 0, driver = 0;
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    static_cast<void>(cudaDriverGetVersion(&driver));
    return fmt::format("{} (driver {})", version_text(runtime), driver == 0 ? "none" : version_text(driver));
}

std::unique_ptr<StreamDevice> make_gpu(const GpuOptions& options) { return std::make_unique<CudaDevice>(options); }

}  // namespace zerosim::device
