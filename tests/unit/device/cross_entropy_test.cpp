// Cross-entropy against a double reference and central differences: masked padding, loss scale, in place, any type.
#include "kernel_testing.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

namespace zerosim::device::testing {
namespace {

using kernel::Kernel;

constexpr std::int64_t kTokens = 5, kReal = 531, kPadded = 640; // more than one block of columns, tails in both

kernel::Attributes loss_attributes(double weight = 0.2) {
    kernel::Attributes attributes;
    attributes.tokens = kTokens, attributes.vocabulary = kPadded, attributes.real_vocabulary = kReal,
    attributes.loss_weight = weight;
    return attributes;
}

double reference_loss(const std::vector<double>& logits, const std::vector<std::int32_t>& targets) {
    double loss = 0;
    for (std::size_t t = 0; t < targets.size(); ++t) {
        double sum = 0;
        for (std::size_t c = 0; c < kReal; ++c) sum += std::exp(logits[t * kPadded + c]);
        loss += std::log(sum) - logits[t * kPadded + static_cast<std::size_t>(targets[t])];
    }
    return loss * 0.2;
}

class CrossEntropy : public ::testing::TestWithParam<DType> {
protected:
    std::vector<std::int32_t> targets{0, 530, 511, 512, 77};
    Tensor logits = Tensor(kTokens, kPadded, GetParam(), 9);
    std::vector<float> saved = std::vector<float>(kTokens);
    double loss = 1.0;
    [[nodiscard]] TensorView saved_view() { return {saved.data(), kTokens, 1, 1, DType::fp32}; }
    void SetUp() override { logits.randomize(1, 8.0); }
    void forward(Workers* workers = nullptr) {
        run(Kernel::cross_entropy_forward, loss_attributes(), {logits.view(), integers(targets), saved_view(), scalar(loss)},
            {.workers = workers});
    }
};
INSTANTIATE_TEST_SUITE_P(Types, CrossEntropy, ::testing::Values(DType::fp32, DType::bf16, DType::fp16),
                         [](const auto& instance) { return std::string(name(instance.param)); });

TEST_P(CrossEntropy, ForwardAddsTheLoss) {
    forward();
    EXPECT_NEAR(loss, 1.0 + reference_loss(logits.values(), targets), 1e-6);
    const double once = loss;
    forward();
    EXPECT_NEAR(loss - once, once - 1.0, 1e-12);
}

TEST_P(CrossEntropy, BackwardIsTheGradientAndZeroInThePadding) {
    forward();
    const auto numeric = numeric_gradient([&](const auto& values) { return reference_loss(values, targets); }, logits.values());
    Tensor d_logits(kTokens, kPadded, GetParam());
    d_logits.randomize(3); // what is there does not matter
    float scale = 64.0f;
    run(Kernel::cross_entropy_backward, loss_attributes(),
        {logits.view(), integers(targets), saved_view(), scalar(scale), d_logits.view()});
    run(Kernel::cross_entropy_backward, loss_attributes(),
        {logits.view(), integers(targets), saved_view(), {}, logits.view()}); // in place
    const auto scaled = d_logits.values(), gradient = logits.values();
    for (std::size_t i = 0; i < gradient.size(); ++i) {
        if (i % kPadded >= kReal) {
            EXPECT_EQ(gradient[i], 0.0) << i;
            EXPECT_EQ(scaled[i], 0.0) << i;
            continue;
        }
        const double subnormal = GetParam() == DType::fp16 ? 0x1p-24 : 0.0;
        EXPECT_NEAR(gradient[i], numeric[i], 1e-7 + subnormal + epsilon_of(GetParam()) * std::abs(numeric[i])) << i;
        EXPECT_NEAR(scaled[i], 64 * numeric[i], 64e-7 + subnormal + epsilon_of(GetParam()) * std::abs(64 * numeric[i])) << i;
    }
}

TEST_P(CrossEntropy, SameBitsOnAnyNumberOfThreads) {
    forward();
    const auto alone = saved;
    const double loss_alone = loss;
    loss = 1.0;
    Workers workers(3);
    forward(&workers);
    EXPECT_EQ(saved, alone);
    EXPECT_EQ(loss, loss_alone);
}

TEST_P(CrossEntropy, TargetInThePaddingIsABug) {
    targets[2] = kReal;
    EXPECT_THROW(forward(), BugError);
}

TEST(CrossEntropyExtremes, LargeLogitsDoNotOverflowAndNaNShows) {
    kernel::Attributes attributes;
    attributes.real_vocabulary = 3, attributes.loss_weight = 1;
    Tensor logits(1, 3);
    std::vector<std::int32_t> targets{1};
    float saved = 0;
    double loss = 0;
    logits.set({1e4, -1e4, 1e4});
    run(Kernel::cross_entropy_forward, attributes, {logits.view(), integers(targets), scalar(saved), scalar(loss)});
    EXPECT_NEAR(loss, 2e4 + std::log(2.0), 1e-2);
    logits.set({1.0, std::nan(""), 2.0});
    run(Kernel::cross_entropy_forward, attributes, {logits.view(), integers(targets), scalar(saved), scalar(loss)});
    EXPECT_TRUE(std::isnan(loss));
}

} // namespace
} // namespace zerosim::device::testing
