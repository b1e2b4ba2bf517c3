// Families of models on the eager tape: what a block saves for backward, against formulas summed by hand from autograd's rules.
#include "base/error.hpp"
#include "config/model_file.hpp"
#include "model/families.hpp"
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "strategy/plan.hpp"

#include <gtest/gtest.h>

namespace zerosim::strategy {
namespace {

using model::Model;

Model shrunk(const std::string& preset, std::int64_t layers) {
    Model m = config::load_model(preset, config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}}).model;
    m.implementation = model::Implementation::huggingface;
    m.layers = layers;
    m.vocabulary = m.real_vocabulary = 1024;
    return m;
}

Scenario scenario(const std::string& preset, std::int64_t layers, std::int64_t batch) {
    Scenario s;
    s.model = shrunk(preset, layers);
    s.library = kernel::Library::cuda;
    s.cluster.device.memory_bytes = std::int64_t{1} << 40;
    s.ranks = 2;
    s.strategy.system = System::ddp;
    s.training.precision = Precision::bf16;
    s.training.micro_batch = batch;
    s.training.sequence_length = 256;
    return s;
}

std::int64_t after_forward(const Scenario& s) {
    const schedule::Schedule schedule = plan(s);
    const schedule::Program& program = schedule.program_of(0);
    const auto live = schedule::live_bytes(program, 0, program.ops.size(), 0);
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i)
        if (program.ops[i].tags.phase == schedule::Phase::backward) return live[i - 1];
    return 0;
}

/// Bytes that one more block saves for each of two more sequences' tokens: parameters, logits and what else does not depend on both cancel.
template <class Change>
std::int64_t saved_per_block(const std::string& preset, Change change, std::int64_t layers = 2) {
    std::int64_t bytes[2][2];
    for (const int more_layers : {0, 1})
        for (const int more_sequences : {0, 1}) {
            Scenario s = scenario(preset, layers + more_layers, 2 + 2 * more_sequences);
            change(s);
            bytes[more_layers][more_sequences] = after_forward(s);
        }
    return (bytes[1][1] - bytes[1][0]) - (bytes[0][1] - bytes[0][0]);
}
std::int64_t saved_per_block(const std::string& preset) { return saved_per_block(preset, [](Scenario&) {}); }

struct Sizes {
    explicit Sizes(const std::string& preset) {
        const Model m = shrunk(preset, 1);
        h = m.hidden, f = m.feed_forward, a = m.heads, q = m.heads * m.head_dim, k = m.kv_heads * m.head_dim, kv = m.kv_heads;
    }
    std::int64_t t = 2 * 256;   // tokens of the two more sequences
    std::int64_t h, f, a, q, k, kv;
    /// Attention: q, k, v, output in 2 bytes, log-sum-exp in fp32; gated feed-forward: gate, its activation, up, product.
    [[nodiscard]] std::int64_t attention() const { return t * (4 * q + 4 * k + 4 * a); }
    [[nodiscard]] std::int64_t gated() const { return t * 8 * f; }
    /// Eager RMSNorm: fp32 input, fp32 root, normalised in 2 bytes.
    [[nodiscard]] std::int64_t norm() const { return t * (4 * h + 4 + 2 * h); }
};

TEST(Families, LlamaBlockOfTransformers) {
    const Sizes s("llama3.2-1b");
    EXPECT_EQ(saved_per_block("llama3.2-1b"), 2 * s.norm() + 2 * s.t * 2 * s.h + s.attention() + s.gated());
}

TEST(Families, Qwen3NormsQueriesAndKeysOfEachHead) {
    const Sizes s("qwen3-0.6b");
    const std::int64_t head_norms = s.t * (6 * (s.q + s.k) + 4 * (s.a + s.kv));
    EXPECT_EQ(saved_per_block("qwen3-0.6b"), 2 * s.norm() + 2 * s.t * 2 * s.h + s.attention() + s.gated() + head_norms);
}

