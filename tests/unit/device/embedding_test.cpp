// Embedding: rows and positions summed, gradients gathered per row in fp32 and rounded once.
#include "kernel_testing.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

namespace zerosim::device::testing {
namespace {

using kernel::Kernel;

constexpr std::int64_t kRows = 13, kPositions = 9, kSequence = 7, kSamples = 3, kTokens = kSequence * kSamples;

kernel::Attributes embedding_attributes(bool accumulate = false, bool accumulate_second = false) {
    kernel::Attributes attributes;
    attributes.sequence = kSequence, attributes.accumulate = accumulate, attributes.accumulate_second = accumulate_second;
    return attributes;
}

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t rows) {
    std::vector<std::int32_t> tokens;
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i)
        tokens.push_back(static_cast<std::int32_t>(hash64(9, i) % static_cast<std::uint64_t>(rows)));
    return tokens;
}

class Embedding : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, Embedding, ::testing::Values(DType::fp32, DType::bf16, DType::fp16),
                         [](const auto& instance) { return std::string(name(instance.param)); });

TEST_P(Embedding, Forward) {
    const DType type = GetParam();
    const std::int64_t width = 600;
    Tensor table(kRows, width, type, 3), positions(kPositions, width, type), out(kTokens, width, type, 1);
    table.randomize(1), positions.randomize(2);
    auto tokens = random_tokens(kTokens, kRows);
    const auto rows = table.values(), places = positions.values();
    for (const bool with_positions : {false, true}) {
        run(Kernel::embedding_forward, embedding_attributes(),
            {integers(tokens), table.view(), with_positions ? positions.view() : TensorView{}, out.view()});
        const auto result = out.values();
        for (std::size_t i = 0; i < result.size(); ++i) {
            const std::size_t t = i / width, c = i % width;
            const double expected = rows[static_cast<std::size_t>(tokens[t]) * width + c] +
                                    (with_positions ? places[t % kSequence * width + c] : 0.0);
            EXPECT_NEAR(result[i], expected, epsilon_of(type) * std::abs(expected)) << i;
        }
    }
}

TEST_P(Embedding, BackwardIsTheGradient) {
    const DType type = GetParam();
    const std::int64_t width = 19;
    auto tokens = random_tokens(kTokens, kRows);
    for (const bool accumulate : {false, true}) {
        Tensor d_out(kTokens, width, type, 2), d_table(kRows, width, type, 5), d_positions(kPositions, width, type);
        d_out.randomize(3), d_table.randomize(4), d_positions.randomize(5);
        const auto upstream = d_out.values(), table_before = d_table.values(), positions_before = d_positions.values();
        run(Kernel::embedding_backward, embedding_attributes(accumulate, accumulate),
            {integers(tokens), d_out.view(), d_table.view(), d_positions.view()});
        const auto loss = [&](const std::vector<double>& parameters) { // table, then positions; upstream is the output's gradient
            double sum = 0;
            for (std::size_t t = 0; t < kTokens; ++t)
                for (std::size_t c = 0; c < width; ++c)
                    sum += upstream[t * width + c] * (parameters[static_cast<std::size_t>(tokens[t]) * width + c] +
                                                      parameters[(kRows + t % kSequence) * width + c]);
            return sum;
        };
        const auto expected = numeric_gradient(loss, std::vector<double>((kRows + kPositions) * width, 0.1));
        const auto table = d_table.values(), positions = d_positions.values();
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const bool in_table = i < table.size();
            const double before = in_table ? table_before[i] : positions_before[i - table.size()];
            const double value = in_table ? table[i] : positions[i - table.size()];
            const double sum = expected[i] + (accumulate ? before : 0.0);
            EXPECT_NEAR(value, sum, 1e-6 + epsilon_of(type) * std::abs(sum)) << i << (accumulate ? " added" : " overwritten");
        }
    }
}

/// 3000 gradients of 1 in one row: adding them one by one in bf16 would stop at 256.
TEST(EmbeddingRounding, TwoByteGradientsAreRoundedOnceARow) {
    std::vector<std::int32_t> tokens(3000, 2);
    Tensor d_out(3000, 4, DType::bf16), d_table(3, 4, DType::bf16);
    host::fill(nullptr, d_out.view(), 1.0);
    run(Kernel::embedding_backward, embedding_attributes(), {integers(tokens), d_out.view(), d_table.view(), {}});
    for (std::size_t c = 0; c < 4; ++c) {
        EXPECT_EQ(d_table.values()[8 + c], bf16_to_float(float_to_bf16(3000.0f)));
        EXPECT_EQ(d_table.values()[c], 0.0);
    }
}

TEST(EmbeddingThreads, SameBitsOnAnyNumber) {
    const std::int64_t tokens_count = 20'000, width = 200; // more than one round of sorting
    auto tokens = random_tokens(tokens_count, 50);
    Tensor d_out(tokens_count, width), alone(50, width), together(50, width);
    d_out.randomize(6);
    Workers workers(3);
    run(Kernel::embedding_backward, embedding_attributes(), {integers(tokens), d_out.view(), alone.view(), {}});
    run(Kernel::embedding_backward, embedding_attributes(), {integers(tokens), d_out.view(), together.view(), {}},
        {.workers = &workers});
    EXPECT_EQ(alone.bytes(), together.bytes());
}

TEST(EmbeddingTokens, OutsideTheTableIsABug) {
    Tensor table(4, 2), out(1, 2);
    std::vector<std::int32_t> tokens{4};
    EXPECT_THROW(run(Kernel::embedding_forward, embedding_attributes(), {integers(tokens), table.view(), {}, out.view()}),
                 BugError);
}

} // namespace
} // namespace zerosim::device::testing
