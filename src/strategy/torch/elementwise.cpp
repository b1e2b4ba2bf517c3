#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::torch {
namespace {

using kernel::EagerOperation;

DType promote(DType a, DType b) { return a == b ? a : DType::fp32; }

kernel::Attributes shape_attributes(std::int64_t rows, std::int64_t columns) {
    kernel::Attributes a;
    a.broadcast_rows = static_cast<std::int32_t>(rows);
    a.broadcast_columns = static_cast<std::int32_t>(columns);
    return a;
}

kernel::Attributes value_attributes(float value) {
    kernel::Attributes a;
    a.value = value;
    return a;
}

/// a op b, the smaller one broadcast: it comes second.
void combine(Tape& tape, EagerOperation operation, std::string_view name, const Value& a, const Value& b, const Value& out) {
    const bool swapped = a.elements() < b.elements(), same = a.elements() == b.elements();
    const Value &large = swapped ? b : a, &small = swapped ? a : b;
    tape.elementwise(operation, name, {large.tensor, small.tensor}, out, 1, same ? kernel::Attributes{} : shape_attributes(small.rows, small.columns));
}

/// [validate_outputs]: sums a broadcast operand's gradient and casts it to the operand's dtype.
void reduce_to(Tape& tape, Value& gradient, std::int64_t rows, std::int64_t columns, DType dtype, bool always = false) {
    if (!gradient.defined()) return;
    if (always || gradient.elements() != rows * columns) {
        Value sum = tape.make("sum_to", rows, columns, gradient.dtype);
        tape.elementwise(EagerOperation::sum, "sum_to", {gradient.tensor}, sum, 1, shape_attributes(rows, columns));
        gradient = std::move(sum);
    }
    if (gradient.dtype != dtype) {
        Value cast = tape.make("gradient_cast", rows, columns, dtype);
        tape.cast(gradient, cast);
        gradient = std::move(cast);
    }
}

struct Shape {
    std::int64_t rows, columns;
    DType dtype;
};
Shape shape_of(const Value& v) { return {v.rows, v.columns, v.dtype}; }

auto reducing(Tape& tape, const Value& a, const Value& b, bool broadcast = false) {
    return [&tape, broadcast, sa = shape_of(a), sb = shape_of(b)](Node&, Values& outputs) {
        reduce_to(tape, outputs[0], sa.rows, sa.columns, sa.dtype);
        reduce_to(tape, outputs[1], sb.rows, sb.columns, sb.dtype, broadcast);
    };
}

Value wider(Tape& tape, std::string_view name, const Value& a, const Value& b) {
    const Value& large = a.elements() >= b.elements() ? a : b;
    return tape.make(name, large.rows, large.columns, promote(a.dtype, b.dtype));
}

}  // namespace

Value sum_of(Tape& tape, const Value& a, const Value& b) {
    Value out = tape.make("accumulated", a.rows, a.columns, a.dtype);
    combine(tape, EagerOperation::add, "add", a, b, out);
    return out;
}

