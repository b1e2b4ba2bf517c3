// The pieces blocks are made of: norms, linears, dropout, residual adds, and how to find a parameter.
#include "base/error.hpp"
#include "strategy/zerosim/modules.hpp"

namespace zerosim::strategy::zerosim_system {

using kernel::Attributes;
using kernel::Kernel;
using model::Site;

Modules::Modules(Context& context, Emitter& emitter, Gathers& gathers, Reductions& reductions, const States& states)
    : context_(context), emit_(emitter), gathers_(gathers), reductions_(reductions), states_(states),
      saved_(static_cast<std::size_t>(context.scenario.model.layers)) {
    for (std::size_t i = 0; i < context.parameters.size(); ++i)
        indices_[{context.parameters[i].site, context.parameters[i].layer}] = static_cast<std::int32_t>(i);
}

std::int32_t Modules::index(Site site, int layer) const {
    const auto found = indices_.find({site, layer});
    return found == indices_.end() ? -1 : found->second;
}

TensorId Modules::parameter(Site site, int layer) {
    const std::int32_t i = index(site, layer);
    return i < 0 ? TensorId{} : gathers_.parameter(i);
}

Attributes Modules::attributes(int layer) const {
    const auto& s = context_.scenario;
    Attributes a;
    a.tokens = s.training.micro_batch * s.training.sequence_length;
    a.batch = static_cast<std::int32_t>(s.training.micro_batch);
    a.sequence = static_cast<std::int32_t>(s.training.sequence_length);
    a.heads = static_cast<std::int32_t>(s.model.heads);
    a.kv_heads = static_cast<std::int32_t>(s.model.kv_heads);
    a.head_dim = static_cast<std::int32_t>(s.model.head_dim);
    a.in = a.out = s.model.hidden;
    a.epsilon = static_cast<float>(s.model.norm_epsilon);
    a.rotary_base = static_cast<float>(s.model.rotary_base);
    a.vocabulary = s.model.vocabulary;
    a.real_vocabulary = s.model.real_vocabulary;
    a.layer = static_cast<std::uint32_t>(layer + 1);   // 0 = outside the blocks
    a.fp8 = s.training.fp8_products && layer >= 0;
    return a;
}

TensorId Modules::activation(std::string_view name, int layer, std::int64_t columns, Role role) {
    const auto& t = context_.scenario.training;
    return emit_.allocate(name, layer, context_.dtype(), t.micro_batch * t.sequence_length, columns, role == Role::activation ? activation_role() : role);
}

TensorId Modules::statistics(std::string_view name, int layer) {
    const auto& t = context_.scenario.training;
    return emit_.allocate(name, layer, DType::fp32, 1, t.micro_batch * t.sequence_length, activation_role());
}

TensorId Modules::linear_forward(int layer, const Linear& linear, TensorId x, std::string_view output, Role role) {
    Attributes a = attributes(layer);
    a.in = linear.in;
    a.out = linear.out;
    const TensorId y = activation(output, layer, linear.out, role);
    emit_.kernel(linear.name, Kernel::linear_forward,
                 {x, parameter(linear.weight, layer), linear.has_bias ? parameter(linear.bias, layer) : TensorId{}, {}, y}, a);
    return y;
}

void Modules::linear_backward_weight(int layer, const Linear& linear, TensorId d_y, TensorId x) {
    Attributes a = attributes(layer);
    a.in = linear.in;
    a.out = linear.out;
    const std::int32_t weight = index(linear.weight, layer), bias = linear.has_bias ? index(linear.bias, layer) : -1;
    const auto d_weight = reductions_.target(weight), d_bias = reductions_.target(bias);
    check(bias < 0 || d_weight.accumulate == d_bias.accumulate, "weight and bias gradients differ in how often they were written");
    a.accumulate = d_weight.accumulate;
    emit_.kernel(linear.name, Kernel::linear_backward_weight, {d_y, x, {}, d_weight.tensor, d_bias.tensor}, a);
    reductions_.written(weight);
    reductions_.written(bias);
}

void Modules::linear_backward_input(int layer, const Linear& linear, TensorId d_y, TensorId d_x, bool accumulate) {
    Attributes a = attributes(layer);
    a.in = linear.in;
    a.out = linear.out;
    a.accumulate_second = accumulate;
    emit_.kernel(linear.name, Kernel::linear_backward_input, {d_y, parameter(linear.weight, layer), {}, d_x}, a);
}

Modules::NormSaved Modules::norm_forward(std::string_view name, int layer, TensorId x, Site weight, Site bias) {
    NormSaved saved;
    saved.y = activation(name, layer, context_.scenario.model.hidden);
    const std::string prefix(name);
    saved.rstd = statistics(prefix + " rstd", layer);
    if (gpt2()) {
        saved.mean = statistics(prefix + " mean", layer);
        emit_.kernel(name, Kernel::layer_norm_forward, {x, parameter(weight, layer), parameter(bias, layer), saved.y, saved.mean, saved.rstd}, attributes(layer));
    } else {
        emit_.kernel(name, Kernel::rms_norm_forward, {x, parameter(weight, layer), saved.y, saved.rstd}, attributes(layer));
    }
    return saved;
}

void Modules::norm_backward(std::string_view name, int layer, TensorId d_y, TensorId x, const NormSaved& saved, Site weight, Site bias, TensorId d_x, bool accumulate) {
    Attributes a = attributes(layer);
    a.accumulate_second = accumulate;
    const std::int32_t w = index(weight, layer), b = gpt2() ? index(bias, layer) : -1;
    const auto d_weight = reductions_.target(w), d_bias = reductions_.target(b);
    a.accumulate = d_weight.accumulate;
    if (gpt2())
        emit_.kernel(name, Kernel::layer_norm_backward, {d_y, x, parameter(weight, layer), saved.mean, saved.rstd, d_x, d_weight.tensor, d_bias.tensor}, a);
    else
        emit_.kernel(name, Kernel::rms_norm_backward, {d_y, x, parameter(weight, layer), saved.rstd, d_x, d_weight.tensor}, a);
    emit_.free(d_y);
    if (saved.mean.valid()) emit_.free(saved.mean);
    emit_.free(saved.rstd);
    reductions_.written(w);
    reductions_.written(b);
}

void Modules::free_norm(const NormSaved& norm) {
    emit_.free(norm.y);
    emit_.free(norm.rstd);
    if (norm.mean.valid()) emit_.free(norm.mean);
}

void Modules::dropout(int layer, TensorId x, std::uint32_t site) {
    if (context_.scenario.training.dropout <= 0) return;
    Attributes a = attributes(layer);
    a.dropout = static_cast<float>(context_.scenario.training.dropout);
    a.site = site;
    emit_.kernel("dropout", Kernel::dropout, {x, x}, a);
}

void Modules::add(std::string_view name, int layer, TensorId a, TensorId into) {
    emit_.kernel(name, Kernel::add, {a, into, into}, attributes(layer));
}

}  // namespace zerosim::strategy::zerosim_system
