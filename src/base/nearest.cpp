#include "base/nearest.hpp"

#include <algorithm>
#include <limits>
#include <vector>

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

std::optional<std::string> nearest(std::string_view name, std::span<const std::string> candidates) {
    std::size_t best = std::numeric_limits<std::size_t>::max();
    const std::string* found = nullptr;
    for (const std::string& candidate : candidates) {
        std::size_t distance = edit_distance(name, candidate);
        const std::size_t dot = candidate.rfind('.');
        if (dot != std::string::npos && name.find('.') == std::string_view::npos) {
            distance = std::min(distance, 1 + edit_distance(name, std::string_view(candidate).substr(dot + 1)));
        }
        // An abbreviation: its missing rest is not a mistake.
        if (name.size() >= 3 && candidate.starts_with(name)) distance = std::min<std::size_t>(distance, 1);
        if (distance < best) {
            best = distance;
            found = &candidate;
        }
    }
    const std::size_t limit = std::max<std::size_t>(2, name.size() / 3);
    if (found == nullptr || best > limit) return std::nullopt;
    return *found;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> candidates) {
    const auto found = nearest(name, candidates);
    return found ? "; did you mean '" + *found + "'?" : std::string();
}

} // namespace zerosim
