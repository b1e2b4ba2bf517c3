// A transformer's shape and its parameters, in the order of tests/truth/training/README.md.
// Built by config/ from presets and Hugging Face files; read by strategy/ and analysis/.
// Knows no schedule and no ranks; implementations (torch, huggingface, megatron) differ in what they keep, not here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::model {

enum class Family : std::uint8_t { gpt2, llama };
enum class Implementation : std::uint8_t { torch, huggingface, megatron };

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
};

enum class Initial : std::uint8_t { matrix, one, zero };

/// What a parameter is for; planners find parameters by (site, layer).
enum class Site : std::uint8_t {
    token_embedding, position_embedding,
    input_norm, input_norm_bias, qkv, qkv_bias, q, k, v, q_bias, k_bias, v_bias, output, output_bias,
    post_norm, post_norm_bias, up, up_bias, gate, gate_bias, down, down_bias,
    final_norm, final_norm_bias, head
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

/// Model FLOPs of one token, forward and backward, without recomputation: 6 * matmul parameters + 6 * layers * sequence * heads * head_dim
/// (causal half of 12; PaLM appendix B counts the full square). docs/metrics.md.
[[nodiscard]] double flops_per_token(const Model& model, std::int64_t sequence);

}  // namespace zerosim::model
