#include "cuda/kernel_case.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "kernel/work.hpp"

#include <gtest/gtest.h>

#include <cmath>

// Every CUDA kernel against the host's on the same operands: on an emulated grid (cuda_emulated_tests) or on a GPU (cuda_device_tests).

namespace zerosim::device::test {
namespace {

std::vector<std::byte*> addresses(Contents& contents) {
    std::vector<std::byte*> result;
    for (auto& bytes : contents) result.push_back(bytes.data());
    return result;
}

/// Which operand is the host kernel's workspace; `none` for kernels without.
std::size_t workspace_slot(kernel::Kernel which, std::size_t none) {
    switch (which) {
        case kernel::Kernel::attention_forward:
        case kernel::Kernel::linear_forward: return 3;
        case kernel::Kernel::linear_backward_input:
        case kernel::Kernel::linear_backward_weight: return 2;
        case kernel::Kernel::attention_backward: return 6;
        default: return none;
    }
}

/// On the host, with the workspace it asks for.
void run_on_host(const KernelCase& test, std::vector<TensorView> views) {
    std::vector<std::byte> workspace;
    const DType type = views[0].dtype == DType::int32 ? views[1].dtype : views[0].dtype;
    const std::int64_t bytes = kernel::workspace_bytes(test.kernel, test.attributes, type, kernel::Library::host, 1);
    workspace.resize(static_cast<std::size_t>(bytes));
    const std::size_t slot = workspace_slot(test.kernel, views.size());
    if (slot < views.size()) views[slot] = {workspace.data(), 1, bytes / 4, bytes / 4, DType::fp32};
    host::run_kernel({test.kernel, test.attributes, views, test.range, {}});
}

/// Backward of attention reads what forward saved.
void prepare(const KernelCase& test, const std::vector<TensorView>& views) {
    if (test.kernel != kernel::Kernel::attention_backward) return;
    KernelCase forward = test;
    forward.kernel = kernel::Kernel::attention_forward;
    run_on_host(forward, {views[1], views[2], views[3], views[6], views[4], views[5]});
}

class CudaKernel : public testing::TestWithParam<KernelCase> {};

TEST_P(CudaKernel, AgreesWithTheHost) {
    if (const std::string reason = no_cuda_because(); !reason.empty()) GTEST_SKIP() << reason;
    const KernelCase& test = GetParam();
    Contents host = contents_of(test);
    prepare(test, views_of(test, addresses(host)));
    Contents cuda = host;
    run_on_host(test, views_of(test, addresses(host)));
    run_on_cuda(test, cuda);
    for (std::size_t i = 0; i < test.operands.size(); ++i) {
        const std::vector<double> expected = elements_of(test.operands[i], host[i]), found = elements_of(test.operands[i], cuda[i]);
        double largest = test.least;
        for (const double value : expected) largest = std::max(largest, std::abs(value));
        for (std::size_t e = 0; e < expected.size(); ++e)
            ASSERT_NEAR(found[e], expected[e], test.tolerance * largest) << "operand " << i << ", element " << e << ", largest " << largest;
    }
}

std::string case_name(const testing::TestParamInfo<KernelCase>& info) {
    std::string text = info.param.name;
    for (char& c : text)
        if (c == '-' || c == '.') c = '_';
    return text;
}

INSTANTIATE_TEST_SUITE_P(All, CudaKernel, testing::ValuesIn(kernel_cases()), case_name);

}  // namespace
}  // namespace zerosim::device::test
