#include "cli/result_file.hpp"

#include "base/error.hpp"
#include "report/json.hpp"

#include <fmt/core.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace zerosim::cli {

bool is_result_file(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) return false;
    std::ifstream file(path, std::ios::binary);
    char first = ' ';
    while (file.get(first) && std::isspace(static_cast<unsigned char>(first)) != 0) {}
    return first == '{' || trace::is_trace_file(path);
}

ResultFile read_result_file(const std::string& path) {
    if (trace::is_trace_file(path)) {
        trace::TraceFile file = trace::read_trace(path);
        if (file.metadata == "null") throw ConfigError(fmt::format("'{}' holds a trace without the result that explains it", path));
        return {report::parse_json(file.metadata, path), std::move(file.trace)};
    }
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad() || !file.is_open()) throw ConfigError(fmt::format("the result '{}' cannot be read", path));
    return {report::parse_json(text, path), std::nullopt};
}

}  // namespace zerosim::cli
