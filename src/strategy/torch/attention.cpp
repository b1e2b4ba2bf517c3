// Scaled dot product attention: flash or cuDNN for 2-byte floats, memory-efficient for fp32; rotary embeddings.
// Sources: aten/src/ATen/native/transformers/cuda/{sdp_utils.cpp,attention_backward.cu,flash_attn/flash_api.cpp} (mha_fwd, mha_bwd),
// native/cudnn/MHA.cpp, cudnn-frontend's node/scaled_dot_product_flash_attention.h.
#include "strategy/torch/efficient_attention.hpp"
#include "strategy/torch/operations.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::strategy::torch {
namespace {

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

kernel::Attributes attributes_of(const AttentionShape& s) {
    kernel::Attributes a;
    a.tokens = s.batch * s.sequence;
    a.batch = static_cast<std::int32_t>(s.batch);
    a.sequence = static_cast<std::int32_t>(s.sequence);
    a.heads = static_cast<std::int32_t>(s.heads);
    a.kv_heads = static_cast<std::int32_t>(s.kv_heads);
    a.head_dim = static_cast<std::int32_t>(s.head_dim);
    if (s.value_width() != s.head_dim) a.value_dim = static_cast<std::int32_t>(s.value_dim);
    a.keys = static_cast<std::int32_t>(s.keys);
    a.window = static_cast<std::int32_t>(s.window);
    return a;
}

/// SDPA's choice: flash for 2-byte floats without a mask, heads of at most 256 and values as wide as queries [sdp_utils.cpp].
bool takes_flash(const Tape& tape, const AttentionShape& s, DType dtype) {
    constexpr std::int64_t kLargestHead = 256;
    return tape.options.device.attention != FusedAttention::efficient && dtype != DType::fp32 && !s.masked && s.value_width() == s.head_dim && s.head_dim <= kLargestHead;
}

/// The memory-efficient kernel takes as many key heads as query heads, of multiples of 16 bytes [can_use_mem_efficient_attention,
/// minimum_gemm_alignment]. A host's kernels and a serving engine's take all.
bool takes_efficient(const Tape& tape, const AttentionShape& s, DType dtype) {
    constexpr std::int64_t kAlignedBytes = 16;
    const std::int64_t elements = kAlignedBytes / size_of(dtype);
    return s.engine || tape.options.library == kernel::Library::host || (s.kv_heads == s.heads && s.head_dim % elements == 0 && s.value_width() % elements == 0);
}

/// cuDNN where it comes first and takes the head and more than one key [check_cudnn_tensor_shapes]; it saves what flash saves. Values may be narrower
/// than queries, on Blackwell as DeepSeek's alone.
bool takes_cudnn(const Tape& tape, const AttentionShape& s, DType dtype) {
    constexpr std::int64_t kAlignment = 8, kLatentHead = 192, kLatentValue = 128;
    const DeviceKernels& device = tape.options.device;
    if (!device.cudnn_attention || dtype == DType::fp32 || s.masked || s.keys > 0 || s.sequence == 1 || (s.engine && s.value_width() != s.head_dim)) return false;
    const bool latent = device.capability / 10 == 10 && s.head_dim == kLatentHead && s.value_width() == kLatentValue;
    return latent || (std::max(s.head_dim, s.value_width()) <= device.cudnn_largest_head && s.head_dim % kAlignment == 0 && s.value_width() % kAlignment == 0);
}

/// A boolean mask becomes a bias of the queries' dtype in every call, its rows aligned to 16 [convert_boolean_attn_mask, pad_bias].
Value attention_bias(Tape& tape, const AttentionShape& s, DType dtype) {
    if (!s.masked) return {};
    Value bias = tape.make("attention_bias", s.batch * s.sequence, round_up(s.key_count(), 16), dtype);
    tape.elementwise("masked_fill", {}, bias, 0);
    return bias;
}

/// num_splits_heuristic: few (batch, head, 64-row) blocks are split along the keys, to fill all multiprocessors with two blocks each;
/// the smallest number of parts within 85 % of the best occupancy of the last wave.
std::int64_t splits(const AttentionShape& s, const DeviceKernels& device) {
    const double most_blocks = 2 * static_cast<double>(device.multiprocessors);
    const auto ceil_div = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
    // A single query: the query heads of a key head are its rows [mha_fwd, seqlenq_ngroups_swapped].
    const bool single = s.keys > 0 && s.sequence == 1;
    const std::int64_t row_blocks = single ? s.batch * s.kv_heads * ceil_div(s.heads / s.kv_heads, 64) : s.batch * s.heads * ceil_div(s.sequence, 64);
    if (static_cast<double>(row_blocks) >= 0.8 * most_blocks) return 1;
    const std::int64_t key_blocks = ceil_div(s.key_count(), s.head_dim <= 64 ? 256 : s.head_dim <= 128 ? 128 : 64);
    const auto eligible = [&](std::int64_t n) { return n == 1 || ceil_div(key_blocks, n) != ceil_div(key_blocks, n - 1); };
    const auto occupancy = [&](std::int64_t n) {
        const double waves = static_cast<double>(row_blocks * n) / most_blocks;
        return waves / std::ceil(waves);
    };
    double best = 0;
    const std::int64_t most = std::min<std::int64_t>(128, key_blocks);
    for (std::int64_t n = 1; n <= most; ++n)
        if (eligible(n)) best = std::max(best, occupancy(n));
    for (std::int64_t n = 1; n <= most; ++n)
        if (eligible(n) && occupancy(n) >= 0.85 * best) return n;
    return 1;
}

void emit_backward(Tape& tape, const AttentionShape& s, const Values& kept, const Value& g, const Values& out) {
    Buffer held;
    const TensorId room = tape.workspace(kernel::Kernel::attention_backward, attributes_of(s), g.dtype, held);
    tape.emit(kernel::Kernel::attention_backward, "attention_backward",
              {g.tensor, kept[0].tensor, kept[1].tensor, kept[2].tensor, kept[3].tensor, kept[4].tensor, room, out[0].tensor, out[1].tensor, out[2].tensor},
              attributes_of(s));
}

void emit_forward(Tape& tape, const AttentionShape& s, const Value& q, const Value& k, const Value& v, const Value& y, const Value& lse) {
    Buffer held;
    const TensorId room = tape.workspace(kernel::Kernel::attention_forward, attributes_of(s), q.dtype, held);
    tape.emit(kernel::Kernel::attention_forward, "attention", {q.tensor, k.tensor, v.tensor, room, y.tensor, lse.tensor}, attributes_of(s));
}

/// One block: the fp32 accumulator of dq, the sums of each row, with fewer key heads dk and dv of every query head, and the kernel's
/// own (measured: 1 to 512 bytes).
std::int64_t cudnn_workspace(const AttentionShape& s, DType dtype) {
    constexpr std::int64_t kOwn = 512;
    const std::int64_t rows = s.batch * s.heads * s.sequence;
    const std::int64_t expanded = s.kv_heads != s.heads ? 2 * rows * s.head_dim * size_of(dtype) : 0;
    return 4 * rows * (s.head_dim + 1) + expanded + kOwn;
}

/// AMD's mha_bwd_aot: softmax_d, which it returns unused, and delta, the row sums; key heads are not expanded [hip/flash_attn/aot/mha_all_aot.hip].
void aotriton_backward(Tape& tape, const AttentionShape& s, const Values& kept, const Value& g, const Values& out) {
    const std::int64_t rows = s.batch * s.heads * s.sequence;
    const Buffer softmax_d = tape.scratch("softmax_d", 4 * rows), delta = tape.scratch("delta", 4 * rows);
    emit_backward(tape, s, kept, g, out);
}

/// mha_bwd: dq, dk, dv, softmax_d and the fp32 accumulator of dq (sequence rounded to 128, head size to 32); with fewer key heads
/// dk and dv are computed for every query head and summed.
Values flash_backward(Tape& tape, const AttentionShape& s, const Values& kept, const Value& g) {
    Values out;
    for (std::size_t i = 0; i < 3; ++i) out.push_back(tape.like("attention_gradient", kept[i]));
    if (takes_cudnn(tape, s, g.dtype)) {
        const Buffer workspace = tape.scratch("cudnn_workspace", cudnn_workspace(s, kept[1].dtype));
        emit_backward(tape, s, kept, g, out);
        return out;
    }
    if (tape.options.device.attention == FusedAttention::aotriton) {
        aotriton_backward(tape, s, kept, g, out);
        return out;
    }
    const std::int64_t rows = s.batch * s.heads * round_up(s.sequence, 128);
    const Buffer softmax_d = tape.scratch("softmax_d", 4 * rows);
    const Buffer accumulator = tape.scratch("dq_accumulator", 4 * rows * round_up(s.head_dim, 32));
    Buffer dk, dv;
    if (s.kv_heads != s.heads) {
        const std::int64_t expanded = s.batch * s.sequence * s.heads * s.head_dim * size_of(kept[1].dtype);
        dk = tape.scratch("dk_expanded", expanded);
        dv = tape.scratch("dv_expanded", expanded);
    }
    emit_backward(tape, s, kept, g, out);
    return out;
}

/// delta of _efficient_attention_backward [batch, heads, sequence] fp32. Where the kernel does not compute it, (grad.to(float) * out.to(float)).sum(-1)
/// .transpose(-2, -1).contiguous() is one expression, its temporaries live until its end [attention_backward.cu, kKernelComputesDelta].
Buffer efficient_delta(Tape& tape, const AttentionShape& s, DType dtype, bool in_kernel) {
    const std::int64_t sums = 4 * s.batch * s.heads * s.sequence, product = in_kernel ? 0 : sums * s.value_width();
    const std::int64_t widened = dtype == DType::fp32 ? 0 : product;
    const Buffer wide_gradient = tape.scratch("delta_operand", widened), wide_output = tape.scratch("delta_operand", widened);
    const Buffer products = tape.scratch("delta_product", product);
    const Buffer transposed = tape.scratch("delta_transposed", in_kernel ? 0 : sums);
    return tape.scratch("delta", sums);
}

/// _efficient_attention_backward: dq, dk, dv and delta.
Values efficient_backward(Tape& tape, const AttentionShape& s, const Values& kept, const Value& g) {
    Values out;
    for (std::size_t i = 0; i < 3; ++i) out.push_back(tape.like("attention_gradient", kept[i]));
    const EfficientRoom room = efficient_room(s, kept[0].dtype, tape.options.device.capability);
    const Buffer delta = efficient_delta(tape, s, kept[0].dtype, room.delta_in_kernel);
    const Buffer workspace = tape.scratch("efficient_workspace", room.workspace);
    emit_backward(tape, s, kept, g, out);
    return out;
}

}  // namespace

