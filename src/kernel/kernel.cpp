#include "kernel/kernel.hpp"

#include "base/error.hpp"

#include <array>

namespace zerosim::kernel {

namespace {

constexpr OperandSpec in(std::string_view name) { return {name, Access::read, false}; }
constexpr OperandSpec opt_in(std::string_view name) { return {name, Access::read, true}; }
constexpr OperandSpec out(std::string_view name) { return {name, Access::write, false}; }
constexpr OperandSpec opt_out(std::string_view name) { return {name, Access::write, true}; }
constexpr OperandSpec in_out(std::string_view name) { return {name, Access::read_write, false}; }
constexpr OperandSpec opt_in_out(std::string_view name) { return {name, Access::read_write, true}; }
// Scratch holds nothing before the kernel, so it is written, never read.
constexpr OperandSpec kWorkspace = opt_out("workspace");

constexpr std::array kEmbeddingForward{in("tokens"), in("table"), opt_in("positions"), out("out")};
constexpr std::array kEmbeddingBackward{in("tokens"), in("d_out"), out("d_table"), opt_out("d_positions")};
constexpr std::array kLayerNormForward{in("x"), in("weight"), in("bias"), out("y"), out("mean"), out("rstd")};
constexpr std::array kLayerNormBackward{in("d_y"),  in("x"),    in("weight"),    in("mean"),
                                        in("rstd"), out("d_x"), opt_out("d_weight"), opt_out("d_bias")};
constexpr std::array kRmsNormForward{in("x"), in("weight"), out("y"), out("rstd")};
constexpr std::array kRmsNormBackward{in("d_y"), in("x"), in("weight"), in("rstd"), out("d_x"), opt_out("d_weight")};
constexpr std::array kLinearForward{in("x"), in("weight"), opt_in("bias"), kWorkspace, out("y")};
constexpr std::array kLinearBackwardInput{in("d_y"), in("weight"), kWorkspace, out("d_x")};
constexpr std::array kLinearBackwardWeight{in("d_y"), in("x"), kWorkspace, out("d_weight"), opt_out("d_bias")};
constexpr std::array kAttentionForward{in("q"), in("k"), in("v"), kWorkspace, out("out"), out("log_sum_exp")};
constexpr std::array kAttentionBackward{in("d_out"),       in("q"),    in("k"),    in("v"),    in("out"),
                                        in("log_sum_exp"), kWorkspace, out("d_q"), out("d_k"), out("d_v")};
constexpr std::array kRotaryForward{in_out("q"), in_out("k")};
constexpr std::array kRotaryBackward{in_out("d_q"), in_out("d_k")};
constexpr std::array kGeluForward{in("x"), out("y")};
constexpr std::array kGeluBackward{in("d_y"), in("x"), out("d_x")};
constexpr std::array kSwigluForward{in("gate"), in("up"), out("product")};
constexpr std::array kSwigluBackward{in("d_product"), in("gate"), in("up"), out("d_gate"), out("d_up")};
constexpr std::array kAdd{in("a"), in("b"), out("out")};
constexpr std::array kDropout{in("x"), out("y")};
constexpr std::array kCrossEntropyForward{in("logits"), in("targets"), out("log_sum_exp"), in_out("loss")};
constexpr std::array kCrossEntropyBackward{in("logits"), in("targets"), in("log_sum_exp"), opt_in("loss_scale"), out("d_logits")};
constexpr std::array kSquaredNorm{in("gradient"), in_out("norm_bins")};
constexpr std::array kGradientScale{in("norm_bins"), opt_in("loss_scale"), in_out("step"),
                                    out("norm"),     out("factor"),        out("skip")};
constexpr std::array kLossScaleUpdate{in("skip"), in_out("loss_scale"), in_out("good_steps")};
constexpr std::array kBatchedProduct{in("a"), in("b"), out("out")};
constexpr std::array kElementwise{opt_in("a"), opt_in("b"), opt_in("c"), out("out")};
constexpr std::array kNormTensors{in("gradient"), out("norm")};
constexpr std::array kScaleTensors{in_out("tensor"), in("factor")};
constexpr std::array kAdamwTensors{in_out("parameter"), in_out("m"), in_out("v"), in("gradient"), opt_in_out("step")};
constexpr std::array kSgdTensors{in_out("parameter"), in_out("momentum"), in("gradient")};
constexpr std::array kAdamw{in_out("parameter"), opt_in_out("master"), in_out("m"), in_out("v"),
                            in("gradient"),      in("factor"),         in("skip"),  in("step")};

struct Entry {
    std::string_view name;
    std::span<const OperandSpec> operands;
    KernelClass kernel_class;
};

Entry entry(Kernel kernel) {
    switch (kernel) {
        case Kernel::embedding_forward: return {"embedding_forward", kEmbeddingForward, KernelClass::embedding};
        case Kernel::embedding_backward: return {"embedding_backward", kEmbeddingBackward, KernelClass::embedding};
        case Kernel::layer_norm_forward: return {"layer_norm_forward", kLayerNormForward, KernelClass::norm};
        case Kernel::layer_norm_backward: return {"layer_norm_backward", kLayerNormBackward, KernelClass::norm};
        case Kernel::rms_norm_forward: return {"rms_norm_forward", kRmsNormForward, KernelClass::norm};
        case Kernel::rms_norm_backward: return {"rms_norm_backward", kRmsNormBackward, KernelClass::norm};
        case Kernel::linear_forward: return {"linear_forward", kLinearForward, KernelClass::gemm};
        case Kernel::linear_backward_input: return {"linear_backward_input", kLinearBackwardInput, KernelClass::gemm};
        case Kernel::linear_backward_weight: return {"linear_backward_weight", kLinearBackwardWeight, KernelClass::gemm};
        case Kernel::batched_product: return {"batched_product", kBatchedProduct, KernelClass::gemm};
        case Kernel::attention_forward: return {"attention_forward", kAttentionForward, KernelClass::attention};
        case Kernel::attention_backward: return {"attention_backward", kAttentionBackward, KernelClass::attention};
        case Kernel::rotary_forward: return {"rotary_forward", kRotaryForward, KernelClass::elementwise};
        case Kernel::rotary_backward: return {"rotary_backward", kRotaryBackward, KernelClass::elementwise};
        case Kernel::gelu_forward: return {"gelu_forward", kGeluForward, KernelClass::elementwise};
        case Kernel::gelu_backward: return {"gelu_backward", kGeluBackward, KernelClass::elementwise};
        case Kernel::swiglu_forward: return {"swiglu_forward", kSwigluForward, KernelClass::elementwise};
        case Kernel::swiglu_backward: return {"swiglu_backward", kSwigluBackward, KernelClass::elementwise};
        case Kernel::add: return {"add", kAdd, KernelClass::elementwise};
        case Kernel::dropout: return {"dropout", kDropout, KernelClass::elementwise};
        case Kernel::cross_entropy_forward: return {"cross_entropy_forward", kCrossEntropyForward, KernelClass::loss};
        case Kernel::cross_entropy_backward: return {"cross_entropy_backward", kCrossEntropyBackward, KernelClass::loss};
        case Kernel::squared_norm: return {"squared_norm", kSquaredNorm, KernelClass::optimizer};
        case Kernel::gradient_scale: return {"gradient_scale", kGradientScale, KernelClass::scalar};
        case Kernel::loss_scale_update: return {"loss_scale_update", kLossScaleUpdate, KernelClass::scalar};
        case Kernel::adamw: return {"adamw", kAdamw, KernelClass::optimizer};
        case Kernel::norm_tensors: return {"norm_tensors", kNormTensors, KernelClass::optimizer};
        case Kernel::scale_tensors: return {"scale_tensors", kScaleTensors, KernelClass::optimizer};
        case Kernel::adamw_tensors: return {"adamw_tensors", kAdamwTensors, KernelClass::optimizer};
        case Kernel::sgd_tensors: return {"sgd_tensors", kSgdTensors, KernelClass::optimizer};
        case Kernel::elementwise: return {"elementwise", kElementwise, KernelClass::elementwise};
        case Kernel::count_: break;
    }
    throw BugError("kernel: value " + std::to_string(static_cast<int>(kernel)) + " is none of the vocabulary");
}

/// The flag that turns the write of operand `name` into an addition.
bool adds(Kernel kernel, std::string_view name, const Attributes& attributes) {
    switch (kernel) {
        case Kernel::embedding_backward:
            return name == "d_table" ? attributes.accumulate : name == "d_positions" && attributes.accumulate_second;
        case Kernel::layer_norm_backward:
        case Kernel::rms_norm_backward: return name == "d_x" ? attributes.accumulate_second : attributes.accumulate;
        case Kernel::linear_backward_input: return name == "d_x" && attributes.accumulate_second;
        case Kernel::linear_backward_weight: return name != "workspace" && attributes.accumulate;
        default: return false;
    }
}

} // namespace

std::string_view name(Kernel kernel) { return entry(kernel).name; }

std::span<const OperandSpec> operands(Kernel kernel) { return entry(kernel).operands; }

bool is_multi_tensor(Kernel kernel) {
    return kernel == Kernel::norm_tensors || kernel == Kernel::scale_tensors || kernel == Kernel::adamw_tensors || kernel == Kernel::sgd_tensors;
}

Access access(Kernel kernel, std::size_t index, const Attributes& attributes) {
    const auto specs = operands(kernel);
    check(index < specs.size() || is_multi_tensor(kernel), "kernel::access: operand index out of range");
    const OperandSpec& spec = specs[index % specs.size()];
    return spec.access == Access::write && adds(kernel, spec.name, attributes) ? Access::read_write : spec.access;
}

KernelClass kernel_class(Kernel kernel) { return entry(kernel).kernel_class; }

std::string_view name(KernelClass kernel_class) {
    switch (kernel_class) {
        case KernelClass::gemm: return "gemm";
        case KernelClass::attention: return "attention";
        case KernelClass::norm: return "norm";
        case KernelClass::elementwise: return "elementwise";
        case KernelClass::embedding: return "embedding";
        case KernelClass::loss: return "loss";
        case KernelClass::optimizer: return "optimizer";
        case KernelClass::scalar: return "scalar";
    }
    throw BugError("kernel class: value " + std::to_string(static_cast<int>(kernel_class)) + " is unknown");
}

} // namespace zerosim::kernel
