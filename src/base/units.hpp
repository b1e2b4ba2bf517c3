// Numbers with units as people write and read them: sizes in GiB and MiB (binary), rates in GB/s (decimal), times in ms.
// Used by options, reports and error messages; machine output keeps SI base units and does not come here.
// Does not know options.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace zerosim {

[[nodiscard]] std::string format_bytes(double bytes);            // "1.50 GiB", "512 B"
[[nodiscard]] std::string format_seconds(double seconds);        // "12.3 ms", "4.5 us"
[[nodiscard]] std::string format_rate(double bytes_per_second);  // "1.23 GB/s"
[[nodiscard]] std::string format_flops(double flops_per_second); // "1.23 TFLOP/s"
[[nodiscard]] std::string format_count(std::int64_t count);      // "124,439,808"

// The whole text must be the number; nullopt otherwise.
/// An integer, also as 5e8 or 1e3 (DeepSpeed files write sizes so); not 1.5.
[[nodiscard]] std::optional<std::int64_t> parse_integer(std::string_view text);
/// A finite real number.
[[nodiscard]] std::optional<double> parse_real(std::string_view text);
/// Bytes: 128M = 128MiB (binary, as nccl-tests reads them), 128MB decimal, bare = bytes.
[[nodiscard]] std::optional<std::int64_t> parse_bytes(std::string_view text);
/// true | false.
[[nodiscard]] std::optional<bool> parse_boolean(std::string_view text);

} // namespace zerosim
