// The kernel vocabulary: every computation a schedule can name, its operands in order, its attributes.
// Used by the planners (to emit), the validator (types and access), devices (to run) and cost models.
// Does not implement a kernel and does not know a device.
#pragma once

#include "base/dtype.hpp"
#include "kernel/eager_operation.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace zerosim::kernel {

// Shapes: T = tokens of the micro-batch (batch * sequence), h = hidden, a = query heads, k = key/value heads, d = head dim,
// f = feed-forward width, V = vocabulary. Matrices are row-major, weights are [out, in] and y = x W^T + b.
// "opt." operands may be an invalid TensorId.
enum class Kernel : std::uint8_t {
    embedding_forward,       // tokens[T] i32, table[V,h], opt. positions[P,h] -> out[T,h]
    embedding_backward,      // tokens[T], d_out[T,h] -> d_table[V,h], opt. d_positions[P,h]; accumulate applies to d_table only
                             //   when attributes.accumulate, to d_positions when attributes.accumulate_second
    layer_norm_forward,      // x[T,h], weight[h], bias[h] -> y[T,h], mean[T] f32, rstd[T] f32
    layer_norm_backward,     // d_y, x, weight, mean, rstd -> d_x[T,h], opt. d_weight[h], opt. d_bias[h]; adds into d_x when accumulate_second
    rms_norm_forward,        // x[T,h], weight[h] -> y[T,h], rstd[T] f32
    rms_norm_backward,       // d_y, x, weight, rstd -> d_x[T,h], opt. d_weight[h]; adds into d_x when accumulate_second
    linear_forward,          // x[T,in], weight[out,in], opt. bias[out], opt. workspace -> y[T,out]
    linear_backward_input,   // d_y[T,out], weight[out,in], opt. workspace -> d_x[T,in]; adds into d_x when accumulate_second
    linear_backward_weight,  // d_y[T,out], x[T,in], opt. workspace -> d_weight[out,in], opt. d_bias[out]
    batched_product,         // a[batch * m, in], b[batch * n, in] (or grouped by rows) -> out: attributes.batch products of together
                             //   attributes.tokens rows by in by out. For planning only
    attention_forward,       // q[T,a*d], k[T,k*d], v[T,k*d], opt. workspace -> out[T,a*d], log_sum_exp[T,a] f32. Causal, scaled by 1/sqrt(d)
    attention_backward,      // d_out, q, k, v, out, log_sum_exp, opt. workspace -> d_q, d_k, d_v
    rotary_forward,          // q[T,a*d], k[T,k*d] in place. Half-split convention
    rotary_backward,         // d_q, d_k in place
    gelu_forward,            // x[T,f] -> y[T,f]. tanh form
    gelu_backward,           // d_y, x -> d_x (may be d_y itself)
    swiglu_forward,          // gate[T,f], up[T,f] -> product[T,f] = silu(gate) * up
    swiglu_backward,         // d_product, gate, up -> d_gate, d_up
    add,                     // a[T,h], b[T,h] -> out[T,h] (may be a or b)
    dropout,                 // x -> y (may be x). Mask = f(seed, step, global sample, layer, site, element): forward and backward alike
    cross_entropy_forward,   // logits[T,V], targets[T] i32 -> log_sum_exp[T] f32, loss f64 (adds tokens' loss * loss_weight)
    cross_entropy_backward,  // logits[T,V], targets, log_sum_exp, opt. loss_scale f32 -> d_logits[T,V] (may be logits), times loss_weight
    squared_norm,            // gradient shard -> norm_bins f64[kNormBins] (adds). Exact bins: order and partition do not matter
    gradient_scale,          // norm_bins, opt. loss_scale, step f32 (in/out) -> norm f64, factor f32, skip f32
    loss_scale_update,       // skip, loss_scale f32 (in/out), good_steps f32 (in/out)
    adamw,                   // parameter shard, opt. master f32, m, v (f32; bf16 in pure bf16), gradient shard, factor f32, skip f32, step f32.
                             //   With a master the update is the master's and the parameter its rounding; else the parameter's own.
                             //   Walks the flat layout's segments inside the shard; only `decays` segments are decayed.
    elementwise,             // opt. a, opt. b, opt. c -> out[T,out]: an eager framework's kernel of attributes.in FLOPs an element,
                             //   which computes attributes.operation
    // Multi-tensor kernels of an eager framework: operands repeat, one group a tensor; group i's range is the op's range + i.
    norm_tensors,            // (gradient, norm f32[1]) ...: the 2-norm of each
    scale_tensors,           // (tensor, factor f32[1]) ...: in place
    adamw_tensors,           // (parameter, m, v, gradient, opt. step f32[1]) ...: the step count is kept in `step`
    sgd_tensors,             // (parameter, momentum, gradient) ...: torch.optim.SGD with momentum attributes.beta1
    count_
};

