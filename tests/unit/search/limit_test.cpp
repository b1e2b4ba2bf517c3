#include "search/limit.hpp"

#include <gtest/gtest.h>

namespace zerosim::search {
namespace {

TEST(Limit, FindsTheLastThatHoldsAndTheFirstThatDoesNot) {
    for (std::int64_t limit = 0; limit <= 40; ++limit) {
        const Found found = largest({1, 33, 1}, [&](std::int64_t v) { return v <= limit; });
        EXPECT_EQ(found.value, std::min<std::int64_t>(limit, 33));
        EXPECT_EQ(found.next, limit >= 33 ? 0 : limit + 1);
    }
}

TEST(Limit, FindsTheFirstThatHolds) {
    for (std::int64_t limit = 1; limit <= 40; ++limit) {
        const Found found = smallest({1, 33, 1}, [&](std::int64_t v) { return v >= limit; });
        EXPECT_EQ(found.value, limit > 33 ? 0 : limit);
        EXPECT_EQ(found.next, std::min<std::int64_t>(limit - 1, 33));
    }
}

TEST(Limit, TriesMultiplesOfTheStepOnly) {
    const Found found = largest({1, 1000, 64}, [](std::int64_t v) {
        EXPECT_EQ(v % 64, 0);
        return v < 500;
    });
    EXPECT_EQ(found.value, 448);
    EXPECT_EQ(found.next, 512);
}

TEST(Limit, AsksFewQuestions) {
    const Found found = largest({1, 1'000'000, 1}, [](std::int64_t v) { return v <= 777'777; });
    EXPECT_EQ(found.value, 777'777);
    EXPECT_LE(found.evaluations, 42);
}

TEST(Limit, AnEmptyRangeHasNone) {
    EXPECT_EQ(largest({10, 5, 1}, [](std::int64_t) { return true; }).value, 0);
    EXPECT_EQ(smallest({10, 5, 1}, [](std::int64_t) { return true; }).value, 0);
}

}  // namespace
}  // namespace zerosim::search
