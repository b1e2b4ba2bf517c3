// docs/options.md and the option table name the same keys.
#include "config/option_table.hpp"

#include <fstream>
#include <regex>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::config {
namespace {

/// Keys in the first column of the tables whose heading is `key`.
std::set<std::string> documented_keys() {
    std::ifstream page(ZEROSIM_SOURCE_DIR "/docs/options.md");
    EXPECT_TRUE(page.is_open());
    std::set<std::string> keys;
    bool in_table = false;
    const std::regex code("`([^`]+)`");
    for (std::string line; std::getline(page, line);) {
        if (line.rfind("| key |", 0) == 0) in_table = true;
        else if (line.empty() || line[0] != '|') in_table = false;
        else if (in_table) {
            const std::string first = line.substr(1, line.find('|', 1) - 1);
            for (std::sregex_iterator match(first.begin(), first.end(), code), end; match != end; ++match) keys.insert((*match)[1]);
        }
    }
    return keys;
}

TEST(OptionsPage, DocumentsEveryOptionAndNoOther) {
    std::set<std::string> known;
    for (const Option& option : option_table()) known.insert(option.key);
    EXPECT_THAT(documented_keys(), ::testing::ContainerEq(known));
}

}  // namespace
}  // namespace zerosim::config
