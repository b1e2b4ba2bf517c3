// comm/doorbell: a ring ends the wait of the other, one that came before it is not missed, and silence ends by itself.
#include "comm/doorbell.hpp"

#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace zerosim::comm {
namespace {

constexpr std::chrono::microseconds kForEver{60'000'000};

struct Pair {
    std::shared_ptr<std::array<Bell, 2>> bells = std::make_shared<std::array<Bell, 2>>();
    Doorbell first{bells, *bells, 0}, second{bells, *bells, 1};
};

TEST(Doorbell, a_ring_ends_the_wait_of_the_others) {
    Pair pair;
    const std::uint32_t heard = pair.first.heard();
    std::jthread peer([&] { pair.second.ring_others(); });
    pair.first.wait(heard, kForEver);
    EXPECT_NE(pair.first.heard(), heard);
    EXPECT_EQ(pair.second.heard(), 0u) << "nobody rang its bell";
}

TEST(Doorbell, a_ring_before_the_wait_is_not_missed) {
    Pair pair;
    const std::uint32_t heard = pair.first.heard();
    pair.second.ring_others();
    pair.first.wait(heard, kForEver);
    EXPECT_EQ(pair.first.heard(), heard + 1);
}

TEST(Doorbell, another_thread_of_the_rank_rings_its_own) {
    Pair pair;
    const std::uint32_t heard = pair.first.heard();
    std::jthread other([&] { pair.first.ring_own(); });
    pair.first.wait(heard, kForEver);
    EXPECT_EQ(pair.second.heard(), 0u);
}

TEST(Doorbell, silence_ends_by_itself) {
    Pair pair;
    pair.first.wait(pair.first.heard(), std::chrono::microseconds(100));
    EXPECT_EQ(pair.first.heard(), 0u);
}

} // namespace
} // namespace zerosim::comm
