#include "report/perfetto.hpp"

#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <zlib.h>

#include <map>
#include <set>
#include <string>

namespace zerosim::report {
namespace {

std::string read_gz(const std::filesystem::path& path, bool& compressed) {
    gzFile file = gzopen(path.c_str(), "rb");
    std::string text(1 << 20, '\0');
    const int read = gzread(file, text.data(), static_cast<unsigned>(text.size()));
    compressed = gzdirect(file) == 0;
    gzclose(file);
    text.resize(static_cast<std::size_t>(read));
    return text;
}

class PerfettoTest : public testing::TestWithParam<std::string> {
protected:
    nlohmann::json events(const trace::Trace& trace, const schedule::Schedule& schedule) {
        const auto path = std::filesystem::temp_directory_path() / ("zerosim-perfetto-" + std::to_string(getpid()) + GetParam());
        const std::int64_t bytes = write_perfetto(path, schedule, trace);
        bool compressed = false;
        const std::string text = read_gz(path, compressed);
        std::filesystem::remove(path);
        EXPECT_EQ(compressed, GetParam() == ".json.gz");
        EXPECT_EQ(bytes, static_cast<std::int64_t>(text.size()));
        return nlohmann::json::parse(text).at("traceEvents");
    }
};

TEST_P(PerfettoTest, HasTracksCountersAndFlows) {
    const auto example = hand_made::example();
    const auto list = events(hand_made::measured(example.ops, 1'000'000), example.schedule);
    std::set<std::string> processes, threads;
    std::map<std::string, int> phases;
    std::map<int, std::vector<nlohmann::json>> flows;
    std::set<double> gathers_of_step_2;
    double path = 0;
    std::set<int> path_ranks;
    for (const auto& event : list) {
        const auto phase = event.at("ph").get<std::string>();
        if (event.value("cat", "") == "path") {
            path += event.at("dur").get<double>();
            path_ranks.insert(event.at("pid").get<int>());
            continue;
        }
        ++phases[phase];
        if (event.at("name") == "process_name") processes.insert(event.at("args").at("name"));
        if (event.at("name") == "thread_name") threads.insert(event.at("args").at("name"));
        if (phase == "s" || phase == "f") flows[event.at("id")].push_back(event);
        if (phase == "X") {
            EXPECT_GE(event.at("ts"), 0);
            EXPECT_GE(event.at("dur"), 0);
        }
        if (phase == "X" && event.at("name") == "norm" && event.at("args").at("step") == 2) gathers_of_step_2.insert(event.at("ts").get<double>());
    }
    EXPECT_EQ(processes, (std::set<std::string>{"rank 0", "rank 1"}));
    EXPECT_EQ(threads, (std::set<std::string>{"host", "compute", "communication", "critical path"}));
    EXPECT_NEAR(path, 0.475, 1e-9);                // step 2, the lower median
    EXPECT_EQ(path_ranks, (std::set<int>{0, 1}));  // through rank 1, which came late to the gather
    EXPECT_EQ(phases["X"], 2 * 3 * 8);          // without the alloc and the free, which take no time
    EXPECT_EQ(phases["C"], 2 * (1 + 3 * 2));    // init; with and without the activation in each step
    EXPECT_EQ(phases["s"], 9);
    EXPECT_EQ(phases["f"], 9);
    EXPECT_EQ(gathers_of_step_2.size(), 1u);    // aligned: both ranks begin the norm at the same time
    for (const auto& [id, pair] : flows) {
        ASSERT_EQ(pair.size(), 2u);
        EXPECT_NE(pair[0].at("pid"), pair[1].at("pid"));
        EXPECT_LE(pair[0].at("ts"), pair[1].at("ts"));
    }
}

TEST_P(PerfettoTest, TimesAreMicroseconds) {
    const auto example = hand_made::example();
    const auto list = events(hand_made::measured(example.ops), example.schedule);
    for (const auto& event : list)
        if (event.at("name") == "F1" && event.value("cat", "") != "path" && event.at("pid") == 0 && event.at("args").at("step") == 2) {
            EXPECT_DOUBLE_EQ(event.at("ts"), 1.510);    // 2010 ns, from the first issue at 500
            EXPECT_DOUBLE_EQ(event.at("dur"), 0.100);
            EXPECT_EQ(event.at("cat"), "compute");
            EXPECT_EQ(event.at("args").at("phase"), "forward");
            return;
        }
    FAIL() << "F1 of step 2 is not there";
}

INSTANTIATE_TEST_SUITE_P(PlainAndZipped, PerfettoTest, testing::Values(".json", ".json.gz"),
                         [](const auto& tested) { return tested.param == ".json" ? "json" : "gz"; });

}  // namespace
}  // namespace zerosim::report
