// The four constants fitted on llm-foundry's rows (docs/accuracy.md), and how far they carry: fitted with one kind of GPU, one model, or
// every other row left out, and scored on what was left out.
// usage: fit_steps [ROUNDS] [HELD ...]   a coordinate search over the mean error of the bf16 rows, all constants but those held (by the
// number of its column, from 0); prints constants, changes nothing.
#include "analysis/analyze.hpp"
#include "config/resolve.hpp"
#include "sim/simulate.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace zerosim;

namespace {

/// Bandwidth of eager kernels, slowdown beside collectives, Triton attention over FlashAttention-2, sustained clock of Ampere.
using Constants = std::array<double, 4>;
constexpr std::array<const char*, 4> kNames{"kEager", "compute-slowdown", "attention_factor", "Ampere sustained"};
constexpr Constants kShipped{0.29, 0.6, 0.525, 0.95};

struct Row {
    std::string gpu, model;
    double seconds = 0;
    cluster::Cluster cluster;
    schedule::Schedule schedule;
};

std::vector<std::string> cells_of(const std::string& line) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    return cells;
}

std::vector<std::map<std::string, std::string>> read_csv(const std::string& path) {
    std::ifstream stream(path);
    std::string line;
    std::getline(stream, line);
    const std::vector<std::string> names = cells_of(line);
    std::vector<std::map<std::string, std::string>> rows;
    while (std::getline(stream, line)) {
        const std::vector<std::string> cells = cells_of(line);
        auto& row = rows.emplace_back();
        for (std::size_t i = 0; i < std::min(names.size(), cells.size()); ++i) row[names[i]] = cells[i];
    }
    return rows;
}

std::string write_model(const std::map<std::string, std::string>& r, const std::filesystem::path& folder) {
    const std::string path = (folder / fmt::format("{}-{}.json", r.at("model"), r.at("seq_len"))).string();
    const int hidden = std::atoi(r.at("d_model").c_str());
    std::ofstream(path) << fmt::format(
        R"({{"model_type":"gpt2","n_layer":{},"n_embd":{},"n_head":{},"n_inner":{},"vocab_size":{},"n_positions":{},)"
        R"("activation_function":"gelu_pytorch_tanh","tie_word_embeddings":true,"resid_pdrop":0.0,"embd_pdrop":0.0,"attn_pdrop":0.0}})",
        r.at("n_layers"), hidden, r.at("n_heads"), 4 * hidden, r.at("vocab"), r.at("seq_len"));
    return path;
}

Row make_row(const std::map<std::string, std::string>& r, const std::filesystem::path& folder) {
    static const std::map<std::string, std::string> clusters{{"h100_80gb", "h100-sxm"}, {"a100_80gb", "a100-sxm-80gb"}, {"a100_40gb", "a100-sxm-40gb"}};
    const bool pure = r.at("fsdp_mixed_precision") == "PURE";
    const std::vector<std::string> words{"--model", write_model(r, folder), "--cluster", clusters.at(r.at("gpu")), "--ranks", r.at("gpus"),
                                         "--strategy.system", "fsdp", "--strategy.zero-stage", r.at("zero_stage"), "--train.micro-batch",
                                         r.at("micro_batch"), "--train.sequence-length", r.at("seq_len"), "--train.gradient-accumulation",
                                         r.at("grad_accum"), "--train.recompute", r.at("act_ckpt") == "True" ? "full" : "none",
                                         "--train.recompute-early-stop", pure ? "false" : "true", "--train.precision", "bf16-mixed",
                                         "--train.reduce-precision", pure ? "bf16" : "fp32"};
    const config::Resolved resolved = config::resolve({config::Command::simulate, words, {}}, {{ZEROSIM_SOURCE_DIR "/configs"}}, {});
    return {r.at("gpu"), r.at("model"), std::atof(r.at("step_time_s_derived").c_str()), resolved.scenario.cluster, strategy::plan(resolved.scenario)};
}

cluster::Cluster with(cluster::Cluster cluster, const Constants& constants) {
    cluster::MemoryEfficiency& memory = cluster.software.memory;
    const double optimizer = memory.optimizer;
    memory = {constants[0], constants[0], constants[0], constants[0], constants[0], optimizer, constants[0]};
    cluster.compute_slowdown = constants[1];
    cluster.software.attention_factor = constants[2];
    if (cluster.device.generation == "ampere") cluster.device.gemm.sustained = constants[3];
    return cluster;
}

