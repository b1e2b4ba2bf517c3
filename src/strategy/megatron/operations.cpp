#include "strategy/megatron/operations.hpp"

namespace zerosim::strategy::megatron {

using schedule::Role;
using torch::Node;
using torch::Saved;
using torch::Values;

namespace {

kernel::Attributes linear_attributes(const Value& x, const Parameter& weight, bool fp8) {
    kernel::Attributes a;
    a.tokens = x.rows;
    a.in = x.columns;
    a.out = weight.rows;
    a.fp8 = fp8 && weight.layer >= 0;
    return a;
}

Value placeholder(const LinearContext& c, const Parameter& weight, bool zeros) {
    if (!zeros) return c.buffers.placeholder(weight);
    Value value = c.tape.make("zero_weight_gradient", weight.rows, weight.columns, weight.value.dtype, Role::gradient);
    c.tape.fill(value, 0);
    return value;
}

/// Gradients of x, weight, bias.
Values linear_backward(const LinearContext& c, Node& node, const Value& g, Parameter& weight, bool bias, bool zeros) {
    Tape& tape = c.tape;
    Values kept, out(3);
    for (Saved& saved : node.saved) kept.push_back(tape.engine.unpack(saved));
    kernel::Attributes a = linear_attributes(kept[0], weight, c.fp8);
    if (node.next[0] != nullptr) {
        out[0] = tape.make("input_gradient", g.rows, a.in, g.dtype);
        tape.gemm_workspace();
        Buffer held;
        const TensorId room = tape.workspace(kernel::Kernel::linear_backward_input, a, g.dtype, held);
        tape.emit(kernel::Kernel::linear_backward_input, "input_gradient", {g.tensor, kept[1].tensor, room, out[0].tensor}, a);
    }
    if (bias) {
        out[2] = tape.make("bias_gradient", weight.rows, 1, g.dtype, Role::gradient);
        kernel::Attributes sum;
        sum.broadcast_rows = 1;
        sum.broadcast_columns = static_cast<std::int32_t>(weight.rows);
        tape.elementwise(kernel::EagerOperation::sum, "bias_gradient", {g.tensor}, out[2], 1, sum);
    }
    tape.gemm_workspace();
    Buffer held;
    if (c.fuse_gradient_accumulation) {
        a.accumulate = true;
        const TensorId room = tape.workspace(kernel::Kernel::linear_backward_weight, a, g.dtype, held);
        tape.emit(kernel::Kernel::linear_backward_weight, "weight_gradient", {g.tensor, kept[0].tensor, room, c.buffers.main_gradient(weight).tensor, {}}, a);
        c.buffers.added_to_main_gradient(weight, zeros);
        out[1] = placeholder(c, weight, zeros);
    } else {
        out[1] = tape.make("weight_gradient", weight.rows, weight.columns, g.dtype, Role::gradient);
        const TensorId room = tape.workspace(kernel::Kernel::linear_backward_weight, a, g.dtype, held);
        tape.emit(kernel::Kernel::linear_backward_weight, "weight_gradient", {g.tensor, kept[0].tensor, room, out[1].tensor, {}}, a);
    }
    return out;
}

}  // namespace

Value linear(const LinearContext& c, const Value& x, Parameter& weight, Parameter* bias, bool zeros) {
    Tape& tape = c.tape;
    auto node = tape.engine.node({x.node, weight.value.node, bias != nullptr ? bias->value.node : nullptr});
    node->saved.push_back(tape.engine.save(x));
    node->saved.push_back(tape.engine.save(weight.value));
    node->apply = [c, &weight, biased = bias != nullptr, zeros](Node& n, Values& g) { return linear_backward(c, n, g[0], weight, biased, zeros); };
    const kernel::Attributes a = linear_attributes(x, weight, c.fp8);
    Value y = tape.make(weight.name, x.rows, weight.rows, x.dtype);
    tape.gemm_workspace();
    Buffer held;
    const TensorId room = tape.workspace(kernel::Kernel::linear_forward, a, x.dtype, held);
    tape.emit(kernel::Kernel::linear_forward, weight.name, {x.tensor, weight.value.tensor, bias != nullptr ? bias->value.tensor : TensorId{}, room, y.tensor}, a);
    y.node = node;
    return y;
}

Value gelu(Tape& tape, const Value& x) {
    auto node = tape.engine.node({x.node});
    node->saved.push_back(tape.engine.save(x));
    Value y = tape.like("gelu", x);
    kernel::Attributes a;
    a.tokens = x.rows;
    a.in = a.out = x.columns;
    tape.emit(kernel::Kernel::gelu_forward, "bias_gelu", {x.tensor, y.tensor}, a);
    node->apply = [&tape, a](Node& n, Values& g) {
        const Value kept = tape.engine.unpack(n.saved[0]);
        Value back = tape.like("gelu_gradient", kept);
        tape.emit(kernel::Kernel::gelu_backward, "bias_gelu_backward", {g[0].tensor, kept.tensor, back.tensor}, a);
        return Values{std::move(back)};
    };
    y.node = node;
    return y;
}

namespace {

TensorId columns_of(Tape& tape, const Value& x, std::int64_t first, std::int64_t count) {
    schedule::Tensor view = tape.program.at(x.tensor);
    view.columns = count;
    view.offset.constant += first * size_of(x.dtype);
    return tape.program.tensor(view);
}

}  // namespace

Value swiglu(Tape& tape, const Value& x) {
    const std::int64_t width = x.columns / 2;
    auto node = tape.engine.node({x.node});
    node->saved.push_back(tape.engine.save(x));
    Value y = tape.make("swiglu", x.rows, width, x.dtype);
    kernel::Attributes a;
    a.tokens = x.rows;
    a.in = a.out = width;
    tape.emit(kernel::Kernel::swiglu_forward, "bias_swiglu", {columns_of(tape, x, 0, width), columns_of(tape, x, width, width), y.tensor}, a);
    node->apply = [&tape, a, width](Node& n, Values& g) {
        const Value kept = tape.engine.unpack(n.saved[0]);
        Value back = tape.like("swiglu_gradient", kept);
        tape.emit(kernel::Kernel::swiglu_backward, "bias_swiglu_backward",
                  {g[0].tensor, columns_of(tape, kept, 0, width), columns_of(tape, kept, width, width), columns_of(tape, back, 0, width),
                   columns_of(tape, back, width, width)},
                  a);
        return Values{std::move(back)};
    };
    y.node = node;
    return y;
}

Values split_columns(Tape& tape, const Value& x, const std::vector<std::int64_t>& widths) {
    auto node = tape.engine.node({x.node});
    node->apply = [&tape](Node&, Values& g) {
        std::int64_t width = 0;
        for (const Value& part : g) width += part.columns;
        Value joined = tape.make("split_gradient", g[0].rows, width, g[0].dtype);
        tape.elementwise(kernel::EagerOperation::concatenate, "cat", {g[0].tensor, g[1].tensor, g[2].tensor}, joined, 0);
        return Values{std::move(joined)};
    };
    Values parts;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        Value& part = parts.emplace_back(x);
        part.tensor = columns_of(tape, x, first, widths[i]);
        part.columns = widths[i];
        part.output = static_cast<int>(i);
        part.node = node;
        first += widths[i];
    }
    return parts;
}

