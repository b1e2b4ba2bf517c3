// The trace file: one JSON header line, then the columns of every rank, the whole gzipped. Also one rank's trace as plain bytes.
// Called by cli/ (writing, `zerosim report`) and to gather ranks' traces over a byte channel.
// Does not hold the schedule: `metadata` is the JSON text (a report) by which a reader knows what the rows mean.
#pragma once

#include "trace/trace.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace zerosim::trace {

struct TraceFile {
    Trace trace;
    std::string metadata;   // one JSON value; "null" when there is none
};

/// Throws EnvironmentError when the file cannot be written, ConfigError when it cannot be read or is damaged.
void write_trace(const std::filesystem::path& path, const Trace& trace, const std::string& metadata = "null");
[[nodiscard]] TraceFile read_trace(const std::filesystem::path& path);
/// Whether the file begins like a trace file (gzip magic, then our header).
[[nodiscard]] bool is_trace_file(const std::filesystem::path& path);

/// One rank's trace as bytes and back; equal on both sides.
[[nodiscard]] std::vector<std::byte> to_bytes(const RankTrace& rank);
[[nodiscard]] RankTrace from_bytes(std::span<const std::byte> bytes);

}  // namespace zerosim::trace