TEST(Families, Gemma2HasFourNormsInFp32) {
    const Sizes s("gemma2-2b");
    // fp32 input, root, and fp32 normalised input: the product with 1 + weight is in fp32 too.
    const std::int64_t norm = s.t * (8 * s.h + 4);
    EXPECT_EQ(saved_per_block("gemma2-2b"), 4 * norm + 2 * s.t * 2 * s.h + s.attention() + s.gated());
}

TEST(Families, PhiReadsOneNormTwice) {
    const Sizes s("phi-2");
    // LayerNorm keeps its 2-byte input, mean and root; gelu_new keeps four tensors and the next product its input.
    EXPECT_EQ(saved_per_block("phi-2"), s.t * (2 * s.h + 8) + s.t * 2 * s.h + s.attention() + s.t * 10 * s.f);
}

TEST(Families, MixtralKeepsRoutingAndGroupedRows) {
    const Sizes s("mixtral-8x7b");
    const Model m = shrunk("mixtral-8x7b", 1);
    const std::int64_t rows = s.t * m.experts.per_token;
    const std::int64_t router = s.t * 4 * m.experts.count + 8 * rows;                  // fp32 scores, chosen experts
    const std::int64_t permutations = 3 * 8 * rows;                                     // tokens, permutation and its inverse
    const std::int64_t grouped = rows * (2 * s.h + 4 * s.f + 4 * s.f + 2 * s.h + 4);   // input, both halves, activation and product, output, weight
    EXPECT_EQ(saved_per_block("mixtral-8x7b"), 2 * s.norm() + 2 * s.t * 2 * s.h + s.attention() + router + permutations + grouped);
}

TEST(Families, LatentAttentionKeepsBothWidths) {
    const Sizes s("deepseek-v2-lite");
    const Model m = shrunk("deepseek-v2-lite", 1);
    const model::LatentAttention& l = m.latent;
    const auto attention_of = [](Scenario& c) { c.model.experts = {}; };
    // Queries and keys of 192, values inside of the projection of 128 + 128, output of 128; the norm of the small vector and its input.
    const std::int64_t heads = s.t * s.a;
    const std::int64_t attention = heads * 2 * (2 * m.query_dim() + l.plain_dim + 2 * l.value_dim) + 4 * heads;
    const std::int64_t small = s.t * (6 * l.kv_rank + 4 + 2 * l.kv_rank);
    EXPECT_EQ(saved_per_block("deepseek-v2-lite", attention_of), 2 * s.norm() + 2 * s.t * 2 * s.h + attention + small + s.gated());
}

TEST(Families, AWindowCostsAMaskOfEveryLayerAndRepeatedKeys) {
    const Sizes s("mistral-7b-v0.1");
    const auto change = [](std::int64_t window) { return [window](Scenario& c) { c.model.sliding_window = window; }; };
    const std::int64_t whole = saved_per_block("mistral-7b-v0.1", change(4096)), windowed = saved_per_block("mistral-7b-v0.1", change(64));
    // A bias [sequence, sequence] in 2 bytes for each of two sequences; keys and values of every query head.
    EXPECT_EQ(windowed - whole, 2 * 2 * 256 * 256 + s.t * 4 * (s.q - s.k));
}

TEST(Families, StandardAttentionStoresScores) {
    const Sizes s("llama3.2-1b");
    const auto standard = [](Scenario& c) { c.training.standard_attention = true; };
    const std::int64_t scores = 2 * s.a * 256 * 256;   // of two sequences
    // fp32 probabilities and their 2-byte copy; keys and values of every head; copies of heads (the batch is no matrix batch); the
    // attended heads are saved once, in the layout that the projection reads; no log-sum-exp.
    EXPECT_EQ(saved_per_block("llama3.2-1b", standard) - saved_per_block("llama3.2-1b"), scores * (4 + 2) + s.t * (4 * (s.q - s.k) - 4 * s.a));
}

