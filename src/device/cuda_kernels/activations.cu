#include "device/cuda_kernels/elements.cuh"
#include "device/cuda_kernels/kernels.hpp"

// GELU (Hendrycks, Gimpel 2016, tanh form) and SwiGLU (Shazeer 2020), with the formulas of host_kernels/{gelu,swiglu}.cpp.

namespace zerosim::device::cuda {
namespace {

constexpr float kTwoSqrtTwoOverPi = 1.59576912160573071f;
constexpr float kCubic = 0.044715f;

__device__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
__device__ float two_u(float x) { return kTwoSqrtTwoOverPi * (x + kCubic * x * x * x); }

template <class Type, int N>
struct GeluForward {
    Matrix<Type> x, y;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        float values[N];
        load_pack<Type, N>(x.row(row) + column, values);
#pragma unroll
        for (int i = 0; i < N; ++i) values[i] *= sigmoid(two_u(values[i]));
        store_pack<Type, N>(values, y.row(row) + column);
    }
};

template <class Type, int N>
struct GeluBackward {
    Matrix<Type> d_y, x, d_x;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        float gradient[N], values[N];
        load_pack<Type, N>(d_y.row(row) + column, gradient);
        load_pack<Type, N>(x.row(row) + column, values);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float e = __expf(fminf(-two_u(values[i]), 80.0f)), s = __fdividef(1.0f, 1.0f + e);
            const float slope = kTwoSqrtTwoOverPi * (1.0f + 3.0f * kCubic * values[i] * values[i]);
            gradient[i] *= s + values[i] * slope * (e * s * s);
        }
        store_pack<Type, N>(gradient, d_x.row(row) + column);
    }
};

template <class Type, int N>
struct SwigluForward {
    Matrix<Type> gate, up, product;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        float g[N], u[N];
        load_pack<Type, N>(gate.row(row) + column, g);
        load_pack<Type, N>(up.row(row) + column, u);
#pragma unroll
        for (int i = 0; i < N; ++i) u[i] *= g[i] * sigmoid(g[i]);
        store_pack<Type, N>(u, product.row(row) + column);
    }
};

template <class Type, int N>
struct SwigluBackward {
    Matrix<Type> d_product, gate, up, d_gate, d_up;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        float d[N], g[N], u[N];
        load_pack<Type, N>(d_product.row(row) + column, d);
        load_pack<Type, N>(gate.row(row) + column, g);
        load_pack<Type, N>(up.row(row) + column, u);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float s = sigmoid(g[i]), silu = g[i] * s, slope = s + silu * (1.0f - s);
            g[i] = d[i] * u[i] * slope;
            u[i] = d[i] * silu;
        }
        store_pack<Type, N>(g, d_gate.row(row) + column);
        store_pack<Type, N>(u, d_up.row(row) + column);
    }
};

}  // namespace

void gelu(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;
    with_float_type(o[0].dtype, [&](auto type) {
        using Type = decltype(type);
        if (call.kernel == kernel::Kernel::gelu_forward)
            for_each_pack<Type, GeluForward>(shape_of({&o[0], &o[1]}), context.stream, matrix<Type>(o[0]), matrix<Type>(o[1]));
        else
            for_each_pack<Type, GeluBackward>(shape_of({&o[0], &o[1], &o[2]}), context.stream, matrix<Type>(o[0]), matrix<Type>(o[1]), matrix<Type>(o[2]));
    });
}

void swiglu(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;
    with_float_type(o[0].dtype, [&](auto type) {
        using Type = decltype(type);
        if (call.kernel == kernel::Kernel::swiglu_forward)
            for_each_pack<Type, SwigluForward>(shape_of({&o[0], &o[1], &o[2]}), context.stream, matrix<Type>(o[0]), matrix<Type>(o[1]), matrix<Type>(o[2]));
        else
            for_each_pack<Type, SwigluBackward>(shape_of({&o[0], &o[1], &o[2], &o[3], &o[4]}), context.stream, matrix<Type>(o[0]), matrix<Type>(o[1]), matrix<Type>(o[2]),
                                                matrix<Type>(o[3]), matrix<Type>(o[4]));
    });
}

}  // namespace zerosim::device::cuda
