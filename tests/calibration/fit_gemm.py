#!/usr/bin/env python3
"""Fits the GEMM constants of src/cluster/generation.cpp (src/cost/gemm_cost.cpp's formula) to tests/calibration/gemm.csv, by coordinate
descent on the mean absolute log error.        usage: fit_gemm.py [GPU ...]
gemm.csv: bf16 rows with m >= 1024 of ai-dynamo/aiconfigurator@095f58a51 systems/data/*/gemm/trtllm/{1.0.0,1.3.0rc20}/gemm_perf.parquet."""
import csv, math, os, sys

# Datasheet: dense bf16 peak in FLOP/s, multiprocessors, bytes per second.
DEVICES = {"a100_sxm": (312e12, 108, 2039e9), "h100_sxm": (989.4e12, 132, 3350e9), "h200_sxm": (989.4e12, 132, 4800e9),
           "b200_sxm": (2250e12, 148, 8000e9), "l40s": (362e12, 142, 864e9)}
TILES = [(256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64)]
NAMES = ["efficiency", "depth overhead", "small tile loss", "wave quantization", "launch seconds", "memory efficiency"]
START = [0.85, 100, 0.2, 0.6, 3e-6, 0.8]


def seconds(m, n, k, parameters, device):
    efficiency, depth, loss, quantization, launch, memory = parameters
    peak, multiprocessors, bandwidth = device
    best = math.inf
    for rows, columns in TILES:
        full = math.ceil(m / rows) * math.ceil(n / columns) / multiprocessors
        waves = full + quantization * (math.ceil(full) - full)
        area = rows * columns
        best = min(best, waves * 2 * area * (k + depth) * multiprocessors / (peak * efficiency * (area / 32768) ** loss))
    return launch + max(best, 2 * (m * k + n * k + m * n) / (bandwidth * memory))


def errors(rows, parameters, device): return [abs(math.log(seconds(m, n, k, parameters, device) / t)) for m, n, k, t in rows]
def mean(values): return sum(values) / len(values)


def fit(rows, device):
    parameters, steps = list(START), [0.1, 0.5, 0.3, 0.3, 0.5, 0.1]
    best = mean(errors(rows, parameters, device))
    for _ in range(6):
        for i, step in enumerate(steps):
            for factor in (1 + step, 1 / (1 + step)):
                while True:
                    trial = parameters[:]
                    trial[i] *= factor
                    if i == 3: trial[i] = min(trial[i], 1.0)
                    error = mean(errors(rows, trial, device))
                    if error >= best - 1e-6: break
                    best, parameters = error, trial
        steps = [0.6 * s for s in steps]
    return parameters


if __name__ == "__main__":
    with open(os.path.dirname(os.path.abspath(__file__)) + "/gemm.csv") as f: table = list(csv.DictReader(f))
    for gpu in sys.argv[1:] or DEVICES:
        rows = [(int(r["m"]), int(r["n"]), int(r["k"]), float(r["latency_us"]) * 1e-6) for r in table if r["gpu"] == gpu]
        parameters = fit(rows, DEVICES[gpu])
        found = sorted(errors(rows, parameters, DEVICES[gpu]))
        print(f"{gpu}: {len(rows)} rows, mean error {mean(found):.1%}, median {found[len(found) // 2]:.1%}, p90 {found[int(0.9 * len(found))]:.1%}")
        print("   " + ", ".join(f"{name} {value:.4g}" for name, value in zip(NAMES, parameters)))
