// The executor on streams (CUDA's) against the host's: on a device whose streams are the host's own, both train the same bits.
#include "comm/local_communicator.hpp"
#include "exec/execute_on_streams.hpp"
#include "support/host_streams.hpp"
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

OnStreams train_on_streams(const strategy::Scenario& s) {
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
                for (const auto& [stream, axis] : exec::communicators_needed(program))
                    communicators.set(stream, axis, std::make_unique<BlockingCollectives>(worlds.at({stream.value, axis.value}).communicator(rank)));
                exec::ExecuteOptions options = options_of(s);
                options.arena = schedule::plan_arena(program);
                HostStreams device(exec::make_host_device(schedule, program, options.arena, 1));
                data::TokenSource tokens(s.training.data, s.model.real_vocabulary);
                const auto at = static_cast<std::size_t>(rank);
                results[at] = exec::execute_on_streams(schedule, rank, {device, communicators, nullptr, progress[at], tokens}, options);
                waits[at] = device.waits;
            });
    }
    return {combine(schedule, std::move(results)), waits[0]};
}

class StreamExecutor : public testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(StreamExecutor, TrainsTheSameBitsAsTheHostExecutor) {
    const auto [stage, ranks] = GetParam();
    strategy::Scenario s = scenario(tiny_llama(), stage, ranks);
    s.training.gradient_accumulation = 2;
    const Trained host = train(s);
    const OnStreams streams = train_on_streams(s);
    EXPECT_EQ(host.losses, streams.trained.losses);
    EXPECT_EQ(host.norms, streams.trained.norms);
    EXPECT_EQ(host.hashes, streams.trained.hashes);
    if (ranks > 1) EXPECT_GT(streams.waits, 0) << "collectives run on streams of their own, and somebody waits for them";
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

INSTANTIATE_TEST_SUITE_P(Stages, StreamExecutor, testing::Combine(testing::Values(0, 1, 2, 3), testing::Values(1, 2, 3)));

}  // namespace
}  // namespace zerosim::test
