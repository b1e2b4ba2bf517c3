// Rotary embedding in place on strided heads: the formula, its transpose, positions that restart with every sequence.
#include "kernel_testing.hpp"

#include <gtest/gtest.h>

namespace zerosim::device::testing {
namespace {

using kernel::Kernel;

constexpr std::int64_t kSequence = 6, kSamples = 2, kTokens = kSequence * kSamples, kHeads = 3, kKeyHeads = 1, kHeadDim = 40;

kernel::Attributes rotary_attributes() {
    kernel::Attributes attributes;
    attributes.sequence = kSequence, attributes.heads = kHeads, attributes.kv_heads = kKeyHeads, attributes.head_dim = kHeadDim;
    attributes.rotary_base = 10000.0f;
    return attributes;
}

/// x * cos + [-x2, x1] * sin, as Llama's reference code writes it.
std::vector<double> rotated(const std::vector<double>& x, std::int64_t heads) {
    std::vector<double> y(x.size());
    const auto half = kHeadDim / 2;
    for (std::int64_t t = 0; t < kTokens; ++t)
        for (std::int64_t head = 0; head < heads; ++head)
            for (std::int64_t i = 0; i < kHeadDim; ++i) {
                const double angle =
                    static_cast<double>(t % kSequence) * std::pow(10000.0, -2.0 * static_cast<double>(i % half) / kHeadDim);
                const std::int64_t at = (t * heads + head) * kHeadDim;
                const double turned =
                    i < half ? -x[static_cast<std::size_t>(at + i + half)] : x[static_cast<std::size_t>(at + i - half)];
                y[static_cast<std::size_t>(at + i)] =
                    x[static_cast<std::size_t>(at + i)] * std::cos(angle) + turned * std::sin(angle);
            }
    return y;
}

class Rotary : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, Rotary, ::testing::Values(DType::fp32, DType::bf16, DType::fp16),
                         [](const auto& instance) { return std::string(name(instance.param)); });

TEST_P(Rotary, ForwardAndBackward) {
    const DType type = GetParam();
    Tensor q(kTokens, kHeads * kHeadDim, type, 80), k(kTokens, kKeyHeads * kHeadDim, type, 160), d_q = q, d_k = k;
    q.randomize(1), k.randomize(2), d_q.randomize(3), d_k.randomize(4);
    const auto q0 = q.values(), k0 = k.values(), upstream_q = d_q.values(), upstream_k = d_k.values();
    Workers workers(2);
    run(Kernel::rotary_forward, rotary_attributes(), {q.view(), k.view()}, {.workers = &workers});
    run(Kernel::rotary_backward, rotary_attributes(), {d_q.view(), d_k.view()}, {.workers = &workers});
    const auto check_pair = [&](const std::vector<double>& x, const std::vector<double>& y, const std::vector<double>& upstream,
                                const std::vector<double>& gradient, std::int64_t heads) {
        const auto expected = rotated(x, heads);
        const auto numeric = numeric_gradient([&](const auto& at) { return dot(rotated(at, heads), upstream); }, x);
        for (std::size_t i = 0; i < y.size(); ++i) {
            EXPECT_NEAR(y[i], expected[i], 3e-7 + epsilon_of(type) * std::abs(expected[i])) << i;
            EXPECT_NEAR(gradient[i], numeric[i], 3e-7 + epsilon_of(type) * std::abs(numeric[i])) << i;
        }
    };
    check_pair(q0, q.values(), upstream_q, d_q.values(), kHeads);
    check_pair(k0, k.values(), upstream_k, d_k.values(), kKeyHeads);
}

} // namespace
} // namespace zerosim::device::testing
