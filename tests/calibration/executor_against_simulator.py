#!/usr/bin/env python3
"""How far `zerosim simulate` is from `zerosim run` on this machine, step and each collective (docs/accuracy.md, "This machine").

usage: executor_against_simulator.py PROGRAM [--ranks 2,4,8] [--steps 24] [--calibrate] [--jobs micro,mini,...] [--repeats 1] [--residuals FILE]
Wants an idle machine. With --calibrate the links and kernels are measured first, with the same number of ranks, into a folder of its
own; without it the cluster `local` is the user's. Where ranks <= cores each is bound to cores of its own, as mpirun does by default for two
ranks; the other MPI settings are those of launch/mpirun-env.sh. A job is repeated and the least median step counts. Pass marks (step 25 %,
collective 30 %) hold where ranks <= cores; other rows are information. Collectives are compared twice: alone (`zerosim collectives
--compare`), and inside the step: the median over steps and ranks of the time from the last member's begin to the end, from the trace.
--residuals: write each step and collective, measured and predicted, to this CSV (tests/truth/time/local.csv). Standard library only; not a test: it measures time.
"""
import argparse
import collections
import csv
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch" / "mpirun-env.sh"
STEP, COLLECTIVE = 0.25, 0.30    # pass marks
MOVED = 0.2                      # links that differ by more from the calibrated ones are no longer those
MODELS = {"micro": ["gpt-micro"], "mini": ["gpt-mini"], "124m": ["gpt2-124m", "--model.layers", "2", "--train.sequence-length", "128"]}
# (model, system, stage, micro-batch, precision)
JOBS = {"micro": [("micro", "zerosim", stage, batch, "bf16-mixed") for stage, batch in (("0", "1"), ("1", "4"), ("2", "8"), ("3", "1"), ("3", "4"), ("3", "8"))],
        "mini": [("mini", "zerosim", stage, batch, "bf16-mixed") for stage, batch in (("0", "4"), ("1", "1"), ("2", "4"), ("3", "1"), ("3", "4"))],
        "fp32": [("micro", "zerosim", "3", "8", "fp32"), ("mini", "zerosim", "3", "1", "fp32"), ("mini", "zerosim", "0", "4", "fp32")],
        "systems": [("micro", "ddp", "0", "8", "bf16-mixed"), ("micro", "fsdp2", "3", "8", "bf16-mixed"), ("micro", "deepspeed", "2", "8", "bf16-mixed"),
                    ("mini", "ddp", "0", "1", "bf16-mixed"), ("mini", "fsdp2", "3", "1", "bf16-mixed"), ("mini", "deepspeed", "3", "1", "bf16-mixed")],
        "124m": [("124m", "zerosim", "3", "1", "bf16-mixed"), ("124m", "zerosim", "1", "1", "fp32")]}


def output(command, environment):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def mpi_environment(ranks, cores):
    text = output(["bash", "-c", f". {LAUNCH} && env -0"], dict(os.environ))
    environment = dict(line.split("=", 1) for line in text.split("\0") if "=" in line)
    if ranks <= cores:
        environment["OMPI_MCA_hwloc_base_binding_policy"] = "core" if cores // ranks == 1 else "none"
    return environment


def mpi(ranks):
    return ["mpirun", "--oversubscribe", "-n", str(ranks)]


def alone(program, ranks, environment):
    """|predicted / measured - 1| of collectives that nothing else runs beside."""
    text = output(mpi(ranks) + [program, "collectives", "--compare", "--format", "json", "--kind", "all-reduce,all-gather,reduce-scatter,broadcast,all-to-all",
                                "--minimum-bytes", "1K", "--maximum-bytes", "64M",
                                "--step-factor", "4", "--repeats", "30"], environment)
    ratios = {}
    for row in json.loads(text)["collectives"]:
        predicted = row.get("predicted_seconds") or row.get("predicted", {}).get("seconds")
        ratios.setdefault(row["kind"], []).append((row.get("bytes") or row.get("message_bytes"), predicted / row["seconds"]))
    for kind, values in ratios.items():
        errors = [abs(r - 1) for _, r in values]
        print(f"  alone    {kind:16} median error {100 * statistics.median(errors):4.0f}%  within 30 %: {sum(e <= COLLECTIVE for e in errors)} of {len(errors)}   "
              + " ".join(f"{b >> 10}K:{r:.2f}" for b, r in values))


def links_of(run):
    """Calibrated / measured reference of the run's links (docs/metrics.md): hypervisors move cores between caches, which changes all messages at
    once. None: the cluster was not calibrated with as many ranks."""
    links = run["links"]
    calibrated = links.get("calibrated_reference_seconds")
    return calibrated and calibrated / statistics.mean(links["reference_seconds"])