TEST(Families, StandardAttentionOfGpt2InItsOwnDtypes) {
    const Sizes s("gpt2-124m");
    const std::int64_t scores = 2 * s.a * 256 * 256;
    const auto difference = [&](model::Implementation implementation, Precision precision) {
        const auto with = [&](bool standard) {
            return saved_per_block("gpt2-124m", [=](Scenario& c) {
                c.model.implementation = implementation;
                c.training.precision = precision;
                c.training.standard_attention = standard;
            });
        };
        return with(true) - with(false);
    };
    // No log-sum-exp; queries, keys and values are copied, and the projection's output is kept no longer.
    const std::int64_t others = -s.t * 4 * s.a;
    EXPECT_EQ(difference(model::Implementation::huggingface, Precision::bf16), scores * 2 + others);
    EXPECT_EQ(difference(model::Implementation::torch, Precision::bf16), scores * 2 + others);
    // Autocast: fp32 probabilities, and their 2-byte copy for the product with the values.
    EXPECT_EQ(difference(model::Implementation::huggingface, Precision::bf16_mixed), scores * (4 + 2) + others);
    EXPECT_EQ(difference(model::Implementation::torch, Precision::bf16_mixed), scores * (4 + 2) + others);
}

TEST(Families, DropoutKeepsAMaskOfOneByte) {
    const auto dropped = [](Scenario& c) { c.training.dropout = 0.1; };
    const Sizes s("gpt2-124m");
    EXPECT_EQ(saved_per_block("gpt2-124m", dropped) - saved_per_block("gpt2-124m"), 2 * s.t * s.h);
}

TEST(Families, MoreRanksThanExpertsPadOnlyTransformersWeights) {
    const auto gathered = [](model::Implementation implementation) {
        Scenario s = scenario("mixtral-8x7b", 1, 1);
        s.model.implementation = implementation;
        s.strategy.system = System::fsdp2;
        s.strategy.zero_stage = 3;
        s.ranks = 16;   // of 8 experts
        const schedule::Schedule schedule = plan(s);
        std::int64_t most = 0;
        const schedule::Program& program = schedule.program_of(0);
        for (const schedule::Op& op : program.ops)
            if (op.kind == schedule::OpKind::collective) most = std::max(most, schedule::message_bytes(program, program.collective_of(op)));
        return most;
    };
    const std::int64_t experts = std::int64_t{2} * 8 * 3 * 14336 * 4096;   // bytes of the block's expert weights
    const std::int64_t padded = gathered(model::Implementation::huggingface), even = gathered(model::Implementation::torch);
    EXPECT_EQ(padded - even, experts);   // 16 shards of an eighth each
}

TEST(Families, EveryPresetPlansUnderDdpAndFsdp2) {
    const config::SearchPaths paths{{ZEROSIM_SOURCE_DIR "/configs"}};
    for (const std::string& name : paths.names("models"))
        for (const auto implementation : {model::Implementation::torch, model::Implementation::huggingface})
            for (const bool sharded : {false, true}) {
                Scenario s = scenario(name, 1, 1);
                if (s.model.is_coarse()) continue;
                s.model.layers = s.model.experts.first_dense + 1;
                s.model.implementation = implementation;
                s.model.positions = 512;
                s.training.precision = Precision::bf16_mixed;
                s.training.recompute.every = sharded ? 1 : 0;
                if (sharded) {
                    s.strategy.system = System::fsdp2;
                    s.strategy.zero_stage = 3;
                }
                EXPECT_GT(after_forward(s), 0) << name;
                const auto violations = schedule::validate(plan(s));
                EXPECT_TRUE(violations.empty()) << name << ": " << violations.front().what;
            }
}

TEST(Families, OwnKernelsRefuseWhatTheyDoNotHave) {
    for (const char* name : {"qwen3-0.6b", "gemma-2b", "phi-2", "mixtral-8x7b", "deepseek-v3"}) {
        Scenario s = scenario(name, 2, 1);
        s.strategy.system = System::zerosim;
        s.model.implementation = model::Implementation::torch;
        EXPECT_THROW((void)plan(s), ConfigError) << name;
    }
}

}  // namespace
}  // namespace zerosim::strategy