Value to(Tape& tape, const Value& x, DType dtype) {
    if (x.dtype == dtype) return x;
    auto node = tape.engine.node({x.node});
    Value out = tape.make("cast", x.rows, x.columns, dtype);
    tape.cast(x, out);
    if (node) {
        node->slots = {x.output};
        node->apply = [&tape, from = x.dtype](Node&, Values& g) {
            Value back = tape.make("cast_gradient", g[0].rows, g[0].columns, from);
            tape.cast(g[0], back);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Value add(Tape& tape, const Value& a, const Value& b, bool broadcast) {
    auto node = tape.engine.node({a.node, b.node});
    Value out = wider(tape, "add", a, b);
    combine(tape, EagerOperation::add, "add", a, b, out);
    if (node) {
        node->apply = [](Node&, Values& g) { return Values{g[0], g[0]}; };
        node->validate = reducing(tape, a, b, broadcast);
    }
    out.node = node;
    return out;
}

Value mul(Tape& tape, const Value& a, const Value& b) {
    auto node = tape.engine.node({a.node, b.node});
    if (node) {
        // Each operand is saved for the other's gradient.
        if (a.node) node->saved.push_back(tape.engine.save(b));
        if (b.node) node->saved.push_back(tape.engine.save(a));
        node->apply = [&tape, to_a = a.node != nullptr, to_b = b.node != nullptr](Node& n, Values& g) {
            Values kept, out(2);
            for (Saved& s : n.saved) kept.push_back(tape.engine.unpack(s));
            if (to_b) {   // "other" before "self"
                out[1] = wider(tape, "mul_gradient", g[0], kept.back());
                combine(tape, EagerOperation::multiply, "mul", g[0], kept.back(), out[1]);
            }
            if (to_a) {
                out[0] = wider(tape, "mul_gradient", g[0], kept.front());
                combine(tape, EagerOperation::multiply, "mul", g[0], kept.front(), out[0]);
            }
            return out;
        };
        node->validate = reducing(tape, a, b);
    }
    Value out = wider(tape, "mul", a, b);
    combine(tape, EagerOperation::multiply, "mul", a, b, out);
    out.node = node;
    return out;
}

Value scale(Tape& tape, std::string_view name, const Value& x, float factor) {
    auto node = tape.engine.node({x.node});
    Value out = tape.like(name, x);
    tape.elementwise(EagerOperation::scale, name, {x.tensor}, out, 1, value_attributes(factor));
    if (node) {
        node->apply = [&tape, factor](Node&, Values& g) {
            Value back = tape.like("scale_gradient", g[0]);
            tape.elementwise(EagerOperation::scale, "scale", {g[0].tensor}, back, 1, value_attributes(factor));
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Value shift(Tape& tape, std::string_view name, const Value& x, float term) {
    auto node = tape.engine.node({x.node});
    Value out = tape.like(name, x);
    tape.elementwise(EagerOperation::shift, name, {x.tensor}, out, 1, value_attributes(term));
    if (node) node->apply = [](Node&, Values& g) { return Values{g[0]}; };
    out.node = node;
    return out;
}

Value unary(Tape& tape, EagerOperation operation, std::string_view name, const Value& x, Keeps keeps, int flops) {
    auto node = tape.engine.node({x.node});
    if (node && keeps == Keeps::input) node->saved.push_back(tape.engine.save(x));
    Value out = tape.like(name, x);
    tape.elementwise(operation, name, {x.tensor}, out, flops);
    if (node) {
        if (keeps == Keeps::output) node->saved.push_back(tape.engine.save(out));
        node->apply = [&tape, flops, backward = kernel::backward_of(operation)](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            Value back = tape.like("activation_gradient", g[0]);
            tape.elementwise(backward, "activation_backward", {g[0].tensor, kept.tensor}, back, 2 * flops);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Value power(Tape& tape, const Value& input, float exponent) {
    const Value x = tape.options.autocast ? to(tape, input, DType::fp32) : input;   // on autocast's fp32 list
    auto node = tape.engine.node({x.node});
    if (node) node->saved.push_back(tape.engine.save(x));
    Value out = tape.like("pow", x);
    tape.elementwise(EagerOperation::power, "pow", {x.tensor}, out, 1, value_attributes(exponent));
    if (node) {
        // [pow_backward]: grad * (n * x.pow(n - 1)), one expression: its temporaries live until its end.
        node->apply = [&tape, exponent](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            const Value lower = tape.like("pow_lower", kept), scaled = tape.like("pow_scaled", kept);
            Value back = tape.like("pow_gradient", kept);
            tape.elementwise(EagerOperation::power_backward, "pow_backward", {g[0].tensor, kept.tensor}, back, 3, value_attributes(exponent));
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Value row_mean(Tape& tape, const Value& x) {
    auto node = tape.engine.node({x.node});
    Value out = tape.make("mean", x.rows, 1, x.dtype);
    tape.elementwise(EagerOperation::row_mean, "mean", {x.tensor}, out);
    if (node) {
        // [MeanBackward1]: the gradient is expanded (a view) and divided.
        node->apply = [&tape, columns = x.columns](Node&, Values& g) {
            Value back = tape.make("mean_gradient", g[0].rows, columns, g[0].dtype);
            tape.elementwise(EagerOperation::row_mean_backward, "mean_backward", {g[0].tensor}, back);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Values split(Tape& tape, const Value& x) {
    constexpr int parts = 3;   // q, k, v
    auto node = tape.engine.node({x.node});
    if (node) {
        node->apply = [&tape](Node&, Values& g) {
            Value joined = tape.make("split_gradient", g[0].rows, g[0].columns * static_cast<std::int64_t>(g.size()), g[0].dtype);
            tape.elementwise(EagerOperation::concatenate, "cat", {g[0].tensor, g[1].tensor, g[2].tensor}, joined, 0);
            return Values{std::move(joined)};
        };
    }
    Values out(static_cast<std::size_t>(parts), x);
    for (int i = 0; i < parts; ++i) {
        Value& part = out[static_cast<std::size_t>(i)];
        part.output = i;
        part.columns = x.columns / parts;
        schedule::Tensor view = tape.program.at(x.tensor);   // strided: a third of each row
        view.columns = part.columns;
        view.offset.constant += i * part.columns * size_of(x.dtype);
        part.tensor = tape.program.tensor(view);
        part.node = node;
    }
    return out;
}

Value repeat_heads(Tape& tape, const Value& x, std::int64_t repeats, std::int64_t head_dim) {
    kernel::Attributes a = value_attributes(static_cast<float>(repeats));
    a.head_dim = static_cast<std::int32_t>(head_dim);
    auto node = tape.engine.node({x.node});
    Value out = tape.make("repeated_heads", x.rows, x.columns * repeats, x.dtype);
    tape.elementwise(EagerOperation::repeat_heads, "repeat", {x.tensor}, out, 0, a);
    if (node) {
        node->slots = {x.output};
        node->apply = [&tape, a, columns = x.columns](Node&, Values& g) {
            Value sum = tape.make("repeat_gradient", g[0].rows, columns, g[0].dtype);
            tape.elementwise(EagerOperation::repeat_heads_backward, "repeat_backward", {g[0].tensor}, sum, 1, a);
            return Values{std::move(sum)};
        };
    }
    out.node = node;
    return out;
}

}  // namespace zerosim::strategy::torch
