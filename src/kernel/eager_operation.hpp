// What an element-wise kernel of an eager framework computes: the identity of Kernel::elementwise.
// Named by the operations of strategy/torch; carried out by device/host_kernels; ignored by cost models, which count its bytes.
// Does not say how many FLOPs: Attributes::in does.
#pragma once

#include <cstdint>
#include <string_view>

namespace zerosim::kernel {

// a, b, c and out are the operands of Kernel::elementwise, value and the counts its attributes. T rows, computed in fp32.
// `broadcast_rows` x `broadcast_columns` = shape of a smaller b: element (row % rows, column % columns) of it meets (row, column).
enum class EagerOperation : std::uint8_t {
    unspecified,              // for planning only: no device runs it
    add, multiply,            // a, b -> out, b broadcast
    scale, shift,             // a * value, a + value
    gelu, gelu_backward,      // tanh form. Backward of functions: d_out, kept -> d_a
    silu, silu_backward,
    tanh, tanh_backward,      // kept = its output
    rsqrt, rsqrt_backward,    // kept = its output
    power, power_backward,    // a ^ value; kept = its input
    cosine, sine,
    row_mean, row_mean_backward,           // a[T,n] -> out[T]
    sum,                      // the transpose of a broadcast: a[T,n] -> out[broadcast_rows, broadcast_columns]
    concatenate,              // a, b, opt. c side by side
    slice_backward,           // a into zeros, from column `value`
    repeat_heads, repeat_heads_backward,   // each head of head_dim columns `value` times, one after the other
    sequence_numbers,         // out[i] = i
    rotary_angles,            // out[s, head_dim] = row * rotary_base ^ (-2 (column % (d/2)) / d), d = head_dim
    rotary_table,             // out[positions, head_dim]: cosine and sine of each pair's angle
    rotate, rotate_backward,  // a[T, heads * d], b = rotary_table (half-split pairs). Backward turns back
    log_softmax, log_softmax_backward,     // over the first real_vocabulary columns; kept = its output
    negative_log_likelihood,  // a = log-probabilities[T,V], b = targets[T] -> out[1]: minus their mean
    negative_log_likelihood_backward,      // a = targets[T], b = d_loss[1] -> out[T,V]
    sum_of_squares,           // a[n] -> out[1]
    clip_factor,              // a[1] = squared norm -> out[1] = min(1, value / (norm + 1e-6)) [torch.nn.utils.clip_grads_with_norm_]
    count_
};

/// Of a function: the operation of its gradient.
[[nodiscard]] EagerOperation backward_of(EagerOperation operation);
[[nodiscard]] std::string_view name(EagerOperation operation);

}  // namespace zerosim::kernel
