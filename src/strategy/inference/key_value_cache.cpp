#include "strategy/inference/key_value_cache.hpp"

#include "strategy/inference/cache_size.hpp"

#include <algorithm>

namespace zerosim::strategy {

using schedule::Role;
using torch::Value;

KeyValueCache::KeyValueCache(torch::Tape& tape, const Scenario& scenario)
    : tape_(tape), scenario_(scenario), layers_(static_cast<std::size_t>(scenario.model.layers)) {}

void KeyValueCache::allocate_pool(std::int64_t bytes) {
    pool_ = tape_.memory.allocate("kv_blocks", bytes, tape_.options.pool, Role::kv_cache);
    tape_.program.fill(tape_.options.stream, tape_.program.tensor("kv_blocks", pool_.storage(), DType::uint8, 1, bytes), 0);
}

/// A layer's keys or values of all sequences: `share` = its part of a token's elements, of cached_elements().
Value KeyValueCache::stored(const char* name, int layer, std::int64_t columns, std::int64_t share) {
    const std::int64_t rows = scenario_.inference.batch * cached_tokens(scenario_, layer, tokens_);
    if (scenario_.inference.precision == Inference::CachePrecision::compute)
        return tape_.make(name, rows, columns, compute_dtype(scenario_.training.precision), Role::kv_cache);
    return tape_.make(name, rows, cached_token_bytes(scenario_) * share / cached_elements(scenario_), DType::uint8, Role::kv_cache);
}

/// 8-bit keys as attention reads them: a 2-byte copy of one layer's.
Value KeyValueCache::widened(const Value& stored, const Value& like, std::int64_t columns) {
    if (stored.dtype == like.dtype) return stored;
    Value wide = tape_.make("dequantized_cache", stored.rows, columns, like.dtype);
    tape_.elementwise("dequantize", {stored.tensor}, wide);
    return wide;
}

/// torch.cat of what is cached and what is new: both are there until the old goes [DynamicLayer.update]. A prompt that is longer than a
/// window is read whole and stored in part.
void KeyValueCache::update_contiguous(int layer, Value& keys, Value& values) {
    Layer& cached = layers_[static_cast<std::size_t>(layer)];
    const auto append = [&](const char* name, Value& old, Value& fresh, std::int64_t share) {
        const std::int64_t rows = fresh.rows, columns = fresh.columns;
        Value all = stored(name, layer, columns, share);
        tape_.elementwise("cat", {old.tensor, fresh.tensor}, all, 0);
        old = std::move(all);
        if (old.rows >= rows) fresh = widened(old, fresh, columns);
    };
    const std::int64_t key_share = keys.columns, value_share = values.columns;
    append("cached_keys", cached.keys, keys, key_share);
    append("cached_values", cached.values, values, value_share);
}

/// New keys and values are written into their blocks; decoding reads the blocks where they are, 8-bit ones too.
void KeyValueCache::update_paged(int layer, Value& keys, Value& values) {
    const bool narrow = scenario_.inference.precision != Inference::CachePrecision::compute;
    const std::int64_t batch = scenario_.inference.batch, window = scenario_.model.sliding_window;
    const std::int64_t seen = scenario_.model.is_windowed(layer) ? std::min(tokens_, window) : tokens_;
    for (Value* value : {&keys, &values}) {
        if (!value->defined()) continue;
        const DType dtype = narrow ? DType::uint8 : value->dtype;
        Value slot = *value;
        slot.tensor = tape_.program.tensor("kv_slots", pool_.storage(), dtype, value->rows, value->columns);
        tape_.elementwise("reshape_and_cache", {value->tensor}, slot, 0);
        if (!decoding_) continue;   // a prefill reads its own
        value->rows = batch * seen;
        value->tensor = tape_.program.tensor("kv_blocks", pool_.storage(), dtype, value->rows, value->columns);
        value->buffer = pool_;
    }
}

void KeyValueCache::update(int layer, Value& keys, Value& values) {
    scenario_.inference.cache == Inference::Cache::paged ? update_paged(layer, keys, values) : update_contiguous(layer, keys, values);
}

/// The tokens between are not planned: the longer tensors take the place of the shorter. Copying them at every token fragments a real
/// allocator; it gives the free segments back when memory runs out, so that what fits is told by allocated bytes.
void KeyValueCache::grow(std::int64_t tokens) {
    if (scenario_.inference.cache == Inference::Cache::paged) return;
    tokens_ = tokens;
    std::vector<Layer> shorter = std::move(layers_);
    layers_.assign(shorter.size(), {});
    for (Layer& layer : shorter)
        for (Value* value : {&layer.keys, &layer.values}) value->buffer.reset();
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
        const std::int64_t rows = scenario_.inference.batch * cached_tokens(scenario_, static_cast<std::int64_t>(layer), tokens);
        const Layer& old = shorter[layer];
        layers_[layer] = {tape_.make("cached_keys", rows, old.keys.columns, old.keys.dtype, Role::kv_cache),
                          tape_.make("cached_values", rows, old.values.columns, old.values.dtype, Role::kv_cache)};
        for (const Value* value : {&layers_[layer].keys, &layers_[layer].values}) tape_.fill(*value, 0);   // what was generated meanwhile
    }
}

void KeyValueCache::drop() {
    for (Layer& layer : layers_) layer = {};
}

}  // namespace zerosim::strategy
