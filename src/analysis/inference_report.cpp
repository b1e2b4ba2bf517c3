#include "analysis/inference_report.hpp"

#include "base/error.hpp"
#include "schedule/memory.hpp"

#include <algorithm>
#include <array>

namespace zerosim::analysis {
namespace {

constexpr std::size_t kParts = 4;   // prefill, first token, growth between, last token
constexpr double kSecondsPerNanosecond = 1e-9;

std::array<std::int64_t, kParts> part_peaks(const schedule::Program& program) {
    std::array<std::int64_t, kParts> peaks{};
    const auto live = schedule::live_bytes(program, 0, program.ops.size(), 0);
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const auto part = static_cast<std::size_t>(std::max<std::int16_t>(0, program.ops[i].tags.micro_batch));
        peaks.at(part) = std::max(peaks.at(part), live[i]);
    }
    return peaks;
}

/// Of the last step: from the end of the part before to the end of this one.
std::array<double, kParts> part_seconds(const schedule::Program& program, const trace::RankTrace& rank) {
    std::array<std::int64_t, kParts> ends{};
    const std::int32_t last = rank.times.empty() ? 0 : rank.times.back().step;
    std::int64_t begin = -1;
    for (const trace::OpTime& row : rank.times) {
        if (row.step != last) continue;
        if (begin < 0) begin = row.begin;
        const auto part = static_cast<std::size_t>(std::max<std::int16_t>(0, program.ops[row.op].tags.micro_batch));
        ends.at(part) = std::max(ends.at(part), row.end);
    }
    std::array<double, kParts> seconds{};
    std::int64_t before = begin;
    for (std::size_t part = 0; part < kParts; ++part) {
        if (ends[part] == 0) continue;
        seconds[part] = static_cast<double>(ends[part] - before) * kSecondsPerNanosecond;
        before = ends[part];
    }
    return seconds;
}

}  // namespace

InferenceReport inference_report(const schedule::Schedule& schedule, const trace::Trace& trace, const InferenceFacts& facts) {
    check(!trace.ranks.empty(), "a report of inference needs the trace of a rank");
    const schedule::Program& program = schedule.program_of(0);
    InferenceReport report;
    report.facts = facts;
    report.cache = facts.batch * facts.sequence_cache_bytes;
    for (std::size_t i = 0; i < program.first_begin; ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind != schedule::OpKind::alloc) continue;
        const schedule::Storage& storage = program.storage(op.storage);
        if (storage.space != schedule::Space::device) continue;
        if (storage.role == schedule::Role::parameter || storage.role == schedule::Role::parameter_shard) report.weights += storage.bytes;
        if (storage.role == schedule::Role::kv_cache) report.cache_pool += storage.bytes;
    }
    const auto peaks = part_peaks(program);
    report.prefill_peak = peaks[0];
    report.decode_peak = std::max(peaks[1], peaks[3]);
    const auto seconds = part_seconds(program, trace.ranks.front());
    report.prefill_seconds = seconds[0];
    report.first_token_seconds = seconds[1];
    report.last_token_seconds = seconds[3];
    return report;
}

}  // namespace zerosim::analysis
