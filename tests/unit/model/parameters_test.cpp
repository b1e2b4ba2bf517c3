#include "config/model_file.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>

namespace zerosim::model {
namespace {

Model preset(const std::string& name) {
    return config::load_model(name, config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}}).model;
}

// Published counts: what transformers' num_parameters() gives for the named checkpoints (model cards and papers round them).
const std::map<std::string, std::int64_t> kCounts{
    {"gpt2-124m", 124439808},      {"gpt2-350m", 354823168},        {"gpt2-774m", 774030080},     {"gpt2-1.5b", 1557611200},
    {"llama2-7b", 6738415616},     {"llama2-13b", 13015864320},     {"llama2-70b", 68976648192},  {"llama3.1-8b", 8030261248},
    {"llama3.1-70b", 70553706496}, {"llama3.1-405b", 405853388800}, {"llama3.2-1b", 1235814400},  {"llama3.2-3b", 3212749824},
    {"qwen2.5-0.5b", 494032768},   {"qwen2.5-1.5b", 1543714304},    {"qwen2.5-3b", 3085938688},   {"qwen2.5-7b", 7615616512},
    {"qwen2.5-14b", 14770033664},  {"qwen2.5-32b", 32763876352},    {"qwen2.5-72b", 72706203648},
    {"mistral-7b-v0.1", 7241732096}, {"mistral-7b-v0.3", 7248023552}, {"mistral-nemo-12b", 12247782400},
    {"qwen3-0.6b", 596049920},     {"qwen3-1.7b", 1720574976},      {"qwen3-4b", 4022468096},     {"qwen3-8b", 8190735360},
    {"qwen3-14b", 14768307200},    {"qwen3-32b", 32762123264},      {"qwen3-30b-a3b", 30532122624}, {"qwen3-235b-a22b", 235093634560},
    {"qwen1.5-moe-a2.7b", 14315784192},
    {"gemma-2b", 2506172416},      {"gemma-7b", 8537680896},        {"gemma2-2b", 2614341888},    {"gemma2-9b", 9241705984},
    {"gemma2-27b", 27227128320},   {"gemma3-1b", 999885952},
    {"phi-1.5", 1418270720},       {"phi-2", 2779683840},           {"phi3-mini", 3821079552},    {"phi-4", 14659507200},
    {"phi-4-mini", 3836021760},    {"mixtral-8x7b", 46702792704},   {"mixtral-8x22b", 140620634112},
    {"deepseek-v2-lite", 15706484224}, {"deepseek-v2", 235741434880}, {"deepseek-v3", 671026404352},
};

// Model cards: Mixtral 8x7B uses 12.9B of 46.7B for a token, Qwen3-30B-A3B 3.3B, DeepSeek-V2 21B, DeepSeek-V3 37B.
TEST(ParameterCount, ActiveOnesAreTheModelCards) {
    const std::map<std::string, double> billions{{"mixtral-8x7b", 12.9}, {"qwen3-30b-a3b", 3.3}, {"deepseek-v2", 21}, {"deepseek-v3", 37}};
    for (const auto& [name, active] : billions)
        EXPECT_NEAR(static_cast<double>(active_parameter_count(preset(name))) / 1e9, active, 0.6) << name;
}

TEST(ParameterCount, IsThePublishedOne) {
    for (const auto& [name, count] : kCounts) EXPECT_EQ(parameter_count(preset(name)), count) << name;
}

TEST(ParameterCount, EveryShippedPresetLoads) {
    const config::SearchPaths paths{{ZEROSIM_SOURCE_DIR "/configs"}};
    const auto names = paths.names("models");
    EXPECT_GE(names.size(), kCounts.size() + 6);
    for (const std::string& name : names) EXPECT_GT(parameter_count(preset(name)), 0) << name;
}

TEST(Parameters, NamesAndCountsOfTheReferenceTrajectories) {
    const std::map<std::string, std::string> models{
        {"gpt-micro", "gpt-micro"}, {"gpt-micro-noclip", "gpt-micro"}, {"llama-micro", "llama-micro"}};
    for (const auto& [file, name] : models) {
        std::ifstream stream(ZEROSIM_SOURCE_DIR "/tests/truth/training/" + file + ".json");
        const auto reference = nlohmann::json::parse(stream);
        const Model model = preset(name);
        EXPECT_EQ(parameter_count(model), reference.at("n_params").get<std::int64_t>()) << file;
        std::map<std::string, double> norms = reference.at("final_param_norm");
        for (const Parameter& p : parameters(model)) EXPECT_EQ(norms.erase(p.name), 1u) << p.name;
        EXPECT_TRUE(norms.empty()) << norms.begin()->first;
    }
}

TEST(Parameters, Gpt2OrderShapesAndStarts) {
    const auto all = parameters(preset("gpt-micro"));
    ASSERT_EQ(all.size(), 2u + 2 * 12 + 2);
    EXPECT_EQ(all[0].name, "wte.weight");
    EXPECT_EQ(all[1].name, "wpe.weight");
    EXPECT_EQ(all[4].name, "h.0.attn.qkv.weight");
    EXPECT_EQ(all[4].rows, 192);
    EXPECT_EQ(all[4].columns, 64);
    EXPECT_EQ(all[14].name, "h.1.ln_1.weight");
    EXPECT_EQ(all[14].initial, Initial::one);
    EXPECT_FALSE(all[14].matrix);
    EXPECT_EQ(all[15].initial, Initial::zero);
    EXPECT_EQ(all.back().name, "ln_f.bias");
}

TEST(Parameters, Qwen2BiasesFollowTheirWeights) {
    const auto all = parameters(preset("qwen2.5-0.5b"));
    std::vector<std::string> first;
    for (std::size_t i = 1; i <= 12; ++i) first.push_back(all[i].name.substr(std::string("layers.0.").size()));
    EXPECT_EQ(first,
              (std::vector<std::string>{"input_norm.weight", "q.weight", "q.bias", "k.weight", "k.bias", "v.weight", "v.bias",
                                        "o.weight", "post_norm.weight", "gate.weight", "up.weight", "down.weight"}));
    EXPECT_EQ(all[5].columns, 2 * 64);
    EXPECT_EQ(all.back().name, "norm.weight");
}

TEST(Flops, SixPerMatrixParameterAndHalfTheSquareOfAttention) {
    const Model m = preset("gpt2-124m");
    const double matrices = 12.0 * (12.0 * 768 * 768) + 50257.0 * 768;
    EXPECT_DOUBLE_EQ(flops_per_token(m, 1024), 6 * matrices + 6.0 * 12 * 1024 * 768);
}

TEST(Flops, PaddingIsNotUsefulWorkAndAWindowLimitsAttention) {
    Model m = preset("gpt2-124m");
    const double plain = flops_per_token(m, 1024);
    m.vocabulary = 50304;
    EXPECT_DOUBLE_EQ(flops_per_token(m, 1024), plain);
    m.sliding_window = 1024;
    EXPECT_DOUBLE_EQ(flops_per_token(m, 1024), plain);
    m.sliding_window = 512; // keys: (512*512/2 + 512*512) / 1024 = 384 instead of 512
    EXPECT_DOUBLE_EQ(plain - flops_per_token(m, 1024), 12.0 * 12 * 768 * (512 - 384));
}

} // namespace
} // namespace zerosim::model
