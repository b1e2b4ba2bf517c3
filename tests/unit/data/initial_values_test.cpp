#include "data/initial_values.hpp"

#include "config/model_file.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <vector>

namespace zerosim::data {
namespace {

std::vector<float> values(Scheme scheme, std::uint64_t seed, std::uint64_t tensor, std::int64_t begin, std::int64_t count) {
    std::vector<float> out(static_cast<std::size_t>(count));
    initial_values(scheme, seed, tensor, Start::random, begin, count, out.data());
    return out;
}

TEST(HashWeights, AreThoseOfTheReferencesToTheBit) {
    for (const char* name : {"gpt-micro", "llama-micro"}) {
        std::ifstream stream(std::string(ZEROSIM_SOURCE_DIR "/tests/truth/training/") + name + ".json");
        const auto reference = nlohmann::json::parse(stream);
        const auto all = parameters(config::load_model(name, config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}}).model);
        std::size_t compared = 0;
        for (std::size_t tensor = 0; tensor < all.size(); ++tensor) {
            if (!reference.at("first_weights").contains(all[tensor].name)) continue;
            const std::vector<double> expected = reference.at("first_weights").at(all[tensor].name);
            std::vector<float> out(expected.size());
            initial_values(Scheme::hash, 0, tensor, static_cast<Start>(all[tensor].initial), 0,
                           static_cast<std::int64_t>(out.size()), out.data());
            for (std::size_t i = 0; i < out.size(); ++i)
                EXPECT_EQ(static_cast<double>(out[i]), expected[i]) << all[tensor].name << " " << i;
            compared += out.size();
        }
        EXPECT_GT(compared, 0u) << name;
    }
}

TEST(Weights, ARangeIsThatRangeOfTheWhole) {
    for (const Scheme scheme : {Scheme::hash, Scheme::normal}) {
        const auto whole = values(scheme, 7, 3, 0, 101);
        for (const auto& [begin, count] :
             {std::pair<std::int64_t, std::int64_t>{0, 1}, {1, 1}, {1, 2}, {33, 20}, {34, 21}, {100, 1}, {50, 0}}) {
            EXPECT_EQ(values(scheme, 7, 3, begin, count),
                      std::vector<float>(whole.begin() + begin, whole.begin() + begin + count))
                << begin;
        }
    }
}

TEST(NormalWeights, HaveMeanZeroDeviationTwoHundredthsAndNormalTails) {
    const std::int64_t count = 200001;
    const auto sample = values(Scheme::normal, 1, 5, 0, count);
    double sum = 0, squares = 0, fourth = 0;
    for (const float value : sample) {
        sum += value;
        squares += static_cast<double>(value) * value;
        fourth += std::pow(static_cast<double>(value), 4);
    }
    const double variance = squares / static_cast<double>(count);
    EXPECT_NEAR(sum / static_cast<double>(count), 0.0, 5 * 0.02 / std::sqrt(static_cast<double>(count)));
    EXPECT_NEAR(std::sqrt(variance), 0.02, 0.0002);
    EXPECT_NEAR(fourth / static_cast<double>(count) / (variance * variance), 3.0, 0.1); // kurtosis of a normal
}

TEST(NormalWeights, DependOnSeedAndTensor) {
    EXPECT_NE(values(Scheme::normal, 1, 0, 0, 4), values(Scheme::normal, 2, 0, 0, 4));
    EXPECT_NE(values(Scheme::normal, 1, 0, 0, 4), values(Scheme::normal, 1, 1, 0, 4));
}

TEST(Weights, NormsStartAtOneBiasesAtZero) {
    std::vector<float> out(3, -1.0f);
    initial_values(Scheme::normal, 0, 0, Start::one, 5, 3, out.data());
    EXPECT_EQ(out, (std::vector<float>{1, 1, 1}));
    initial_values(Scheme::hash, 0, 0, Start::zero, 5, 3, out.data());
    EXPECT_EQ(out, (std::vector<float>{0, 0, 0}));
}

} // namespace
} // namespace zerosim::data
