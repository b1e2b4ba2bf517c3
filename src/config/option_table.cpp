#include "config/option_rows.hpp"

#include <boost/program_options/value_semantic.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <utility>

namespace zerosim::config {
namespace {

void model_and_cluster(Table& t) {
    t.group("Model", kScenario);
    t.text("model", "gpt-mini", "preset (zerosim list models), or the path of a preset or of a Hugging Face config.json");
    t.choice("model.implementation", {"torch", "huggingface", "megatron"}, {}, "whose modules a framework's planner models");
    t.real("model.weight-density", "1", 1e-3, 1, "share of the elements of frozen matrices that sparse storage keeps; a mask of 1 bit an element beside them");
    t.integer("model.vocabulary-multiple", "1", 1, 1 << 20, "pad embedding and head to a multiple of this many rows");
    t.integer("model.layers", "", 1, 1e5, "blocks, in place of the model's own number").default_text = "the model's";
    t.choice("mode", {"train", "inference"}, {}, "what is planned; inference: simulate and show only");

    t.group("Cluster", kScenario);
    t.text("cluster", "local", "preset (zerosim list clusters) or the path of one").commands = kScenario | kLaunch | bits({Command::doctor});
    t.integer("ranks", "1", 1, 1e7, "world size; under mpirun MPI's").commands =
        kScenario | bits({Command::collectives, Command::calibrate});
    Option& devices = t.integer("cluster.gpus-per-node", "", 1, 4096, "devices of a node");
    devices.default_text = "the cluster's";
    devices.commands = kScenario | bits({Command::collectives});
    Option& network = t.real("cluster.network-gigabits-per-node", "", 1e-3, 1e6, "network of a node, Gbit/s");
    network.default_text = "the cluster's";
    network.commands = kScenario | bits({Command::collectives});
    t.choice("cluster.software", {"auto", "none", "torch-2.0", "torch-2.6", "torch-2.11", "torchtitan-2025", "litgpt-2023"}, {},
             "whose kernels and host code run; auto: none for zerosim and on CPUs, torch-2.0 for fsdp, else the cluster's or torch-2.11");
    t.choice("cluster.communication", {"modelled", "free"}, {}, "free: collectives take no time");
    t.choice("collective.order", {"rank", "library"}, {"library"}, "rank: sums in rank order, the same bits at every run");
    t.choice("device", {"auto", "cpu", "cuda"}, {}, "what kernels run on; collectives and calibrate measure the CPU unless it is cuda").commands =
        kScenario | kLaunch;
    t.choice("transport", {"auto", "nvlink", "pcie", "host", "network"}, {},
             "the path of collectives between GPUs of a node: auto: as NCCL finds best; host: through host memory; network: as if each GPU were a node").commands = kScenario | bits({Command::collectives});
    t.choice("compute", {"real", "synthetic"}, {},
             "synthetic: buffers and collectives are real, kernels take their modelled time")
        .commands = kRun;
    t.integer("compute-threads", "0", 0, 4096, "threads of a rank's kernels; 0: the cores it may use, shared by the node's ranks")
        .commands = kScenario | bits({Command::calibrate});
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
    t.choice("train.optimizer", {"adamw", "adamw-foreach", "sgd-momentum", "adamw-8bit", "adamw-8bit-paged", "adamw-paged"}, {},
             "adamw: fused; -8bit, -paged: bitsandbytes' 8-bit states, states in unified memory; all but adamw: frameworks only");
    t.flag("train.optimizer-in-backward", false, "each parameter is updated when its gradient is ready (ddp with one rank, strategy.wrap false)");
    t.real("train.learning-rate", "1e-3", 0, 1e38, "learning rate");
    t.real("train.beta1", "0.9", 0, 1, "Adam's beta 1");
    t.real("train.beta2", "0.95", 0, 1, "Adam's beta 2");
    t.real("train.epsilon", "1e-8", 0, 1, "Adam's epsilon");
    t.real("train.weight-decay", "0.1", 0, 1e3, "decoupled weight decay, of matrices only");
    t.real("train.clip-gradients", "0", 0, 1e9, "global gradient norm to clip to; 0: off");
    t.real("train.initial-loss-scale", "65536", 1, 4294967296.0, "loss scale of fp16-mixed at the first step");
    t.text("train.recompute", "none", "none | full | every:K (blocks 0, K, 2K, ...) | selective (all but attention and every second product), computed again in backward");
    t.flag("train.recompute-early-stop", true, "recomputation ends at the last tensor that backward needs");
    t.choice("train.attention", {"flash", "standard"}, {}, "flash: scores are never stored; standard: by separate products (ddp, fsdp2, deepspeed, fsdp, megatron)");
    t.flag("train.compile", false, "torch.compile of each block (ddp, fsdp, fsdp2); megatron: of its element-wise kernels");
    t.real("train.dropout", "0", 0, 0.999, "probability to drop, after embedding, attention and feed-forward, or where the modules have it");
    t.integer("train.seed", "0", 0, 9e18, "of weights and dropout");
    t.text("train.data", "", "a file (bytes are tokens), a folder of .md files, or 'chain'").default_text = "zerosim's own docs";
    t.choice("train.init", {"normal", "hash"}, {}, "initial weights; hash: those of the reference trajectories");
}

/// Adapters, quantized weights and what else saves memory in the frameworks' systems.
void techniques(Table& t) {
    t.group("Memory techniques", kScenario);
    t.integer("train.lora-rank", "0", 0, 65536, "rank of LoRA adapters, all else frozen (ddp, fsdp2); 0: none");
    t.text("train.lora-targets", "q,k,v,o", "linear layers of a block that get adapters: q, k, v, o, gate, up, down, qkv (gpt2), or all");
    t.real("train.lora-dropout", "0", 0, 0.999, "dropout of an adapter's input");
    Option& adapters = t.choice("train.lora-precision", {"fp32", "bf16", "fp16"}, {}, "dtype of adapters");
    adapters.default_value.clear();
    adapters.default_text = "as train.precision";
    Option& frozen = t.choice("train.frozen-precision", {"fp32", "bf16", "fp16"}, {}, "dtype of frozen parameters that are not quantized");
    frozen.default_value.clear();
    frozen.default_text = "as train.precision";
    t.flag("train.lora-embeddings", false, "embedding and head are trained too, as copies (PEFT's modules_to_save)");
    t.choice("train.quantize-weights", {"none", "nf4", "nf4-double", "nf4-torchao", "int8", "int4"}, {}, "frozen matrices of blocks: bitsandbytes' NF4 and LLM.int8, torchao's NF4, GPTQ's int4");
    t.choice("train.offload-activations", {"none", "cpu"}, {}, "cpu: saved tensors go to pinned host memory and come back for backward");
    t.integer("train.loss-chunks", "1", 1, 65536, "head, loss and their gradients in this many chunks of the tokens");
    t.flag("train.fused-loss", false, "head and loss in one function that computes gradients in forward (Liger); megatron: gradients overwrite the logits");
}

void running(Table& t) {
    t.group("Run", kRun);
    t.integer("timeout-seconds", "120", 1, 1e7, "the watchdog: a collective that waits longer ends the job").commands =
        kLaunch;
    t.flag("share-device", false, "several ranks of a node may run on one GPU: slow, for tests").commands = kLaunch;
    t.flag("register-buffers", false, "GPUs: NCCL gets the arenas registered, and moves data without copies of its own where it can").commands =
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
    Option& step = t.bytes("step-bytes", "", "from one message size to the next, instead of step-factor");
    step.default_text = "none";
    step.commands = bits({Command::collectives});
    t.text("kind", "all-reduce,all-gather,reduce-scatter,broadcast,all-to-all", "which collectives, comma-separated: these, reduce, gather, scatter, send-recv; all = all nine")
        .commands = bits({Command::collectives});
    t.choice("type", {"fp32", "bf16", "fp16", "fp64", "int32", "int64", "uint8"}, {}, "of the elements").commands = bits({Command::collectives});
    t.choice("op", {"sum", "average"}, {}, "of kinds that reduce").commands = bits({Command::collectives});
    t.integer("root", "0", 0, 1e7, "of broadcast, reduce, gather and scatter").commands = bits({Command::collectives});
    Option& warm_ups = t.integer("warm-ups", "", 0, 1e6, "calls that are not timed, before the repeats");
    warm_ups.default_text = "3; 5 on GPUs";
    warm_ups.commands = bits({Command::collectives});
    t.flag("check", true, "look at every element of the result").commands = bits({Command::collectives});
    t.flag("predict", false, "do not communicate: the cost model's times on the cluster").commands = bits({Command::collectives});
    t.flag("compare", false, "measure, and print the cost model's times beside").commands = bits({Command::collectives});
    t.integer("stride", "1", 1, 1e6, "ranks of the predicted group are this far apart (e.g. one device of each node)").commands =
        bits({Command::collectives});
    t.integer("repeats", "30", 1, 1e6, "timed repeats; the median is reported");
}

void looking_at_results(Table& t) {
    t.group("Checks", kScenario);
    t.flag("explain", false, "say who holds the peak's bytes, by which formula, and what would lower it: each change is planned").commands = bits({Command::run, Command::simulate});
    t.flag("estimators", false, "print what DeepSpeed's and accelerate's own estimators would say beside").commands = bits({Command::run, Command::simulate});
    t.text("max", "", "the largest value of this option that fits the device: train.micro-batch, train.sequence-length, model.layers or inference.batch").commands =
        bits({Command::simulate});
    t.text("min", "", "the smallest value of this option that fits the device: ranks").commands = bits({Command::simulate});
    t.text("fail-if", "", "exit code 1 if this holds, e.g. 'memory.peak_allocated_bytes > 80e9'").commands =
        bits({Command::run, Command::simulate});
    t.flag("sensitivity", false, "print what the step would gain from 10 % more of each resource").commands = bits({Command::simulate});
    t.real("tolerance", "", 0, 1e9, "exit code 1 if figures differ relatively by more").commands = bits({Command::compare});

    t.group("Sweep", bits({Command::sweep}));
    Option& over = t.text("over", "", "KEY=VALUE,VALUE,... or KEY=FROM..TO (doubling); given twice: every pair");
    over.default_text = "required";
    over.repeatable = true;
    t.flag("strong", false, "the global batch stays, whatever the ranks: micro-batches of a rank become fewer");
    t.flag("weak", false, "the batch of a rank stays, and the global batch grows with the ranks");
    t.integer("jobs", "0", 0, 4096, "points computed at the same time; 0: one for each core");
    t.text("svg", "", "draw the curves into this file");

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
    strategy_options(table);
    allocator_options(table);
    framework_files(table);
    deepspeed_options(table);
    training(table);
    techniques(table);
    inference_options(table);
    job_options(table);
    running(table);
    looking_at_results(table);
    return std::move(table.rows);
}

constexpr std::array<std::pair<Command, std::string_view>, 10> kNames{{
    {Command::run, "run"},
    {Command::simulate, "simulate"},
    {Command::sweep, "sweep"},
    {Command::compare, "compare"},
    {Command::collectives, "collectives"},
    {Command::calibrate, "calibrate"},
    {Command::report, "report"},
    {Command::list, "list"},
    {Command::show, "show"},
    {Command::doctor, "doctor"},
}};

} // namespace

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
