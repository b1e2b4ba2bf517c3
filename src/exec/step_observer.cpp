#include "exec/step_observer.hpp"

#include "base/error.hpp"
#include "device/host_kernels/elementwise.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace zerosim::exec {
namespace {

using kernel::EagerOperation;
using kernel::Kernel;

[[nodiscard]] double number(const device::TensorView& view, std::int64_t at) {
    switch (view.dtype) {
        case DType::fp32: return static_cast<double>(view.as<const float>()[at]);
        case DType::bf16: return static_cast<double>(bf16_to_float(view.as<const std::uint16_t>()[at]));
        case DType::fp16: return static_cast<double>(fp16_to_float(view.as<const std::uint16_t>()[at]));
        default: throw BugError("a loss or gradient of integers");
    }
}

/// Of the first `count` elements, whose squares are summed in fp32 a block at a time.
[[nodiscard]] double squares(const device::TensorView& view, std::int64_t count) {
    const device::TensorView flat{view.data, 1, view.elements(), view.elements(), view.dtype};
    double sum = 0;
    for (std::int64_t at = 0; at < count; at += device::host::kBlock) {
        device::host::Block block;
        const std::int64_t length = std::min(device::host::kBlock, count - at);
        device::host::load_block(flat, 0, at, length, block);
        sum += static_cast<double>(device::host::dot(block.values, block.values, length));
    }
    return sum;
}

[[nodiscard]] bool is_loss(const schedule::Program& program, const schedule::Op& op) {
    return op.kernel == Kernel::elementwise && program.attributes_of(op).operation == EagerOperation::negative_log_likelihood;
}

/// Position of the gradient in a group of a kernel that sees gradients; the group's size when it sees none.
[[nodiscard]] std::size_t gradient_position(Kernel kernel) {
    const auto specs = kernel::operands(kernel);
    return static_cast<std::size_t>(std::ranges::find(specs, "gradient", &kernel::OperandSpec::name) - specs.begin());
}

/// Of all groups of multi-tensor optimizers.
[[nodiscard]] std::vector<schedule::ShardRange> updated_ranges(const schedule::Program& program) {
    std::vector<schedule::ShardRange> ranges;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kernel != Kernel::adamw_tensors && op.kernel != Kernel::sgd_tensors) continue;
        for (std::size_t g = 0; g * kernel::operands(op.kernel).size() < op.operands_count; ++g)
            if (program.ranges[op.range + g].layout.valid()) ranges.push_back(program.ranges[op.range + g]);
    }
    return ranges;
}

}  // namespace

StepObserver::StepObserver(const schedule::Schedule& schedule, const schedule::Program& program, std::int64_t rank)
    : schedule_(schedule), program_(program), rank_(rank) {
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        if (!op.has_kernel()) continue;
        active_ = active_ || is_loss(program, op);
        clips_ = clips_ || op.kernel == Kernel::norm_tensors;
    }
    std::set<std::int32_t> trained;   // each rank may update others
    for (const schedule::Program& any : schedule.programs)
        for (const schedule::ShardRange& range : updated_ranges(any))
            for (const auto& segment : schedule.layout(range.layout).segments)
                if (trained.insert(segment.parameter).second) all_elements_ += segment.count;
}

void StepObserver::begin(int step) {
    if (step == step_) return;
    step_ = step;
    loss_ = squares_ = tokens_ = 0;
    elements_ = 0;
}

/// Clipping sees the gradients before they are scaled; without it the update sees them as they are.
bool StepObserver::before(const schedule::Op& op, int step, std::span<const device::TensorView> operands) {
    if (!active_ || !kernel::is_multi_tensor(op.kernel) || op.range == ~0u) return false;
    if (clips_ != (op.kernel == Kernel::norm_tensors)) return false;
    begin(step);
    const std::size_t size = kernel::operands(op.kernel).size(), gradient = gradient_position(op.kernel);
    if (gradient == size) return false;
    for (std::size_t g = 0; g * size < operands.size(); ++g) add_gradients(op, g, gradient, operands.subspan(g * size, size));
    return true;
}

void StepObserver::add_gradients(const schedule::Op& op, std::size_t group, std::size_t gradient, std::span<const device::TensorView> operands) {
    const schedule::ShardRange& range = program_.ranges[op.range + group];
    if (!range.layout.valid() || !first_holder(range)) return;
    const device::TensorView& view = operands[gradient];
    const std::int64_t start = range.start.at(schedule_.coordinate(range.start, rank_));
    const std::int64_t count = std::clamp<std::int64_t>(schedule_.layout(range.layout).total - start, 0, view.elements());
    squares_ += squares(view, count);
    elements_ += count;
}

/// Of the ranks that hold the same part, the lowest counts it; what all hold whole is seen by all (StepResult::whole_gradient).
bool StepObserver::first_holder(const schedule::ShardRange& range) const {
    if (range.start.slope == 0) return true;
    const schedule::Axis& axis = schedule_.axis(range.start.axis);
    return rank_ == axis.coordinate(rank_) * axis.stride;
}

void StepObserver::after(const schedule::Op& op, int step, std::span<const device::TensorView> operands) {
    if (!active_ || op.kernel != Kernel::elementwise || !is_loss(program_, op)) return;
    begin(step);
    // A mean over the op's own tokens: a micro-batch may have several (train.loss-chunks).
    const auto tokens = static_cast<double>(operands.front().rows);
    loss_ += number(operands.back(), 0) * tokens;
    tokens_ += tokens;
}

StepResult StepObserver::result(StepResult result) const {
    result.loss = loss_ / tokens_;
    result.gradient_norm = std::sqrt(squares_);
    result.local = true;
    result.whole_gradient = elements_ == all_elements_;
    return result;
}

void combine_steps(std::vector<RankResult>& ranks) {
    for (std::size_t i = 0; i < ranks.front().steps.size(); ++i) {
        StepResult& first = ranks.front().steps[i];
        if (!first.local) continue;
        double loss = 0, squares = 0;
        for (const RankResult& rank : ranks) {
            loss += rank.steps.at(i).loss;
            squares += rank.steps[i].gradient_norm * rank.steps[i].gradient_norm;
        }
        first.loss = loss / static_cast<double>(ranks.size());
        if (!first.whole_gradient) first.gradient_norm = std::sqrt(squares);
        first.local = false;
    }
}

}  // namespace zerosim::exec
