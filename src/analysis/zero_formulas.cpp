#include "analysis/zero_formulas.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

namespace zerosim::analysis {
namespace {

struct Partition {
    std::int64_t whole = 0, divided = 0;   // bytes per parameter on every rank; spread over N
};

Partition partition(const StateBytes& bytes, int stage) {
    switch (stage) {
        case 0: return {bytes.total(), 0};
        case 1: return {bytes.parameter + bytes.gradient, bytes.optimizer};
        case 2: return {bytes.parameter, bytes.gradient + bytes.optimizer};
        default: return {0, bytes.total()};
    }
}

std::string text_of(const Partition& part) {
    if (part.divided == 0) return fmt::format("{}P", part.whole);
    if (part.whole == 0) return fmt::format("{}P/N", part.divided);
    return fmt::format("({} + {}/N)P", part.whole, part.divided);
}

}  // namespace

StateBytes state_bytes(StatePrecision precision) {
    switch (precision) {
        case StatePrecision::mixed: return {2, 2, 12};   // K = 12: master 4, first moment 4, second moment 4
        case StatePrecision::fp32: return {4, 4, 8};
        case StatePrecision::bf16: return {2, 2, 4};
    }
    return {};
}

ZeroFormula zero_formulas(std::int64_t parameters, std::int64_t ranks, std::int64_t micro_batches, int stage, StatePrecision precision) {
    check(stage >= 0 && stage <= 3 && ranks >= 1 && micro_batches >= 1, "ZeRO formulas need a stage of 0 to 3, ranks and micro-batches");
    const StateBytes bytes = state_bytes(precision);
    const Partition part = partition(bytes, stage);
    ZeroFormula formula;
    formula.stage = stage;
    formula.parameters = parameters;
    formula.ranks = ranks;
    formula.micro_batches = micro_batches;
    const auto psi = static_cast<double>(parameters);
    const auto n = static_cast<double>(ranks);
    formula.state_bytes = psi * (static_cast<double>(part.whole) + static_cast<double>(part.divided) / n);
    formula.state_text = text_of(part);
    const double volumes = stage <= 1 ? 2.0 : static_cast<double>(stage == 2 ? micro_batches + 1 : 3 * micro_batches);
    formula.sent_elements = volumes * (n - 1) / n * psi;
    formula.sent_bytes = formula.sent_elements * static_cast<double>(bytes.parameter);
    formula.sent_text = stage <= 1 ? "2mP" : stage == 2 ? "(G+1)mP" : "3GmP";
    return formula;
}

}  // namespace zerosim::analysis
