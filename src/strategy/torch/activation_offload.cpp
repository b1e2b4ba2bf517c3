#include "strategy/torch/activation_offload.hpp"

namespace zerosim::strategy::torch {

using schedule::Role;
using schedule::Space;

namespace {

/// All of `storage`, in the shape of another tensor: an operand may be smaller than the value it belongs to (padded statistics).
TensorId in_shape_of(Tape& tape, std::string_view name, StorageId storage, TensorId model) {
    const schedule::Tensor shape = tape.program.at(model);
    return tape.program.tensor(name, storage, shape.dtype, shape.rows, shape.columns);
}

}  // namespace

void offload_saved_tensors(Tape& tape, PoolId host_pool) {
    tape.engine.to_host = [&tape, host_pool](const Value& value) {
        Value packed = value.detach();
        packed.buffer = tape.memory.allocate("saved_on_host", value.bytes(), host_pool, Role::activation, Space::pinned);
        packed.tensor = in_shape_of(tape, "saved_on_host", packed.buffer.storage(), value.tensor);
        tape.program.copy(tape.options.stream, value.tensor, packed.tensor);
        return packed;
    };
    tape.engine.to_device = [&tape](const Value& packed) {
        Value back = tape.make("saved_again", packed.rows, packed.columns, packed.dtype, Role::activation);
        back.tensor = in_shape_of(tape, "saved_again", back.buffer.storage(), packed.tensor);
        tape.program.copy(tape.options.stream, packed.tensor, back.tensor);
        return back;
    };
}

}  // namespace zerosim::strategy::torch
