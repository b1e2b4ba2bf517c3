// Golden files: text that changes only on purpose. ZEROSIM_UPDATE_GOLDEN=1 writes what is there now; git shows the difference.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace zerosim::test {

/// The first line that differs, with its number; a whole dump would bury it.
inline std::string first_different_line(const std::string& expected, const std::string& actual) {
    std::istringstream a(expected), b(actual);
    std::string x, y;
    for (int line = 1;; ++line) {
        const bool more_a = static_cast<bool>(std::getline(a, x)), more_b = static_cast<bool>(std::getline(b, y));
        if (!more_a && !more_b) return "";
        if (more_a != more_b || x != y)
            return "line " + std::to_string(line) + "\n  golden: " + (more_a ? x : "(ends)") + "\n  now:    " + (more_b ? y : "(ends)");
    }
}

inline void expect_golden(const std::string& name, const std::string& actual) {
    const std::string path = ZEROSIM_SOURCE_DIR "/tests/golden/" + name;
    if (const char* update = std::getenv("ZEROSIM_UPDATE_GOLDEN"); update && *update == '1') {
        std::ofstream(path) << actual;
        return;
    }
    std::ifstream file(path);
    ASSERT_TRUE(file) << path << " is missing: run with ZEROSIM_UPDATE_GOLDEN=1 and look at what it writes";
    std::ostringstream expected;
    expected << file.rdbuf();
    EXPECT_EQ(expected.str() == actual, true) << path << " differs at " << first_different_line(expected.str(), actual)
                                              << "\nif that is meant, run with ZEROSIM_UPDATE_GOLDEN=1 and commit the difference";
}

}  // namespace zerosim::test
