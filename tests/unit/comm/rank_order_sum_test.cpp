#include "comm/rank_order_sum.hpp"

#include "contract/communicator_reference.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace zerosim::comm {
namespace {

using contract::Guarded;

TEST(RankOrderSum, EqualsTheSequentialDefinitionForAnyNumberOfRanks) {
    for (const DType dtype : {DType::fp32, DType::fp64, DType::bf16, DType::fp16, DType::int32, DType::int64, DType::uint8})
        for (const int ranks : {1, 2, 3, 4, 5, 8, 13})
            for (const std::int64_t count : {0, 1, 15, 17, 2048, 5000}) {
                std::vector<Guarded> sources(static_cast<std::size_t>(ranks), Guarded(count * size_of(dtype)));
                std::vector<const void*> addresses;
                for (int rank = 0; rank < ranks; ++rank) {
                    std::byte* data = sources[static_cast<std::size_t>(rank)].data();
                    for (std::int64_t i = 0; i < count; ++i) contract::store(data + i * size_of(dtype), dtype, rank, i);
                    addresses.push_back(data);
                }
                std::byte* out = sources.back().data(); // in place
                rank_order_sum(dtype, addresses, out, count);
                for (std::int64_t i = 0; i < count; ++i) {
                    std::byte expected[8];
                    contract::store_sum(expected, dtype, ranks, i);
                    ASSERT_EQ(std::memcmp(out + i * size_of(dtype), expected, static_cast<std::size_t>(size_of(dtype))), 0)
                        << name(dtype) << ", " << ranks << " ranks, element " << i << " of " << count;
                }
                EXPECT_TRUE(sources.back().intact());
            }
}

// The average of 2-byte floats is rounded once: 3 ranks of 1, 1 and 1.0078125 (1 + 2^-7).
TEST(RankOrderSum, AveragesAreRoundedOnce) {
    const std::uint16_t one = float_to_bf16(1.0f), next = float_to_bf16(1.0078125f);
    const void* halves[] = {&one, &next, &next};
    std::uint16_t half = 0;
    rank_order_sum(DType::bf16, halves, &half, 1, Reduction::average);
    EXPECT_EQ(half, float_to_bf16((1.0f + 1.0078125f + 1.0078125f) * (1.0f / 3)));
    const float a = 1, b = 2, c = 4, d = 9;
    const void* floats[] = {&a, &b, &c, &d};
    float mean = 0;
    rank_order_sum(DType::fp32, floats, &mean, 1, Reduction::average);
    EXPECT_EQ(mean, 4.0f);
    rank_order_sum(DType::fp32, {floats, 1}, &mean, 1, Reduction::average);
    EXPECT_EQ(mean, 1.0f);
}

// Benchmarks that sum in place again and again get there: no undefined behaviour (seen by the sanitizers).
TEST(RankOrderSum, WholeNumbersWrapAround) {
    const std::int32_t most = std::numeric_limits<std::int32_t>::max(), one = 1;
    const void* sources[] = {&most, &one};
    std::int32_t sum = 0;
    rank_order_sum(DType::int32, sources, &sum, 1);
    EXPECT_EQ(sum, std::numeric_limits<std::int32_t>::min());
}

TEST(RankOrderSum, TheOrderIsTheRanks) {
    // (1e8 + 1) + -1e8 is 0 in fp32; any order that meets the two large ones first gives 1.
    const float first = 1e8f, second = 1.0f, third = -1e8f;
    const void* sources[] = {&first, &second, &third};
    float sum = 5;
    rank_order_sum(DType::fp32, sources, &sum, 1);
    EXPECT_EQ(sum, 0.0f);
}

TEST(RankOrderSum, TwoByteFloatsRoundOnce) {
    // 1 + 2^-8 + 2^-8 = 1 + 2^-7 is a bf16; rounding after the first addition (to even: 1) would lose both.
    const std::uint16_t one = float_to_bf16(1.0f), small = float_to_bf16(0x1p-8f);
    const void* sources[] = {&one, &small, &small};
    std::uint16_t sum = 0;
    rank_order_sum(DType::bf16, sources, &sum, 1);
    EXPECT_EQ(bf16_to_float(sum), 1.0f + 0x1p-7f);
}

} // namespace
} // namespace zerosim::comm
