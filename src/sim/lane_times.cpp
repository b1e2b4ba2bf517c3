#include "sim/lane_times.hpp"

#include <algorithm>

// 64-bit maxima want AVX-512; baseline x86-64 has none. Integers alone: every version gives the same result. Resolvers of clones run before
// sanitizers are ready.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZEROSIM_VECTOR_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define ZEROSIM_VECTOR_CLONES
#endif

namespace zerosim::sim {
namespace {

ZEROSIM_VECTOR_CLONES void raise_all(std::int64_t* times, const std::int64_t* floor, std::int64_t earlier, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) times[i] = std::max(times[i], floor[i] - earlier);
}

ZEROSIM_VECTOR_CLONES void latest_of_all(std::int64_t* result, const std::int64_t* times, const std::int64_t* other, std::int64_t later,
                                         std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) result[i] = std::max(times[i], other[i] + later);
}

ZEROSIM_VECTOR_CLONES void add_all(std::int64_t* result, const std::int64_t* begin, const std::int64_t* lasts, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) result[i] = begin[i] + lasts[i];
}

ZEROSIM_VECTOR_CLONES std::int64_t highest(const std::int64_t* times, std::size_t n) {
    std::int64_t high = INT64_MIN;
    for (std::size_t i = 0; i < n; ++i) high = std::max(high, times[i]);
    return high;
}

ZEROSIM_VECTOR_CLONES std::int64_t add_all_differences(std::int64_t* sums, std::int64_t end, const std::int64_t* times, std::size_t n) {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < n; ++i) {
        sums[i] += end - times[i];
        total += end - times[i];
    }
    return total;
}

} // namespace

void raise(Times& times, const Times& floor, std::int64_t earlier) { raise_all(times.data(), floor.data(), earlier, times.size()); }

void latest(Times& result, const Times& times, const Times& other, std::int64_t later) {
    latest_of_all(result.data(), times.data(), other.data(), later, times.size());
}

void add(Times& result, const Times& begin, const Times& lasts) { add_all(result.data(), begin.data(), lasts.data(), begin.size()); }

void add(Times& result, const Times& begin, std::int64_t lasts) {
    std::ranges::transform(begin, result.begin(), [lasts](std::int64_t time) { return time + lasts; });
}

Latest latest(const Times& times) {
    const std::int64_t high = highest(times.data(), times.size());
    return {high, static_cast<std::uint32_t>(std::ranges::find(times, high) - times.begin())};
}

std::int64_t add_differences(Times& sums, std::size_t first, std::int64_t end, const Times& times) {
    return add_all_differences(sums.data() + first, end, times.data(), times.size());
}

} // namespace zerosim::sim
