// What `show`, `list`, `help` and `doctor` tell a user before anything runs.
#include "cli/subprocess.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

std::string output_of(const std::vector<std::string>& arguments, const ProgramOptions& options = {}) {
    const auto outcome = run_zerosim(arguments, options);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    return outcome.output;
}

TEST(Show, EveryValueComesWithItsOrigin) {
    const auto path = std::filesystem::temp_directory_path() / "zerosim-show-test.cfg";
    std::ofstream(path) << "model = gpt2-124m\n\n[train]\nsteps = 7\nmicro-batch = 2\n";
    const std::string shown = output_of({"show", path.string(), "--train.micro-batch", "4"}, {.environment = {{"ZEROSIM_TRAIN_SEED", "11"}}});
    std::filesystem::remove(path);
    EXPECT_THAT(shown, ContainsRegex("train.steps +7 +.*zerosim-show-test.cfg:4"));
    EXPECT_THAT(shown, ContainsRegex("train.micro-batch +4 +command line"));
    EXPECT_THAT(shown, ContainsRegex("train.seed +11 +environment ZEROSIM_TRAIN_SEED"));
    EXPECT_THAT(shown, ContainsRegex("train.beta1 +0.9 +default"));
}

TEST(Show, AnUnknownVariableIsWarnedAbout) {
    const auto outcome = run_zerosim({"show"}, {.environment = {{"ZEROSIM_TRAIN_STEP", "7"}}});
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.errors, ::testing::AllOf(HasSubstr("ZEROSIM_TRAIN_STEP "), HasSubstr("ZEROSIM_TRAIN_STEPS")));
}

/// Elements of each parameter that each rank owns, from the lines "rank unit parameter begin end share".
std::map<std::string, std::vector<std::pair<long, long>>> owned(const std::string& text) {
    std::map<std::string, std::vector<std::pair<long, long>>> ranges;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::vector<std::string> row{std::istream_iterator<std::string>(words), {}};
        if (row.size() < 6 || row.back() != "%") continue;
        ranges[row[row.size() - 5]].emplace_back(std::stol(row[row.size() - 4]), std::stol(row[row.size() - 3]));
    }
    return ranges;
}

// The parts of all ranks cover each tensor once, without gap or overlap.
TEST(Show, PartitionCoversEveryTensorOnce) {
    for (const char* ranks : {"1", "3", "4"}) {
        auto ranges = owned(output_of({"show", "--model", "gpt-mini", "--ranks", ranks, "--strategy.zero-stage", "3", "--partition"}));
        ASSERT_FALSE(ranges.empty());
        ASSERT_TRUE(ranges.contains("wte.weight"));
        for (auto& [parameter, parts] : ranges) {
            std::sort(parts.begin(), parts.end());
            EXPECT_EQ(parts.front().first, 0) << parameter;
            for (std::size_t i = 1; i < parts.size(); ++i) EXPECT_EQ(parts[i].first, parts[i - 1].second) << parameter << " on " << ranks << " ranks";
        }
        EXPECT_EQ(ranges["wte.weight"].back().second, 256 * 192);
    }
}

TEST(Show, ScheduleListsTheOps) {
    const std::string shown = output_of({"show", "--model", "gpt-mini", "--ranks", "2", "--strategy.zero-stage", "3", "--schedule"});
    for (const char* word : {"stream gather", "segment steady", "all-gather", "reduce-scatter", "adamw", "host_wait"}) EXPECT_THAT(shown, HasSubstr(word));
}

TEST(Help, OfACommandListsItsOptionsWithDefaults) {
    const std::string run = output_of({"help", "run"}), same = output_of({"run", "--help"});
    EXPECT_EQ(run, same);
    for (const char* word : {"--train.steps", "--strategy.zero-stage", "--inject", "--timeout-seconds", "(=120)", "example:"}) EXPECT_THAT(run, HasSubstr(word));
    EXPECT_EQ(output_of({"help", "list"}).find("--train.steps"), std::string::npos) << "an option of other commands";
}

TEST(List, NamesWhatCanBeAskedFor) {
    EXPECT_THAT(output_of({"list", "models"}), ::testing::AllOf(HasSubstr("gpt-mini"), HasSubstr("llama3.1-8b")));
    EXPECT_THAT(output_of({"list", "clusters"}), ::testing::AllOf(HasSubstr("local"), HasSubstr("h100-sxm")));
    EXPECT_THAT(output_of({"list", "scenarios"}), HasSubstr("zero3-local"));
    EXPECT_EQ(run_zerosim({"list", "modles"}).exit_code, 2);
}

TEST(Doctor, SaysWhatThisBuildCanDo) { EXPECT_THAT(output_of({"doctor"}), HasSubstr("MPI")); }

}  // namespace
}  // namespace zerosim::testing
