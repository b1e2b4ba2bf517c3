// A transformer's shape and its parameters, in the order of tests/truth/training/README.md.
// Built by config/ from presets and Hugging Face files; read by strategy/ and analysis/.
// Knows no schedule and no ranks; implementations (torch, huggingface, megatron) differ in what they keep, not here.
#pragma once

#include "base/dtype.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::model {

/// gpt2: learned positions, one projection of q, k and v. llama: rotary positions, separate projections; all other families
/// (model/families.hpp) are llama with some of the features below.
enum class Family : std::uint8_t { gpt2, llama };
enum class Implementation : std::uint8_t { torch, huggingface, megatron };
enum class Norm : std::uint8_t { rms, rms_plus_one, layer };   // rms_plus_one: times 1 + weight, all in fp32 (gemma)
enum class Activation : std::uint8_t { silu, gelu, gelu_new }; // gelu: its tanh form; gelu_new: the same, element-wise in transformers

/// Routed feed-forward networks in the place of one (Mixtral, Qwen-MoE, DeepSeek). Routing is taken as balanced.
struct Experts {
    std::int64_t count = 0, per_token = 0;   // 0 = none
    std::int64_t feed_forward = 0;           // of one
    std::int64_t shared = 0;                 // width of the experts that see every token
    std::int64_t first_dense = 0;            // layers at the front without experts
    std::int64_t every = 1;                  // the other sparse layers: 1 = each, 2 = every second
    bool shared_gate = false;                // a sigmoid gate scales the shared experts (qwen2-moe)
    bool fp32_router = false;                // logits and weights of the router in fp32 (DeepSeek)
    bool sigmoid_scores = false;             // with a bias buffer for the choice (DeepSeek-V3)
};

/// DeepSeek's multi-head latent attention: keys and values are projected up from one small vector of each token.
struct LatentAttention {
    std::int64_t kv_rank = 0;                // 0 = ordinary attention
    std::int64_t query_rank = 0;             // 0 = queries are projected from the hidden state
    std::int64_t rotary_dim = 0, plain_dim = 0, value_dim = 0;   // of a head: with and without positions; of values
};

/// A model that is known by groups of parameters and rules of activations alone (images, speech, several towers): coarse.
struct ParameterGroup {
    std::string name;
    std::int64_t parameters = 0;
    bool trainable = true;
    std::int64_t blocks = 1;                 // sharded and gathered one at a time
    DType frozen_dtype = DType::bf16;        // of weights that are not trained
};
struct ActivationRule {
    std::string name, group;
    double elements = 0;                     // of one sample: the product of the rule's factors
    std::int64_t bytes = 2;                  // of an element
    std::int64_t copies = 1;                 // e.g. layers
    bool saved = true;                       // for backward; false: a temporary
    double flops = 0;                        // of one sample, forward
};
struct Coarse {
    std::vector<ParameterGroup> groups;      // empty = a transformer that is known layer by layer
    std::vector<ActivationRule> rules;
};

struct Model {
    std::string name;
    Family family = Family::gpt2;
    Implementation implementation = Implementation::torch;
    std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
    std::int64_t feed_forward = 0;
    std::int64_t vocabulary = 0;            // with padding (model.vocabulary-multiple)
    std::int64_t real_vocabulary = 0;
    std::int64_t positions = 0;             // most tokens of a sequence; gpt2: rows of wpe
    bool tied = false;
    bool qkv_bias = false;                  // qwen2: true; gpt2: always
    bool output_bias = false, mlp_bias = false;
    double norm_epsilon = 1e-5;
    double rotary_base = 10000.0;
    std::int64_t sliding_window = 0;        // 0 = none
    std::int64_t full_attention_every = 0;  // with a window: every n-th layer sees everything (gemma 2: 2, gemma 3: 6); 0 = none does
    std::string architecture;               // transformers' model_type; "" = the family's
    Norm norm = Norm::rms;                  // of family llama
    Activation activation = Activation::silu;
    bool gated = true;                      // down(act(gate) * up); false: down(act(up))
    bool parallel = false;                  // attention and feed-forward read the same norm (phi)
    bool query_key_norm = false;            // of each head, before the rotation (qwen3, gemma 3)
    bool output_norms = false;              // norms after attention and feed-forward too (gemma 2, 3)
    bool fused_qkv = false, fused_gate_up = false;   // one projection each (phi3)
    bool scaled_embedding = false;          // times sqrt(hidden) (gemma)
    bool head_bias = false;
    double rotary_fraction = 1;             // of a head's dimensions that are rotated (phi)
    double attention_softcap = 0, final_softcap = 0;   // cap * tanh(x / cap) of scores and logits (gemma 2); 0 = none
    Experts experts;
    LatentAttention latent;
    Coarse coarse;
    double weight_density = 1;              // share of the elements of blocks' matrices that a sparse storage keeps
    [[nodiscard]] bool is_coarse() const { return !coarse.groups.empty(); }
    [[nodiscard]] bool is_sparse(std::int64_t layer) const {
        return experts.count > 0 && layer >= experts.first_dense && (layer + 1) % experts.every == 0;
    }
    [[nodiscard]] bool is_windowed(std::int64_t layer) const {
        return sliding_window > 0 && (full_attention_every == 0 || (layer + 1) % full_attention_every != 0);
    }
    [[nodiscard]] std::int64_t query_dim() const { return latent.kv_rank > 0 ? latent.plain_dim + latent.rotary_dim : head_dim; }
    [[nodiscard]] std::int64_t value_dim() const { return latent.kv_rank > 0 ? latent.value_dim : head_dim; }
};

enum class Initial : std::uint8_t { matrix, one, zero };

/// What a parameter is for; planners find parameters by (site, layer).
enum class Site : std::uint8_t {
    token_embedding, position_embedding,
    input_norm, input_norm_bias, qkv, qkv_bias, q, k, v, q_bias, k_bias, v_bias, output, output_bias,
    post_norm, post_norm_bias, up, up_bias, gate, gate_bias, down, down_bias,
    final_norm, final_norm_bias, head, head_bias,
    q_norm, k_norm, attention_norm_out, mlp_norm_out, gate_up,
    q_a, q_a_norm, q_b, kv_a, kv_a_norm, kv_b,
    router, expert_gate_up, expert_down, shared_gate, shared_up, shared_down, shared_router
};

struct Parameter {
    std::string name;                       // "h.0.attn.qkv.weight"
    Site site{};
    int layer = -1;
    std::int64_t rows = 0, columns = 0;     // vectors: rows = 1
    bool matrix = false;                    // two-dimensional: weight decay applies
    Initial initial = Initial::matrix;
    [[nodiscard]] std::int64_t elements() const { return rows * columns; }
};

/// All parameters; tied weights once. Index in this list = tensor number of `train.init`.
[[nodiscard]] std::vector<Parameter> parameters(const Model& model);
[[nodiscard]] std::int64_t parameter_count(const Model& model);
/// Of parameters that multiply one token: `per_token` of the experts.
[[nodiscard]] std::int64_t active_parameter_count(const Model& model);

/// Model FLOPs of one token, forward and backward, without recomputation: 6 * matmul parameters + 6 * layers * sequence * heads * head_dim
/// (causal half of 12; PaLM appendix B counts the full square). docs/metrics.md.
[[nodiscard]] double flops_per_token(const Model& model, std::int64_t sequence);

}  // namespace zerosim::model
