#include "cuda/kernel_case.hpp"
#include "cuda/product_backend.hpp"
#include "device/cuda_kernels/kernels.hpp"

namespace zerosim::device::test {

std::string no_cuda_because() { return {}; }
bool has_matrix_products() { return has_product_backend(); }

void run_on_cuda(const KernelCase& test, Contents& contents) {
    using kernel::Kernel;
    std::vector<std::byte*> storage;
    for (auto& bytes : contents) storage.push_back(bytes.data());
    std::vector<std::byte> scratch(static_cast<std::size_t>(cuda::kScratchBytes));
    const std::vector<TensorView> views = views_of(test, storage);
    const KernelCall call{test.kernel, test.attributes, views, test.range, {}, {}};
    const bool product = test.kernel == Kernel::linear_forward || test.kernel == Kernel::linear_backward_input || test.kernel == Kernel::linear_backward_weight;
    if (product) run_product(call, scratch.data());
    else cuda::run_kernel(call, {nullptr, scratch.data(), test.tensor_cores});
}

}  // namespace zerosim::device::test
