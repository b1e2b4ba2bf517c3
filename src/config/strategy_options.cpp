// The option table's sections on strategies.
#include "config/option_rows.hpp"

namespace zerosim::config {

void strategy_options(Table& t) {
    t.group("Strategy", kScenario);
    t.choice("strategy.system", {"zerosim", "ddp", "fsdp", "fsdp2", "deepspeed", "megatron"}, {}, "whose schedule is planned");
    t.integer("strategy.zero-stage", "0", 0, 3, "0: all replicated; 1: optimizer, 2: and gradients, 3: and parameters sharded");
    t.integer("strategy.shard-group", "", 1, 1e7, "ranks that share one copy of the shards").default_text = "world size";
    t.real("strategy.bucket-cap-mib", "25", 1e-3, 1 << 20, "gradients are reduced in buckets of about this size (stages 0 to 2)");
    t.integer("strategy.prefetch-depth", "1", 0, 64, "units gathered ahead of the one computing (stage 3)");
    t.flag("strategy.overlap-communication", true, "false: collectives run on the compute stream");
    t.flag("strategy.reuse-gathered", false, "save the gathers that the last use of a unit makes unnecessary (stage 3)");
    t.choice("strategy.arena", {"planned", "caching"}, {}, "planned: offsets in one arena per pool, fixed ahead; caching: allocated as used")
        .commands = kRun | bits({Command::show});
    t.choice("strategy.offload-parameters", {"none", "cpu", "nvme"}, {}, "where parameter shards lie (fsdp2: both on the cpu, or neither)");
    t.choice("strategy.offload-optimizer", {"none", "cpu", "nvme"}, {}, "where optimizer states lie (fsdp2: as the parameters)");
    t.flag("strategy.wrap", true, "false: with one rank, the plain module without DistributedDataParallel (ddp)");
    t.flag("strategy.wrap-embeddings", false, "embedding and head are units of their own, not parts of the root's (fsdp2)");
    t.flag("strategy.gradient-as-bucket-view", false, "gradients are views of the buckets (ddp)");
    t.flag("strategy.use-orig-params", true, "the optimizer sees each parameter's part of a flat shard; false: one tensor a unit (fsdp)");
    t.flag("strategy.limit-all-gathers", true, "the host waits for all but two gathered units to be freed (fsdp)");
    t.flag("strategy.forward-prefetch", false, "the next unit is gathered before this one computes (fsdp)");
    t.choice("strategy.backward-prefetch", {"pre", "post", "none"}, {}, "the next unit of backward is gathered before or after this one's (fsdp)");
    Option& sync =
        t.choice("strategy.sync-each-batch", {"true", "false"}, {}, "gradients are reduced after every micro-batch, not only the last (fsdp, fsdp2)");
    sync.default_value.clear();
    sync.default_text = "fsdp: true; fsdp2: false";
    t.integer("strategy.bucket-size", "", 1, 1e12, "gradients are reduced in buckets of about this many elements (megatron)").default_text =
        "40e6, or 1e6 x ranks if more";
    t.flag("strategy.gradient-accumulation-fusion", true, "weight gradients are added into the main gradients by their products (megatron)");
    for (const char* axis : {"tensor", "pipeline", "context", "expert", "sequence"}) {
        t.integer(std::string("parallel.") + axis, "1", 1, 1e5, "ranks of this axis; only 1 is built").built = false;
    }
}

/// Files of other frameworks that describe a whole job.
void framework_files(Table& t) {
    t.group("Frameworks' files", kScenario);
    t.text("accelerate", "",
           "an accelerate YAML (FSDP 1 and 2, DeepSpeed, DDP, Megatron-LM; Trainer's arguments too): below environment and command line")
        .default_text = "none";
    t.text("torchtitan", "", "a torchtitan job file (TOML): below environment and command line").default_text = "none";
}

/// zero_optimization of DeepSpeed's JSON, with its defaults (DeepSpeed 0.19 runtime/zero/config.py). Sizes are elements.
void deepspeed_options(Table& t) {
    t.group("DeepSpeed", kScenario);
    t.text("deepspeed", "", "a DeepSpeed JSON: sets what it names, below environment and command line").default_text = "none";
    t.text("strategy.reduce-bucket-size", "5e8", "elements of an IPG bucket of gradients, or auto (hidden x hidden)");
    t.real("strategy.allgather-bucket-size", "5e8", 1, 1e15, "of no effect: parameters of stages 1 and 2 are gathered in one call a group");
    t.flag("strategy.contiguous-gradients", true, "gradients are copied into the bucket as they become ready");
    t.flag("strategy.reduce-scatter", true, "false: the whole bucket is all-reduced");
    t.flag("strategy.multi-rank-bucket-allreduce", true,
           "stages 1, 2: slices of all owners in one all-reduce; false: each owner alone receives its own");
    t.flag("strategy.round-robin-gradients", false, "stages 1, 2: parameters are dealt to the ranks in turn");
    t.text("strategy.prefetch-bucket-size", "5e7", "stage 3: elements prefetched at each module call, or auto (0.9 x hidden x hidden)");
    t.text("strategy.persistence-threshold", "1e5", "stage 3: parameters of up to this many elements stay gathered, or auto (10 x hidden)");
    t.real("strategy.model-persistence-threshold", "", 0, 1e19, "stage 3: most elements that stay gathered").default_text = "no limit";
    t.real("strategy.max-live-parameters", "1e9", 0, 1e15, "stage 3: nothing is prefetched beyond this many gathered elements");
    t.real("strategy.max-reuse-distance", "1e9", 0, 1e15, "stage 3: parameters used again within this many elements are not released");
    t.real("strategy.sub-group-size", "1e9", 1, 1e15, "stage 3: the optimizer steps over about this many elements at a time");
    t.choice("strategy.deepspeed-release", {"0.19", "0.16", "0.14"}, {}, "how offloaded gradients of stage 3 are copied, and whether memory is pinned by default");
    t.flag("strategy.pin-memory", true, "offloaded parameters and states lie in page-locked memory");
    t.real("strategy.offload-ratio", "1", 0, 1, "stage 3: share of the sub-groups whose states are offloaded");
    t.real("strategy.offload-max-in-cpu", "1e9", 0, 1e15, "nvme: elements of parameter shards that stay in memory");
    t.real("strategy.offload-buffer-size", "1e8", 1, 1e15, "nvme: elements of a pinned buffer through which a parameter's shard is read");
    t.integer("strategy.offload-buffer-count", "5", 1, 1e4, "nvme: such buffers");
    t.integer("strategy.offload-optimizer-buffer-count", "4", 4, 1e4, "nvme: pinned buffers as long as the largest sub-group's states");
}

} // namespace zerosim::config
