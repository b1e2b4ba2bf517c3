#include "base/error.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"

#include <fmt/core.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace zerosim::cli {

void print_remarks(const std::vector<std::string>& warnings, const std::vector<std::string>& notes) {
    const Log log({}, [](std::string_view line) { fmt::print(stderr, "{}\n", line); });
    for (const std::string& warning : warnings) log.warning(warning);
    for (const std::string& note : notes) log.info(note);
}

namespace {

bool is_stdout(const std::string& output) { return output.empty() || output == "-"; }

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

void require_writable(const std::string& output) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::file_status status = fs::status(output, error);
    if (is_stdout(output) || (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status))) return;
    const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) throw EnvironmentError(fmt::format("output '{}' cannot be written: {}", output, reason()));
    ::close(file);
    if (!fs::exists(status)) fs::remove(output, error);
}

void require_beside(const std::string& output, const std::string& file, const char* option) {
    if (!file.empty() && file == output) throw ConfigError(fmt::format("command line: --{} would overwrite the result, which --output writes to '{}' too", option, output));
}

void write_result(const std::string& output, const std::string& text) {
    if (is_stdout(output)) {
        fmt::print("{}", text);
        return;
    }
    std::ofstream file(output, std::ios::binary);
    file << text;
    file.close();
    if (file) return;
    const std::string why = reason();
    fmt::print("{}", text);   // what took a day to compute is not lost with the disk
    throw EnvironmentError(fmt::format("output '{}' cannot be written: {}; the result went to stdout instead", output, why));
}

} // namespace zerosim::cli
