// The executor on streams (CUDA's) against the host's: both train the same bits, on a device whose streams are the host's own and on one whose streams
// run behind it, one of them slowly.
#include "comm/local_communicator.hpp"
#include "exec/execute_on_streams.hpp"
#include "support/host_streams.hpp"
#include "support/late_streams.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace zerosim::test {
namespace {

struct OnStreams {
    Trained trained;
    int waits = 0;
};

constexpr std::size_t kNone = ~std::size_t{0};

/// In order with the host, or on streams that are threads, of which `slow` is late with every op.
OnStreams train_on_streams(const strategy::Scenario& s, bool late, std::size_t slow = kNone) {
    const schedule::Schedule schedule = strategy::plan(s);
    const int ranks = static_cast<int>(s.ranks);
    std::vector<comm::Progress> progress(static_cast<std::size_t>(ranks));
    std::vector<exec::RankResult> results(static_cast<std::size_t>(ranks));
    const schedule::Program& program = schedule.program_of(0);
    std::map<std::pair<std::uint32_t, std::uint32_t>, comm::LocalWorld> worlds;
    for (const auto& [stream, axis] : exec::communicators_needed(program)) worlds.try_emplace({stream.value, axis.value}, ranks);
    std::vector<int> waits(static_cast<std::size_t>(ranks));
    {
        std::vector<std::jthread> threads;
        for (int rank = 0; rank < ranks; ++rank)
            threads.emplace_back([&, rank] {
                exec::StreamCommunicators communicators(program.streams.size(), schedule.axes.size());
                for (const auto& [stream, axis] : exec::communicators_needed(program)) {
                    auto local = worlds.at({stream.value, axis.value}).communicator(rank);
                    if (late) communicators.set(stream, axis, std::make_unique<LateCollectives>(std::move(local)));
                    else communicators.set(stream, axis, std::make_unique<BlockingCollectives>(std::move(local)));
                }
                exec::ExecuteOptions options = options_of(s);
                options.trace = !late || slow == kNone;      // without a trace there are only the events that somebody waits for
                options.arena = schedule::plan_arena(program);
                auto host = host_device(schedule, program, *options.arena);
                data::TokenSource tokens(s.training.data, s.model.real_vocabulary);
                const auto at = static_cast<std::size_t>(rank);
                if (late) {
                    LateStreams device(std::move(host), program.streams.size(), slow, std::chrono::microseconds(200));
                    results[at] = exec::execute_on_streams(schedule, rank, {device, communicators, nullptr, progress[at], tokens}, options);
                } else {
                    HostStreams device(std::move(host));
                    results[at] = exec::execute_on_streams(schedule, rank, {device, communicators, nullptr, progress[at], tokens}, options);
                    waits[at] = device.waits;
                }
            });
    }
    return {combine(schedule, std::move(results)), waits[0]};
}

void expect_same_bits(const Trained& expected, const Trained& found) {
    EXPECT_EQ(expected.losses, found.losses);
    EXPECT_EQ(expected.norms, found.norms);
    EXPECT_EQ(expected.hashes, found.hashes);
}

class StreamExecutor : public testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(StreamExecutor, TrainsTheSameBitsAsTheHostExecutor) {
    const auto [stage, ranks] = GetParam();
    strategy::Scenario s = scenario(tiny_llama(), stage, ranks);
    s.training.gradient_accumulation = 2;
    const Trained host = train(s);
    const OnStreams streams = train_on_streams(s, false);
    expect_same_bits(host, streams.trained);
    if (ranks > 1) {
        EXPECT_GT(streams.waits, 0) << "collectives run on streams of their own, and somebody waits for them";
    }
    for (std::size_t rank = 0; rank < host.ranks.size(); ++rank) {
        const auto& expected = host.ranks[rank].trace.times;
        const auto& found = streams.trained.ranks[rank].trace.times;
        ASSERT_EQ(expected.size(), found.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            EXPECT_EQ(expected[i].live_bytes, found[i].live_bytes) << "op " << found[i].op;
            EXPECT_LE(found[i].begin, found[i].end);
        }
    }
}

/// The slow stream: none, compute, gather, reduce.
class LateStreamExecutor : public testing::TestWithParam<std::tuple<int, int, std::size_t>> {};

TEST_P(LateStreamExecutor, WaitsForWhatItNeedsAndForNothingByChance) {
    const auto [stage, ranks, slow] = GetParam();
    strategy::Scenario s = scenario(tiny_gpt2(), stage, ranks);
    s.training.gradient_accumulation = 2;
    s.training.clip_gradients = 1.0;
    expect_same_bits(train(s), train_on_streams(s, true, slow).trained);
}

INSTANTIATE_TEST_SUITE_P(Stages, LateStreamExecutor, testing::Combine(testing::Values(0, 1, 2, 3), testing::Values(1, 2, 3), testing::Values(kNone, std::size_t{0}, std::size_t{1}, std::size_t{2})));
INSTANTIATE_TEST_SUITE_P(Stages, StreamExecutor, testing::Combine(testing::Values(0, 1, 2, 3), testing::Values(1, 2, 3)));

}  // namespace
}  // namespace zerosim::test
