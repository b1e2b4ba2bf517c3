// The columns of one rank's trace, differenced so that they compress: shared by the file format and by to_bytes.
// Used inside trace/ only.
// Does not compress and does not check what the numbers mean.
#pragma once

#include "trace/trace.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace zerosim::trace {

/// Little-endian: steps i32[n], ops u32[n], issue i64[n] as differences to the row before, begin - issue, end - begin, live bytes.
inline constexpr std::size_t kBytesPerRow = 4 + 4 + 4 * 8;

void append_columns(std::vector<std::byte>& out, std::span<const OpTime> times);
/// `bytes` holds exactly rows * kBytesPerRow.
[[nodiscard]] std::vector<OpTime> parse_columns(std::span<const std::byte> bytes, std::size_t rows);

}  // namespace zerosim::trace
