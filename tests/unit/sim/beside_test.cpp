// sim::Beside: kernels are slower while collectives run, and only then.
#include "sim/beside.hpp"

#include <gtest/gtest.h>

namespace zerosim::sim {
namespace {

TEST(Beside, a_kernel_alone_takes_its_time) {
    Beside beside;
    EXPECT_EQ(beside.stretched(100, 50, 1.0), 50);
    beside.add(0, 100);
    EXPECT_EQ(beside.stretched(100, 50, 1.0), 50) << "the collective ended as the kernel began";
    beside.add(150, 200);
    EXPECT_EQ(beside.stretched(100, 50, 1.0), 50);
}

TEST(Beside, only_the_shared_part_is_stretched) {
    Beside beside;
    beside.add(120, 160);
    // 20 alone, 40 shared (20 of work), 10 alone.
    EXPECT_EQ(beside.stretched(100, 50, 1.0), 70);
    // Wholly inside.
    EXPECT_EQ(beside.stretched(130, 10, 1.0), 20);
    EXPECT_EQ(beside.stretched(100, 50, 0.0), 50);
}

TEST(Beside, collectives_at_once_count_once_and_those_that_follow_count_each) {
    Beside beside;
    beside.add(0, 100);
    beside.add(50, 120);
    EXPECT_EQ(beside.stretched(0, 60, 1.0), 120);
    beside.add(200, 220);
    // 60 of work in 120, 80 alone, 10 of work in 20, 30 alone.
    EXPECT_EQ(beside.stretched(0, 180, 1.0), 120 + 80 + 20 + 30);
}

} // namespace
} // namespace zerosim::sim
