// Files of `name = value` lines: what editors and systems add, and what is refused with its line.
#include "base/error.hpp"
#include "config/ini.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of(std::string_view text) {
    try {
        (void)parse_ini("a.cfg", text);
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

TEST(Ini, AByteOrderMarkAndCarriageReturnsAreOfTheEditor) {
    const IniFile file = parse_ini("a.cfg", "\xEF\xBB\xBF[train]\r\nsteps = 2\r\n");
    ASSERT_EQ(file.entries.size(), 1u);
    EXPECT_EQ(file.entries[0].key, "train.steps");
    EXPECT_EQ(file.entries[0].value, "2");
    EXPECT_EQ(file.entries[0].line, 2);
}

TEST(Ini, CommentsBeginALineOrFollowABlank) {
    const IniFile file = parse_ini("a.cfg", "# all of it\ndata = /a/b#c # the rest\n");
    ASSERT_EQ(file.entries.size(), 1u);
    EXPECT_EQ(file.entries[0].value, "/a/b#c");
}

TEST(Ini, WhatIsNoLineOfTextIsRefused) {
    EXPECT_THAT(error_of(std::string_view("[train]\nsteps = 2\0\n", 19)), AllOf(HasSubstr("a.cfg"), HasSubstr("zero bytes")));
    EXPECT_THAT(error_of("[train]\nsteps: 2\n"), HasSubstr("a.cfg:2: 'steps: 2' is not 'name = value'"));
    EXPECT_THAT(error_of("[train\n"), HasSubstr("is not a [section]"));
    EXPECT_THAT(error_of("[a]\nb = 1\n[c]\nb = 1\n[a]\nb = 2\n"), HasSubstr("a.cfg:6: 'a.b' is given twice, first in line 2"));
}

} // namespace
} // namespace zerosim::config
