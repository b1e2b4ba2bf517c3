// Attention by separate products: Transformer Engine's UnfusedDotProductAttention (--attention-backend unfused).
// Sources: transformer_engine/pytorch/attention/dot_product_attention/backends.py, transformer_engine/pytorch/softmax.py (FusedScaleMaskSoftmax).
#include "strategy/megatron/operations.hpp"
#include "strategy/torch/tensor_operations.hpp"

namespace zerosim::strategy::megatron {
namespace {

/// ScaledUpperTriangMaskedSoftmax: scale, mask and softmax in one kernel, which keeps its result; backward writes over the gradient.
Value fused_softmax(Tape& tape, const Value& scores) {
    auto node = tape.engine.node({scores.node});
    Value out = tape.like("softmax", scores);
    tape.elementwise("scaled_masked_softmax", {scores.tensor}, out, 4);
    if (node) {
        node->slots = {scores.output};
        node->saved.push_back(tape.engine.save(out));
        node->apply = [&tape](torch::Node& n, torch::Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            tape.elementwise("scaled_masked_softmax_backward", {g[0].tensor, kept.tensor}, g[0], 3);
            return torch::Values{g[0]};
        };
    }
    out.node = node;
    return out;
}

/// [is_kernel_available]; otherwise the scores are widened, masked in place, and the probabilities narrowed again [forward_torch_softmax].
bool has_fused_softmax(const torch::AttentionShape& s, DType dtype) {
    constexpr std::int64_t kShortest = 16, kLongest = 16384;
    return dtype != DType::fp32 && s.sequence > kShortest && s.sequence <= kLongest && s.sequence % 4 == 0 && s.batch * s.heads % 4 == 0;
}

}  // namespace

Value unfused_attention(Tape& tape, const Value& q, const Value& k, const Value& v, const torch::AttentionShape& s, bool drops) {
    const std::int64_t groups = s.batch * s.heads, repeats = s.heads / s.kv_heads;
    const Value keys = repeats > 1 ? torch::repeat_heads(tape, k, repeats, s.head_dim) : k;
    const Value values = repeats > 1 ? torch::repeat_heads(tape, v, repeats, s.head_dim) : v;
    Value scores;   // a local of forward(): it lives until the end
    {
        const torch::Buffer room = tape.scratch("matmul_result", groups * s.sequence * s.sequence * size_of(q.dtype));   // torch.empty, baddbmm's input
        scores = torch::batched_product(tape, "scores", q, keys, {groups, groups * s.sequence, s.head_dim, s.sequence});
    }
    Value probabilities;
    if (has_fused_softmax(s, q.dtype)) {
        probabilities = fused_softmax(tape, scores);
    } else {
        probabilities = torch::to(tape, torch::softmax(tape, torch::to(tape, scores, DType::fp32)), q.dtype);
    }
    if (drops) probabilities = torch::dropout(tape, probabilities);
    const Value context = torch::batched_product(tape, "attended", probabilities, values, {groups, groups * s.sequence, s.sequence, s.head_dim});
    const Value joined = torch::contiguous(tape, "attention", context);   // permute(2, 0, 1, 3).contiguous()
    return torch::reshape(tape, joined, s.batch * s.sequence, s.heads * s.head_dim);
}

}  // namespace zerosim::strategy::megatron
