#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

// Token and position embedding. Backward adds the gradients of equal tokens in token order, in fp32, rounded once, as the host does: the
// block of a token's first occurrence finds all others, so no two blocks write one row and the bits do not depend on the schedule.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 128;

template <class Type>
__global__ void forward(const std::int32_t* tokens, Matrix<Type> table, Matrix<Type> positions, Matrix<Type> out, std::int64_t columns, std::int64_t sequence) {
    const std::int64_t t = blockIdx.x;
    const auto* row = table.row(tokens[t]);
    const auto* position = positions.data == nullptr ? nullptr : positions.row(t % sequence);
    for (std::int64_t i = threadIdx.x; i < columns; i += kThreads) {
        const float value = Type::load(row[i]);
        out.row(t)[i] = Type::store(position == nullptr ? value : value + Type::load(position[i]));
    }
}

/// Whether any of the block's threads says yes.
__device__ bool any_of_block(bool mine) {
    __shared__ int votes;
    if (threadIdx.x == 0) votes = 0;
    __syncthreads();
    if (mine) votes = 1;                                 // every writer writes the same
    __syncthreads();
    const bool any = votes != 0;
    __syncthreads();
    return any;
}

template <class Type>
__global__ void table_gradient(const std::int32_t* tokens, std::int64_t count, Matrix<Type> d_out, Matrix<Type> d_table, std::int64_t columns) {
    const std::int64_t first = blockIdx.x;
    const std::int32_t token = tokens[first];
    bool earlier = false;
    for (std::int64_t t = threadIdx.x; t < first; t += kThreads) earlier = earlier || tokens[t] == token;
    if (any_of_block(earlier)) return;
    __shared__ std::int32_t ids[kThreads];
    for (std::int64_t column = threadIdx.x;; column += kThreads) {
        const bool mine = column < columns;
        if (column - threadIdx.x >= columns) return;     // the same for all threads
        float sum = mine ? Type::load(d_table.row(token)[column]) : 0.0f;
        for (std::int64_t begin = first; begin < count; begin += kThreads) {
            const std::int64_t t = begin + threadIdx.x;
            ids[threadIdx.x] = t < count ? tokens[t] : -1;
            __syncthreads();
            for (unsigned i = 0; i < kThreads; ++i)
                if (ids[i] == token && mine) sum += Type::load(d_out.row(begin + i)[column]);
            __syncthreads();
        }
        if (mine) d_table.row(token)[column] = Type::store(sum);
    }
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
    with_float_type(table.dtype, [&](auto type) {
        using Type = decltype(type);
        launch(forward<Type>, {static_cast<unsigned>(out.rows), kThreads}, context.stream, call.operands[0].as<const std::int32_t>(), matrix<Type>(table), matrix<Type>(positions),
               matrix<Type>(out), out.columns, static_cast<std::int64_t>(call.attributes.sequence));
    });
}

void embedding_backward(const KernelCall& call, const LaunchContext& context) {
    const TensorView &d_out = call.operands[1], &d_table = call.operands[2], &d_positions = call.operands[3];
    if (!call.attributes.accumulate) fill(d_table, 0.0, context);
    if (d_positions.data != nullptr && !call.attributes.accumulate_second) fill(d_positions, 0.0, context);
    const std::int64_t sequence = call.attributes.sequence;
    with_float_type(d_out.dtype, [&](auto type) {
        using Type = decltype(type);
        launch(table_gradient<Type>, {static_cast<unsigned>(d_out.rows), kThreads}, context.stream, call.operands[0].as<const std::int32_t>(), d_out.rows, matrix<Type>(d_out),
               matrix<Type>(d_table), d_out.columns);
        if (d_positions.data != nullptr)
            launch(position_gradient<Type>, {static_cast<unsigned>(std::min(sequence, d_out.rows)), kThreads}, context.stream, matrix<Type>(d_out), d_out.rows, matrix<Type>(d_positions),
                   d_out.columns, sequence);
    });
}

}  // namespace zerosim::device::cuda
