#include "base/nearest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace zerosim {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
    EXPECT_EQ(edit_distance("", ""), 0u);
    EXPECT_EQ(edit_distance("abc", ""), 3u);
    EXPECT_EQ(edit_distance("stage", "stag"), 1u);
    EXPECT_EQ(edit_distance("stage", "stafe"), 1u);
    EXPECT_EQ(edit_distance("stage", "satge"), 1u);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Nearest, FindsTheClosestAndNothingWhenAllAreFar) {
    const std::vector<std::string> names{"gpt2-124m", "gpt2-350m", "llama2-7b"};
    EXPECT_THAT(nearest("gpt2-124", names), ElementsAre("gpt2-124m"));
    EXPECT_THAT(nearest("llama-7b", names), ElementsAre("llama2-7b"));
    EXPECT_THAT(nearest("mixtral", names), IsEmpty());
    EXPECT_THAT(nearest("x", std::vector<std::string>{}), IsEmpty());
}

TEST(Nearest, AKeyWithoutItsSectionMeansTheKey) {
    const std::vector<std::string> keys{"strategy.zero-stage", "train.steps"};
    EXPECT_THAT(nearest("zero-stage", keys), ElementsAre("strategy.zero-stage"));
    EXPECT_THAT(nearest("step", keys), ElementsAre("train.steps"));
}

TEST(Nearest, DidYouMeanIsEmptyWithoutACandidate) {
    const std::vector<std::string> names{"train"};
    EXPECT_EQ(did_you_mean("trian", names), "; did you mean 'train'?");
    EXPECT_EQ(did_you_mean("inference", names), "");
}

TEST(Nearest, AnAbbreviationMeansItsWhole) {
    const std::vector<std::string> names{"strategy.arena", "strategy.zero-stage", "train.steps"};
    EXPECT_THAT(nearest("strategy.zero", names), ElementsAre("strategy.zero-stage"));
}

TEST(Nearest, CapitalsAndUnderscoresAreNoMistakes) {
    const std::vector<std::string> names{"llama3.1-8b", "h100-sxm", "all-reduce"};
    EXPECT_THAT(nearest("Llama3.1-8B", names), ElementsAre("llama3.1-8b"));
    EXPECT_THAT(nearest("H100-SXM", names), ElementsAre("h100-sxm"));
    EXPECT_THAT(nearest("ALL_REDUCE", names), ElementsAre("all-reduce"));
}

TEST(Nearest, AWordOfANameMeansIt) {
    const std::vector<std::string> keys{"strategy.zero-stage", "strategy.arena", "train.steps"};
    EXPECT_THAT(nearest("stage", keys), ElementsAre("strategy.zero-stage"));
    EXPECT_THAT(nearest("strategy.stage", keys), ElementsAre("strategy.zero-stage")) << "of the section that is named";
    EXPECT_THAT(nearest("train.stage", keys), ElementsAre("train.steps"));
    EXPECT_THAT(nearest("age", keys), IsEmpty());
}

TEST(Nearest, AsManyMistakesAsLettersFindNothing) {
    const std::vector<std::string> names{"min", "jobs", "r2"};
    EXPECT_THAT(nearest("n", names), IsEmpty());
    EXPECT_THAT(nearest("", names), IsEmpty());
    EXPECT_THAT(nearest("r1", names), ElementsAre("r2"));
}

TEST(Nearest, AllThatAreEquallyNearAreNamedFourAtMost) {
    const std::vector<std::string> names{"h100-nvl", "h100-pcie", "h100-sxm", "l4-pcie"};
    EXPECT_EQ(did_you_mean("h100", names), "; did you mean 'h100-nvl', 'h100-pcie' or 'h100-sxm'?");
    const std::vector<std::string> many{"a1", "a2", "a3", "a4", "a5"};
    EXPECT_EQ(did_you_mean("a0", many), "; did you mean 'a1', 'a2', 'a3' or 'a4'?");
}

} // namespace
} // namespace zerosim
