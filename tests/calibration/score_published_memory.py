#!/usr/bin/env python3
"""Predicted against published memory: the rows of tests/truth/memory_published/rows.csv that zerosim's options can express.

    python3 tests/calibration/score_published_memory.py build/release/zerosim [--rows] [--set NAME] [--check]

Each set of rows has one mapping below, which says what the publisher's program does (with its source) and which figure it counted. A row that no option
expresses is listed with the reason. --check: exit code 1 if the median of a set is worse than limits.csv.
"""
import argparse
import csv
import json
import pathlib
import re
import statistics
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "truth" / "memory_published"
GIB, GB, MIB = 2**30, 1e9, 2**20


class Unexpressed(Exception):
    """Why no option of zerosim expresses a row."""


def simulate(binary, options):
    command = [binary, "simulate", "--format", "json"]
    for key, value in options.items():
        command += [f"--{key}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit code {done.returncode}")
    report = json.loads(done.stdout)
    return report["memory"] | report["model"]


def process(memory):
    """What nvidia-smi shows of a process: context, communicators and the allocator's segments."""
    return memory["context_bytes"] + memory["communicator_bytes"] + memory["peak_reserved_bytes"]


def model_file(name, suffix="json"):
    return FOLDER / "models" / f"{name}.{suffix}"


def no_parallelism(row):
    """Tensor, pipeline, context and expert parallelism of 1."""
    sizes = re.findall(r"(?:tp|pp|cp|ep)(\d+)", row["parallelism"])
    if any(size != "1" for size in sizes):
        raise Unexpressed("tensor, pipeline, context or expert parallelism")


# torchtitan (and pytorch/ao, which measures with it): FSDP2, fp32 parameters, bf16 compute, fp32 reduction; reshard_after_forward of blocks, and of the
# root's group by default; selective(op) = every second product and attention; foreach AdamW before `fused` became the default. "memory" is peak reserved
# over the device (torchtitan/components/metrics.py, DeviceMemoryMonitor), GiB whatever the table's label says. The tables of December 2024 (H100) compile
# the blocks alone; those of 2025 (H200, MI300X, B200) the loss too (torchtitan/components/loss.py). run_train.sh sets expandable_segments.
TITAN_CLUSTERS = {"H100": "h100-sxm-96gb-500w", "H200": "h200-sxm", "A100": "a100-sxm-80gb", "B200": "b200", "MI300X": "mi300x"}


def torchtitan(row):
    no_parallelism(row)
    if row["value"] == "OOM":
        raise Unexpressed("out of memory: no figure")
    cluster = next((c for gpu, c in TITAN_CLUSTERS.items() if gpu in row["gpu"]), None)
    if cluster is None:
        raise Unexpressed("GPU without a cluster file")
    model = {"Llama3.1-8B": "llama3.1-8b", "Llama3-8B": "llama3.1-8b", "Qwen3-8B": "qwen3-8b"}.get(row["model"])
    if model is None:
        raise Unexpressed("no such model")
    if row["recompute"] == "unstated":
        raise Unexpressed("activation checkpointing not stated")
    recent = row["compile"] == "True" and cluster in ("h200-sxm", "mi300x", "b200")
    fp8 = "float8" in row["precision"] or "fp8" in row["precision"]
    options = {"model": model, "cluster": cluster, "strategy.system": "fsdp2", "strategy.zero-stage": 3, "ranks": row["ranks"],
               "train.sequence-length": row["sequence"], "train.micro-batch": row["micro_batch"], "train.clip-gradients": 1,
               "train.recompute": "full" if row["recompute"].startswith("full") else "selective",
               "train.compile": row["compile"].lower(), "train.optimizer": "adamw-foreach", "cluster.software": "torchtitan-2025" if recent else "auto",
               "allocator.expandable-segments": "true",
               "train.precision": "fp8-mixed" if fp8 and cluster != "mi300x" else "bf16-mixed"}
    return options, lambda m: m["peak_reserved_bytes"], GIB


