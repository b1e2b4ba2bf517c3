// Emitter: writes ops on the compute stream, with the workspaces kernels need and the waits other streams impose.
// Used by every part of the zerosim planner.
// Does not choose which ops.
#pragma once

#include "strategy/zerosim/context.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace zerosim::strategy::zerosim_system {

class Emitter {
public:
    explicit Emitter(Context& context) : context_(context) {}

    /// The next op on the compute stream starts after `op` (ignored when invalid or already waited for in stream order).
    void wait_for(OpId op);

    /// Emits a kernel, allocating and freeing its workspace around it. `operands` in kernel.hpp's order; the workspace slot is left invalid.
    OpId kernel(std::string_view name, kernel::Kernel kernel, std::initializer_list<TensorId> operands, const kernel::Attributes& attributes);
    OpId ranged(std::string_view name, kernel::Kernel kernel, std::initializer_list<TensorId> operands, const kernel::Attributes& attributes,
                schedule::ShardRange range);

    /// A tensor with a storage of its own in the compute pool, allocated here. The storage is declared once per (layer, name) and
    /// allocated again in later micro-batches.
    TensorId allocate(std::string_view name, int layer, DType dtype, std::int64_t rows, std::int64_t columns, Role role);
    void free(TensorId tensor);
    /// A view of columns [begin, begin + count) of a matrix.
    TensorId columns(TensorId matrix, std::string_view name, std::int64_t begin, std::int64_t count);

    [[nodiscard]] OpId last() const { return last_; }
    /// Waits registered with wait_for and not yet given to an op.
    [[nodiscard]] std::vector<OpId> take_waits();

private:
    Context& context_;
    std::vector<OpId> waits_;
    OpId last_;
    std::unordered_map<std::string, TensorId> tensors_;
};

}  // namespace zerosim::strategy::zerosim_system
