#include "base/log.hpp"

#include <fmt/core.h>

namespace zerosim {

std::string log_line(const LogOrigin& origin, LogLevel level, std::string_view text) {
    const std::string_view mark = level == LogLevel::error ? "error: " : level == LogLevel::warning ? "warning: " : "";
    if (origin.ranks <= 1) return fmt::format("zerosim: {}{}", mark, text);
    const std::string host = origin.host.empty() ? "" : " " + origin.host;
    return fmt::format("zerosim: [rank {}/{}{}] {}{}", origin.rank, origin.ranks, host, mark, text);
}

} // namespace zerosim
