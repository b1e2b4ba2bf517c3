// What is handed to MPI equals the message bytes of the calls issued through the Communicator, and what is sent the ring's share.
#include "comm/mpi_communicator.hpp"
#include "comm/recording_communicator.hpp"
#include "contract/communicator_reference.hpp"
#include "mpi/pmpi_counter.hpp"

#include <gtest/gtest.h>

namespace zerosim::tests {
namespace {

using comm::contract::Exchange;

TEST(PmpiBytes, EqualTheMessageBytesOfEveryCollective) {
    comm::MpiCommunicator communicator(MPI_COMM_WORLD);
    for (const CollectiveKind kind : kCollectiveKinds)
        for (const DType dtype : {DType::fp32, DType::bf16, DType::fp64})
            for (const std::int64_t count : {0, 1, 3, 1000, 100001, 400000})
                for (const bool in_place : {false, true}) {
                    if (in_place && (kind == CollectiveKind::all_to_all || kind == CollectiveKind::send_recv)) continue;
                    Exchange exchange(communicator, kind, dtype, count, in_place, 0);
                    reset_traffic();
                    communicator.run(exchange.call());
                    const MpiTraffic expected = expected_traffic(kind, count, dtype, communicator.rank(), communicator.size());
                    EXPECT_EQ(traffic(), expected)
                        << name(kind) << " of " << count << " " << name(dtype) << "\n  counted:  " << describe(traffic())
                        << "\n  expected: " << describe(expected);
                }
}

TEST(PmpiBytes, OfManyCallsAddUpAndAllRanksSendTheRingsShare) {
    std::vector<comm::RecordedCall> log;
    comm::RecordingCommunicator communicator(std::make_unique<comm::MpiCommunicator>(MPI_COMM_WORLD), log);
    const int ranks = communicator.size();
    reset_traffic();
    for (int i = 0; i < 12; ++i) {
        const CollectiveKind kind = i % 3 == 0   ? CollectiveKind::all_reduce
                                    : i % 3 == 1 ? CollectiveKind::all_gather
                                                 : CollectiveKind::reduce_scatter;
        Exchange exchange(communicator, kind, i % 2 ? DType::fp32 : DType::bf16, 12000 * ranks + 24 * ranks * i, false, 0);
        communicator.run(exchange.call());
    }
    const MpiTraffic mine = traffic();
    MpiTraffic expected;
    double ring = 0;
    for (const comm::RecordedCall& call : log) {
        expected += expected_traffic(call.kind, call.count, call.dtype, communicator.rank(), ranks);
        ring += static_cast<double>(call.message_bytes) * ring_factor(call.kind, ranks);
    }
    EXPECT_EQ(mine, expected) << describe(mine) << "\n" << describe(expected);
    EXPECT_DOUBLE_EQ(static_cast<double>(mine.sent), ring); // counts divide by the ranks: every rank sends the same
}

} // namespace
} // namespace zerosim::tests
