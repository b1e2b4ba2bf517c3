// Lines for people on stderr, marked with the rank that speaks: "[rank 3/8 node-a] warning: ...".
// Used by cli/, which owns the sink; others return what they have to say.
// Does not choose which ranks speak and holds no global state.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace zerosim {

enum class LogLevel : unsigned char { info, warning, error };

/// Who speaks. One rank alone is not named.
struct LogOrigin {
    int rank = 0;
    int ranks = 1;
    std::string host;
};

/// Names and values come from files and users: what is no UTF-8, or a control character that a terminal would obey, as \xNN.
[[nodiscard]] std::string printable(std::string_view text);

[[nodiscard]] std::string log_line(const LogOrigin& origin, LogLevel level, std::string_view text);

class Log {
public:
    using Sink = std::function<void(std::string_view line)>;
    Log(LogOrigin origin, Sink sink) : origin_(std::move(origin)), sink_(std::move(sink)) {}
    void write(LogLevel level, std::string_view text) const { sink_(log_line(origin_, level, text)); }
    void info(std::string_view text) const { write(LogLevel::info, text); }
    void warning(std::string_view text) const { write(LogLevel::warning, text); }
    void error(std::string_view text) const { write(LogLevel::error, text); }

private:
    LogOrigin origin_;
    Sink sink_;
};

} // namespace zerosim
