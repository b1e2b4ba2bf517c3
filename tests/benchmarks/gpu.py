#!/usr/bin/env python3
"""All figures of a machine with a GPU against their targets, in one command and less than eight minutes: GPT-2 steps with their breakdown,
AdamW against copy bandwidth, NCCL through the communicator against its own call, the executor's time for an op, overlap of ZeRO-3, losses
against the CPU's.

usage: gpu.py PROGRAM [--steps 20] [--json FILE] [--skip-ranks] [--seconds 480]
The targets and their sources are in gpu_targets.csv. A part that fails is reported, and the others go on. Exit code 1 when a target is missed.
Wants an idle GPU. Several ranks share the one GPU over NCCL's sockets: that says whether they overlap and are right, not how fast.
Standard library only; not a test: it measures time.
"""
import argparse
import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
TARGETS = {row["key"]: row for row in csv.DictReader(open(HERE / "gpu_targets.csv", newline=""))}
BUDGET = {(row["model"], row["class"]): row for row in csv.DictReader(open(HERE / "gpu_budget.csv", newline=""))}   # docs/gpus.md, by class
MODELS = {"gpt2-124m": "16", "gpt2-350m": "16"}   # micro-batch of 1024 tokens, as the targets have it
TIMEOUT = 150                                      # seconds of one part
# Ranks bound to no core, for NCCL's threads run beside theirs; what containers and root need.
MPIRUN_ENVIRONMENT = pathlib.Path(__file__).resolve().parents[2] / "launch" / "mpirun-env.sh"


class PartFailed(Exception):
    pass


class Bench:
    def __init__(self, program, folder, steps, seconds):
        self.program, self.folder, self.steps, self.end = program, folder, steps, time.monotonic() + seconds
        self.measured, self.notes, self.raw = {}, [], {}

    def result(self, name, arguments, ranks=0, format_option=True):
        """The JSON that one command wrote."""
        file = pathlib.Path(self.folder) / (name.replace(" ", "-") + ".json")
        launcher = ["bash", "-c", '. "$0"; exec mpirun -n "$@"', str(MPIRUN_ENVIRONMENT), str(ranks)] if ranks else []
        command = launcher + [self.program] + arguments + ["--format", "json"] + (["--output", str(file)] if format_option else [])
        try:
            limit = max(1.0, min(TIMEOUT, self.end - time.monotonic()))
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise PartFailed(f"not done after {limit:.0f} s: {' '.join(command)}")
        if done.returncode:
            raise PartFailed(f"exit code {done.returncode}: {' '.join(command)}: {done.stderr.strip()[-500:]}")
        self.raw[name] = json.loads(file.read_text() if format_option else done.stdout)
        return self.raw[name]

    def told_to_end(self, *_):
        """SIGTERM, which `timeout` sends: the part fails, the others are left out, and what was measured is still printed."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.end = 0.0
        raise PartFailed("told to end")

    def part(self, name, function, *arguments):
        begin = time.monotonic()
        if begin > self.end:
            self.notes.append(f"{name}: left out: --seconds are over")
            return
        try:
            function(*arguments)
        except (PartFailed, KeyError, ValueError, OSError) as error:
            self.notes.append(f"{name}: FAILED: {type(error).__name__}: {error}")
        print(f"# {name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)


def shares_by_class(rows):
    """class -> (seconds, share of the roof), each row weighing by its time."""
    shares = {}
    for row in rows:
        seconds, at_roof = shares.get(row["class"], (0.0, 0.0))
        shares[row["class"]] = (seconds + row["seconds"], at_roof + row["seconds"] * row["share_of_roof"])
    return {name: (seconds, at_roof / seconds) for name, (seconds, at_roof) in shares.items() if seconds > 0}


def step_by_class(bench, model, traced):
    """A step's time by kernel class beside its budget, the largest excess first: what to mend, and where to look."""
    rows = []
    for row in traced["roofline"]:
        budget = BUDGET.get((model, row["name"]))
        rows.append((row["seconds"] * 1e3 - float(budget["milliseconds"]) if budget else 0.0, row, budget))
    bench.notes.append(f"  {'class':<12} {'ms':>8} {'budget':>8} {'over':>8} {'of roof':>8} {'kernels':>8}  look first at")
    for over, row, budget in sorted(rows, key=lambda entry: -entry[0]):
        if row["seconds"] <= 0:
            continue
        bench.notes.append(f"  {row['name']:<12} {row['seconds'] * 1e3:8.2f} {budget['milliseconds'] if budget else '':>8} {over:8.2f} {100 * row['roof_fraction']:6.0f} % {row['count']:8d}  "
                           f"{budget['look_first'] if budget and over > 0 else ''}")


