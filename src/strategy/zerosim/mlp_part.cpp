// The feed-forward half of a block (norm, up [gate], activation, down, residual), and the block made of both halves.
#include "strategy/zerosim/modules.hpp"

namespace zerosim::strategy::zerosim_system {

using kernel::Attributes;
using kernel::Kernel;
using model::Site;

Modules::Linear Modules::up_linear() const {
    const auto& m = context_.scenario.model;
    return {"mlp up", Site::up, Site::up_bias, gpt2() || m.mlp_bias, m.hidden, m.feed_forward};
}
Modules::Linear Modules::gate_linear() const {
    const auto& m = context_.scenario.model;
    return {"mlp gate", Site::gate, Site::gate_bias, m.mlp_bias, m.hidden, m.feed_forward};
}
Modules::Linear Modules::down_linear() const {
    const auto& m = context_.scenario.model;
    return {"mlp down", Site::down, Site::down_bias, gpt2() || m.mlp_bias, m.feed_forward, m.hidden};
}

TensorId Modules::mlp_forward(int layer, TensorId middle, BlockSaved& s, bool keep, bool stop_early) {
    const auto& m = context_.scenario.model;
    s.middle = middle;
    s.norm2 = norm_forward("post norm", layer, middle, Site::post_norm, Site::post_norm_bias);
    if (!gpt2()) s.gate = linear_forward(layer, gate_linear(), s.norm2.y, "gate", Role::activation);
    s.up = linear_forward(layer, up_linear(), s.norm2.y, "up", Role::activation);
    if (!keep) free_norm(s.norm2);
    s.activated = activation("activated", layer, m.feed_forward);
    Attributes a = attributes(layer);
    a.in = a.out = m.feed_forward;
    if (gpt2()) emit_.kernel("gelu", Kernel::gelu_forward, {s.up, s.activated}, a);
    else emit_.kernel("swiglu", Kernel::swiglu_forward, {s.gate, s.up, s.activated}, a);
    if (!keep) {
        emit_.free(s.up);
        if (!gpt2()) emit_.free(s.gate);
    }
    if (stop_early) return {};
    const TensorId y = linear_forward(layer, down_linear(), s.activated, "residual", Role::activation);
    if (!keep) emit_.free(s.activated);
    dropout(layer, y, 2);
    add("mlp residual", layer, middle, y);
    if (!keep) emit_.free(middle);
    return y;
}

void Modules::mlp_backward(int layer, BlockSaved& s, TensorId gradient) {
    const auto& m = context_.scenario.model;
    const Role role = Role::activation_gradient;
    TensorId d_output = gradient;
    if (context_.scenario.training.dropout > 0) {
        d_output = activation("mlp residual gradient", layer, m.hidden, role);
        context_.program.copy(context_.compute, gradient, d_output);
        dropout(layer, d_output, 2);
    }
    linear_backward_weight(layer, down_linear(), d_output, s.activated);
    emit_.free(s.activated);
    const TensorId d_activated = activation("activated gradient", layer, m.feed_forward, role);
    linear_backward_input(layer, down_linear(), d_output, d_activated, false);
    if (d_output != gradient) emit_.free(d_output);

    Attributes a = attributes(layer);
    a.in = a.out = m.feed_forward;
    TensorId d_up = d_activated, d_gate;
    if (gpt2()) {
        emit_.kernel("gelu", Kernel::gelu_backward, {d_activated, s.up, d_activated}, a);
        emit_.free(s.up);
    } else {
        d_gate = activation("gate gradient", layer, m.feed_forward, role);
        d_up = activation("up gradient", layer, m.feed_forward, role);
        emit_.kernel("swiglu", Kernel::swiglu_backward, {d_activated, s.gate, s.up, d_gate, d_up}, a);
        for (const TensorId done : {d_activated, s.gate, s.up}) emit_.free(done);
    }
    const TensorId d_normed = activation("post norm gradient", layer, m.hidden, role);
    linear_backward_weight(layer, up_linear(), d_up, s.norm2.y);
    linear_backward_input(layer, up_linear(), d_up, d_normed, false);
    emit_.free(d_up);
    if (!gpt2()) {
        linear_backward_weight(layer, gate_linear(), d_gate, s.norm2.y);
        linear_backward_input(layer, gate_linear(), d_gate, d_normed, true);
        emit_.free(d_gate);
    }
    emit_.free(s.norm2.y);
    norm_backward("post norm", layer, d_normed, s.middle, s.norm2, Site::post_norm, Site::post_norm_bias, gradient, true);
    emit_.free(s.middle);
}

TensorId Modules::block_forward(int layer, TensorId x, bool keep) {
    BlockSaved& saved = saved_[static_cast<std::size_t>(layer)];
    saved = {};
    saved.kept = keep;
    saved.x = x;
    return mlp_forward(layer, attention_forward(layer, x, saved, keep), saved, keep, false);
}

void Modules::block_backward(int layer, TensorId gradient) {
    BlockSaved& saved = saved_[static_cast<std::size_t>(layer)];
    if (!saved.kept) {
        context_.program.tags.recompute = recomputing_ = true;
        const bool stop_early = context_.scenario.training.recompute_early_stop;
        const TensorId y = mlp_forward(layer, attention_forward(layer, saved.x, saved, true), saved, true, stop_early);
        if (y.valid()) emit_.free(y);
        context_.program.tags.recompute = recomputing_ = false;
    }
    mlp_backward(layer, saved, gradient);
    attention_backward(layer, saved, gradient);
    emit_.free(saved.x);
}

}  // namespace zerosim::strategy::zerosim_system
