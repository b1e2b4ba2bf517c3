#include "strategy/inference/planner.hpp"

#include "schedule/memory.hpp"
#include "strategy/empty_schedule.hpp"
#include "strategy/inference/cache_size.hpp"
#include "strategy/inference/check.hpp"
#include "strategy/inference/key_value_cache.hpp"
#include "strategy/inference/sharded_weights.hpp"
#include "strategy/torch/quantization.hpp"
#include "strategy/torch/tensor_operations.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::strategy {
namespace {

using schedule::Phase;
using schedule::Role;
using schedule::StreamKind;
using torch::LanguageModel;
using torch::Parameter;
using torch::Tape;
using torch::Value;

/// transformers' modules; paged: those of a serving engine, whose norms, rotations and gates are fused kernels.
Scenario served(const Scenario& scenario) {
    Scenario s = scenario;
    s.model.implementation = model::Implementation::huggingface;
    s.training.recompute = {};
    s.training.dropout = 0;
    s.training.micro_batch = s.inference.batch;
    s.training.sequence_length = s.inference.prompt_tokens;
    return s;
}

void allocate_weights(Tape& tape, LanguageModel& model, double density) {
    for (Parameter& p : model.parameters()) {
        tape.program.tags.layer = static_cast<std::int16_t>(p.layer);
        const std::int64_t bytes = torch::stored_bytes(p, density);
        const StorageId storage = tape.program.storage(p.name, bytes, tape.options.pool, Role::parameter, p.layer);
        tape.program.alloc(storage);
        const bool packed = p.format != WeightFormat::full;
        p.value.tensor = packed ? tape.program.tensor(p.name, storage, DType::uint8, 1, bytes) : tape.view(p.name, storage, p.dtype, p.rows, p.columns);
        tape.program.fill(tape.options.stream, p.value.tensor, 0);   // values come from a checkpoint
        p.value.dtype = p.dtype;
        p.value.rows = p.rows;
        p.value.columns = p.columns;
        if (!packed) continue;
        const auto parts = torch::packed_parts(p.format, p.rows, p.columns);
        for (std::size_t i = 1; i < parts.size(); ++i) p.statistics.push_back(tape.memory.allocate(parts[i].name, parts[i].bytes, tape.options.pool, Role::parameter));
    }
    tape.program.tags.layer = -1;
}

// vLLM's max_num_batched_tokens: 8,192 for its server on an H100 [vllm/engine/arg_utils.py].
constexpr std::int64_t kBatchedTokens = 8192;

class Serving {
public:
    Serving(Tape& tape, LanguageModel& model, const Scenario& scenario, std::vector<StreamId> streams)
        : tape_(tape), model_(model), scenario_(scenario), streams_(std::move(streams)), cache_(tape, scenario) {
        model_.flash_windows = scenario.inference.cache == Inference::Cache::paged;
        model_.cache = [this](int layer, Value& keys, Value& values) { cache_.update(layer, keys, values); };
    }

    void allocate_pool(std::int64_t bytes) { cache_.allocate_pool(bytes); }
    void use(ShardedWeights& weights) { weights_ = &weights; }

    /// One batch from prompts to the last token.
    void run() {
        const Inference& i = scenario_.inference;
        const std::int64_t total = i.prompt_tokens + i.new_tokens;
        prefill();
        if (i.new_tokens > 1) {
            decode(kFirstToken, i.prompt_tokens + 1);
            tag(kBetween);
            cache_.grow(total - 1);
            decode(kLastToken, total);
        }
        tag(kLastToken);
        cache_.drop();
        std::vector<OpId> last;
        for (const StreamId stream : streams_)
            if (const OpId op = tape_.program.last(stream); op.valid()) last.push_back(op);
        tape_.program.host_wait(tape_.options.stream, last);
    }

private:
    void tag(int part) { tape_.program.tags = {.micro_batch = static_cast<std::int16_t>(part), .phase = Phase::forward}; }

    /// A server takes as many whole prompts at once as its budget of tokens holds; transformers takes all.
    void prefill() {
        tag(kPrefill);
        const Inference& i = scenario_.inference;
        const bool paged = i.cache == Inference::Cache::paged;
        const std::int64_t at_once = paged ? std::clamp<std::int64_t>(kBatchedTokens / i.prompt_tokens, 1, i.batch) : i.batch;
        cache_.begin(i.prompt_tokens, false);
        for (std::int64_t done = 0; done < i.batch; done += at_once) forward(std::min(at_once, i.batch - done), i.prompt_tokens, 0);
    }

