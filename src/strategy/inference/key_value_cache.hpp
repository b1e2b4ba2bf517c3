// The cache of keys and values as storages of the program: one tensor pair a layer that grows by copying (transformers' DynamicCache), or
// a pool of blocks that is there from the start (vLLM).
// Used by the planner of inference, which hooks it into the model's attention.
// Does not know prompts: it is told how many tokens each sequence has.
#pragma once

#include "strategy/torch/language_model.hpp"

namespace zerosim::strategy {

class KeyValueCache {
public:
    KeyValueCache(torch::Tape& tape, const Scenario& scenario);

    /// Paged: the pool, at init.
    void allocate_pool(std::int64_t bytes);
    /// From here on every sequence has `tokens`, the queries' own included; decoding, attention reads all of them.
    void begin(std::int64_t tokens, bool decoding) {
        tokens_ = tokens;
        decoding_ = decoding;
    }
    /// Contiguous: sequences have grown to `tokens` meanwhile.
    void grow(std::int64_t tokens);
    /// Contiguous: the batch is done.
    void drop();
    /// Stores the queries' keys and values; decoding, all that are cached come out.
    void update(int layer, torch::Value& keys, torch::Value& values);

private:
    struct Layer {
        torch::Value keys, values;
    };
    void update_contiguous(int layer, torch::Value& keys, torch::Value& values);
    void update_paged(int layer, torch::Value& keys, torch::Value& values);
    [[nodiscard]] torch::Value stored(const char* name, int layer, std::int64_t columns, std::int64_t share);
    [[nodiscard]] torch::Value widened(const torch::Value& stored, const torch::Value& like, std::int64_t columns);

    torch::Tape& tape_;
    const Scenario& scenario_;
    std::int64_t tokens_ = 0;
    bool decoding_ = false;
    std::vector<Layer> layers_;
    torch::Buffer pool_;
};

}  // namespace zerosim::strategy
