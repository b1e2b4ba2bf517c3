// Multi-tensor kernels: one launch over groups of operands, one group a tensor (torch._foreach_norm, _foreach_mul_, fused optimizers).
#include "base/error.hpp"
#include "device/host_kernels/adamw.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"

#include <cmath>
#include <mutex>

namespace zerosim::device::host {
namespace {

/// Group i of the op, and the parts of its tensor that are no padding.
[[nodiscard]] std::span<const RangeSegment> parts_of(const KernelCall& call, std::size_t group) {
    const std::size_t begin = group == 0 ? 0 : call.range_ends[group - 1];
    return call.range.subspan(begin, call.range_ends[group] - begin);
}

[[nodiscard]] double squares(const KernelCall& call, const TensorView& view) {
    double total = 0;
    std::mutex mutex;
    parallel_for(call.context.workers, view.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
        Block block;
        double sum = 0;
        for (std::int64_t at = begin; at < end; at += kBlock) {
            const std::int64_t count = std::min(kBlock, end - at);
            load_block(view, 0, at, count, block);
            sum += static_cast<double>(dot(block.values, block.values, padded(count)));
        }
        const std::lock_guard lock(mutex);
        total += sum;
    });
    return total;
}

[[nodiscard]] TensorView flat(const TensorView& view) {
    check(view.contiguous(), "multi-tensor kernel: tensors are contiguous");
    return {view.data, 1, view.elements(), view.elements(), view.dtype};
}

}  // namespace

void norm_tensors(const KernelCall& call) {
    for (std::size_t i = 0; i + 1 < call.operands.size(); i += 2)
        *call.operands[i + 1].as<float>() = static_cast<float>(std::sqrt(squares(call, flat(call.operands[i]))));
}

void scale_tensors(const KernelCall& call) {
    for (std::size_t i = 0; i + 1 < call.operands.size(); i += 2) {
        const TensorView tensor = flat(call.operands[i]);
        const float factor = *call.operands[i + 1].as<const float>();
        for_each_block(call.context.workers, {tensor}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
            Block x;
            load_block(tensor, row, column, count, x);
            for (std::int64_t k = 0; k < padded(count); ++k) x[k] *= factor;
            store_block(x, tensor, row, column, count);
        });
    }
}

/// [torch/optim/adamw.py]: the step count is a tensor of its own (fused), or the host's (foreach).
void adamw_tensors(const KernelCall& call) {
    constexpr std::size_t kGroup = 5;
    for (std::size_t i = 0; i + kGroup <= call.operands.size(); i += kGroup) {
        const auto group = call.operands.subspan(i, kGroup);
        double step = static_cast<double>(call.context.step);
        if (group[4].data != nullptr) step = static_cast<double>(*group[4].as<float>() += 1.0f);
        adamw_range(call, {flat(group[0]), TensorView{}, flat(group[1]), flat(group[2]), flat(group[3])}, parts_of(call, i / kGroup), 1.0f, step);
    }
}

/// torch/optim/sgd.py: d = g + decay * p; momentum = beta * momentum + d (the first time d itself: zeros before); p -= rate * momentum.
void sgd_tensors(const KernelCall& call) {
    constexpr std::size_t kGroup = 3;
    const auto& a = call.attributes;
    for (std::size_t i = 0; i + kGroup <= call.operands.size(); i += kGroup) {
        const TensorView parameter = flat(call.operands[i]), momentum = flat(call.operands[i + 1]), gradient = flat(call.operands[i + 2]);
        for (const RangeSegment& part : parts_of(call, i / kGroup)) {
            const float decay = part.decays ? a.weight_decay : 0.0f;
            for (std::int64_t at = part.offset; at < part.offset + part.count; at += kBlock) {
                const std::int64_t count = std::min(kBlock, part.offset + part.count - at);
                Block p, m, g;
                load_block(parameter, 0, at, count, p);
                load_block(momentum, 0, at, count, m);
                load_block(gradient, 0, at, count, g);
                for (std::int64_t k = 0; k < padded(count); ++k) {
                    m[k] = a.beta1 * m[k] + g[k] + decay * p[k];
                    p[k] -= a.learning_rate * m[k];
                }
                store_block(m, momentum, 0, at, count);
                store_block(p, parameter, 0, at, count);
            }
        }
    }
}

}  // namespace zerosim::device::host
