#include "cli/run/agreement.hpp"

#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::cli {

std::vector<std::string> agreement_lines(const config::Resolved& resolved, const schedule::Schedule& schedule, std::int64_t rank) {
    std::vector<std::string> lines;
    for (const config::Value& value : resolved.values) {
        const config::Option* option = config::find_option(value.key);
        if (option && (option->group == "Output" || option->group == "Checks")) continue;
        lines.push_back(fmt::format("{} = {}", value.key, value.value.empty() ? "(not set)" : value.value));
    }
    std::size_t index = 0;
    for (const std::string& line : schedule::collective_sequence(schedule, rank)) lines.push_back(fmt::format("collective {}: {}", index++, line));
    return lines;
}

std::string first_difference(const std::vector<std::string>& mine, const std::vector<std::string>& rank_zero) {
    const std::string nothing = "no more collectives";
    for (std::size_t i = 0; i < std::max(mine.size(), rank_zero.size()); ++i) {
        const std::string& here = i < mine.size() ? mine[i] : nothing;
        const std::string& there = i < rank_zero.size() ? rank_zero[i] : nothing;
        if (here != there) return fmt::format("{}, but rank 0 has {}", here, there);
    }
    return "";
}

std::vector<Voice> voices(const std::vector<std::string>& texts) {
    std::vector<Voice> result;
    for (std::size_t rank = 0; rank < texts.size(); ++rank) {
        const std::string& text = texts[rank];
        if (text.empty() || std::find(texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(rank), text) != texts.begin() + static_cast<std::ptrdiff_t>(rank))
            continue;   // said by a rank before
        const auto same = std::count(texts.begin(), texts.end(), text);
        const bool all = static_cast<std::size_t>(same) == texts.size();
        result.push_back({all ? "" : same > 1 ? fmt::format("rank {} and {} more of {}", rank, same - 1, texts.size()) : fmt::format("rank {} of {}", rank, texts.size()), text});
    }
    return result;
}

std::string join_lines(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
}

std::vector<std::string> split_lines(std::string_view text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        lines.emplace_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

}  // namespace zerosim::cli
