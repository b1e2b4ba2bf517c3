#include "device/cuda_blas.hpp"

#include "base/error.hpp"
#include "device/cuda_blas_library.hpp"

#include <fmt/format.h>

namespace zerosim::device {
namespace {

cudaDataType_t type_of(DType type) {
    switch (type) {
        case DType::fp32: return CUDA_R_32F;
        case DType::bf16: return CUDA_R_16BF;
        case DType::fp16: return CUDA_R_16F;
        default: throw BugError(fmt::format("a matrix product of {}", name(type)));
    }
}

}  // namespace

/// result = [result +] left * right, all row-major; `bias` is added to every row, `bias_sums` receives the column sums of `left`'s transpose.
struct CudaBlas::Product {
    TensorView left, right, result;
    bool left_transposed = false, right_transposed = false, accumulate = false;
    const TensorView* bias = nullptr;          // forward: one value a column of the result
    const TensorView* bias_sums = nullptr;     // weight gradient: sums of left over its rows
};

struct CudaBlas::Plan {
    cublasLtMatmulDescOpaque_t description{};
    cublasLtMatrixLayoutOpaque_t left{}, right{}, result{};
    cublasLtMatmulHeuristicResult_t algorithm{};
};

CudaBlas::CudaBlas(std::int64_t workspace_bytes)
    : library_(std::make_unique<CudaBlasLibrary>()), workspace_bytes_(workspace_bytes), workspace_(make_device_memory(workspace_bytes, "the cuBLASLt workspace")) {
    library_->check(library_->create(&handle_), "cublasLtCreate");
}
CudaBlas::~CudaBlas() { static_cast<void>(library_->destroy(handle_)); }

/// The library counts columns first: a row-major view is the transpose of what it sees.
void CudaBlas::describe(const TensorView& view, cublasLtMatrixLayoutOpaque_t& layout) const {
    library_->check(library_->layout_init(&layout, sizeof(layout), type_of(view.dtype), static_cast<std::uint64_t>(view.columns), static_cast<std::uint64_t>(view.rows), view.row_stride),
                    "cublasLtMatrixLayoutInit");
}

template <class T>
void CudaBlas::set(Plan& plan, cublasLtMatmulDescAttributes_t attribute, const T& value) const {
    library_->check(library_->set_attribute(&plan.description, attribute, &value, sizeof(T)), "cublasLtMatmulDescSetAttribute");
}

CudaBlas::Plan* CudaBlas::plan_of(const Product& p) {
    const auto text = [](const TensorView& v) { return fmt::format("{}x{}/{}{}@{}", v.rows, v.columns, v.row_stride, name(v.dtype), reinterpret_cast<std::uintptr_t>(v.data) % 16); };
    const std::string key = fmt::format("{} {} {} {}{}{}{}{}", text(p.left), text(p.right), text(p.result), p.left_transposed, p.right_transposed, p.accumulate, p.bias != nullptr,
                                        p.bias_sums != nullptr);
    const auto [found, fresh] = plans_.try_emplace(key);
    if (!fresh) return found->second.get();
    auto plan = std::make_unique<Plan>();
    library_->check(library_->description_init(&plan->description, sizeof(plan->description), CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescInit");
    // result^T = right^T left^T, and the library sees every view transposed: its A is `right`, its B is `left`.
    set(*plan, CUBLASLT_MATMUL_DESC_TRANSA, p.right_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(*plan, CUBLASLT_MATMUL_DESC_TRANSB, p.left_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (p.bias != nullptr) {
        set(*plan, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(*plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(p.bias->dtype));
    }
    if (p.bias_sums != nullptr) {
        set(*plan, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BGRADB);
        set(*plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(p.bias_sums->dtype));
    }
    describe(p.left, plan->left);
    describe(p.right, plan->right);
    describe(p.result, plan->result);
    cublasLtMatmulPreferenceOpaque_t preference{};
    const auto room = static_cast<std::size_t>(workspace_bytes_);
    library_->check(library_->preference_init(&preference, sizeof(preference)), "cublasLtMatmulPreferenceInit");
    library_->check(library_->set_preference(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof(room)), "cublasLtMatmulPreferenceSetAttribute");
    int count = 0;
    const cublasStatus_t status =
        library_->heuristic(handle_, &plan->description, &plan->right, &plan->left, &plan->result, &plan->result, &preference, 1, &plan->algorithm, &count);
    if (status == CUBLAS_STATUS_SUCCESS && count > 0) found->second = std::move(plan);
    return found->second.get();
}

void CudaBlas::multiply(const Product& p, const cuda::LaunchContext& context) {
    if (p.result.elements() == 0) return;
    Plan* const plan = plan_of(p);
    if (plan == nullptr && p.bias_sums != nullptr) {     // no fused algorithm for this shape: the sums go alone
        Product plain = p;
        plain.bias_sums = nullptr;
        cuda::bias_gradient(p.left, *p.bias_sums, p.accumulate, context);
        return multiply(plain, context);
    }
    check(plan != nullptr, "cuBLASLt has no algorithm for this product");
    if (p.bias != nullptr) set(*plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias->data);
    if (p.bias_sums != nullptr) set(*plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias_sums->data);
    const float one = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
    library_->check(library_->multiply(handle_, &plan->description, &one, p.right.data, &plan->right, p.left.data, &plan->left, &beta, p.result.data, &plan->result, p.result.data,
                                       &plan->result, &plan->algorithm.algo, workspace_.get(), static_cast<std::size_t>(workspace_bytes_), context.stream),
                    "cublasLtMatmul");
}

void CudaBlas::run(const KernelCall& call, const cuda::LaunchContext& context) {
    const auto& o = call.operands;
    const bool input_major = call.attributes.input_major;   // the weight is [in, out]
    Product p;
    switch (call.kernel) {
        case kernel::Kernel::linear_forward:                // x, weight, bias, workspace, y
            p = {o[0], o[1], o[4], false, !input_major, false, o[2].data == nullptr ? nullptr : &o[2], nullptr};
            break;
        case kernel::Kernel::linear_backward_input:         // d_y, weight, workspace, d_x
            p = {o[0], o[1], o[3], false, input_major, call.attributes.accumulate_second, nullptr, nullptr};
            break;
        case kernel::Kernel::linear_backward_weight: {      // d_y, x, workspace, d_weight, d_bias
            const bool fuses = o[4].data != nullptr && !call.attributes.accumulate && !input_major;
            p = {o[input_major ? 1 : 0], o[input_major ? 0 : 1], o[3], true, false, call.attributes.accumulate, nullptr, fuses ? &o[4] : nullptr};
            if (o[4].data != nullptr && !fuses) cuda::bias_gradient(o[0], o[4], call.attributes.accumulate, context);
            break;
        }
        default: throw BugError("not a matrix product");
    }
    multiply(p, context);
}

}  // namespace zerosim::device
