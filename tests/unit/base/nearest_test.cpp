#include "base/nearest.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace zerosim {
namespace {

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
    EXPECT_EQ(nearest("gpt2-124", names), "gpt2-124m");
    EXPECT_EQ(nearest("llama-7b", names), "llama2-7b");
    EXPECT_EQ(nearest("mixtral", names), std::nullopt);
    EXPECT_EQ(nearest("x", std::vector<std::string>{}), std::nullopt);
}

TEST(Nearest, AKeyWithoutItsSectionMeansTheKey) {
    const std::vector<std::string> keys{"strategy.zero-stage", "train.steps"};
    EXPECT_EQ(nearest("zero-stage", keys), "strategy.zero-stage");
    EXPECT_EQ(nearest("step", keys), "train.steps");
}

TEST(Nearest, DidYouMeanIsEmptyWithoutACandidate) {
    const std::vector<std::string> names{"train"};
    EXPECT_EQ(did_you_mean("trian", names), "; did you mean 'train'?");
    EXPECT_EQ(did_you_mean("inference", names), "");
}

TEST(Nearest, AnAbbreviationMeansItsWhole) {
    const std::vector<std::string> names{"strategy.arena", "strategy.zero-stage", "train.steps"};
    EXPECT_EQ(nearest("strategy.zero", names), "strategy.zero-stage");
}

} // namespace
} // namespace zerosim
