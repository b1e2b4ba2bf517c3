// A library with cuBLASLt's functions and its header's signatures that computes on the host what the documentation says: column-major operands,
// leading dimensions, epilogues. Loaded as libcublasLt by the tests of CudaBlas where there is no GPU. It refuses what a GPU would fault at: operands less
// aligned than the preferences said when the algorithm was chosen, and vectors of epilogues off 16 bytes.
// Chooses nothing: one "algorithm" for all, and none for fp16 at addresses that are no multiple of 4, so that callers must do without.
#include "base/dtype.hpp"

#include <cublasLt.h>

#include <algorithm>
#include <cstring>

namespace {

struct Layout {
    cudaDataType type;
    std::uint64_t rows, columns;
    std::int64_t leading;
};
struct Description {
    std::int32_t transposed[2], vector_type;
    std::uint32_t epilogue;
    void* vector;
};
struct Preference {
    std::size_t workspace;
    std::uint32_t alignment[4];                          // A, B, C, D
};
struct Algorithm {
    std::size_t workspace;
    std::uint32_t alignment[4];
};

template <class To, class From>
To taken(const From* opaque) {
    static_assert(sizeof(To) <= sizeof(From));
    To value;
    std::memcpy(&value, opaque, sizeof value);
    return value;
}
template <class From, class To>
void put(const From& value, To* opaque) {
    static_assert(sizeof(From) <= sizeof(To));
    std::memcpy(opaque, &value, sizeof value);
}
template <class T>
cublasStatus_t assign(T& field, const void* buffer, std::size_t bytes) {
    if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&field, buffer, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

double load(const void* data, cudaDataType type, std::int64_t at) {
    switch (type) {
        case CUDA_R_32F: return static_cast<const float*>(data)[at];
        case CUDA_R_16BF: return zerosim::bf16_to_float(static_cast<const std::uint16_t*>(data)[at]);
        default: return zerosim::fp16_to_float(static_cast<const std::uint16_t*>(data)[at]);
    }
}
void store(void* data, cudaDataType type, std::int64_t at, double value) {
    switch (type) {
        case CUDA_R_32F: static_cast<float*>(data)[at] = static_cast<float>(value); return;
        case CUDA_R_16BF: static_cast<std::uint16_t*>(data)[at] = zerosim::float_to_bf16(static_cast<float>(value)); return;
        default: static_cast<std::uint16_t*>(data)[at] = zerosim::float_to_fp16(static_cast<float>(value));
    }
}

/// op(A) or op(B): element (row, column) of the matrix as the product has it.
struct Operand {
    const void* data;
    Layout layout;
    bool transposed;
    [[nodiscard]] std::uint64_t rows() const { return transposed ? layout.columns : layout.rows; }
    [[nodiscard]] std::uint64_t columns() const { return transposed ? layout.rows : layout.columns; }
    [[nodiscard]] double at(std::uint64_t row, std::uint64_t column) const {
        if (transposed) std::swap(row, column);
        return load(data, layout.type, static_cast<std::int64_t>(column) * layout.leading + static_cast<std::int64_t>(row));
    }
};
bool is_layout(const Layout& l) { return l.leading >= static_cast<std::int64_t>(l.rows); }
bool misaligned(const void* data, std::uint32_t bytes) { return reinterpret_cast<std::uintptr_t>(data) % bytes != 0; }

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    static int something;
    *handle = reinterpret_cast<cublasLtHandle_t>(&something);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
const char* cublasLtGetStatusString(cublasStatus_t) { return "refused by the library of the tests"; }

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, std::size_t, cudaDataType type, std::uint64_t rows, std::uint64_t columns, std::int64_t leading) {
    put(Layout{type, rows, columns, leading}, layout);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t description, std::size_t, cublasComputeType_t compute, cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    put(Description{{CUBLAS_OP_N, CUBLAS_OP_N}, -1, CUBLASLT_EPILOGUE_DEFAULT, nullptr}, description);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque, cublasLtMatmulDescAttributes_t attribute, const void* buffer, std::size_t bytes) {
    auto description = taken<Description>(opaque);
    cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
        case CUBLASLT_MATMUL_DESC_TRANSA: status = assign(description.transposed[0], buffer, bytes); break;
        case CUBLASLT_MATMUL_DESC_TRANSB: status = assign(description.transposed[1], buffer, bytes); break;
        case CUBLASLT_MATMUL_DESC_EPILOGUE: status = assign(description.epilogue, buffer, bytes); break;
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER: status = assign(description.vector, buffer, bytes); break;
        case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: status = assign(description.vector_type, buffer, bytes); break;
        default: break;
    }
    put(description, opaque);
    return status;
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, std::size_t) {
    put(Preference{0, {256, 256, 256, 256}}, preference);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque, cublasLtMatmulPreferenceAttributes_t attribute, const void* buffer, std::size_t bytes) {
    auto preference = taken<Preference>(opaque);
    cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE;
    const int first = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, which = attribute - first;
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) status = assign(preference.workspace, buffer, bytes);
    else if (which >= 0 && which < 4) status = assign(preference.alignment[which], buffer, bytes);
    put(preference, opaque);
    return status;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t* results, int* count) {
    const auto asked = taken<Preference>(preference);
    *count = 0;
    if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
    const auto what = taken<Description>(description);
    if (what.epilogue != CUBLASLT_EPILOGUE_DEFAULT && what.epilogue != CUBLASLT_EPILOGUE_BIAS) return CUBLAS_STATUS_NOT_SUPPORTED;
    // cuBLASLt documentation, cublasLtMatmul's table of types: A and B of one type, and a bias of D's.
    if (taken<Layout>(a).type != taken<Layout>(b).type) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (what.epilogue == CUBLASLT_EPILOGUE_BIAS && what.vector_type != taken<Layout>(d).type) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (taken<Layout>(a).type == CUDA_R_16F && std::ranges::any_of(asked.alignment, [](std::uint32_t bytes) { return bytes < 4; })) return CUBLAS_STATUS_NOT_SUPPORTED;
    Algorithm algorithm{asked.workspace, {}};
    std::memcpy(algorithm.alignment, asked.alignment, sizeof algorithm.alignment);
    put(algorithm, &results[0].algo);
    results[0].workspaceSize = asked.workspace;
    results[0].state = CUBLAS_STATUS_SUCCESS;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha, const void* a_data, cublasLtMatrixLayout_t a_layout, const void* b_data,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* room, std::size_t workspace, cudaStream_t) {
    const auto what = taken<Description>(description);
    const auto algorithm = taken<Algorithm>(algo);
    const Operand a{a_data, taken<Layout>(a_layout), what.transposed[0] == CUBLAS_OP_T}, b{b_data, taken<Layout>(b_layout), what.transposed[1] == CUBLAS_OP_T};
    const auto result = taken<Layout>(d_layout), old = taken<Layout>(c_layout);
    const void* const data[] = {a_data, b_data, c, d};
    for (int i = 0; i < 4; ++i)
        if (misaligned(data[i], algorithm.alignment[i])) return CUBLAS_STATUS_EXECUTION_FAILED;
    if (room == nullptr || misaligned(room, 256)) return CUBLAS_STATUS_INVALID_VALUE;   // cuBLASLt documentation, cublasLtMatmul: at least 16, better 256
    if (what.epilogue != CUBLASLT_EPILOGUE_DEFAULT && (what.vector == nullptr || misaligned(what.vector, 16))) return CUBLAS_STATUS_EXECUTION_FAILED;
    const bool fits = a.columns() == b.rows() && a.rows() == result.rows && b.columns() == result.columns && old.rows == result.rows && old.columns == result.columns;
    if (!fits || !is_layout(a.layout) || !is_layout(b.layout) || !is_layout(result) || workspace < algorithm.workspace) return CUBLAS_STATUS_INVALID_VALUE;
    const double scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
    const auto vector_type = static_cast<cudaDataType>(what.vector_type);
    for (std::uint64_t column = 0; column < result.columns; ++column) {
        for (std::uint64_t row = 0; row < result.rows; ++row) {
            double sum = 0;
            for (std::uint64_t k = 0; k < a.columns(); ++k) sum += a.at(row, k) * b.at(k, column);
            const auto at = static_cast<std::int64_t>(column) * result.leading + static_cast<std::int64_t>(row);
            sum = scale * sum + (keep == 0 ? 0 : keep * load(c, old.type, static_cast<std::int64_t>(column) * old.leading + static_cast<std::int64_t>(row)));
            if (what.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += load(what.vector, vector_type, static_cast<std::int64_t>(row));
            store(d, result.type, at, sum);
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
