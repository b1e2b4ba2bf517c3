// A language model as modules of an implementation: parameters in module order, and the forward that builds autograd's graph.
// Built by the planners ddp and fsdp2, which hook the calls of blocks and own the parameters' storages.
// `torch`: plain modules with fused norms and SDPA; `huggingface`: transformers' GPT2 and Llama, and the families that
// extend them (decoder.cpp).
#pragma once

#include "strategy/scenario.hpp"
#include "strategy/torch/operations.hpp"

#include <deque>
#include <functional>
#include <utility>
#include <vector>

namespace zerosim::strategy::torch {

/// What wraps the call of a block: FSDP's hooks.
struct BlockHooks {
    std::function<Value(int layer, Value input)> before = [](int, Value x) { return x; };
    std::function<void(int layer, const Value& output)> after = [](int, const Value&) {};
};

class LanguageModel {
public:
    LanguageModel(Tape& tape, const Scenario& scenario);

    /// In the order of `model.parameters()`; tied weights once.
    [[nodiscard]] std::deque<Parameter>& parameters() { return parameters_; }
    /// Of one block, and of everything outside of blocks.
    [[nodiscard]] const std::vector<Parameter*>& block(int layer) const { return blocks_[static_cast<std::size_t>(layer)]; }
    [[nodiscard]] const std::vector<Parameter*>& root() const { return root_; }
    [[nodiscard]] int layers() const { return static_cast<int>(blocks_.size()); }

    /// Rotary tables and other buffers; called at init, after the parameters.
    void make_buffers();
    /// Logits of one micro-batch.
    [[nodiscard]] Value forward(const Value& ids, const BlockHooks& hooks);
    /// What the head is applied to: the output of the last norm.
    [[nodiscard]] Value hidden(const Value& ids, const BlockHooks& hooks);
    [[nodiscard]] Parameter& head() { return *head_; }
    [[nodiscard]] Parameter* head_bias() { return head_bias_; }
    /// The head's output, soft-capped where the model does.
    [[nodiscard]] Value logits(Value hidden);

    /// Inference: queries of one call, and how many keys of each sequence are cached with them (0 = the queries' own, causal).
    void set_queries(std::int64_t batch, std::int64_t sequence, std::int64_t keys) {
        batch_ = batch;
        sequence_ = sequence;
        keys_ = keys;
    }
    /// Inference: keys and values of a layer go into the cache; what attention reads comes out.
    std::function<void(int layer, Value& keys, Value& values)> cache;
    bool flash_windows = false;     // attention kernels that know windows and latent values (vLLM's): no masks

private:
    /// Cosines, sines and masks of one call of a block.
    class RotaryScope {
    public:
        RotaryScope(LanguageModel& model, Value cosine, Value sine, Values masks)
            : model_(model), cosine_(std::move(cosine)), sine_(std::move(sine)), masks_(std::move(masks)) {
            swap();
        }
        RotaryScope(const RotaryScope&) = delete;
        RotaryScope& operator=(const RotaryScope&) = delete;
        ~RotaryScope() { swap(); }

    private:
        void swap() {
            std::swap(model_.cosine_, cosine_);
            std::swap(model_.sine_, sine_);
            std::swap(model_.causal_mask_, masks_.at(0));
            std::swap(model_.window_mask_, masks_.at(1));
        }
        LanguageModel& model_;
        Value cosine_, sine_;
        Values masks_;
    };
    using Block = std::vector<Parameter*>;
    Parameter& declare(const std::string& name, int layer, std::int64_t rows, std::int64_t columns);
    void add_linear(const std::string& name, int layer, std::int64_t out, std::int64_t in, bool bias);
    void add_adapters(Parameter& weight, std::int64_t out, std::int64_t in);
    Parameter& trained(const std::string& name, int layer, std::int64_t rows, std::int64_t columns);
    void train_embeddings();
    void add_norm(const std::string& name, int layer);
    void build_torch_gpt(int layer);
    void build_torch_llama(int layer);
    void build_hf_gpt(int layer);
    void build_hf_llama(int layer);
    void build_decoder(int layer);
    void build_decoder_attention(int layer);
    void build_feed_forward(int layer);
    void build_experts(int layer);
    void number_parameters();
    [[nodiscard]] LayoutId layout_of(const Parameter& parameter, std::string_view name, bool decays);