# litgpt 26857050 finetune/lora.py: rank 8 on q and v, dropout 0.05 (its defaults then), bf16-true, AdamW (foreach), lm_head_chunk_size 128, the longest example first;
# eager RMSNorm and rotary embedding (lit_gpt/rmsnorm.py, model.py), as transformers'; phi-1.5: torch's LayerNorm
# and GELU. torch.cuda.max_memory_reserved() / 1e9.
def litgpt(row):
    if row["value"] in ("OOM", "N/A"):
        raise Unexpressed("out of memory: no figure")
    if row["method"] != "LoRA":
        raise Unexpressed("LLaMA-Adapter: no option")
    if row["ranks"] != "1":
        raise Unexpressed("FSDP1 with checkpointed blocks and adapters")
    model = {"Llama 2 7 B": model_file("litgpt-llama2-7b", "cfg"), "Llama 2 13 B": model_file("litgpt-llama2-13b", "cfg"), "phi-1.5 1.3 B": model_file("litgpt-phi-1.5", "cfg")}.get(row["model"])
    if model is None:
        raise Unexpressed("no such model")
    options = {"model": model, "model.implementation": "torch" if row["model"].startswith("phi") else "huggingface", "cluster": "a100-sxm-40gb", "strategy.system": "ddp", "strategy.wrap": "false",
               "train.sequence-length": row["sequence"], "train.micro-batch": row["micro_batch"], "train.gradient-accumulation": 2, "train.precision": "bf16",
               "train.optimizer": "adamw-foreach", "train.lora-rank": 8, "train.lora-dropout": 0.05,
               "train.lora-targets": "qkv", "train.loss-chunks": -(-int(row["sequence"]) // 128), "cluster.software": "litgpt-2023",
               "train.quantize-weights": {"None": "none", "bnb.nf4": "nf4", "bnb.nf4-dq": "nf4-double"}[row["quantization"]]}
    return options, lambda m: m["peak_reserved_bytes"], GB


# Qwen 2df8e8a finetune.py with finetune_lora_single_gpu.sh: transformers' Trainer without wrapper, autocast, bf16 base, rank 64 on c_attn, c_proj, w1, w2 (all
# linear layers of a block), dropout 0.05, checkpointed blocks, torch.optim.AdamW (foreach), clipping at 1, batch 1, 8 micro-batches. "emb": modules_to_save wte and
# lm_head. The loss is that of modeling_qwen.py (family qwen). GPU memory of the process in GB; over several GPUs the sum.
QWEN = {"model.implementation": "huggingface", "cluster": "a100-sxm-80gb", "train.recompute": "full", "train.clip-gradients": 1}
QWEN_LORA = {"train.lora-rank": 64, "train.lora-targets": "all", "train.lora-dropout": 0.05}
# finetune_*_ds.sh: DeepSpeed's engine in bf16 (int4: fp16, of the same size), ds_config_zero2.json: buckets of 2e8 elements, overlap_comm; zero3: the Trainer's "auto".
ZERO2_BUCKET = 2e8


def qwen_deepspeed(row, hidden, stage, lora):
    options = QWEN | {"strategy.system": "deepspeed", "strategy.zero-stage": stage, "ranks": row["ranks"], "train.precision": "bf16-mixed"} | (QWEN_LORA if lora else {})
    if stage == 2:
        options |= {"strategy.reduce-bucket-size": int(ZERO2_BUCKET), "strategy.allgather-bucket-size": int(ZERO2_BUCKET), "strategy.overlap-communication": "true"}
    else:
        options |= {"strategy.reduce-bucket-size": hidden * hidden, "strategy.prefetch-bucket-size": int(0.9 * hidden * hidden),
                    "strategy.persistence-threshold": 10 * hidden}
    return options, lambda memory: int(row["ranks"]) * process(memory)


def qwen(row):
    model = row["model"].lower()
    hidden = json.loads(model_file(model).read_text())["hidden_size"]
    method = row["method"].lower()
    if row["set"] == "qwen-recipes-finetune" and method == "full":
        raise Unexpressed("states of 16 bytes a parameter alone are more than published: the offload is not stated")
    plain = QWEN | QWEN_LORA | {"strategy.system": "ddp", "strategy.wrap": "false", "train.optimizer": "adamw-foreach", "train.precision": "bf16-mixed",
                                "train.lora-precision": "fp32", "train.frozen-precision": "bf16"}
    if method == "lora":
        options, figure = plain, process
    elif method == "lora (emb)":
        options, figure = plain | {"train.lora-embeddings": "true"}, process
    elif method == "q-lora":
        options, figure = qwen_deepspeed(row, hidden, 2, True)
        options |= {"train.quantize-weights": "int4"}
    elif method == "lora (multinode)":
        options, figure = qwen_deepspeed(row, hidden, 2, True)
    else:
        options, figure = qwen_deepspeed(row, hidden, 3, method.startswith("lora"))
    options |= {"model": model_file(model), "train.sequence-length": row["sequence"], "train.micro-batch": row["micro_batch"],
                "train.gradient-accumulation": 2}   # the third and later micro-batches are as the second
    return options, figure, GB


# torchtune's README: batch 2 x 2,048 tokens packed, torch.compile, no accumulation; configs of that time (0031bfb0, recipes/configs/llama3_1): bf16, LoRA rank 8 on
# q and v without the feed-forward, PagedAdamW8bit in backward (full, one GPU), CEWithChunkedOutputLoss in 8 chunks (compiled with the blocks),
# custom_sharded_layers [tok_embeddings, output] (70B, 405B), CPU offload (70B full). One recipe has a figure for a 4090 and for an A6000: which memory options
# were on is not stated. Of the four combinations of checkpointing and activation offloading, both on the smaller card and neither on the larger give
# all four figures; that is an inference from the figures. Peak allocated GiB (torchtune/training/memory.py divides by 1024^3, also where the table says GB).
TORCHTUNE = {"train.precision": "bf16", "train.sequence-length": 2048, "train.micro-batch": 2, "train.loss-chunks": 8, "train.compile": "true"}


def torchtune(row):
    if row["set"] == "torchtune-docs":
        raise Unexpressed("batch, sequence and checkpointing of the tutorials' logs are not stated")
    model = row["model"].lower()
    options = TORCHTUNE | {"model": model}
    if row["method"] == "LoRA":
        options |= {"train.lora-rank": 16 if "70b" in model else 8, "train.lora-targets": "q,v"}
    if row["method"] == "QLoRA":
        options |= {"train.lora-rank": 16 if "405b" in model else 8, "train.lora-targets": "q,v,o,gate,up,down", "train.quantize-weights": "nf4-torchao"}
    if row["ranks"] == "1":
        small = "4090" in row["gpu"]
        options |= {"cluster": "rtx4090-pcie" if small else "a6000-pcie", "strategy.system": "ddp", "strategy.wrap": "false",
                    "train.recompute": "full" if small else "none", "train.offload-activations": "cpu" if small else "none"}
        if row["method"] == "full":
            options |= {"train.optimizer": "adamw-8bit-paged", "train.optimizer-in-backward": "true"}
    else:
        options |= {"cluster": "a100-sxm-80gb", "strategy.system": "fsdp2", "strategy.zero-stage": 3, "ranks": row["ranks"], "strategy.wrap-embeddings": "true",
                    "train.recompute": "full"}
        if row["method"] == "full":
            options |= {"strategy.offload-parameters": "cpu", "strategy.offload-optimizer": "cpu"}
    return options, lambda m: m["peak_allocated_bytes"], GIB


# Galvatron profiles Llama-2 7B with 1, 2 and 4 layers under FSDP's full shard, bf16: allocated bytes of rank 0 with states and gradients, before the next step.
def galvatron(row):
    if not row["kind"].startswith("model states"):
        raise Unexpressed("sequences a GPU computes at once are not stated (a checkpointed block keeps the input of two)")
    layers = re.search(r"(\d+) layer", row["model"])[1]
    options = {"model": model_file(f"llama2-7b-{layers}-layers"), "cluster": "a100-sxm-80gb", "strategy.system": "fsdp", "strategy.zero-stage": 3, "ranks": 8,
               "train.sequence-length": 2048, "train.precision": "bf16-mixed"}
    return options, lambda m: m["phase_peaks_bytes"]["optimizer"], MIB


# ZeRO table 1 (arXiv:1910.02054): states of fp16 mixed precision with Adam, K = 12, GB = 1e9: bytes a parameter of a GPT-3 6.7B, times the named size.
def zero_table1(row):
    stage = int(re.search(r"zero(\d)", row["parallelism"])[1])
    size = float(row["model"].rstrip("B")) * 1e9
    options = {"model": "gpt3-6.7b", "cluster": "v100-sxm-32gb", "strategy.system": "zerosim", "strategy.zero-stage": stage, "ranks": row["ranks"],
               "train.precision": "fp16-mixed", "train.sequence-length": 1}

    def states(memory):
        after, peak = memory["after_step_by_role_bytes"], memory["at_peak_by_role_bytes"]
        held = sum(after[role] for role in ("parameter", "parameter_shard", "master_weight", "first_moment", "second_moment"))
        gradients = after if stage > 1 else peak   # stage 1 drops whole gradients after the update
        return (held + gradients["gradient"] + gradients["gradient_shard"]) / memory["parameters"] * size
    return options, states, GB


# ZeRO table 2: the largest model of states alone on a V100 with 32 GB (1e9), 64 data-parallel ranks beside MP ways of model parallelism, which divide the
# parameters: billions of parameters.
def zero_table2(row):
    ways = int(re.search(r"tp(\d+)", row["parallelism"])[1])
    options, states, _ = zero_table1(row | {"model": "1B"})
    return options, lambda memory: ways * 32 * GB / states(memory), 1


# SimuMax, Megatron-LM on B200 (docs/b200/b200_release_v1.2_summary.md): "real max allocated", fused cross-entropy. Of context parallelism a rank holds its part of
# each sequence and, as the distributed optimizer shards over data x context ranks, its share of states: as data-parallel ranks with such sequences.
def simumax(row):
    if re.search(r"(?:tp|pp|ep)(?!1\b)\d+", row["parallelism"]):
        raise Unexpressed("tensor, pipeline or expert parallelism")
    name, layers = re.fullmatch(r"llama3_(\d+b) \((\d+) layers\)", row["model"]).groups()
    context = int(re.search(r"cp(\d+)", row["parallelism"])[1])
    options = {"model": f"llama3.1-{name}", "model.layers": layers, "model.implementation": "megatron", "cluster": "b200", "strategy.system": "megatron",
               "strategy.zero-stage": 1, "ranks": row["ranks"], "train.sequence-length": int(row["sequence"]) // context, "train.micro-batch": row["micro_batch"],
               "train.gradient-accumulation": row["accumulation"], "train.precision": "bf16-mixed", "train.fused-loss": "true"}
    return options, lambda m: m["peak_allocated_bytes"], GIB


def unexpressed(reason):
    def mapping(_row):
        raise Unexpressed(reason)
    return mapping


MAPPINGS = {
    "torchtitan": torchtitan,
    "torchao-torchtitan-8gpu": torchtitan,
    "litgpt-finetune": litgpt,
    "qwen-finetune": qwen,
    "qwen-recipes-finetune": qwen,
    "torchtune-readme": torchtune,
    "torchtune-docs": torchtune,
    "galvatron-llama2-7b-profile": galvatron,
    "simumax-b200-real": simumax,
    "internevo-memory": unexpressed("HybridZeroOptimizer over FSDP keeps about 30 bytes a parameter / N: no planner"),
    "peft-readme": unexpressed("mT0 and BLOOMZ: no such model"),
    "hf-anatomy": unexpressed("BERT: no such model"),
    "zero-table1-analytic": zero_table1,
    "zero-table2-max-model-theory": zero_table2,
    "zero-table2-max-model-measured": unexpressed("activations beside the states are not stated"),
}


def score(binary, row):
    options, figure, unit = MAPPINGS[row["set"]](row)
    predicted = figure(simulate(binary, options)) / unit
    return predicted, options


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rows", action="store_true", help="every row, not medians alone")
    parser.add_argument("--set", help="one set of rows")
    parser.add_argument("--check", action="store_true", help="fail where a set's median is worse than limits.csv")
    arguments = parser.parse_args()
    errors, skipped, failed = {}, {}, []
    for row in csv.DictReader((FOLDER / "rows.csv").open()):
        if arguments.set and row["set"] != arguments.set:
            continue
        label = f"{row['set']} {row['model']} {row['method']} {row['quantization']} {row['gpu'][:12]} x{row['ranks']} s{row['sequence']} b{row['micro_batch']} {row['precision']}"
        try:
            predicted, _ = score(arguments.binary, row)
        except Unexpressed as reason:
            skipped.setdefault((row["set"], str(reason)), []).append(label)
            continue
        except RuntimeError as error:
            failed.append(f"{label}: {error}")
            continue
        published = float(row["value"])
        errors.setdefault(row["set"], []).append(predicted / published - 1)
        if arguments.rows:
            print(f"{label}: published {published:g} predicted {predicted:.2f} ({100 * (predicted / published - 1):+.1f} %)")
    everything = [abs(e) for group in errors.values() for e in group]
    print(f"{'set':32s} {'rows':>4s} {'median':>7s} {'p90':>7s} {'max':>7s} {'bias':>7s}")
    medians = {}
    for name, group in errors.items():
        absolute = sorted(abs(e) for e in group)
        medians[name] = statistics.median(absolute)
        print(f"{name:32s} {len(group):4d} {100 * medians[name]:6.1f}% {100 * absolute[min(len(group) - 1, int(0.9 * len(group)))]:6.1f}% {100 * absolute[-1]:6.1f}% {100 * statistics.mean(group):+6.1f}%")
    if everything and not arguments.set:
        medians["all"] = statistics.median(everything)
        print(f"{'all':32s} {len(everything):4d} {100 * medians['all']:6.1f}%")
    for (name, reason), rows in skipped.items():
        print(f"not expressed: {name}, {len(rows)} rows: {reason}")
    for line in failed:
        print(f"FAILED {line}")
    if not arguments.check:
        return 1 if failed else 0
    limits = {row["set"]: float(row["median_percent"]) for row in csv.DictReader((FOLDER / "limits.csv").open())}
    worse = [name for name, limit in limits.items() if (not arguments.set or name == arguments.set) and 100 * medians.get(name, 9.99) > limit]
    for name in worse:
        print(f"WORSE {name}: see limits.csv")
    return 1 if worse or failed else 0


if __name__ == "__main__":
    sys.exit(main())