    void decode(int part, std::int64_t tokens) {
        tag(part);
        cache_.begin(tokens, true);
        forward(scenario_.inference.batch, 1, tokens);
    }

    /// The forward of `length` tokens of each of `batch` sequences; logits of the last ones alone, in fp32 for the choice.
    void forward(std::int64_t batch, std::int64_t length, std::int64_t keys) {
        model_.set_queries(batch, length, keys);
        const Value ids = tape_.make("tokens", 1, batch * length, DType::int64, Role::input);
        tape_.program.input(tape_.options.stream, ids.tensor, ids.tensor);
        Value last;
        if (weights_ != nullptr) weights_->begin_forward();
        {
            const Value normal = model_.hidden(ids, weights_ != nullptr ? weights_->hooks() : torch::BlockHooks{});
            const Value positions = tape_.make("last_positions", batch, 1, DType::int64, Role::input);
            tape_.elementwise("last_positions", {}, positions, 0);
            last = torch::gather_rows(tape_, normal, positions);
        }
        const Value logits = model_.logits(last);
        if (weights_ != nullptr) weights_->end_forward();
        const Value wide = torch::to(tape_, logits, DType::fp32);
        const Value probabilities = torch::softmax(tape_, wide);
        const Value chosen = tape_.make("next_tokens", batch, 1, DType::int64, Role::input);
        tape_.elementwise("argmax", {probabilities.tensor}, chosen, 1);
    }

    Tape& tape_;
    LanguageModel& model_;
    const Scenario& scenario_;
    std::vector<StreamId> streams_;
    KeyValueCache cache_;
    ShardedWeights* weights_ = nullptr;   // null: this rank has all
};

torch::TapeOptions options_of(const Scenario& s, const fsdp2::Comm& comm) {
    torch::TapeOptions options{comm.compute_pool, comm.compute};
    options.device = torch::device_kernels(s);
    options.library = s.library;
    options.threads = s.compute_threads;
    options.compiled = s.inference.cache == Inference::Cache::paged;
    return options;
}

schedule::Schedule build(const Scenario& scenario, std::int64_t pool_bytes) {
    schedule::Schedule schedule = empty_schedule(scenario);
    schedule::ProgramBuilder program(schedule);
    torch::Memory memory(program);
    const bool sharded = scenario.strategy.zero_stage == 3;
    fsdp2::Comm comm;
    if (sharded) {
        comm = inference_streams(schedule, program, scenario);
    } else {
        schedule.axes.push_back({schedule.names.intern("data"), scenario.ranks, 1});
        comm.compute = program.stream("default", StreamKind::compute);
        comm.compute_pool = program.pool("default", comm.compute);
    }
    Tape tape(memory, options_of(scenario, comm));
    LanguageModel model(tape, scenario);
    ShardedWeights weights(tape, comm, model, scenario);
    sharded ? weights.allocate() : allocate_weights(tape, model, scenario.model.weight_density);
    model.make_buffers();
    std::vector<StreamId> streams{comm.compute};
    if (sharded) streams.insert(streams.end(), {comm.copy_in, comm.gather});
    Serving serving(tape, model, scenario, streams);
    if (sharded) serving.use(weights);
    if (pool_bytes > 0) serving.allocate_pool(pool_bytes);
    program.host_wait(comm.compute, std::vector{OpId{program.size() - 1}});
    program.begin_first();
    serving.run();
    program.begin_steady();
    serving.run();
    memory.close();
    schedule.roles.push_back({program.finish(), 0, scenario.ranks});
    return schedule;
}

}  // namespace

std::int64_t paged_pool_bytes(const Scenario& scenario) {
    const Scenario s = served(scenario);
    const Inference& i = s.inference;
    const std::int64_t needed = i.batch * sequence_cache_bytes(s, i.prompt_tokens + i.new_tokens);
    const schedule::MemoryProfile profile = schedule::memory_profile(build(s, needed), 0);
    // Without the pool: weights and what one batch needs beside them.
    const std::int64_t others = std::max({profile.init_peak, profile.first_step_peak, profile.peak}) - needed;
    const auto usable = static_cast<std::int64_t>(i.memory_utilization * static_cast<double>(s.cluster.device.memory_bytes));
    const std::int64_t block = i.block_size * cached_token_bytes(s);   // of one layer
    return std::max(needed, (usable - s.cluster.device.context_bytes - others) / block * block);
}

schedule::Schedule plan_inference(const Scenario& scenario) {
    check_inference(scenario);
    return build(served(scenario), scenario.inference.cache == Inference::Cache::paged ? paged_pool_bytes(scenario) : 0);
}

}  // namespace zerosim::strategy