    /// Parameter `name` of a block; null if it has none.
    [[nodiscard]] Parameter* find(int layer, std::string_view name);
    [[nodiscard]] Value call_linear(int layer, const char* name, const Value& x);
    [[nodiscard]] Value call_norm(int layer, const char* name, const Value& x);
    [[nodiscard]] Value embed(const Value& ids);
    [[nodiscard]] Value run_block(int layer, const Value& x);
    [[nodiscard]] Value torch_gpt(int layer, const Value& x);
    [[nodiscard]] Value torch_llama(int layer, const Value& x);
    [[nodiscard]] Value torch_llama_attention(int layer, Value x);
    [[nodiscard]] Value hf_gpt(int layer, const Value& x);
    [[nodiscard]] Value hf_llama(int layer, const Value& x);
    [[nodiscard]] Value hf_llama_attention(int layer, const Value& x);
    [[nodiscard]] Value hf_norm(Parameter& weight, const Value& x);
    [[nodiscard]] Value hf_rotary(const Value& x);
    [[nodiscard]] Value gelu_new(const Value& x);
    // Families beyond gpt2 and llama (decoder.cpp, decoder_attention.cpp).
    [[nodiscard]] Value decoder(int layer, const Value& x);
    [[nodiscard]] Value parallel_block(int layer, const Value& x);
    [[nodiscard]] Value decoder_attention(int layer, const Value& x);
    [[nodiscard]] Value latent_attention(int layer, const Value& x);
    [[nodiscard]] Value absorbed_attention(int layer, const Value& query, Value latent);
    [[nodiscard]] Value feed_forward(int layer, const Value& x);
    [[nodiscard]] Value gated(int layer, const char* gate, const char* up, const char* down, const Value& x);
    [[nodiscard]] Value expert_layer(int layer, const Value& x);
    [[nodiscard]] Value gemma_norm(Parameter& weight, const Value& x);
    [[nodiscard]] Value head_norm(int layer, const char* name, const Value& x);
    [[nodiscard]] Value activation(const Value& x);
    [[nodiscard]] Value rotate(const Value& x);
    [[nodiscard]] Value rotate_part(const Value& x);
    [[nodiscard]] std::int64_t rotary_dim() const;
    // All families.
    [[nodiscard]] Value attend(int layer, const Value& q, const Value& k, const Value& v, AttentionShape shape);
    [[nodiscard]] Value dropped(const Value& x);
    [[nodiscard]] bool needs_window(int layer, std::int64_t keys) const;
    void make_masks(DType dtype);
    void rotary_tables(DType dtype);
    [[nodiscard]] Value final_norm(const Value& x);
    [[nodiscard]] AttentionShape attention_shape(bool repeated) const;

    Tape& tape_;
    const Scenario& scenario_;
    const model::Model& model_;
    bool huggingface_ = false, gpt_ = false, decoder_ = false;
    std::int64_t batch_ = 0, sequence_ = 0, keys_ = 0;
    std::deque<Parameter> parameters_;
    std::vector<Block> blocks_;
    Block root_;
    Parameter *token_table_ = nullptr, *position_table_ = nullptr, *head_ = nullptr, *head_bias_ = nullptr;
    Value rope_;                    // complex [positions, d/2]
    Values buffers_;
    Value cosine_, sine_;           // huggingface: of one forward
    Value causal_mask_, window_mask_;
    Value input_embeddings_, position_embeddings_;   // huggingface: bound in the model's frame during forward
};

}  // namespace zerosim::strategy::torch
