// Kernel::elementwise and the multi-tensor kernels against fp64 references: values, derivatives, broadcasts, sums.
#include "unit/device/kernel_harness.hpp"

#include <numeric>

namespace zerosim::device::test {
namespace {

using kernel::EagerOperation;
using kernel::Kernel;

kernel::Attributes of(EagerOperation operation, float value = 0, std::int32_t rows = 0, std::int32_t columns = 0) {
    kernel::Attributes a;
    a.operation = operation;
    a.value = value;
    a.broadcast_rows = rows;
    a.broadcast_columns = columns;
    return a;
}

Matrix eager(const kernel::Attributes& attributes, const std::vector<Matrix>& inputs, std::int64_t rows, std::int64_t columns) {
    std::vector<Tensor> tensors;
    for (const Matrix& m : inputs) tensors.emplace_back(DType::fp32, m);
    Tensor out(DType::fp32, rows, columns);
    std::vector<TensorView> operands(4);
    for (std::size_t i = 0; i < tensors.size(); ++i) operands[i] = tensors[i].view();
    operands[3] = out.view();
    run(Kernel::elementwise, attributes, operands, DType::fp32);
    return out.matrix();
}

struct Function {
    EagerOperation operation;
    float value;
    bool keeps_output;
    std::function<double(double)> value_of;
};

TEST(EagerFunctions, AndTheirDerivativesAreThoseOfTheFormulas) {
    const std::vector<Function> functions{
        {EagerOperation::gelu, 0, false, [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }},
        {EagerOperation::silu, 0, false, [](double x) { return x / (1 + std::exp(-x)); }},
        {EagerOperation::tanh, 0, true, [](double x) { return std::tanh(x); }},
        {EagerOperation::rsqrt, 0, true, [](double x) { return 1 / std::sqrt(x); }},
        {EagerOperation::power, 2, false, [](double x) { return x * x; }},
        {EagerOperation::power, 3, false, [](double x) { return x * x * x; }},
    };
    for (const Function& f : functions) {
        Matrix x = random_matrix(7, 37, 3, 3.0);
        if (f.operation == EagerOperation::rsqrt)
            for (double& v : x.values) v = std::abs(v) + 0.5;
        x = rounded(x, DType::fp32);
        Matrix expected(7, 37), slope(7, 37);
        const Matrix d = rounded(random_matrix(7, 37, 4), DType::fp32);
        for (std::size_t i = 0; i < x.values.size(); ++i) {
            expected.values[i] = f.value_of(x.values[i]);
            slope.values[i] = d.values[i] * (f.value_of(x.values[i] + 1e-6) - f.value_of(x.values[i] - 1e-6)) / 2e-6;
        }
        const std::string what(name(f.operation));
        const Matrix y = eager(of(f.operation, f.value), {x}, 7, 37);
        expect_close(y, expected, 1e-6, what);
        expect_close(eager(of(kernel::backward_of(f.operation), f.value), {d, f.keeps_output ? y : x}, 7, 37), slope, 1e-5, what + " backward");
    }
}

TEST(EagerBroadcast, SmallerOperandsMeetTheirRowsAndColumnsAndSumsUndoIt) {
    const Matrix a = rounded(random_matrix(12, 30, 5), DType::fp32);
    for (const auto& [rows, columns] : {std::pair{1, 30}, {12, 1}, {4, 30}, {4, 10}, {1, 1}}) {
        const Matrix b = rounded(random_matrix(rows, columns, 6), DType::fp32);
        Matrix product(12, 30), sum(rows, columns);
        for (std::int64_t r = 0; r < 12; ++r)
            for (std::int64_t c = 0; c < 30; ++c) {
                product(r, c) = a(r, c) * b(r % rows, c % columns);
                sum(r % rows, c % columns) += a(r, c);
            }
        const std::string what = std::to_string(rows) + " x " + std::to_string(columns);
        expect_close(eager(of(EagerOperation::multiply, 0, rows, columns), {a, b}, 12, 30), product, 1e-6, what);
        expect_close(eager(of(EagerOperation::sum, 0, rows, columns), {a}, rows, columns), sum, 1e-6, "sum to " + what);
    }
}

TEST(EagerLoss, IsTheMeanOverTargetsAndItsGradientIsSoftmaxLessOneHot) {
    constexpr std::int64_t kTokens = 9, kColumns = 40, kReal = 37;   // three columns are padding
    const Matrix logits = rounded(random_matrix(kTokens, kColumns, 7, 4.0), DType::fp32);
    kernel::Attributes a = of(EagerOperation::log_softmax);
    a.real_vocabulary = kReal;
    const Matrix logp = eager(a, {logits}, kTokens, kColumns);
    std::vector<std::int64_t> targets(kTokens);
    std::iota(targets.begin(), targets.end(), 20);
    double loss = 0;
    Matrix gradient(kTokens, kColumns);
    for (std::int64_t t = 0; t < kTokens; ++t) {
        double total = 0;
        for (std::int64_t c = 0; c < kReal; ++c) total += std::exp(logits(t, c));
        for (std::int64_t c = 0; c < kReal; ++c) {
            ASSERT_NEAR(logp(t, c), logits(t, c) - std::log(total), 1e-5);
            gradient(t, c) = (std::exp(logits(t, c)) / total - (c == targets[static_cast<std::size_t>(t)] ? 1 : 0)) / kTokens;
        }
        loss -= (logits(t, targets[static_cast<std::size_t>(t)]) - std::log(total)) / kTokens;
    }
    Tensor kept(DType::fp32, logp), out(DType::fp32, 1, 1), ones(DType::fp32, Matrix(1, 1)), spread(DType::fp32, kTokens, kColumns), back(DType::fp32, kTokens, kColumns);
    ones.set(0, 0, 1);
    const TensorView labels{targets.data(), 1, kTokens, kTokens, DType::int64};
    a.operation = EagerOperation::negative_log_likelihood;
    run(Kernel::elementwise, a, {kept.view(), labels, {}, out.view()}, DType::fp32);
    EXPECT_NEAR(out.get(0, 0), loss, 1e-5);
    run(Kernel::elementwise, of(EagerOperation::negative_log_likelihood_backward), {labels, ones.view(), {}, spread.view()}, DType::fp32);
    a.operation = EagerOperation::log_softmax_backward;
    run(Kernel::elementwise, a, {spread.view(), kept.view(), {}, back.view()}, DType::fp32);
    expect_close(back.matrix(), gradient, 1e-5, "gradient of the logits");
}

TEST(EagerRotary, TurnsPairsByTheirAnglesAndBack) {
    kernel::Attributes a = of(EagerOperation::rotary_table);
    a.head_dim = 8;
    a.rotary_base = 100;
    a.sequence = 5;
    const Matrix table = eager(a, {}, 6, 8), x = rounded(random_matrix(10, 16, 9), DType::fp32);
    a.operation = EagerOperation::rotate;
    const Matrix turned = eager(a, {x, table}, 10, 16);
    for (std::int64_t row = 0; row < 10; ++row)
        for (std::int64_t head = 0; head < 2; ++head)
            for (std::int64_t i = 0; i < 4; ++i) {
                const double angle = static_cast<double>(row % 5) * std::pow(100.0, -2.0 * static_cast<double>(i) / 8);
                const double first = x(row, head * 8 + i), second = x(row, head * 8 + 4 + i);
                ASSERT_NEAR(turned(row, head * 8 + i), first * std::cos(angle) - second * std::sin(angle), 1e-6);
                ASSERT_NEAR(turned(row, head * 8 + 4 + i), second * std::cos(angle) + first * std::sin(angle), 1e-6);
            }
    a.operation = EagerOperation::rotate_backward;
    expect_close(eager(a, {turned, table}, 10, 16), x, 1e-6, "turned back");
}

TEST(EagerShapes, HeadsAreRepeatedSlicesEmbeddedAndPartsJoined) {
    const Matrix x = rounded(random_matrix(3, 4, 10), DType::fp32);
    kernel::Attributes a = of(EagerOperation::repeat_heads, 3);
    a.head_dim = 2;
    const Matrix repeated = eager(a, {x}, 3, 12);
    for (std::int64_t r = 0; r < 3; ++r)
        for (std::int64_t c = 0; c < 12; ++c) EXPECT_EQ(repeated(r, c), x(r, c / 6 * 2 + c % 2));
    a.operation = EagerOperation::repeat_heads_backward;
    Matrix thrice = x;
    for (double& v : thrice.values) v *= 3;
    expect_close(eager(a, {repeated}, 3, 4), thrice, 1e-6, "sum of the copies");
    const Matrix embedded = eager(of(EagerOperation::slice_backward, 2), {x}, 3, 7);
    for (std::int64_t r = 0; r < 3; ++r)
        for (std::int64_t c = 0; c < 7; ++c) EXPECT_EQ(embedded(r, c), c >= 2 && c < 6 ? x(r, c - 2) : 0);
    const Matrix joined = eager(of(EagerOperation::concatenate), {x, embedded}, 3, 11);
    for (std::int64_t r = 0; r < 3; ++r)
        for (std::int64_t c = 0; c < 11; ++c) EXPECT_EQ(joined(r, c), c < 4 ? x(r, c) : embedded(r, c - 4));
}

TEST(EagerKernels, WithoutAnOperationCannotRun) {
    Tensor out(DType::fp32, 1, 1);
    EXPECT_THROW(run(Kernel::elementwise, {}, {{}, {}, {}, out.view()}, DType::fp32), std::exception);
}

/// One group, of 5 elements of which the first 4 are no padding.
void run_groups(Kernel kernel, const kernel::Attributes& attributes, const std::vector<TensorView>& operands) {
    const std::vector<RangeSegment> ranges{{0, 4, true}};
    const std::vector<std::uint32_t> ends{1};
    host::run_kernel({.kernel = kernel, .attributes = attributes, .operands = operands, .range = ranges, .context = {}, .range_ends = ends});
}

TEST(MultiTensor, AdamwFollowsItsFormulaAndLeavesPadding) {
    Matrix p(1, 5), g(1, 5), zero(1, 5);
    for (int i = 0; i < 5; ++i) {
        p.values[static_cast<std::size_t>(i)] = i + 1;
        g.values[static_cast<std::size_t>(i)] = 0.5 * i - 1;
    }
    Tensor parameter(DType::fp32, p), gradient(DType::fp32, g), m(DType::fp32, zero), v(DType::fp32, zero), step(DType::fp32, Matrix(1, 1));
    kernel::Attributes a;
    a.learning_rate = 0.1f;
    a.beta1 = 0.9f;
    a.beta2 = 0.99f;
    a.epsilon = 1e-8f;
    a.weight_decay = 0.1f;
    for (int k = 0; k < 2; ++k) run_groups(Kernel::adamw_tensors, a, {parameter.view(), m.view(), v.view(), gradient.view(), step.view()});
    EXPECT_EQ(step.get(0, 0), 2);
    for (int i = 0; i < 4; ++i) {
        double x = i + 1, first = 0, second = 0;
        const double d = 0.5 * i - 1;
        for (int t = 1; t <= 2; ++t) {
            x *= 1 - 0.1 * 0.1;
            first = 0.9 * first + 0.1 * d;
            second = 0.99 * second + 0.01 * d * d;
            x -= 0.1 * (first / (1 - std::pow(0.9, t))) / (std::sqrt(second / (1 - std::pow(0.99, t))) + 1e-8);
        }
        EXPECT_NEAR(parameter.get(0, i), x, 1e-4) << i;
    }
    EXPECT_EQ(parameter.get(0, 4), 5) << "padding";
}

TEST(MultiTensor, MomentumNormAndScale) {
    Matrix p(1, 5), g(1, 5), zero(1, 5);
    for (std::size_t i = 0; i < 5; ++i) {
        p.values[i] = 1;
        g.values[i] = static_cast<double>(i);
    }
    Tensor parameter(DType::fp32, p), gradient(DType::fp32, g), momentum(DType::fp32, zero), norm(DType::fp32, 1, 1), factor(DType::fp32, Matrix(1, 1));
    kernel::Attributes a;
    a.learning_rate = 0.5f;
    a.beta1 = 0.5f;
    for (int k = 0; k < 2; ++k) run_groups(Kernel::sgd_tensors, a, {parameter.view(), momentum.view(), gradient.view()});
    for (int i = 0; i < 4; ++i) EXPECT_NEAR(parameter.get(0, i), 1 - 0.5 * i - 0.5 * 1.5 * i, 1e-6);
    EXPECT_EQ(parameter.get(0, 4), 1) << "padding";
    run_groups(Kernel::norm_tensors, a, {gradient.view(), norm.view()});
    EXPECT_NEAR(norm.get(0, 0), std::sqrt(30.0), 1e-6);
    factor.set(0, 0, 0.25);
    run_groups(Kernel::scale_tensors, a, {gradient.view(), factor.view()});
    for (int i = 0; i < 5; ++i) EXPECT_EQ(gradient.get(0, i), 0.25 * i);
}

// y = x W with a weight stored [in, out]: the transposed weight's results.
TEST(InputMajor, ProductsAreThoseOfTheTransposedWeight) {
    constexpr std::int64_t kTokens = 6, kIn = 5, kOut = 7;
    const Matrix x = random_matrix(kTokens, kIn, 1), w = random_matrix(kOut, kIn, 2), d = random_matrix(kTokens, kOut, 3);
    Matrix wt(kIn, kOut);
    for (std::int64_t r = 0; r < kOut; ++r)
        for (std::int64_t c = 0; c < kIn; ++c) wt(c, r) = w(r, c);
    kernel::Attributes a;
    a.tokens = kTokens;
    a.in = kIn;
    a.out = kOut;
    for (const DType type : {DType::fp32, DType::bf16}) {
        Tensor tx(type, x), td(type, d), tw(type, w), twt(type, wt), y(type, kTokens, kOut), yt(type, kTokens, kOut), dx(type, kTokens, kIn), dxt(type, kTokens, kIn);
        Tensor dw(type, kOut, kIn), dwt(type, kIn, kOut);
        for (const bool input_major : {false, true}) {
            a.input_major = input_major;
            run(Kernel::linear_forward, a, {tx.view(), input_major ? twt.view() : tw.view(), {}, input_major ? yt.view() : y.view()}, type);
            run(Kernel::linear_backward_input, a, {td.view(), input_major ? twt.view() : tw.view(), input_major ? dxt.view() : dx.view()}, type);
            run(Kernel::linear_backward_weight, a, {td.view(), tx.view(), input_major ? dwt.view() : dw.view(), {}}, type);
        }
        expect_close(yt.matrix(), y.matrix(), 1e-6 + rounding(type), "forward");
        expect_close(dxt.matrix(), dx.matrix(), 1e-6 + rounding(type), "input gradient");
        for (std::int64_t r = 0; r < kOut; ++r)
            for (std::int64_t c = 0; c < kIn; ++c) ASSERT_NEAR(dwt.get(c, r), dw.get(r, c), 1e-5 + rounding(type));
    }
}

}  // namespace
}  // namespace zerosim::device::test
