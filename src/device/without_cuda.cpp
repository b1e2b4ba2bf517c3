#include "base/error.hpp"
#include "device/gpu.hpp"
#include "device/gpu_copies.hpp"

namespace zerosim::device {

bool built_with_cuda() { return false; }

int count_gpus(std::string* reason) {
    if (reason != nullptr) *reason = "this build has no CUDA (configure with ZEROSIM_WITH_CUDA=ON where the toolkit is)";
    return 0;
}

std::vector<GpuInfo> list_gpus() { return {}; }
std::string pci_of(int) { return {}; }
std::int64_t free_gpu_bytes() { return 0; }
GpuLink link_between(int, int) { return GpuLink::staged; }
std::string cuda_versions() { return "none"; }

std::vector<double> time_copies(CopyPath, int, int, std::int64_t, int) { throw EnvironmentError("this build has no CUDA"); }

std::unique_ptr<StreamDevice> make_gpu(const GpuOptions&) {
    std::string reason;
    static_cast<void>(count_gpus(&reason));
    throw EnvironmentError("device cuda: " + reason);
}

}  // namespace zerosim::device
