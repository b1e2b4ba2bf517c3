#include "base/units.hpp"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <utility>

namespace zerosim {
namespace {

struct Unit {
    double scale;
    const char* name;
};

/// The largest unit that is not larger than the value; three significant digits.
std::string format_scaled(double value, std::span<const Unit> units) {
    const Unit* chosen = &units.back();
    for (const Unit& unit : units) {
        if (std::abs(value) >= unit.scale * 0.9995) {
            chosen = &unit;
            break;
        }
    }
    const double scaled = value / chosen->scale;
    const int decimals = std::abs(scaled) < 9.995 ? 2 : std::abs(scaled) < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f} {}", scaled, decimals, chosen->name);
}

} // namespace

std::string format_bytes(double bytes) {
    static constexpr std::array<Unit, 4> units{{{0x1p40, "TiB"}, {0x1p30, "GiB"}, {0x1p20, "MiB"}, {0x1p10, "KiB"}}};
    if (std::abs(bytes) < 0x1p10 * 0.9995) return fmt::format("{:.0f} B", bytes);
    return format_scaled(bytes, units);
}

std::string format_seconds(double seconds) {
    static constexpr std::array<Unit, 4> units{{{1.0, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}}};
    return seconds == 0 ? "0 s" : format_scaled(seconds, units);
}

std::string format_rate(double bytes_per_second) {
    static constexpr std::array<Unit, 3> units{{{1e9, "GB/s"}, {1e6, "MB/s"}, {1e3, "kB/s"}}};
    return format_scaled(bytes_per_second, units);
}

std::string format_flops(double flops_per_second) {
    static constexpr std::array<Unit, 4> units{{{1e15, "PFLOP/s"}, {1e12, "TFLOP/s"}, {1e9, "GFLOP/s"}, {1e6, "MFLOP/s"}}};
    return format_scaled(flops_per_second, units);
}

std::string format_count(std::int64_t count) {
    std::string digits = fmt::format("{}", count);
    const std::size_t first = count < 0 ? 1 : 0;
    for (std::size_t end = digits.size(); end > first + 3; end -= 3) digits.insert(end - 3, 1, ',');
    return digits;
}

std::optional<double> parse_real(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
    return value;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size()) return value;
    if (text.find_first_of("eE") == std::string_view::npos) return std::nullopt;
    const auto real = parse_real(text);
    if (!real || *real != std::floor(*real) || std::abs(*real) > 0x1p53) return std::nullopt; // exact in a double
    return static_cast<std::int64_t>(*real);
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
    static constexpr std::array<std::pair<std::string_view, double>, 17> suffixes{{
        {"KiB", 0x1p10},
        {"MiB", 0x1p20},
        {"GiB", 0x1p30},
        {"TiB", 0x1p40},
        {"kB", 1e3},
        {"KB", 1e3},
        {"MB", 1e6},
        {"GB", 1e9},
        {"TB", 1e12},
        {"k", 0x1p10},
        {"K", 0x1p10},
        {"M", 0x1p20},
        {"G", 0x1p30},
        {"T", 0x1p40},
        {"m", 0x1p20},
        {"g", 0x1p30},
        {"B", 1.0},
    }};
    double scale = 1;
    for (const auto& [suffix, factor] : suffixes) {
        if (text.ends_with(suffix)) {
            text.remove_suffix(suffix.size());
            scale = factor;
            break;
        }
    }
    while (text.ends_with(' ')) text.remove_suffix(1);
    const auto number = parse_real(text);
    if (!number || *number < 0 || *number * scale > 0x1p62) return std::nullopt;
    return static_cast<std::int64_t>(std::llround(*number * scale));
}

std::optional<bool> parse_boolean(std::string_view text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return std::nullopt;
}

} // namespace zerosim
