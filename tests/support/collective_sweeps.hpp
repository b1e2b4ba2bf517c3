// The published sweeps of collectives in tests/truth/collectives, as data.
// Used by the accuracy test and by the fit of the cost model's constants.
#pragma once

#include "base/collective.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace zerosim::test {

constexpr std::int64_t kLargeBytes = std::int64_t{16} << 20;

struct Point {
    std::int64_t bytes = 0;
    double seconds = 0;
};

struct Sweep {
    std::string name, cluster, use; // use: score, bad (fabric), forced (algorithm)
    CollectiveKind kind{};
    std::int64_t ranks = 0, stride = 1;
    std::vector<Point> points;
};

/// What a cluster's sweeps must not exceed.
struct Limit {
    std::string cluster;
    double all = 0, large = 0;
    int within = 0;
};

inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.empty() ? 0.0 : values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// Rows by column name; no cell of these files holds a comma.
inline std::vector<std::map<std::string, std::string>> read_rows(const std::string& file) {
    std::ifstream stream(fmt::format("{}/tests/truth/collectives/{}", ZEROSIM_SOURCE_DIR, file));
    if (!stream) throw std::runtime_error(fmt::format("cannot read tests/truth/collectives/{}", file));
    const auto cells = [](const std::string& line) {
        std::vector<std::string> result;
        std::istringstream text(line);
        for (std::string cell; std::getline(text, cell, ',');) result.push_back(cell);
        return result;
    };
    std::string line;
    std::getline(stream, line);
    const std::vector<std::string> names = cells(line);
    std::vector<std::map<std::string, std::string>> rows;
    while (std::getline(stream, line)) {
        const std::vector<std::string> values = cells(line);
        auto& row = rows.emplace_back();
        for (std::size_t i = 0; i < names.size() && i < values.size(); ++i) row[names[i]] = values[i];
    }
    return rows;
}

inline CollectiveKind kind_named(const std::string& text) {
    using enum CollectiveKind;
    for (const CollectiveKind kind : {all_reduce, all_gather, reduce_scatter, broadcast, all_to_all})
        if (text == name(kind)) return kind;
    throw std::runtime_error(fmt::format("unknown collective '{}'", text));
}

inline std::vector<Sweep> collective_sweeps() {
    std::map<std::string, std::vector<Point>> points;
    for (const auto& row : read_rows("times.csv"))
        points[row.at("sweep")].push_back({std::stoll(row.at("bytes")), std::stod(row.at("microseconds")) * 1e-6});
    std::vector<Sweep> sweeps;
    for (const auto& row : read_rows("sweeps.csv"))
        sweeps.push_back({row.at("sweep"), row.at("cluster"), row.at("use"), kind_named(row.at("kind")), std::stoll(row.at("ranks")),
                          std::stoll(row.at("stride")), points.at(row.at("sweep"))});
    return sweeps;
}

inline std::vector<Limit> collective_limits() {
    std::vector<Limit> limits;
    for (const auto& row : read_rows("limits.csv"))
        limits.push_back({row.at("cluster"), std::stod(row.at("all_sizes")), std::stod(row.at("large")), std::stoi(row.at("within"))});
    return limits;
}

} // namespace zerosim::test
