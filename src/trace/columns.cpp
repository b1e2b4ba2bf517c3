#include "trace/columns.hpp"

#include "base/error.hpp"

#include <bit>
#include <cstring>

namespace zerosim::trace {
namespace {

static_assert(std::endian::native == std::endian::little, "columns are written as they lie in memory");

template <class T, class Value>
std::byte* put(std::byte* at, std::span<const OpTime> times, Value value) {
    for (std::size_t row = 0; row < times.size(); ++row, at += sizeof(T)) {
        const T x = value(row);
        std::memcpy(at, &x, sizeof(T));
    }
    return at;
}

template <class T, class Store>
const std::byte* get(const std::byte* at, std::size_t rows, Store store) {
    for (std::size_t row = 0; row < rows; ++row, at += sizeof(T)) {
        T x;
        std::memcpy(&x, at, sizeof(T));
        store(row, x);
    }
    return at;
}

// Differences of damaged files may overflow: wrap instead.
std::int64_t plus(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t minus(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

}  // namespace

void append_columns(std::vector<std::byte>& out, std::span<const OpTime> times) {
    const std::size_t before = out.size();
    out.resize(before + times.size() * kBytesPerRow);
    std::byte* at = out.data() + before;
    at = put<std::int32_t>(at, times, [&](std::size_t i) { return times[i].step; });
    at = put<std::uint32_t>(at, times, [&](std::size_t i) { return times[i].op; });
    at = put<std::int64_t>(at, times, [&](std::size_t i) { return minus(times[i].issue, i == 0 ? 0 : times[i - 1].issue); });
    at = put<std::int64_t>(at, times, [&](std::size_t i) { return minus(times[i].begin, times[i].issue); });
    at = put<std::int64_t>(at, times, [&](std::size_t i) { return minus(times[i].end, times[i].begin); });
    put<std::int64_t>(at, times, [&](std::size_t i) { return times[i].live_bytes; });
}

std::vector<OpTime> parse_columns(std::span<const std::byte> bytes, std::size_t rows) {
    check(bytes.size() / kBytesPerRow == rows && bytes.size() % kBytesPerRow == 0, "column bytes must match the row count");
    std::vector<OpTime> times(rows);
    const std::byte* at = bytes.data();
    at = get<std::int32_t>(at, rows, [&](std::size_t i, std::int32_t x) { times[i].step = x; });
    at = get<std::uint32_t>(at, rows, [&](std::size_t i, std::uint32_t x) { times[i].op = x; });
    at = get<std::int64_t>(at, rows, [&](std::size_t i, std::int64_t x) { times[i].issue = plus(x, i == 0 ? 0 : times[i - 1].issue); });
    at = get<std::int64_t>(at, rows, [&](std::size_t i, std::int64_t x) { times[i].begin = plus(x, times[i].issue); });
    at = get<std::int64_t>(at, rows, [&](std::size_t i, std::int64_t x) { times[i].end = plus(x, times[i].begin); });
    get<std::int64_t>(at, rows, [&](std::size_t i, std::int64_t x) { times[i].live_bytes = x; });
    return times;
}

}  // namespace zerosim::trace
