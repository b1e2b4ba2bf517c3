// Ranks on streams whose host thread is stuck in a collective, as it is in NCCL while peers do not come: the watch ends them, with the peer's name.
#include "comm/local_communicator.hpp"
#include "exec/execute_on_streams.hpp"
#include "exec/run_error.hpp"
#include "support/host_streams.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

namespace zerosim::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

/// How a rank let go of its communicators.
struct Abandoned {
    int depth = 0, together = 0, alone = 0;
};

/// Blocks its caller until the collective is done, or until somebody ends the process (here: lets go). An abort takes as long as NCCL's may.
class StuckCollectives final : public BlockingCollectives {
public:
    StuckCollectives(std::unique_ptr<comm::Communicator> local, std::atomic<bool>& ended, Abandoned& abandoned)
        : BlockingCollectives(std::move(local)), ended_(ended), abandoned_(abandoned) {}
    void begin_group() override { ++abandoned_.depth; }
    void end_group() override { --abandoned_.depth; }
    void enqueue(const comm::CollectiveCall& call, void*) override {
        const comm::Ticket ticket = local_->start(call);
        while (!local_->test(ticket)) {
            std::this_thread::sleep_for(std::chrono::microseconds(50));
            if (ended_.load()) throw EnvironmentError("the process would be gone");
        }
    }
    void abandon() noexcept override {
        ++(abandoned_.depth > 0 ? abandoned_.together : abandoned_.alone);
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        BlockingCollectives::abandon();
    }

private:
    std::atomic<bool>& ended_;
    Abandoned& abandoned_;
};

/// What each rank's watch said to end the process, and what its host thread threw.
struct Said {
    std::vector<std::string> stuck, thrown;
    std::vector<char> of_peer;
    std::vector<std::string> order;                      // "stuck 0", "thrown 1"
    std::vector<Abandoned> abandoned;
};

Said run_with_fault(exec::FaultKind kind, double timeout) {
    const strategy::Scenario s = scenario(tiny_gpt2(), 3, 2);
    const schedule::Schedule schedule = strategy::plan(s);
    const schedule::Program& program = schedule.program_of(0);
    std::map<std::pair<std::uint32_t, std::uint32_t>, comm::LocalWorld> worlds;
    for (const auto& [stream, axis] : exec::communicators_needed(program)) worlds.try_emplace({stream.value, axis.value}, 2);
    const comm::LocalWorld control(2);
    std::vector<comm::Progress> progress(2);
    Said said{std::vector<std::string>(2), std::vector<std::string>(2), std::vector<char>(2), {}, std::vector<Abandoned>(2)};
    std::mutex ordering;
    const auto note = [&](const char* what, std::size_t rank) {
        const std::lock_guard lock(ordering);
        said.order.push_back(what + std::to_string(rank));
    };
    std::atomic<bool> ended = false;
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 2; ++rank)
        threads.emplace_back([&, rank] {
            const auto at = static_cast<std::size_t>(rank);
            exec::StreamCommunicators communicators(program.streams.size(), schedule.axes.size());
            for (const auto& [stream, axis] : exec::communicators_needed(program))
                communicators.set(stream, axis, std::make_unique<StuckCollectives>(worlds.at({stream.value, axis.value}).communicator(rank), ended, said.abandoned[at]));
            exec::ExecuteOptions options = options_of(s);
            options.timeout_seconds = timeout;
            options.arena = schedule::plan_arena(program);
            options.fault = exec::Fault{1, program.first_begin + 20, kind};
            options.on_stuck = [&, at](const std::string& what) {
                said.stuck[at] = what;
                note("stuck ", at);
                ended = true;
            };
            HostStreams device(host_device(schedule, program, *options.arena));
            data::TokenSource tokens(s.training.data, s.model.real_vocabulary);
            const auto channel = control.control(rank);
            try {
                static_cast<void>(exec::execute_on_streams(schedule, rank, {device, communicators, channel.get(), progress[at], tokens}, options));
            } catch (const exec::RunError& error) {
                said.thrown[at] = error.what();
                said.of_peer[at] = error.of_peer();
                note("thrown ", at);
            }
        });
    threads.clear();
    return said;
}

TEST(StreamWatch, NamesTheRankThatHangsThoughItsOwnHostThreadIsStuck) {
    const Said said = run_with_fault(exec::FaultKind::hang, 0.3);
    EXPECT_THAT(said.stuck[0], ContainsRegex("watchdog: step 1, op [0-9]+ .*has not ended"));
    EXPECT_THAT(said.stuck[0], ContainsRegex("missing rank 1: is in step 1, op [0-9]+"));
    EXPECT_THAT(said.thrown[1], HasSubstr("ended because rank 0 failed: watchdog")) << "the other learns it";
    EXPECT_TRUE(said.of_peer[1]);
}

TEST(StreamWatch, APeersFailureEndsARankThatIsStuck) {
    const Said said = run_with_fault(exec::FaultKind::fail, 60);
    EXPECT_THAT(said.thrown[1], ContainsRegex("step 1, op [0-9]+ .*injected failure"));
    EXPECT_THAT(said.stuck[0], HasSubstr("ended because rank 1 failed: step 1, op"));
    // The job ends with the exit code of whoever is first.
    ASSERT_FALSE(said.order.empty());
    EXPECT_EQ(said.order.front(), "thrown 1") << "who failed speaks first, though it aborts its communicators before";
}

// One by one an abort could wait for a kernel that is behind another communicator's.
TEST(StreamWatch, CommunicatorsAreLetGoOfTogether) {
    const Said said = run_with_fault(exec::FaultKind::fail, 60);
    for (const Abandoned& rank : said.abandoned) {
        EXPECT_GT(rank.together, 1);
        EXPECT_EQ(rank.alone, 0);
        EXPECT_EQ(rank.depth, 0);
    }
}

TEST(StreamWatch, SlowRanksAreWaitedFor) {
    const Said said = run_with_fault(exec::FaultKind::slow, 60);
    EXPECT_EQ(said.stuck, std::vector<std::string>(2));
    EXPECT_EQ(said.thrown, std::vector<std::string>(2));
}

}  // namespace
}  // namespace zerosim::test
