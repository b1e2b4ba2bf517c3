#include "base/error.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <fstream>

namespace zerosim::cli {

void print_remarks(const std::vector<std::string>& warnings, const std::vector<std::string>& notes) {
    const Log log({}, [](std::string_view line) { fmt::print(stderr, "{}\n", line); });
    for (const std::string& warning : warnings) log.warning(warning);
    for (const std::string& note : notes) log.info(note);
}

void write_result(const std::string& output, const std::string& text) {
    if (output.empty() || output == "-") {
        fmt::print("{}", text);
        return;
    }
    std::ofstream file(output, std::ios::binary);
    file << text;
    file.close();
    if (!file) throw EnvironmentError(fmt::format("output '{}' cannot be written", output));
}

} // namespace zerosim::cli
