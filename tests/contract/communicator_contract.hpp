// The contract of Communicator, as a typed suite: the same tests on local threads (contract_tests) and under mpirun (tests/mpi).
// A back end names the group sizes it can make and runs a body once per rank of a group.
#pragma once

#include "comm/byte_exchange.hpp"
#include "comm/communicator.hpp"
#include "contract/communicator_reference.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace zerosim::comm::contract {

// struct Backend {
//     static constexpr std::int64_t kSegmentBytes;   // of a pipelined reduction; any small number where there is none
//     static std::vector<int> sizes();
//     static void each_rank(int ranks, const std::function<void(Communicator&)>& body);
// };
template <class Backend>
class CommunicatorContract : public testing::Test {
protected:
    static void on_every_size(const std::function<void(Communicator&)>& body) {
        for (const int ranks : Backend::sizes()) {
            SCOPED_TRACE(testing::Message() << ranks << " ranks");
            Backend::each_rank(ranks, body);
        }
    }
};

inline constexpr std::span<const CollectiveKind> kKinds = kCollectiveKinds;
[[nodiscard]] inline bool has_in_place(CollectiveKind kind) { return kind != CollectiveKind::all_to_all && kind != CollectiveKind::send_recv; }
inline constexpr DType kTypes[] = {DType::fp32, DType::bf16, DType::fp16, DType::fp64, DType::int32, DType::int64, DType::uint8};

TYPED_TEST_SUITE_P(CommunicatorContract);

TYPED_TEST_P(CommunicatorContract, EveryKindTypeAndCountIsExact) {
    this->on_every_size([](Communicator& communicator) {
        for (const std::int64_t count : {0, 1, 3, 4, 100})
            for (const CollectiveKind kind : kKinds)
                for (const DType dtype : kTypes)
                    for (const bool in_place : {false, true}) {
                        if (in_place && !has_in_place(kind)) continue;
                        Exchange exchange(communicator, kind, dtype, count, in_place, 0);
                        communicator.run(exchange.call());
                        exchange.expect_exact();
                    }
    });
}

TYPED_TEST_P(CommunicatorContract, LargeCountsAreExact) {
    this->on_every_size([](Communicator& communicator) {
        for (const std::int64_t count : {1000, 10000})
            for (const CollectiveKind kind : kKinds)
                for (const DType dtype : {DType::fp32, DType::bf16})
                    for (const bool in_place : {false, true}) {
                        if (in_place && !has_in_place(kind)) continue;
                        Exchange exchange(communicator, kind, dtype, count, in_place, communicator.size() - 1);
                        communicator.run(exchange.call());
                        exchange.expect_exact();
                    }
    });
}

// Longer than several segments of a pipelined reduction, and not a multiple of anything.
TYPED_TEST_P(CommunicatorContract, ReductionsOfManySegmentsAreExact) {
    this->on_every_size([](Communicator& communicator) {
        const std::int64_t slice = 3 * TypeParam::kSegmentBytes / 4 + 1;
        for (const bool in_place : {false, true}) {
            Exchange scatter(communicator, CollectiveKind::reduce_scatter, DType::fp32, slice, in_place, 0);
            communicator.run(scatter.call());
            scatter.expect_exact();
            for (const CollectiveKind kind : {CollectiveKind::all_reduce, CollectiveKind::reduce}) {
                Exchange reduce(communicator, kind, DType::fp32, slice * communicator.size() - 1, in_place, communicator.size() / 2);
                communicator.run(reduce.call());
                reduce.expect_exact();
            }
        }
    });
}

