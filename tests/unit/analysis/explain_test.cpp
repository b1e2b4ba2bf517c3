#include "analysis/explain.hpp"
#include "analysis/size_formula.hpp"
#include "schedule/memory.hpp"
#include "strategy/plan.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

namespace zerosim::analysis {
namespace {

Symbols symbols() { return {{{"T", 8192}, {"V", 128256}, {"h", 2048}, {"f", 8192 * 4}}, 1'000'000, 8}; }

TEST(SizeFormula, NamesDimensionsBySymbols) {
    EXPECT_EQ(size_formula(8192, 128256, 4, symbols()).text, "T x V x 4 B");
    EXPECT_EQ(size_formula(8192, 3 * 2048, 2, symbols()).text, "T x 3h x 2 B");
    EXPECT_EQ(size_formula(1, 8192, 4, symbols()).text, "T x 4 B");
    EXPECT_EQ(size_formula(1, 2048LL * 128256, 4, symbols()).text, "V x h x 4 B");
}

TEST(SizeFormula, ASharedMatrixIsDividedByTheRanks) {
    EXPECT_EQ(size_formula(1, 2048LL * 128256 / 8, 4, symbols()).text, "V x h/N x 4 B");
}

TEST(SizeFormula, WhatNoSymbolExplainsStaysANumber) { EXPECT_EQ(size_formula(1, 12345, 1, symbols()).text, "12,345 x 1 B"); }

TEST(SizeFormula, StatesAreBytesOfAParameter) {
    EXPECT_EQ(state_formula(4'000'000, symbols()).text, "4 B x P");
    EXPECT_EQ(state_formula(501'000, symbols()).text, "4 B x P/N");
    EXPECT_EQ(state_formula(3'000'000, symbols()).text, "3 B x P");
}

TEST(Explain, HoldersAddUpToThePeak) {
    for (int stage = 0; stage <= 3; ++stage) {
        const strategy::Scenario scenario = test::scenario(test::tiny_gpt2(), stage, 4);
        const schedule::Schedule schedule = strategy::plan(scenario);
        const Explanation explanation = explain(schedule, 0, {{{"V", scenario.model.vocabulary}}, model::parameter_count(scenario.model), 4});
        EXPECT_EQ(explanation.peak_bytes, schedule::memory_profile(schedule, 0).peak);
        std::int64_t sum = explanation.other_bytes;
        for (const Holder& holder : explanation.holders) sum += holder.bytes;
        EXPECT_EQ(sum, explanation.peak_bytes) << "stage " << stage;
        EXPECT_LE(explanation.holders.size(), 10u);
        for (std::size_t i = 1; i < explanation.holders.size(); ++i) EXPECT_GE(explanation.holders[i - 1].bytes, explanation.holders[i].bytes);
    }
}

/// Symbols of tokens that match every size: only activations may be named by them.
TEST(Explain, BuffersOfParametersAndWorkspacesHaveNoTokensInTheirFormulas) {
    const strategy::Scenario scenario = test::scenario(test::tiny_gpt2(), 3, 4);
    const schedule::Schedule schedule = strategy::plan(scenario);
    Symbols symbols{{}, model::parameter_count(scenario.model), 4};
    for (std::int64_t size = 2; size <= 4096; ++size) symbols.dimensions.push_back({"T", size, true});
    bool activations = false;
    for (const Holder& holder : explain(schedule, 0, symbols).holders) {
        const bool tokens = holder.formula.find('T') != std::string::npos;
        activations = activations || tokens;
        if (holder.role == schedule::Role::workspace || holder.role == schedule::Role::gathered_parameter || holder.role == schedule::Role::bucket ||
            holder.role == schedule::Role::staging)
            EXPECT_FALSE(tokens) << holder.name << ": " << holder.formula;
    }
    EXPECT_TRUE(activations);
}

}  // namespace
}  // namespace zerosim::analysis
