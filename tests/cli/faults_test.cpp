// What goes wrong in a run whose ranks are threads: the exit code of the contract and one message that says what, where and why.
#include "cli/subprocess.hpp"

#include <csignal>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::size_t times(std::string_view word, const std::string& text) {
    std::size_t count = 0;
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
    return count;
}

/// A small training run on three ranks.
std::vector<std::string> training(std::vector<std::string> more) {
    std::vector<std::string> arguments{"run",        "--model", "gpt-mini", "--ranks", "3", "--train.sequence-length", "32", "--strategy.zero-stage", "3",
                                       "--train.data", "chain"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

/// Fails with `code` and says `words` in exactly one error.
void expect_failure(const Outcome& outcome, int code, const std::vector<std::string>& words) {
    EXPECT_EQ(outcome.exit_code, code) << outcome.describe();
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_EQ(times("error:", outcome.errors), 1u) << outcome.errors;
    for (const auto& word : words) EXPECT_THAT(outcome.errors, HasSubstr(word));
}

TEST(Faults, AThrowingRankIsNamedWithItsOpAndReason) {
    expect_failure(run_zerosim(training({"--inject", "1:400:throw"})), 3, {"rank 1 of 3", "step 1, op 400", "injected failure"});
}

TEST(Faults, AnExitingRankEndsTheProcess) { expect_failure(run_zerosim(training({"--inject", "1:400:exit"})), 3, {"rank 1", "injected exit"}); }

TEST(Faults, AHangingRankIsNamedByTheWatchdog) {
    const auto outcome = run_zerosim(training({"--inject", "1:400:hang", "--timeout-seconds", "1"}));
    expect_failure(outcome, 3, {"watchdog", "over data", "group of 3 ranks", "missing rank 1", "op 400"});
    EXPECT_THAT(outcome.errors, AllOf(Not(HasSubstr("missing rank 0")), Not(HasSubstr("missing rank 2"))));
}

TEST(Faults, ASlowRankOnlyTakesLonger) {
    const auto outcome = run_zerosim(training({"--inject", "1:cross-entropy:slow", "--format", "csv"}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
}

TEST(Faults, AnOpMayBeNamedAsMessagesNameIt) {
    expect_failure(run_zerosim(training({"--inject", "2:reduce-scatter:throw"})), 3, {"rank 2 of 3", "reduce-scatter"});
    expect_failure(run_zerosim(training({"--inject", "0:adamw:throw"})), 3, {"rank 0 of 3", "adamw"});
    expect_failure(run_zerosim(training({"--inject", "0:reduce-scater:throw"})), 2, {"no op named 'reduce-scater'", "did you mean 'reduce-scatter'"});
    expect_failure(run_zerosim(training({"--inject", "3:1:throw"})), 2, {"rank"});
    expect_failure(run_zerosim(training({"--inject", "0:99999:throw"})), 2, {"99999"});
    expect_failure(run_zerosim(training({"--inject", "0:1:explode"})), 2, {"rank:op:throw"});
}

TEST(Faults, ALossThatIsNotANumberNamesItsOp) {
    expect_failure(run_zerosim(training({"--train.learning-rate", "1e30"})), 4, {"step 2", "nan", "cross_entropy_forward", "--check-numerics"});
}

TEST(Faults, CheckNumericsNamesTheFirstOp) {
    const auto outcome = run_zerosim(training({"--train.learning-rate", "1e30", "--check-numerics", "true"}));
    EXPECT_EQ(outcome.exit_code, 4) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("step 2, op"), HasSubstr("not finite")));
}

/// Ctrl-C, and what a scheduler sends at the time limit.
TEST(Faults, WhatAsksToEndEndsAfterTheStepWithAReport) {
    for (const int signal : {SIGINT, SIGTERM}) {
        bool sent = false;
        ProgramOptions options;
        options.on_output = [&](pid_t process, const std::string& output) {
            if (!sent && output.find("| loss") != std::string::npos) sent = ::kill(process, signal) == 0;
        };
        const auto outcome = run_zerosim(training({"--train.steps", "100000"}), options);
        EXPECT_TRUE(sent);
        EXPECT_FALSE(outcome.timed_out);
        EXPECT_EQ(outcome.exit_code, 130) << outcome.describe();
        EXPECT_THAT(outcome.errors, HasSubstr("interrupted"));
        EXPECT_THAT(outcome.output, HasSubstr("COMMUNICATION")) << "the result of the steps done";
    }
}

TEST(Faults, ASegmentationFaultSaysWhereTheRanksWere) {
    bool sent = false;
    ProgramOptions options;
    options.on_output = [&](pid_t process, const std::string& output) {
        if (!sent && output.find("| loss") != std::string::npos) sent = ::kill(process, SIGSEGV) == 0;
    };
    const auto outcome = run_zerosim(training({"--train.steps", "100000"}), options);
    EXPECT_EQ(outcome.exit_code, 128 + SIGSEGV) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("SIGSEGV"), HasSubstr("[rank 0/3]"), HasSubstr("[rank 2/3]"), HasSubstr("op ")));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)   // their shadow memory takes more than any such limit