Value attention(Tape& tape, const Value& q_in, const Value& k_in, const Value& v_in, const AttentionShape& s) {
    const Value v = tape.lower(v_in), k = tape.lower(k_in), q = tape.lower(q_in);
    const bool flash = takes_cudnn(tape, s, q.dtype) || takes_flash(tape, s, q.dtype);
    if (!flash && !takes_efficient(tape, s, q.dtype)) return math_attention(tape, q, k, v, s);
    auto node = tape.engine.node({q.node, k.node, v.node});
    const std::int64_t padded = flash ? s.sequence : round_up(s.sequence, 32);   // the efficient kernel's log-sum-exp is aligned to 32
    Values outputs = tape.engine.computed(false, [&] {
        Value y = tape.make("attention", q.rows, s.heads * s.value_width(), q.dtype);
        Value lse = tape.make("log_sum_exp", s.batch * padded, s.heads, DType::fp32);
        lse.tensor = tape.program.tensor("log_sum_exp", lse.buffer.storage(), DType::fp32, s.batch * s.sequence, s.heads);   // without the padding
        if (!flash) {   // without dropout its seed and offset stay on the host
            emit_forward(tape, s, q, k, v, y, lse);
            if (Value bias = attention_bias(tape, s, q.dtype); bias.defined()) return Values{std::move(y), std::move(lse), std::move(bias)};
            return Values{std::move(y), std::move(lse)};
        }
        const bool whole = takes_cudnn(tape, s, q.dtype) || tape.options.device.attention == FusedAttention::aotriton;
        const std::int64_t parts = whole ? 1 : splits(s, tape.options.device);
        const std::int64_t partial_rows = parts > 1 ? parts * s.batch * s.heads * s.sequence : 0;
        const Buffer partial_lse = tape.scratch("partial_log_sum_exp", 4 * partial_rows);
        const Buffer partial_out = tape.scratch("partial_attention", 4 * partial_rows * round_up(s.head_dim, 32));
        Value rng = tape.make("rng_state", 1, 2, DType::int64), unused = tape.make("rng_unused", 1, 1, DType::int64);
        emit_forward(tape, s, q, k, v, y, lse);
        return Values{std::move(y), std::move(lse), std::move(rng), std::move(unused)};
    });
    Value out = outputs[0];
    if (node) {
        node->slots = {q.output, k.output, v.output};
        for (const Value* input : {&q, &k, &v}) node->saved.push_back(tape.engine.save(*input));
        for (const Value& output : outputs) node->saved.push_back(tape.engine.save(output));
        node->apply = [&tape, s, flash](Node& n, Values& g) {
            Values kept;
            for (Saved& saved : n.saved) kept.push_back(tape.engine.unpack(saved));
            return flash ? flash_backward(tape, s, kept, g[0]) : efficient_backward(tape, s, kept, g[0]);
        };
    }
    out.node = node;
    return out;
}

