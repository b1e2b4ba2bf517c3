// `doctor` under mpirun: one voice that tells of every rank.
#include "cli/subprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::testing {
namespace {

using ::testing::HasSubstr;

std::size_t count(const std::string& text, const std::string& word) {
    std::size_t times = 0;
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++times;
    return times;
}

TEST(MpiDoctor, TellsWhereEveryRankRuns) {
    const auto outcome = mpirun_zerosim(3, {"doctor"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.describe();
    for (const char* rank : {"rank 0  ", "rank 1  ", "rank 2  "}) EXPECT_EQ(count(outcome.output, rank), 1u) << rank << "\n" << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("cores "));
    EXPECT_EQ(count(outcome.output, "compiler "), 1u) << outcome.output;
}

TEST(MpiDoctor, AMistakeIsSaidOnce) {
    const auto outcome = mpirun_zerosim(2, {"doctor", "--cluster", "h100-sxn"});
    EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
    EXPECT_EQ(count(outcome.errors, "unknown cluster"), 1u) << outcome.errors;
}

}  // namespace
}  // namespace zerosim::testing
