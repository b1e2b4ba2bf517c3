// Embedding lookup and cross-entropy. Sources: native/cuda/{Embedding.cu,EmbeddingBackwardKernel.cu,SoftMax.cu,NLLLoss2d.cu}.
#include "strategy/torch/operations.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::strategy::torch {
namespace {

/// What cub::DeviceRadixSort takes for n pairs of 8-byte keys and values (dispatch_radix_sort.cuh, InvokeOnesweep): second buffers,
/// histograms of 8 passes over 256 digits, look-back of every tile (Hopper: 384 threads x 12 pairs), counters.
std::int64_t radix_sort_bytes(std::int64_t n) {
    constexpr std::int64_t kPasses = 8, kDigits = 256, kTile = 384 * 12, kCounters = 256;
    return 16 * n + 4 * kDigits * (kPasses + (n + kTile - 1) / kTile) + kCounters;
}

/// embedding_dense_backward_cuda: up to 3072 indices one kernel; above, sorted indices and fp32 partial sums of at most 10 rows each.
Value table_gradient(Tape& tape, const Value& g, std::int64_t rows) {
    constexpr std::int64_t kDirect = 3072, kRowsPerPartial = 10;
    const auto make = [&] { return tape.make("embedding_gradient", rows, g.columns, g.dtype, schedule::Role::gradient); };
    const std::int64_t n = g.rows;
    if (n <= kDirect) return make();
    const Buffer sorted = tape.scratch("sorted_indices", 8 * n), original = tape.scratch("original_indices", 8 * n);
    {
        const Buffer range = tape.scratch("index_range", 8 * n), sort = tape.scratch("radix_sort", radix_sort_bytes(n));
    }
    Value out = make();
    const std::int64_t segments = std::min(n, rows), partials = n / kRowsPerPartial + segments;
    const Buffer offsets = tape.scratch("segment_offsets", 8 * n);
    const Buffer segment_count = tape.scratch("num_of_segments", 8);
    const Buffer counts = tape.scratch("partials_per_segment", 8 * segments), starts = tape.scratch("partials_offset", 8 * segments);
    const Buffer partial_count = tape.scratch("num_of_partial_segments", 8);
    const Buffer partial_offsets = tape.scratch("partial_segment_offset", 8 * partials);
    const Buffer sums = tape.scratch("partial_sums", 4 * g.columns * partials);
    return out;
}

}  // namespace

Value embedding(Tape& tape, const Value& given, Parameter& table) {
    const ModuleCall module{&table, nullptr, true};
    Value room;
    const Value& indices = tape.enter(module, given, room);
    auto node = tape.engine.node({table.value.node});
    const Value& whole = table.value;
    Value out = tape.make(table.name, indices.elements(), table.columns, whole.dtype);
    kernel::Attributes a;
    a.tokens = out.rows;
    a.out = table.columns;
    a.vocabulary = table.rows;
    tape.emit(kernel::Kernel::embedding_forward, table.name, {indices.tensor, whole.tensor, {}, out.tensor}, a);
    if (node) {
        node->saved.push_back(tape.engine.save(indices));
        node->apply = [&tape, a](Node& n, Values& g) {
            const Value tokens = tape.engine.unpack(n.saved[0]);
            Value gradient = table_gradient(tape, g[0], a.vocabulary);
            tape.emit(kernel::Kernel::embedding_backward, "embedding_backward", {tokens.tensor, g[0].tensor, gradient.tensor, {}}, a);
            return Values{std::move(gradient)};
        };
    }
    out.node = node;
    return tape.leave(module, std::move(out));
}

using kernel::EagerOperation;

Value cross_entropy(Tape& tape, const Value& logits, const Value& targets, std::int64_t real_vocabulary) {
    const bool runs = targets.defined();
    const auto operation = [runs](EagerOperation known) { return runs ? known : EagerOperation::unspecified; };
    kernel::Attributes a;
    a.real_vocabulary = real_vocabulary;
    auto softmax = tape.engine.node({logits.node});
    Value log_probabilities = tape.make("log_softmax", logits.rows, logits.columns, logits.dtype, schedule::Role::logits);
    tape.elementwise(operation(EagerOperation::log_softmax), "log_softmax", {logits.tensor}, log_probabilities, 4, a);
    if (softmax) {
        softmax->saved.push_back(tape.engine.save(log_probabilities));
        softmax->apply = [&tape, a, kind = operation(EagerOperation::log_softmax_backward)](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]);
            Value back = tape.make("logits_gradient", kept.rows, kept.columns, kept.dtype, schedule::Role::logits);
            tape.elementwise(kind, "log_softmax_backward", {g[0].tensor, kept.tensor}, back, 3, a);
            return Values{std::move(back)};
        };
    }
    log_probabilities.node = softmax;
    auto nll = tape.engine.node({softmax});
    Value loss = tape.make("loss", 1, 1, DType::fp32, schedule::Role::scalar);
    const Value weight = tape.make("total_weight", 1, 1, DType::fp32, schedule::Role::scalar);
    tape.elementwise(operation(EagerOperation::negative_log_likelihood), "nll_loss", {log_probabilities.tensor, targets.tensor}, loss, 1, a);
    if (nll) {
        nll->saved.push_back(tape.engine.save(log_probabilities));
        nll->saved.push_back(tape.engine.save(weight));
        nll->saved.push_back(tape.engine.save(targets));
        nll->apply = [&tape, kind = operation(EagerOperation::negative_log_likelihood_backward)](Node& n, Values& g) {
            const Value kept = tape.engine.unpack(n.saved[0]), total = tape.engine.unpack(n.saved[1]), labels = tape.engine.unpack(n.saved[2]);
            Value back = tape.make("nll_gradient", kept.rows, kept.columns, kept.dtype, schedule::Role::logits);
            tape.elementwise(kind, "nll_backward", {labels.tensor, g[0].tensor}, back, 0);
            return Values{std::move(back)};
        };
    }
    loss.node = nll;
    return loss;
}

}  // namespace zerosim::strategy::torch
