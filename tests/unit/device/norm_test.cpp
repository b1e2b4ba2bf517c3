#include "unit/device/kernel_harness.hpp"

namespace zerosim::device::test {
namespace {

using kernel::Attributes;
using kernel::Kernel;

constexpr double kEpsilon = 1e-5;

/// LayerNorm (bias given) or RMSNorm in fp64.
Matrix norm(const Matrix& x, const Matrix& weight, const Matrix* bias) {
    Matrix y(x.rows, x.columns);
    const auto width = static_cast<double>(x.columns);
    for (std::int64_t r = 0; r < x.rows; ++r) {
        double mean = 0, square = 0;
        for (std::int64_t c = 0; c < x.columns; ++c) mean += bias == nullptr ? 0 : x(r, c) / width;
        for (std::int64_t c = 0; c < x.columns; ++c) square += (x(r, c) - mean) * (x(r, c) - mean) / width;
        for (std::int64_t c = 0; c < x.columns; ++c)
            y(r, c) = (x(r, c) - mean) / std::sqrt(square + kEpsilon) * weight(0, c) + (bias == nullptr ? 0 : (*bias)(0, c));
    }
    return y;
}

struct Gradients {
    Matrix d_x, d_weight, d_bias;
};

/// Analytic gradients in fp64; finite differences vouch for them below.
Gradients norm_gradients(const Matrix& d_y, const Matrix& x, const Matrix& weight, bool centred) {
    Gradients g{Matrix(x.rows, x.columns), Matrix(1, x.columns), Matrix(1, x.columns)};
    const auto width = static_cast<double>(x.columns);
    for (std::int64_t r = 0; r < x.rows; ++r) {
        double mean = 0, square = 0, mean_g = 0, mean_g_hat = 0;
        for (std::int64_t c = 0; c < x.columns; ++c) mean += centred ? x(r, c) / width : 0;
        for (std::int64_t c = 0; c < x.columns; ++c) square += (x(r, c) - mean) * (x(r, c) - mean) / width;
        const double rstd = 1 / std::sqrt(square + kEpsilon);
        const auto hat = [&](std::int64_t c) { return (x(r, c) - mean) * rstd; };
        for (std::int64_t c = 0; c < x.columns; ++c) {
            mean_g += centred ? d_y(r, c) * weight(0, c) / width : 0;
            mean_g_hat += d_y(r, c) * weight(0, c) * hat(c) / width;
            g.d_weight(0, c) += d_y(r, c) * hat(c);
            g.d_bias(0, c) += d_y(r, c);
        }
        for (std::int64_t c = 0; c < x.columns; ++c)
            g.d_x(r, c) = rstd * (d_y(r, c) * weight(0, c) - mean_g - hat(c) * mean_g_hat);
    }
    return g;
}

/// One norm's kernels on tensors of one type; RMSNorm leaves bias and mean out.
struct NormRun {
    bool centred;
    DType type;
    Tensor x, weight, bias, y, mean, rstd, d_y, d_x, d_weight, d_bias;
    Attributes attributes;