/// Where OpenBLAS cannot have its buffer it asks for it for ever.
TEST(Faults, TooLittleAddressSpaceIsSaidBeforeTheRun) {
    std::vector<std::string> command{"/bin/sh", "-c", "ulimit -v 600000 && exec \"$0\" \"$@\"", zerosim_path()};
    for (const std::string& word : training({"--train.steps", "1", "--compute-threads", "1"})) command.push_back(word);
    const auto outcome = run_program(command, {.environment = {{"OPENBLAS_NUM_THREADS", "1"}}});
    expect_failure(outcome, 3, {"address space", "3 ranks", "ulimit -v", "MiB"});
    EXPECT_EQ(times("step ", outcome.output), 0u) << outcome.output;
}
#endif

struct Mistake {
    const char* name;
    std::vector<std::string> arguments;
    int code;
    std::vector<std::string> words;
};

class Mistakes : public ::testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, AreSaidBeforeAnythingStarts) {
    std::vector<std::string> arguments{"run", "--model", "gpt-mini", "--train.sequence-length", "32"};
    arguments.insert(arguments.end(), GetParam().arguments.begin(), GetParam().arguments.end());
    const auto outcome = run_zerosim(arguments);
    expect_failure(outcome, GetParam().code, GetParam().words);
    EXPECT_EQ(outcome.output, "");
}

INSTANTIATE_TEST_SUITE_P(
    All, Mistakes,
    ::testing::Values(Mistake{"MissingData", {"--train.data", "/nonexistent/text"}, 3, {"train.data", "/nonexistent/text", "No such file"}},
                      Mistake{"ShortData", {"--train.data", "LICENSE", "--train.steps", "1000000"}, 3, {"too short", "32000001 bytes", "1000000 steps"}},
                      Mistake{"BatchBelowRanks", {"--ranks", "4", "--train.global-batch", "3"}, 2, {"train.global-batch", "3", "4 ranks"}},
                      Mistake{"UnknownOption", {"--train.step", "3"}, 2, {"train.step", "train.steps"}},
                      Mistake{"UnknownValue", {"--train.precision", "bf61"}, 2, {"bf61", "bf16"}},
                      Mistake{"UnknownScenario", {"no-such-scenario"}, 2, {"no-such-scenario"}},
                      Mistake{"TooMuchMemory", {"--strategy.bucket-cap-mib", "25", "--train.data", "chain", "--train.micro-batch", "1000000"}, 3, {"not enough host memory", "iB"}},
                      Mistake{"NoGpu", {"--device", "cuda"}, 3, {"cuda"}}),
    [](const auto& mistake) { return mistake.param.name; });

}  // namespace
}  // namespace zerosim::testing
