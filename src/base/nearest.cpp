#include "base/nearest.hpp"

#include <algorithm>
#include <cctype>

namespace zerosim {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitution});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
        }
        std::swap(before, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

namespace {

/// Capitals and underscores are as good as what stands for them here.
std::string folded(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

/// `stage` is one of the words of `strategy.zero-stage`.
bool is_word_of(std::string_view name, std::string_view candidate) {
    constexpr std::string_view kBetween = ".-";
    for (std::size_t at = candidate.find(name); at != std::string_view::npos; at = candidate.find(name, at + 1)) {
        const std::size_t end = at + name.size();
        const bool begins = at == 0 || kBetween.find(candidate[at - 1]) != std::string_view::npos;
        if (begins && (end == candidate.size() || kBetween.find(candidate[end]) != std::string_view::npos)) return true;
    }
    return false;
}

std::size_t distance_between(const std::string& name, const std::string& candidate) {
    std::size_t distance = edit_distance(name, candidate);
    const std::size_t dot = candidate.rfind('.');
    if (dot != std::string::npos && name.find('.') == std::string::npos)
        distance = std::min(distance, 1 + edit_distance(name, std::string_view(candidate).substr(dot + 1)));
    if (name.size() < 3) return distance;
    // An abbreviation: its missing rest is not a mistake.
    if (candidate.starts_with(name)) distance = std::min<std::size_t>(distance, 1);
    const std::size_t section = name.rfind('.') + 1; // 0 where there is none
    if (candidate.starts_with(name.substr(0, section)) && name.size() >= section + 3 && is_word_of(std::string_view(name).substr(section), std::string_view(candidate).substr(section)))
        distance = std::min<std::size_t>(distance, 2);
    return distance;
}

} // namespace

std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates) {
    const std::string meant = folded(name);
    // As many mistakes as letters would make any name near.
    const std::size_t limit = meant.empty() ? 0 : std::min(std::max<std::size_t>(2, meant.size() / 3), meant.size() - 1);
    std::size_t best = limit;
    std::vector<std::string> found;
    for (const std::string& candidate : candidates) {
        const std::size_t distance = distance_between(meant, folded(candidate));
        if (distance > best) continue;
        if (distance < best) found.clear();
        best = distance;
        found.push_back(candidate);
    }
    return found;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> candidates) {
    constexpr std::size_t kMost = 4;
    std::vector<std::string> found = nearest(name, candidates);
    if (found.empty()) return {};
    found.resize(std::min(found.size(), kMost));
    std::string text = "; did you mean ";
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (i > 0) text += i + 1 == found.size() ? " or " : ", ";
        text.append("'").append(found[i]).append("'");
    }
    return text + "?";
}

} // namespace zerosim
