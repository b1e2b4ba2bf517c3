#include "config/resolve.hpp"

#include "base/error.hpp"
#include "config/cluster_file.hpp"
#include "config/model_file.hpp"
#include "config/training_options.hpp"

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
    m.implementation = implementation_of(values);
    if (m.implementation != model::Implementation::torch && values.text("strategy.system") == "zerosim") {
        values.refuse("model.implementation", "concerns the frameworks' planners; strategy.system zerosim has its own kernels");
    }
    const std::int64_t multiple = values.integer("model.vocabulary-multiple");
    m.vocabulary = (m.real_vocabulary + multiple - 1) / multiple * multiple;
    values.set_default("train.sequence-length", std::to_string(m.positions), loaded.origin);
    if (values.integer("train.sequence-length") > m.positions) {
        values.refuse("train.sequence-length", fmt::format("is more than the {} positions of model {}", m.positions, m.name));
    }
    if (m.sliding_window > 0 && values.integer("train.sequence-length") > m.sliding_window) {
        values.refuse("train.sequence-length",
                      fmt::format("is more than the attention window of {} ({} tokens); windowed attention is not "
                                  "implemented yet",
                                  m.name, m.sliding_window));
    }
    return loaded;
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
        const bool own = cluster.device.is_cpu || system == "zerosim";
        values.set("cluster.software", own ? "none" : system == "fsdp" ? "torch-2.0" : published, "from strategy.system " + system);
    }
    const std::string& name = values.text("cluster.software");
    cluster::Software software = name == "none" ? cluster::Software{} : cluster::software(name);
    software.compiled = values.boolean("train.compile");
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

/// Whose kernels the schedule is for: a run's by the device, otherwise the cluster's.
kernel::Library library_of(Command command, const Values& values, const cluster::Cluster& cluster, const Machine& machine) {
    const std::string& device = values.text("device");
    if (command == Command::run) {
        if (device == "cuda" && !machine.cuda) {
            throw EnvironmentError(
                fmt::format("{}: device 'cuda': there is no CUDA device, or this build has none", values.at("device").origin));
        }
        return device == "cuda" || (device == "auto" && machine.cuda) ? kernel::Library::cuda : kernel::Library::host;
    }
    const bool host = cluster.device.is_cpu;
    if (device != "auto" && (device == "cpu") != host) {
        values.refuse("device", fmt::format("contradicts cluster {}, whose devices are {}s", cluster.name, host ? "CPU" : "GPU"));
    }
    return host ? kernel::Library::host : kernel::Library::cuda;
}

void settle_threads(Values& values, const Machine& machine, std::int64_t ranks) {
    if (values.integer("compute-threads") != 0) return;
    const std::int64_t sharing = std::max<std::int64_t>(1, machine.local_ranks.value_or(ranks));
    const std::int64_t threads = std::max<std::int64_t>(1, machine.cores / sharing);
    values.set("compute-threads", std::to_string(threads), fmt::format("{} cores / {} ranks", machine.cores, sharing));
}

/// Values that follow from others, so that what is shown is what is done.
void settle_shown(Values& values, const strategy::Scenario& scenario) {
    values.set_default("strategy.shard-group",
                       std::to_string(scenario.strategy.shard_group == 0 ? scenario.ranks : scenario.strategy.shard_group),
                       "world size");
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

} // namespace

Resolved resolve(Command command, Values values, const SearchPaths& paths, const Machine& machine) {
    Resolved resolved;
    const std::int64_t ranks = ranks_of(values, machine);
    settle_batch(values, ranks);
    check_shard_group(values, ranks);
    settle_threads(values, machine, ranks);
    LoadedModel loaded = model_of(values, paths);
    if (values.text("train.data").empty()) {
        if (const auto docs = paths.docs()) values.set("train.data", docs->string(), "default");
    }
    strategy::Scenario& s = resolved.scenario;
    s.model = std::move(loaded.model);
    s.cluster = cluster_of(values, paths);
    s.cluster.software = software_of(values, s.cluster);
    s.strategy = strategy_of(values);
    s.training = training_of(values);
    s.ranks = ranks;
    s.collective_order = strategy::CollectiveOrder::rank;
    s.library = library_of(command, values, s.cluster, machine);
    s.compute_threads = static_cast<int>(values.integer("compute-threads"));
    resolved.run = run_options_of(values);
    if (resolved.run.inject && resolved.run.inject->rank >= ranks)
        values.refuse("inject", fmt::format("names a rank beyond the {} ranks", ranks));
    const bool framework = s.strategy.system == strategy::System::ddp || s.strategy.system == strategy::System::fsdp2;
    if (command == Command::run && framework) values.refuse("strategy.system", "is simulated only so far: zerosim has no kernels for PyTorch's eager modules");
    settle_shown(values, s);
    for (const Value& value : values.all()) {
        if (concerns_scenario(*find_option(value.key))) resolved.values.push_back(value);
    }
    resolved.notes = std::move(loaded.notes);
    return resolved;
}

Resolved resolve(const Request& request, const SearchPaths& paths, const Machine& machine) {
    std::vector<std::string> folders;
    for (const auto& root : paths.configs) folders.push_back((root / "scenarios").string());
    Reading reading = read_values(request, folders);
    Resolved resolved = resolve(request.command, std::move(reading.values), paths, machine);
    resolved.positionals = std::move(reading.positionals);
    resolved.warnings = std::move(reading.warnings);
    return resolved;
}

} // namespace zerosim::config
