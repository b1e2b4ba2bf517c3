// Matrix products of linear layers through cuBLASLt: row-major operands as the schedule has them, the bias fused where the library can. Called by
// CudaDevice for linear_forward, linear_backward_input and linear_backward_weight. The bias gradient is a kernel of its own, as in PyTorch and llm.c
// (llmc/matmul.cuh): a weight's gradient is a small result of a long sum, which the library cuts along the sum to fill the device; fused sums of the bias
// (CUBLASLT_EPILOGUE_BGRADB) allow few of its algorithms, and have faulted (OneFlow, cublas_fused_mlp_grad_kernel.cu).
// Chooses an algorithm once a shape (the library's first heuristic) and keeps it, or takes a plain kernel where there is none; fp32 is fp32: TF32 is off.
#pragma once

#include "device/cuda_handles.hpp"
#include "device/cuda_kernels/kernels.hpp"
#include "device/device.hpp"

#include <cublasLt.h>

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace zerosim::device {

struct CudaBlasLibrary;

class CudaBlas {
public:
    /// `workspace_bytes` of device memory for split sums: 32 MiB on Hopper and later, 4 MiB before (cuBLAS documentation, "cuBLAS workspace").
    explicit CudaBlas(std::int64_t workspace_bytes);
    ~CudaBlas();
    CudaBlas(const CudaBlas&) = delete;
    CudaBlas& operator=(const CudaBlas&) = delete;

    /// One of the three linear kernels, on the context's stream.
    void run(const KernelCall& call, const cuda::LaunchContext& context);
    /// Shapes for which the library had no algorithm, in words.
    [[nodiscard]] const std::set<std::string>& plain_products() const { return plain_products_; }

private:
    struct Product;
    struct Plan;
    using Key = std::array<std::int64_t, 11>;              // shapes, strides, types, alignment, epilogue
    [[nodiscard]] static Key key_of(const Product& product);
    [[nodiscard]] static std::string words_of(const Product& product);
    void multiply(const Product& product, const cuda::LaunchContext& context);
    [[nodiscard]] Plan* plan_of(const Product& product);   // null: not in one call
    void describe(const TensorView& view, cublasLtMatrixLayoutOpaque_t& layout) const;
    template <class T>
    void set(Plan& plan, cublasLtMatmulDescAttributes_t attribute, const T& value) const;

    std::unique_ptr<CudaBlasLibrary> library_;
    cublasLtHandle_t handle_ = nullptr;
    std::int64_t workspace_bytes_;
    DeviceMemory workspace_;
    std::map<Key, std::unique_ptr<Plan>> plans_;           // null: the library has no algorithm
    std::set<std::string> plain_products_;
};

}  // namespace zerosim::device