// More in flight than a back end has room for at once, finished in different orders on different ranks.
TYPED_TEST_P(CommunicatorContract, ManyInFlightInAnyOrderOfTesting) {
    this->on_every_size([](Communicator& communicator) {
        std::vector<std::unique_ptr<Exchange>> exchanges;
        std::vector<Ticket> tickets;
        for (int i = 0; i < 150; ++i) {
            const CollectiveKind kind = kKinds[static_cast<std::size_t>(i) % kKinds.size()];
            const bool in_place = i % 5 == 0 && has_in_place(kind);
            exchanges.push_back(std::make_unique<Exchange>(communicator, kind, i % 2 ? DType::fp32 : DType::bf16,
                                                           i * 7 % 40 * (i % 4 == 0 ? 100 : 1), in_place,
                                                           i % communicator.size()));
            tickets.push_back(communicator.start(exchanges.back()->call()));
            if (i % 50 == 49 && communicator.rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        std::vector<std::size_t> open(exchanges.size());
        for (std::size_t i = 0; i < open.size(); ++i) open[i] = communicator.rank() % 2 ? open.size() - 1 - i : i;
        // Odd ranks insist on the last one first: progress on it must bring about what peers wait for.
        for (const std::size_t i : open) {
            while (!communicator.test(tickets[i])) std::this_thread::yield();
            exchanges[i]->expect_exact();
        }
    });
}

TYPED_TEST_P(CommunicatorContract, RepeatedUseKeepsWorking) {
    this->on_every_size([](Communicator& communicator) {
        for (int i = 0; i < 300; ++i) {
            Exchange exchange(communicator, kKinds[static_cast<std::size_t>(i) % kKinds.size()], DType::fp32, 5, false, 0);
            communicator.run(exchange.call());
            exchange.expect_exact();
        }
    });
}

TYPED_TEST_P(CommunicatorContract, SpentTicketsAndSenselessCallsAreBugs) {
    this->on_every_size([](Communicator& communicator) {
        float value = 1, result = 0;
        const CollectiveCall good{.kind = CollectiveKind::all_gather, .count = 0, .send = &value, .receive = &result};
        const Ticket ticket = communicator.start(good);
        while (!communicator.test(ticket)) std::this_thread::yield();
        EXPECT_THROW((void)communicator.test(ticket), BugError);
        CollectiveCall bad = good;
        bad.count = -1;
        EXPECT_THROW((void)communicator.start(bad), BugError);
        bad = good;
        bad.root = communicator.size();
        EXPECT_THROW((void)communicator.start(bad), BugError);
        bad = good;
        bad.reduction = Reduction::sum;
        EXPECT_THROW((void)communicator.start(bad), BugError);
        bad = good;
        bad.count = 1;
        bad.receive = nullptr;
        EXPECT_THROW((void)communicator.start(bad), BugError);
    });
}

TYPED_TEST_P(CommunicatorContract, BlobsOfAnyLength) {
    this->on_every_size([](Communicator& communicator) {
        const auto blob = [](int rank, std::size_t base) {
            return std::string(base * static_cast<std::size_t>(rank), static_cast<char>('a' + rank));
        };
        for (const std::size_t base : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{700001}}) {
            const std::vector<std::string> all = all_gather_bytes(communicator, blob(communicator.rank(), base));
            ASSERT_EQ(static_cast<int>(all.size()), communicator.size());
            for (int rank = 0; rank < communicator.size(); ++rank)
                EXPECT_TRUE(all[static_cast<std::size_t>(rank)] == blob(rank, base));
            const int root = communicator.size() - 1;
            const std::string own = communicator.rank() == root ? blob(root, base) + "end" : "not this";
            EXPECT_TRUE(broadcast_bytes(communicator, own, root) == blob(root, base) + "end");
        }
    });
}

REGISTER_TYPED_TEST_SUITE_P(CommunicatorContract, EveryKindTypeAndCountIsExact, LargeCountsAreExact,
                            ReductionsOfManySegmentsAreExact, ManyInFlightInAnyOrderOfTesting, RepeatedUseKeepsWorking,
                            SpentTicketsAndSenselessCallsAreBugs, BlobsOfAnyLength);

} // namespace zerosim::comm::contract
