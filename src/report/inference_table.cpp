#include "base/units.hpp"
#include "report/cells.hpp"
#include "report/table.hpp"

namespace zerosim::report {

std::string inference_section(const analysis::RunReport& report, Style style) {
    if (!report.inference) return {};
    const analysis::InferenceReport& r = *report.inference;
    const bool paged = r.cache_pool > 0;
    TextTable table({{"", "", true}, {"bytes", "(MiB)"}, {"", "", true}});
    table.add({"weights", mib(r.weights), ""});
    table.add({"keys and values", mib(r.cache), fmt::format("{} sequence(s) of {} tokens, {} bytes a token", r.facts.batch, r.facts.prompt_tokens + r.facts.new_tokens,
                                                            format_count(r.facts.cache_token_bytes))});
    if (paged) table.add({"pool of blocks", mib(r.cache_pool), "set aside at the start"});
    table.rule();
    table.add({"peak of the prefill", mib(r.prefill_peak), "with weights and cache"});
    table.add({"peak of decoding", mib(r.decode_peak), ""});
    std::string text = heading("INFERENCE", style) + "\n" + table.render(style);
    text += fmt::format("  at most {} such sequences at once{}\n", format_count(r.facts.largest_batch), paged ? " (their blocks fill the pool)" : "");
    text += fmt::format("  prefill {} ms, then {} ms a token ({} at the first, {} at the last)\n", milliseconds(r.prefill_seconds), milliseconds(r.token_seconds()),
                        milliseconds(r.first_token_seconds), milliseconds(r.last_token_seconds));
    text += fmt::format("  the batch takes {} ms: {:.1f} generated tokens/s\n", milliseconds(r.request_seconds()), r.tokens_per_second());
    return text + faint("  the step below is the prefill and these two tokens\n", style);
}

}  // namespace zerosim::report
