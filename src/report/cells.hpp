// How numbers look in a table's cells: MiB, ms, GB/s with fixed decimals; the unit stands in the heading.
// Used by the tables of report/.
// Machine formats (JSON, CSV) do not come here.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace zerosim::report {

inline constexpr double kMiB = 1024.0 * 1024.0;

/// "1234567.8" -> "1,234,567.8"
[[nodiscard]] inline std::string grouped(std::string_view digits) {
    const std::size_t point = std::min(digits.find('.'), digits.size());
    std::string text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && i < point && (point - i) % 3 == 0 && digits[i - 1] != '-') text += ',';
        text += digits[i];
    }
    return text;
}
/// Small amounts keep enough digits not to read as nothing, large ones have their thousands apart.
[[nodiscard]] inline std::string mib(double bytes) {
    const double value = bytes / kMiB;
    return bytes == 0 ? "0" : value < 0.00005 ? "<0.0001" : value < 0.1 ? fmt::format("{:.4f}", value) : value < 100 ? fmt::format("{:.2f}", value) : value < 10'000 ? fmt::format("{:.1f}", value) : grouped(fmt::format("{:.1f}", value));
}
[[nodiscard]] inline std::string mib(std::int64_t bytes) { return mib(static_cast<double>(bytes)); }
[[nodiscard]] inline std::string milliseconds(double seconds) { return fmt::format("{:.3f}", seconds * 1e3); }
[[nodiscard]] inline std::string signed_milliseconds(double seconds) { return fmt::format("{:+.3f}", seconds * 1e3); }
[[nodiscard]] inline std::string gigabytes_per_second(double rate) { return fmt::format("{:.2f}", rate * 1e-9); }
[[nodiscard]] inline std::string percent(double part, double whole) { return whole > 0 ? fmt::format("{:.1f}", 100.0 * part / whole) : "-"; }
/// "gathered_parameter" -> "gathered parameter"
[[nodiscard]] inline std::string words(std::string_view name) {
    std::string text(name);
    for (char& c : text)
        if (c == '_') c = ' ';
    return text;
}

}  // namespace zerosim::report
