// The `inference` object: JSON and back, the table, and the figures of a simulated job.
#include "analysis/analyze.hpp"
#include "config/cluster_file.hpp"
#include "config/model_file.hpp"
#include "report/json.hpp"
#include "report/table.hpp"
#include "sim/simulate.hpp"
#include "strategy/inference/cache_size.hpp"
#include "strategy/plan.hpp"

#include <gmock/gmock.h>

namespace zerosim::report {
namespace {

using ::testing::HasSubstr;

strategy::Scenario serving(strategy::Inference::Cache cache) {
    const config::SearchPaths paths{{ZEROSIM_SOURCE_DIR "/configs"}};
    strategy::Scenario s;
    s.model = config::load_model("llama3.2-1b", paths).model;
    s.cluster = config::load_cluster("h100-sxm", paths);
    s.library = kernel::Library::cuda;
    s.inference.enabled = true;
    s.inference.batch = 4;
    s.inference.prompt_tokens = 1000;
    s.inference.new_tokens = 101;
    s.inference.cache = cache;
    return s;
}

analysis::RunReport simulated(const strategy::Scenario& s) {
    const schedule::Schedule schedule = strategy::plan(s);
    const trace::Trace trace = sim::simulate(schedule, s.cluster, 3);
    analysis::RunReport report = analysis::analyze(schedule, trace, s.cluster, {});
    report.inference = analysis::inference_report(
        schedule, trace, {s.inference.batch, s.inference.prompt_tokens, s.inference.new_tokens, strategy::cached_token_bytes(s) * s.model.layers,
                          strategy::sequence_cache_bytes(s, 1101), 7});
    return report;
}

TEST(InferenceReport, MemoryByPartAndTimeByTokens) {
    const strategy::Scenario s = serving(strategy::Inference::Cache::contiguous);
    const analysis::RunReport report = simulated(s);
    const analysis::InferenceReport& r = *report.inference;
    EXPECT_EQ(r.weights, 2 * parameter_count(s.model));
    EXPECT_EQ(r.cache, 4 * 1101 * 32768);
    EXPECT_EQ(r.cache_pool, 0);
    EXPECT_GT(r.prefill_peak, r.weights);
    EXPECT_GT(r.decode_peak, r.weights + r.cache);
    EXPECT_GT(r.prefill_seconds, r.first_token_seconds);
    EXPECT_GE(r.last_token_seconds, r.first_token_seconds);
    EXPECT_DOUBLE_EQ(r.request_seconds(), r.prefill_seconds + 100 * r.token_seconds());
    EXPECT_DOUBLE_EQ(r.tokens_per_second(), 404 / r.request_seconds());
    // A token reads all weights once: it cannot be faster than the memory.
    EXPECT_GT(r.first_token_seconds, static_cast<double>(r.weights) / s.cluster.device.memory_bytes_per_second);
}

TEST(InferenceReport, APoolTakesWhatIsLeft) {
    const strategy::Scenario s = serving(strategy::Inference::Cache::paged);
    const analysis::InferenceReport r = *simulated(s).inference;
    EXPECT_GT(r.cache_pool, r.cache);
    const double used = static_cast<double>(std::max(r.prefill_peak, r.decode_peak) + s.cluster.device.context_bytes);
    EXPECT_NEAR(used / static_cast<double>(s.cluster.device.memory_bytes), s.inference.memory_utilization, 1e-3);
}

TEST(InferenceReport, JsonAndBackAndTheTable) {
    const analysis::RunReport report = simulated(serving(strategy::Inference::Cache::contiguous));
    const std::string text = render_json(report);
    EXPECT_EQ(render_json(parse_json(text, "test")), text);
    EXPECT_THAT(text, HasSubstr("\"kv_bytes_per_token\": 32768"));
    const std::string table = render_table(report);
    EXPECT_THAT(table, HasSubstr("INFERENCE"));
    EXPECT_THAT(table, HasSubstr("4 sequence(s) of 1101 tokens, 32,768 bytes a token"));
    EXPECT_THAT(table, HasSubstr("at most 7 such sequences at once"));
}

}  // namespace
}  // namespace zerosim::report
