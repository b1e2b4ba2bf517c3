// Hugging Face config.json files of each family, and files that are damaged or ask for what is not built.
#include "fixture.hpp"

#include "config/model_file.hpp"

#include <gmock/gmock.h>

namespace zerosim::config {
namespace {

using model::Family;
using model::Model;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

LoadedModel import(const std::string& text) { return import_huggingface(text, "m", "config.json"); }
std::string error_of(const std::string& text) {
    return config_error([&] { (void)import(text); });
}

// openai-community/gpt2, shortened.
const char* const kGpt2 =
    R"({"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 1024, "n_ctx": 1024,
    "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "n_inner": null, "resid_pdrop": 0.1, "embd_pdrop": 0.0, "attn_pdrop": 0.0})";

std::string llama(const std::string& type, const std::string& more = "") {
    return R"({"model_type": ")" + type +
           R"(", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 172, "vocab_size": 1000, "max_position_embeddings": 512, "hidden_act": "silu")" +
           (more.empty() ? "" : ", " + more) + "}";
}

TEST(HuggingFace, Gpt2) {
    const LoadedModel loaded = import(kGpt2);
    const Model& m = loaded.model;
    EXPECT_EQ(m.family, Family::gpt2);
    EXPECT_EQ(parameter_count(m), 124439808);
    EXPECT_EQ(m.feed_forward, 3072);
    EXPECT_TRUE(m.tied);
    EXPECT_THAT(loaded.notes, ElementsAre(AllOf(HasSubstr("resid_pdrop 0.1"), HasSubstr("train.dropout"))));
}

TEST(HuggingFace, Gpt2WithTheOtherNameOfTheTanhFormButNoOtherActivation) {
    const std::string text = kGpt2;
    const auto with = [&](const std::string& activation) {
        return std::string(text).replace(text.find("gelu_new"), 8, activation);
    };
    EXPECT_EQ(parameter_count(import(with("gelu_pytorch_tanh")).model), 124439808);
    EXPECT_THAT(error_of(with("relu")), AllOf(HasSubstr("'relu'"), HasSubstr("gelu_new")));
}

TEST(HuggingFace, LlamaDefaults) {
    const Model m = import(llama("llama")).model;
    EXPECT_EQ(m.family, Family::llama);
    EXPECT_FALSE(m.tied);
    EXPECT_EQ(m.head_dim, 16);
    EXPECT_EQ(m.kv_heads, 2);
    EXPECT_EQ(m.norm_epsilon, 1e-6);
    EXPECT_EQ(m.rotary_base, 10000.0);
    EXPECT_FALSE(m.qkv_bias || m.output_bias || m.mlp_bias);
}

TEST(HuggingFace, LlamaBiasesHeadDimAndRotary) {
    const LoadedModel loaded = import(
        llama("llama", R"("attention_bias": true, "mlp_bias": true, "head_dim": 32, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "rope_scaling": {"rope_type": "llama3", "factor": 8.0})"));
    const Model& m = loaded.model;
    EXPECT_TRUE(m.qkv_bias && m.output_bias && m.mlp_bias && m.tied);
    EXPECT_EQ(m.head_dim, 32);
    EXPECT_EQ(m.rotary_base, 500000.0);
    EXPECT_EQ(m.norm_epsilon, 1e-5);
    EXPECT_THAT(loaded.notes, ElementsAre(HasSubstr("llama3")));
    const std::int64_t layer =
        2 * 64 + (128 * 64 + 128) + 2 * (64 * 64 + 64) + (64 * 128 + 64) + 2 * (172 * 64 + 172) + (64 * 172 + 64);
    EXPECT_EQ(parameter_count(m), 2 * layer + 1000 * 64 + 64);
}

TEST(HuggingFace, RopeParametersOfTransformers5) {
    const LoadedModel loaded = import(llama("llama", R"("rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0})"));
    EXPECT_EQ(loaded.model.rotary_base, 1000000.0);
    EXPECT_THAT(loaded.notes, IsEmpty());
}

TEST(HuggingFace, MistralHasAWindowAndNoBiases) {
    const Model m = import(llama("mistral", R"("sliding_window": 256, "attention_bias": true)")).model;
    EXPECT_EQ(m.sliding_window, 256);
    EXPECT_FALSE(m.qkv_bias);
    EXPECT_EQ(import(llama("mistral", R"("sliding_window": null)")).model.sliding_window, 0);
}

TEST(HuggingFace, Qwen2HasBiasesOnQkvWhateverAttentionBiasSays) {
    const Model m =
        import(llama("qwen2", R"("attention_bias": false, "use_sliding_window": false, "sliding_window": 128)")).model;
    EXPECT_TRUE(m.qkv_bias);
    EXPECT_FALSE(m.output_bias || m.mlp_bias);
    EXPECT_EQ(m.sliding_window, 0);
    EXPECT_EQ(import(llama("qwen2", R"("use_sliding_window": true, "sliding_window": 128)")).model.sliding_window, 128);
}

