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
};

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
