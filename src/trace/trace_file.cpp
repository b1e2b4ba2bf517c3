#include "trace/trace_file.hpp"

#include "base/error.hpp"
#include "trace/columns.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace zerosim::trace {
namespace {

constexpr std::string_view kFormat = "zerosim-trace";
constexpr int kVersion = 1;
constexpr std::size_t kLongestHeader = 64u << 20;    // a damaged file must not make the reader ask for all memory
constexpr std::size_t kReadBlock = 1u << 20;

struct GzClose {
    void operator()(gzFile_s* file) const noexcept { gzclose(file); }
};
using GzFile = std::unique_ptr<gzFile_s, GzClose>;

void write_all(gzFile file, const std::filesystem::path& path, const void* data, std::size_t bytes) {
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
        const auto part = static_cast<unsigned>(std::min(bytes, kReadBlock));
        if (gzwrite(file, at, part) != static_cast<int>(part))
            throw EnvironmentError(fmt::format("cannot write the trace file '{}': is the disk full?", path.string()));
        at += part;
        bytes -= part;
    }
}

[[noreturn]] void damaged(const std::filesystem::path& path, std::string_view what) {
    throw ConfigError(fmt::format("'{}' is not a readable zerosim trace: {}", path.string(), what));
}

std::string read_header(gzFile file, const std::filesystem::path& path) {
    std::string header;
    for (int c = gzgetc(file); c != '\n'; c = gzgetc(file)) {
        if (c < 0) damaged(path, "it ends inside its header line");
        if (header.size() >= kLongestHeader) damaged(path, "it has no header line");
        if (header.empty() && c != '{') damaged(path, "it does not begin with a JSON header");
        header.push_back(static_cast<char>(c));
    }
    return header;
}

// Reads in blocks, so that a wrong row count ends at the end of the file and not in an allocation.
std::vector<OpTime> read_rows(gzFile file, const std::filesystem::path& path, std::size_t rows) {
    std::vector<std::byte> bytes;
    std::size_t wanted = rows > (std::size_t{1} << 48) / kBytesPerRow ? 0 : rows * kBytesPerRow;
    if (wanted == 0 && rows != 0) damaged(path, fmt::format("its header promises {} rows", rows));
    while (wanted > 0) {
        const std::size_t part = std::min(wanted, kReadBlock);
        const std::size_t before = bytes.size();
        bytes.resize(before + part);
        if (gzread(file, bytes.data() + before, static_cast<unsigned>(part)) != static_cast<int>(part))
            damaged(path, fmt::format("it ends before the {} rows its header promises", rows));
        wanted -= part;
    }
    return parse_columns(bytes, rows);
}

}  // namespace

void write_trace(const std::filesystem::path& path, const Trace& trace, const std::string& metadata) {
    nlohmann::ordered_json header;
    header["format"] = kFormat;
    header["version"] = kVersion;
    header["simulated"] = trace.simulated;
    header["ranks"] = nlohmann::ordered_json::array();
    for (const RankTrace& rank : trace.ranks)
        header["ranks"].push_back({{"rank", rank.rank}, {"clock_offset_ns", rank.clock_offset}, {"rows", rank.times.size()}});
    header["metadata"] = nlohmann::ordered_json::parse(metadata);
    GzFile file(gzopen(path.c_str(), "wb6"));
    if (!file) throw EnvironmentError(fmt::format("cannot create the trace file '{}'", path.string()));
    const std::string line = header.dump() + "\n";
    write_all(file.get(), path, line.data(), line.size());
    std::vector<std::byte> columns;
    for (const RankTrace& rank : trace.ranks) {
        columns.clear();
        append_columns(columns, rank.times);
        write_all(file.get(), path, columns.data(), columns.size());
    }
    if (gzclose(file.release()) != Z_OK)
        throw EnvironmentError(fmt::format("cannot write the trace file '{}': is the disk full?", path.string()));
}

TraceFile read_trace(const std::filesystem::path& path) {
    GzFile file(gzopen(path.c_str(), "rb"));
    if (!file) throw ConfigError(fmt::format("cannot open the trace file '{}'", path.string()));
    try {
        const auto header = nlohmann::ordered_json::parse(read_header(file.get(), path));
        if (header.at("format") != kFormat) damaged(path, "its header names another format");
        if (header.at("version") != kVersion)
            damaged(path, fmt::format("it has version {}; this program reads version {}", header.at("version").dump(), kVersion));
        TraceFile result;
        result.trace.simulated = header.at("simulated").get<bool>();
        result.metadata = header.at("metadata").dump();
        for (const auto& entry : header.at("ranks")) {
            RankTrace rank;
            rank.rank = entry.at("rank").get<std::int64_t>();
            rank.clock_offset = entry.at("clock_offset_ns").get<std::int64_t>();
            rank.times = read_rows(file.get(), path, entry.at("rows").get<std::size_t>());
            result.trace.ranks.push_back(std::move(rank));
        }
        return result;
    } catch (const nlohmann::json::exception& error) {
        damaged(path, error.what());
    }
}

bool is_trace_file(const std::filesystem::path& path) {
    GzFile file(gzopen(path.c_str(), "rb"));
    if (!file || gzdirect(file.get()) != 0) return false;
    const std::string begin = fmt::format("{{\"format\":\"{}\"", kFormat);
    std::string read(begin.size(), '\0');
    return gzread(file.get(), read.data(), static_cast<unsigned>(read.size())) == static_cast<int>(read.size()) && read == begin;
}

std::vector<std::byte> to_bytes(const RankTrace& rank) {
    std::vector<std::byte> out(2 * sizeof(std::int64_t));
    std::memcpy(out.data(), &rank.rank, sizeof(rank.rank));
    std::memcpy(out.data() + sizeof(rank.rank), &rank.clock_offset, sizeof(rank.clock_offset));
    append_columns(out, rank.times);
    return out;
}

RankTrace from_bytes(std::span<const std::byte> bytes) {
    RankTrace rank;
    const std::size_t prefix = sizeof(rank.rank) + sizeof(rank.clock_offset);
    check(bytes.size() >= prefix && (bytes.size() - prefix) % kBytesPerRow == 0, "bytes of a rank's trace have the wrong length");
    std::memcpy(&rank.rank, bytes.data(), sizeof(rank.rank));
    std::memcpy(&rank.clock_offset, bytes.data() + sizeof(rank.rank), sizeof(rank.clock_offset));
    rank.times = parse_columns(bytes.subspan(prefix), (bytes.size() - prefix) / kBytesPerRow);
    return rank;
}

}  // namespace zerosim::trace
