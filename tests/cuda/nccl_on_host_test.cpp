// NcclCommunicator over the tests' NCCL: set up without blocking, in time or not at all; what it passes on.
#include "comm/nccl_communicator.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace zerosim::comm {
namespace {

using testing::HasSubstr;

TEST(NcclOnHost, ARankThatDoesNotComeIsWaitedForNoLongerThanAsked) {
    const NcclId id = make_nccl_id();
    const auto begin = std::chrono::steady_clock::now();
    try {
        const NcclCommunicator alone(id, 0, 2, 0.2);
        FAIL() << "rank 1 never came";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("rank 0 of 2 waited"));
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(NcclOnHost, TwoRanksOnOneGpuAreToldInNcclsWords) {
    const NcclId id = make_nccl_id();
    std::array<std::string, 2> said;
    {
        std::vector<std::jthread> ranks;
        for (int rank = 0; rank < 2; ++rank)
            ranks.emplace_back([&, rank] {
                try {
                    const NcclCommunicator world(id, rank, 2, 20);
                } catch (const Error& error) {
                    said[static_cast<std::size_t>(rank)] = error.what();
                }
            });
    }
    for (const std::string& text : said) EXPECT_THAT(text, HasSubstr("Duplicate GPU detected"));
}

// CollectiveCall: the root's receive may be null. NCCL's kernel writes there unless it is what is sent.
TEST(NcclOnHost, ABroadcastsRootNeedsNoBufferToReceive) {
    const NcclCommunicator world(make_nccl_id(), 0, 1, 20);
    const auto part = world.split(0, 0);
    std::array<float, 3> sent{1, 2, 3};
    part->enqueue({CollectiveKind::broadcast, Reduction::none, DType::fp32, 3, 0, sent.data(), nullptr, nullptr}, nullptr);
    EXPECT_EQ(sent, (std::array<float, 3>{1, 2, 3}));
}

TEST(NcclOnHost, EveryKindInPlaceAndNothingAtAll) {
    const NcclCommunicator world(make_nccl_id(), 0, 1, 20);
    const auto part = world.split(0, 0);
    std::array<float, 4> data{1, 2, 3, 4};
    for (const CollectiveKind kind : kCollectiveKinds) {
        if (kind == CollectiveKind::all_to_all || kind == CollectiveKind::send_recv) continue;
        for (const std::int64_t count : {0, 4}) part->enqueue({kind, is_reduction(kind) ? Reduction::average : Reduction::none, DType::fp32, count, 0, data.data(), data.data(), nullptr}, nullptr);
    }
    EXPECT_EQ(data, (std::array<float, 4>{1, 2, 3, 4}));
    for (const CollectiveKind kind : {CollectiveKind::all_to_all, CollectiveKind::send_recv}) {
        std::array<float, 4> received{};
        part->enqueue({kind, Reduction::none, DType::fp32, 4, 0, data.data(), received.data(), nullptr}, nullptr);
        EXPECT_EQ(received, data) << name(kind);
    }
    part->check_errors();
}

TEST(NcclOnHost, RegistersUntilTheHandleGoes) {
    const NcclCommunicator world(make_nccl_id(), 0, 1, 20);
    const auto part = world.split(0, 0);
    std::array<float, 4> data{};
    const auto handle = part->register_memory(data.data(), sizeof data);
    EXPECT_NE(handle, nullptr);
}

}  // namespace
}  // namespace zerosim::comm
