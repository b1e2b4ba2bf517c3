#include "config/resolve.hpp"

#include "config/allocator_options.hpp"

#include "base/error.hpp"
#include "base/transport.hpp"
#include "cluster/forced_path.hpp"
#include "config/cluster_file.hpp"
#include "config/cluster_gaps.hpp"
#include "config/accelerate_file.hpp"
#include "config/deepspeed_file.hpp"
#include "config/deepspeed_options.hpp"
#include "config/gpu_preset.hpp"
#include "config/host_threads.hpp"
#include "config/job_options.hpp"
#include "config/inference_options.hpp"
#include "config/model_file.hpp"
#include "config/torchtitan_file.hpp"
#include "config/residual_file.hpp"
#include "config/training_options.hpp"
#include "strategy/check_model.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace zerosim::config {
namespace {

model::Implementation implementation_of(const Values& values) {
    const std::string& text = values.text("model.implementation");
    return text == "huggingface" ? model::Implementation::huggingface
           : text == "megatron"  ? model::Implementation::megatron
                                 : model::Implementation::torch;
}

LoadedModel model_of(Values& values, const SearchPaths& paths) {
    LoadedModel loaded;
    try {
        loaded = load_model(values.text("model"), paths);
    } catch (const ConfigError& error) {
        throw ConfigError(fmt::format("{}: {}", values.at("model").origin, error.what()));
    }
    model::Model& m = loaded.model;
    if (values.text("strategy.system") == "megatron") values.set_default("model.implementation", "megatron", "from strategy.system megatron");
    m.implementation = implementation_of(values);
    if (values.given("model.layers")) m.layers = values.integer("model.layers");
    values.set_default("model.layers", std::to_string(m.layers), loaded.origin);
    if (m.implementation != model::Implementation::torch && values.text("strategy.system") == "zerosim" && values.text("mode") == "train") {
        values.refuse("model.implementation", "concerns the frameworks' planners; strategy.system zerosim has its own kernels");
    }
    const std::int64_t multiple = values.integer("model.vocabulary-multiple");
    m.vocabulary = (m.real_vocabulary + multiple - 1) / multiple * multiple;
    m.weight_density = values.real("model.weight-density");
    values.set_default("train.sequence-length", std::to_string(m.positions), loaded.origin);
    if (values.integer("train.sequence-length") > m.positions) {
        values.refuse("train.sequence-length",
                      m.is_coarse() ? fmt::format("means nothing for model {}: its rules count samples (train.micro-batch), whatever their length", m.name)
                                    : fmt::format("is more than the {} positions of model {}", m.positions, m.name));
    }
    return loaded;
}

/// What the modelled software does with a model that its user may not expect.
void note_model(const strategy::Scenario& s, std::vector<std::string>& notes) {
    if (!strategy::has_eager_modules(s)) return;
    if (s.model.attention_softcap > 0 && !s.training.standard_attention)
        notes.push_back(fmt::format("{}: its scores are soft-capped, which PyTorch's fused attention leaves out: train.attention standard has it", s.model.name));
    const std::int64_t ranks = s.strategy.shard_group == 0 ? s.ranks : s.strategy.shard_group;
    const bool padded = s.strategy.system == strategy::System::fsdp2 && s.model.implementation == model::Implementation::huggingface;
    if (padded && s.model.experts.count > 0 && ranks > s.model.experts.count)
        notes.push_back(fmt::format("{}: FSDP2 splits the stacked weights of {} experts along the experts, so that {} ranks gather them padded to {}; a smaller "
                                    "strategy.shard-group, or model.implementation torch (torchtitan's sharding), does not",
                                    s.model.name, s.model.experts.count, ranks, ranks));
}

/// Windows, and families that no device has kernels for.
void check_family(Command command, const Values& values, const strategy::Scenario& s) {
    const model::Model& m = s.model;
    if (m.sliding_window > 0 && s.training.sequence_length > m.sliding_window && !strategy::has_eager_modules(s) && !s.inference.enabled) {
        values.refuse("train.sequence-length",
                      fmt::format("is more than the attention window of {} ({} tokens); windowed attention is not implemented yet for strategy.system {}",
                                  m.name, m.sliding_window, values.text("strategy.system")));
    }
    if (command != Command::run) return;
    if (const std::string why = strategy::planned_only(s); !why.empty())
        values.refuse("model", fmt::format("can be simulated, not run: {}, for which zerosim has no kernels", why));
    if (s.strategy.system == strategy::System::deepspeed && s.training.precision == strategy::Precision::fp16_mixed)
        values.refuse("train.precision", "can be simulated, not run with strategy.system deepspeed: its loss scaling is not planned");
    if (s.strategy.system == strategy::System::deepspeed && !s.strategy.deepspeed.multi_rank_allreduce)
        values.refuse("strategy.multi-rank-bucket-allreduce", "can be simulated, not run: a reduction to one rank is simulated as a reduce-scatter");
}

cluster::Cluster cluster_of(Values& values, const SearchPaths& paths) {
    cluster::Cluster c;
    try {
        c = load_cluster(values.text("cluster"), paths);
    } catch (const ConfigError& error) {
        throw ConfigError(fmt::format("{}: {}", values.at("cluster").origin, error.what()));
    }
    const std::string origin = "preset " + values.text("cluster");
    const double node_gigabits = c.network.bytes_per_second * static_cast<double>(c.devices_per_node) * 8 / 1e9;
    values.set_default("cluster.gpus-per-node", std::to_string(c.devices_per_node), origin);
    if (node_gigabits > 0) values.set_default("cluster.network-gigabits-per-node", fmt::format("{:g}", node_gigabits), origin);
    c = cluster::with_devices_per_node(c, values.integer("cluster.gpus-per-node"));
    if (!values.text("cluster.network-gigabits-per-node").empty()) {
        c = cluster::with_network_gigabits_per_node(c, values.real("cluster.network-gigabits-per-node"));
    }
    c.free_communication = values.text("cluster.communication") == "free";
    return c;
}

/// The software whose kernels and host code are modelled. The `zerosim` system and CPUs have the device's own figures.
cluster::Software software_of(Values& values, const cluster::Cluster& cluster) {
    if (values.text("cluster.software") == "auto") {
        const std::string& system = values.text("strategy.system");
        // 8-bit training under FSDP2 is torchtitan's, with torchao: its stack.
        const bool torchtitan = system == "fsdp2" && values.text("train.precision") == "fp8-mixed";
        const std::string newest = torchtitan ? "torch-2.6" : "torch-2.11";
        const std::string published = cluster.published_software.empty() ? newest : cluster.published_software;
        // A paged server replays graphs of fused kernels; transformers' modules are issued one by one.
        const bool eager_inference = values.text("mode") == "inference" && values.text("inference.cache") == "contiguous";
        const bool llm_foundry = system == "fsdp" && values.text("accelerate").empty(); // accelerate's jobs run today's PyTorch
        const bool own = cluster.device.is_cpu || (system == "zerosim" && !eager_inference);
        values.set("cluster.software", own ? "none" : llm_foundry ? "torch-2.0" : published, "from strategy.system " + system);
    }
    const std::string& name = values.text("cluster.software");
    cluster::Software software = name == "none" ? cluster::Software{} : cluster::software(name);
    software.compiled = values.boolean("train.compile");
    // Known of FSDP's Python hooks; Megatron-LM starts a bucket's collective with one call.
    if (values.text("strategy.system") == "megatron") software.issue.gather_forward = software.issue.gather_backward = software.issue.reduce = 0;
    return software;
}

std::int64_t ranks_of(Values& values, const Machine& machine) {
    if (machine.launched_ranks) {
        const std::string launched = std::to_string(*machine.launched_ranks);
        if (values.given("ranks") && values.integer("ranks") != *machine.launched_ranks) {
            values.refuse("ranks", fmt::format("contradicts the {} processes that mpirun started", launched));
        }
        values.set_default("ranks", launched, "MPI");
    }
    return values.integer("ranks");
}

/// The global batch is ranks * micro-batch * accumulation: given two of the three, the third follows.
void settle_batch(Values& values, std::int64_t ranks) {
    const char* const total_key = "train.global-batch";
    if (!values.given(total_key)) {
        const std::int64_t total = ranks * values.integer("train.micro-batch") * values.integer("train.gradient-accumulation");
        values.set_default(total_key, std::to_string(total), "ranks x micro-batch x accumulation");
        return;
    }
    const std::int64_t total = values.integer(total_key);
    if (total < ranks)
        values.refuse(total_key, fmt::format("is smaller than the {} ranks: each needs at least one sequence", ranks));
    const bool micro_follows = !values.given("train.micro-batch");
    const char* const free_key = micro_follows ? "train.micro-batch" : "train.gradient-accumulation";
    const char* const set_key = micro_follows ? "train.gradient-accumulation" : "train.micro-batch";
    const std::int64_t per_rank = ranks * values.integer(set_key);
    const std::string mismatch = fmt::format("is not a multiple of {} ranks x {} {}", ranks, set_key, values.integer(set_key));
    if (total % per_rank != 0) values.refuse(total_key, mismatch);
    if (values.given(free_key) && total != per_rank * values.integer(free_key)) {
        values.refuse(total_key, fmt::format("is not {} ranks x train.micro-batch {} x train.gradient-accumulation {}", ranks,
                                             values.integer("train.micro-batch"), values.integer("train.gradient-accumulation")));
    }
    values.set_default(free_key, std::to_string(total / per_rank), "from train.global-batch");
}

void check_shard_group(const Values& values, std::int64_t ranks) {
    if (values.text("strategy.shard-group").empty()) return;
    const std::int64_t group = values.integer("strategy.shard-group");
    if (ranks % group != 0) values.refuse("strategy.shard-group", fmt::format("does not divide {} ranks", ranks));
}

/// What a run on a GPU is measured against, unless told: what calibrate found out about it, else the preset of such a device.
void settle_gpu_cluster(Values& values, const SearchPaths& paths, const Machine& machine, std::vector<std::string>& notes) {
    if (values.given("cluster") || !machine.cuda || values.text("device") == "cpu" || values.text("strategy.system") != "zerosim") return;
    if (!machine.launched_ranks && values.integer("ranks") != 1) return;   // threads have no GPUs
    const std::vector<std::string> names = cluster_names(paths);
    const auto preset = preset_of_gpu(machine.gpu_name, paths.names("clusters"));
    if (std::find(names.begin(), names.end(), "local-gpu") != names.end()) values.set("cluster", "local-gpu", "zerosim calibrate --device cuda");
    else if (preset) values.set("cluster", *preset, "preset of " + machine.gpu_name);
    else notes.push_back(fmt::format("no cluster preset is of a {}: predictions and utilization are of cluster {}; name one with --cluster", machine.gpu_name, values.text("cluster")));
}

/// Whose kernels the schedule is for: a run's by the device, otherwise the cluster's.
kernel::Library library_of(Command command, const Values& values, const cluster::Cluster& cluster, const Machine& machine) {
    const std::string& device = values.text("device");
    if (command == Command::run) {
        // The CUDA device has the kernels of the zerosim system, and one rank a process.
        const bool runs = values.text("strategy.system") == "zerosim" && (machine.launched_ranks || values.integer("ranks") == 1);
        if (device == "cuda") {
            if (!machine.cuda) throw EnvironmentError(fmt::format("{}: device 'cuda': {}", values.at("device").origin, machine.no_cuda));
            if (!runs)
                values.refuse("device", values.text("strategy.system") != "zerosim" ? "runs the zerosim system; the frameworks' schedules run on the cpu"
                                                                                   : "runs one rank a process: start the ranks with mpirun");
        }
        return device == "cuda" || (device == "auto" && machine.cuda && runs) ? kernel::Library::cuda : kernel::Library::host;
    }
    const bool host = cluster.device.is_cpu;
    if (device != "auto" && (device == "cpu") != host) {
        values.refuse("device", fmt::format("contradicts cluster {}, whose devices are {}s", cluster.name, host ? "CPU" : "GPU"));
    }
    return host ? kernel::Library::host : kernel::Library::cuda;
}

/// A run forces NCCL; what it is compared with, and what is simulated, is the cluster over that path.
cluster::Cluster over_transport(Command command, const Values& values, const cluster::Cluster& cluster, std::int64_t ranks) {
    const Transport transport = *transport_of(values.text("transport"));
    if (command == Command::run && cluster.device.is_cpu) return cluster;
    return cluster::over(cluster, transport, ranks);
}

void check_transport(Command command, const Values& values, kernel::Library library) {
    if (values.text("transport") == "auto" || command != Command::run) return;
    if (library == kernel::Library::host) values.refuse("transport", "forces NCCL's path between GPUs; this run is on the CPU, whose ranks have one way only");
    if (values.boolean("share-device") && values.text("transport") != "network")
        values.refuse("transport", "contradicts share-device: ranks that share a GPU reach each other over the network alone");
}

/// Values that follow from others, so that what is shown is what is done.
void settle_shown(Values& values, const strategy::Scenario& scenario) {
    values.set_default("strategy.shard-group",
                       std::to_string(scenario.strategy.shard_group == 0 ? scenario.ranks : scenario.strategy.shard_group),
                       "world size");
    if (scenario.strategy.system == strategy::System::deepspeed)
        values.set_default("strategy.overlap-communication", scenario.strategy.overlap_communication ? "true" : "false", "from strategy.zero-stage");
    if (scenario.strategy.system == strategy::System::zerosim) {
        values.set_default("train.reduce-precision", std::string(name(strategy::compute_dtype(scenario.training.precision))),
                           "from train.precision");
    }
}

/// Not the keys of benchmarks alone.
bool concerns_scenario(const Option& option) {
    return option.accepted_by(Command::run) || option.accepted_by(Command::simulate) || option.accepted_by(Command::compare) ||
           option.accepted_by(Command::show);
}

/// Keys of a framework's file that change nothing. One file describes a job.
void list_unused(const Values& values, Resolved& resolved) {
    std::string given;
    for (const char* const key : {"deepspeed", "accelerate", "torchtitan"}) {
        const std::string& path = values.text(key);
        if (path.empty()) continue;
        if (!given.empty()) values.refuse(key, "is a second description of the job beside --" + given);
        given = key;
        resolved.unused = given == "deepspeed"    ? read_deepspeed_file(path).unused
                          : given == "accelerate" ? read_accelerate_file(path).unused
                                                  : read_torchtitan_file(path).unused;
        for (const std::string& unused : resolved.unused) resolved.notes.push_back(fmt::format("{}: {} has no effect here", path, unused));
    }
    for (std::string& setting : settings_of_other_stages(values)) {
        resolved.notes.push_back(setting + " has no effect here");
        resolved.unused.push_back(std::move(setting));
    }
}

/// What makes figures others than one may think.
std::vector<std::string> warnings_of(Command command, const strategy::Scenario& scenario) {
    const cluster::Cluster& cluster = scenario.cluster;
    std::vector<std::string> warnings;
    for (std::string gap : {cluster_gaps(cluster, true), architecture_gap(scenario), precision_gap(scenario)})
        if (!gap.empty()) warnings.push_back(std::move(gap));
    if (command == Command::simulate && cluster.name == "local" && !cluster.measured)
        warnings.push_back("the cluster 'local' is that of another machine until zerosim calibrate has measured this one");
    if (command == Command::run && scenario.library == kernel::Library::host && !cluster.device.is_cpu)
        warnings.push_back(fmt::format("the run is on this machine's CPU, not on cluster {}: utilization, roofs, the device's memory and the prediction are that cluster's", cluster.name));
    return warnings;
}

} // namespace

