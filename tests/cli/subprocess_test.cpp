#include "cli/subprocess.hpp"

#include <gtest/gtest.h>

namespace zerosim::testing {
namespace {

TEST(Subprocess, GivesExitCodeAndBothStreams) {
    const auto outcome = run_program({"sh", "-c", "echo out; echo err >&2; exit 7"});
    EXPECT_EQ(outcome.exit_code, 7);
    EXPECT_EQ(outcome.output, "out\n");
    EXPECT_EQ(outcome.errors, "err\n");
    EXPECT_FALSE(outcome.timed_out);
}

TEST(Subprocess, ReadsMoreThanAPipeHolds) {
    const auto outcome = run_program({"sh", "-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"});
    EXPECT_EQ(outcome.output.size(), 300000u);
    EXPECT_EQ(outcome.errors.size(), 300000u);
}

TEST(Subprocess, KillsAfterTheTimeLimitWithAllChildren) {
    const auto outcome = run_program({"sh", "-c", "sleep 60 & wait"}, {.timeout = std::chrono::milliseconds(200)});
    EXPECT_TRUE(outcome.timed_out);
    EXPECT_EQ(outcome.exit_code, 128 + 9);
}

TEST(Subprocess, PassesEnvironmentAndDirectoryAndNoStdin) {
    const auto outcome = run_program({"sh", "-c", "pwd; echo $ZS_SUBPROCESS_TEST; cat"},
                                     {.environment = {{"ZS_SUBPROCESS_TEST", "yes"}}, .directory = "/"});
    EXPECT_EQ(outcome.output, "/\nyes\n");
    EXPECT_EQ(outcome.exit_code, 0);
}

TEST(Subprocess, MissingProgramIs127) { EXPECT_EQ(run_program({"/nonexistent/program"}).exit_code, 127); }

}  // namespace
}  // namespace zerosim::testing
