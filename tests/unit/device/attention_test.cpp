#include "unit/device/kernel_harness.hpp"

#include <thread>

namespace zerosim::device::test {
namespace {

using kernel::Attributes;
using kernel::Kernel;

struct Shape {
    std::int64_t batch, sequence, heads, kv_heads, head_dim;
    [[nodiscard]] std::int64_t tokens() const { return batch * sequence; }
    [[nodiscard]] std::int64_t kv_head(std::int64_t head) const { return head / (heads / kv_heads); }
};
void PrintTo(const Shape& s, std::ostream* stream) {
    *stream << s.batch << "x" << s.sequence << " tokens, " << s.heads << "/" << s.kv_heads << " heads of " << s.head_dim;
}

Attributes attributes_of(const Shape& s) {
    Attributes a;
    a.tokens = s.tokens();
    a.batch = static_cast<std::int32_t>(s.batch);
    a.sequence = static_cast<std::int32_t>(s.sequence);
    a.heads = static_cast<std::int32_t>(s.heads);
    a.kv_heads = static_cast<std::int32_t>(s.kv_heads);
    a.head_dim = static_cast<std::int32_t>(s.head_dim);
    return a;
}

/// Softmax probabilities of query `t` of one sequence and head over keys 0..t, and the logarithm of their denominator.
std::vector<double> probabilities(const Shape& s, const Matrix& q, const Matrix& k, std::int64_t begin, std::int64_t head,
                                  std::int64_t t, double& log_sum_exp) {
    std::vector<double> p(static_cast<std::size_t>(t + 1));
    double sum = 0, highest = -1e300;
    for (std::int64_t j = 0; j <= t; ++j) {
        double& score = p[static_cast<std::size_t>(j)];
        for (std::int64_t c = 0; c < s.head_dim; ++c)
            score += q(begin + t, head * s.head_dim + c) * k(begin + j, s.kv_head(head) * s.head_dim + c);
        score /= std::sqrt(static_cast<double>(s.head_dim));
        highest = std::max(highest, score);
    }
    for (double& score : p) sum += (score = std::exp(score - highest));
    for (double& score : p) score /= sum;
    log_sum_exp = highest + std::log(sum);
    return p;
}

Matrix attention(const Shape& s, const Matrix& q, const Matrix& k, const Matrix& v, Matrix* log_sum_exp = nullptr) {
    Matrix out(s.tokens(), s.heads * s.head_dim);
    for (std::int64_t b = 0; b < s.batch; ++b)
        for (std::int64_t h = 0; h < s.heads; ++h)
            for (std::int64_t t = 0; t < s.sequence; ++t) {
                const std::int64_t begin = b * s.sequence;
                double log_sum = 0;
                const std::vector<double> p = probabilities(s, q, k, begin, h, t, log_sum);
                if (log_sum_exp != nullptr) (*log_sum_exp)(begin + t, h) = log_sum;
                for (std::int64_t j = 0; j <= t; ++j)
                    for (std::int64_t c = 0; c < s.head_dim; ++c)
                        out(begin + t, h * s.head_dim + c) +=
                            p[static_cast<std::size_t>(j)] * v(begin + j, s.kv_head(h) * s.head_dim + c);
            }
    return out;
}

struct Gradients {
    Matrix d_q, d_k, d_v;
};

/// Analytic gradients in fp64; finite differences vouch for them below.
Gradients attention_gradients(const Shape& s, const Matrix& d_out, const Matrix& q, const Matrix& k, const Matrix& v) {
    const std::int64_t d = s.head_dim;
    Gradients g{Matrix(s.tokens(), s.heads * d), Matrix(s.tokens(), s.kv_heads * d), Matrix(s.tokens(), s.kv_heads * d)};
    const double scale = 1 / std::sqrt(static_cast<double>(d));
    for (std::int64_t b = 0; b < s.batch; ++b)
        for (std::int64_t h = 0; h < s.heads; ++h)
            for (std::int64_t t = 0; t < s.sequence; ++t) {
                const std::int64_t begin = b * s.sequence, kv = s.kv_head(h) * d;
                double log_sum = 0, shared = 0;
                const std::vector<double> p = probabilities(s, q, k, begin, h, t, log_sum);
                std::vector<double> d_p(p.size());
                for (std::size_t j = 0; j < p.size(); ++j) {
                    const auto key = begin + static_cast<std::int64_t>(j);
                    for (std::int64_t c = 0; c < d; ++c) {
                        d_p[j] += d_out(begin + t, h * d + c) * v(key, kv + c);
                        g.d_v(key, kv + c) += p[j] * d_out(begin + t, h * d + c);
                    }
                    shared += p[j] * d_p[j];
                }
                for (std::size_t j = 0; j < p.size(); ++j)
                    for (std::int64_t c = 0; c < d; ++c) {
                        const auto key = begin + static_cast<std::int64_t>(j);
                        const double d_score = scale * p[j] * (d_p[j] - shared);
                        g.d_q(begin + t, h * d + c) += d_score * k(key, kv + c);
                        g.d_k(key, kv + c) += d_score * q(begin + t, h * d + c);
                    }
            }
    return g;
}

struct Inputs {
    Matrix q, k, v, d_out;
    Inputs(const Shape& s, DType type)
        : q(rounded(random_matrix(s.tokens(), s.heads * s.head_dim, 1, 3.0), type)),
          k(rounded(random_matrix(s.tokens(), s.kv_heads * s.head_dim, 2, 1.0), type)),
          v(rounded(random_matrix(s.tokens(), s.kv_heads * s.head_dim, 3), type)),
          d_out(rounded(random_matrix(s.tokens(), s.heads * s.head_dim, 4), type)) {}
};

/// q, k and v side by side in one matrix, as one projection writes them; their gradients likewise.
struct AttentionRun {
    Shape shape;
    DType type;
    Tensor qkv, out, log_sum_exp, d_out, d_qkv;

