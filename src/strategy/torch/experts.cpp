#include "strategy/torch/experts.hpp"

#include "strategy/torch/operations.hpp"
#include "strategy/torch/tensor_operations.hpp"

namespace zerosim::strategy::torch {
namespace {

using schedule::Role;

struct Routing {
    Value weights;   // fp32 [T * k, 1]
    Value experts;   // int64 [T, k]
};

/// Values and indices of torch.topk; backward scatters into zeros.
Routing top_k(Tape& tape, const Value& scores, std::int64_t k) {
    auto node = tape.engine.node({scores.node});
    Value values = tape.make("top_k", scores.rows, k, scores.dtype);
    Value indices = tape.make("top_k_index", scores.rows, k, DType::int64);
    tape.elementwise("top_k", {scores.tensor}, values, 1);
    if (node) {
        node->saved.push_back(tape.engine.save(indices));
        node->apply = [&tape, rows = scores.rows, columns = scores.columns](Node&, Values& g) {
            Value back = tape.make("scores_gradient", rows, columns, g[0].dtype);
            tape.elementwise("scatter", {g[0].tensor}, back, 0);
            return Values{std::move(back)};
        };
    }
    values.node = node;
    return {std::move(values), std::move(indices)};
}

/// The router's logits: in the hidden state's dtype and cast, or (DeepSeek) from fp32 copies of input and weight.
Value router_logits(Tape& tape, const Value& hidden, Parameter& weight, const model::Experts& e) {
    if (!e.fp32_router) return to(tape, linear(tape, hidden, weight), DType::fp32);
    const ModuleCall module{&weight};
    Value room;
    const Value x = to(tape, tape.enter(module, hidden, room), DType::fp32), w = to(tape, weight.value, DType::fp32);
    return tape.leave(module, batched_product(tape, "router", x, w, {1, x.rows, x.columns, e.count}));
}

Routing route(Tape& tape, const Value& hidden, Parameter& weight, const model::Experts& e) {
    const Value logits = router_logits(tape, hidden, weight, e);
    const Value scores = e.sigmoid_scores ? unary(tape, kernel::EagerOperation::unspecified, "sigmoid", logits, Keeps::output, 4) : softmax(tape, logits);
    Routing routing = top_k(tape, scores, e.per_token);
    // The weights of a token add up to 1 (in place), DeepSeek scales them: tensors of T * k numbers.
    routing.weights = scale(tape, "normalized", routing.weights);
    routing.weights = reshape(tape, routing.weights, routing.weights.elements(), 1);
    return routing;
}

Value indices(Tape& tape, std::string_view name, std::int64_t count) {
    Value index = tape.make(name, count, 1, DType::int64);
    tape.elementwise(name, {}, index, 0);
    return index;
}

/// torch.argsort: the sorted values are dropped.
Value argsort(Tape& tape, std::string_view name, std::int64_t count) {
    const Value values = indices(tape, "sorted", count);
    return indices(tape, name, count);
}

/// Of a weight as a product takes it: under autocast its 2-byte copy.
Value product(Tape& tape, const Value& given, Parameter& weight, std::int64_t experts, std::int64_t out) {
    const ModuleCall module{&weight};
    Value room;
    const Value& x = tape.enter(module, given, room);
    const Value w = tape.use(weight);
    return tape.leave(module, batched_product(tape, weight.name, x, w, {experts, x.rows, x.columns, out}));
}

Value weighted(Tape& tape, const Value& rows, const Value& weights, DType dtype, const Value& inverse) {
    Value scaled = mul(tape, rows, weights);          // fp32: the weights are
    scaled = gather_rows(tape, scaled, inverse);      // back to the order of the tokens
    return to(tape, scaled, dtype);
}

}  // namespace

Value routed_experts(Tape& tape, const Value& hidden, const ExpertWeights& weights, const model::Experts& e) {
    const Routing routing = route(tape, hidden, *weights.router, e);
    const std::int64_t rows = hidden.rows * e.per_token;
    Value zeros = tape.make("experts_output", hidden.rows, hidden.columns, hidden.dtype);
    const Value token = indices(tape, "token_index", rows), permutation = argsort(tape, "permutation", rows);
    const Value inverse = argsort(tape, "inverse_permutation", rows);
    // Python's locals live until the function returns: the rows before and after grouping, and what follows from them.
    const Value spread = gather_rows(tape, hidden, token);
    const Value expert_of_row = indices(tape, "grouped_experts", rows);
    const Value row_weights = gather_rows(tape, routing.weights, permutation);
    const Value grouped = gather_rows(tape, spread, permutation);
    const Value offsets = tape.make("offsets", e.count, 1, DType::int32);
    const Value joined = product(tape, grouped, *weights.gate_up, e.count, 2 * e.feed_forward);
    const Values halves = split_columns(tape, joined, {e.feed_forward, e.feed_forward});
    const Value activated = mul(tape, unary(tape, kernel::EagerOperation::silu, "silu", halves[0], Keeps::input, 5), halves[1]);
    Value out = product(tape, activated, *weights.down, e.count, hidden.columns);
    out = weighted(tape, out, row_weights, hidden.dtype, inverse);
    return index_add(tape, std::move(zeros), token, out);
}

}  // namespace zerosim::strategy::torch
