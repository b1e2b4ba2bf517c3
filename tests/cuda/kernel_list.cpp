#include "cuda/kernel_case.hpp"

#include <fmt/format.h>

namespace zerosim::device::test {
namespace {

using kernel::Attributes;
using kernel::Kernel;

constexpr DType kTypes[] = {DType::fp32, DType::bf16, DType::fp16};

/// Of the largest element: fp32 sums in another order, or one rounding to the storage type.
double tolerance_of(DType type) { return type == DType::fp32 ? 2e-5 : type == DType::fp16 ? 2e-3 : 1.2e-2; }

class List {
public:
    KernelCase& add(Kernel kernel, DType type, std::string_view variant, const Attributes& attributes, std::vector<Operand> operands) {
        KernelCase test;
        test.name = fmt::format("{}_{}_{}", name(kernel), zerosim::name(type), variant);
        test.kernel = kernel;
        test.attributes = attributes;
        test.operands = std::move(operands);
        test.tolerance = tolerance_of(type);
        return cases.emplace_back(std::move(test));
    }
    /// The last case again, its operands of floats so many elements further on.
    void again_at(std::initializer_list<std::int64_t> offsets) {
        const KernelCase last = cases.back();
        for (const std::int64_t offset : offsets) {
            KernelCase& test = cases.emplace_back(last);
            test.name += fmt::format("_at{}", offset);
            for (Operand& operand : test.operands)
                if (operand.dtype != DType::int32 && operand.dtype != DType::fp64 && operand.rows * operand.columns > 1) operand.offset = offset;
        }
    }
    std::vector<KernelCase> cases;
};

Operand matrix(std::int64_t rows, std::int64_t columns, DType type, Content content = Content::random, std::int64_t stride = 0) { return {rows, columns, type, content, stride}; }
Operand vector(std::int64_t columns, DType type, Content content = Content::random) { return matrix(1, columns, type, content); }
Operand statistic(std::int64_t rows, Content content = Content::zero) { return matrix(rows, 1, DType::fp32, content); }

void norms(List& list, DType type) {
    for (const auto& [rows, columns] : {std::pair{5, 7}, std::pair{37, 64}, std::pair{64, 200}, std::pair{11, 520}, std::pair{6, 768}, std::pair{3, 1032}, std::pair{1, 64}, std::pair{1, 1}}) {
        Attributes a;
        a.epsilon = 1e-5f;
        const std::string shape = fmt::format("{}x{}", rows, columns);
        list.add(Kernel::layer_norm_forward, type, shape, a,
                 {matrix(rows, columns, type), vector(columns, type), vector(columns, type), matrix(rows, columns, type, Content::zero), statistic(rows), statistic(rows)});
        if (columns == 768) list.again_at({1});
        list.add(Kernel::rms_norm_forward, type, shape, a, {matrix(rows, columns, type), vector(columns, type), matrix(rows, columns, type, Content::zero), statistic(rows)});
        for (const bool accumulate : {false, true}) {
            a.accumulate = a.accumulate_second = accumulate;
            const std::string variant = shape + (accumulate ? "_adds" : "");
            list.add(Kernel::layer_norm_backward, type, variant, a,
                     {matrix(rows, columns, type), matrix(rows, columns, type), vector(columns, type), statistic(rows, Content::random), statistic(rows, Content::positive),
                      matrix(rows, columns, type), vector(columns, type), vector(columns, type)});
            if (columns == 768) list.again_at({3});
            list.add(Kernel::rms_norm_backward, type, variant, a,
                     {matrix(rows, columns, type), matrix(rows, columns, type), vector(columns, type), statistic(rows, Content::positive), matrix(rows, columns, type),
                      vector(columns, type)});
        }
    }
}

void activations(List& list, DType type) {
    for (const auto& [rows, columns, stride] : {std::tuple{3, 5, 5}, std::tuple{9, 32, 32}, std::tuple{9, 32, 48}}) {
        const auto m = [&, r = rows, c = columns, s = stride](Content content = Content::random) { return matrix(r, c, type, content, s); };
        const std::string shape = fmt::format("{}x{}of{}", rows, columns, stride);
        list.add(Kernel::gelu_forward, type, shape, {}, {m(), m(Content::zero)});
        list.add(Kernel::gelu_backward, type, shape, {}, {m(), m(), m(Content::zero)});
        list.add(Kernel::swiglu_forward, type, shape, {}, {m(), m(), m(Content::zero)});
        list.add(Kernel::swiglu_backward, type, shape, {}, {m(), m(), m(), m(Content::zero), m(Content::zero)});
        list.again_at({1});
        list.add(Kernel::add, type, shape, {}, {m(), m(), m(Content::zero)});
        Attributes a;
        a.dropout = 0.3f;
        a.sequence = 3;
        a.layer = 2;
        a.site = 1;
        list.add(Kernel::dropout, type, shape, a, {m(), m(Content::zero)});
        list.again_at({3});
    }
}

void embeddings(List& list, DType type) {
    struct Shape {
        std::int64_t sequence, hidden;
    };
    for (const auto& [sequence, hidden] : {Shape{21, 150}, Shape{21, 1040}, Shape{300, 16}}) {   // rows of no packs, of several blocks; many tokens
        const std::int64_t batch = 2, vocabulary = 11, tokens = batch * sequence;
        for (const bool positions : {false, true}) {
            Attributes a;
            a.vocabulary = vocabulary;
            a.sequence = static_cast<std::int32_t>(sequence);
            a.batch = static_cast<std::int32_t>(batch);
            const Operand ids = matrix(tokens, 1, DType::int32, Content::tokens), table = matrix(vocabulary, hidden, type);
            const Operand position = positions ? matrix(sequence + 2, hidden, type) : matrix(0, 0, type, Content::absent);
            const std::string variant = fmt::format("{}x{}_{}", tokens, hidden, positions ? "positions" : "tokens");
            list.add(Kernel::embedding_forward, type, variant, a, {ids, table, position, matrix(tokens, hidden, type, Content::zero)});
            list.add(Kernel::embedding_backward, type, variant, a, {ids, matrix(tokens, hidden, type), table, position});
            a.accumulate = a.accumulate_second = true;
            list.add(Kernel::embedding_backward, type, variant + "_adds", a, {ids, matrix(tokens, hidden, type), table, position});
        }
    }
}

struct Heads {
    int batch, sequence, heads, kv_heads, head_dim;
};

void attention(List& list, DType type) {
    for (const Heads& s : {Heads{2, 5, 2, 1, 6}, Heads{1, 70, 2, 2, 32}, Heads{1, 129, 2, 1, 64}, Heads{1, 64, 1, 1, 96}, Heads{1, 40, 2, 1, 128}, Heads{3, 1, 2, 1, 64},
                           Heads{2, 65, 1, 1, 64}, Heads{2, 33, 1, 1, 96}, Heads{1, 66, 2, 1, 128}, Heads{1, 9, 1, 1, 80}, Heads{1, 3, 1, 1, 256}}) {
        Attributes a;
        a.batch = s.batch;
        a.sequence = s.sequence;
        a.heads = s.heads;
        a.kv_heads = s.kv_heads;
        a.head_dim = s.head_dim;
        a.tokens = s.batch * s.sequence;
        const std::int64_t width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim, fused = width + 2 * kv_width;
        const auto q = [&](Content c = Content::random) { return matrix(a.tokens, width, type, c, fused); };
        const auto kv = [&](Content c = Content::random) { return matrix(a.tokens, kv_width, type, c, fused); };
        const auto plain = [&](Content c = Content::random) { return matrix(a.tokens, width, type, c); };
        const Operand none = matrix(0, 0, type, Content::absent);
        for (const bool tensor_cores : {false, true}) {
            if (tensor_cores ? type == DType::fp32 || s.head_dim % 32 != 0 : s.sequence > 64) continue;   // the emulated grid is slow
            const std::string shape = fmt::format("{}x{}_{}of{}_{}{}", s.batch, s.sequence, s.kv_heads, s.heads, s.head_dim, tensor_cores ? "_tensor_cores" : "");
            list.add(Kernel::attention_forward, type, shape, a, {q(), kv(), kv(), none, plain(Content::zero), matrix(a.tokens, s.heads, DType::fp32, Content::zero)}).tensor_cores =
                tensor_cores;
            // The statistics must be those of the forward: kernels_test runs it first.
            list.add(Kernel::attention_backward, type, shape, a,
                     {plain(), q(), kv(), kv(), plain(Content::zero), matrix(a.tokens, s.heads, DType::fp32, Content::zero), none, q(Content::zero), kv(Content::zero), kv(Content::zero)})
                .tensor_cores = tensor_cores;
            if (s.sequence == 1) list.cases.back().least = 1;   // one key has all the weight: d_q and d_k are what rounding leaves
            if (s.sequence <= 5) list.again_at({1});       // no 16 bytes: the simple kernels
        }
        if (s.head_dim % 2 != 0) continue;
        a.rotary_base = 10000;
        const std::string shape = fmt::format("{}x{}_{}", s.batch, s.sequence, s.head_dim);
        list.add(Kernel::rotary_forward, type, shape, a, {q(), kv()});
        list.add(Kernel::rotary_backward, type, shape, a, {q(), kv()});
    }
}

void losses(List& list, DType type) {
    for (const auto& [rows, columns, real] : {std::tuple{7, 13, 13}, std::tuple{9, 1024, 1001}, std::tuple{1, 50257, 50257}, std::tuple{2, 50304, 50257}}) {
        Attributes a;
        a.vocabulary = columns;
        a.real_vocabulary = real;
        a.loss_weight = 0.37;
        const Operand targets = matrix(rows, 1, DType::int32, Content::targets);
        const std::string shape = fmt::format("{}x{}", rows, columns);
        list.add(Kernel::cross_entropy_forward, type, shape, a, {matrix(rows, columns, type), targets, statistic(rows), matrix(1, 1, DType::fp64, Content::positive)});
        Operand in_place = matrix(rows, columns, type);
        in_place.same_as = 0;
        list.add(Kernel::cross_entropy_backward, type, shape, a, {matrix(rows, columns, type), targets, statistic(rows, Content::positive), matrix(1, 1, DType::fp32, Content::one), in_place});
    }
}

void optimizer(List& list, DType type) {
    Attributes a;
    a.learning_rate = 1e-2f;
    a.beta1 = 0.9f;
    a.beta2 = 0.95f;
    a.epsilon = 1e-8f;
    a.weight_decay = 0.1f;
    const std::int64_t elements = 3000;
    std::vector<RangeSegment> range{{0, 1000, true}, {1000, 777, false}, {1777, 1100, true}};
    const Operand scalar = matrix(1, 1, DType::fp32, Content::one), keep = matrix(1, 1, DType::fp32, Content::zero);
    const Operand master = type == DType::fp32 ? matrix(0, 0, DType::fp32, Content::absent) : vector(elements, DType::fp32);
    list.add(Kernel::adamw, type, "shard", a,
             {vector(elements, type), master, vector(elements, DType::fp32), vector(elements, DType::fp32, Content::positive), vector(elements, type), scalar, keep, scalar})
        .range = range;
    list.again_at({1, 4});
    list.add(Kernel::adamw, type, "skipped", a,
             {vector(elements, type), master, vector(elements, DType::fp32), vector(elements, DType::fp32, Content::positive), vector(elements, type), scalar, scalar, scalar})
        .range = range;
    std::vector<RangeSegment> many;                      // more than one launch holds
    for (std::int64_t i = 0; i < 100; ++i) many.push_back({i * 30, 29, i % 2 == 0});
    list.add(Kernel::adamw, type, "many", a,
             {vector(elements, type), master, vector(elements, DType::fp32), vector(elements, DType::fp32, Content::positive), vector(elements, type), scalar, keep, scalar})
        .range = many;
    KernelCase& squares = list.add(Kernel::squared_norm, type, "shard", a, {vector(elements, type), vector(kernel::kNormBins, DType::fp64, Content::zero)});
    squares.range = std::move(many);
    squares.tolerance = 0;                               // exact by construction
    list.again_at({5});
    KernelCase& whole = list.add(Kernel::squared_norm, type, "whole", a, {vector(elements, type), vector(kernel::kNormBins, DType::fp64, Content::zero)});
    whole.range = {{3, elements - 5, false}};            // begins and ends within a pack
    whole.tolerance = 0;
}

struct Product {
    std::int64_t tokens, in, out, stride;                // from row to row of the inputs; 0 = as wide as they are
    bool input_major;                                    // the weight is [in, out]
};

void products(List& list, DType type) {
    const Operand none = matrix(0, 0, type, Content::absent);
    for (const auto& [tokens, in, out, stride, input_major] : {Product{48, 40, 72, 0, false}, Product{48, 40, 72, 0, true}, Product{1, 33, 7, 0, false}, Product{5, 16, 257, 40, false}}) {
        Attributes a;
        a.tokens = tokens;
        a.in = in;
        a.out = out;
        a.input_major = input_major;
        const Operand x = matrix(tokens, in, type, Content::random, stride), weight = input_major ? matrix(in, out, type) : matrix(out, in, type), d_y = matrix(tokens, out, type);
        const std::string shape = fmt::format("{}x{}x{}{}", tokens, in, out, input_major ? "_input_major" : "");
        for (const bool bias : {false, true}) {
            const Operand b = bias ? vector(out, type) : none;
            a.accumulate = a.accumulate_second = false;
            list.add(Kernel::linear_forward, type, shape + (bias ? "_bias" : ""), a, {x, weight, b, none, matrix(tokens, out, type, Content::zero)});
            list.again_at({1, 8});                       // parameters and activations that begin at two bytes, or four
            for (const bool accumulate : {false, true}) {
                a.accumulate = a.accumulate_second = accumulate;
                const std::string variant = shape + (bias ? "_bias" : "") + (accumulate ? "_adds" : "");
                list.add(Kernel::linear_backward_weight, type, variant, a, {d_y, x, none, weight, b});
                list.again_at({1});
                if (!bias) list.add(Kernel::linear_backward_input, type, variant, a, {d_y, weight, none, x});
            }
        }
    }
}

void scalars(List& list) {
    for (const double clip : {0.0, 0.5}) {
        Attributes a;
        a.clip = static_cast<float>(clip);
        const Operand scalar = matrix(1, 1, DType::fp32, Content::one);
        list.add(Kernel::gradient_scale, DType::fp32, clip > 0 ? "clips" : "plain", a,
                 {vector(kernel::kNormBins, DType::fp64, Content::positive), scalar, scalar, matrix(1, 1, DType::fp64, Content::zero), scalar, scalar});
        list.add(Kernel::loss_scale_update, DType::fp32, clip > 0 ? "overflow" : "good", {},
                 {matrix(1, 1, DType::fp32, clip > 0 ? Content::one : Content::zero), matrix(1, 1, DType::fp32, Content::positive), scalar});
    }
}

}  // namespace

std::vector<KernelCase> kernel_cases() {
    List list;
    for (const DType type : kTypes) {
        norms(list, type);
        activations(list, type);
        embeddings(list, type);
        attention(list, type);
        losses(list, type);
        optimizer(list, type);
        if (has_matrix_products()) products(list, type);
    }
    scalars(list);
    return std::move(list.cases);
}

}  // namespace zerosim::device::test