def collective_medians(file):
    """By name without numbers, and phase: the median over steps, ranks and layers of the seconds after the last member began."""
    with open(file) as stream:
        events = json.load(stream)
    meetings = collections.defaultdict(list)
    for event in events["traceEvents"] if isinstance(events, dict) else events:
        if event.get("ph") == "X" and event.get("cat") == "collective" and event["args"].get("step", 0) > 1:
            meetings[event["args"]["step"], event["args"]["op"]].append(event)
    found = collections.defaultdict(list)
    for members in meetings.values():
        begin = max(event["ts"] for event in members)
        name = re.sub(r"\d+", "#", members[0]["name"]), members[0]["args"].get("phase", "")
        found[name] += [(event["ts"] + event["dur"] - begin) * 1e-6 for event in members]
    return {name: statistics.median(values) for name, values in found.items()}


def job(program, ranks, what, arguments, environment, folder):
    model, system, stage, micro_batch, precision = what
    options = ["--model", *MODELS[model], "--cluster", "local", "--strategy.system", system, "--strategy.zero-stage", stage, "--train.micro-batch", micro_batch,
               "--train.precision", precision, "--train.data", "chain", "--format", "json", "--perfetto"]
    best = None
    for repeat in range(arguments.repeats):
        trace = os.path.join(folder, f"run{repeat}.json")
        run = json.loads(output(mpi(ranks) + [program, "run", "--train.steps", str(arguments.steps)] + options + [trace], environment))
        if best is None or run["time"]["step_seconds"] < best[0]["time"]["step_seconds"]:
            best = run, collective_medians(trace)
    run, measured = best
    trace = os.path.join(folder, "simulate.json")
    simulated = json.loads(output([program, "simulate", "--ranks", str(ranks)] + options + [trace], environment))
    predicted = collective_medians(trace)
    ratio = simulated["time"]["step_seconds"] / run["time"]["step_seconds"]
    links = links_of(run)
    inside = {name: predicted[name] / measured[name] for name in measured if name in predicted and measured[name] > 0}
    print(f"  step     {model:5} {system:9} stage {stage} micro-batch {micro_batch} {precision:10}: measured {1e3 * run['time']['step_seconds']:8.2f} ms predicted / measured {ratio:.2f}"
          f"   exposed {1e3 * run['time']['exposed_communication_seconds']:.2f} / {1e3 * simulated['time']['exposed_communication_seconds']:.2f} ms   links {'?' if links is None else format(links, '.2f')}   "
          + " ".join(f"{name}/{phase}:{1e6 * measured[name, phase]:.0f}us:{value:.2f}" for (name, phase), value in inside.items()), flush=True)
    rows = [("step", run["time"]["step_seconds"], simulated["time"]["step_seconds"])]
    rows += [(f"collective {' '.join(name)}", measured[name], predicted[name]) for name in inside]
    return ratio, list(inside.values()), links is not None and abs(links - 1) <= MOVED, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--ranks", default="2,4,8")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--residuals")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for ranks in map(int, arguments.ranks.split(",")):
            environment = mpi_environment(ranks, cores)
            if arguments.calibrate:
                environment["XDG_CONFIG_HOME"] = folder
            print(f"{ranks} ranks on {cores} cores, load {os.getloadavg()[0]:.1f}{'' if ranks <= cores else ': more ranks than cores, no pass mark'}", flush=True)
            if arguments.calibrate:
                text = output(mpi(ranks) + [arguments.program, "calibrate"], environment)
                print("  " + "\n  ".join(line for line in text.splitlines() if line.startswith(("link", "GEMM", "vector", "within", "in brackets", "a reference", "something moves"))))
            alone(arguments.program, ranks, environment)
            ratios, collectives, steady = [], [], []
            for what in (what for kind in arguments.jobs.split(",") for what in JOBS[kind]):
                try:
                    ratio, inside, as_calibrated, found = job(arguments.program, ranks, what, arguments, environment, folder)
                except RuntimeError as error:
                    print(f"  step     {' '.join(what)}: not run: {error}", flush=True)
                    continue
                ratios.append(ratio)
                collectives += inside
                steady += inside if as_calibrated else []
                rows += [(" ".join(what), ranks, kind, "yes" if as_calibrated else "no", f"{measured:.6g}", f"{predicted:.6g}") for kind, measured, predicted in found]
            if not ratios: continue
            print(f"  steps within 25 %: {sum(abs(r - 1) <= STEP for r in ratios)} of {len(ratios)}, median ratio {statistics.median(ratios):.2f}; "
                  f"collectives of a step within 30 %: {sum(abs(r - 1) <= COLLECTIVE for r in collectives)} of {len(collectives)}, median ratio {statistics.median(collectives):.2f}; "
                  f"with links as calibrated: {sum(abs(r - 1) <= COLLECTIVE for r in steady)} of {len(steady)}")
    if arguments.residuals:
        with open(arguments.residuals, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("job", "ranks", "what", "links_as_calibrated", "measured_seconds", "predicted_seconds"), *rows])


if __name__ == "__main__":
    main()
