#include "cli/calibrate/calibrate_collectives.hpp"

#include "cli/machine.hpp"

#include <algorithm>

namespace zerosim::cli {

std::vector<CollectiveCase> collective_cases(int repeats) {
    std::vector<CollectiveCase> cases;
    for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce})
        for (std::int64_t bytes = 1 << 10; bytes <= 1 << 26; bytes *= 4) cases.push_back({kind, DType::fp32, bytes, repeats});
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

std::vector<CollectiveSample> middle_of_rounds(const std::vector<std::vector<CollectiveSample>>& rounds) {
    std::vector<CollectiveSample> middle = rounds.front();
    for (std::size_t i = 0; i < middle.size(); ++i) {
        std::vector<CollectiveSample> of_rounds;
        for (const auto& round : rounds) of_rounds.push_back(round[i]);
        std::ranges::sort(of_rounds, {}, &CollectiveSample::seconds);
        middle[i] = of_rounds[of_rounds.size() / 2];
    }
    return middle;
}

} // namespace zerosim::cli
