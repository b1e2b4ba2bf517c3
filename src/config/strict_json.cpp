#include "config/strict_json.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <cstddef>
#include <iterator>
#include <set>
#include <vector>

namespace zerosim::config {
namespace {

using nlohmann::json;

/// Reads characters and counts the lines behind it.
class LineIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    LineIterator(const char* at, std::size_t* line) : at_(at), line_(line) {}
    reference operator*() const { return *at_; }
    LineIterator& operator++() {
        if (*at_ == '\n') ++*line_;
        ++at_;
        return *this;
    }
    LineIterator operator++(int) {
        LineIterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const LineIterator& a, const LineIterator& b) { return a.at_ == b.at_; }

private:
    const char* at_;
    std::size_t* line_;
};

}  // namespace

json parse_json(std::string_view text, const std::string& place, bool comments) {
    std::size_t line = 1;
    std::vector<std::set<std::string>> open;   // keys of the objects that are being read
    const auto look = [&](int, json::parse_event_t event, json& parsed) {
        if (event == json::parse_event_t::object_start) open.emplace_back();
        if (event == json::parse_event_t::object_end) open.pop_back();
        if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
            throw ConfigError(fmt::format("{}:{}: key '{}' stands twice in one object: keep the one that is meant", place, line, parsed.get<std::string>()));
        return true;
    };
    const LineIterator begin(text.data(), &line), end(text.data() + text.size(), &line);
    json parsed = json::parse(begin, end, look, /*allow_exceptions=*/false, comments);
    if (parsed.is_discarded()) throw ConfigError(fmt::format("{}:{}: not a JSON file", place, line));
    return parsed;
}

}  // namespace zerosim::config
