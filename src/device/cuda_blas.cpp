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

/// Bytes that the address is a multiple of, up to the 256 that the library takes for granted unless told (cuBLASLt documentation,
/// CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES): views into flat units begin anywhere.
std::uint32_t alignment_of(const void* data) {
    std::uint32_t bytes = 256;
    while (reinterpret_cast<std::uintptr_t>(data) % bytes != 0) bytes /= 2;
    return bytes;
}

/// The epilogue's vector has no alignment preference, and kernels that the heuristic finds read 16 bytes of it at once: pytorch/pytorch#194497, and Marian's
/// REQUIRED_BIAS_ALIGNMENT (src/tensors/gpu/prod.cpp).
constexpr std::uint32_t kEpilogueAlignment = 16;

}  // namespace

/// result = [result +] left * right, all row-major; `bias` is added to every row.
struct CudaBlas::Product {
    TensorView left, right, result;
    bool left_transposed = false, right_transposed = false, accumulate = false;
    const TensorView* bias = nullptr;          // forward: one value a column of the result
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

/// All that the choice of an algorithm depends on, as numbers: looked up once a product, so no text.
CudaBlas::Key CudaBlas::key_of(const Product& p) {
    Key key{};
    std::size_t at = 0;
    for (const TensorView* v : {&p.left, &p.right, &p.result}) {
        key[at++] = v->rows;
        key[at++] = v->columns;
        key[at++] = (v->row_stride << 20) | (static_cast<std::int64_t>(v->dtype) << 16) | alignment_of(v->data);
    }
    key[at++] = (p.left_transposed ? 1 : 0) | (p.right_transposed ? 2 : 0) | (p.accumulate ? 4 : 0);
    key[at] = p.bias != nullptr ? static_cast<std::int64_t>(p.bias->dtype) : -1;
    return key;
}

/// "a product of 512 x 48 and 48 x 131 elements of fp16 (rows 48, 131 and 131 elements apart, addresses multiples of 32, 2 and 2 bytes)"
std::string CudaBlas::words_of(const Product& p) {
    const std::int64_t depth = p.left_transposed ? p.left.rows : p.left.columns;
    return fmt::format("a product of {} x {} and {} x {} elements of {} (rows {}, {} and {} elements apart, addresses multiples of {}, {} and {} bytes)", p.result.rows, depth, depth,
                       p.result.columns, name(p.left.dtype), p.left.row_stride, p.right.row_stride, p.result.row_stride, alignment_of(p.left.data), alignment_of(p.right.data),
                       alignment_of(p.result.data));
}

CudaBlas::Plan* CudaBlas::plan_of(const Product& p) {
    if (p.bias != nullptr && alignment_of(p.bias->data) < kEpilogueAlignment) return nullptr;
    const Key key = key_of(p);
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
        set(*plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias->data);   // the heuristic may look at it; each product sets its own
    }
    describe(p.left, plan->left);
    describe(p.right, plan->right);
    describe(p.result, plan->result);
    cublasLtMatmulPreferenceOpaque_t preference{};
    const auto room = static_cast<std::size_t>(workspace_bytes_);
    library_->check(library_->preference_init(&preference, sizeof(preference)), "cublasLtMatmulPreferenceInit");
    library_->check(library_->set_preference(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof(room)), "cublasLtMatmulPreferenceSetAttribute");
    const std::pair<cublasLtMatmulPreferenceAttributes_t, const TensorView*> operands[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &p.right},
                                                                                         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &p.left},
                                                                                         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &p.result},
                                                                                         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &p.result}};
    for (const auto& [attribute, view] : operands) {
        const std::uint32_t bytes = alignment_of(view->data);
        library_->check(library_->set_preference(&preference, attribute, &bytes, sizeof(bytes)), "cublasLtMatmulPreferenceSetAttribute");
    }
    int count = 0;
    const cublasStatus_t status =
        library_->heuristic(handle_, &plan->description, &plan->right, &plan->left, &plan->result, &plan->result, &preference, 1, &plan->algorithm, &count);
    // What it does not support is done otherwise (multiply); any other refusal of a plain product is an error in its own words.
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && p.bias == nullptr) library_->check(status, "cublasLtMatmulAlgoGetHeuristic");
    if (status == CUBLAS_STATUS_SUCCESS && count > 0 && plan->algorithm.state == CUBLAS_STATUS_SUCCESS) found->second = std::move(plan);
    else if (p.bias == nullptr) plain_products_.insert(words_of(p));   // with a bias the product alone is tried next
    return found->second.get();
}

void CudaBlas::multiply(const Product& p, const cuda::LaunchContext& context) {
    if (p.result.elements() == 0) return;
    Plan* const plan = plan_of(p);
    if (plan == nullptr && p.bias != nullptr) {          // the bias in every row first, and the product is added to it before it is rounded
        Product plain = p;
        plain.bias = nullptr;
        plain.accumulate = true;
        cuda::copy({p.bias->data, p.result.rows, p.result.columns, 0, p.bias->dtype}, p.result, false, context);
        return multiply(plain, context);
    }
    if (plan == nullptr) return cuda::plain_product(p.left, p.left_transposed, p.right, p.right_transposed, p.result, p.accumulate, context);
    if (p.bias != nullptr) set(*plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias->data);
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
            p = {o[0], o[1], o[4], false, !input_major, false, o[2].data == nullptr ? nullptr : &o[2]};
            break;
        case kernel::Kernel::linear_backward_input:         // d_y, weight, workspace, d_x
            p = {o[0], o[1], o[3], false, input_major, call.attributes.accumulate_second};
            break;
        case kernel::Kernel::linear_backward_weight:        // d_y, x, workspace, d_weight, d_bias
            p = {o[input_major ? 1 : 0], o[input_major ? 0 : 1], o[3], true, false, call.attributes.accumulate};
            if (o[4].data != nullptr) cuda::bias_gradient(o[0], o[4], call.attributes.accumulate, context);
            break;
        default: throw BugError("not a matrix product");
    }
    multiply(p, context);
}

}  // namespace zerosim::device
