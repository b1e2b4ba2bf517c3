// gelu, swiglu, add, dropout: values against double references, gradients against central differences, and bits that do not
// depend on how the elements are cut or on the number of threads.
#include "kernel_testing.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace zerosim::device::testing {
namespace {

using kernel::Kernel;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double gelu(double x) { return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x))); }
double swiglu(double gate, double up) { return gate * sigmoid(gate) * up; }

class ElementwiseTypes : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, ElementwiseTypes, ::testing::Values(DType::fp32, DType::bf16, DType::fp16),
                         [](const auto& instance) { return std::string(name(instance.param)); });

/// fp32 arithmetic of a few operations, then one rounding to the type.
double tolerance(DType type, double magnitude) { return (epsilon_of(type) + 1e-6) * (std::abs(magnitude) + 1e-4); }

TEST_P(ElementwiseTypes, GeluForwardAndBackward) {
    const DType type = GetParam();
    Tensor x(5, 37, type, 3), y(5, 37, type, 1), d_y(5, 37, type, 2), d_x(5, 37, type);
    x.randomize(1, 6.0), d_y.randomize(2);
    run(Kernel::gelu_forward, {}, {x.view(), y.view()});
    run(Kernel::gelu_backward, {}, {d_y.view(), x.view(), d_x.view()});
    const auto in = x.values(), out = y.values(), upstream = d_y.values(), gradient = d_x.values();
    for (std::size_t i = 0; i < in.size(); ++i) {
        EXPECT_NEAR(out[i], gelu(in[i]), tolerance(type, gelu(in[i]))) << "x = " << in[i];
        const double slope = (gelu(in[i] + 1e-6) - gelu(in[i] - 1e-6)) / 2e-6;
        EXPECT_NEAR(gradient[i], upstream[i] * slope, tolerance(type, std::abs(slope) + 0.1)) << "x = " << in[i];
    }
}

TEST(Gelu, KeepsRelativeAccuracyAndNaN) {
    Tensor x(1, 4), y(1, 4);
    x.set({-4.0, -9.0, 100.0, std::nan("")});
    run(Kernel::gelu_forward, {}, {x.view(), y.view()});
    const auto out = y.values();
    EXPECT_NEAR(out[0] / (-4.0 * sigmoid(2 * std::sqrt(2.0 / M_PI) * (-4.0 - 0.044715 * 64))), 1.0, 1e-5);
    EXPECT_LE(out[1], 0.0);
    EXPECT_EQ(out[2], 100.0);
    EXPECT_TRUE(std::isnan(out[3]));
}

TEST_P(ElementwiseTypes, SwigluForwardAndBackward) {
    const DType type = GetParam();
    Tensor gate(4, 33, type, 5), up(4, 33, type, 5), product(4, 33, type), d(4, 33, type), d_gate(4, 33, type, 1),
        d_up(4, 33, type);
    gate.randomize(3, 5.0), up.randomize(4, 2.0), d.randomize(5);
    run(Kernel::swiglu_forward, {}, {gate.view(), up.view(), product.view()});
    run(Kernel::swiglu_backward, {}, {d.view(), gate.view(), up.view(), d_gate.view(), d_up.view()});
    const auto g = gate.values(), u = up.values(), p = product.values(), upstream = d.values();
    const auto gate_gradient = d_gate.values(), up_gradient = d_up.values();
    for (std::size_t i = 0; i < g.size(); ++i) {
        EXPECT_NEAR(p[i], swiglu(g[i], u[i]), tolerance(type, p[i]));
        const double by_gate = (swiglu(g[i] + 1e-6, u[i]) - swiglu(g[i] - 1e-6, u[i])) / 2e-6;
        const double by_up = swiglu(g[i], 1.0);
        EXPECT_NEAR(gate_gradient[i], upstream[i] * by_gate, tolerance(type, std::abs(by_gate) + std::abs(u[i])));
        EXPECT_NEAR(up_gradient[i], upstream[i] * by_up, tolerance(type, by_up));
    }
}

TEST_P(ElementwiseTypes, AddIntoItsOwnOperand) {
    const DType type = GetParam();
    Tensor a(3, 50, type, 7), b(3, 50, type);
    a.randomize(6), b.randomize(7);
    const auto before = a.values(), other = b.values();
    run(Kernel::add, {}, {a.view(), b.view(), a.view()});
    const auto sum = a.values();
    for (std::size_t i = 0; i < sum.size(); ++i)
        EXPECT_NEAR(sum[i], before[i] + other[i], 2 * epsilon_of(type) * std::abs(sum[i]) + 1e-12);
}