Value rotate(Tape& tape, const Value& x, const Value& angles, std::int64_t head_dim) {
    kernel::Attributes a;
    a.sequence = static_cast<std::int32_t>(angles.rows);
    a.head_dim = static_cast<std::int32_t>(head_dim);
    auto node = tape.engine.node({x.node});
    Value out = tape.make("rotated", x.rows, x.columns, x.dtype);
    tape.elementwise(kernel::EagerOperation::rotate, "rotary", {x.tensor, angles.tensor}, out, 3, a);
    if (node) {
        node->slots = {x.output};
        node->saved.push_back(tape.engine.save(angles));
        node->apply = [&tape, a](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            Value back = tape.like("rotary_gradient", g[0]);
            tape.elementwise(kernel::EagerOperation::rotate_backward, "rotary_backward", {g[0].tensor, kept.tensor}, back, 3, a);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

namespace {

/// The fp32 gradient of 2-byte logits is cast as the engine validates it.
std::function<void(Node&, Values&)> casting(Tape& tape, DType narrow) {
    return [&tape, narrow](Node&, Values& out) {
        if (out[0].dtype == narrow) return;
        Value cast = tape.make("logits_gradient", out[0].rows, out[0].columns, narrow, Role::logits);
        tape.cast(out[0], cast);
        out[0] = std::move(cast);
    };
}

}  // namespace

Value host_cross_entropy(Tape& tape, const Value& logits, const Value& targets, std::int64_t real_vocabulary) {
    using kernel::EagerOperation;
    kernel::Attributes a;
    a.real_vocabulary = real_vocabulary;
    auto node = tape.engine.node({logits.node});
    const Value kept = tape.make("vocab_parallel_softmax", logits.rows, logits.columns, DType::fp32, Role::logits);
    tape.cast(logits, kept);
    tape.elementwise(EagerOperation::log_softmax, "log_softmax", {kept.tensor}, kept, 4, a);
    Value loss = tape.make("loss", 1, 1, DType::fp32, Role::scalar);
    tape.elementwise(EagerOperation::negative_log_likelihood, "masked_mean", {kept.tensor, targets.tensor}, loss, 1, a);
    for (const Value* saved : {&kept, &targets}) node->saved.push_back(tape.engine.save(*saved));
    node->apply = [&tape, a](Node& n, Values& g) {
        Value gradient = tape.engine.unpack(n.saved[0]);
        const Value labels = tape.engine.unpack(n.saved[1]);
        const Value predicted = tape.like("predicted_gradient", gradient);
        tape.elementwise(EagerOperation::negative_log_likelihood_backward, "predicted_gradient", {labels.tensor, g[0].tensor}, predicted, 0);
        tape.elementwise(EagerOperation::log_softmax_backward, "log_softmax_backward", {predicted.tensor, gradient.tensor}, gradient, 3, a);
        return Values{std::move(gradient)};
    };
    node->validate = casting(tape, logits.dtype);
    loss.node = node;
    return loss;
}

/// megatron/core/tensor_parallel/cross_entropy.py: float(), maximum, subtract, exp, sum, divide: the last three in place.
Value vocabulary_parallel_cross_entropy(Tape& tape, const Value& logits, const Value& targets) {
    auto node = tape.engine.node({logits.node});
    const Value softmax = tape.make("vocab_parallel_softmax", logits.rows, logits.columns, DType::fp32, Role::logits);
    tape.cast(logits, softmax);
    Value loss;
    {
        const auto per_token = [&](const char* name, DType dtype) { return tape.make(name, logits.rows, 1, dtype); };
        const Value maximum = per_token("logits_max", DType::fp32);
        tape.elementwise("max", {softmax.tensor}, maximum);
        tape.elementwise("subtract", {softmax.tensor, maximum.tensor}, softmax);
        const Value mask = per_token("target_mask", DType::uint8), masked = per_token("masked_target", DType::int64);
        tape.elementwise("target_mask", {targets.tensor}, mask);
        tape.elementwise("masked_target", {targets.tensor}, masked);
        const Value predicted = per_token("predicted_logits", DType::fp32);
        tape.elementwise("gather_predicted", {masked.tensor}, predicted);
        tape.elementwise("exp", {softmax.tensor}, softmax, 4);
        const Value sum = per_token("sum_exp_logits", DType::fp32);
        tape.elementwise("sum", {softmax.tensor}, sum);
        tape.elementwise("divide", {softmax.tensor, sum.tensor}, softmax);
        const Value losses = per_token("losses", DType::fp32);
        tape.elementwise("log_minus", {sum.tensor, predicted.tensor, targets.tensor}, losses, 2);
        loss = tape.make("loss", 1, 1, DType::fp32, Role::scalar);
        tape.elementwise("masked_mean", {losses.tensor}, loss);
        for (const Value* kept : {&softmax, &mask, &masked}) node->saved.push_back(tape.engine.save(*kept));
    }
    node->apply = [&tape](Node& n, Values&) {
        Value gradient = tape.engine.unpack(n.saved.front());
        {
            Values masks;
            for (std::size_t i = 1; i < n.saved.size(); ++i) masks.push_back(tape.engine.unpack(n.saved[i]));
        }
        tape.elementwise("multiply", {gradient.tensor}, gradient);   // by the loss's gradient, in place
        return Values{std::move(gradient)};
    };
    node->validate = casting(tape, logits.dtype);
    loss.node = node;
    return loss;
}

}  // namespace zerosim::strategy::megatron
