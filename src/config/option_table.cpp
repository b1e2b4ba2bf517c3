#include "config/option_table.hpp"

#include <boost/program_options/value_semantic.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <utility>

namespace zerosim::config {
namespace {

constexpr std::uint16_t bits(std::initializer_list<Command> commands) {
    std::uint16_t all = 0;
    for (const Command command : commands) all = static_cast<std::uint16_t>(all | static_cast<std::uint16_t>(command));
    return all;
}
constexpr std::uint16_t kScenario = bits({Command::run, Command::simulate, Command::compare, Command::show});
constexpr std::uint16_t kRun = bits({Command::run});
constexpr std::uint16_t kLaunch = bits({Command::run, Command::collectives, Command::calibrate});

/// Adds rows of one group; each call is one line of the table.
class Table {
public:
    void group(std::string heading, std::uint16_t commands) {
        heading_ = std::move(heading);
        commands_ = commands;
    }
    Option& text(std::string key, std::string value, std::string help) {
        return add(Kind::text, std::move(key), std::move(value), std::move(help));
    }
    Option& flag(std::string key, bool value, std::string help) {
        return add(Kind::boolean, std::move(key), value ? "true" : "false", std::move(help));
    }
    Option& integer(std::string key, std::string value, double minimum, double maximum, std::string help) {
        return range(add(Kind::integer, std::move(key), std::move(value), std::move(help)), minimum, maximum);
    }
    Option& real(std::string key, std::string value, double minimum, double maximum, std::string help) {
        return range(add(Kind::real, std::move(key), std::move(value), std::move(help)), minimum, maximum);
    }
    Option& bytes(std::string key, std::string value, std::string help) {
        return add(Kind::bytes, std::move(key), std::move(value), std::move(help));
    }
    Option& choice(std::string key, std::vector<std::string> choices, std::vector<std::string> planned, std::string help) {
        Option& option = add(Kind::choice, std::move(key), choices.front(), std::move(help));
        option.choices = std::move(choices);
        option.planned = std::move(planned);
        return option;
    }
    std::vector<Option> rows;

private:
    static Option& range(Option& option, double minimum, double maximum) {
        option.minimum = minimum;
        option.maximum = maximum;
        return option;
    }
    Option& add(Kind kind, std::string key, std::string value, std::string help) {
        Option option;
        option.key = std::move(key);
        option.group = heading_;
        option.kind = kind;
        option.default_value = std::move(value);
        option.help = std::move(help);
        option.commands = commands_;
        return rows.emplace_back(std::move(option));
    }
    std::string heading_;
    std::uint16_t commands_ = 0;
};

void model_and_cluster(Table& t) {
    t.group("Model", kScenario);
    t.text("model", "gpt-mini", "preset (zerosim list models), or the path of a preset or of a Hugging Face config.json");
    t.choice("model.implementation", {"torch", "huggingface", "megatron"}, {}, "whose modules a framework's planner models");
    t.integer("model.vocabulary-multiple", "1", 1, 1 << 20, "pad embedding and head to a multiple of this many rows");
    t.choice("mode", {"train", "inference"}, {"inference"}, "what is run");

    t.group("Cluster", kScenario);
    t.text("cluster", "local", "preset (zerosim list clusters) or the path of one").commands = kScenario | kLaunch;
    t.integer("ranks", "1", 1, 1e7, "world size; under mpirun MPI's").commands =
        kScenario | bits({Command::collectives, Command::calibrate});
    Option& devices = t.integer("cluster.gpus-per-node", "", 1, 4096, "devices of a node");
    devices.default_text = "the cluster's";
    devices.commands = kScenario | bits({Command::collectives});
    Option& network = t.real("cluster.network-gigabits-per-node", "", 1e-3, 1e6, "network of a node, Gbit/s");
    network.default_text = "the cluster's";
    network.commands = kScenario | bits({Command::collectives});
    t.choice("cluster.software", {"auto", "none", "torch-2.0", "torch-2.6", "torch-2.11"}, {},
             "whose kernels and host code run; auto: none for zerosim and on CPUs, torch-2.0 for fsdp, else the cluster's or torch-2.11");
    t.choice("cluster.communication", {"modelled", "free"}, {}, "free: collectives take no time");
    t.choice("collective.order", {"rank", "library"}, {"library"}, "rank: sums in rank order, the same bits at every run");
    t.choice("device", {"auto", "cpu", "cuda"}, {}, "what kernels run on");
    t.choice("compute", {"real", "synthetic"}, {},
             "synthetic: buffers and collectives are real, kernels take their modelled time")
        .commands = kRun;
    t.integer("compute-threads", "0", 0, 4096, "threads of a rank's kernels; 0: the cores it may use, shared by the node's ranks")
        .commands = kScenario | bits({Command::calibrate});
}

void strategy(Table& t) {
    t.group("Strategy", kScenario);
    t.choice("strategy.system", {"zerosim", "ddp", "fsdp", "fsdp2", "deepspeed", "megatron"}, {}, "whose schedule is planned");
    t.integer("strategy.zero-stage", "0", 0, 3, "0: all replicated; 1: optimizer, 2: and gradients, 3: and parameters sharded");
    t.integer("strategy.shard-group", "", 1, 1e7, "ranks that share one copy of the shards").default_text = "world size";
    t.real("strategy.bucket-cap-mib", "25", 1e-3, 1 << 20, "gradients are reduced in buckets of about this size (stages 0 to 2)");
    t.integer("strategy.prefetch-depth", "1", 0, 64, "units gathered ahead of the one computing (stage 3)");
    t.flag("strategy.overlap-communication", true, "false: collectives run on the compute stream");
    t.flag("strategy.reuse-gathered", false, "save the gathers that the last use of a unit makes unnecessary (stage 3)");
    t.choice("strategy.arena", {"planned", "caching"}, {},
             "planned: offsets in one arena per pool, fixed ahead; caching: allocated as used")
        .commands = kRun | bits({Command::show});
    t.choice("strategy.offload-parameters", {"none", "cpu", "nvme"}, {"nvme"}, "where parameter shards lie (fsdp2: both)");
    t.choice("strategy.offload-optimizer", {"none", "cpu", "nvme"}, {"nvme"}, "where optimizer states lie (fsdp2: both)");
    t.flag("strategy.gradient-as-bucket-view", false, "gradients are views of the buckets (ddp)");
    for (const char* axis : {"tensor", "pipeline", "context", "expert", "sequence"}) {
        t.integer(std::string("parallel.") + axis, "1", 1, 1e5, "ranks of this axis; only 1 is built").built = false;
    }
}

void training(Table& t) {
    t.group("Training", kScenario);
    t.integer("train.micro-batch", "1", 1, 1e6, "sequences per rank and micro-batch");
    t.integer("train.sequence-length", "", 1, 1e8, "tokens of a sequence").default_text = "the model's positions";
    t.integer("train.gradient-accumulation", "1", 1, 1e6, "micro-batches of a step");
    t.integer("train.global-batch", "", 1, 1e9, "sequences of a step, all ranks; sets whichever of the two above is not given")
        .default_text = "ranks x micro-batch x accumulation";
    t.integer("train.steps", "3", 1, 1e9, "steps");
    t.choice("train.precision", {"bf16-mixed", "fp16-mixed", "bf16", "fp32", "fp8-mixed"}, {},
             "weights and activations; -mixed: fp32 masters; fp8-mixed: bf16-mixed, products of blocks in 8 bits (simulate only)");
    Option& reduce = t.choice("train.reduce-precision", {"fp32", "bf16", "fp16"}, {}, "dtype in which gradients are reduced");
    reduce.default_value.clear();
    reduce.default_text = "by system; zerosim: the compute dtype";
    t.choice("train.optimizer", {"adamw", "adamw-foreach", "sgd-momentum", "adamw-8bit"},
             {"adamw-8bit"}, "adamw: fused; adamw-foreach, sgd-momentum: systems ddp and fsdp2");
    t.real("train.learning-rate", "1e-3", 0, 1e38, "learning rate");
    t.real("train.beta1", "0.9", 0, 1, "Adam's beta 1");
    t.real("train.beta2", "0.95", 0, 1, "Adam's beta 2");
    t.real("train.epsilon", "1e-8", 0, 1, "Adam's epsilon");
    t.real("train.weight-decay", "0.1", 0, 1e3, "decoupled weight decay, of matrices only");
    t.real("train.clip-gradients", "0", 0, 1e9, "global gradient norm to clip to; 0: off");
    t.real("train.initial-loss-scale", "65536", 1, 4294967296.0, "loss scale of fp16-mixed at the first step");
    t.text("train.recompute", "none", "none | full | every:K (blocks 0, K, 2K, ...) | selective (all but attention and every second product), computed again in backward");
    t.flag("train.recompute-early-stop", true, "recomputation ends at the last tensor that backward needs");
    t.choice("train.attention", {"flash", "standard"}, {"standard"}, "flash: scores are never stored");
    t.flag("train.compile", false, "torch.compile of each block (ddp, fsdp2)");
    t.real("train.dropout", "0", 0, 0.999, "probability to drop, after embedding, attention and feed-forward");
    t.integer("train.seed", "0", 0, 9e18, "of weights and dropout");
    t.integer("train.lora-rank", "0", 0, 65536, "rank of LoRA adapters, all else frozen (ddp, fsdp2); 0: none");
    t.text("train.lora-targets", "q,k,v,o", "linear layers of a block that get adapters");
    t.text("train.data", "", "a file (bytes are tokens), a folder of .md files, or 'chain'").default_text = "zerosim's own docs";
    t.choice("train.init", {"normal", "hash"}, {}, "initial weights; hash: those of the reference trajectories");
}

void running(Table& t) {
    t.group("Run", kRun);
    t.integer("timeout-seconds", "120", 1, 1e7, "the watchdog: a collective that waits longer ends the job").commands =
        bits({Command::run, Command::collectives});
    t.text("inject", "", "a fault, for tests and drills: rank:op:throw|hang|slow|exit").default_text = "none";
    t.flag("trace", true, "record when each op began and ended");
    t.flag("check-numerics", false, "look for NaN and infinity after every kernel");

    t.group("Benchmarks", bits({Command::collectives, Command::calibrate}));
    t.bytes("minimum-bytes", "1M", "smallest message; M = MiB, MB = decimal").commands = bits({Command::collectives});
    t.bytes("maximum-bytes", "64M", "largest message").commands = bits({Command::collectives});
    t.text("sizes", "", "message sizes, comma-separated, instead of minimum-bytes to maximum-bytes").commands =
        bits({Command::collectives});
    t.integer("step-factor", "2", 2, 1024, "from one message size to the next").commands = bits({Command::collectives});
    t.choice("kind", {"all", "all-reduce", "all-gather", "reduce-scatter", "broadcast", "all-to-all"}, {}, "which collectives")
        .commands = bits({Command::collectives});
    t.choice("type", {"fp32", "bf16", "fp16", "fp64"}, {}, "of the elements").commands = bits({Command::collectives});
    t.flag("predict", false, "do not communicate: the cost model's times on the cluster").commands = bits({Command::collectives});
    t.flag("compare", false, "measure, and print the cost model's times beside").commands = bits({Command::collectives});
    t.integer("stride", "1", 1, 1e6, "ranks of the predicted group are this far apart (e.g. one device of each node)").commands =
        bits({Command::collectives});
    t.integer("repeats", "30", 1, 1e6, "timed repeats; the median is reported");

    t.group("Checks", kScenario);
    t.flag("explain", false, "say where each figure comes from").commands =
        bits({Command::run, Command::simulate, Command::compare});
    t.text("fail-if", "", "exit code 1 if this holds, e.g. 'memory.peak_allocated_bytes > 80e9'").commands =
        bits({Command::run, Command::simulate});
    t.real("tolerance", "", 0, 1e9, "exit code 1 if figures differ relatively by more").commands = bits({Command::compare});

    t.group("Output",
            kScenario | bits({Command::collectives, Command::calibrate, Command::report, Command::list, Command::doctor}));
    t.choice("format", {"table", "json", "csv"}, {}, "of the result on stdout");
    t.text("output", "", "write the result to this file instead").default_text = "stdout";
    t.text("perfetto", "", "write a trace for ui.perfetto.dev to this file").commands =
        bits({Command::run, Command::simulate, Command::report});
    t.flag("schedule", false, "print the planned operations").commands = bits({Command::show});
    t.flag("partition", false, "print which rank owns which range of which tensor").commands = bits({Command::show});
}

/// A pointer to the rows, made once: the table is constant.
std::vector<Option> make_table() {
    Table table;
    model_and_cluster(table);
    strategy(table);
    training(table);
    running(table);
    return std::move(table.rows);
}

constexpr std::array<std::pair<Command, std::string_view>, 9> kNames{{
    {Command::run, "run"},
    {Command::simulate, "simulate"},
    {Command::compare, "compare"},
    {Command::collectives, "collectives"},
    {Command::calibrate, "calibrate"},
    {Command::report, "report"},
    {Command::list, "list"},
    {Command::show, "show"},
    {Command::doctor, "doctor"},
}};

} // namespace

std::optional<Command> command_of(std::string_view text) {
    for (const auto& [command, command_name] : kNames) {
        if (command_name == text) return command;
    }
    return std::nullopt;
}

std::string_view name(Command command) {
    for (const auto& [known, command_name] : kNames) {
        if (known == command) return command_name;
    }
    return "?";
}

std::span<const Command> all_commands() {
    static constexpr auto commands = [] {
        std::array<Command, kNames.size()> all{};
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = kNames[i].first;
        return all;
    }();
    return commands;
}

std::string Option::environment_name() const {
    std::string text = "ZEROSIM_" + key;
    for (char& c : text) c = c == '.' || c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
}

const std::vector<Option>& option_table() {
    static const std::vector<Option> table = make_table();
    return table;
}

const Option* find_option(std::string_view key) {
    const auto& table = option_table();
    const auto found = std::find_if(table.begin(), table.end(), [&](const Option& option) { return option.key == key; });
    return found == table.end() ? nullptr : &*found;
}

std::vector<std::string> option_keys(Command command) {
    std::vector<std::string> keys;
    for (const Option& option : option_table()) {
        if (option.accepted_by(command)) keys.push_back(option.key);
    }
    return keys;
}

boost::program_options::options_description describe_options(Command command) {
    namespace po = boost::program_options;
    constexpr unsigned kLineLength = 120, kHelpLength = 60;
    std::vector<std::pair<std::string, std::unique_ptr<po::options_description>>> groups;
    for (const Option& option : option_table()) {
        if (!option.accepted_by(command)) continue;
        auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == option.group; });
        if (group == groups.end()) {
            groups.emplace_back(option.group, std::make_unique<po::options_description>(option.group, kLineLength, kHelpLength));
            group = groups.end() - 1;
        }
        std::string help = option.help;
        if (option.kind == Kind::choice && option.choices.size() > 1) {
            std::string list;
            for (const std::string& choice : option.choices) list += (list.empty() ? "" : " | ") + choice;
            help = list + "; " + help;
        }
        auto* value = po::value<std::string>();
        value->value_name(option.kind == Kind::boolean                               ? "true|false"
                          : option.kind == Kind::text || option.kind == Kind::choice ? "x"
                                                                                     : "n");
        const std::string& shown = option.default_value.empty() ? option.default_text : option.default_value;
        if (!shown.empty()) value->default_value(option.default_value, shown);
        group->second->add_options()(option.key.c_str(), value, help.c_str());
    }
    po::options_description all(kLineLength, kHelpLength);
    for (const auto& group : groups) all.add(*group.second);
    return all;
}

} // namespace zerosim::config
