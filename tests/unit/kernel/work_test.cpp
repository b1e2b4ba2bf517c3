#include "kernel/work.hpp"

#include <gtest/gtest.h>

namespace zerosim::kernel {
namespace {

Attributes linear(std::int64_t tokens, std::int64_t in, std::int64_t out) {
    Attributes a;
    a.tokens = tokens;
    a.in = in;
    a.out = out;
    return a;
}

Attributes attention(int batch, int sequence, int heads, int kv_heads, int head_dim) {
    Attributes a;
    a.tokens = std::int64_t{batch} * sequence;
    a.batch = batch;
    a.sequence = sequence;
    a.heads = heads;
    a.kv_heads = kv_heads;
    a.head_dim = head_dim;
    return a;
}

TEST(Work, OfALinearLayer) {
    for (Kernel kernel : {Kernel::linear_forward, Kernel::linear_backward_input, Kernel::linear_backward_weight}) {
        const Work w = work(kernel, linear(4, 3, 5), DType::bf16);
        EXPECT_EQ(w.flops, 2 * 4 * 3 * 5);
        EXPECT_EQ(w.matrix_flops, w.flops);
        EXPECT_EQ(w.bytes, 2 * (12 + 15 + 20));
    }
    Attributes a = linear(4, 3, 5);
    a.accumulate = true;
    EXPECT_EQ(work(Kernel::linear_backward_weight, a, DType::fp32).bytes, 4 * (12 + 2 * 15 + 20));
    a.accumulate_second = true;
    EXPECT_EQ(work(Kernel::linear_backward_input, a, DType::fp32).bytes, 4 * (2 * 12 + 15 + 20));
}

TEST(Work, OfAttentionCountsTheTriangle) {
    const Attributes a = attention(2, 10, 4, 2, 8);
    const double pairs = 2 * 4 * 55; // sequences, heads, 10 * 11 / 2
    const Work forward = work(Kernel::attention_forward, a, DType::fp32),
               backward = work(Kernel::attention_backward, a, DType::fp32);
    EXPECT_EQ(forward.matrix_flops, 4 * 8 * pairs);
    EXPECT_EQ(backward.matrix_flops, 2.5 * forward.matrix_flops);
    EXPECT_GT(forward.flops, forward.matrix_flops);
    EXPECT_EQ(forward.bytes, 4 * (2 * 20 * 32 + 2 * 20 * 16 + 20 * 4));
}

TEST(Work, OfTheOptimizerIs28BytesAParameter) {
    Attributes a;
    a.tokens = 1000;
    EXPECT_EQ(work(Kernel::adamw, a, DType::fp32).bytes, 28'000);
    EXPECT_EQ(work(Kernel::adamw, a, DType::bf16).bytes, 28'000);
}

TEST(Work, OfEveryKernelIsPositiveAndGrowsWithTheTokens) {
    Attributes a = attention(2, 16, 4, 2, 8);
    a.in = a.out = 32;
    a.vocabulary = 50;
    Attributes twice = a;
    twice.tokens *= 2;
    twice.batch *= 2;
    for (int i = 0; i < static_cast<int>(Kernel::count_); ++i) {
        const auto kernel = static_cast<Kernel>(i);
        const Work w = work(kernel, a, DType::bf16), more = work(kernel, twice, DType::bf16);
        EXPECT_GT(w.flops, 0) << name(kernel);
        EXPECT_GT(w.bytes, 0) << name(kernel);
        const bool scalar = kernel_class(kernel) == KernelClass::scalar;
        EXPECT_EQ(more.flops, scalar ? w.flops : 2 * w.flops) << name(kernel);
        EXPECT_EQ(w.matrix_flops > 0, kernel_class(kernel) == KernelClass::gemm || kernel_class(kernel) == KernelClass::attention)
            << name(kernel);
    }
}

TEST(WorkOfAttention, WindowsCachedKeysAndValuesOfTheirOwnWidth) {
    Attributes a = attention(1, 16, 4, 4, 8);
    const double pairs = 16.0 * 17 / 2;
    EXPECT_EQ(work(Kernel::attention_forward, a, DType::bf16).matrix_flops, 4 * pairs * 4 * 8);
    a.window = 4;   // 4 * 5 / 2 at the front, then 4 each
    EXPECT_EQ(work(Kernel::attention_forward, a, DType::bf16).matrix_flops, 4.0 * (10 + 12 * 4) * 4 * 8);
    a.window = 0;
    a.value_dim = 4;
    EXPECT_EQ(work(Kernel::attention_forward, a, DType::bf16).matrix_flops, (2 * 8 + 2 * 4) * pairs * 4);
    EXPECT_EQ(work(Kernel::attention_backward, a, DType::bf16).matrix_flops, (6 * 8 + 4 * 4) * pairs * 4);
    Attributes decoding = attention(2, 1, 4, 2, 8);
    decoding.keys = 100;
    EXPECT_EQ(work(Kernel::attention_forward, decoding, DType::bf16).matrix_flops, 4.0 * 2 * 100 * 4 * 8);
    // Queries and outputs of one token, keys and values of a hundred, a log-sum-exp of each head.
    EXPECT_EQ(work(Kernel::attention_forward, decoding, DType::bf16).bytes, 2.0 * 2 * 16 * (1 * 4 + 100 * 2) + 4 * 2 * 4);
}

TEST(WorkOfBatchedProducts, ReadsOnlyMatricesWithRows) {
    Attributes a;
    a.tokens = 6;
    a.in = 8;
    a.out = 16;
    a.batch = 4;
    EXPECT_EQ(work(Kernel::batched_product, a, DType::bf16).flops, 2.0 * 6 * 8 * 16);
    EXPECT_EQ(work(Kernel::batched_product, a, DType::bf16).bytes, 2.0 * (6 * 8 + 4 * 8 * 16 + 6 * 16));
    a.batch = 64;
    EXPECT_EQ(work(Kernel::batched_product, a, DType::bf16).bytes, 2.0 * (6 * 8 + 6 * 8 * 16 + 6 * 16));
}

TEST(Workspace, IsOnlyForAttentionAnd2ByteProductsOnTheHost) {
    Attributes a = attention(2, 16, 4, 2, 8);
    a.in = a.out = 32;
    for (int i = 0; i < static_cast<int>(Kernel::count_); ++i) {
        const auto kernel = static_cast<Kernel>(i);
        const auto bytes = [&](DType type, Library library) { return workspace_bytes(kernel, a, type, library, 2); };
        const KernelClass group = kernel_class(kernel);
        EXPECT_EQ(bytes(DType::fp32, Library::host) > 0, group == KernelClass::attention) << name(kernel);
        const bool product = group == KernelClass::gemm && kernel != Kernel::batched_product;   // planned for GPUs only
        EXPECT_EQ(bytes(DType::bf16, Library::host) > 0, group == KernelClass::attention || product)
            << name(kernel);
        EXPECT_EQ(bytes(DType::bf16, Library::host), bytes(DType::fp16, Library::host)) << name(kernel);
        EXPECT_EQ(bytes(DType::bf16, Library::cuda), 0) << name(kernel);
    }
}

TEST(Workspace, StaysModestHoweverLargeTheShape) {
    const std::int64_t mib = 1 << 20;
    // 256 x 512 + 256 x 512 + 256 x 256 floats a thread, whatever the vocabulary.
    EXPECT_EQ(workspace_bytes(Kernel::linear_forward, linear(8192, 8192, 128'256), DType::bf16, Library::host, 2),
              2 * (5 * mib / 4));
    // One block only: one slot, however many threads.
    EXPECT_EQ(workspace_bytes(Kernel::linear_forward, linear(3, 5, 7), DType::bf16, Library::host, 64),
              4 * (3 * 5 + 5 * 7 + 3 * 7));
    const Attributes small = attention(1, 32, 4, 2, 8);
    EXPECT_EQ(workspace_bytes(Kernel::attention_forward, small, DType::fp32, Library::host, 8), 4 * 4 * (32 * 32 + 32 * 8));
    EXPECT_EQ(workspace_bytes(Kernel::attention_backward, small, DType::fp32, Library::host, 8), 2 * 4 * 2 * 32 * 32);
    const Attributes large = attention(1, 8192, 64, 8, 128);
    EXPECT_LT(workspace_bytes(Kernel::attention_backward, large, DType::bf16, Library::host, 2), 20 * mib);
    EXPECT_EQ(workspace_bytes(Kernel::attention_backward, attention(0, 8192, 64, 8, 128), DType::bf16, Library::host, 2), 0);
}

} // namespace
} // namespace zerosim::kernel
