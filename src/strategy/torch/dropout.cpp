// native_dropout (native/cuda/Dropout.cu): output and mask; native_dropout_backward multiplies by the mask.
#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::torch {

Value dropout(Tape& tape, const Value& x) {
    auto node = tape.engine.node({x.node});
    Value out = tape.like("dropout", x);
    const Value mask = tape.make("dropout_mask", x.rows, x.columns, DType::uint8);
    tape.elementwise("dropout", {x.tensor}, out);
    tape.fill(mask, 0);   // stands for the mask that the same kernel writes
    if (node) {
        node->slots = {x.output};
        node->saved.push_back(tape.engine.save(mask));
        node->apply = [&tape](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            Value back = tape.like("dropout_gradient", g[0]);
            tape.elementwise("dropout_backward", {g[0].tensor, kept.tensor}, back);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

}  // namespace zerosim::strategy::torch
