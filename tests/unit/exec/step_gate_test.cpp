#include "exec/step_gate.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace zerosim::exec {
namespace {

TEST(StepGate, LetsEverythingPassUntilInterrupted) {
    std::atomic<bool> interrupted = false;
    StepGate gate(interrupted);
    for (int step = 1; step < 100; ++step) EXPECT_TRUE(gate.may_start(step));
}

TEST(StepGate, TheLatestBegunStepIsTheLastForAll) {
    std::atomic<bool> interrupted = false;
    StepGate gate(interrupted);
    EXPECT_TRUE(gate.may_start(1));   // one rank is in step 1
    EXPECT_TRUE(gate.may_start(2));   // another already in step 2
    interrupted = true;
    EXPECT_TRUE(gate.may_start(2)) << "the first rank must follow: the other waits for it";
    EXPECT_FALSE(gate.may_start(3));
    EXPECT_FALSE(gate.may_start(3));
}

TEST(StepGate, InterruptedBeforeTheFirstStepRunsNone) {
    const std::atomic<bool> interrupted = true;
    StepGate gate(interrupted);
    EXPECT_FALSE(gate.may_start(1));
}

// Ranks that step at their own pace all end after the same one.
TEST(StepGate, AllThreadsEndAfterTheSameStep) {
    for (int round = 0; round < 10; ++round) {
        std::atomic<bool> interrupted = false;
        StepGate gate(interrupted);
        std::vector<int> last(4, 0);
        {
            std::vector<std::jthread> ranks;
            for (int& mine : last)
                ranks.emplace_back([&] {
                    while (gate.may_start(mine + 1)) ++mine;
                });
            for (int i = 0; i < round; ++i) std::this_thread::yield();
            interrupted = true;
        }
        for (const int mine : last) EXPECT_EQ(mine, last[0]);
    }
}

}  // namespace
}  // namespace zerosim::exec
