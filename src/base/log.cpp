#include "base/log.hpp"

#include <fmt/core.h>

namespace zerosim {

namespace {

/// Bytes of the UTF-8 sequence that `text` begins with; 0 where it begins with none.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::size_t length = byte(0) < 0x80 ? 1 : byte(0) >= 0xC2 && byte(0) < 0xE0 ? 2 : byte(0) >= 0xE0 && byte(0) < 0xF0 ? 3 : byte(0) >= 0xF0 && byte(0) < 0xF5 ? 4 : 0;
    if (length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    return length;
}

} // namespace

std::string printable(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        const auto first = static_cast<unsigned char>(text.front());
        const bool second_controls = first == 0xC2 && length == 2 && static_cast<unsigned char>(text[1]) < 0xA0; // U+0080 to U+009F: 9B begins a sequence
        const bool shown = (length > 1 && !second_controls) || (length == 1 && ((first >= 0x20 && first != 0x7F) || first == '\n' || first == '\t'));
        if (shown) result += text.substr(0, length);
        else result += fmt::format("\\x{:02X}", first);
        text.remove_prefix(shown ? length : 1);
    }
    return result;
}

std::string log_line(const LogOrigin& origin, LogLevel level, std::string_view quoted) {
    const std::string text = printable(quoted);
    const std::string_view mark = level == LogLevel::error ? "error: " : level == LogLevel::warning ? "warning: " : "";
    if (origin.ranks <= 1) return fmt::format("zerosim: {}{}", mark, text);
    const std::string host = origin.host.empty() ? "" : " " + origin.host;
    return fmt::format("zerosim: [rank {}/{}{}] {}{}", origin.rank, origin.ranks, host, mark, text);
}

} // namespace zerosim
