// What a user who mistypes sees: the offending word, the nearest valid one, exit code 2, nothing on stdout.
#include "cli/subprocess.hpp"

#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace zerosim::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

/// One mistake: exit code 2, an error that holds every one of `words`, stdout left clean.
void expect_usage_error(const std::vector<std::string>& arguments, const std::vector<std::string>& words) {
    const auto outcome = run_zerosim(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
    EXPECT_THAT(outcome.output, IsEmpty());
    for (const auto& word : words) EXPECT_THAT(outcome.errors, HasSubstr(word));
    EXPECT_THAT(outcome.errors, Not(HasSubstr("terminate called")));
}

TEST(Usage, VersionIsOneLineOnStdout) {
    const auto outcome = run_zerosim({"--version"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    EXPECT_THAT(outcome.output, AllOf(StartsWith("zerosim "), HasSubstr(ZEROSIM_PROJECT_VERSION)));
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1);
    EXPECT_THAT(outcome.errors, IsEmpty());
}

TEST(Usage, HelpNamesEveryCommand) {
    const auto outcome = run_zerosim({"--help"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    for (const char* command : {"run", "simulate", "compare", "calibrate", "list", "show", "doctor"})
        EXPECT_THAT(outcome.output, HasSubstr(command));
}

TEST(Usage, NoCommandIsAnError) { expect_usage_error({}, {"run", "simulate"}); }
TEST(Usage, UnknownCommandGetsTheNearest) { expect_usage_error({"simulat"}, {"simulat", "simulate"}); }
TEST(Usage, UnknownOptionGetsTheNearest) {
    expect_usage_error({"show", "--strategy.zero-stag", "3"}, {"strategy.zero-stag", "strategy.zero-stage"});
}
TEST(Usage, AbbreviatedOptionIsUnknown) { expect_usage_error({"show", "--strategy.zero", "3"}, {"unknown", "strategy.zero"}); }
TEST(Usage, UnknownModelGetsTheNearest) { expect_usage_error({"show", "--model", "gpt2-124"}, {"gpt2-124", "gpt2-124m"}); }
TEST(Usage, UnknownValueNamesTheValidOnes) {
    expect_usage_error({"show", "--train.precision", "bf16-mixd"}, {"bf16-mixd", "bf16-mixed"});
}
TEST(Usage, NegativeCountIsRefused) { expect_usage_error({"show", "--ranks", "-4"}, {"ranks", "-4"}); }
TEST(Usage, StageOutOfRangeIsRefused) { expect_usage_error({"show", "--strategy.zero-stage", "4"}, {"zero-stage", "4"}); }
TEST(Usage, MissingScenarioFileIsNamed) {
    expect_usage_error({"show", "configs/scenarios/no-such.cfg"}, {"configs/scenarios/no-such.cfg"});
}

TEST(Usage, OptionsHaveTwoDashes) {
    expect_usage_error({"show", "-n", "4"}, {"'-n'", "two dashes"});
    expect_usage_error({"show", "-ranks", "4"}, {"'-ranks'", "two dashes", "did you mean 'ranks'"});
}
TEST(Usage, ASwitchIsTrueOrFalse) { expect_usage_error({"simulate", "--strategy.overlap-communication", "yes"}, {"overlap-communication 'yes'", "true or false"}); }
TEST(Usage, NothingIsDownloaded) {
    expect_usage_error({"show", "--model", "meta-llama/Llama-3.1-8B"}, {"no such file", "nothing is downloaded", "did you mean 'llama3.1-8b'"});
}
TEST(Usage, SystemsAreComparedBySweep) { expect_usage_error({"compare", "fsdp2", "ddp"}, {"sweep --over strategy.system=fsdp2,ddp"}); }
TEST(Usage, SweepsGoOverAScenariosOptions) {
    expect_usage_error({"sweep", "--over", "format=json,csv"}, {"'format' is no option of a scenario"});
    expect_usage_error({"sweep", "--over", "ranks=1,2", "--ranks", "4"}, {"ranks '4' contradicts --over"});
}

TEST(Usage, TheResultIsNotOverwritten) {
    const std::string file = ::testing::TempDir() + "zerosim_usage_both";
    expect_usage_error({"simulate", "--output", file, "--perfetto", file}, {"--perfetto would overwrite the result", file});
    expect_usage_error({"sweep", "--over", "ranks=1,2", "--output", file, "--svg", file}, {"--svg would overwrite the result", file});
    EXPECT_EQ(run_zerosim({"simulate", "--format", "json", "--output", file}).exit_code, 0);
    expect_usage_error({"report", file, "--output", file, "--perfetto", file}, {"--perfetto would overwrite the result", file});
    std::filesystem::remove(file);
}

/// A job of hours must not end with a file that could never be written.
TEST(Usage, WhatCannotBeWrittenIsSaidBeforeTheWork) {
    for (const char* option : {"--output", "--perfetto"}) {
        const auto outcome = run_zerosim({"run", "--train.steps", "2", option, "/no/such/folder/result"});
        EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
        EXPECT_THAT(outcome.errors, AllOf(HasSubstr("/no/such/folder/result"), HasSubstr("No such file or directory"), Not(HasSubstr("step"))));
        EXPECT_THAT(outcome.output, IsEmpty());
    }
    expect_usage_error({"run", "--train.steps", "2", "--fail-if", "time.step_seconds"}, {"has no comparison"});
}

TEST(Usage, AFullDiskLosesNoResult) {
    const auto outcome = run_zerosim({"simulate", "--format", "json", "--output", "/dev/full"});
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("/dev/full"), HasSubstr("No space left on device"), HasSubstr("stdout instead")));
    EXPECT_THAT(outcome.output, AllOf(StartsWith("{"), HasSubstr("step_seconds")));
}

TEST(Usage, ARunOnTheCpuIsNoRunOnTheCluster) {
    const auto outcome = run_zerosim({"run", "--train.steps", "1", "--cluster", "h100-sxm", "--device", "cpu"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    EXPECT_THAT(outcome.errors, HasSubstr("CPU, not on cluster h100-sxm"));
}

/// srun without --mpi=pmix: every task would believe that it is the whole job.
TEST(Usage, TasksOfSrunThatMpiDoesNotSeeAreRefused) {
    const auto outcome = run_zerosim({"run", "--train.steps", "1"}, {.environment = {{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PROCID", "1"}}});
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_THAT(outcome.errors, AnyOf(HasSubstr("srun --mpi=pmix"), HasSubstr("no MPI")));
    EXPECT_THAT(outcome.output, IsEmpty());
}

TEST(Usage, SharingAGpuIsForGpus) {
    expect_usage_error({"collectives", "--share-device", "true"}, {"share-device", "--device cuda"});
    expect_usage_error({"calibrate", "--share-device", "true"}, {"share-device", "--device cuda"});
}
TEST(Usage, RegisteredBuffersAreOfPlannedArenas) {
    expect_usage_error({"run", "--register-buffers", "true", "--strategy.arena", "caching"}, {"register-buffers", "strategy.arena"});
}
TEST(Usage, BenchmarksOfGpusNeedOne) {
    if (access("/dev/nvidia0", F_OK) == 0) GTEST_SKIP() << "there is a GPU";
    for (const char* command : {"collectives", "calibrate"}) {
        const auto outcome = run_zerosim({command, "--device", "cuda"});
        EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
        EXPECT_THAT(outcome.errors, HasSubstr("device cuda")) << command;
    }
}

TEST(Usage, UnknownEnvironmentVariableIsOnlyAWarning) {
    const auto outcome = run_zerosim({"show", "--model", "gpt-mini"}, {.environment = {{"ZEROSIM_NO_SUCH_KEY", "1"}}});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    EXPECT_THAT(outcome.errors, HasSubstr("ZEROSIM_NO_SUCH_KEY"));
}

}  // namespace
}  // namespace zerosim::testing
