#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

// Token and position embedding. Backward adds the gradients of equal tokens in token order, in fp32, rounded once, as the host does: the
// block of a token's first occurrence finds all others, so no two blocks write one row and the bits do not depend on the schedule.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 128;

template <class Type, int N>
__global__ void forward(const std::int32_t* tokens, Matrix<Type> table, Matrix<Type> positions, Matrix<Type> out, std::int64_t columns, std::int64_t sequence) {
    const std::int64_t t = blockIdx.x;
    const auto* row = table.row(tokens[t]);
    const auto* position = positions.data == nullptr ? nullptr : positions.row(t % sequence);
    for (std::int64_t i = std::int64_t{threadIdx.x} * N; i < columns; i += kThreads * N) {
        float values[N], added[N] = {};
        load_pack<Type, N>(row + i, values);
        if (position != nullptr) load_pack<Type, N>(position + i, added);
#pragma unroll
        for (int k = 0; k < N; ++k) values[k] += added[k];
        store_pack<Type, N>(values, out.row(t) + i);
    }
}

/// Adds rows [begin, begin + 32) of d_out whose bits are set, in order. Several are on their way at a time, for a frequent token has thousands: all are
/// loaded without a condition, the last one again where there are fewer.
template <class Type, int N>
__device__ void add_rows(float (&sums)[N], const Matrix<Type>& d_out, std::int64_t begin, std::int64_t column, unsigned left) {
    constexpr int kAtOnce = 8;
    while (left != 0) {
        StoredPack<Type, N> rows[kAtOnce];
        bool counts[kAtOnce];
        int row = 0;
#pragma unroll
        for (int r = 0; r < kAtOnce; ++r, left &= left - 1) {
            counts[r] = left != 0;
            if (counts[r]) row = __ffs(left) - 1;
            rows[r].load(d_out.row(begin + row) + column);
        }
#pragma unroll
        for (int r = 0; r < kAtOnce; ++r)
#pragma unroll
            for (int k = 0; k < N; ++k) sums[k] = counts[r] ? sums[k] + rows[r].value(k) : sums[k];
    }
}

/// One of the thread's tokens in [0, end) is this one. Several are looked at behind each other, for a token late in the batch has thousands before it.
__device__ inline bool among(const std::int32_t* tokens, std::int64_t end, std::int32_t token) {
    constexpr int kAtOnce = 8;
    for (std::int64_t t = threadIdx.x; t < end; t += kAtOnce * kThreads) {
        bool found = false;
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
            const std::int64_t at = t + i * std::int64_t{kThreads};
            found |= tokens[at < end ? at : t] == token;   // t is one of them: looked at twice, and no branch
        }
        if (found) return true;
    }
    return false;
}

/// A block has the rows of one token, if it is the token's first, and kThreads * N of their columns (blockIdx.y). It looks at kTests tokens a
/// thread between two barriers, and adds the rows of those that are its own.
template <class Type, int N>
__global__ void table_gradient(const std::int32_t* tokens, std::int64_t count, Matrix<Type> d_out, Matrix<Type> d_table, std::int64_t columns) {
    constexpr int kTests = 4, kWarps = kThreads / kWarp;
    __shared__ unsigned found[2][kTests][kWarps];
    const std::int64_t first = blockIdx.x, column = (std::int64_t{blockIdx.y} * kThreads + threadIdx.x) * N;
    const std::int32_t token = tokens[first];
    if (__syncthreads_or(among(tokens, first, token)) != 0) return;
    const bool mine = column < columns;
    float sums[N] = {};
    if (mine) load_pack<Type, N>(d_table.row(token) + column, sums);
    int set = 0;
    for (std::int64_t begin = first; begin < count; begin += kTests * kThreads, set ^= 1) {
        for (int test = 0; test < kTests; ++test) {
            const std::int64_t t = begin + test * std::int64_t{kThreads} + threadIdx.x;
            const unsigned lanes = __ballot_sync(0xffffffffu, t < count && tokens[t] == token);
            if (threadIdx.x % kWarp == 0) found[set][test][threadIdx.x / kWarp] = lanes;
        }
        __syncthreads();                                 // one is enough: the next round writes the other set
        if (!mine) continue;
        for (int group = 0; group < kTests * kWarps; ++group)
            add_rows<Type, N>(sums, d_out, begin + group * std::int64_t{kWarp}, column, found[set][group / kWarps][group % kWarps]);
    }
    if (mine) store_pack<Type, N>(sums, d_table.row(token) + column);
}

template <class Type>
__global__ void position_gradient(Matrix<Type> d_out, std::int64_t rows, Matrix<Type> d_positions, std::int64_t columns, std::int64_t sequence) {
    const std::int64_t position = blockIdx.x;
    for (std::int64_t i = threadIdx.x; i < columns; i += kThreads) {
        float sum = Type::load(d_positions.row(position)[i]);
        for (std::int64_t t = position; t < rows; t += sequence) sum += Type::load(d_out.row(t)[i]);
        d_positions.row(position)[i] = Type::store(sum);
    }
}

}  // namespace

void embedding_forward(const KernelCall& call, const LaunchContext& context) {
    const TensorView &table = call.operands[1], &positions = call.operands[2], &out = call.operands[3];
    const auto run = [&]<class Type, int N>(Type, std::integral_constant<int, N>) {
        launch(forward<Type, N>, {static_cast<unsigned>(out.rows), kThreads}, context.stream, call.operands[0].as<const std::int32_t>(), matrix<Type>(table), matrix<Type>(positions),
               matrix<Type>(out), out.columns, static_cast<std::int64_t>(call.attributes.sequence));
    };
    with_float_type(table.dtype, [&](auto type) {
        using Type = decltype(type);
        if (packs(table) && packs(out) && (positions.data == nullptr || packs(positions))) run(type, std::integral_constant<int, Type::kPack>{});
        else run(type, std::integral_constant<int, 1>{});
    });
}

void embedding_backward(const KernelCall& call, const LaunchContext& context) {
    const TensorView &d_out = call.operands[1], &d_table = call.operands[2], &d_positions = call.operands[3];
    if (!call.attributes.accumulate) fill(d_table, 0.0, context);
    if (d_positions.data != nullptr && !call.attributes.accumulate_second) fill(d_positions, 0.0, context);
    const std::int64_t sequence = call.attributes.sequence;
    const auto run = [&]<class Type, int N>(Type, std::integral_constant<int, N>) {
        const auto strips = static_cast<unsigned>((d_out.columns + kThreads * N - 1) / (kThreads * N));
        launch(table_gradient<Type, N>, {static_cast<unsigned>(d_out.rows), kThreads, 0, strips}, context.stream, call.operands[0].as<const std::int32_t>(), d_out.rows,
               matrix<Type>(d_out), matrix<Type>(d_table), d_out.columns);
    };
    with_float_type(d_out.dtype, [&](auto type) {
        using Type = decltype(type);
        if (packs(d_out) && packs(d_table)) run(type, std::integral_constant<int, Type::kPack>{});
        else run(type, std::integral_constant<int, 1>{});
        if (d_positions.data != nullptr)
            launch(position_gradient<Type>, {static_cast<unsigned>(std::min(sequence, d_out.rows)), kThreads}, context.stream, matrix<Type>(d_out), d_out.rows, matrix<Type>(d_positions),
                   d_out.columns, sequence);
    });
}

}  // namespace zerosim::device::cuda
