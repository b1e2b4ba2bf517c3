// Copies, casts, sums and fills of any strides and any address: on the emulated grid, beside the same loop in order.
#include "device/cuda_kernels/kernels.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace zerosim::device::test {
namespace {

struct Layout {
    std::int64_t rows, columns, from_stride, to_stride, offset;
};
/// Small whole numbers, exact in every type.
double value_of(std::int64_t row, std::int64_t column) { return static_cast<double>((row * 7 + column * 3) % 61 - 30); }

void put(std::byte* at, DType type, double value) {
    const auto store = [at](auto typed) { std::copy_n(reinterpret_cast<const std::byte*>(&typed), sizeof typed, at); };
    switch (type) {
        case DType::fp32: return store(static_cast<float>(value));
        case DType::bf16: return store(float_to_bf16(static_cast<float>(value)));
        case DType::fp16: return store(float_to_fp16(static_cast<float>(value)));
        case DType::fp64: return store(value);
        case DType::int32: return store(static_cast<std::int32_t>(value));
        case DType::int64: return store(static_cast<std::int64_t>(value));
        case DType::uint8: return store(static_cast<std::uint8_t>(static_cast<int>(value)));
    }
}

/// A matrix between other elements, which must stay as they are.
struct Block {
    Block(DType dtype, const Layout& l, std::int64_t stride, double begin) : type(dtype), layout(l), row_stride(stride) {
        bytes.resize(static_cast<std::size_t>((l.offset + l.rows * stride + 16) * size_of(type)));
        for (std::size_t at = 0; at < bytes.size(); at += static_cast<std::size_t>(size_of(type))) put(bytes.data() + at, type, begin);
    }
    [[nodiscard]] std::byte* at(std::int64_t row, std::int64_t column) { return bytes.data() + (layout.offset + row * row_stride + column) * size_of(type); }
    [[nodiscard]] TensorView view() { return {at(0, 0), layout.rows, layout.columns, row_stride, type}; }
    DType type;
    Layout layout;
    std::int64_t row_stride;
    std::vector<std::byte> bytes;
};

class Copies : public testing::TestWithParam<std::tuple<Layout, std::pair<DType, DType>, bool>> {};

TEST_P(Copies, AreThoseOfALoop) {
    const auto& [layout, types, accumulate] = GetParam();
    Block from(types.first, layout, layout.from_stride, 9), to(types.second, layout, layout.to_stride, 5), expected(types.second, layout, layout.to_stride, 5);
    for (std::int64_t row = 0; row < layout.rows; ++row)
        for (std::int64_t column = 0; column < layout.columns; ++column) {
            put(from.at(row, column), types.first, value_of(row, column));
            put(expected.at(row, column), types.second, value_of(row, column) + (accumulate ? 5 : 0));
        }
    cuda::copy(from.view(), to.view(), accumulate, {});
    EXPECT_EQ(to.bytes, expected.bytes);
}

constexpr Layout kLayouts[] = {{1, 1, 1, 1, 0}, {1, 1001, 1001, 1001, 3}, {3, 64, 64, 64, 0}, {3, 64, 64, 64, 1}, {5, 24, 24, 40, 0}, {5, 24, 30, 41, 2}, {4, 16, 16, 16, 7}};
INSTANTIATE_TEST_SUITE_P(Layouts, Copies,
                         testing::Combine(testing::ValuesIn(kLayouts),
                                          testing::Values(std::pair{DType::fp32, DType::bf16}, std::pair{DType::bf16, DType::fp32}, std::pair{DType::bf16, DType::bf16},
                                                          std::pair{DType::fp32, DType::fp32}, std::pair{DType::fp16, DType::bf16}, std::pair{DType::int32, DType::int32},
                                                          std::pair{DType::fp64, DType::fp64}, std::pair{DType::uint8, DType::uint8}),
                                          testing::Bool()));

class Fills : public testing::TestWithParam<std::tuple<Layout, DType>> {};

TEST_P(Fills, LeaveWhatIsBeside) {
    const auto& [layout, type] = GetParam();
    Block found(type, layout, layout.to_stride, 5), expected(type, layout, layout.to_stride, 5);
    for (std::int64_t row = 0; row < layout.rows; ++row)
        for (std::int64_t column = 0; column < layout.columns; ++column) put(expected.at(row, column), type, 3);
    cuda::fill(found.view(), 3, {});
    EXPECT_EQ(found.bytes, expected.bytes);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Fills,
                         testing::Combine(testing::ValuesIn(kLayouts), testing::Values(DType::fp32, DType::bf16, DType::fp16, DType::fp64, DType::int32, DType::int64, DType::uint8)));

// As a product without a fused bias begins: one row, written to all (row stride 0).
TEST(Copy, WritesOneRowToAll) {
    for (const std::int64_t columns : {7, 64}) {
        std::vector<std::uint16_t> bias(static_cast<std::size_t>(columns)), result(static_cast<std::size_t>(5 * columns));
        for (std::int64_t i = 0; i < columns; ++i) bias[static_cast<std::size_t>(i)] = float_to_bf16(static_cast<float>(i));
        cuda::copy({bias.data(), 5, columns, 0, DType::bf16}, {result.data(), 5, columns, columns, DType::bf16}, false, {});
        for (std::size_t i = 0; i < result.size(); ++i) ASSERT_EQ(result[i], bias[i % bias.size()]) << i;
    }
}

}  // namespace
}  // namespace zerosim::device::test
