#include "strategy/torch/chunked_loss.hpp"

#include <algorithm>
#include <bit>

namespace zerosim::strategy::torch {
namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Rows [begin, begin + count) of a matrix.
TensorId rows_of(Tape& tape, const Value& x, std::int64_t begin, std::int64_t count) {
    schedule::Tensor view = tape.program.at(x.tensor);
    view.offset.constant += begin * view.row_stride * size_of(x.dtype);
    view.rows = count;
    return tape.program.tensor(view);
}

/// Tensor.chunk along the tokens: views; backward concatenates their gradients.
Values chunk_rows(Tape& tape, const Value& x, std::int64_t chunks) {
    const std::int64_t size = ceil_div(x.rows, chunks);
    auto node = tape.engine.node({x.node});
    Values parts;
    for (std::int64_t begin = 0; begin < x.rows; begin += size) {
        Value part = x;
        part.rows = std::min(size, x.rows - begin);
        part.tensor = rows_of(tape, x, begin, part.rows);
        part.node = node;
        part.output = static_cast<int>(parts.size());
        parts.push_back(std::move(part));
    }
    if (node) {
        node->apply = [&tape, rows = x.rows](Node&, Values& g) {
            Value joined = tape.make("chunk_gradient", rows, g[0].columns, g[0].dtype);
            std::vector<TensorId> pairs;
            std::int64_t begin = 0;
            for (const Value& part : g) {
                pairs.insert(pairs.end(), {part.tensor, rows_of(tape, joined, begin, part.rows)});
                begin += part.rows;
            }
            tape.program.copy_all(tape.options.stream, pairs);
            return Values{std::move(joined)};
        };
    }
    return parts;
}

/// x, whose node is one output of a node with several.
Value of_output(Tape& tape, const Value& x) {
    auto view = tape.engine.node({x.node});
    if (!view) return x;
    view->slots = {x.output};
    view->apply = [](Node&, Values& g) { return Values{g[0]}; };
    Value out = x;
    out.node = view;
    out.output = 0;
    return out;
}

kernel::Attributes product(std::int64_t tokens, const Parameter& head) {
    kernel::Attributes a;
    a.tokens = tokens;
    a.in = head.columns;
    a.out = head.rows;
    return a;
}

}  // namespace

Value chunked_loss(Tape& tape, const Value& hidden, Parameter& head, const Value& targets, const ChunkedLoss& options,
                   const std::function<void(const Value&)>& after_head) {
    Values logits;
    for (const Value& part : chunk_rows(tape, hidden, options.chunks)) logits.push_back(linear(tape, of_output(tape, part), head, options.bias));
    after_head(logits.back());
    Value total;
    std::int64_t begin = 0;
    for (Value& part : logits) {
        Value own = targets;   // those of this part's tokens
        own.columns = part.rows;
        schedule::Tensor view = tape.program.at(targets.tensor);
        view.columns = view.row_stride = part.rows;
        view.offset.constant += begin * size_of(targets.dtype);
        own.tensor = tape.program.tensor(view);
        begin += part.rows;
        Value loss;
        if (tape.options.compiled && size_of(part.dtype) == 2) {   // torchtune compiles its loss with the blocks
            loss = fused_cross_entropy(tape, part, own, options.real_vocabulary, false);
        } else {
            const Value wide = options.widens ? to(tape, part, DType::fp32) : part;
            loss = cross_entropy(tape, wide, own, options.real_vocabulary);
        }
        loss = scale(tape, "part_of_mean", loss, static_cast<float>(part.rows) / static_cast<float>(hidden.rows));
        total = total.defined() ? add(tape, total, loss) : loss;
    }
    return total;
}