Resolved resolve(Command command, Values values, const SearchPaths& paths, const Machine& machine) {
    Resolved resolved;
    check_mode(values);
    const std::int64_t ranks = ranks_of(values, machine);
    settle_batch(values, ranks);
    check_shard_group(values, ranks);
    const std::int64_t threads = settle_threads(values, machine, ranks);
    LoadedModel loaded = model_of(values, paths);
    if (values.text("train.data").empty()) {
        if (const auto docs = paths.docs()) values.set("train.data", docs->string(), "default");
    }
    strategy::Scenario& s = resolved.scenario;
    s.model = std::move(loaded.model);
    if (command == Command::run) settle_gpu_cluster(values, paths, machine, loaded.notes);
    s.cluster = cluster_of(values, paths);
    s.cluster.software = software_of(values, s.cluster);
    s.cluster = over_transport(command, values, s.cluster, ranks);
    if (command != Command::run) s.cluster.variation = variation_of(values, s.cluster, ranks, loaded.notes);   // a run varies by itself
    s.cluster.reliability = reliability_of(values);
    s.cluster.host.threads_per_rank = host_threads(threads, values, s.cluster, ranks);
    settle_deepspeed(values, s.model);
    s.strategy = strategy_of(values);
    s.training = training_of(values);
    s.ranks = ranks;
    s.inference = inference_of(values);
    if (s.inference.enabled && command == Command::run) values.refuse("mode", "inference is simulated only: zerosim has no kernels for it");
    if (s.inference.enabled) {
        s.training.micro_batch = s.inference.batch;
        s.training.sequence_length = s.inference.prompt_tokens;
    }
    s.collective_order = strategy::CollectiveOrder::rank;
    s.allocator = allocator_of(values);
    s.library = library_of(command, values, s.cluster, machine);
    check_transport(command, values, s.library);
    s.compute_threads = static_cast<int>(values.integer("compute-threads"));
    resolved.run = run_options_of(values);
    if (resolved.run.inject && resolved.run.inject->rank >= ranks)
        values.refuse("inject", fmt::format("names a rank beyond the {} ranks", ranks));
    check_family(command, values, s);
    resolved.residuals = residuals_of(s.cluster, s.training.fp8_products, paths);
    settle_shown(values, s);
    if (threads == 0 && command != Command::run && !s.cluster.device.is_cpu) show_host_threads(values, s.cluster.host.threads_per_rank);
    for (const Value& value : values.all()) {
        if (concerns_scenario(*find_option(value.key))) resolved.values.push_back(value);
    }
    resolved.notes = std::move(loaded.notes);
    note_model(s, resolved.notes);
    list_unused(values, resolved);
    resolved.warnings = warnings_of(command, s);
    return resolved;
}

Reading read_scenario(const Request& request, const SearchPaths& paths) {
    std::vector<std::string> folders;
    for (const auto& root : paths.configs) folders.push_back((root / "scenarios").string());
    return read_values(request, folders);
}

Resolved resolve(const Request& request, const SearchPaths& paths, const Machine& machine) {
    Reading reading = read_scenario(request, paths);
    Resolved resolved = resolve(request.command, std::move(reading.values), paths, machine);
    resolved.positionals = std::move(reading.positionals);
    resolved.warnings.insert(resolved.warnings.begin(), reading.warnings.begin(), reading.warnings.end());
    return resolved;
}

} // namespace zerosim::config