double error(const Row& row, const Constants& constants) {
    const cluster::Cluster cluster = with(row.cluster, constants);
    return analysis::analyze(row.schedule, sim::simulate(row.schedule, cluster, 3), cluster, {}).time.step / row.seconds - 1;
}

using Chosen = std::function<bool(std::size_t)>;

double mean_error(const std::vector<Row>& rows, const Constants& constants, const Chosen& chosen) {
    double sum = 0;
    int count = 0;
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (chosen(i)) {
            sum += std::abs(error(rows[i], constants));
            ++count;
        }
    return count > 0 ? sum / count : 0.0;
}

/// All rates together and then one constant at a time, by steps that shrink. Begins 10 % off in every constant, so that it has something
/// to find.
Constants fit(const std::vector<Row>& rows, const Chosen& chosen, int rounds, const std::vector<std::size_t>& held) {
    const auto is_held = [&](std::size_t i) { return std::find(held.begin(), held.end(), i) != held.end(); };
    Constants best = kShipped;
    for (std::size_t i = 0; i < best.size(); ++i)
        if (!is_held(i)) best[i] *= 0.9;
    double least = mean_error(rows, best, chosen), step = 0.08;
    const auto better = [&](const std::vector<std::size_t>& moved, double factor) {
        const Constants before = best;
        for (const std::size_t i : moved)
            if (!is_held(i)) best[i] *= factor;
        const double now = mean_error(rows, best, chosen);
        if (now < least) {
            least = now;
            return true;
        }
        best = before;
        return false;
    };
    for (int round = 0; round < rounds; ++round, step *= 0.6)
        for (const std::vector<std::size_t>& moved : {std::vector<std::size_t>{0, 2, 3}, {2}, {3}, {0}, {1}})
            for (const double factor : {1 + step, 1 / (1 + step)})
                while (better(moved, factor)) {}
    return best;
}

void report(const std::string& what, const std::vector<Row>& rows, const Constants& constants, const Chosen& fitted_on) {
    fmt::print("{:<28}", what);
    for (std::size_t i = 0; i < constants.size(); ++i) fmt::print(" {} {:.3f}", kNames[i], constants[i]);
    fmt::print("   on these {:.2f} %, on the others {:.2f} %\n", 100 * mean_error(rows, constants, fitted_on),
               100 * mean_error(rows, constants, [&](std::size_t i) { return !fitted_on(i); }));
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 4;
    std::vector<std::size_t> held;
    for (int i = 2; i < argc; ++i) held.push_back(static_cast<std::size_t>(std::atoi(argv[i])));
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / "zerosim-fit-steps";
    std::filesystem::create_directories(folder);
    std::vector<Row> rows;
    for (const auto& r : read_csv(ZEROSIM_SOURCE_DIR "/tests/truth/time/llmfoundry.csv"))
        if (r.at("precision").find("fp8") == std::string::npos) rows.push_back(make_row(r, folder));
    std::filesystem::remove_all(folder);
    const Chosen all = [](std::size_t) { return true; };
    report("shipped", rows, kShipped, all);
    report("fitted on all", rows, fit(rows, all, rounds, held), all);
    for (const char* gpu : {"h100_80gb", "a100_80gb", "a100_40gb"}) {
        const Chosen others = [&](std::size_t i) { return rows[i].gpu != gpu; };
        report(fmt::format("without {}", gpu), rows, fit(rows, others, rounds, held), others);
    }
    std::set<std::string> models;
    for (const Row& row : rows) models.insert(row.model);
    for (const std::string& model : models) {
        const Chosen others = [&](std::size_t i) { return rows[i].model != model; };
        report(fmt::format("without {}", model), rows, fit(rows, others, rounds, held), others);
    }
    for (const std::size_t half : {std::size_t{0}, std::size_t{1}}) {
        const Chosen mine = [=](std::size_t i) { return i % 2 == half; };
        report(fmt::format("every other row, {}", half), rows, fit(rows, mine, rounds, held), mine);
    }
}