Value shifted_loss(Tape& tape, const Value& logits, std::int64_t sequences) {
    auto node = tape.engine.node({logits.node});
    Value part = logits;
    part.rows = logits.rows - sequences;
    part.node = node;
    if (sequences > 1) {   // .contiguous() of a slice; with one sequence the slice is contiguous
        part = tape.make("shifted_logits", part.rows, logits.columns, logits.dtype, schedule::Role::logits);
        part.node = node;
        tape.program.copy(tape.options.stream, rows_of(tape, logits, 0, part.rows), part.tensor);
    } else {
        part.tensor = rows_of(tape, logits, 0, part.rows);
    }
    if (node) {
        node->apply = [&tape, rows = logits.rows](Node&, Values& g) {   // [slice_backward]: into zeros
            Value whole = tape.make("logits_gradient", rows, g[0].columns, g[0].dtype, schedule::Role::logits);
            tape.fill(whole, 0);
            tape.program.copy(tape.options.stream, g[0].tensor, rows_of(tape, whole, 0, g[0].rows));
            return Values{std::move(whole)};
        };
    }
    Value loss;
    {
        const Value wide = tape.options.autocast ? to(tape, part, DType::fp32) : part;
        part = {};
        loss = cross_entropy(tape, wide);
    }
    if (tape.options.autocast) {
        const Value outputs = to(tape, logits, DType::fp32).detach();
    }
    return loss;
}

Value fused_loss(Tape& tape, const Value& hidden, Parameter& head, const std::function<void(const Value&)>& after_head) {
    // chunk_size = next_power_of_2(ceil(BT / ceil(V / H))): chunks of logits as large as the hidden states.
    const std::int64_t tokens = hidden.rows, parts = ceil_div(head.rows, head.columns);
    const auto chunk = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(ceil_div(tokens, parts))));
    const Value weight = tape.use(head).detach();
    const Value x = tape.lower(hidden);
    auto node = tape.engine.node({x.node, head.value.node});
    const Value to_weight = head.trainable ? tape.make("head_gradient", head.rows, head.columns, head.dtype, schedule::Role::gradient) : Value{};
    const Value to_hidden = tape.like("hidden_gradient", x);
    const Value losses = tape.make("token_losses", tokens, 1, DType::fp32);
    if (to_weight.defined()) tape.fill(to_weight, 0);   // torch.zeros_like, torch.zeros
    tape.fill(to_hidden, 0);
    tape.fill(losses, 0);
    for (std::int64_t begin = 0; begin < tokens; begin += chunk) {
        const std::int64_t rows = std::min(chunk, tokens - begin);
        const kernel::Attributes a = product(rows, head);
        const TensorId part = rows_of(tape, x, begin, rows);
        const Value logits = tape.make("logits_chunk", rows, head.rows, x.dtype, schedule::Role::logits);
        tape.gemm_workspace();
        tape.emit(kernel::Kernel::linear_forward, "head", {part, weight.tensor, {}, {}, logits.tensor}, a);
        tape.elementwise("cross_entropy_in_place", {logits.tensor}, logits, 8);   // writes the logits' gradient over them
        const Value back = tape.make("hidden_gradient_chunk", rows, head.columns, x.dtype);
        tape.emit(kernel::Kernel::linear_backward_input, "head_input_gradient", {logits.tensor, weight.tensor, {}, back.tensor}, a);
        tape.program.copy(tape.options.stream, back.tensor, rows_of(tape, to_hidden, begin, rows));
        if (!to_weight.defined()) continue;
        // grad_weight += torch.mm(...).float()
        const Value narrow = tape.make("head_gradient_chunk", head.rows, head.columns, x.dtype, schedule::Role::gradient);
        tape.emit(kernel::Kernel::linear_backward_weight, "head_weight_gradient", {logits.tensor, part, {}, narrow.tensor, {}}, a);
        const Value wide = to(tape, narrow, DType::fp32).detach();
        tape.program.copy(tape.options.stream, wide.tensor, to_weight.tensor, true);
    }
    Value loss = tape.make("loss", 1, 1, DType::fp32, schedule::Role::scalar);
    tape.elementwise("sum", {losses.tensor}, loss);
    if (node) {
        for (const Value* kept : {&to_hidden, &to_weight})
            if (kept->defined()) node->saved.push_back(tape.engine.save(*kept));
        node->apply = [&tape](Node& n, Values&) {
            Values out;
            for (Saved& saved : n.saved) out.push_back(tape.engine.unpack(saved));
            out.resize(2);
            return out;
        };
    }
    loss.node = node;
    after_head(loss);
    return loss;
}

}  // namespace zerosim::strategy::torch
