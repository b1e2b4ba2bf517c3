#include "base/error.hpp"
#include "device/gpu.hpp"

namespace zerosim::device {

bool built_with_cuda() { return false; }

int count_gpus(std::string* reason) {
    if (reason != nullptr) *reason = "this build has no CUDA (configure with ZEROSIM_WITH_CUDA=ON where the toolkit is)";
    return 0;
}

std::vector<GpuInfo> list_gpus() { return {}; }
GpuLink link_between(int, int) { return GpuLink::staged; }
std::string cuda_versions() { return "none"; }

std::unique_ptr<StreamDevice> make_gpu(const GpuOptions&) {
    std::string reason;
    static_cast<void>(count_gpus(&reason));
    throw EnvironmentError("device cuda: " + reason);
}

}  // namespace zerosim::device
