#include "kernel/work.hpp"

#include "base/error.hpp"
#include "kernel/host_blocking.hpp"

#include <algorithm>

namespace zerosim::kernel {

namespace {

// Conventions: an addition, multiplication, comparison, division, root or exponential counts as one. Optional operands (biases,
// positions, workspace) are small and not counted. Scalars (loss, factor, ...) count where they are all there is.
constexpr double kFp32 = 4, kInt32 = 4, kFp64 = 8;

struct Sizes {
    double tokens, in, out, vocabulary, element;
    double heads, kv_heads, head_dim;
    double value_dim;
    double keys;  // rows of the key matrix, all sequences
    double pairs; // (query, key) pairs of all sequences under the causal mask, for one head
};

/// One sequence: n (n + 1) / 2; with a window w of it, w (w + 1) / 2 + (n - w) w; with cached keys, all of them for each query.
double pairs_of_one(const Attributes& a) {
    const double n = a.sequence, w = a.window > 0 && a.window < a.sequence ? a.window : n;
    if (a.keys > 0) return n * (a.window > 0 ? std::min(a.keys, a.window) : a.keys);
    return w * (w + 1) / 2 + (n - w) * w;
}

Sizes sizes(const Attributes& a, DType type) {
    const auto real = [](auto value) { return static_cast<double>(value); };
    return {real(a.tokens),     real(a.in),          real(a.out),
            real(a.vocabulary), real(size_of(type)), real(a.heads),
            real(a.kv_heads),   real(a.head_dim),    real(a.value_dim > 0 ? a.value_dim : a.head_dim),
            a.keys > 0 ? real(a.batch) * a.keys : real(a.tokens), real(a.batch) * pairs_of_one(a)};
}

/// A product of T x in x out: 2 FLOPs a multiply-add, each matrix once; `added` is the result's size when it is read too.
Work product(const Sizes& s, double added) {
    const double flops = 2 * s.tokens * s.in * s.out;
    return {flops, flops, s.element * (s.tokens * s.in + s.in * s.out + s.tokens * s.out + added)};
}

/// `batch` products whose rows add up to `tokens`: each has a matrix in x out of its own, and one without rows is not read.
Work batched_product(const Sizes& s, double batch) {
    const double flops = 2 * s.tokens * s.in * s.out;
    return {flops, flops, s.element * (s.tokens * s.in + std::min(batch, s.tokens) * s.in * s.out + s.tokens * s.out)};
}

/// Causal attention. Forward two products of 2 d FLOPs a pair (scores, output), backward five (scores again, d_v, d_p, d_q, d_k):
/// Dao, FlashAttention-2 (2023), algorithms 1 and 2. Softmax: scale, maximum, subtract, exponential, sum; backward: scale,
/// subtract, exponential, subtract, multiply, scale. log_sum_exp is fp32 [T, heads].
Work attention(const Sizes& s, bool backward) {
    // Forward one product of query width and one of value width, backward three and two.
    const double matrix = (backward ? 6 * s.head_dim + 4 * s.value_dim : 2 * s.head_dim + 2 * s.value_dim) * s.pairs * s.heads;
    const double softmax = (backward ? 6 : 5) * s.pairs * s.heads;
    // Forward q, out, k, v; backward q, out, d_out, d_q and k, v, d_k, d_v.
    const double widths = s.head_dim + s.value_dim;
    const double elements = (backward ? 2 : 1) * widths * (s.tokens * s.heads + s.keys * s.kv_heads);
    return {matrix + softmax, matrix, s.element * elements + kFp32 * s.tokens * s.heads};
}

/// Norms. Forward: LayerNorm mean 1, centre 1, variance 2, normalise 2, scale and shift 2; RMSNorm square sum 2, normalise 1,
/// scale 1. Backward: LayerNorm normalise 2, d_y * weight 1, two row sums 3, d_x 4, d_weight 2, d_bias 1; RMSNorm 1, 1, 2, 3, 2.
/// Formulas: Ba, Kiros, Hinton 2016; Zhang, Sennrich 2019.
Work norm(const Sizes& s, const Attributes& a, bool backward, bool centred) {
    const double elements = s.tokens * s.out, vectors = centred ? 2 : 1; // weight, bias; mean, rstd
    if (!backward)
        return {(centred ? 8 : 4) * elements, 0, s.element * (2 * elements + vectors * s.out) + kFp32 * vectors * s.tokens};
    const double d_x = a.accumulate_second ? 2 : 1, d_vectors = (a.accumulate ? 2 : 1) * vectors;
    return {(centred ? 13 : 9) * elements, 0,
            s.element * ((2 + d_x) * elements + (1 + d_vectors) * s.out) + kFp32 * vectors * s.tokens};
}

/// `streams` tensors of `elements` read or written, `flops` for each element.
Work elementwise(const Sizes& s, double elements, double flops, double streams) {
    return {flops * elements, 0, s.element * streams * elements};
}

Work embedding_backward(const Sizes& s, const Attributes& a) {
    const double gradient = s.tokens * s.out, table = s.vocabulary * s.out;
    // Adding touches one row a token (read and written); otherwise the whole table is written as well.
    return {gradient, 0, kInt32 * s.tokens + s.element * (3 * gradient + (a.accumulate ? 0 : table))};
}

/// AdamW (Loshchilov, Hutter 2019, algorithm 2): scale the gradient 1, m 3, v 4, bias corrections 2, root 1, epsilon 1, quotient
/// 1, decay 1, update 2. Traffic: fp32: p, m, v read and written, g read = 28 bytes; 2-byte parameters with an fp32 master:
/// master, m, v read and written, g read, p written = 28 bytes as well. Pure bf16 moves half of the fp32 case's.
Work adamw(const Sizes& s) { return {16 * s.tokens, 0, 28 * s.tokens}; }

} // namespace

Work work(Kernel kernel, const Attributes& attributes, DType type) {
    const Sizes s = sizes(attributes, type);
    const double width = s.tokens * s.out, logits = s.tokens * s.vocabulary;
    switch (kernel) {
        case Kernel::embedding_forward: return {width, 0, kInt32 * s.tokens + s.element * 2 * width};
        case Kernel::embedding_backward: return embedding_backward(s, attributes);
        case Kernel::layer_norm_forward: return norm(s, attributes, false, true);
        case Kernel::layer_norm_backward: return norm(s, attributes, true, true);
        case Kernel::rms_norm_forward: return norm(s, attributes, false, false);
        case Kernel::rms_norm_backward: return norm(s, attributes, true, false);
        case Kernel::linear_forward: return product(s, 0);
        case Kernel::linear_backward_input: return product(s, attributes.accumulate_second ? s.tokens * s.in : 0);
        case Kernel::linear_backward_weight: return product(s, attributes.accumulate ? s.in * s.out : 0);
        case Kernel::batched_product: return batched_product(s, attributes.batch);
        case Kernel::attention_forward: return attention(s, false);
        case Kernel::attention_backward: return attention(s, true);
        // A rotation of a pair is 4 multiplications and 2 additions.
        case Kernel::rotary_forward:
        case Kernel::rotary_backward: return elementwise(s, s.tokens * (s.heads + s.kv_heads) * s.head_dim, 3, 2);
        // x (1 + tanh(u)) / 2 with u a cubic: 4 for u, 1 for tanh, 3 outside; its derivative about twice that.
        case Kernel::gelu_forward: return elementwise(s, width, 8, 2);
        case Kernel::gelu_backward: return elementwise(s, width, 17, 3);
        // Sigmoid 4 (negate, exponential, add, divide), two products; backward shares the sigmoid.
        case Kernel::swiglu_forward: return elementwise(s, width, 6, 3);
        case Kernel::swiglu_backward: return elementwise(s, width, 12, 5);
        case Kernel::add: return elementwise(s, width, 1, 3);
        // One or two operands read, one written: the framework's kernels differ little.
        case Kernel::elementwise: return elementwise(s, width, s.in, 3);
        case Kernel::dropout: return elementwise(s, width, 2, 2);
        // Maximum, subtract, exponential, sum; backward subtract, exponential, scale.
        case Kernel::cross_entropy_forward: return {4 * logits, 0, s.element * logits + (kInt32 + kFp32) * s.tokens};
        case Kernel::cross_entropy_backward: return {3 * logits, 0, s.element * 2 * logits + (kInt32 + kFp32) * s.tokens};
        case Kernel::squared_norm: return {2 * s.tokens, 0, s.element * s.tokens + 2 * kFp64 * kNormBins};
        case Kernel::gradient_scale: return {kNormBins + 4, 0, kFp64 * (kNormBins + 1) + 5 * kFp32};
        case Kernel::loss_scale_update: return {3, 0, 5 * kFp32};
        case Kernel::adamw:
        case Kernel::adamw_tensors: return adamw(s);
        // Momentum (Sutskever et al. 2013): decay 2, momentum 2, update 2; parameter and momentum read and written, gradient read.
        case Kernel::sgd_tensors: return {6 * s.tokens, 0, s.element * 5 * s.tokens};
        case Kernel::norm_tensors: return {2 * s.tokens, 0, s.element * s.tokens};
        case Kernel::scale_tensors: return {s.tokens, 0, s.element * 2 * s.tokens};
        case Kernel::count_: break;
    }
    throw BugError("work: kernel " + std::to_string(static_cast<int>(kernel)) + " is none of the vocabulary");
}

std::int64_t workspace_bytes(Kernel kernel, const Attributes& attributes, DType type, Library library, int threads) {
    if (library == Library::cuda) return 0;
    namespace blocking = host_blocking;
    const bool two_bytes = size_of(type) == 2;
    const auto slots = [threads](std::int64_t tasks) { return std::min<std::int64_t>(threads, tasks); };
    std::int64_t elements = 0;
    switch (kernel) {
        case Kernel::linear_forward:
        case Kernel::linear_backward_input:
        case Kernel::linear_backward_weight: {
            const blocking::Product product = blocking::product(kernel, attributes);
            elements = two_bytes ? slots(blocking::product_blocks(product)) * blocking::product_slot(product) : 0;
            break;
        }
        case Kernel::attention_forward:
            elements =
                slots(blocking::attention_forward_tasks(attributes)) * blocking::attention_forward_slot(attributes, two_bytes);
            break;
        case Kernel::attention_backward:
            elements =
                slots(blocking::attention_backward_tasks(attributes)) * blocking::attention_backward_slot(attributes, two_bytes);
            break;
        default: break;
    }
    return elements * size_of(DType::fp32);
}

} // namespace zerosim::kernel
