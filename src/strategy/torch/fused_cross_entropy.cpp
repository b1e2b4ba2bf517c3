// flash-attn's CrossEntropyLoss (flash_attn/losses/cross_entropy.py): one kernel over 2-byte logits, which saves them and their
// log-sum-exp; backward writes the logits' gradients. MPT's `loss_fn: fused_crossentropy`.
#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::torch {

Value fused_cross_entropy(Tape& tape, const Value& logits, const Value& targets, std::int64_t real_vocabulary, bool in_place) {
    kernel::Attributes a;
    a.tokens = logits.rows;
    a.vocabulary = logits.columns;
    a.real_vocabulary = real_vocabulary;
    auto node = tape.engine.node({logits.node});
    const Value lse = tape.make("log_sum_exp", logits.rows, 1, DType::fp32);
    Value loss = tape.make("loss", 1, 1, DType::fp32, schedule::Role::scalar);
    tape.fill(loss, 0);
    tape.emit(kernel::Kernel::cross_entropy_forward, "fused_cross_entropy", {logits.tensor, targets.tensor, lse.tensor, loss.tensor}, a);
    if (node) {
        for (const Value* kept : {&logits, &targets, &lse}) node->saved.push_back(tape.engine.save(*kept));
        node->apply = [&tape, a, in_place](Node& n, Values&) {
            Values kept;
            for (Saved& saved : n.saved) kept.push_back(tape.engine.unpack(saved));
            Value back = in_place ? kept[0] : tape.make("logits_gradient", kept[0].rows, kept[0].columns, kept[0].dtype, schedule::Role::logits);
            tape.emit(kernel::Kernel::cross_entropy_backward, "fused_cross_entropy_backward", {kept[0].tensor, kept[1].tensor, kept[2].tensor, {}, back.tensor}, a);
            return Values{std::move(back)};
        };
    }
    loss.node = node;
    return loss;
}

}  // namespace zerosim::strategy::torch
