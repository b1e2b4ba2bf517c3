#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

// Rotary position embedding (Su et al. 2021), half-split pairs as host_kernels/rotary.cpp: a block a token; its angles are computed once, in
// double, and turn every head of queries and keys.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 128;

template <class Type>
__device__ void turn(typename Type::Storage* row, std::int64_t heads, std::int64_t half, const float* cosine, const float* sine) {
    for (std::int64_t i = threadIdx.x; i < heads * half; i += kThreads) {
        const std::int64_t pair = i % half;
        auto* first = row + i / half * 2 * half + pair;
        auto* second = first + half;
        const float x = Type::load(*first), y = Type::load(*second);
        *first = Type::store(x * cosine[pair] - y * sine[pair]);
        *second = Type::store(y * cosine[pair] + x * sine[pair]);
    }
}

template <class Type>
__global__ void rotate(Matrix<Type> q, Matrix<Type> k, std::int64_t heads, std::int64_t kv_heads, std::int64_t half, std::int64_t sequence, double base, double direction) {
    ZEROSIM_SHARED(memory);
    float* const cosine = reinterpret_cast<float*>(memory);
    float* const sine = cosine + half;
    const std::int64_t t = blockIdx.x;
    for (std::int64_t i = threadIdx.x; i < half; i += kThreads) {
        const double angle = static_cast<double>(t % sequence) * pow(base, -static_cast<double>(i) / static_cast<double>(half));
        cosine[i] = static_cast<float>(cos(angle));
        sine[i] = static_cast<float>(direction * sin(angle));
    }
    __syncthreads();
    turn<Type>(q.row(t), heads, half, cosine, sine);
    turn<Type>(k.row(t), kv_heads, half, cosine, sine);
}

}  // namespace

void rotary(const KernelCall& call, const LaunchContext& context) {
    const TensorView &q = call.operands[0], &k = call.operands[1];
    const auto& a = call.attributes;
    const std::int64_t half = a.head_dim / 2;
    check(a.head_dim % 2 == 0 && a.sequence > 0, "rotary embedding: an even head dimension and the sequence length");
    with_float_type(q.dtype, [&](auto type) {
        using Type = decltype(type);
        launch(rotate<Type>, {static_cast<unsigned>(q.rows), kThreads, static_cast<unsigned>(2 * half * sizeof(float))}, context.stream, matrix<Type>(q), matrix<Type>(k),
               std::int64_t{a.heads}, std::int64_t{a.kv_heads}, half, std::int64_t{a.sequence}, static_cast<double>(a.rotary_base),
               call.kernel == kernel::Kernel::rotary_forward ? 1.0 : -1.0);
    });
}

}  // namespace zerosim::device::cuda
