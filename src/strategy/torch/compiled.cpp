// Chains that torch.compile fuses, and what AOTAutograd's partitioner then saves (torch/_functorch/partitioners.py, solve_min_cut with the
// default options): a pointwise result that only pointwise backward needs is recomputed inside the backward kernel; inputs of products
// (materialized in backward) and results of reductions are saved as in eager mode.
#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::torch {

Value silu_mul(Tape& tape, const Value& gate, const Value& up) {
    auto node = tape.engine.node({gate.node, up.node});
    Value out = tape.like("silu_mul", gate);
    tape.elementwise("silu_mul", {gate.tensor, up.tensor}, out, 6);
    if (node) {
        node->saved.push_back(tape.engine.save(gate));
        node->saved.push_back(tape.engine.save(up));
        node->apply = [&tape](Node& n, Values& g) {
            const Value kept_gate = tape.engine.unpack(n.saved[0]), kept_up = tape.engine.unpack(n.saved[1]);
            Value to_gate = tape.like("silu_mul_gradient", g[0]), to_up = tape.like("silu_mul_gradient", g[0]);
            tape.elementwise("silu_mul_backward", {g[0].tensor, kept_gate.tensor, kept_up.tensor}, to_gate, 12);
            tape.fill(to_up, 0);   // the second output of the same kernel
            return Values{std::move(to_gate), std::move(to_up)};
        };
    }
    out.node = node;
    return out;
}

Value rotate_fused(Tape& tape, const Value& x, const Value& cosine) {
    auto node = tape.engine.node({x.node});
    Value out = tape.like("rotated", x);
    tape.elementwise("rotary", {x.tensor, cosine.tensor}, out, 3);
    if (node) {
        node->apply = [&tape](Node&, Values& g) {
            Value back = tape.like("rotary_gradient", g[0]);
            tape.elementwise("rotary_backward", {g[0].tensor}, back, 3);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

}  // namespace zerosim::strategy::torch
