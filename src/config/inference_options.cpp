// The option table's section on inference.
#include "config/inference_options.hpp"

#include "config/option_rows.hpp"

namespace zerosim::config {

void inference_options(Table& t) {
    t.group("Inference", kScenario);
    t.integer("inference.batch", "1", 1, 1e7, "sequences served at once");
    t.integer("inference.prompt-tokens", "1024", 1, 1e8, "tokens of each prompt, prefilled at once");
    t.integer("inference.new-tokens", "128", 1, 1e8, "tokens that each sequence generates");
    t.choice("inference.cache", {"contiguous", "paged"}, {}, "keys and values: one growing tensor a layer (transformers) or blocks of a pool (vLLM)");
    t.choice("inference.kv-precision", {"compute", "bf16", "fp16", "fp8", "int8"}, {}, "of cached keys and values; compute: as train.precision says");
    t.integer("inference.block-size", "16", 1, 4096, "tokens of a block (paged)");
    t.real("inference.memory-utilization", "0.9", 0.01, 1, "share of the device that a paged server takes");
}

namespace {

using strategy::Inference;

Inference::CachePrecision precision_of(const Values& values) {
    const std::string& text = values.text("inference.kv-precision");
    if (text == "fp8") return Inference::CachePrecision::fp8;
    if (text == "int8") return Inference::CachePrecision::int8;
    const std::string& compute = values.text("train.precision");
    if (text != "compute" && !compute.starts_with(text))
        values.refuse("inference.kv-precision", "is a precision of 16 bits other than train.precision " + compute + "'s; compute, fp8 and int8 are known");
    return Inference::CachePrecision::compute;
}

}  // namespace

void check_mode(const Values& values) {
    const bool inference = values.text("mode") == "inference";
    for (const Value& value : values.all())
        if (!inference && value.key.starts_with("inference.") && values.given(value.key)) values.refuse(value.key, "concerns mode inference");
    for (const char* key : {"train.micro-batch", "train.sequence-length", "train.gradient-accumulation", "train.global-batch"})
        if (inference && values.given(key)) values.refuse(key, "concerns mode train; inference.batch and inference.prompt-tokens are what is served");
}

Inference inference_of(const Values& values) {
    Inference i;
    i.enabled = values.text("mode") == "inference";
    i.batch = values.integer("inference.batch");
    i.prompt_tokens = values.integer("inference.prompt-tokens");
    i.new_tokens = values.integer("inference.new-tokens");
    i.cache = values.text("inference.cache") == "paged" ? Inference::Cache::paged : Inference::Cache::contiguous;
    i.precision = precision_of(values);
    i.block_size = values.integer("inference.block-size");
    i.memory_utilization = values.real("inference.memory-utilization");
    return i;
}

}  // namespace zerosim::config
