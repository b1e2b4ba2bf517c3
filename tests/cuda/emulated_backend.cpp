#include "cuda/kernel_case.hpp"
#include "device/cuda_kernels/kernels.hpp"

namespace zerosim::device::test {

std::string no_cuda_because() { return {}; }
bool has_matrix_products() { return false; }

void run_on_cuda(const KernelCase& test, Contents& contents) {
    std::vector<std::byte*> storage;
    for (auto& bytes : contents) storage.push_back(bytes.data());
    std::vector<std::byte> scratch(static_cast<std::size_t>(cuda::kScratchBytes));
    cuda::run_kernel({test.kernel, test.attributes, views_of(test, storage), test.range, {}, {}}, {nullptr, scratch.data(), test.tensor_cores});
}

}  // namespace zerosim::device::test
