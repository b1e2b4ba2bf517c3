#!/usr/bin/env python3
"""How far `zerosim simulate` is from `zerosim run` on this machine, step and each collective (docs/accuracy.md, "This machine").

usage: executor_against_simulator.py PROGRAM [--ranks 2,4,8] [--steps 22] [--calibrate] [--models gpt-mini] [--repeats 1]
Wants an idle machine. With --calibrate the links and kernels are measured first, with the same number of ranks, into a folder of its
own; without it the cluster `local` is the user's. A job is repeated and the least median step counts. Pass marks (step 25 %, collective
30 %) hold where ranks <= cores; other rows are information. Collectives are compared twice: alone (`zerosim collectives --compare`), and
inside the step, where those that are hidden behind kernels share their cores. Standard library only; not a test: it measures time.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

JOBS = [("0", "4"), ("1", "4"), ("2", "4"), ("3", "4"), ("3", "1")]   # stage, micro-batch


def output(command, environment):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def mpi(ranks):
    return ["mpirun", "--oversubscribe", "-n", str(ranks)] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])


def alone(program, ranks, environment):
    """|predicted / measured - 1| of collectives that nothing else runs beside."""
    text = output(mpi(ranks) + [program, "collectives", "--compare", "--format", "json", "--minimum-bytes", "1K", "--maximum-bytes", "64M",
                                "--step-factor", "4", "--repeats", "30"], environment)
    rows = json.loads(text)["collectives"]
    ratios = {}
    for row in rows:
        predicted = row.get("predicted_seconds") or row.get("predicted", {}).get("seconds")
        ratios.setdefault(row["kind"], []).append((row.get("bytes") or row.get("message_bytes"), predicted / row["seconds"]))
    for kind, values in ratios.items():
        errors = [abs(r - 1) for _, r in values]
        print(f"  alone    {kind:16} median error {100 * statistics.median(errors):4.0f}%  within 30 %: {sum(e <= 0.3 for e in errors)} of {len(errors)}   "
              + " ".join(f"{b >> 10}K:{r:.2f}" for b, r in values))


def job(program, ranks, model, stage, micro_batch, arguments, environment):
    options = ["--model", model, "--cluster", "local", "--strategy.zero-stage", stage, "--train.micro-batch", micro_batch, "--train.data", "chain",
               "--format", "json"]
    runs = [json.loads(output(mpi(ranks) + [program, "run", "--train.steps", str(arguments.steps)] + options, environment)) for _ in range(arguments.repeats)]
    run = min(runs, key=lambda r: r["time"]["step_seconds"])
    simulated = json.loads(output([program, "simulate", "--ranks", str(ranks)] + options, environment))
    ratio = simulated["time"]["step_seconds"] / run["time"]["step_seconds"]
    inside = " ".join(f"{a['kind']}/{a['phase']}:{b['seconds'] / a['seconds']:.2f}" for a, b in
                      zip(run["communication"]["collectives"], simulated["communication"]["collectives"]) if a["seconds"] > 0)
    print(f"  step     {model} stage {stage} micro-batch {micro_batch}: measured {1e3 * run['time']['step_seconds']:8.2f} ms predicted / measured {ratio:.2f}"
          f"   exposed {1e3 * run['time']['exposed_communication_seconds']:.2f} / {1e3 * simulated['time']['exposed_communication_seconds']:.2f} ms   {inside}", flush=True)
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--ranks", default="2,4,8")
    parser.add_argument("--steps", type=int, default=22)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--models", default="gpt-micro,gpt-mini")
    parser.add_argument("--calibrate", action="store_true")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if arguments.calibrate:
            environment["XDG_CONFIG_HOME"] = folder
        for ranks in map(int, arguments.ranks.split(",")):
            print(f"{ranks} ranks on {cores} cores, load {os.getloadavg()[0]:.1f}{'' if ranks <= cores else ': more ranks than cores, no pass mark'}", flush=True)
            if arguments.calibrate:
                text = output(mpi(ranks) + [arguments.program, "calibrate"], environment)
                print("  " + "\n  ".join(line for line in text.splitlines() if line.startswith(("link", "GEMM", "vector", "in brackets"))))
            alone(arguments.program, ranks, environment)
            ratios = [job(arguments.program, ranks, model, stage, micro, arguments, environment)
                      for model in arguments.models.split(",") for stage, micro in JOBS]
            print(f"  steps within 25 %: {sum(abs(r - 1) <= 0.25 for r in ratios)} of {len(ratios)}")


if __name__ == "__main__":
    main()
