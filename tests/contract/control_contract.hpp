// The contract of ControlChannel, as a typed suite: local threads (contract_tests) and mpirun (tests/mpi).
#pragma once

#include "comm/communicator.hpp"
#include "comm/control_channel.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace zerosim::comm::contract {

// struct Backend {
//     static std::vector<int> sizes();
//     static void each_rank(int ranks, const std::function<void(Communicator&, ControlChannel&)>& body);
// };
template <class Backend>
class ControlContract : public testing::Test {
protected:
    static void on_every_size(const std::function<void(Communicator&, ControlChannel&)>& body) {
        for (const int ranks : Backend::sizes()) Backend::each_rank(ranks, body);
    }
};

/// A barrier among all ranks; `between` is called while it is open.
inline void meet(Communicator& communicator, const std::function<void()>& between) {
    std::int64_t one = 1, sum = 0;
    const Ticket ticket = communicator.start({.kind = CollectiveKind::all_reduce,
                                              .reduction = Reduction::sum,
                                              .dtype = DType::int64,
                                              .count = 1,
                                              .send = &one,
                                              .receive = &sum});
    while (!communicator.test(ticket)) {
        between();
        std::this_thread::yield();
    }
    EXPECT_EQ(sum, communicator.size());
}

TYPED_TEST_SUITE_P(ControlContract);

TYPED_TEST_P(ControlContract, QueryFindsEveryoneWhoServesAndNamesTheSilent) {
    this->on_every_size([](Communicator& communicator, ControlChannel& control) {
        const int rank = communicator.rank(), silent = communicator.size() - 1;
        Progress mine;
        mine.step = 3, mine.op = 100 + rank, mine.collectives = 7, mine.collective_op = 90 + rank;
        if (rank == 0) {
            const std::vector<PeerStatus> peers = control.query(mine, std::chrono::milliseconds(300));
            EXPECT_EQ(static_cast<int>(peers.size()), communicator.size() - 1);
            for (const PeerStatus& peer : peers) {
                EXPECT_EQ(peer.answered, peer.rank != silent) << "rank " << peer.rank;
                if (!peer.answered) continue;
                EXPECT_EQ(peer.step, 3);
                EXPECT_EQ(peer.op, 100 + peer.rank);
                EXPECT_EQ(peer.collectives, 7);
                EXPECT_EQ(peer.collective_op, 90 + peer.rank);
            }
        }
        meet(communicator, [&] {
            if (rank != silent) {
                EXPECT_FALSE(control.serve(mine));
            }
        });
        // The silent rank wakes up and answers the old question: that must not pass for an answer to the next one.
        meet(communicator, [&] { EXPECT_FALSE(control.serve(mine)); });
        mine.step = 4;
        meet(communicator, [] {});
        if (rank == 0) {
            for (const PeerStatus& peer : control.query(mine, std::chrono::milliseconds(2000))) {
                EXPECT_TRUE(peer.answered);
                EXPECT_EQ(peer.step, 4) << "an answer to an earlier question";
            }
        }
        meet(communicator, [&] { EXPECT_FALSE(control.serve(mine)); });
    });
}

TYPED_TEST_P(ControlContract, QueriesOfAllAtOnceAnswerEachOther) {
    this->on_every_size([](Communicator& communicator, ControlChannel& control) {
        Progress mine;
        mine.op = communicator.rank();
        for (int i = 0; i < 5; ++i) {
            for (const PeerStatus& peer : control.query(mine, std::chrono::milliseconds(5000))) {
                EXPECT_TRUE(peer.answered);
                EXPECT_EQ(peer.op, peer.rank);
            }
            meet(communicator, [&] { (void)control.serve(mine); });
        }
    });
}

TYPED_TEST_P(ControlContract, AnAbortReachesEveryoneOnceWithItsReason) {
    this->on_every_size([](Communicator& communicator, ControlChannel& control) {
        const int failing = communicator.size() / 2;
        const std::string reason = std::string(900, 'x') + " the end";
        Progress mine;
        if (communicator.rank() == failing) {
            control.announce_abort({failing, 4, reason});
            control.announce_abort({failing, 70, "a consequence"}); // the first reason is the one that matters
        }
        if (communicator.rank() != failing) {
            std::optional<AbortNotice> notice;
            while (!(notice = control.serve(mine))) std::this_thread::yield();
            EXPECT_EQ(notice->rank, failing);
            EXPECT_EQ(notice->code, 4);
            EXPECT_EQ(notice->reason, reason);
        }
        meet(communicator, [&] { EXPECT_FALSE(control.serve(mine)); });
    });
}

REGISTER_TYPED_TEST_SUITE_P(ControlContract, QueryFindsEveryoneWhoServesAndNamesTheSilent, QueriesOfAllAtOnceAnswerEachOther,
                            AnAbortReachesEveryoneOnceWithItsReason);

} // namespace zerosim::comm::contract
