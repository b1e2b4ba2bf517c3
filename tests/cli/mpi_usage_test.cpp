// The program under mpirun: one voice, one exit code.
#include "cli/subprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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

TEST(MpiUsage, ProcessesSayWhatTheirLinksTook) {
    const auto outcome = mpirun_zerosim(2, {"run", "--model", "gpt-micro", "--train.data", "chain", "--train.steps", "1", "--format", "json"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    const auto result = nlohmann::json::parse(outcome.output, nullptr, false);
    ASSERT_TRUE(result.is_object()) << outcome.describe();
    ASSERT_EQ(result.at("links").at("reference_seconds").size(), 2u);
    for (const auto& seconds : result["links"]["reference_seconds"]) EXPECT_GT(seconds.get<double>(), 0);
}

TEST(MpiUsage, ASimulationIsToldThatItsCopiesAreNoRanks) {
    const auto outcome = mpirun_zerosim(2, {"simulate", "--model", "gpt-mini"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    const std::string said = "mpirun started 2 processes";
    const auto first = outcome.errors.find(said);
    EXPECT_NE(first, std::string::npos) << outcome.describe();
    EXPECT_EQ(outcome.errors.find(said, first + 1), std::string::npos) << "said more than once:\n" << outcome.errors;
}

}  // namespace
}  // namespace zerosim::testing
