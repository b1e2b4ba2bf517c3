// Lines for people: who speaks, and that nothing quoted from a file reaches a terminal as a command.
#include "base/log.hpp"

#include <gtest/gtest.h>

namespace zerosim {
namespace {

TEST(Log, NamesTheRankWhereThereAreSeveral) {
    EXPECT_EQ(log_line({}, LogLevel::error, "x"), "zerosim: error: x");
    EXPECT_EQ(log_line({3, 8, "node-a"}, LogLevel::warning, "x"), "zerosim: [rank 3/8 node-a] warning: x");
}

TEST(Log, QuotesWhatATerminalWouldObey) {
    EXPECT_EQ(printable("a\tb\nc"), "a\tb\nc");
    EXPECT_EQ(printable("\x1b[31mred"), "\\x1B[31mred");
    EXPECT_EQ(printable(std::string_view("2\0", 2)), "2\\x00");
    EXPECT_EQ(printable("\x7f"), "\\x7F");
    EXPECT_EQ(printable("\xC2\x9B" "31mred \xC2\xA0"), "\\xC2\\x9B31mred \xC2\xA0") << "U+009B is ESC [";
}

TEST(Log, KeepsUtf8AndShowsOtherBytes) {
    EXPECT_EQ(printable("\xC3\xA9t\xC3\xA9 \xE2\x89\xA4 \xF0\x9F\x98\x80"), "\xC3\xA9t\xC3\xA9 \xE2\x89\xA4 \xF0\x9F\x98\x80");
    EXPECT_EQ(printable("\xE9t\xE9"), "\\xE9t\\xE9") << "Latin-1";
    EXPECT_EQ(printable("x\xC3"), "x\\xC3") << "cut short";
    EXPECT_EQ(printable("\xC0\x80"), "\\xC0\\x80") << "no character is written so";
}

} // namespace
} // namespace zerosim
