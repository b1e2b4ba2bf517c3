#include "trace/trace_file.hpp"

#include "base/error.hpp"
#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <random>

namespace zerosim::trace {
namespace {

class TraceFileTest : public testing::Test {
protected:
    TraceFileTest() : path_(std::filesystem::temp_directory_path() / ("zerosim-trace-test-" + std::to_string(getpid()))) {}
    ~TraceFileTest() override {
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
    }
    std::filesystem::path path_;
};

bool equal(const RankTrace& a, const RankTrace& b) {
    const auto same = [](const OpTime& x, const OpTime& y) {
        return x.step == y.step && x.op == y.op && x.issue == y.issue && x.begin == y.begin && x.end == y.end && x.live_bytes == y.live_bytes;
    };
    return a.rank == b.rank && a.clock_offset == b.clock_offset && std::ranges::equal(a.times, b.times, same);
}

RankTrace random_rank(std::int64_t number, std::size_t rows) {
    std::mt19937_64 random(static_cast<std::uint64_t>(number) + 1);
    RankTrace rank{number, static_cast<std::int64_t>(random()), {}};
    for (std::size_t i = 0; i < rows; ++i)
        rank.times.push_back({static_cast<std::int32_t>(random() % 9), static_cast<std::uint32_t>(random()), static_cast<std::int64_t>(random()),
                              static_cast<std::int64_t>(random()), static_cast<std::int64_t>(random()), static_cast<std::int64_t>(random())});
    return rank;
}

TEST_F(TraceFileTest, RoundTripOfAnyNumbers) {
    Trace trace;
    trace.simulated = true;
    for (const std::int64_t rank : {0, 1, 5}) trace.ranks.push_back(random_rank(rank, rank == 1 ? 0 : 50'000));
    write_trace(path_, trace, R"({"model":"x"})");
    EXPECT_TRUE(is_trace_file(path_));
    const TraceFile read = read_trace(path_);
    EXPECT_TRUE(read.trace.simulated);
    EXPECT_EQ(read.metadata, R"({"model":"x"})");
    ASSERT_EQ(read.trace.ranks.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(equal(read.trace.ranks[i], trace.ranks[i])) << i;
}

TEST_F(TraceFileTest, ARankAsBytes) {
    const auto trace = hand_made::measured(hand_made::example().ops, 42);
    for (const RankTrace& rank : trace.ranks) EXPECT_TRUE(equal(from_bytes(to_bytes(rank)), rank));
    std::vector<std::byte> bytes = to_bytes(trace.ranks[0]);
    bytes.pop_back();
    EXPECT_THROW((void)from_bytes(bytes), BugError);
}

TEST_F(TraceFileTest, RegularTimesCompressWell) {
    const auto example = hand_made::example();
    Trace trace;
    trace.ranks.push_back({0, 0, {}});
    for (int step = 1; step <= 1000; ++step) hand_made::add_step(trace.ranks[0], example.ops, step, step * 1000, 20);
    write_trace(path_, trace);
    EXPECT_LT(std::filesystem::file_size(path_), trace.ranks[0].times.size() * 4);   // of 40 bytes a row
}

TEST_F(TraceFileTest, DamagedFilesAreRefused) {
    EXPECT_THROW((void)read_trace(path_), ConfigError);   // there is none
    std::ofstream(path_) << "model = gpt-mini\n";
    EXPECT_FALSE(is_trace_file(path_));
    EXPECT_THROW((void)read_trace(path_), ConfigError);
    std::ofstream(path_, std::ios::trunc) << R"({"format":"zerosim-trace","version":1,"simulated":false,"metadata":null,)"
                                          << R"("ranks":[{"rank":0,"clock_offset_ns":0,"rows":99999999999}]})" << "\n";
    EXPECT_THROW((void)read_trace(path_), ConfigError);
    write_trace(path_, hand_made::measured(hand_made::example().ops));
    std::filesystem::resize_file(path_, std::filesystem::file_size(path_) / 2);
    EXPECT_THROW((void)read_trace(path_), ConfigError);
}

TEST_F(TraceFileTest, AnUnwritablePlaceIsTheEnvironmentsFault) {
    EXPECT_THROW(write_trace("/nonexistent-folder/trace", {}), EnvironmentError);
}

}  // namespace
}  // namespace zerosim::trace
