// The emulated grid refuses what a GPU refuses.
#include "support/cuda_emulation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace zerosim::emulation {
namespace {

const auto kNothing = [] {};

TEST(Emulation, RefusesLaunchesThatAGpuRefuses) {
    EXPECT_THROW(run(1, 65'536, 1, 0, kNothing), std::logic_error);
    EXPECT_THROW(run(1, 1, 1025, 0, kNothing), std::logic_error);
    EXPECT_THROW(run(1, 1, 0, 0, kNothing), std::logic_error);
    EXPECT_THROW(run(1, 1, 32, 228 * 1024, kNothing), std::logic_error);
    EXPECT_NO_THROW(run(3, 2, 64, 1024, kNothing));
}

TEST(Emulation, FindsWritesBeyondSharedMemory) {
    EXPECT_THROW(run(1, 1, 32, 64, [] { shared_memory()[threadIdx.x * 4] = 1; }), std::logic_error);
    EXPECT_NO_THROW(run(1, 1, 32, 128, [] { shared_memory()[threadIdx.x * 4] = 1; }));
}

TEST(Emulation, FindsMisalignedPacks) {
    alignas(16) static float values[8] = {};
    EXPECT_THROW(run(1, 1, 2, 0, [] { check_aligned(values + threadIdx.x, 16); }), std::logic_error);
    EXPECT_NO_THROW(run(1, 1, 2, 0, [] { check_aligned(values + 4 * threadIdx.x, 16); }));
}

TEST(Emulation, ShowsSharedMemoryThatNobodyWrote) {
    int numbers = 0;
    run(2, 1, 32, 128, [&] {                             // the second block does not see what the first one left
        auto* const mine = reinterpret_cast<float*>(shared_memory()) + threadIdx.x;
        if (!std::isnan(*mine)) ++numbers;
        *mine = 1;
    });
    EXPECT_EQ(numbers, 0);
}

TEST(Emulation, BringsAsynchronousCopiesWhenTheyAreAwaited) {
    alignas(16) static const float source[64] = {7};
    int early = 0, late = 0, absent = 0;
    run(1, 1, 4, 64, [&] {
        auto* const to = reinterpret_cast<float*>(shared_memory()) + 4 * threadIdx.x;
        *to = 3;
        copy_later(to, threadIdx.x == 3 ? nullptr : source, 16);
        if (!std::isnan(*to)) ++early;
        finish_copies();
        if (*to == 7) ++late;
        if (*to == 0) ++absent;
    });
    EXPECT_EQ(early, 0);
    EXPECT_EQ(late, 3);
    EXPECT_EQ(absent, 1) << "no source: zeros";
    EXPECT_THROW(run(1, 1, 1, 16, [] { copy_later(shared_memory(), source, 16); }), std::logic_error) << "never awaited";
}

TEST(Emulation, AsksAllThreadsOfABlock) {
    for (const unsigned yes : {0u, 69u, 1000u}) {
        int votes = 0;
        run(2, 1, 70, 0, [&] {
            if (__syncthreads_or(threadIdx.x == yes) != 0) ++votes;
            if (__syncthreads_or(0) != 0) votes += 1000;
        });
        EXPECT_EQ(votes, yes < 70 ? 140 : 0);
    }
}

}  // namespace
}  // namespace zerosim::emulation
