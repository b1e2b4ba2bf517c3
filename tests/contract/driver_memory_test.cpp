// The account of device memory that the executor on streams keeps, by a driver whose figure the test moves: connections made at the first
// collective are the communicators', and what grows step after step shows.
#include "comm/local_communicator.hpp"
#include "exec/execute_on_streams.hpp"
#include "support/host_streams.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace zerosim::test {
namespace {

using device::DriverPart;

/// What the driver has given one rank.
struct Given {
    std::atomic<std::int64_t> bytes{1 << 20};
    std::int64_t connection = 0, leak = 0;       // at the first collective of a communicator; at every one
};

class Connecting final : public comm::StreamCommunicator {
public:
    Connecting(std::unique_ptr<comm::Communicator> local, Given& given) : blocking_(std::move(local)), given_(given) {}
    [[nodiscard]] int rank() const override { return blocking_.rank(); }
    [[nodiscard]] int size() const override { return blocking_.size(); }
    void enqueue(const comm::CollectiveCall& call, void* stream) override {
        given_.bytes += given_.leak + (connected_ ? 0 : given_.connection);
        connected_ = true;
        blocking_.enqueue(call, stream);
    }
    void begin_group() override {}
    void end_group() override {}
    void check_errors() override {}
    void abandon() noexcept override { blocking_.abandon(); }

private:
    BlockingCollectives blocking_;
    Given& given_;
    bool connected_ = false;
};

struct Account {
    device::DriverMemory memory;
    std::size_t communicators = 0;
};

Account account_of(int steps, std::int64_t connection, std::int64_t leak) {
    strategy::Scenario s = scenario(tiny_llama(), 3, 2);
    s.training.steps = steps;
    const schedule::Schedule schedule = strategy::plan(s);
    const schedule::Program& program = schedule.program_of(0);
    const auto needed = exec::communicators_needed(program);
    std::map<std::pair<std::uint32_t, std::uint32_t>, comm::LocalWorld> worlds;
    for (const auto& [stream, axis] : needed) worlds.try_emplace({stream.value, axis.value}, 2);
    std::vector<comm::Progress> progress(2);
    std::vector<Given> given(2);
    std::vector<exec::RankResult> results(2);
    {
        std::vector<std::jthread> threads;
        for (int rank = 0; rank < 2; ++rank)
            threads.emplace_back([&, rank] {
                const auto at = static_cast<std::size_t>(rank);
                given[at].connection = connection;
                given[at].leak = leak;
                exec::StreamCommunicators communicators(program.streams.size(), schedule.axes.size());
                for (const auto& [stream, axis] : needed)
                    communicators.set(stream, axis, std::make_unique<Connecting>(worlds.at({stream.value, axis.value}).communicator(rank), given[at]));
                const exec::ExecuteOptions options = options_of(s);
                device::DriverLedger ledger([&given, at] { return given[at].bytes.load(); }, 0);
                ledger.context_made();
                HostStreams device(exec::make_host_device(schedule, program, options.arena, 1));
                device.ledger = &ledger;
                data::TokenSource tokens(s.training.data, s.model.real_vocabulary);
                results[at] = exec::execute_on_streams(schedule, rank, {device, communicators, nullptr, progress[at], tokens}, options);
            });
    }
    return {results[0].driver, needed.size()};
}

TEST(DriverAccount, ConnectionsMadeLatelyAreTheCommunicators) {
    const Account account = account_of(4, 12 << 20, 0);
    const device::DriverMemory& m = account.memory;
    ASSERT_TRUE(m.measured());
    EXPECT_EQ(m.part(DriverPart::context), 1 << 20);
    EXPECT_EQ(m.part(DriverPart::communicators), static_cast<std::int64_t>(account.communicators) * (12 << 20));
    EXPECT_EQ(m.other(), 0);
    EXPECT_EQ(m.growth(), 0);
    EXPECT_EQ(m.at_end, m.named());
}

TEST(DriverAccount, AByteACollectiveIsALeak) {
    const std::int64_t five = account_of(5, 0, 1).memory.growth(), three = account_of(3, 0, 1).memory.growth();
    EXPECT_GT(three, 0);
    EXPECT_EQ(five, 3 * three) << "three steps after the second, against one";
}

TEST(DriverAccount, OneStepHasNothingToCompareWith) {
    const Account account = account_of(1, 12 << 20, 1);
    EXPECT_TRUE(account.memory.measured());
    EXPECT_EQ(account.memory.growth(), 0);
}

}  // namespace
}  // namespace zerosim::test
