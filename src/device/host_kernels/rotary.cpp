// Su et al. 2021, "RoFormer" (rotary position embedding), section 3.2.2, in the half-split convention of Llama's public weights:
// element i of a head is paired with i + d/2, and the pair is turned by the angle position * base^(-2i/d).
#include "base/error.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"

#include <cmath>

namespace zerosim::device::host {
namespace {

struct Frequencies {
    double values[kBlock];
    std::int64_t count;
    Frequencies(double base, std::int64_t head_dim) : count(head_dim / 2) {
        check(head_dim > 0 && head_dim % 2 == 0 && count <= kBlock,
              "rotary embedding: the head dimension must be even and at most 1024");
        for (std::int64_t i = 0; i < count; ++i)
            values[i] = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    }
};

/// cos and sin of one position's angles, in double and rounded once.
struct Rotation {
    Block cosine, sine;
    std::int64_t half;
    Rotation(const Frequencies& frequencies, std::int64_t position, double direction) : half(frequencies.count) {
        for (std::int64_t i = 0; i < half; ++i) {
            const double angle = static_cast<double>(position) * frequencies.values[i];
            cosine[i] = static_cast<float>(std::cos(angle));
            sine[i] = static_cast<float>(direction * std::sin(angle));
        }
        std::fill(cosine.values + half, cosine.values + padded(half), 0.0f);
        std::fill(sine.values + half, sine.values + padded(half), 0.0f);
    }
};

void rotate_row(const TensorView& view, std::int64_t row, std::int64_t heads, const Rotation& rotation) {
    Block first, second;
    const std::int64_t half = rotation.half;
    for (std::int64_t head = 0; head < heads; ++head) {
        const std::int64_t column = head * 2 * half;
        load_block(view, row, column, half, first);
        load_block(view, row, column + half, half, second);
        for (std::int64_t i = 0; i < padded(half); ++i) {
            const float x = first[i], y = second[i];
            first[i] = x * rotation.cosine[i] - y * rotation.sine[i];
            second[i] = y * rotation.cosine[i] + x * rotation.sine[i];
        }
        store_block(first, view, row, column, half);
        store_block(second, view, row, column + half, half);
    }
}

/// Turns queries and keys by `direction` times their angles. A position's angles are computed once for the whole batch.
void rotate(const KernelCall& call, double direction) {
    const TensorView &q = call.operands[0], &k = call.operands[1];
    const auto& attributes = call.attributes;
    const std::int64_t sequence = attributes.sequence;
    check(sequence > 0, "rotary embedding: attributes.sequence must be the sequence length");
    const Frequencies frequencies(static_cast<double>(attributes.rotary_base), attributes.head_dim);
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, q.columns + k.columns));
    parallel_for(call.context.workers, std::min(sequence, q.rows), grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t position = begin; position < end; ++position) {
            const Rotation rotation(frequencies, position, direction);
            for (std::int64_t row = position; row < q.rows; row += sequence) {
                rotate_row(q, row, attributes.heads, rotation);
                rotate_row(k, row, attributes.kv_heads, rotation);
            }
        }
    });
}

} // namespace

void rotary_forward(const KernelCall& call) { rotate(call, 1.0); }

/// A rotation's transpose is the rotation back.
void rotary_backward(const KernelCall& call) { rotate(call, -1.0); }

} // namespace zerosim::device::host
