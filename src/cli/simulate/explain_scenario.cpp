#include "cli/simulate/explain_scenario.hpp"

#include "analysis/estimators.hpp"
#include "analysis/explain.hpp"
#include "base/units.hpp"
#include "search/changes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

namespace zerosim::cli {
namespace {

/// Peaks closer than this are called equal.
constexpr double kNoticeable = 1e-3;

analysis::Symbols symbols_of(const strategy::Scenario& s) {
    const model::Model& m = s.model;
    const std::int64_t tokens = s.training.micro_batch * s.training.sequence_length;
    analysis::Symbols symbols;
    symbols.dimensions = {{"T", tokens, true}, {"V", m.vocabulary}, {"h", m.hidden}, {"f", m.feed_forward}, {"s", s.training.sequence_length, true},
                          {"k*d", m.kv_heads * m.head_dim}, {"a*d", m.heads * m.head_dim}, {"T*a", tokens * m.heads, true}, {"T*k", tokens * m.kv_heads, true},
                          {"a", m.heads}, {"d", m.head_dim}};
    symbols.parameters = model::parameter_count(m);
    symbols.ranks = s.strategy.shard_group == 0 ? s.ranks : s.strategy.shard_group;
    return symbols;
}

/// Each change, planned again.
std::vector<analysis::Alternative> alternatives(const strategy::Scenario& scenario, std::int64_t peak, Replanner& replanner,
                                                std::vector<std::string>& remarks) {
    std::vector<analysis::Alternative> all;
    const std::int64_t noticeable = static_cast<std::int64_t>(static_cast<double>(peak) * kNoticeable);
    for (const search::Change& change : search::changes(scenario)) {
        if (replanner.values().text(change.key) == change.value) continue;
        const auto planned = replanner.with(change.key, change.value);
        if (!planned) continue;
        const std::int64_t saves = peak - planned->memory.peak_allocated;
        const std::string bytes = format_bytes(static_cast<double>(std::abs(saves)));
        if (!change.lowers && saves > noticeable)
            remarks.push_back(fmt::format("{} would need {} less ({} {})", change.what, bytes, change.key, change.value));
        if (!change.lowers && saves >= -noticeable && saves <= noticeable && change.key == "train.recompute")
            remarks.push_back("recomputation does not lower the peak here: it costs time for nothing");
        if (change.lowers && saves < -noticeable)
            remarks.push_back(fmt::format("{} would not help: it would need {} more ({} {})", change.what, bytes, change.key, change.value));
        if (saves > noticeable) all.push_back({change.key, change.value, change.what, planned->memory.peak_allocated, saves});
    }
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.saves > b.saves; });
    return all;
}

/// The loss's buffers at the peak, as users ask for them: how much of the peak the vocabulary alone is.
void remark_on_loss(const strategy::Scenario& s, analysis::Explanation& explanation, const analysis::MemoryReport& memory) {
    const double logits = static_cast<double>(memory.at_peak_by_role[static_cast<std::size_t>(schedule::Role::logits)]);
    const double tokens_by_words = static_cast<double>(s.training.micro_batch * s.training.sequence_length) * static_cast<double>(s.model.vocabulary);
    if (logits < 0.1 * static_cast<double>(explanation.peak_bytes) || tokens_by_words <= 0) return;
    std::string text = fmt::format("the loss holds {:.3g} B x T x V = {} at the peak", logits / tokens_by_words, format_bytes(logits));
    const auto chunked = std::find_if(explanation.alternatives.begin(), explanation.alternatives.end(), [](const auto& a) { return a.key == "train.loss-chunks"; });
    if (chunked != explanation.alternatives.end()) text += fmt::format("; a chunked loss would save {}", format_bytes(static_cast<double>(chunked->saves)));
    explanation.remarks.insert(explanation.remarks.begin(), std::move(text));
}

/// DeepSpeed's `largest_layer_params`: the module that itself holds most parameters, a weight with its bias.
std::int64_t largest_layer(const model::Model& m) {
    std::map<std::string, std::int64_t> modules;
    std::int64_t largest = 0;
    for (const model::Parameter& p : model::parameters(m)) {
        const std::string module = p.name.substr(0, p.name.rfind('.'));
        largest = std::max(largest, modules[module] += p.elements());
    }
    return largest;
}

std::vector<analysis::Estimate> estimates_of(const strategy::Scenario& s) {
    analysis::EstimatorInput input;
    input.parameters = model::parameter_count(s.model);
    input.largest_layer = largest_layer(s.model);
    input.gpus_per_node = std::min<std::int64_t>(s.ranks, s.cluster.devices_per_node);
    input.nodes = (s.ranks + input.gpus_per_node - 1) / input.gpus_per_node;
    input.zero_stage = s.strategy.zero_stage;
    input.offload_optimizer = s.strategy.optimizer_at != strategy::Placement::device;
    input.offload_parameters = s.strategy.parameters_at != strategy::Placement::device;
    input.mixed = s.training.precision != strategy::Precision::fp32;
    return analysis::estimates(input);
}

}  // namespace

void add_explanations(analysis::RunReport& report, const schedule::Schedule& schedule, const config::Resolved& resolved, Replanner& replanner) {
    const strategy::Scenario& s = resolved.scenario;
    if (resolved.run.estimators) report.estimates = estimates_of(s);
    if (!resolved.run.explain) return;
    analysis::Explanation explanation = analysis::explain(schedule, 0, symbols_of(s));
    // A run's peak is what was handed out; alternatives are compared with what planning says of the asked scenario.
    const auto facts = replanner.with("explain", "false");
    const std::int64_t peak = facts ? facts->memory.peak_allocated : report.memory.peak_allocated;
    explanation.alternatives = alternatives(s, peak, replanner, explanation.remarks);
    remark_on_loss(s, explanation, report.memory);
    for (std::string& remark : search::unaligned_sizes(s)) explanation.remarks.push_back(std::move(remark));
    report.explanation = std::move(explanation);
}

}  // namespace zerosim::cli