def kernels(bench):
    """calibrate: rates, and the cluster file that the runs are predicted with."""
    cluster = str(pathlib.Path(bench.folder) / "measured.cfg")
    found = bench.result("calibrate", ["calibrate", "--device", "cuda", "--output", cluster], format_option=False)
    bench.cluster = cluster
    bench.measured["executor per op"] = found["issue_seconds"] * 1e6
    bench.notes.append(f"{found['device']}, CUDA {found['cuda']}, NCCL {found['nccl']}; copy {found['copy_bytes_per_second'] / 1e12:.2f} TB/s; "
                       f"launch: host {found['host_launch_seconds'] * 1e6:.2f} us, device {found['kernel_launch_seconds'] * 1e6:.2f} us; "
                       f"executor traced {found['traced_issue_seconds'] * 1e6:.2f} us an op")
    expected = {name: float(row["share_of_roof"]) for (model, name), row in BUDGET.items() if model == "gpt2-124m"}
    bench.notes.append("share of the roof by class, and what the budget has: " +
                       ", ".join(f"{name} {100 * share:.0f} %" + (f" ({100 * expected[name]:.0f})" if name in expected else "") for name, (_, share) in shares_by_class(found["kernels"]).items()) +
                       " (products and attention: of the peak; others: of the copy)")
    bench.notes.append(f"{'kernel':<66} {'ms':>9} {'rate':>14} {'of roof':>8} {'model/measured':>15}")
    for row in found["kernels"]:
        rate = f"{row['flops_per_second'] / 1e12:.0f} TFLOP/s" if "flops_per_second" in row else f"{row['bytes_per_second'] / 1e12:.2f} TB/s"
        share = f"{100 * row['share_of_roof']:.0f} %"
        bench.notes.append(f"{row['kernel']:<66} {row['seconds'] * 1e3:9.4f} {rate:>14} {share:>8} {row['model_over_measured']:15.2f}")
        if row["kernel"].startswith("adamw") and "master" in row["kernel"]:
            bench.measured["adamw of copy bandwidth"] = row["share_of_copy_bandwidth"]


def step(bench, model, padded):
    """Twice: without events for the time, with them for the breakdown."""
    name = f"step {model} {'padded' if padded else 'unpadded'}"
    shape = ["run", "--device", "cuda", "--model", model, "--train.micro-batch", MODELS[model], "--train.sequence-length", "1024", "--train.precision", "bf16-mixed",
             "--strategy.zero-stage", "0", "--train.data", "chain"] + (["--model.vocabulary-multiple", "128"] if padded else [])
    if getattr(bench, "cluster", None):
        shape += ["--cluster", bench.cluster]
    seconds = bench.result(name, shape + ["--trace", "false", "--train.steps", str(bench.steps if padded else 8)])["time"]["step_seconds"]
    bench.measured[name] = seconds * 1e3
    if not padded:
        return
    traced = bench.result(name + " traced", shape + ["--train.steps", "6"])
    parts = sorted((row for row in traced["breakdown"] if row["seconds"] > 0), key=lambda row: -row["seconds"])
    bench.notes.append(f"{name}: {seconds * 1e3:.1f} ms, traced {traced['time']['step_seconds'] * 1e3:.1f} ms, predicted by the measured cluster "
                       f"{traced['prediction']['step_seconds'] * 1e3:.1f} ms; losses {traced['training']['losses'][0]:.3f} to {traced['training']['losses'][-1]:.3f}; "
                       f"peak {traced['memory']['peak_allocated_bytes'] / 2**30:.2f} GiB")
    bench.notes.append("  " + ", ".join(f"{row['name']} {row['seconds'] * 1e3:.2f}" for row in parts) + " (ms)")
    for row in traced["roofline"]:
        if row["flops"] > 0 and row["name"] in ("gemm", "attention"):
            bench.notes.append(f"  {row['name']}: {row['flops'] / row['seconds'] / 1e12:.0f} TFLOP/s over the step")
    step_by_class(bench, model, traced)


def one_rank_nccl(bench):
    found = bench.result("nccl", ["collectives", "--device", "cuda", "--sizes", "64K,1M,16M,256M", "--repeats", "50"])
    shares = {(row["kind"], row["bytes"]): row["raw_seconds"] / row["seconds"] for row in found["collectives"] if row.get("raw_seconds") and row["seconds"] > 0}
    large = {key: share for key, share in shares.items() if key[1] >= 16_000_000}   # below, both are launches
    bench.measured["communicator of NCCL's own call"] = min(large.values())
    bench.notes.append("NCCL's own time over the communicator's, one rank: " + ", ".join(f"{kind} {size}: {100 * share:.1f} %" for (kind, size), share in shares.items()))


def shared_collectives(bench):
    found = bench.result("shared", ["collectives", "--device", "cuda", "--share-device", "true", "--sizes", "1M,16M", "--repeats", "5"], ranks=2)
    bench.measured["wrong elements of two ranks on one GPU"] = sum(row["wrong"] + row.get("in_place", {}).get("wrong", 0) for row in found["collectives"])
    bench.notes.append("two ranks on one GPU: " + ", ".join(f"{row['kind']} {row['bytes']} B {row['busbw_bytes_per_second'] / 1e9:.2f} GB/s" for row in found["collectives"]))


