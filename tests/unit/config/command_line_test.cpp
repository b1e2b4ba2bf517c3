// The command line's own mistakes, and the table of options itself.
#include "fixture.hpp"

#include <gmock/gmock.h>

#include <set>
#include <sstream>

namespace zerosim::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string error_of(std::vector<std::string> words, Command command = Command::run) {
    return config_error([&] { (void)resolve_words(words, {}, command); });
}

TEST(CommandLine, UnknownOptionsGetTheNearest) {
    EXPECT_THAT(error_of({"--strategy.zero-stag", "3"}),
                AllOf(HasSubstr("--strategy.zero-stag"), HasSubstr("'strategy.zero-stage'")));
    EXPECT_THAT(error_of({"--zero-stage=3"}), HasSubstr("'strategy.zero-stage'"));
    EXPECT_THAT(error_of({"--qqqqqq"}), AllOf(HasSubstr("--qqqqqq"), Not(HasSubstr("did you mean"))));
    EXPECT_THAT(error_of({"-n"}), AllOf(HasSubstr("'-n'"), HasSubstr("two dashes")));
}

TEST(CommandLine, AbbreviationsAreNotAccepted) { EXPECT_THAT(error_of({"--strategy.zero-s", "3"}), HasSubstr("unknown option")); }

TEST(CommandLine, MissingValuesAndRepetitionsAreErrors) {
    EXPECT_THAT(error_of({"--ranks"}), AllOf(HasSubstr("--ranks"), HasSubstr("needs a value")));
    EXPECT_THAT(error_of({"--ranks", "--model", "gpt-mini"}), HasSubstr("needs a value"));
    EXPECT_THAT(error_of({"--ranks="}), HasSubstr("needs a value"));
    EXPECT_THAT(error_of({"--ranks", "2", "--ranks", "4"}), HasSubstr("given twice"));
}

TEST(CommandLine, AnOptionOfAnotherSubcommandSaysWhose) {
    EXPECT_THAT(error_of({"--inject", "0:x:throw"}, Command::simulate), AllOf(HasSubstr("'simulate'"), HasSubstr("run")));
    EXPECT_THAT(error_of({"--schedule"}, Command::run), HasSubstr("show"));
}

TEST(CommandLine, SwitchesStandAloneOrTakeTrueAndFalse) {
    EXPECT_TRUE(resolve_words({"--explain"}).run.explain);
    EXPECT_TRUE(resolve_words({"--explain", "true", "--ranks", "2"}).run.explain);
    EXPECT_FALSE(resolve_words({"--trace=false"}).run.trace);
    EXPECT_FALSE(resolve_words({"--trace", "false"}).run.trace);
    EXPECT_TRUE(resolve_words({"--explain", "zero3-local"}).run.explain); // the next word is the scenario
    EXPECT_THAT(error_of({"--explain=yes"}), HasSubstr("true or false"));
}

TEST(CommandLine, OtherSubcommandsKeepTheirPositionals) {
    const auto line = parse_command_line(Command::compare, {"a.json", "--tolerance", "0.1", "b.json"});
    EXPECT_THAT(line.positionals, ElementsAre("a.json", "b.json"));
    ASSERT_EQ(line.options.size(), 1u);
    EXPECT_EQ(line.options[0].value, "0.1");
}

TEST(OptionTable, KeysAndVariablesAreUniqueAndDefaultsAreValid) {
    std::set<std::string> keys, variables;
    for (const Option& option : option_table()) {
        EXPECT_TRUE(keys.insert(option.key).second) << option.key;
        EXPECT_TRUE(variables.insert(option.environment_name()).second) << option.environment_name();
        EXPECT_NO_THROW(check_value(option, option.default_value, "default")) << option.key;
        EXPECT_NE(option.commands, 0) << option.key;
        EXPECT_FALSE(option.help.empty()) << option.key;
        EXPECT_FALSE(option.group.empty()) << option.key;
    }
    EXPECT_EQ(find_option("train.micro-batch")->environment_name(), "ZEROSIM_TRAIN_MICRO_BATCH");
}

TEST(OptionTable, HelpShowsGroupsDefaultsAndOnlyTheOptionsTaken) {
    std::ostringstream help;
    help << describe_options(Command::simulate);
    EXPECT_THAT(help.str(), AllOf(HasSubstr("Training:"), HasSubstr("--train.micro-batch n (=1)"),
                                  HasSubstr("(=the model's positions)"), Not(HasSubstr("--inject"))));
}

struct BadValue {
    const char* key;
    const char* value;
    const char* expected;
};
class BadValues : public ::testing::TestWithParam<BadValue> {};
TEST_P(BadValues, AreRefusedWithWhatWouldBeRight) {
    const auto& [key, value, expected] = GetParam();
    EXPECT_THAT(error_of({std::string("--") + key + "=" + value}),
                AllOf(HasSubstr("command line"), HasSubstr(key), HasSubstr("'" + std::string(value) + "'"), HasSubstr(expected)));
}
INSTANTIATE_TEST_SUITE_P(
    CommandLine, BadValues,
    ::testing::Values(BadValue{"ranks", "-4", "an integer from 1"}, BadValue{"ranks", "0", "an integer from 1"},
                      BadValue{"ranks", "two", "an integer"}, BadValue{"train.steps", "1.5", "an integer"},
                      BadValue{"strategy.zero-stage", "4", "from 0 to 3"},
                      BadValue{"train.precision", "bf16-mixd", "did you mean 'bf16-mixed'"},
                      BadValue{"train.learning-rate", "fast", "a number"}, BadValue{"train.learning-rate", "nan", "a number"},
                      BadValue{"train.beta2", "1", "below 1"}, BadValue{"train.recompute", "every:0", "every:K"},
                      BadValue{"train.recompute", "some", "every:K"},
                      BadValue{"strategy.overlap-communication", "yes", "true or false"},
                      BadValue{"inject", "0:op:explode", "rank:op:throw"}, BadValue{"inject", "-1:op:throw", "rank:op:throw"},
                      BadValue{"inject", "9:op:throw", "beyond the 1 ranks"},
                      BadValue{"train.sequence-length", "257", "256 positions"},
                      BadValue{"strategy.shard-group", "2", "does not divide 1 ranks"},
                      BadValue{"model", "gpt2-124", "'gpt2-124m'"}, BadValue{"cluster", "h100", "h100-sxm"}));

class NotBuilt : public ::testing::TestWithParam<BadValue> {};
TEST_P(NotBuilt, ValuesOfTheContractSaySo) {
    const auto& [key, value, expected] = GetParam();
    EXPECT_THAT(error_of({std::string("--") + key + "=" + value}), AllOf(HasSubstr(key), HasSubstr(value), HasSubstr(expected)));
}
INSTANTIATE_TEST_SUITE_P(CommandLine, NotBuilt,
                         ::testing::Values(BadValue{"train.optimizer", "sgd-momentum", "not implemented yet"},
                                           BadValue{"train.compile", "true", "not implemented yet"},
                                           BadValue{"strategy.offload-optimizer", "cpu", "not implemented yet"},
                                           BadValue{"train.reduce-precision", "fp32", "not implemented yet"},
                                           BadValue{"collective.order", "library", "not implemented yet"},
                                           BadValue{"model.implementation", "huggingface", "strategy.system zerosim"},
                                           BadValue{"train.lora-rank", "8", "not implemented yet"},
                                           BadValue{"parallel.tensor", "2", "not implemented yet"}));

} // namespace
} // namespace zerosim::config
