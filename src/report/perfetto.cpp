#include "report/perfetto.hpp"

#include "analysis/step_path.hpp"
#include "report/gz_writer.hpp"
#include "trace/matching.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

namespace zerosim::report {
namespace {

constexpr int kHostThread = 0;      // threads 1, 2, ... are the program's streams
constexpr int kPathThread = 1000;   // beyond any program's streams

std::string json_string(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class EventWriter {
public:
    EventWriter(const std::filesystem::path& path, const schedule::Schedule& schedule, const trace::Trace& trace)
        : out_(path), schedule_(schedule), trace_(trace) {
        origin_ = INT64_MAX;   // times start at 0: floating microseconds since boot would lose digits in the page
        for (const trace::RankTrace& rank : trace.ranks)
            for (const trace::OpTime& row : rank.times) origin_ = std::min(origin_, row.issue + rank.clock_offset);
    }
    std::int64_t write_all() {
        out_.write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
        for (const trace::RankTrace& rank : trace_.ranks) write_rank(rank);
        write_flows();
        write_path();
        out_.write("\n]}\n");
        out_.close();
        return out_.bytes();
    }

private:
    void event(std::string_view text) {
        if (!first_) out_.write(",\n");
        first_ = false;
        out_.write(text);
    }
    /// Microseconds with the nanoseconds as decimals.
    [[nodiscard]] std::string micros(std::int64_t nanoseconds) const {
        return fmt::format("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000);
    }
    [[nodiscard]] std::string at(std::int64_t time, const trace::RankTrace& rank) const {
        return micros(time + rank.clock_offset - origin_);
    }
    void name_process(const trace::RankTrace& rank, const schedule::Program& program);
    void write_rank(const trace::RankTrace& rank);
    void write_op(const trace::RankTrace& rank, const schedule::Program& program, const trace::OpTime& row);
    void write_flows();
    void write_path();

    GzWriter out_;
    const schedule::Schedule& schedule_;
    const trace::Trace& trace_;
    std::int64_t origin_ = 0;
    bool first_ = true;
};

bool on_host(schedule::OpKind kind) {
    using enum schedule::OpKind;
    return kind == alloc || kind == free || kind == host_wait || kind == mark;
}

std::string op_name(const schedule::Schedule& schedule, const schedule::Program& program, const schedule::Op& op) {
    std::string text(schedule.names[op.name]);
    if (text.empty()) text = name(op.kind);
    if (op.storage.valid()) text += ' ' + std::string(schedule.names[program.storage(op.storage).name]);
    return text;
}

std::string op_args(const schedule::Program& program, const schedule::Op& op, const trace::OpTime& row) {
    std::string args = fmt::format("\"step\":{},\"op\":{},\"phase\":\"{}\"", row.step, row.op, name(op.tags.phase));
    if (op.tags.layer >= 0) args += fmt::format(",\"layer\":{}", op.tags.layer);
    if (op.tags.micro_batch >= 0) args += fmt::format(",\"micro_batch\":{}", op.tags.micro_batch);
    if (op.storage.valid()) args += fmt::format(",\"bytes\":{}", program.storage(op.storage).bytes);
    if (op.kind == schedule::OpKind::collective)
        args += fmt::format(",\"message_bytes\":{}", schedule::message_bytes(program, program.collective_of(op)));
    if (op.tags.recompute) args += ",\"recompute\":true";
    return args;
}

void EventWriter::name_process(const trace::RankTrace& rank, const schedule::Program& program) {
    const auto metadata = [&](std::string_view what, int thread, std::string_view value) {
        event(fmt::format(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{{}}}}})", what, rank.rank, thread, value));
    };
    metadata("process_name", 0, fmt::format("\"name\":\"rank {}\"", rank.rank));
    metadata("process_sort_index", 0, fmt::format("\"sort_index\":{}", rank.rank));
    metadata("thread_name", kHostThread, "\"name\":\"host\"");
    for (std::size_t stream = 0; stream < program.streams.size(); ++stream) {
        const int thread = static_cast<int>(stream) + 1;
        metadata("thread_name", thread, "\"name\":" + json_string(schedule_.names[program.streams[stream].name]));
        metadata("thread_sort_index", thread, fmt::format("\"sort_index\":{}", thread));
    }
}

void EventWriter::write_op(const trace::RankTrace& rank, const schedule::Program& program, const trace::OpTime& row) {
    const schedule::Op& op = program.ops[row.op];
    const bool host = on_host(op.kind) || !op.stream.valid();
    const int thread = host ? kHostThread : static_cast<int>(op.stream.index()) + 1;
    const std::int64_t begin = host ? row.issue : row.begin;
    if (row.end > begin || op.kind == schedule::OpKind::collective || op.kind == schedule::OpKind::compute)
        event(fmt::format(R"({{"ph":"X","name":{},"cat":"{}","pid":{},"tid":{},"ts":{},"dur":{},"args":{{{}}}}})",
                          json_string(op_name(schedule_, program, op)), name(op.kind), rank.rank, thread, at(begin, rank),
                          micros(std::max<std::int64_t>(0, row.end - begin)), op_args(program, op, row)));
}

void EventWriter::write_rank(const trace::RankTrace& rank) {
    const schedule::Program& program = schedule_.program_of(rank.rank);
    name_process(rank, program);
    std::int64_t live = -1;
    for (const trace::OpTime& row : rank.times) {
        write_op(rank, program, row);
        if (row.live_bytes < 0 || row.live_bytes == live) continue;
        live = row.live_bytes;
        event(fmt::format(R"({{"ph":"C","name":"live bytes","pid":{},"ts":{},"args":{{"bytes":{}}}}})", rank.rank, at(row.issue, rank), live));
    }
}

void EventWriter::write_flows() {
    std::int64_t id = 0;
    for (const trace::MatchedCollective& collective : trace::match_collectives(schedule_, trace_)) {
        if (collective.members.size() < 2) continue;
        struct Point {
            const trace::RankTrace* rank;
            const trace::OpTime* row;
        };
        std::vector<Point> points;
        for (const auto& member : collective.members)
            points.push_back({&trace_.ranks[member.rank_index], &trace_.ranks[member.rank_index].times[member.row]});
        std::ranges::stable_sort(points, {}, [](const Point& p) { return p.row->begin + p.rank->clock_offset; });   // flows run forward
        ++id;
        for (std::size_t i = 0; i < points.size(); ++i) {
            const auto [rank, row] = points[i];
            const std::string_view phase = i == 0 ? "s" : i + 1 == points.size() ? "f" : "t";
            const schedule::Op& op = schedule_.program_of(rank->rank).ops[row->op];
            event(fmt::format(R"({{"ph":"{}","name":"collective","cat":"collective","id":{},"pid":{},"tid":{},"ts":{}{}}})", phase, id,
                              rank->rank, op.stream.index() + 1, at(row->begin, *rank), phase == "f" ? R"(,"bp":"e")" : ""));
        }
    }
}

/// A track of its own on each rank that the median step's critical path runs through.
void EventWriter::write_path() {
    std::vector<bool> named(trace_.ranks.size(), false);
    for (const analysis::PathStretch& stretch : analysis::slowest_step_path(schedule_, trace_)) {
        const std::int64_t rank = trace_.ranks[stretch.rank_index].rank;
        if (!named[stretch.rank_index])
            event(fmt::format(R"({{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":"critical path"}}}})", rank, kPathThread));
        named[stretch.rank_index] = true;
        const schedule::Program& program = schedule_.program_of(rank);
        std::string text = stretch.op.valid() ? op_name(schedule_, program, program.op(stretch.op)) : "late start";
        if (stretch.kind == analysis::PathStretch::Kind::host && stretch.op.valid()) text.insert(0, "host: ");
        event(fmt::format(R"({{"ph":"X","name":{},"cat":"path","pid":{},"tid":{},"ts":{},"dur":{}}})", json_string(text), rank, kPathThread,
                          micros(stretch.begin - origin_), micros(stretch.end - stretch.begin)));
    }
}

}  // namespace

std::int64_t write_perfetto(const std::filesystem::path& path, const schedule::Schedule& schedule, const trace::Trace& trace) {
    return EventWriter(path, schedule, trace).write_all();
}

}  // namespace zerosim::report
