// The attention half of a block: norm, q k v, rotary embedding (Llama), causal attention, output projection, residual.
#include "strategy/zerosim/modules.hpp"

namespace zerosim::strategy::zerosim_system {

using kernel::Kernel;
using model::Site;

std::vector<Modules::Linear> Modules::qkv_linears() const {
    const auto& m = context_.scenario.model;
    const std::int64_t q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
    if (gpt2()) return {{"attention qkv", Site::qkv, Site::qkv_bias, true, m.hidden, q + 2 * kv}};
    return {{"attention q", Site::q, Site::q_bias, m.qkv_bias, m.hidden, q},
            {"attention k", Site::k, Site::k_bias, m.qkv_bias, m.hidden, kv},
            {"attention v", Site::v, Site::v_bias, m.qkv_bias, m.hidden, kv}};
}

Modules::Linear Modules::output_linear() const {
    const auto& m = context_.scenario.model;
    return {"attention output", Site::output, Site::output_bias, gpt2() || m.output_bias, m.heads * m.head_dim, m.hidden};
}

void Modules::project_qkv(int layer, TensorId normed, BlockSaved& s) {
    const auto& m = context_.scenario.model;
    const std::int64_t q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
    const auto linears = qkv_linears();
    if (gpt2()) {
        s.qkv = linear_forward(layer, linears[0], normed, "qkv", Role::activation);
        s.q = emit_.columns(s.qkv, "q", 0, q);
        s.k = emit_.columns(s.qkv, "k", q, kv);
        s.v = emit_.columns(s.qkv, "v", q + kv, kv);
        return;
    }
    s.q = linear_forward(layer, linears[0], normed, "q", Role::activation);
    s.k = linear_forward(layer, linears[1], normed, "k", Role::activation);
    s.v = linear_forward(layer, linears[2], normed, "v", Role::activation);
    emit_.kernel("rotary embedding", Kernel::rotary_forward, {s.q, s.k}, attributes(layer));
}

TensorId Modules::attention_forward(int layer, TensorId x, BlockSaved& s, bool keep) {
    const auto& m = context_.scenario.model;
    s.norm1 = norm_forward("input norm", layer, x, Site::input_norm, Site::input_norm_bias);
    project_qkv(layer, s.norm1.y, s);
    if (!keep) free_norm(s.norm1);
    s.attention = activation("attention", layer, m.heads * m.head_dim);
    const auto& t = context_.scenario.training;
    s.log_sum_exp = emit_.allocate("log-sum-exp", layer, DType::fp32, t.micro_batch * t.sequence_length, m.heads, activation_role());
    emit_.kernel("attention", Kernel::attention_forward, {s.q, s.k, s.v, {}, s.attention, s.log_sum_exp}, attributes(layer));
    if (!keep) {
        emit_.free(s.log_sum_exp);
        for (const TensorId tensor : gpt2() ? std::vector{s.qkv} : std::vector{s.q, s.k, s.v}) emit_.free(tensor);
    }
    const TensorId middle = linear_forward(layer, output_linear(), s.attention, "attention residual", Role::activation);
    if (!keep) emit_.free(s.attention);
    dropout(layer, middle, 1);
    add("attention residual", layer, x, middle);
    return middle;
}

void Modules::attention_backward(int layer, BlockSaved& s, TensorId gradient) {
    const auto& m = context_.scenario.model;
    const std::int64_t q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
    const Role role = Role::activation_gradient;
    TensorId d_output = gradient;
    if (context_.scenario.training.dropout > 0) {
        d_output = activation("attention residual gradient", layer, m.hidden, role);
        context_.program.copy(context_.compute, gradient, d_output);
        dropout(layer, d_output, 1);
    }
    linear_backward_weight(layer, output_linear(), d_output, s.attention);
    const TensorId d_attention = activation("attention gradient", layer, q, role);
    linear_backward_input(layer, output_linear(), d_output, d_attention, false);
    if (d_output != gradient) emit_.free(d_output);

    std::vector<TensorId> d_parts;   // gradients of the projections' outputs, and their storages' owners
    TensorId d_q, d_k, d_v;
    if (gpt2()) {
        d_parts = {activation("qkv gradient", layer, q + 2 * kv, role)};
        d_q = emit_.columns(d_parts[0], "q gradient", 0, q);
        d_k = emit_.columns(d_parts[0], "k gradient", q, kv);
        d_v = emit_.columns(d_parts[0], "v gradient", q + kv, kv);
    } else {
        d_q = activation("q gradient", layer, q, role);
        d_k = activation("k gradient", layer, kv, role);
        d_v = activation("v gradient", layer, kv, role);
        d_parts = {d_q, d_k, d_v};
    }
    emit_.kernel("attention", Kernel::attention_backward, {d_attention, s.q, s.k, s.v, s.attention, s.log_sum_exp, {}, d_q, d_k, d_v}, attributes(layer));
    for (const TensorId done : {d_attention, s.attention, s.log_sum_exp}) emit_.free(done);
    for (const TensorId done : gpt2() ? std::vector{s.qkv} : std::vector{s.q, s.k, s.v}) emit_.free(done);
    if (!gpt2()) emit_.kernel("rotary embedding", Kernel::rotary_backward, {d_q, d_k}, attributes(layer));

    const auto linears = qkv_linears();
    const TensorId d_normed = activation("input norm gradient", layer, m.hidden, role);
    for (std::size_t i = 0; i < linears.size(); ++i) {
        linear_backward_weight(layer, linears[i], d_parts[i], s.norm1.y);
        linear_backward_input(layer, linears[i], d_parts[i], d_normed, i > 0);
        emit_.free(d_parts[i]);
    }
    emit_.free(s.norm1.y);
    norm_backward("input norm", layer, d_normed, s.x, s.norm1, Site::input_norm, Site::input_norm_bias, gradient, true);
}

}  // namespace zerosim::strategy::zerosim_system