def overlap(bench):
    shape = ["run", "--device", "cuda", "--share-device", "true", "--model", "gpt2-124m", "--model.vocabulary-multiple", "128", "--train.micro-batch", "4",
             "--train.sequence-length", "1024", "--strategy.zero-stage", "3", "--train.data", "chain", "--train.steps", "4"]
    for on in ("true", "false"):
        found = bench.result(f"overlap {on}", shape + ["--strategy.overlap-communication", on], ranks=2)
        gathers = [row for row in found["communication"]["collectives"] if row["kind"] == "all-gather"]
        total, hidden = sum(row["seconds"] for row in gathers), sum(row["hidden_seconds"] for row in gathers)
        bench.notes.append(f"ZeRO-3, two ranks on one GPU, overlap {on}: step {found['time']['step_seconds'] * 1e3:.0f} ms, communication {found['time']['communication_seconds'] * 1e3:.0f} ms, "
                           f"exposed {found['time']['exposed_communication_seconds'] * 1e3:.0f} ms, gathers {total * 1e3:.0f} ms of which hidden {hidden * 1e3:.0f} ms")
        if on == "true":
            bench.measured["part of gathers hidden with overlap"] = hidden / total if total > 0 else 0.0


TRAINING = ["run", "--model", "gpt-mini", "--train.micro-batch", "4", "--train.sequence-length", "128", "--train.steps", "8", "--train.data", "chain", "--trace", "false"]


def losses(bench, name, arguments, ranks=0):
    return bench.result(name, TRAINING + arguments, ranks)["training"]["losses"]


def furthest(found, expected):
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))


def training(bench):
    cpu = losses(bench, "losses cpu", ["--device", "cpu", "--train.precision", "fp32"])
    gpu = losses(bench, "losses fp32", ["--device", "cuda", "--train.precision", "fp32"])
    mixed = losses(bench, "losses bf16-mixed", ["--device", "cuda", "--train.precision", "bf16-mixed"])
    bench.measured["fp32 losses against the CPU's"] = furthest(gpu, cpu)
    bench.measured["bf16-mixed losses against fp32's"] = furthest(mixed, gpu)
    bench.notes.append(f"gpt-mini, losses of step 1 and 8: CPU {cpu[0]:.5f} {cpu[-1]:.5f}, GPU fp32 {gpu[0]:.5f} {gpu[-1]:.5f}, bf16-mixed {mixed[0]:.5f} {mixed[-1]:.5f}")


def training_of_ranks(bench):
    stages = {stage: losses(bench, f"losses stage {stage}", ["--device", "cuda", "--share-device", "true", "--train.precision", "fp32", "--strategy.zero-stage", stage], ranks=2)
              for stage in ("0", "3")}
    bench.measured["ZeRO-3 losses against stage 0's"] = furthest(stages["3"], stages["0"])


def verdict(row, value):
    if value is None:
        return "not measured"
    limit = float(row["limit"])
    met = value <= limit if row["better"] == "less" else value > limit if row["better"] == "above" else value >= limit
    return "reached" if met else "MISSED"


def table(bench):
    lines = [f"{'target':<44} {'limit':>10} {'measured':>10} {'verdict':>14}"]
    for key, row in TARGETS.items():
        value = bench.measured.get(key)
        limit = f"{'<=' if row['better'] == 'less' else '>' if row['better'] == 'above' else '>='} {row['limit']}"
        lines.append(f"{key + (' (' + row['unit'] + ')' if row['unit'] else ''):<44} {limit:>10} {'-' if value is None else f'{value:.4g}':>10} {verdict(row, value):>14}")
    for key in sorted(set(bench.measured) - set(TARGETS)):
        lines.append(f"{key:<44} {'':>10} {bench.measured[key]:>10.4g}")
    return "\n".join(lines)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program")
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--json", help="write everything measured to this file")
    options.add_argument("--skip-ranks", action="store_true", help="leave out what needs mpirun")
    options.add_argument("--seconds", type=float, default=480, help="begin no part after as long, and end the last one then")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(os.path.abspath(asked.program), folder, asked.steps, asked.seconds)
        signal.signal(signal.SIGTERM, bench.told_to_end)
        bench.part("kernels", kernels, bench)          # first: its cluster predicts the steps
        for model in MODELS:
            bench.part(f"step {model}", step, bench, model, True)
        bench.part("losses", training, bench)
        bench.part("NCCL on one rank", one_rank_nccl, bench)
        for model in MODELS:
            bench.part(f"step {model} unpadded", step, bench, model, False)
        if asked.skip_ranks or shutil.which("mpirun") is None:
            bench.notes.append("several ranks: left out (no mpirun, or --skip-ranks)")
        else:
            bench.part("collectives of two ranks", shared_collectives, bench)
            bench.part("overlap", overlap, bench)
            bench.part("losses of two ranks", training_of_ranks, bench)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("\n".join(bench.notes))
        print("\n" + table(bench))
        if asked.json:
            pathlib.Path(asked.json).write_text(json.dumps({"measured": bench.measured, "notes": bench.notes, "results": bench.raw}, indent=1) + "\n")
    return 0 if all(verdict(row, bench.measured.get(key)) == "reached" for key, row in TARGETS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