/// The whole against pieces of random lengths, on 1 and 3 threads: equal bytes.
TEST_P(ElementwiseTypes, BitsDoNotDependOnThePartition) {
    const DType type = GetParam();
    const std::int64_t count = 40'000;
    Tensor x(1, count, type), d(1, count, type), whole(1, count, type), pieces(1, count, type);
    x.randomize(8, 8.0), d.randomize(9);
    for (const Kernel kernel : {Kernel::gelu_forward, Kernel::gelu_backward, Kernel::swiglu_forward}) {
        const auto operands = [&](const Tensor& out, std::int64_t begin, std::int64_t n) {
            const TensorView a = slice(x.view(), begin, n), b = slice(d.view(), begin, n), c = slice(out.view(), begin, n);
            return kernel == Kernel::gelu_forward    ? std::vector{a, c}
                   : kernel == Kernel::gelu_backward ? std::vector{b, a, c}
                                                     : std::vector{a, b, c};
        };
        Workers workers(3);
        run(kernel, {}, operands(whole, 0, count), {.workers = &workers});
        for (std::int64_t begin = 0, i = 0; begin < count; ++i) {
            const auto n = std::min<std::int64_t>(count - begin,
                                                  1 + static_cast<std::int64_t>(hash64(10, static_cast<std::uint64_t>(i)) % 999));
            run(kernel, {}, operands(pieces, begin, n));
            begin += n;
        }
        EXPECT_EQ(whole.bytes(), pieces.bytes()) << name(type);
    }
}

kernel::Attributes dropout_attributes(float p, std::int32_t sequence) {
    kernel::Attributes attributes;
    attributes.dropout = p, attributes.sequence = sequence, attributes.layer = 3, attributes.site = 1;
    return attributes;
}

TEST(Dropout, KeepsAndScales) {
    Tensor x(64, 500), y(64, 500);
    host::fill(nullptr, x.view(), 1.0);
    run(Kernel::dropout, dropout_attributes(0.25f, 16), {x.view(), y.view()}, {.seed = 5});
    double kept = 0;
    for (const double value : y.values()) {
        EXPECT_TRUE(value == 0.0 || std::abs(value - 4.0 / 3.0) < 1e-6) << value;
        kept += value != 0.0;
    }
    const double count = 64 * 500, deviation = std::sqrt(count * 0.25 * 0.75);
    EXPECT_NEAR(kept, 0.75 * count, 5 * deviation);
}

TEST(Dropout, MaskDoesNotDependOnThePartitionOfTheBatch) {
    const std::int64_t samples = 6, sequence = 7, width = 33;
    const auto attributes = dropout_attributes(0.5f, sequence);
    Tensor x(samples * sequence, width), whole(samples * sequence, width), parts(samples * sequence, width);
    x.randomize(11);
    const KernelContext context{.seed = 1, .step = 4, .first_sample = 10};
    run(Kernel::dropout, attributes, {x.view(), whole.view()}, context);
    for (std::int64_t sample = 0; sample < samples; sample += 2) {
        const std::int64_t begin = sample * sequence * width, count = 2 * sequence * width;
        TensorView from = slice(x.view(), begin, count), to = slice(parts.view(), begin, count);
        from.rows = to.rows = 2 * sequence;
        from.columns = to.columns = from.row_stride = to.row_stride = width;
        Workers workers(2);
        run(Kernel::dropout, attributes, {from, to}, {.seed = 1, .step = 4, .first_sample = 10 + sample, .workers = &workers});
    }
    EXPECT_EQ(whole.bytes(), parts.bytes());
}

TEST(Dropout, DependsOnEveryCounter) {
    Tensor x(8, 64);
    host::fill(nullptr, x.view(), 1.0);
    const auto mask = [&](const kernel::Attributes& attributes, const KernelContext& context) {
        Tensor y(8, 64);
        run(Kernel::dropout, attributes, {x.view(), y.view()}, context);
        return y.bytes();
    };
    const KernelContext base{.seed = 1, .step = 1, .first_sample = 0};
    auto layer = dropout_attributes(0.5f, 8), site = layer;
    layer.layer = 4, site.site = 2;
    const auto reference = mask(dropout_attributes(0.5f, 8), base);
    EXPECT_NE(reference, mask(dropout_attributes(0.5f, 8), {.seed = 2, .step = 1, .first_sample = 0}));
    EXPECT_NE(reference, mask(dropout_attributes(0.5f, 8), {.seed = 1, .step = 2, .first_sample = 0}));
    EXPECT_NE(reference, mask(dropout_attributes(0.5f, 8), {.seed = 1, .step = 1, .first_sample = 1}));
    EXPECT_NE(reference, mask(layer, base));
    EXPECT_NE(reference, mask(site, base));
    EXPECT_EQ(reference, mask(dropout_attributes(0.5f, 8), base));
}

TEST(Elementwise, NoElements) {
    Tensor x(0, 8), y(0, 8);
    run(Kernel::gelu_forward, {}, {x.view(), y.view()});
    run(Kernel::add, {}, {x.view(), x.view(), y.view()});
    run(Kernel::dropout, dropout_attributes(0.5f, 4), {x.view(), y.view()});
}

} // namespace
} // namespace zerosim::device::testing
