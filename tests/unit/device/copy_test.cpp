// Copies and fills: casts between all float types, strides, adding, bytes between rows untouched.
#include "kernel_testing.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace zerosim::device::testing {
namespace {

struct Cast {
    DType from, to;
};
class Copy : public ::testing::TestWithParam<Cast> {};
std::vector<Cast> all_casts() {
    std::vector<Cast> casts;
    for (const DType from : {DType::fp32, DType::bf16, DType::fp16, DType::fp64})
        for (const DType to : {DType::fp32, DType::bf16, DType::fp16, DType::fp64}) casts.push_back({from, to});
    return casts;
}
INSTANTIATE_TEST_SUITE_P(Casts, Copy, ::testing::ValuesIn(all_casts()), [](const auto& instance) {
    return std::string(name(instance.param.from)) + "_to_" + std::string(name(instance.param.to));
});

double rounded(double value, DType type) {
    const auto single = static_cast<float>(value);
    switch (type) {
        case DType::bf16: return bf16_to_float(float_to_bf16(single));
        case DType::fp16: return fp16_to_float(float_to_fp16(single));
        case DType::fp32: return single;
        default: return value;
    }
}

TEST_P(Copy, CastsAndAdds) {
    const auto [from_type, to_type] = GetParam();
    for (const std::int64_t gap : {0, 3}) {
        Tensor from(7, 211, from_type, gap), to(7, 211, to_type, 2 * gap);
        from.randomize(1, 300.0);
        const auto source = from.values();
        host::copy(nullptr, from.view(), to.view(), false);
        auto result = to.values();
        for (std::size_t i = 0; i < result.size(); ++i) ASSERT_EQ(result[i], rounded(source[i], to_type)) << i;
        host::copy(nullptr, from.view(), to.view(), true);
        const auto sum = to.values();
        for (std::size_t i = 0; i < sum.size(); ++i)
            ASSERT_NEAR(sum[i], source[i] + result[i], epsilon_of(to_type) * std::abs(sum[i]) + 1e-4 * (to_type != DType::fp64))
                << i;
    }
}

TEST(CopyShapes, ContiguousTakesTheOtherShape) {
    Tensor flat(1, 24), strided(4, 6, DType::fp32, 10), back(24, 1);
    std::vector<double> values(24);
    std::iota(values.begin(), values.end(), 1.0);
    flat.set(values);
    host::copy(nullptr, flat.view(), strided.view(), false);
    EXPECT_EQ(strided.values(), values);
    host::copy(nullptr, strided.view(), back.view(), false);
    EXPECT_EQ(back.values(), values);
    Tensor other(1, 23);
    EXPECT_THROW(host::copy(nullptr, flat.view(), other.view(), false), BugError);
}

TEST(CopyShapes, GapsStayUntouched) {
    Tensor to(3, 2, DType::bf16, 2), from(3, 2, DType::fp32);
    from.randomize(1);
    host::copy(nullptr, from.view(), to.view(), false);
    host::fill(nullptr, to.view(), 7.0);
    for (std::size_t row = 0; row < 3; ++row)
        for (std::size_t i = 4; i < 8; ++i) EXPECT_EQ(to.bytes()[row * 8 + i], std::byte{0x5a});
}

TEST(CopyIntegers, OnlyToTheirOwnType) {
    std::vector<std::int32_t> from{1, -2, 3}, to(3);
    host::copy(nullptr, integers(from), integers(to), false);
    EXPECT_EQ(from, to);
    Tensor floats(3, 1);
    EXPECT_THROW(host::copy(nullptr, integers(from), floats.view(), false), BugError);
    EXPECT_THROW(host::copy(nullptr, integers(from), integers(to), true), BugError);
}

TEST(Fill, EveryType) {
    for (const DType type : {DType::fp32, DType::bf16, DType::fp16, DType::fp64}) {
        Tensor tensor(3, 700, type, 1);
        host::fill(nullptr, tensor.view(), 0.5);
        for (const double value : tensor.values()) ASSERT_EQ(value, 0.5);
    }
    std::vector<std::int32_t> integer(5);
    host::fill(nullptr, integers(integer), 9);
    EXPECT_EQ(integer, std::vector<std::int32_t>(5, 9));
}

TEST(CopyThreads, LargeCopies) {
    const std::int64_t count = 300'000;
    Tensor from(1, count), to(1, count, DType::bf16), alone(1, count, DType::bf16);
    from.randomize(1);
    Workers workers(3);
    host::copy(&workers, from.view(), to.view(), false);
    host::copy(nullptr, from.view(), alone.view(), false);
    EXPECT_EQ(to.bytes(), alone.bytes());
}

} // namespace
} // namespace zerosim::device::testing
