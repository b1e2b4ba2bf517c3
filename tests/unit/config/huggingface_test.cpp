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

TEST(HuggingFace, QwenOneStatesBothHalvesOfItsFeedForward) {
    // Qwen/Qwen-7B, shortened; its model card says 7,721,324,544 parameters.
    const Model m = import(R"({"model_type": "qwen", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 22016,
        "vocab_size": 151936, "seq_length": 8192, "layer_norm_epsilon": 1e-06, "tie_word_embeddings": false, "no_bias": true})").model;
    EXPECT_EQ(m.feed_forward, 11008);
    EXPECT_TRUE(m.fused_qkv && m.qkv_bias);
    EXPECT_EQ(m.positions, 8192);
    EXPECT_EQ(parameter_count(m), 7721324544);
    EXPECT_THAT(error_of(R"({"model_type": "qwen", "no_bias": false})"), HasSubstr("no_bias"));
}

TEST(HuggingFace, UnknownTypesGetTheNearest) {
    EXPECT_THAT(error_of(llama("lama")), AllOf(HasSubstr("'lama'"), HasSubstr("did you mean 'llama'")));
    EXPECT_THAT(error_of(llama("bert")), HasSubstr("gpt2, llama, mistral, qwen"));
    EXPECT_THAT(error_of(R"({"model_type": "llava", "text_config": {}})"), AllOf(HasSubstr("'llava'"), HasSubstr("text_config"), HasSubstr("groups of parameters")));
}

TEST(HuggingFace, DamagedFilesNameTheKey) {
    EXPECT_THAT(error_of("{"), HasSubstr("config.json:1: not a JSON file"));
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

TEST(HuggingFace, Qwen3HasHeadDimAndNormsOfQueriesAndKeys) {
    const Model m = import(llama("qwen3", R"("head_dim": 128)")).model;
    EXPECT_TRUE(m.query_key_norm);
    EXPECT_EQ(m.head_dim, 128);
    EXPECT_FALSE(m.qkv_bias);
    EXPECT_EQ(import(llama("qwen3")).model.head_dim, 128);   // Qwen3Config's default, not hidden / heads
    EXPECT_THAT(error_of(llama("qwen3", R"("attention_bias": true)")), HasSubstr("'attention_bias'"));
}

TEST(HuggingFace, GemmasWindowsAndCaps) {
    const auto gemma = [](const std::string& type, const std::string& more) {
        std::string text = llama(type, more);
        return import(text.replace(text.find("\"hidden_act\": \"silu\""), 20, "\"hidden_activation\": \"gelu_pytorch_tanh\"")).model;
    };
    const Model two = gemma("gemma2", R"("head_dim": 16, "sliding_window": 128)");
    EXPECT_TRUE(two.tied && two.output_norms && two.scaled_embedding);
    EXPECT_EQ(two.attention_softcap, 50);
    EXPECT_TRUE(two.is_windowed(0));
    EXPECT_FALSE(two.is_windowed(1));
    const Model three = gemma("gemma3_text", R"("head_dim": 16, "sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"])");
    EXPECT_TRUE(three.query_key_norm);
    EXPECT_EQ(three.full_attention_every, 2);
    EXPECT_EQ(three.final_softcap, 0);
    EXPECT_EQ(gemma("gemma2", R"("head_dim": 16, "attn_logit_softcapping": null)").attention_softcap, 0);
}

TEST(HuggingFace, MixedLayerTypesThatFollowNoPeriodAreRefused) {
    EXPECT_THAT(error_of(llama("mistral", R"("sliding_window": 64, "layer_types": ["full_attention", "sliding_attention"])")), HasSubstr("'layer_types' [1]"));
}

TEST(HuggingFace, ExpertsOfMixtralAndDeepseek) {
    const Model mixtral = import(llama("mixtral", R"("num_local_experts": 8, "num_experts_per_tok": 2)")).model;
    EXPECT_EQ(mixtral.experts.count, 8);
    EXPECT_EQ(mixtral.experts.feed_forward, 172);
    const Model deepseek = import(llama("deepseek_v3", R"("n_routed_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 32, "n_shared_experts": 2,
        "first_k_dense_replace": 1, "kv_lora_rank": 24, "q_lora_rank": 48, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12)")).model;
    EXPECT_FALSE(deepseek.is_sparse(0));
    EXPECT_TRUE(deepseek.is_sparse(1));
    EXPECT_EQ(deepseek.experts.shared, 64);
    EXPECT_EQ(deepseek.query_dim(), 24);
    EXPECT_THAT(error_of(llama("mixtral")), HasSubstr("number of experts"));
    EXPECT_THAT(error_of(llama("mixtral", R"("num_local_experts": 2, "num_experts_per_tok": 3)")), HasSubstr("'num_experts_per_tok' is 3 of 2"));
}

TEST(HuggingFace, PhiHasBiasesAndPartlyRotatedHeads) {
    std::string text = llama("phi", R"("partial_rotary_factor": 0.5)");
    const Model m = import(text.replace(text.find("silu"), 4, "gelu_new")).model;
    EXPECT_TRUE(m.parallel && m.qkv_bias && m.output_bias && m.mlp_bias && m.head_bias && !m.gated);
    EXPECT_EQ(m.rotary_fraction, 0.5);
    EXPECT_TRUE(import(llama("phi3")).model.fused_qkv);
}

class ModelFiles : public Folder {};

TEST_F(ModelFiles, CoarseModelsHaveGroupsAndRules) {
    const auto load = [&](const std::string& text) { return load_model(write("coarse.cfg", "[model]\nfamily = coarse\n" + text), shipped()).model; };
    const Model m = load("[group.a]\nparameters = 10 x 20\ntrainable = false\n[rule.r]\ngroup = a\nelements = 4 x 2.5\ncopies = 3\n");
    EXPECT_EQ(parameter_count(m), 200);
    ASSERT_EQ(m.coarse.rules.size(), 1u);
    EXPECT_EQ(m.coarse.rules[0].elements, 10);
    const auto error = [&](const std::string& text) { return config_error([&] { (void)load(text); }); };
    EXPECT_THAT(error("[group.a]\nparameter = 1\n"), AllOf(HasSubstr("coarse.cfg:4"), HasSubstr("'parameters'")));
    EXPECT_THAT(error("[group.a]\nparameters = 1\n[rule.r]\ngroup = b\n"), HasSubstr("'b'"));
    EXPECT_THAT(error("[rule.r]\ngroup = b\n"), HasSubstr("at least one [group.NAME]"));
    EXPECT_THAT(error("[group.a]\nparameters = many\n"), HasSubstr("coarse.cfg:4"));
    EXPECT_THAT(error("layers = 3\n"), HasSubstr("[group.NAME]"));
}

TEST_F(ModelFiles, InferenceAndTrainingKeepTheirOwnBatches) {
    const auto error = [&](std::vector<std::string> words) { return config_error([&] { (void)resolve_words(words, {}, Command::simulate); }); };
    EXPECT_THAT(error({"--inference.batch", "2"}), HasSubstr("concerns mode inference"));
    EXPECT_THAT(error({"--mode", "inference", "--train.micro-batch", "2"}), HasSubstr("inference.batch"));
    EXPECT_THAT(error({"--mode", "inference", "--inference.kv-precision", "fp16"}), HasSubstr("train.precision bf16-mixed"));
    const auto scenario = resolve_words({"--mode", "inference", "--inference.batch", "2", "--inference.prompt-tokens", "32"}, {}, Command::simulate).scenario;
    EXPECT_TRUE(scenario.inference.enabled);
    EXPECT_EQ(scenario.inference.batch, 2);
}

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
