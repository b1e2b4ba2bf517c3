#include "device/cuda_kernels/elements.cuh"
#include "device/cuda_kernels/kernels.hpp"

// GELU (Hendrycks, Gimpel 2016, tanh form), SwiGLU (Shazeer 2020) and sums of two tensors, with the formulas of
// host_kernels/{gelu,swiglu,add}.cpp.

namespace zerosim::device::cuda {
namespace {

constexpr float kTwoSqrtTwoOverPi = 1.59576912160573071f;
constexpr float kCubic = 0.044715f;

__device__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
__device__ float two_u(float x) { return kTwoSqrtTwoOverPi * (x + kCubic * x * x * x); }

struct GeluForward {                                     // x -> y
    static constexpr int kInputs = 1, kOutputs = 1;
    __device__ static void apply(const float (&in)[1], float (&out)[1]) { out[0] = in[0] * sigmoid(two_u(in[0])); }
};

struct GeluBackward {                                    // d_y, x -> d_x
    static constexpr int kInputs = 2, kOutputs = 1;
    __device__ static void apply(const float (&in)[2], float (&out)[1]) {
        const float x = in[1], e = __expf(fminf(-two_u(x), 80.0f)), s = __fdividef(1.0f, 1.0f + e);
        const float slope = kTwoSqrtTwoOverPi * (1.0f + 3.0f * kCubic * x * x);
        out[0] = in[0] * (s + x * slope * (e * s * s));
    }
};

struct SwigluForward {                                   // gate, up -> product
    static constexpr int kInputs = 2, kOutputs = 1;
    __device__ static void apply(const float (&in)[2], float (&out)[1]) { out[0] = in[1] * (in[0] * sigmoid(in[0])); }
};

struct SwigluBackward {                                  // d_product, gate, up -> d_gate, d_up
    static constexpr int kInputs = 3, kOutputs = 2;
    __device__ static void apply(const float (&in)[3], float (&out)[2]) {
        const float gate = in[1], s = sigmoid(gate), silu = gate * s;
        out[0] = in[0] * in[2] * (s + silu * (1.0f - s));
        out[1] = in[0] * silu;
    }
};

struct Add {                                             // a, b -> sum
    static constexpr int kInputs = 2, kOutputs = 1;
    __device__ static void apply(const float (&in)[2], float (&out)[1]) { out[0] = in[0] + in[1]; }
};

}  // namespace

void gelu(const KernelCall& call, const LaunchContext& context) {
    call.kernel == kernel::Kernel::gelu_forward ? map<GeluForward>(call.operands, context.stream) : map<GeluBackward>(call.operands, context.stream);
}

void swiglu(const KernelCall& call, const LaunchContext& context) {
    call.kernel == kernel::Kernel::swiglu_forward ? map<SwigluForward>(call.operands, context.stream) : map<SwigluBackward>(call.operands, context.stream);
}

void add(const KernelCall& call, const LaunchContext& context) { map<Add>(call.operands, context.stream); }

}  // namespace zerosim::device::cuda
