// Faults under mpirun: a rank that fails is named, with rank, host, op and reason; all processes are gone; the code is not zero.
#include "cli/subprocess.hpp"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::size_t times(std::string_view word, const std::string& text) {
    std::size_t count = 0;
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
    return count;
}

std::vector<std::string> training(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"run", "--model", "gpt-mini", "--train.sequence-length", "32", "--strategy.zero-stage", "3", "--train.data", "chain"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

/// Every process of a test carries its mark; a moment is left for the kernel to take away what has been killed.
class MpiFaults : public ::testing::Test {
protected:
    ProgramOptions options() const { return {.environment = {{"ZS_TEST_MARK", mark_}}}; }
    /// Sends `signal` to a rank, or to mpirun itself for rank -1, once the first step is reported.
    ProgramOptions with_signal(int signal, int rank) {
        ProgramOptions with = options();
        with.on_output = [this, signal, rank](pid_t launcher, const std::string& output) {
            if (sent_ || output.find("| loss") == std::string::npos) return;
            const pid_t process = rank < 0 ? launcher : process_of_rank(launcher, rank);
            sent_ = process > 0 && ::kill(process, signal) == 0;
        };
        return with;
    }
    void TearDown() override {
        std::vector<pid_t> left = processes_with("ZS_TEST_MARK", mark_);
        for (int wait = 0; wait < 50 && !left.empty(); ++wait) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            left = processes_with("ZS_TEST_MARK", mark_);
        }
        EXPECT_THAT(left, IsEmpty()) << "processes left behind";
        for (const pid_t process : left) ::kill(process, SIGKILL);
    }
    bool sent_ = false;

private:
    std::string mark_ = fmt::format("{}-{}", ::getpid(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(MpiFaults, AThrowingRankIsNamedWithHostOpAndReason) {
    const auto outcome = mpirun_zerosim(3, training({"--inject", "1:400:throw"}), options());
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_THAT(outcome.errors, ContainsRegex("\\[rank 1/3 [^]]+\\] error: step 1, op 400 .*injected failure"));
    EXPECT_EQ(times("injected failure", outcome.errors), 1u) << outcome.errors;
}

TEST_F(MpiFaults, AnExitingRankLeavesTheOthersToSayWhereTheyWere) {
    const auto outcome = mpirun_zerosim(3, training({"--inject", "1:400:exit"}), options());
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(ContainsRegex("\\[rank 1/3 [^]]+\\] error: injected exit"), ContainsRegex("\\[rank 0/3 [^]]+\\] ended by SIGTERM in step 1, op"),
                                      ContainsRegex("\\[rank 2/3 [^]]+\\] ended by SIGTERM in step 1, op")));
}

TEST_F(MpiFaults, AHangingRankIsNamedByTheWatchdog) {
    const auto outcome = mpirun_zerosim(3, training({"--inject", "1:400:hang", "--timeout-seconds", "2"}), options());
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("watchdog"), HasSubstr("group of 3 ranks"), ContainsRegex("missing rank 1: is in step 1, op 400"), Not(HasSubstr("missing rank 2"))));
    EXPECT_EQ(times("watchdog", outcome.errors), 1u) << outcome.errors;
}

TEST_F(MpiFaults, AStoppedRankIsNamedByTheWatchdog) {
    const auto outcome = mpirun_zerosim(3, training({"--train.steps", "100000", "--timeout-seconds", "2"}), with_signal(SIGSTOP, 1));
    EXPECT_TRUE(sent_);
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("watchdog"), HasSubstr("group of 3 ranks"), HasSubstr("missing rank 1: does not answer"), Not(HasSubstr("missing rank 2"))));
}

TEST_F(MpiFaults, ARankKilledBySigkillIsSurvivedByTwoReports) {
    const auto outcome = mpirun_zerosim(3, training({"--train.steps", "100000"}), with_signal(SIGKILL, 1));
    EXPECT_TRUE(sent_);
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_THAT(outcome.errors, AllOf(ContainsRegex("\\[rank 0/3 [^]]+\\] ended by SIGTERM in step [0-9]+, op [0-9]+"), ContainsRegex("\\[rank 2/3 [^]]+\\] ended by SIGTERM in step [0-9]+, op [0-9]+")));
}

TEST_F(MpiFaults, ASegmentationFaultSaysRankAndOp) {
    const auto outcome = mpirun_zerosim(3, training({"--train.steps", "100000"}), with_signal(SIGSEGV, 2));
    EXPECT_TRUE(sent_);
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_THAT(outcome.errors, ContainsRegex("\\[rank 2/3 [^]]+\\] error: died of SIGSEGV in step [0-9]+, op [0-9]+"));
}

TEST_F(MpiFaults, CtrlCOnTheLauncherEndsAllRanks) {
    const auto outcome = mpirun_zerosim(3, training({"--train.steps", "100000"}), with_signal(SIGINT, -1));
    EXPECT_TRUE(sent_);
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_THAT(outcome.errors, Not(HasSubstr("error:")));
}

TEST_F(MpiFaults, ALossThatIsNotANumberIsSaidOnce) {
    const auto outcome = mpirun_zerosim(3, training({"--train.learning-rate", "1e30"}), options());
    EXPECT_EQ(outcome.exit_code, 4) << outcome.describe();
    EXPECT_EQ(times("error:", outcome.errors), 1u) << outcome.errors;
    EXPECT_THAT(outcome.errors, HasSubstr("cross_entropy_forward"));
}

TEST_F(MpiFaults, WhatIsWrongOnAllRanksIsSaidOnce) {
    const auto data = mpirun_zerosim(3, {"run", "--train.data", "/nonexistent/text"}, options());
    EXPECT_EQ(data.exit_code, 3) << data.describe();
    EXPECT_EQ(times("/nonexistent/text", data.errors), 1u) << data.errors;
    const auto batch = mpirun_zerosim(3, {"run", "--train.global-batch", "2"}, options());
    EXPECT_EQ(batch.exit_code, 2) << batch.describe();
    EXPECT_EQ(times("train.global-batch", batch.errors), 1u) << batch.errors;
}

/// mpirun with two program contexts: rank 0 with `first`, rank 1 with `second`.
Outcome two_contexts(const std::vector<std::string>& first, const std::vector<std::string>& second, const ProgramOptions& options) {
    std::vector<std::string> arguments = training(first);
    arguments.insert(arguments.end(), {":", "-n", "1", zerosim_path()});
    const auto other = training(second);
    arguments.insert(arguments.end(), other.begin(), other.end());
    return mpirun_zerosim(1, arguments, options);
}

TEST_F(MpiFaults, RanksWithDifferentOptionsAreRefusedBeforeTheyTrain) {
    const auto outcome = two_contexts({"--train.seed", "1"}, {"--train.seed", "2"}, options());
    EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("rank 1 of 2"), HasSubstr("train.seed = 2, but rank 0 has train.seed = 1")));
    EXPECT_THAT(outcome.output, Not(HasSubstr("step")));
}

TEST_F(MpiFaults, AMistakeOfOneRankEndsAll) {
    const auto outcome = two_contexts({"--train.steps", "2"}, {"--train.steps", "two"}, options());
    EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("rank 1 of 2"), HasSubstr("train.steps")));
}

// Where they are printed does not concern the training.
TEST_F(MpiFaults, RanksMayDifferInWhatTheyPrint) {
    const auto outcome = two_contexts({"--format", "json"}, {"--format", "table"}, options());
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
}

}  // namespace
}  // namespace zerosim::testing
