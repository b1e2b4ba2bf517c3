#include "strategy/torch/operations.hpp"

#include <utility>

namespace zerosim::strategy::torch {
namespace {

kernel::Attributes attributes_of(const Value& x, double epsilon) {
    kernel::Attributes a;
    a.epsilon = static_cast<float>(epsilon);
    a.tokens = x.rows;
    a.out = x.columns;
    return a;
}

/// Layer and RMS norm: the fused kernels save x, weight and fp32 statistics of each row.
Value norm(Tape& tape, const Value& given, Parameter& weight, Parameter* bias, double epsilon) {
    const ModuleCall module{&weight, bias};
    Value room;
    const Value& input = tape.enter(module, given, room);
    const bool centred = bias != nullptr;
    const Value x = tape.options.autocast ? to(tape, input, DType::fp32) : input;   // on autocast's fp32 list
    auto node = tape.engine.node({x.node, weight.value.node, centred ? bias->value.node : nullptr});
    Value y = tape.make(weight.name, x.rows, x.columns, x.dtype);
    const Value mean = centred ? tape.make("mean", x.rows, 1, DType::fp32) : Value{};
    const Value rstd = tape.make("rstd", x.rows, 1, DType::fp32);
    if (centred) {
        tape.emit(kernel::Kernel::layer_norm_forward, weight.name, {x.tensor, weight.value.tensor, bias->value.tensor, y.tensor, mean.tensor, rstd.tensor},
                  attributes_of(x, epsilon));
    } else {
        tape.emit(kernel::Kernel::rms_norm_forward, weight.name, {x.tensor, weight.value.tensor, y.tensor, rstd.tensor}, attributes_of(x, epsilon));
    }
    if (node) {
        node->saved.push_back(tape.engine.save(x));
        node->saved.push_back(tape.engine.save(weight.value));
        if (centred) node->saved.push_back(tape.engine.save(mean));
        node->saved.push_back(tape.engine.save(rstd));
        node->apply = [&tape, centred, epsilon](Node& n, Values& g) {
            Values kept, out(3);
            for (Saved& saved : n.saved) kept.push_back(tape.engine.unpack(saved));
            const Value& from = kept[0];
            if (n.next[0]) out[0] = tape.make("norm_gradient", from.rows, from.columns, from.dtype);
            for (const std::size_t i : {1, 2})
                if (n.next[i]) out[i] = tape.make("norm_weight_gradient", from.columns, 1, kept[1].dtype, schedule::Role::gradient);
            if (centred) {
                tape.emit(kernel::Kernel::layer_norm_backward, "norm_backward",
                          {g[0].tensor, from.tensor, kept[1].tensor, kept[2].tensor, kept[3].tensor, out[0].tensor, out[1].tensor, out[2].tensor},
                          attributes_of(from, epsilon));
            } else {
                tape.emit(kernel::Kernel::rms_norm_backward, "norm_backward",
                          {g[0].tensor, from.tensor, kept[1].tensor, kept[2].tensor, out[0].tensor, out[1].tensor}, attributes_of(from, epsilon));
            }
            return out;
        };
    }
    y.node = node;
    return tape.leave(module, std::move(y));
}

}  // namespace

Value rms_norm(Tape& tape, const Value& x, Parameter& weight, double epsilon) { return norm(tape, x, weight, nullptr, epsilon); }
Value layer_norm(Tape& tape, const Value& x, Parameter& weight, Parameter& bias, double epsilon) { return norm(tape, x, weight, &bias, epsilon); }

}  // namespace zerosim::strategy::torch
