// The Communicator contract on MPI processes; splitting; and the library's own reductions.
#include "comm/mpi_communicator.hpp"
#include "contract/communicator_contract.hpp"
#include "contract/local_ranks.hpp"

#include <cstring>

namespace zerosim::comm::contract {
namespace {

[[nodiscard]] int world_size() {
    int size = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
}

template <std::int64_t kBytes>
struct Mpi {
    static constexpr std::int64_t kSegmentBytes = kBytes;
    static std::vector<int> sizes() { return {world_size()}; }
    static void each_rank(int, const std::function<void(Communicator&)>& body) {
        MpiCommunicator communicator(MPI_COMM_WORLD, ReductionOrder::rank, kSegmentBytes);
        body(communicator);
    }
};

// Segments of 40 bytes: every reduction that is not gathered is a pipeline of many.
using Backends = testing::Types<Mpi<kReductionSegmentBytes>, Mpi<40>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Mpi, CommunicatorContract, Backends);

TEST(MpiCommunicator, SumsTheSameBitsAsLocalThreads) {
    MpiCommunicator mpi(MPI_COMM_WORLD);
    for (const DType dtype : {DType::fp32, DType::bf16, DType::fp16, DType::fp64}) {
        const std::int64_t count = 12345;
        const auto all_reduce = [&](Communicator& communicator) {
            Exchange exchange(communicator, CollectiveKind::all_reduce, dtype, count, false, 0);
            CollectiveCall call = exchange.call();
            communicator.run(call);
            return std::string(static_cast<const char*>(call.receive), static_cast<std::size_t>(count * size_of(dtype)));
        };
        std::string local;
        run_local(mpi.size(), [&](Communicator& communicator, ControlChannel&) {
            std::string mine = all_reduce(communicator);
            if (communicator.rank() == mpi.rank()) local = std::move(mine);
        });
        EXPECT_TRUE(all_reduce(mpi) == local) << name(dtype);
    }
}

TEST(MpiCommunicator, SplitsAlongAnAxis) {
    MpiCommunicator world(MPI_COMM_WORLD);
    const int color = world.rank() % 2;
    const auto part = world.split(color, -world.rank()); // the key reverses the order
    EXPECT_EQ(part->size(), (world.size() + 1 - color) / 2);
    EXPECT_EQ(part->rank(), part->size() - 1 - world.rank() / 2);
    // Both groups, and the world beside them, in flight at once.
    Exchange within(*part, CollectiveKind::all_reduce, DType::fp32, 9999, true, 0),
        among(world, CollectiveKind::all_gather, DType::bf16, 77, true, 0);
    const Ticket first = part->start(within.call()), second = world.start(among.call());
    bool first_done = false, second_done = false;
    while (!first_done || !second_done) {
        if (!first_done) first_done = part->test(first);
        if (!second_done) second_done = world.test(second);
    }
    within.expect_exact();
    among.expect_exact();
}

TEST(MpiCommunicator, LibraryOrderSumsWithinRounding) {
    MpiCommunicator communicator(MPI_COMM_WORLD, ReductionOrder::library);
    const std::int64_t count = 5000;
    const int ranks = communicator.size();
    for (const bool in_place : {false, true}) {
        Exchange reduce(communicator, CollectiveKind::all_reduce, DType::fp32, count, in_place, 0);
        Exchange scatter(communicator, CollectiveKind::reduce_scatter, DType::fp32, count, in_place, 0);
        Exchange to_root(communicator, CollectiveKind::reduce, DType::fp32, count, in_place, ranks - 1);
        communicator.run(reduce.call());
        communicator.run(scatter.call());
        communicator.run(to_root.call());
        const auto* at_root = static_cast<const float*>(to_root.call().receive);
        const auto* all = static_cast<const float*>(reduce.call().receive);
        const auto* own = static_cast<const float*>(scatter.call().receive);
        for (std::int64_t i = 0; i < count; ++i) {
            double all_exact = 0, own_exact = 0;
            for (int rank = 0; rank < ranks; ++rank) {
                all_exact += load<float>(DType::fp32, rank, i);
                own_exact += load<float>(DType::fp32, rank, communicator.rank() * count + i);
            }
            // n - 1 roundings of sums of at most n in magnitude.
            EXPECT_NEAR(all[i], all_exact, 1.2e-7 * ranks * ranks);
            EXPECT_NEAR(own[i], own_exact, 1.2e-7 * ranks * ranks);
            EXPECT_NEAR(at_root != nullptr ? at_root[i] : all_exact, all_exact, 1.2e-7 * ranks * ranks);
        }
    }
    // 2-byte floats stay in rank order: MPI has no such type.
    Exchange bf16(communicator, CollectiveKind::all_reduce, DType::bf16, count, false, 0);
    communicator.run(bf16.call());
    bf16.expect_exact();
}

TEST(MpiCommunicator, RefusesMoreElementsThanMpiCanCount) {
    MpiCommunicator communicator(MPI_COMM_WORLD);
    float value = 0;
    EXPECT_THROW((void)communicator.start(
                     {.kind = CollectiveKind::all_gather, .count = std::int64_t{1} << 31, .send = &value, .receive = &value}),
                 BugError);
}

TEST(MpiHandle, ErrorsCarryMpisText) {
    try {
        check_mpi(MPI_ERR_COUNT, "MPI_Iallgather");
        FAIL();
    } catch (const EnvironmentError& error) {
        EXPECT_NE(std::strstr(error.what(), "MPI_Iallgather"), nullptr);
        EXPECT_NE(std::strstr(error.what(), "MPI_ERR_COUNT"), nullptr);
    }
}

} // namespace
} // namespace zerosim::comm::contract
