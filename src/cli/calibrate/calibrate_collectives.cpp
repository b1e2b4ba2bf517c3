#include "cli/calibrate/calibrate_collectives.hpp"

#include "cli/collectives/link_reference.hpp"
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
    const std::int64_t all = last_level_cache(), own = 4 * own_cache(); // four times: its sets do not fill evenly
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 1 << 10; bytes <= 1 << 22; bytes *= 4) {
            if (own > 0 && own < all) cases.push_back({kind, DType::fp32, bytes, repeats, own, cost::kShared});
            if (all > 0) cases.push_back({kind, DType::fp32, bytes, repeats, all, cost::kCold});
        }
    for (const CollectiveKind kind : {CollectiveKind::reduce_scatter, CollectiveKind::all_reduce}) // whose sums are widened and rounded
        for (std::int64_t bytes = 1 << 16; bytes <= 1 << 22; bytes *= 4)
            cases.push_back({kind, DType::bf16, bytes, repeats, all, all > 0 ? cost::kCold : cost::Coldness{}});
    return cases;
}

std::vector<LinkSample> measure_links(TeamRank& rank, const std::vector<CollectiveCase>& cases) {
    std::vector<LinkSample> samples;
    double before = link_reference_seconds(rank);
    for (const CollectiveCase& what : cases) {
        CollectiveSample sample = measure_collective(rank, what);
        const double after = link_reference_seconds(rank);
        samples.push_back({std::move(sample), std::sqrt(before * after)});
        before = after;
    }
    return samples;
}

SteadyLinks steady_links(const std::vector<std::vector<LinkSample>>& rounds) {
    constexpr double kNear = 1.15; // of two states that are 1.6 times apart, and beyond what the reference's medians differ by within one
    std::vector<double> references;
    for (const auto& round : rounds)
        for (const LinkSample& found : round) references.push_back(found.reference_seconds);
    SteadyLinks result;
    if (references.empty()) return result;
    std::ranges::sort(references);
    const double middle = references[(references.size() - 1) / 2]; // one of them: between two states there may be none
    result.reference_seconds = middle;
    result.fastest = percentile(references, 0.1) / middle;
    result.slowest = percentile(references, 0.9) / middle;
    const auto off = [middle](const LinkSample& found) { return std::abs(std::log(found.reference_seconds / middle)); };
    for (std::size_t i = 0; i < rounds.front().size(); ++i) {
        std::vector<LinkSample> found;
        for (const auto& round : rounds) found.push_back(round[i]);
        std::ranges::sort(found, {}, off);
        const auto far = std::ranges::find_if(found, [&](const LinkSample& one) { return off(one) > std::log(kNear); });
        result.unsteady += far == found.begin() ? 1 : 0;
        found.erase(far == found.begin() ? far + 1 : far, found.end());
        std::ranges::sort(found, {}, [](const LinkSample& one) { return one.sample.seconds; });
        result.samples.push_back(found[(found.size() - 1) / 2].sample);
    }
    return result;
}

} // namespace zerosim::cli
