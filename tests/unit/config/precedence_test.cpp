// Where values come from, and which of several wins.
#include "fixture.hpp"

#include <gmock/gmock.h>

namespace zerosim::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Precedence : public Folder {};

TEST_F(Precedence, DefaultsPresetFileEnvironmentCommandLine) {
    const std::string file =
        write("s.cfg", "ranks = 2\nmodel = gpt2-124m\n[train]\nmicro-batch = 2  # a comment\nsteps = 7\nseed = 1\n");
    const auto r =
        resolve_words({file, "--train.steps", "9"}, {{"ZEROSIM_TRAIN_STEPS", "8"}, {"ZEROSIM_TRAIN_SEED", "5"}, {"HOME", "/"}});
    const auto expect = [&](const char* key, const std::string& value, const std::string& origin) {
        EXPECT_EQ(value_of(r, key).value, value) << key;
        EXPECT_EQ(value_of(r, key).origin, origin) << key;
    };
    expect("train.gradient-accumulation", "1", "default");
    expect("train.sequence-length", "1024", "preset gpt2-124m");
    expect("train.micro-batch", "2", file + ":4");
    expect("ranks", "2", file + ":1");
    expect("train.seed", "5", "environment ZEROSIM_TRAIN_SEED");
    expect("train.steps", "9", "command line");
    EXPECT_EQ(r.scenario.training.steps, 9);
    EXPECT_EQ(r.scenario.training.micro_batch, 2);
    EXPECT_EQ(r.scenario.training.seed, 5u);
    EXPECT_EQ(r.scenario.training.sequence_length, 1024);
    EXPECT_EQ(r.scenario.ranks, 2);
    EXPECT_TRUE(r.run.ranks_given);
    EXPECT_THAT(r.warnings, IsEmpty());
}

TEST_F(Precedence, AGivenValueWinsOverThePreset) {
    const auto r = resolve_words(
        {"--model", "gpt2-124m", "--train.sequence-length", "128", "--cluster", "h100-sxm", "--cluster.gpus-per-node", "4"}, {},
        Command::simulate);
    EXPECT_EQ(r.scenario.training.sequence_length, 128);
    EXPECT_EQ(r.scenario.cluster.devices_per_node, 4);
    EXPECT_EQ(value_of(r, "cluster.gpus-per-node").origin, "command line");
    EXPECT_EQ(value_of(r, "cluster.network-gigabits-per-node").origin, "preset h100-sxm");
    EXPECT_EQ(value_of(r, "cluster.network-gigabits-per-node").value, "3200");
    EXPECT_DOUBLE_EQ(r.scenario.cluster.network.bytes_per_second, 3200e9 / 8 / 4); // the node's network, shared by fewer
}

TEST_F(Precedence, UnknownVariablesAreWarnedAbout) {
    const auto r = resolve_words({}, {{"ZEROSIM_RANK", "3"}, {"ZEROSIM", "/usr/bin/zerosim"}});
    EXPECT_THAT(r.warnings, ElementsAre(AllOf(HasSubstr("ZEROSIM_RANK "), HasSubstr("ZEROSIM_RANKS"))));
    EXPECT_EQ(r.scenario.ranks, 1);
}

TEST_F(Precedence, AVariableOfAnotherSubcommandIsLeftAlone) {
    EXPECT_THAT(resolve_words({}, {{"ZEROSIM_REPEATS", "3"}}).warnings, IsEmpty());
}

TEST_F(Precedence, ErrorsNameTheFileAndLine) {
    const std::string unknown = write("u.cfg", "\n[train]\nmicro-bach = 2\n");
    EXPECT_THAT(config_error([&] { (void)resolve_words({unknown}); }),
                AllOf(HasSubstr(unknown + ":3"), HasSubstr("'train.micro-bach'"), HasSubstr("'train.micro-batch'")));
    const std::string bad = write("b.cfg", "[train]\nsteps = many\n");
    EXPECT_THAT(config_error([&] { (void)resolve_words({bad}); }), AllOf(HasSubstr(bad + ":2"), HasSubstr("'many'")));
    const std::string twice = write("t.cfg", "[train]\nsteps = 1\nsteps = 2\n");
    EXPECT_THAT(config_error([&] { (void)resolve_words({twice}); }), AllOf(HasSubstr(twice + ":3"), HasSubstr("line 2")));
    const std::string broken = write("x.cfg", "[train\n");
    EXPECT_THAT(config_error([&] { (void)resolve_words({broken}); }), HasSubstr(broken + ":1"));
}

TEST_F(Precedence, AScenarioFileMaySetWhatThisSubcommandDoesNotTake) {
    const std::string file = write("s.cfg", "timeout-seconds = 5\n");
    EXPECT_EQ(resolve_words({file}, {}, Command::run).run.timeout_seconds, 5);
    EXPECT_NO_THROW((void)resolve_words({file}, {}, Command::simulate));
}

TEST_F(Precedence, AShippedScenarioIsFoundByNameAndAMissingOneIsNamed) {
    EXPECT_EQ(resolve_words({"zero3-local"}).scenario.strategy.zero_stage, 3);
    EXPECT_THAT(config_error([] { (void)resolve_words({"zero3-lcal"}); }),
                AllOf(HasSubstr("zero3-lcal"), HasSubstr("zero3-local")));
    EXPECT_THAT(config_error([] { (void)resolve_words({"zero3-local", "another"}); }), HasSubstr("another"));
}

TEST_F(Precedence, EveryShippedScenarioResolves) {
    for (const std::string& name : shipped().names("scenarios"))
        EXPECT_NO_THROW((void)resolve_words({name}, {}, Command::simulate)) << name;
}

} // namespace
} // namespace zerosim::config