    AttentionRun(const Shape& s, DType t, const Inputs& in, std::int64_t gap = 5)
        : shape(s),
          type(t),
          qkv(t, s.tokens(), width(s), gap),
          out(t, s.tokens(), s.heads * s.head_dim),
          log_sum_exp(DType::fp32, s.tokens(), s.heads),
          d_out(t, in.d_out),
          d_qkv(t, s.tokens(), width(s), gap) {
        write(in.q, 0);
        write(in.k, s.heads * s.head_dim);
        write(in.v, (s.heads + s.kv_heads) * s.head_dim);
    }
    static std::int64_t width(const Shape& s) { return (s.heads + 2 * s.kv_heads) * s.head_dim; }
    void write(const Matrix& m, std::int64_t column) {
        for (std::int64_t r = 0; r < m.rows; ++r)
            for (std::int64_t c = 0; c < m.columns; ++c) qkv.set(r, column + c, m(r, c));
    }
    TensorView part(Tensor& t, int index) const {
        const std::int64_t q = shape.heads * shape.head_dim, k = shape.kv_heads * shape.head_dim;
        return index == 0 ? t.columns(0, q) : t.columns(q + (index - 1) * k, k);
    }
    Matrix gradient(int index) {
        const std::int64_t q = shape.heads * shape.head_dim, k = shape.kv_heads * shape.head_dim;
        const std::int64_t first = index == 0 ? 0 : q + (index - 1) * k;
        Matrix result(shape.tokens(), index == 0 ? q : k);
        for (std::int64_t r = 0; r < result.rows; ++r)
            for (std::int64_t c = 0; c < result.columns; ++c) result(r, c) = d_qkv.get(r, first + c);
        return result;
    }
    void forward(Workers* workers) {
        run(Kernel::attention_forward, attributes_of(shape),
            {part(qkv, 0), part(qkv, 1), part(qkv, 2), out.view(), log_sum_exp.view()}, type, workers);
    }
    void backward(Workers* workers) {
        run(Kernel::attention_backward, attributes_of(shape),
            {d_out.view(), part(qkv, 0), part(qkv, 1), part(qkv, 2), out.view(), log_sum_exp.view(), part(d_qkv, 0),
             part(d_qkv, 1), part(d_qkv, 2)},
            type, workers);
    }
};

class Attention : public testing::TestWithParam<std::tuple<Shape, DType, int>> {};

TEST_P(Attention, AgreesWithFp64) {
    const auto& [shape, type, threads] = GetParam();
    Workers workers(threads);
    const Inputs in(shape, type);
    AttentionRun kernels(shape, type, in);
    kernels.forward(&workers);
    Matrix log_sum_exp(shape.tokens(), shape.heads);
    expect_close(kernels.out.matrix(), attention(shape, in.q, in.k, in.v, &log_sum_exp), 2e-5 + rounding(type), "out");
    expect_close(kernels.log_sum_exp.matrix(), log_sum_exp, 2e-5, "log_sum_exp");
    kernels.backward(&workers);
    const Gradients expected = attention_gradients(shape, in.d_out, in.q, in.k, in.v);
    // D = sum of d_out * out takes out as it was stored: its rounding comes on top of that of the results.
    const double tolerance = 5e-5 + (type == DType::fp32 ? 0 : 3 * rounding(type));
    expect_close(kernels.gradient(0), expected.d_q, tolerance, "d_q");
    expect_close(kernels.gradient(1), expected.d_k, tolerance, "d_k");
    expect_close(kernels.gradient(2), expected.d_v, tolerance, "d_v");
    EXPECT_TRUE(kernels.d_qkv.gaps_untouched());
}

TEST_P(Attention, GivesTheSameBitsAsOneThread) {
    const auto& [shape, type, threads] = GetParam();
    Workers workers(threads);
    const Inputs in(shape, type);
    AttentionRun shared(shape, type, in), alone(shape, type, in);
    shared.forward(&workers);
    shared.backward(&workers);
    alone.forward(nullptr);
    alone.backward(nullptr);
    EXPECT_EQ(shared.out.bytes(), alone.out.bytes());
    EXPECT_EQ(shared.log_sum_exp.bytes(), alone.log_sum_exp.bytes());
    EXPECT_EQ(shared.d_qkv.bytes(), alone.d_qkv.bytes());
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Combine(testing::Values(Shape{0, 4, 2, 1, 3}, Shape{2, 0, 2, 1, 3}, Shape{1, 1, 1, 1, 1},
                                                          Shape{3, 5, 2, 2, 7}, Shape{2, 32, 4, 2, 8}, Shape{1, 133, 6, 2, 9},
                                                          Shape{1, 128, 2, 1, 16}, Shape{2, 129, 2, 2, 5},
                                                          Shape{1, 260, 4, 2, 12}, Shape{1, 20, 2, 1, 300}),
                                          testing::Values(DType::fp32, DType::bf16, DType::fp16), testing::Values(1, 3)));

TEST(AttentionGradients, AgreeWithFiniteDifferences) {
    for (const Shape& shape : {Shape{2, 5, 4, 2, 3}, Shape{1, 7, 3, 1, 5}, Shape{1, 1, 2, 2, 4}}) {
        Inputs in(shape, DType::fp32);
        AttentionRun kernels(shape, DType::fp32, in);
        kernels.forward(nullptr);
        kernels.backward(nullptr);
        const auto objective = [&] { return inner_product(attention(shape, in.q, in.k, in.v), in.d_out); };
        expect_close(kernels.gradient(0), numeric_gradient(in.q, objective), 2e-5, "d_q");
        expect_close(kernels.gradient(1), numeric_gradient(in.k, objective), 2e-5, "d_k");
        expect_close(kernels.gradient(2), numeric_gradient(in.v, objective), 2e-5, "d_v");
    }
}

TEST(AttentionForward, StaysFiniteWhereScoresAreHuge) {
    const Shape shape{1, 140, 1, 1, 4};
    Inputs in(shape, DType::fp32);
    for (double& value : in.q.values) value *= 300; // scores of a thousand: only the running maximum keeps e^score finite
    in.q = rounded(in.q, DType::fp32);
    AttentionRun kernels(shape, DType::fp32, in);
    kernels.forward(nullptr);
    expect_close(kernels.out.matrix(), attention(shape, in.q, in.k, in.v), 1e-3, "out");
}

TEST(AttentionForward, GivesTheSameBitsBesideOthers) {
    const Shape shape{2, 150, 4, 2, 16};
    const Inputs in(shape, DType::bf16);
    const auto gradients = [&](int repeats) {
        Workers workers(2);
        AttentionRun kernels(shape, DType::bf16, in);
        for (int i = 0; i < repeats; ++i) {
            kernels.forward(&workers);
            kernels.backward(&workers);
        }
        return kernels.d_qkv.bytes();
    };
    const std::vector<std::byte> alone = gradients(1);
    std::vector<std::byte> other;
    std::thread second([&] { other = gradients(4); });
    const std::vector<std::byte> beside = gradients(4);
    second.join();
    EXPECT_EQ(alone, beside);
    EXPECT_EQ(alone, other);
}

} // namespace
} // namespace zerosim::device::test
