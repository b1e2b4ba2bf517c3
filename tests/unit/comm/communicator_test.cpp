#include "comm/communicator.hpp"

#include "base/error.hpp"
#include "comm/flight_ring.hpp"
#include "comm/launcher.hpp"
#include "comm/local_communicator.hpp"
#include "comm/recording_communicator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace zerosim::comm {
namespace {

TEST(MessageBytes, AreOfTheLargerBuffer) {
    EXPECT_EQ(message_bytes(CollectiveKind::all_gather, 10, DType::bf16, 4), 80);
    EXPECT_EQ(message_bytes(CollectiveKind::reduce_scatter, 10, DType::fp32, 4), 160);
    EXPECT_EQ(message_bytes(CollectiveKind::all_reduce, 10, DType::fp32, 4), 40);
    EXPECT_EQ(message_bytes(CollectiveKind::broadcast, 10, DType::fp64, 4), 80);
    EXPECT_EQ(message_bytes(CollectiveKind::reduce, 10, DType::fp32, 4), 40);
    EXPECT_EQ(message_bytes(CollectiveKind::gather, 10, DType::fp32, 4), 160);
    EXPECT_EQ(message_bytes(CollectiveKind::scatter, 10, DType::bf16, 4), 80);
    EXPECT_EQ(message_bytes(CollectiveKind::send_recv, 10, DType::fp32, 4), 40);
}

TEST(ScratchBytes, AreBoundedByTwoSegmentsOfEveryPeer) {
    EXPECT_EQ(scratch_bytes(CollectiveKind::all_gather, 1000, DType::fp32, 4), 0);
    EXPECT_EQ(scratch_bytes(CollectiveKind::reduce_scatter, 1000, DType::fp32, 1), 0);
    EXPECT_EQ(scratch_bytes(CollectiveKind::reduce_scatter, 1000, DType::fp32, 4), 3 * 4000);
    EXPECT_EQ(scratch_bytes(CollectiveKind::all_reduce, 1, DType::fp32, 4), 0);
    EXPECT_EQ(scratch_bytes(CollectiveKind::all_reduce, 10001, DType::fp32, 4), 3 * 2501 * 4);
    EXPECT_EQ(scratch_bytes(CollectiveKind::reduce, 10001, DType::fp32, 4), 3 * 2501 * 4);
    EXPECT_EQ(scratch_bytes(CollectiveKind::gather, 10001, DType::fp32, 4), 0);
    EXPECT_EQ(scratch_bytes(CollectiveKind::all_reduce, 1 << 28, DType::fp32, 8), 7 * 2 * kReductionSegmentBytes);
}

TEST(FlightRing, FindsFlightsByTicketThroughGrowthAndSpendsInAnyOrder) {
    FlightRing<int> ring;
    std::vector<Ticket> tickets;
    for (int i = 0; i < 100; ++i) {
        const auto [ticket, flight] = ring.push();
        *flight = i;
        tickets.push_back(ticket);
    }
    for (int i = 99; i >= 0; i -= 2) {
        const std::uint64_t sequence = ring.sequence(tickets[static_cast<std::size_t>(i)]);
        EXPECT_EQ(ring[sequence], i);
        ring.spend(sequence);
    }
    EXPECT_EQ(ring.begin(), 0u);
    EXPECT_THROW((void)ring.sequence(tickets[99]), BugError);
    for (int i = 0; i < 100; i += 2) ring.spend(ring.sequence(tickets[static_cast<std::size_t>(i)]));
    EXPECT_EQ(ring.begin(), ring.end());
    EXPECT_THROW((void)ring.sequence(tickets[0]), BugError);
}

TEST(LocalCommunicator, NamesTheDifferenceWhenRanksDisagree) {
    const LocalWorld world(2);
    const auto zero = world.communicator(0), one = world.communicator(1);
    float a = 1, b[2] = {};
    (void)zero->start({.kind = CollectiveKind::all_gather, .count = 1, .send = &a, .receive = b});
    const Ticket ticket = one->start({.kind = CollectiveKind::broadcast, .count = 1, .send = &a, .receive = b});
    try {
        (void)one->test(ticket);
        FAIL() << "the ranks' collectives differ";
    } catch (const BugError& error) {
        EXPECT_THAT(error.what(),
                    testing::AllOf(testing::HasSubstr("all-gather of 1 fp32"), testing::HasSubstr("broadcast of 1 fp32")));
    }
}

// A rank fails with a collective in flight and frees its buffers: its peers must not read them any more.
TEST(LocalCommunicator, NobodyReadsTheBuffersOfARankThatGaveUp) {
    for (int repeat = 0; repeat < 50; ++repeat) {
        const LocalWorld world(3);
        std::vector<std::thread> threads;
        for (int rank = 0; rank < 3; ++rank) {
            threads.emplace_back([&, rank] {
                const auto communicator = world.communicator(rank);
                std::vector<float> receive(30000);
                auto send = std::make_unique<std::vector<float>>(10000, 1.0f);
                const Ticket ticket = communicator->start(
                    {.kind = CollectiveKind::all_gather, .count = 10000, .send = send->data(), .receive = receive.data()});
                if (rank == 2) {
                    communicator->abandon();
                    send.reset(); // under ASan and TSan a late reader is caught here
                    return;
                }
                try {
                    while (!communicator->test(ticket)) std::this_thread::yield();
                    ADD_FAILURE() << "completed without rank 2";
                } catch (const EnvironmentError&) {
                    communicator->abandon(); // a peer may still be reading: before `send` goes
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
    }
}

TEST(RecordingCommunicator, WritesDownWhatItPassesOn) {
    const LocalWorld world(1);
    std::vector<RecordedCall> log;
    RecordingCommunicator recording(world.communicator(0), log);
    const std::uint16_t send[3] = {float_to_bf16(1), float_to_bf16(2), float_to_bf16(3)};
    std::uint16_t receive[3] = {};
    recording.run({.kind = CollectiveKind::all_reduce,
                   .reduction = Reduction::sum,
                   .dtype = DType::bf16,
                   .count = 3,
                   .send = send,
                   .receive = receive});
    recording.run({.kind = CollectiveKind::all_gather, .dtype = DType::bf16, .count = 2, .send = send, .receive = receive});
    const std::vector<RecordedCall> expected = {{CollectiveKind::all_reduce, Reduction::sum, DType::bf16, 3, 0, 6},
                                                {CollectiveKind::all_gather, Reduction::none, DType::bf16, 2, 0, 4}};
    EXPECT_EQ(log, expected);
    EXPECT_EQ(bf16_to_float(receive[2]), 3.0f);
}

class Launcher : public testing::Test {
protected:
    static constexpr const char* kNames[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",   "PMI_RANK", "PMI_SIZE",
                                             "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"};
    void SetUp() override {
        for (const char* variable : kNames) unsetenv(variable);
    }
    void TearDown() override { SetUp(); }
};

TEST_F(Launcher, IsRecognisedByWhatItSetsForTasks) {
    EXPECT_FALSE(launched_by_mpi());
    setenv("SLURM_NTASKS", "8", 1); // a batch script, not a task of srun
    EXPECT_FALSE(launched_by_mpi());
    setenv("SLURM_STEP_NUM_TASKS", "1", 1);
    EXPECT_FALSE(launched_by_mpi());
    setenv("SLURM_STEP_NUM_TASKS", "8", 1);
    EXPECT_TRUE(launched_by_mpi());
    SetUp();
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
    EXPECT_TRUE(launched_by_mpi());
}

} // namespace
} // namespace zerosim::comm
