#include "device/cuda_kernels/attention.cuh"

// Causal attention of any type and head dimension up to 256, a warp a query (or key): for fp32, where tensor cores would round, and for
// odd head dimensions and devices without 2-byte tensor-core products.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 128;
constexpr int kMostDim = 256;

/// The lane's part of a row of one head: elements lane, lane + 32, ...
template <int kPerLane>
struct Part {
    float values[kPerLane] = {};
};
template <class Type, int kPerLane>
__device__ Part<kPerLane> load(const typename Type::Storage* row, int dim) {
    Part<kPerLane> part;
    for (int i = 0; i < kPerLane; ++i) {
        const int at = i * static_cast<int>(kWarp) + static_cast<int>(threadIdx.x % kWarp);
        part.values[i] = at < dim ? Type::load(row[at]) : 0.0f;
    }
    return part;
}
template <class Type, int kPerLane>
__device__ void store(const Part<kPerLane>& part, float scale, typename Type::Storage* row, int dim) {
    for (int i = 0; i < kPerLane; ++i) {
        const int at = i * static_cast<int>(kWarp) + static_cast<int>(threadIdx.x % kWarp);
        if (at < dim) row[at] = Type::store(part.values[i] * scale);
    }
}
template <int kPerLane>
__device__ float dot(const Part<kPerLane>& a, const Part<kPerLane>& b) {
    float sum = 0;
    for (int i = 0; i < kPerLane; ++i) sum += a.values[i] * b.values[i];
    return warp_sum(sum);
}
template <int kPerLane>
__device__ void add(Part<kPerLane>& to, float factor, const Part<kPerLane>& from) {
    for (int i = 0; i < kPerLane; ++i) to.values[i] += factor * from.values[i];
}

/// Which sequence, row and head this warp has.
struct Place {
    std::int64_t begin, row;
    int head;
};
__device__ bool place(Place& p, const AttentionShape& s, int heads) {
    const std::int64_t index = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp;
    if (index >= std::int64_t{s.batch} * s.sequence * heads) return false;
    p.head = static_cast<int>(index % heads);
    const std::int64_t token = index / heads;
    p.begin = token / s.sequence * s.sequence;
    p.row = token - p.begin;
    return true;
}

template <class Type, int kPerLane>
__global__ void forward(AttentionOperands<Type> o, AttentionShape s) {
    Place p;
    if (!place(p, s, s.heads)) return;
    const int column = p.head * s.head_dim, kv_column = p.head / s.group() * s.head_dim;
    const Part<kPerLane> q = load<Type, kPerLane>(o.q.row(p.begin + p.row) + column, s.head_dim);
    Part<kPerLane> out;
    float maximum = -3.4e38f, sum = 0;
    for (std::int64_t key = 0; key <= p.row; ++key) {
        const float score = s.scale * dot(q, load<Type, kPerLane>(o.k.row(p.begin + key) + kv_column, s.head_dim));
        const float highest = fmaxf(maximum, score), shrink = expf(maximum - highest), weight = expf(score - highest);
        for (float& value : out.values) value *= shrink;
        add(out, weight, load<Type, kPerLane>(o.v.row(p.begin + key) + kv_column, s.head_dim));
        sum = sum * shrink + weight;
        maximum = highest;
    }
    store<Type>(out, 1.0f / sum, o.out.row(p.begin + p.row) + column, s.head_dim);
    if (threadIdx.x % kWarp == 0) o.log_sum_exp[(p.begin + p.row) * s.heads + p.head] = maximum + logf(sum);
}

/// One (query, key) pair: its probability and the gradient of its score.
struct Pair {
    float probability, gradient;
};
template <int kPerLane>
__device__ Pair pair_of_rows(const Part<kPerLane>& q, const Part<kPerLane>& k, const Part<kPerLane>& v, const Part<kPerLane>& d_out, float log_sum, float delta, float scale) {
    const float probability = expf(scale * dot(q, k) - log_sum);
    return {probability, probability * (dot(d_out, v) - delta)};
}

template <class Type, int kPerLane>
__global__ void query_gradient(AttentionOperands<Type> o, AttentionShape s) {
    Place p;
    if (!place(p, s, s.heads)) return;
    const std::int64_t token = p.begin + p.row;
    const int column = p.head * s.head_dim, kv_column = p.head / s.group() * s.head_dim;
    const Part<kPerLane> q = load<Type, kPerLane>(o.q.row(token) + column, s.head_dim), d_out = load<Type, kPerLane>(o.d_out.row(token) + column, s.head_dim);
    const float delta = dot(d_out, load<Type, kPerLane>(o.out.row(token) + column, s.head_dim)), log_sum = o.log_sum_exp[token * s.heads + p.head];
    Part<kPerLane> d_q;
    for (std::int64_t key = 0; key <= p.row; ++key) {
        const Part<kPerLane> k = load<Type, kPerLane>(o.k.row(p.begin + key) + kv_column, s.head_dim), v = load<Type, kPerLane>(o.v.row(p.begin + key) + kv_column, s.head_dim);
        add(d_q, pair_of_rows(q, k, v, d_out, log_sum, delta, s.scale).gradient, k);
    }
    store<Type>(d_q, s.scale, o.d_q.row(token) + column, s.head_dim);
}

