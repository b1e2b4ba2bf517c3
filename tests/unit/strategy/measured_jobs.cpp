#include "unit/strategy/measured_jobs.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <stdexcept>

namespace zerosim::tests {
namespace {

using nlohmann::json;

struct Shape {
    const char* name;
    model::Family family;
    std::int64_t layers, hidden, heads, kv_heads, feed_forward, vocabulary, positions;
};
constexpr Shape kShapes[] = {{"gpt2-124m", model::Family::gpt2, 12, 768, 12, 12, 3072, 50257, 1024},
                             {"gpt2-350m", model::Family::gpt2, 24, 1024, 16, 16, 4096, 50257, 1024},
                             {"gpt2-774m", model::Family::gpt2, 36, 1280, 20, 20, 5120, 50257, 1024},
                             {"gpt2-1.5b", model::Family::gpt2, 48, 1600, 25, 25, 6400, 50257, 1024},
                             {"gpt3-2.7b", model::Family::gpt2, 32, 2560, 32, 32, 10240, 50257, 2048},
                             {"llama3.2-1b", model::Family::llama, 16, 2048, 32, 8, 8192, 128256, 8192},
                             {"llama3.2-3b", model::Family::llama, 28, 3072, 24, 8, 8192, 128256, 8192},
                             {"llama2-7b", model::Family::llama, 32, 4096, 32, 32, 11008, 32000, 4096},
                             {"llama3.1-8b", model::Family::llama, 32, 4096, 32, 8, 14336, 128256, 8192},
                             {"qwen2.5-0.5b", model::Family::llama, 24, 896, 14, 2, 4864, 151936, 8192}};

model::Model model_of(const json& row) {
    for (const Shape& shape : kShapes) {
        if (row.at("model") != shape.name) continue;
        model::Model m;
        m.name = shape.name;
        m.family = shape.family;
        m.implementation = row.contains("hf") ? model::Implementation::huggingface : model::Implementation::torch;
        m.layers = shape.layers;
        m.hidden = shape.hidden;
        m.heads = shape.heads;
        m.kv_heads = shape.kv_heads;
        m.head_dim = shape.hidden / shape.heads;
        m.feed_forward = shape.feed_forward;
        m.vocabulary = m.real_vocabulary = shape.vocabulary;
        m.positions = shape.positions;
        m.tied = row.at("tied_embeddings");
        return m;
    }
    throw std::runtime_error("no shape of model " + row.at("model").dump());
}

strategy::Strategy strategy_of(const json& row) {
    strategy::Strategy s;
    s.zero_stage = row.at("stage");
    s.system = s.zero_stage > 1 ? strategy::System::fsdp2 : strategy::System::ddp;
    s.shard_group = row.value("hsdp", 0);
    s.gradient_as_bucket_view = row.value("gabv", false);
    if (row.value("offload", false)) s.parameters_at = s.optimizer_at = strategy::Placement::cpu;
    return s;
}

strategy::Training training_of(const json& row) {
    strategy::Training t;
    t.micro_batch = row.at("mb");
    t.sequence_length = row.at("seq");
    t.gradient_accumulation = row.value("accum", 1);
    const std::string recompute = row.value("ac", "none"), dtype = row.value("dtype", "mixed"), optimizer = row.value("opt", "adamw");
    t.recompute.every = recompute == "full" ? 1 : recompute == "every2" ? 2 : 0;
    t.precision = dtype == "mixed" ? strategy::Precision::bf16_mixed : dtype == "bf16" ? strategy::Precision::bf16 : strategy::Precision::fp32;
    t.optimizer = optimizer == "foreach" ? strategy::Optimizer::adamw_foreach
                  : optimizer == "sgd"   ? strategy::Optimizer::sgd_momentum
                                         : strategy::Optimizer::adamw;
    t.lora_rank = row.value("lora", 0);
    t.lora_targets = {"q", "k", "v", "o"};
    t.clip_gradients = row.value("clip", false) ? 1.0 : 0.0;
    return t;
}

}  // namespace

std::vector<MeasuredJob> measured_jobs() {
    std::ifstream file(ZEROSIM_SOURCE_DIR "/tests/truth/memory/pytorch-memory.jsonl");
    std::vector<MeasuredJob> jobs;
    for (std::string line; std::getline(file, line);) {
        const json row = json::parse(line);
        if (row.contains("source")) continue;
        MeasuredJob& job = jobs.emplace_back();
        job.text = line;
        job.scenario.model = model_of(row);
        job.scenario.strategy = strategy_of(row);
        job.scenario.training = training_of(row);
        job.scenario.ranks = row.at("ws");
        job.scenario.library = kernel::Library::cuda;
        job.scenario.cluster.device.generation = "hopper";   // an H200
        job.parameters = row.at("n_params");
        job.after_init = row.at("init_alloc");
        job.forward = row.at("peak_fwd");
        job.backward = row.at("peak_bwd");
        job.optimizer = row.at("peak_opt");
        job.after_step = row.at("after_step");
        job.peak = row.at("peak");
        job.reserved = row.at("reserved");
    }
    return jobs;
}

}  // namespace zerosim::tests
