#include "unit/device/kernel_harness.hpp"

#include "base/error.hpp"

#include <thread>

namespace zerosim::device::test {
namespace {

using kernel::Attributes;
using kernel::Kernel;

struct Shape {
    std::int64_t tokens, in, out;
};

void PrintTo(const Shape& s, std::ostream* stream) { *stream << s.tokens << "x" << s.in << "x" << s.out; }

Attributes attributes_of(const Shape& s) {
    Attributes a;
    a.tokens = s.tokens;
    a.in = s.in;
    a.out = s.out;
    return a;
}

/// op(A) op(B) in fp64.
Matrix product(const Matrix& a, bool a_transposed, const Matrix& b, bool b_transposed) {
    const std::int64_t depth = a_transposed ? a.rows : a.columns;
    Matrix result(a_transposed ? a.columns : a.rows, b_transposed ? b.rows : b.columns);
    for (std::int64_t i = 0; i < result.rows; ++i)
        for (std::int64_t j = 0; j < result.columns; ++j)
            for (std::int64_t p = 0; p < depth; ++p)
                result(i, j) += (a_transposed ? a(p, i) : a(i, p)) * (b_transposed ? b(j, p) : b(p, j));
    return result;
}

Matrix column_sums(const Matrix& m) {
    Matrix result(1, m.columns);
    for (std::int64_t r = 0; r < m.rows; ++r)
        for (std::int64_t c = 0; c < m.columns; ++c) result(0, c) += m(r, c);
    return result;
}

Matrix add_rows(Matrix m, const Matrix& row) {
    for (std::int64_t r = 0; r < m.rows; ++r)
        for (std::int64_t c = 0; c < m.columns; ++c) m(r, c) += row(0, c);
    return m;
}

Matrix plus(Matrix a, const Matrix& b) {
    for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
    return a;
}

/// Inputs of all three kernels, already rounded to the storage type.
struct Inputs {
    Matrix x, weight, bias, d_y;
    Inputs(const Shape& s, DType type)
        : x(rounded(random_matrix(s.tokens, s.in, 1), type)),
          weight(rounded(random_matrix(s.out, s.in, 2), type)),
          bias(rounded(random_matrix(1, s.out, 3), type)),
          d_y(rounded(random_matrix(s.tokens, s.out, 4), type)) {}
};

class Linear : public testing::TestWithParam<std::tuple<Shape, DType, int>> {
protected:
    Shape shape = std::get<0>(GetParam());
    DType type = std::get<1>(GetParam());
    Workers workers{std::get<2>(GetParam())};
    Attributes attributes = attributes_of(shape);
    Inputs inputs{shape, type};
    // Sums of up to 600 products in fp32, then one rounding to the storage type.
    double tolerance = 4e-6 + rounding(type);
};

TEST_P(Linear, ForwardIsTheProductAndTheBias) {
    Tensor x(type, inputs.x), weight(type, inputs.weight), bias(type, inputs.bias), y(type, shape.tokens, shape.out);
    run(Kernel::linear_forward, attributes, {x.view(), weight.view(), {}, y.view()}, type, &workers);
    const Matrix expected = product(inputs.x, false, inputs.weight, true);
    expect_close(y.matrix(), expected, tolerance, "y");
    run(Kernel::linear_forward, attributes, {x.view(), weight.view(), bias.view(), y.view()}, type, &workers);
    expect_close(y.matrix(), add_rows(expected, inputs.bias), tolerance, "y with bias");
}

TEST_P(Linear, BackwardInputOverwritesOrAdds) {
    const Matrix before = rounded(random_matrix(shape.tokens, shape.in, 5), type);
    Tensor d_y(type, inputs.d_y), weight(type, inputs.weight), d_x(type, before);
    run(Kernel::linear_backward_input, attributes, {d_y.view(), weight.view(), d_x.view()}, type, &workers);
    const Matrix expected = product(inputs.d_y, false, inputs.weight, false);
    expect_close(d_x.matrix(), expected, tolerance, "d_x");
    attributes.accumulate_second = true;
    Tensor sum(type, before);
    run(Kernel::linear_backward_input, attributes, {d_y.view(), weight.view(), sum.view()}, type, &workers);
    expect_close(sum.matrix(), plus(expected, before), tolerance, "d_x added");
}

TEST_P(Linear, BackwardWeightOverwritesOrAdds) {
    const Matrix before = rounded(random_matrix(shape.out, shape.in, 6), type),
                 before_bias = rounded(random_matrix(1, shape.out, 7), type);
    Tensor d_y(type, inputs.d_y), x(type, inputs.x), d_weight(type, before), d_bias(type, before_bias);
    run(Kernel::linear_backward_weight, attributes, {d_y.view(), x.view(), d_weight.view(), d_bias.view()}, type, &workers);
    const Matrix expected = product(inputs.d_y, true, inputs.x, false), expected_bias = column_sums(inputs.d_y);
    expect_close(d_weight.matrix(), expected, tolerance, "d_weight");
    expect_close(d_bias.matrix(), expected_bias, tolerance, "d_bias");
    attributes.accumulate = true;
    Tensor sum(type, before), sum_bias(type, before_bias);
    run(Kernel::linear_backward_weight, attributes, {d_y.view(), x.view(), sum.view(), sum_bias.view()}, type, &workers);
    expect_close(sum.matrix(), plus(expected, before), tolerance, "d_weight added");
    expect_close(sum_bias.matrix(), plus(expected_bias, before_bias), tolerance, "d_bias added");
    run(Kernel::linear_backward_weight, attributes_of(shape), {d_y.view(), x.view(), d_weight.view(), {}}, type, &workers);
    expect_close(d_weight.matrix(), expected, tolerance, "d_weight without bias");
}

// The last three cross the panels' borders (256 rows, 256 columns, depth 512) in each dimension of one kernel or another.
INSTANTIATE_TEST_SUITE_P(Shapes, Linear,
                         testing::Combine(testing::Values(Shape{0, 5, 3}, Shape{1, 1, 1}, Shape{1, 7, 9}, Shape{7, 13, 11},
                                                          Shape{33, 65, 130}, Shape{270, 20, 260}, Shape{530, 20, 270},
                                                          Shape{20, 270, 530}),
                                          testing::Values(DType::fp32, DType::bf16, DType::fp16), testing::Values(1, 3)));

TEST(LinearGradients, AgreeWithFiniteDifferences) {
    const Shape shape{5, 7, 3};
    Inputs inputs(shape, DType::fp32);
    const auto objective = [&] {
        return inner_product(add_rows(product(inputs.x, false, inputs.weight, true), inputs.bias), inputs.d_y);
    };
    Tensor d_y(DType::fp32, inputs.d_y), x(DType::fp32, inputs.x), weight(DType::fp32, inputs.weight);
    Tensor d_x(DType::fp32, 5, 7), d_weight(DType::fp32, 3, 7), d_bias(DType::fp32, 1, 3);
    run(Kernel::linear_backward_input, attributes_of(shape), {d_y.view(), weight.view(), d_x.view()}, DType::fp32);
    run(Kernel::linear_backward_weight, attributes_of(shape), {d_y.view(), x.view(), d_weight.view(), d_bias.view()},
        DType::fp32);
    expect_close(d_x.matrix(), numeric_gradient(inputs.x, objective), 1e-5, "d_x");
    expect_close(d_weight.matrix(), numeric_gradient(inputs.weight, objective), 1e-5, "d_weight");
    expect_close(d_bias.matrix(), numeric_gradient(inputs.bias, objective), 1e-5, "d_bias");
}

class LinearTypes : public testing::TestWithParam<DType> {};

TEST_P(LinearTypes, TakesStridedRowsAndLeavesTheGapsAlone) {
    const DType type = GetParam();
    const Shape shape{9, 21, 14};
    const Inputs inputs(shape, type);
    const double tolerance = 4e-6 + rounding(type);
    Tensor x(type, inputs.x, 5), weight(type, inputs.weight), bias(type, inputs.bias), y(type, 9, 14, 3),
        d_y(type, inputs.d_y, 2);
    Tensor d_x(type, 9, 21, 4), d_weight(type, 14, 21), d_bias(type, 1, 14);
    run(Kernel::linear_forward, attributes_of(shape), {x.view(), weight.view(), bias.view(), y.view()}, type);
    run(Kernel::linear_backward_input, attributes_of(shape), {d_y.view(), weight.view(), d_x.view()}, type);
    run(Kernel::linear_backward_weight, attributes_of(shape), {d_y.view(), x.view(), d_weight.view(), d_bias.view()}, type);
    expect_close(y.matrix(), add_rows(product(inputs.x, false, inputs.weight, true), inputs.bias), tolerance, "y");
    expect_close(d_x.matrix(), product(inputs.d_y, false, inputs.weight, false), tolerance, "d_x");
    expect_close(d_weight.matrix(), product(inputs.d_y, true, inputs.x, false), tolerance, "d_weight");
    expect_close(d_bias.matrix(), column_sums(inputs.d_y), tolerance, "d_bias");
    EXPECT_TRUE(y.gaps_untouched());
    EXPECT_TRUE(d_x.gaps_untouched());
}

TEST_P(LinearTypes, GivesTheSameBitsAtEveryRunAndBesideOthers) {
    const DType type = GetParam();
    const Shape shape{70, 60, 300};
    const Inputs inputs(shape, type);
    const auto gradient = [&](int repeats) {
        Workers workers(2);
        Tensor d_y(type, inputs.d_y), x(type, inputs.x), d_weight(type, 300, 60), d_bias(type, 1, 300);
        std::vector<std::byte> first;
        for (int i = 0; i < repeats; ++i) {
            run(Kernel::linear_backward_weight, attributes_of(shape), {d_y.view(), x.view(), d_weight.view(), d_bias.view()},
                type, &workers);
            if (i == 0) first = d_weight.bytes();
            EXPECT_EQ(first, d_weight.bytes());
        }
        return first;
    };
    const std::vector<std::byte> alone = gradient(3);
    std::vector<std::byte> beside, other;
    std::thread second([&] { other = gradient(5); });
    beside = gradient(5);
    second.join();
    EXPECT_EQ(alone, beside);
    EXPECT_EQ(alone, other);
}

INSTANTIATE_TEST_SUITE_P(Types, LinearTypes, testing::Values(DType::fp32, DType::bf16, DType::fp16));

TEST(LinearWorkspace, MissingOrSmallIsABug) {
    const Shape shape{4, 6, 8};
    const Inputs inputs(shape, DType::bf16);
    Tensor x(DType::bf16, inputs.x), weight(DType::bf16, inputs.weight), y(DType::bf16, 4, 8);
    std::vector<float> small(3);
    const Attributes attributes = attributes_of(shape);
    const TensorView none, short_one{small.data(), 1, 12, 12, DType::uint8};
    for (const TensorView& workspace : {none, short_one}) {
        const std::vector<TensorView> operands{x.view(), weight.view(), none, workspace, y.view()};
        const KernelCall call{
            .kernel = Kernel::linear_forward, .attributes = attributes, .operands = operands, .range = {}, .context = {}};
        EXPECT_THROW(host::run_kernel(call), BugError);
    }
}

} // namespace
} // namespace zerosim::device::test
