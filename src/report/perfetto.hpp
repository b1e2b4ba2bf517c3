// A trace as Chrome trace JSON for ui.perfetto.dev: a process per rank, a thread per stream and for the host, the critical path, memory counters,
// flows that join a collective over its ranks.
// Called by cli/ for `--perfetto FILE`; written as a stream, gzipped when the name ends in .gz.
// Does not align clocks (trace/clock.hpp) and does not choose ranks or steps beyond what the options say.
#pragma once

#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <cstdint>
#include <filesystem>

namespace zerosim::report {

/// Throws EnvironmentError where the file cannot be written. Returns the bytes of JSON (before gzip): above about 200 MB the page
/// of Perfetto struggles (google/perfetto#99), of which cli/ warns.
std::int64_t write_perfetto(const std::filesystem::path& path, const schedule::Schedule& schedule, const trace::Trace& trace);

inline constexpr std::int64_t kPerfettoWarnBytes = 200'000'000;

}  // namespace zerosim::report