    NormRun(bool with_centre, DType t, const Matrix& x0, const Matrix& weight0, const Matrix& bias0, const Matrix& d_y0,
            std::int64_t gap)
        : centred(with_centre),
          type(t),
          x(t, x0, gap),
          weight(t, weight0),
          bias(t, bias0),
          y(t, x0.rows, x0.columns, gap),
          mean(DType::fp32, x0.rows, 1),
          rstd(DType::fp32, x0.rows, 1),
          d_y(t, d_y0, gap),
          d_x(t, x0.rows, x0.columns, gap),
          d_weight(t, 1, x0.columns),
          d_bias(t, 1, x0.columns) {
        attributes.tokens = x0.rows;
        attributes.out = x0.columns;
        attributes.epsilon = static_cast<float>(kEpsilon);
    }
    void forward(Workers* workers) {
        if (centred)
            run(Kernel::layer_norm_forward, attributes,
                {x.view(), weight.view(), bias.view(), y.view(), mean.view(), rstd.view()}, type, workers);
        else
            run(Kernel::rms_norm_forward, attributes, {x.view(), weight.view(), y.view(), rstd.view()}, type, workers);
    }
    void backward(Workers* workers) {
        if (centred)
            run(Kernel::layer_norm_backward, attributes,
                {d_y.view(), x.view(), weight.view(), mean.view(), rstd.view(), d_x.view(), d_weight.view(), d_bias.view()}, type,
                workers);
        else
            run(Kernel::rms_norm_backward, attributes,
                {d_y.view(), x.view(), weight.view(), rstd.view(), d_x.view(), d_weight.view()}, type, workers);
    }
};

struct Shape {
    std::int64_t rows, columns;
};
void PrintTo(const Shape& s, std::ostream* stream) { *stream << s.rows << "x" << s.columns; }

class Norm : public testing::TestWithParam<std::tuple<bool, Shape, DType>> {
protected:
    bool centred = std::get<0>(GetParam());
    Shape shape = std::get<1>(GetParam());
    DType type = std::get<2>(GetParam());
    Workers workers{3};
    Matrix x = rounded(random_matrix(shape.rows, shape.columns, 1, 2.0), type);
    Matrix weight = rounded(random_matrix(1, shape.columns, 2), type), bias = rounded(random_matrix(1, shape.columns, 3), type);
    Matrix d_y = rounded(random_matrix(shape.rows, shape.columns, 4), type);
    double tolerance = 1e-5 + rounding(type);
    NormRun kernels{centred, type, x, weight, bias, d_y, 3};
};

TEST_P(Norm, ForwardAndBackwardAgreeWithFp64) {
    kernels.forward(&workers);
    kernels.backward(&workers);
    expect_close(kernels.y.matrix(), norm(x, weight, centred ? &bias : nullptr), tolerance, "y");
    const Gradients expected = norm_gradients(d_y, x, weight, centred);
    expect_close(kernels.d_x.matrix(), expected.d_x, tolerance, "d_x");
    expect_close(kernels.d_weight.matrix(), expected.d_weight, tolerance, "d_weight");
    if (centred) expect_close(kernels.d_bias.matrix(), expected.d_bias, tolerance, "d_bias");
    EXPECT_TRUE(kernels.y.gaps_untouched());
    EXPECT_TRUE(kernels.d_x.gaps_untouched());
}

TEST_P(Norm, AccumulatesWhatItIsAskedTo) {
    kernels.forward(&workers);
    kernels.backward(&workers);
    const Gradients once = norm_gradients(d_y, x, weight, centred);
    kernels.attributes.accumulate = kernels.attributes.accumulate_second = true;
    kernels.backward(&workers);
    const auto doubled = [](Matrix m) {
        for (double& value : m.values) value *= 2;
        return m;
    };
    expect_close(kernels.d_x.matrix(), doubled(once.d_x), 2 * tolerance, "d_x added");
    expect_close(kernels.d_weight.matrix(), doubled(once.d_weight), 2 * tolerance, "d_weight added");
    if (centred) expect_close(kernels.d_bias.matrix(), doubled(once.d_bias), 2 * tolerance, "d_bias added");
}

TEST_P(Norm, GivesTheSameBitsOnOneThreadAndOnThree) {
    kernels.forward(&workers);
    kernels.backward(&workers);
    NormRun alone(centred, type, x, weight, bias, d_y, 3);
    alone.forward(nullptr);
    alone.backward(nullptr);
    EXPECT_EQ(kernels.y.bytes(), alone.y.bytes());
    EXPECT_EQ(kernels.d_x.bytes(), alone.d_x.bytes());
    EXPECT_EQ(kernels.d_weight.bytes(), alone.d_weight.bytes());
    EXPECT_EQ(kernels.d_bias.bytes(), alone.d_bias.bytes());
}

// 2,500 columns need three strips of a row. (A row of one element is constant under LayerNorm: left out.)
INSTANTIATE_TEST_SUITE_P(
    Shapes, Norm,
    testing::Combine(testing::Bool(), testing::Values(Shape{0, 5}, Shape{1, 3}, Shape{7, 13}, Shape{70, 129}, Shape{33, 2500}),
                     testing::Values(DType::fp32, DType::bf16, DType::fp16)));

TEST(NormGradients, AgreeWithFiniteDifferences) {
    for (bool centred : {false, true}) {
        Matrix x = rounded(random_matrix(3, 7, 1), DType::fp32), weight = rounded(random_matrix(1, 7, 2), DType::fp32);
        Matrix bias = rounded(random_matrix(1, 7, 3), DType::fp32);
        const Matrix d_y = rounded(random_matrix(3, 7, 4), DType::fp32);
        NormRun kernels(centred, DType::fp32, x, weight, bias, d_y, 0);
        kernels.forward(nullptr);
        kernels.backward(nullptr);
        const auto objective = [&] { return inner_product(norm(x, weight, centred ? &bias : nullptr), d_y); };
        expect_close(kernels.d_x.matrix(), numeric_gradient(x, objective), 1e-5, "d_x");
        expect_close(kernels.d_weight.matrix(), numeric_gradient(weight, objective), 1e-5, "d_weight");
        if (centred) expect_close(kernels.d_bias.matrix(), numeric_gradient(bias, objective), 1e-5, "d_bias");
    }
}

TEST(LayerNorm, KeepsItsPrecisionFarFromZero) {
    // E[x^2] - mean^2 would lose every digit here.
    Matrix x = random_matrix(2, 64, 1);
    for (double& value : x.values) value += 1000;
    x = rounded(x, DType::fp32);
    const Matrix weight = random_matrix(1, 64, 2), bias = random_matrix(1, 64, 3);
    NormRun kernels(true, DType::fp32, x, weight, bias, x, 0);
    kernels.forward(nullptr);
    expect_close(kernels.y.matrix(), norm(x, weight, &bias), 2e-4, "y");
}

} // namespace
} // namespace zerosim::device::test