template <class Type, int kPerLane>
__global__ void key_gradient(AttentionOperands<Type> o, AttentionShape s) {
    Place p;
    if (!place(p, s, s.kv_heads)) return;
    const int kv_column = p.head * s.head_dim;
    const Part<kPerLane> k = load<Type, kPerLane>(o.k.row(p.begin + p.row) + kv_column, s.head_dim), v = load<Type, kPerLane>(o.v.row(p.begin + p.row) + kv_column, s.head_dim);
    Part<kPerLane> d_k, d_v;
    for (int head = p.head * s.group(); head < (p.head + 1) * s.group(); ++head)
        for (std::int64_t query = p.row; query < s.sequence; ++query) {
            const std::int64_t token = p.begin + query;
            const int column = head * s.head_dim;
            const Part<kPerLane> q = load<Type, kPerLane>(o.q.row(token) + column, s.head_dim), d_out = load<Type, kPerLane>(o.d_out.row(token) + column, s.head_dim);
            const float delta = dot(d_out, load<Type, kPerLane>(o.out.row(token) + column, s.head_dim));
            const Pair pair = pair_of_rows(q, k, v, d_out, o.log_sum_exp[token * s.heads + head], delta, s.scale);
            add(d_v, pair.probability, d_out);
            add(d_k, pair.gradient, q);
        }
    store<Type>(d_k, s.scale, o.d_k.row(p.begin + p.row) + kv_column, s.head_dim);
    store<Type>(d_v, 1.0f, o.d_v.row(p.begin + p.row) + kv_column, s.head_dim);
}

/// Calls body(Type{}, std::integral_constant<int, elements of a lane>).
template <class Body>
void with_part(DType dtype, int head_dim, const Body& body) {
    check(head_dim <= kMostDim, "attention: head dimensions above 256 have no CUDA kernel");
    with_float_type(dtype, [&](auto type) {
        if (head_dim <= 64) body(type, std::integral_constant<int, 2>{});
        else if (head_dim <= 128) body(type, std::integral_constant<int, 4>{});
        else body(type, std::integral_constant<int, kMostDim / static_cast<int>(kWarp)>{});
    });
}

Grid warps(std::int64_t count) { return {static_cast<unsigned>((count * kWarp + kThreads - 1) / kThreads), kThreads}; }

}  // namespace

void simple_attention_forward(const KernelCall& call, const LaunchContext& context) {
    const auto& views = call.operands;
    const AttentionShape shape = attention_shape(call.attributes);
    with_part(views[0].dtype, shape.head_dim, [&]<class Type, int kPerLane>(Type, std::integral_constant<int, kPerLane>) {
        const AttentionOperands<Type> o = forward_operands<Type>(views);
        launch(forward<Type, kPerLane>, warps(shape.batch * shape.sequence * shape.heads), context.stream, o, shape);
    });
}

void simple_attention_backward(const KernelCall& call, const LaunchContext& context) {
    const auto& views = call.operands;
    const AttentionShape shape = attention_shape(call.attributes);
    with_part(views[0].dtype, shape.head_dim, [&]<class Type, int kPerLane>(Type, std::integral_constant<int, kPerLane>) {
        const AttentionOperands<Type> o = backward_operands<Type>(views);
        // The keys first: d_q may be the storage of d_out.
        launch(key_gradient<Type, kPerLane>, warps(shape.batch * shape.sequence * shape.kv_heads), context.stream, o, shape);
        launch(query_gradient<Type, kPerLane>, warps(shape.batch * shape.sequence * shape.heads), context.stream, o, shape);
    });
}

// Which of the two a call takes: tiles need 2-byte elements, rows on 16 bytes and compute capability 8.0.
void attention_forward(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;
    const bool aligned = packs(o[0]) && packs(o[1]) && packs(o[2]) && packs(o[4]);
    context.tensor_cores && aligned && has_tiles(o[0].dtype, call.attributes.head_dim) ? tiled_attention_forward(call, context) : simple_attention_forward(call, context);
}

void attention_backward(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;
    bool aligned = true;
    for (const std::size_t i : {0u, 1u, 2u, 3u, 4u, 7u, 8u, 9u}) aligned = aligned && packs(o[i]);
    bool apart = true;                                   // the tile kernels keep statistics in d_q while they read these
    for (std::size_t i = 0; i < 5; ++i) apart = apart && o[7].data != o[i].data;
    context.tensor_cores && aligned && apart && has_tiles(o[0].dtype, call.attributes.head_dim) ? tiled_attention_backward(call, context) : simple_attention_backward(call, context);
}

}  // namespace zerosim::device::cuda
