// cuBLASLt's functions, loaded when the first matrix product needs them.
// Owned by CudaBlas.
// Calls nothing.
#pragma once

#include "base/dynamic_library.hpp"
#include "device/cuda_check.hpp"

#include <fmt/core.h>

namespace zerosim::device {

struct CudaBlasLibrary {
    DynamicLibrary library{ZEROSIM_CUDA_LIBRARY_DIR, fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR)};
    decltype(cublasLtCreate)* create = nullptr;
    decltype(cublasLtDestroy)* destroy = nullptr;
    decltype(cublasLtMatrixLayoutInit_internal)* layout_init = nullptr;
    decltype(cublasLtMatmulDescInit_internal)* description_init = nullptr;
    decltype(cublasLtMatmulDescSetAttribute)* set_attribute = nullptr;
    decltype(cublasLtMatmulPreferenceInit_internal)* preference_init = nullptr;
    decltype(cublasLtMatmulPreferenceSetAttribute)* set_preference = nullptr;
    decltype(cublasLtMatmulAlgoGetHeuristic)* heuristic = nullptr;
    decltype(cublasLtMatmul)* multiply = nullptr;
    decltype(cublasLtGetStatusString)* status_text = nullptr;

    CudaBlasLibrary() {
        library.find("cublasLtCreate", create);
        library.find("cublasLtDestroy", destroy);
        library.find("cublasLtMatrixLayoutInit_internal", layout_init);
        library.find("cublasLtMatmulDescInit_internal", description_init);
        library.find("cublasLtMatmulDescSetAttribute", set_attribute);
        library.find("cublasLtMatmulPreferenceInit_internal", preference_init);
        library.find("cublasLtMatmulPreferenceSetAttribute", set_preference);
        library.find("cublasLtMatmulAlgoGetHeuristic", heuristic);
        library.find("cublasLtMatmul", multiply);
        library.find("cublasLtGetStatusString", status_text);
    }
    void check(cublasStatus_t status, const char* what) const {
        if (status == CUBLAS_STATUS_SUCCESS) return;
        const std::string text = fmt::format("{}: {}", what, status_text(status));
        if (status == CUBLAS_STATUS_ALLOC_FAILED || status == CUBLAS_STATUS_NOT_INITIALIZED) throw EnvironmentError(text);
        throw BugError(text);
    }
};

}  // namespace zerosim::device
