#include "report/inference_json.hpp"

#include "report/json_fields.hpp"

namespace zerosim::report {
namespace {

template <class Archive, class Report>
void fields(Archive archive, Report& r) {
    archive("batch", r.facts.batch);
    archive("prompt_tokens", r.facts.prompt_tokens);
    archive("new_tokens", r.facts.new_tokens);
    archive("weights_bytes", r.weights);
    archive("kv_cache_bytes", r.cache);
    archive("kv_pool_bytes", r.cache_pool);
    archive("kv_bytes_per_token", r.facts.cache_token_bytes);
    archive("kv_bytes_per_sequence", r.facts.sequence_cache_bytes);
    archive("prefill_peak_bytes", r.prefill_peak);
    archive("decode_peak_bytes", r.decode_peak);
    archive("largest_batch", r.facts.largest_batch);
    archive("prefill_seconds", r.prefill_seconds);
    archive("first_token_seconds", r.first_token_seconds);
    archive("last_token_seconds", r.last_token_seconds);
}

}  // namespace

void add_inference_json(nlohmann::ordered_json& root, const analysis::RunReport& report) {
    if (!report.inference) return;
    nlohmann::ordered_json& object = root["inference"] = nlohmann::ordered_json::object();
    fields(Writer{object}, *report.inference);
    object["token_seconds"] = report.inference->token_seconds();
    object["request_seconds"] = report.inference->request_seconds();
    object["generated_tokens_per_second"] = report.inference->tokens_per_second();
}

void parse_inference_json(const nlohmann::ordered_json& root, analysis::RunReport& report) {
    if (!root.contains("inference")) return;
    report.inference.emplace();
    fields(Reader{root["inference"]}, *report.inference);
}

}  // namespace zerosim::report