/// Accumulators of the squared gradient norm: see device/host_kernels/squared_norm.
inline constexpr int kNormBins = 24;

// One plain struct for all kernels: unused fields stay zero. 2-byte floats always compute in fp32.
struct Attributes {
    std::int64_t tokens = 0;             // T
    std::int64_t in = 0, out = 0;        // features of a linear; width of norms, element-wise kernels, embedding (out)
    std::int64_t vocabulary = 0;         // rows of the table / columns of the logits, padding included
    std::int64_t real_vocabulary = 0;    // without padding; padded logits are masked in the loss
    std::int32_t batch = 0, sequence = 0;
    std::int32_t heads = 0, kv_heads = 0, head_dim = 0;
    std::int32_t value_dim = 0;          // attention: of values and outputs; 0 = head_dim
    std::int32_t keys = 0;               // attention: cached keys of a sequence, all seen (decoding); 0 = causal among `sequence`
    std::int32_t window = 0;             // attention: keys that a query sees at most; 0 = all before it
    float epsilon = 0;
    float rotary_base = 0;
    float dropout = 0;
    double loss_weight = 0;              // 1 / (tokens of the global batch)
    float clip = 0;                      // 0 = off
    float learning_rate = 0, beta1 = 0, beta2 = 0, weight_decay = 0;
    std::uint32_t layer = 0, site = 0, micro_batch = 0;
    bool accumulate = false;             // add into the parameter gradients instead of overwriting them
    bool accumulate_second = false;      // see the kernel
    bool fp8 = false;                    // linear: both operands are cast to 8 bits and multiplied so
    bool input_major = false;            // linear: the weight is [in, out] (Hugging Face's Conv1D)
    EagerOperation operation = EagerOperation::unspecified;   // elementwise
    float value = 0;                     // elementwise: see the operation
    std::int32_t broadcast_rows = 0, broadcast_columns = 0;   // elementwise: shape of a smaller second operand; 0 = as large
    friend bool operator==(const Attributes&, const Attributes&) = default;
};

enum class Access : std::uint8_t { read, write, read_write };
struct OperandSpec {
    std::string_view name;
    Access access = Access::read;
    bool optional = false;
};

[[nodiscard]] std::string_view name(Kernel kernel);
/// Operands in order. `accumulate` flags turn a write into a read_write: see `access`.
[[nodiscard]] std::span<const OperandSpec> operands(Kernel kernel);
/// Operands come in groups of operands(kernel), one a tensor.
[[nodiscard]] bool is_multi_tensor(Kernel kernel);
/// The access of operand `index` under these attributes.
[[nodiscard]] Access access(Kernel kernel, std::size_t index, const Attributes& attributes);

/// Classes by which reports group kernels.
enum class KernelClass : std::uint8_t { gemm, attention, norm, elementwise, embedding, loss, optimizer, scalar };
[[nodiscard]] KernelClass kernel_class(Kernel kernel);
[[nodiscard]] std::string_view name(KernelClass kernel_class);

}  // namespace zerosim::kernel
