// The two ends of the model: token embedding, and final norm with logits and loss.
#include "strategy/zerosim/modules.hpp"

namespace zerosim::strategy::zerosim_system {

using kernel::Attributes;
using kernel::Kernel;
using model::Site;

namespace {
// Outside the blocks: the residual stream's first tensor and everything of the head.
constexpr int kOuter = -1;
}  // namespace

Modules::Linear Modules::head_linear() const {
    const auto& m = context_.scenario.model;
    return {"logits", m.tied ? Site::token_embedding : Site::head, Site::head, false, m.hidden, m.vocabulary};
}

TensorId Modules::embedding_forward() {
    const auto& m = context_.scenario.model;
    Attributes a = attributes(kOuter);
    const TensorId x = activation("embedding", kOuter, m.hidden);
    emit_.kernel("embedding", Kernel::embedding_forward,
                 {states_.tokens, parameter(Site::token_embedding, kOuter), parameter(Site::position_embedding, kOuter), x}, a);
    dropout(kOuter, x, 0);
    return x;
}

void Modules::embedding_backward(TensorId gradient) {
    dropout(kOuter, gradient, 0);
    Attributes a = attributes(kOuter);
    const std::int32_t table = index(Site::token_embedding, kOuter), positions = index(Site::position_embedding, kOuter);
    const auto d_table = reductions_.target(table), d_positions = reductions_.target(positions);
    a.accumulate = d_table.accumulate;
    a.accumulate_second = d_positions.accumulate;
    emit_.kernel("embedding", Kernel::embedding_backward, {states_.tokens, gradient, d_table.tensor, d_positions.tensor}, a);
    emit_.free(gradient);
    reductions_.written(table);
    reductions_.written(positions);
}

void Modules::head_forward(TensorId x) {
    const auto& s = context_.scenario;
    head_input_ = x;
    final_norm_ = norm_forward("final norm", kOuter, x, Site::final_norm, Site::final_norm_bias);
    logits_ = linear_forward(kOuter, head_linear(), final_norm_.y, "logits", Role::logits);
    loss_lse_ = statistics("loss log-sum-exp", kOuter);
    Attributes a = attributes(kOuter);
    a.loss_weight = 1.0 / static_cast<double>(a.tokens * s.ranks * s.training.gradient_accumulation);
    emit_.kernel("cross-entropy", Kernel::cross_entropy_forward, {logits_, states_.targets, loss_lse_, states_.scalars.loss}, a);
}

TensorId Modules::head_backward() {
    const auto& s = context_.scenario;
    Attributes a = attributes(kOuter);
    a.loss_weight = 1.0 / static_cast<double>(a.tokens * s.ranks * s.training.gradient_accumulation);
    const TensorId loss_scale = s.training.precision == Precision::fp16_mixed ? states_.scalars.loss_scale : TensorId{};
    emit_.kernel("cross-entropy", Kernel::cross_entropy_backward, {logits_, states_.targets, loss_lse_, loss_scale, logits_}, a);
    emit_.free(loss_lse_);
    linear_backward_weight(kOuter, head_linear(), logits_, final_norm_.y);
    emit_.free(final_norm_.y);
    const TensorId d_normed = activation("final norm gradient", kOuter, s.model.hidden, Role::activation_gradient);
    linear_backward_input(kOuter, head_linear(), logits_, d_normed, false);
    emit_.free(logits_);
    const TensorId gradient = activation("residual gradient", kOuter, s.model.hidden, Role::activation_gradient);
    norm_backward("final norm", kOuter, d_normed, head_input_, final_norm_, Site::final_norm, Site::final_norm_bias, gradient, false);
    emit_.free(head_input_);
    return gradient;
}

}  // namespace zerosim::strategy::zerosim_system
