// The program under mpirun: one voice, one exit code.
#include "cli/subprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::testing {
namespace {

using ::testing::HasSubstr;

TEST(MpiUsage, ErrorIsPrintedOnceAndTheCodeIsOurs) {
    const auto outcome = mpirun_zerosim(2, {"run", "--strategy.zero-stag", "3"});
    EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
    EXPECT_FALSE(outcome.timed_out);
    const std::string all = outcome.output + outcome.errors;
    const std::string nearest = "strategy.zero-stage";
    const auto first = all.find(nearest);
    EXPECT_NE(first, std::string::npos) << all;
    EXPECT_EQ(all.find(nearest, first + 1), std::string::npos) << "said more than once:\n" << all;
}

TEST(MpiUsage, WorldSizeThatContradictsTheConfigIsRefused) {
    const auto outcome = mpirun_zerosim(2, {"run", "--model", "gpt-mini", "--ranks", "3"});
    EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
    EXPECT_THAT(outcome.errors + outcome.output, HasSubstr("ranks"));
}

}  // namespace
}  // namespace zerosim::testing
