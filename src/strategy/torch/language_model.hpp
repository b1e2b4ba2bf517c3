// A language model as modules of an implementation: parameters in module order, and the forward that builds autograd's graph.
// Built by the planners ddp and fsdp2, which hook the calls of blocks and own the parameters' storages.
// `torch`: plain modules with fused norms and SDPA; `huggingface`: transformers' GPT2, Llama, Mistral and Qwen2.
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

private:
    /// Cosines and sines of one call of a block.
    class RotaryScope {
    public:
        RotaryScope(LanguageModel& model, Value cosine, Value sine) : model_(model), cosine_(std::move(cosine)), sine_(std::move(sine)) { swap(); }
        RotaryScope(const RotaryScope&) = delete;
        RotaryScope& operator=(const RotaryScope&) = delete;
        ~RotaryScope() { swap(); }

    private:
        void swap() {
            std::swap(model_.cosine_, cosine_);
            std::swap(model_.sine_, sine_);
        }
        LanguageModel& model_;
        Value cosine_, sine_;
    };
    using Block = std::vector<Parameter*>;
    Parameter& declare(const std::string& name, int layer, std::int64_t rows, std::int64_t columns);
    void add_linear(const std::string& name, int layer, std::int64_t out, std::int64_t in, bool bias);
    void add_adapters(const std::string& name, int layer, std::int64_t out, std::int64_t in);
    void add_norm(const std::string& name, int layer);
    void build_torch_gpt(int layer);
    void build_torch_llama(int layer);
    void build_hf_gpt(int layer);
    void build_hf_llama(int layer);
    void number_parameters();

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
    void rotary_tables(DType dtype);
    [[nodiscard]] Value final_norm(const Value& x);
    [[nodiscard]] AttentionShape attention_shape(bool repeated) const;

    Tape& tape_;
    const Scenario& scenario_;
    const model::Model& model_;
    bool huggingface_ = false, gpt_ = false;
    std::int64_t batch_ = 0, sequence_ = 0;
    std::deque<Parameter> parameters_;
    std::vector<Block> blocks_;
    Block root_;
    Parameter *token_table_ = nullptr, *position_table_ = nullptr, *head_ = nullptr;
    Value rope_;                    // complex [positions, d/2]
    Values buffers_;
    Value cosine_, sine_;           // huggingface: of one forward
    Value input_embeddings_, position_embeddings_;   // huggingface: bound in the model's frame during forward
};

}  // namespace zerosim::strategy::torch