TEST(HuggingFace, UnknownTypesGetTheNearest) {
    EXPECT_THAT(error_of(llama("qwen")), AllOf(HasSubstr("'qwen'"), HasSubstr("did you mean 'qwen2'")));
    EXPECT_THAT(error_of(llama("mixtral")), HasSubstr("gpt2, llama, mistral, qwen2"));
}

TEST(HuggingFace, DamagedFilesNameTheKey) {
    EXPECT_THAT(error_of("{"), HasSubstr("config.json: not a JSON object"));
    EXPECT_THAT(error_of("[]"), HasSubstr("not a JSON object"));
    EXPECT_THAT(error_of(R"({"model_type": "llama"})"), HasSubstr("'num_hidden_layers' is missing"));
    EXPECT_THAT(error_of(llama("llama", R"("head_dim": "big")")), HasSubstr("'head_dim' is \"big\""));
    EXPECT_THAT(error_of(llama("llama", R"("head_dim": -4)")), HasSubstr("'head_dim'"));
    EXPECT_THAT(error_of(llama("llama", R"("head_dim": 1e300)")), HasSubstr("'head_dim'"));
    EXPECT_THAT(error_of(llama("llama", R"("tie_word_embeddings": "no")")), HasSubstr("tie_word_embeddings"));
    EXPECT_THAT(error_of(llama("llama", R"("rope_scaling": 3)")), HasSubstr("rope_scaling"));
    EXPECT_THAT(error_of(R"({"model_type": 7})"), HasSubstr("'model_type'"));
}

TEST(HuggingFace, WhatIsNotComputedIsRefused) {
    EXPECT_THAT(error_of(llama("llama", R"("quantization_config": {"load_in_4bit": true})")), HasSubstr("quantization_config"));
    EXPECT_THAT(error_of(llama("llama", R"("partial_rotary_factor": 0.5)")), HasSubstr("partial_rotary_factor"));
    std::string gelu = llama("llama");
    gelu.replace(gelu.find("silu"), 4, "gelu");
    EXPECT_THAT(error_of(gelu), HasSubstr("'gelu'"));
}

class ModelFiles : public Folder {};

TEST_F(ModelFiles, PathsOfFilesAndFoldersAndPresets) {
    const std::string json = write("my-model/config.json", llama("llama"));
    EXPECT_EQ(load_model(json, shipped()).model.name, "my-model");
    EXPECT_EQ(load_model((folder_ / "my-model").string(), shipped()).model.layers, 2);
    const std::string preset =
        write("own.cfg", "[model]\nfamily = gpt2\nlayers = 1\nhidden = 8\nheads = 2\nvocabulary = 10\npositions = 4\n");
    EXPECT_EQ(load_model(preset, shipped()).model.feed_forward, 32);
    EXPECT_EQ(load_model(preset, shipped()).origin, preset);
    EXPECT_EQ(load_model("gpt-mini", shipped()).origin, "preset gpt-mini");
}

TEST_F(ModelFiles, MistakesInPresetsNameTheLine) {
    const auto error = [&](const std::string& text) {
        return config_error([&] { (void)load_model(write("bad.cfg", text), shipped()); });
    };
    EXPECT_THAT(error("[model]\nfamily = gpt2\nlayer = 2\n"), AllOf(HasSubstr("bad.cfg:3"), HasSubstr("'model.layers'")));
    EXPECT_THAT(error("[model]\nlayers = x\n"), HasSubstr("bad.cfg:2"));
    EXPECT_THAT(error("[model]\nlayers = -2\n"), HasSubstr("bad.cfg:2"));
    EXPECT_THAT(error("[model]\nfamily = bert\n"), HasSubstr("'bert'"));
    EXPECT_THAT(error("[model]\nfamily = gpt2\nlayers = 1\nhidden = 9\nheads = 2\nvocabulary = 10\npositions = 4\n"),
                HasSubstr("9 hidden features do not divide into 2 heads"));
    EXPECT_THAT(config_error([&] { (void)load_model((folder_ / "none.json").string(), shipped()); }), HasSubstr("none.json"));
}

TEST_F(ModelFiles, ASequenceBeyondTheWindowIsRefused) {
    const std::string path = write("config.json", llama("mistral", R"("sliding_window": 256)"));
    EXPECT_EQ(resolve_words({"--model", path, "--train.sequence-length", "256"}).scenario.training.sequence_length, 256);
    EXPECT_THAT(config_error([&] {
                    (void)resolve_words({"--model", path});
                }),
                AllOf(HasSubstr("'512'"), HasSubstr("256 tokens"), HasSubstr("not implemented yet")));
}

} // namespace
} // namespace zerosim::config
