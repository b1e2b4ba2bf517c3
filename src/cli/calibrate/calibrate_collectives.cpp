#include "cli/calibrate/calibrate_collectives.hpp"

#include "cli/machine.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace zerosim::cli {

std::vector<CollectiveCase> collective_cases(int repeats) {
    std::vector<CollectiveCase> cases;
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 1 << 10; bytes <= 1 << 26; bytes *= 4) cases.push_back({kind, DType::fp32, bytes, repeats});
    for (std::int64_t bytes = 1 << 10; bytes <= 1 << 22; bytes *= 4) cases.push_back({CollectiveKind::broadcast, DType::fp32, bytes, repeats});
    return cases;
}

std::vector<CollectiveCase> cold_cases(int repeats) {
    std::vector<CollectiveCase> cases;
    const std::int64_t walked = last_level_cache();
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 1 << 10; bytes <= 1 << 22 && walked > 0; bytes *= 4) cases.push_back({kind, DType::fp32, bytes, repeats, walked});
    for (const CollectiveKind kind : {CollectiveKind::reduce_scatter, CollectiveKind::all_reduce}) // whose sums are widened and rounded
        for (std::int64_t bytes = 1 << 16; bytes <= 1 << 22; bytes *= 4) cases.push_back({kind, DType::bf16, bytes, repeats, walked});
    return cases;
}

MiddleRound middle_round(const std::vector<std::vector<CollectiveSample>>& rounds) {
    std::vector<std::pair<double, std::size_t>> times; // sums of logarithms: the product of a round's times
    for (std::size_t round = 0; round < rounds.size(); ++round) {
        double sum = 0;
        for (const CollectiveSample& sample : rounds[round]) sum += sample.seconds > 0 ? std::log(sample.seconds) : 0.0;
        times.emplace_back(sum, round);
    }
    std::ranges::sort(times);
    const auto [middle, round] = times[times.size() / 2];
    const double samples = std::max(1.0, static_cast<double>(rounds[round].size()));
    return {rounds[round], std::exp((times.front().first - middle) / samples), std::exp((times.back().first - middle) / samples)};
}

} // namespace zerosim::cli
