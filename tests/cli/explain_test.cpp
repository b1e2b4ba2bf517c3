// `simulate --explain`, `--estimators`, `--max` and `--min` as a user calls them.
#include "cli/subprocess.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::vector<std::string> simulate(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"simulate", "--model", "gpt2-124m", "--cluster", "a100-sxm-40gb", "--ranks", "8", "--format", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}
json object_of(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    return json::parse(outcome.output, nullptr, false);
}

TEST(Explain, SavingsAreWhatTheChangedScenarioShows) {
    const std::vector<std::string> asked{"--strategy.system", "fsdp2", "--strategy.zero-stage", "3", "--train.micro-batch", "8"};
    std::vector<std::string> explained = asked;
    explained.insert(explained.end(), {"--explain", "--estimators"});
    const json before = object_of(run_zerosim(simulate(explained)));
    const json& alternatives = before["explanation"]["alternatives"];
    ASSERT_FALSE(alternatives.empty());
    for (const json& alternative : alternatives) {
        std::vector<std::string> changed = asked;
        const std::string key = "--" + alternative["key"].get<std::string>();
        const auto given = std::find(changed.begin(), changed.end(), key);
        if (given == changed.end()) changed.insert(changed.end(), {key, alternative["value"].get<std::string>()});
        else *(given + 1) = alternative["value"].get<std::string>();
        const json after = object_of(run_zerosim(simulate(changed)));
        EXPECT_EQ(after["memory"]["peak_allocated_bytes"], alternative["peak_allocated_bytes"]) << alternative;
        EXPECT_EQ(before["memory"]["peak_allocated_bytes"].get<std::int64_t>() - alternative["saves_bytes"].get<std::int64_t>(), alternative["peak_allocated_bytes"]);
    }
    EXPECT_THAT(before["explanation"]["remarks"].dump(), HasSubstr("vocabulary 50,257 is not a multiple of 64"));
    EXPECT_EQ(before["estimators"].size(), 2u);
}

TEST(Limit, TheLargestMicroBatchFitsAndTheNextDoesNot) {
    const json found = object_of(run_zerosim(simulate({"--max", "train.micro-batch"})));
    const std::int64_t value = found["limit"]["value"], next = found["limit"]["next"];
    EXPECT_EQ(next, value + 1);
    EXPECT_EQ(found["scenario"]["train.micro-batch"], value);
    EXPECT_TRUE(found["memory"]["fits"]);
    EXPECT_TRUE(object_of(run_zerosim(simulate({"--train.micro-batch", std::to_string(value)})))["memory"]["fits"]);
    EXPECT_FALSE(object_of(run_zerosim(simulate({"--train.micro-batch", std::to_string(next)})))["memory"]["fits"]);
}

TEST(Limit, InferenceHasTheLargestBatchOfItsOwn) {
    const auto serve = [](const std::string& key, const std::string& value) {
        return run_zerosim({"simulate", "--model", "gpt2-124m", "--cluster", "h100-sxm", "--mode", "inference", "--inference.prompt-tokens", "100", key, value, "--format", "json"});
    };
    const json found = object_of(serve("--max", "inference.batch"));
    const std::int64_t value = found["limit"]["value"];
    EXPECT_GT(value, 1);
    EXPECT_TRUE(object_of(serve("--inference.batch", std::to_string(value)))["memory"]["fits"]);
    EXPECT_FALSE(object_of(serve("--inference.batch", std::to_string(value + 1)))["memory"]["fits"]);
    const Outcome training = serve("--max", "train.micro-batch");
    EXPECT_EQ(training.exit_code, 2);
    EXPECT_THAT(training.errors, HasSubstr("inference.batch"));
}

TEST(Limit, TheFewestRanks) {
    const json found = object_of(run_zerosim({"simulate", "--model", "llama2-13b", "--cluster", "a100-sxm-80gb", "--strategy.zero-stage", "3", "--train.recompute", "full", "--min", "ranks", "--format", "json"}));
    EXPECT_TRUE(found["memory"]["fits"]);
    EXPECT_GT(found["limit"]["value"], 1);
    EXPECT_LT(found["limit"]["next"], found["limit"]["value"]);
}

TEST(Limit, AnOptionWithoutALimitIsNamedWithTheNearest) {
    const Outcome outcome = run_zerosim(simulate({"--max", "train.micro-batches"}));
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.errors, HasSubstr("did you mean 'train.micro-batch'"));
    EXPECT_EQ(run_zerosim(simulate({"--max", "train.micro-batch", "--min", "ranks"})).exit_code, 2);
}

}  // namespace
}  // namespace zerosim::testing