Value rotate_complex(Tape& tape, const Value& x, const Value& rope, std::int64_t sequence, std::int64_t head_dim) {
    kernel::Attributes a;
    a.sequence = static_cast<std::int32_t>(sequence);
    a.head_dim = static_cast<std::int32_t>(head_dim);
    const Value complex = to(tape, x, DType::fp32);
    auto node = tape.engine.node({complex.node});
    Value product = tape.make("rotated", complex.rows, complex.columns, DType::fp32);
    tape.elementwise(kernel::EagerOperation::rotate, "rotary", {complex.tensor, rope.tensor}, product, 3, a);
    if (node) {
        // conj(rope) is materialised: 8 bytes for each of s * d/2 frequencies.
        node->apply = [&tape, a, rope = rope.tensor, frequencies = 8 * sequence * head_dim / 2](Node&, Values& g) {
            const Buffer conjugate = tape.scratch("conjugate", frequencies);
            Value back = tape.like("rotary_gradient", g[0]);
            tape.elementwise(kernel::EagerOperation::rotate_backward, "rotary_backward", {g[0].tensor, rope}, back, 3, a);
            return Values{std::move(back)};
        };
    }
    product.node = node;
    return to(tape, product, x.dtype);
}

namespace {

/// One half of each row of a tall view, d columns wide.
Value half_of(Tape& tape, Value tall, std::int64_t from) {
    schedule::Tensor view = tape.program.at(tall.tensor);
    view.columns /= 2;
    view.offset.constant += from * size_of(view.dtype);
    tall.columns = view.columns;
    tall.tensor = tape.program.tensor(view);
    return tall;
}

}  // namespace

