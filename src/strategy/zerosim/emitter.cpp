#include "strategy/zerosim/emitter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace zerosim::strategy::zerosim_system {
namespace {

/// Position of the `workspace` operand, or -1.
int workspace_slot(kernel::Kernel kernel) {
    const auto specs = kernel::operands(kernel);
    const auto found = std::find_if(specs.begin(), specs.end(), [](const auto& spec) { return spec.name == "workspace"; });
    return found == specs.end() ? -1 : static_cast<int>(found - specs.begin());
}

}  // namespace

void Emitter::wait_for(OpId op) {
    if (op.valid() && std::find(waits_.begin(), waits_.end(), op) == waits_.end()) waits_.push_back(op);
}

std::vector<OpId> Emitter::take_waits() { return std::exchange(waits_, {}); }

OpId Emitter::kernel(std::string_view name, kernel::Kernel kernel, std::initializer_list<TensorId> operands,
                     const kernel::Attributes& attributes) {
    const int slot = workspace_slot(kernel);
    const std::int64_t bytes = slot < 0 ? 0
                                        : kernel::workspace_bytes(kernel, attributes, context_.dtype(), context_.scenario.library, context_.scenario.compute_threads);
    if (bytes == 0) return last_ = context_.program.compute(context_.compute, name, kernel, operands, attributes, take_waits());
    const TensorId workspace = allocate(fmt::format("{} workspace", kernel::name(kernel)), -1, DType::uint8, 1, bytes, Role::workspace);
    std::vector<TensorId> with_workspace(operands);
    with_workspace[static_cast<std::size_t>(slot)] = workspace;
    last_ = context_.program.compute(context_.compute, name, kernel, with_workspace, attributes, take_waits());
    free(workspace);
    return last_;
}

OpId Emitter::ranged(std::string_view name, kernel::Kernel kernel, std::initializer_list<TensorId> operands, const kernel::Attributes& attributes,
                     schedule::ShardRange range) {
    const auto kind = kernel == kernel::Kernel::adamw ? schedule::OpKind::optimizer : schedule::OpKind::compute;
    return last_ = context_.program.ranged(context_.compute, kind, name, kernel, operands, attributes, range, take_waits());
}

TensorId Emitter::allocate(std::string_view name, int layer, DType dtype, std::int64_t rows, std::int64_t columns, Role role) {
    const auto [found, inserted] = tensors_.try_emplace(fmt::format("{}/{}/{}/{}", layer, name, static_cast<int>(role), rows * columns), TensorId{});
    if (inserted) {
        const StorageId storage = context_.program.storage(name, rows * columns * size_of(dtype), context_.compute_pool, role, layer);
        found->second = context_.program.tensor(name, storage, dtype, rows, columns);
    }
    context_.program.alloc(context_.program.at(found->second).storage);
    return found->second;
}

void Emitter::free(TensorId tensor) { context_.program.free(context_.program.at(tensor).storage); }

TensorId Emitter::columns(TensorId matrix, std::string_view name, std::int64_t begin, std::int64_t count) {
    const auto [found, inserted] = tensors_.try_emplace(fmt::format("view/{}/{}", matrix.value, name), TensorId{});
    if (inserted) {
        schedule::Tensor view = context_.program.at(matrix);
        view.offset.constant += begin * size_of(view.dtype);
        view.columns = count;
        view.name = context_.program.intern(name);
        found->second = context_.program.tensor(view);
    }
    return found->second;
}

}  // namespace zerosim::strategy::zerosim_system
