#include "strategy/torch/tensor_operations.hpp"

namespace zerosim::strategy::torch {
namespace {

/// Columns [from, from + width) of a row-major value, without a node.
Value columns_of(Tape& tape, const Value& x, std::int64_t from, std::int64_t width) {
    Value part = x.detach();
    part.output = 0;
    part.columns = width;
    schedule::Tensor view = tape.program.at(x.tensor);
    view.columns = width;
    view.offset.constant += from * size_of(x.dtype);
    part.tensor = tape.program.tensor(view);
    return part;
}

TensorId tensor_of(const Values& values, std::size_t i) { return i < values.size() && values[i].defined() ? values[i].tensor : TensorId{}; }

}  // namespace

Value reshape(Tape& tape, const Value& x, std::int64_t rows, std::int64_t columns) {
    auto node = tape.engine.node({x.node});
    Value out = x;
    out.output = 0;
    if (tape.program.at(x.tensor).contiguous()) out = tape.reshaped(std::move(out), rows, columns);
    out.rows = rows;
    out.columns = columns;
    if (node) {
        node->slots = {x.output};
        node->apply = [&tape, from_rows = x.rows, from_columns = x.columns](Node&, Values& g) {
            Value back = g[0];
            if (tape.program.at(back.tensor).contiguous()) back = tape.reshaped(std::move(back), from_rows, from_columns);
            back.rows = from_rows;
            back.columns = from_columns;
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Values split_columns(Tape& tape, const Value& x, const std::vector<std::int64_t>& widths) {
    auto node = tape.engine.node({x.node});
    if (node) {
        node->slots = {x.output};
        node->apply = [&tape, rows = x.rows, columns = x.columns, dtype = x.dtype](Node&, Values& g) {
            Value joined = tape.make("split_gradient", rows, columns, dtype);
            tape.elementwise("cat", {tensor_of(g, 0), tensor_of(g, 1), tensor_of(g, 2)}, joined, 0);
            return Values{std::move(joined)};
        };
    }
    Values parts;
    std::int64_t from = 0;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        Value part = columns_of(tape, x, from, widths[i]);
        part.output = static_cast<int>(i);
        part.node = node;
        parts.push_back(reshape(tape, part, part.rows, part.columns));   // one output each
        from += widths[i];
    }
    return parts;
}

Value slice_columns(Tape& tape, const Value& x, std::int64_t from, std::int64_t width) {
    auto node = tape.engine.node({x.node});
    if (node) {
        node->slots = {x.output};
        node->apply = [&tape, rows = x.rows, columns = x.columns](Node&, Values& g) {
            Value whole = tape.make("slice_gradient", rows, columns, g[0].dtype);
            tape.elementwise("slice_backward", {g[0].tensor}, whole, 0);
            return Values{std::move(whole)};
        };
    }
    Value part = columns_of(tape, x, from, width);
    part.node = node;
    return part;
}

Value concatenate(Tape& tape, const Value& a, const Value& b) {
    auto node = tape.engine.node({a.node, b.node});
    Value out = tape.make("cat", a.rows, a.columns + b.columns, a.dtype);
    tape.elementwise("cat", {a.tensor, b.tensor}, out, 0);
    if (node) {
        node->slots = {a.output, b.output};
        node->apply = [&tape, first = a.columns, second = b.columns](Node&, Values& g) {
            return Values{columns_of(tape, g[0], 0, first), columns_of(tape, g[0], first, second)};
        };
    }
    out.node = node;
    return out;
}

Value expand_rows(Tape& tape, const Value& x, std::int64_t times) {
    if (times == 1) return x;
    auto node = tape.engine.node({x.node});
    if (node) {
        node->slots = {x.output};
        node->apply = [&tape, rows = x.rows, columns = x.columns](Node&, Values& g) {
            Value sum = tape.make("expand_gradient", rows, columns, g[0].dtype);
            tape.elementwise("sum_to", {g[0].tensor}, sum);
            return Values{std::move(sum)};
        };
    }
    Value out = x;   // the tensor is still that of x: stride 0
    out.output = 0;
    out.rows *= times;
    out.node = node;
    return out;
}

Value upcast(Tape& tape, const Value& x) {
    if (x.dtype == DType::fp32) return x;
    auto node = tape.engine.node({x.node});
    Value out = tape.make("cast", x.rows, x.columns, DType::fp32);
    tape.elementwise("cast", {x.tensor}, out, 0);
    if (node) {
        node->slots = {x.output};
        node->apply = [&tape, from = x.dtype](Node&, Values& g) {
            if (g[0].dtype == from) return Values{g[0]};
            Value back = tape.make("cast_gradient", g[0].rows, g[0].columns, from);
            tape.elementwise("cast", {g[0].tensor}, back, 0);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Value contiguous(Tape& tape, std::string_view name, const Value& x) {
    auto node = tape.engine.node({x.node});
    Value out = tape.like(name, x);
    tape.elementwise(name, {x.tensor}, out, 0);
    if (node) {
        node->slots = {x.output};
        node->apply = [](Node&, Values& g) { return Values{g[0]}; };
    }
    out.node = node;
    return out;
}

Value gather_rows(Tape& tape, const Value& x, const Value& index) {
    auto node = tape.engine.node({x.node});
    Value out = tape.make("rows", index.elements(), x.columns, x.dtype);
    tape.elementwise("index", {x.tensor, index.tensor}, out, 0);
    if (node) {
        node->slots = {x.output};
        node->saved.push_back(tape.engine.save(index));
        node->apply = [&tape, rows = x.rows, columns = x.columns](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            Value back = tape.make("rows_gradient", rows, columns, g[0].dtype);
            const Buffer linear = tape.scratch("linear_index", kept.bytes()), order = tape.scratch("original_index", kept.bytes());
            const Buffer sorted = tape.scratch("sorted_index", kept.bytes());
            tape.elementwise("index_put", {g[0].tensor, kept.tensor}, back);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Value index_add(Tape& tape, Value zeros, const Value& index, const Value& source) {
    auto node = tape.engine.node({source.node});
    tape.elementwise("index_add", {source.tensor, index.tensor}, zeros);
    if (node) {
        node->slots = {source.output};
        node->saved.push_back(tape.engine.save(index));
        node->apply = [&tape](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            Value back = tape.make("index_add_gradient", kept.elements(), g[0].columns, g[0].dtype);
            tape.elementwise("index_select", {g[0].tensor, kept.tensor}, back, 0);
            return Values{std::move(back)};
        };
    }
    zeros.node = node;
    return zeros;
}

Value batched_product(Tape& tape, std::string_view name, const Value& a_in, const Value& b_in, const ProductShape& s) {
    const Value a = tape.lower(a_in), b = tape.lower(b_in);
    kernel::Attributes attributes;
    attributes.tokens = s.rows;
    attributes.in = s.in;
    attributes.out = s.out;
    attributes.batch = static_cast<std::int32_t>(s.batch);
    auto node = tape.engine.node({a.node, b.node});
    if (node) {
        node->slots = {a.output, b.output};
        if (a.node) node->saved.push_back(tape.engine.save(b));
        if (b.node) node->saved.push_back(tape.engine.save(a));
        node->apply = [&tape, attributes, to_a = a.node != nullptr, to_b = b.node != nullptr, b_rows = b.rows, b_columns = b.columns, a_rows = a.rows,
                       a_columns = a.columns, weight = b.tensor.valid() && !b.buffer.valid()](Node& n, Values& g) {
            Values kept, out(2);
            for (Saved& saved : n.saved) kept.push_back(tape.engine.unpack(saved));
            const auto gradient = [&](const Value& other, std::int64_t rows, std::int64_t columns, bool of_weight) {
                Value d = of_weight ? tape.make("weight_gradient", rows, columns, g[0].dtype, schedule::Role::gradient)
                                    : tape.make("product_gradient", rows, columns, g[0].dtype);
                tape.emit(kernel::Kernel::batched_product, "product_backward", {g[0].tensor, other.tensor, d.tensor}, attributes);
                return d;
            };
            if (to_a) out[0] = gradient(kept.front(), a_rows, a_columns, false);
            if (to_b) out[1] = gradient(kept.back(), b_rows, b_columns, weight);
            return out;
        };
    }
    Value out = tape.engine.computed(true, [&] {
        Value y = tape.make(name, s.rows, s.out, a.dtype);
        tape.emit(kernel::Kernel::batched_product, name, {a.tensor, b.tensor, y.tensor}, attributes);
        return Values{std::move(y)};
    }).front();
    out.node = node;
    return out;
}

void keep_probabilities(Tape& tape, const NodeRef& node, const Value& scores, Value& out) {
    out.node = node;
    if (!node) return;
    node->slots = {scores.output};
    node->saved.push_back(tape.engine.save(out));
    node->apply = [&tape](Node& n, Values& g) {
        const Value kept = tape.engine.unpack(n.saved[0]);
        Value back = tape.like("softmax_gradient", kept);
        tape.elementwise("softmax_backward", {g[0].tensor, kept.tensor}, back, 3);
        return Values{std::move(back)};
    };
}

Value softmax(Tape& tape, const Value& x) {
    const NodeRef node = tape.engine.node({x.node});
    Value out = tape.like("softmax", x);
    tape.elementwise("softmax", {x.tensor}, out, 4);
    keep_probabilities(tape, node, x, out);
    return out;
}

}  // namespace zerosim::strategy::torch