Value rotate_half(Tape& tape, const Value& x, std::int64_t head_dim) {
    // neg of the second half; cat with the first. Backward: two slices, each embedded in zeros, the negation between.
    const std::int64_t d = head_dim, tall_rows = x.elements() / d;
    auto slice_second = tape.engine.node({x.node});
    const auto embed = [&tape, d, tall_rows, rows = x.rows, columns = x.columns](std::int64_t from) {
        return [&tape, d, tall_rows, rows, columns, from](Node&, Values& g) {
            kernel::Attributes a;
            a.value = static_cast<float>(from);
            Value whole = tape.make("slice_gradient", tall_rows, d, g[0].dtype);
            tape.elementwise(kernel::EagerOperation::slice_backward, "slice_backward", {g[0].tensor}, whole, 0, a);
            return Values{tape.reshaped(std::move(whole), rows, columns)};
        };
    };
    auto slice_first = slice_second ? tape.engine.node({x.node}) : nullptr;
    if (slice_second) slice_second->apply = embed(d / 2);
    if (slice_first) slice_first->apply = embed(0);
    const Value tall = tape.reshaped(x, tall_rows, d);
    Value half = half_of(tape, tall, 0), second = half_of(tape, tall, d / 2);
    half.node = slice_first;
    second.node = slice_second;
    const Value negative = scale(tape, "neg", second, -1);
    auto node = tape.engine.node({negative.node, half.node});
    Value out = tape.make("rotate_half", tall_rows, d, x.dtype);
    tape.elementwise(kernel::EagerOperation::concatenate, "cat", {negative.tensor, half.tensor}, out, 0);
    if (node) {
        node->apply = [&tape, d, tall_rows](Node&, Values& g) {
            const Value whole = tape.reshaped(g[0], tall_rows, d);   // its parts are views
            return Values{half_of(tape, whole, 0), half_of(tape, whole, d / 2)};
        };
    }
    out.node = node;
    return tape.reshaped(std::move(out), x.rows, x.columns);
}

}  // namespace zerosim::strategy::torch
