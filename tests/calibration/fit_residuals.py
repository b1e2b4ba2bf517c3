#!/usr/bin/env python3
"""Residuals of the calibration by class of error -> configs/residuals.cfg: what the interval around a predicted step is made of.
usage: fit_residuals.py ZEROSIM [--check]       --check prints coverage of rows that a fit did not see, and writes nothing

Quantiles of measured / predicted - 1. Compute: steps of tests/truth/time whose host share is small, by device generation. Host: steps bound
by the host, residual over the host's share. Collectives: sizes from 1 MiB up of the scored sweeps of tests/truth/collectives, by fabric.
Generations without measured steps: the pooled compute residuals, wider by what the GEMM grids' fit misses (fit_gemm.py: L40S, the worst)."""
import csv, math, os, statistics, sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "truth")]
import score_collectives, time_accuracy

COVERAGE = 0.8
HOST_SHARE = 0.15     # of the step: above it a row tells of the host, below it of the kernels
GEMM_GRID = 0.078     # mean error of the worst grid, L40S (fit_gemm.py, docs/accuracy.md)
MEAN_TO_QUANTILE = 1.2816 / 0.7979   # from a normal distribution's mean deviation to its 90 % quantile
GENERATIONS = {"a100-sxm-40gb": "ampere", "a100-sxm-80gb": "ampere", "h100-sxm": "hopper", "h100-sxm-96gb-500w": "hopper", "h200-sxm": "hopper"}
PCIE = ("l40s-pcie", "rtx4090-pcie", "rtx4090-pcie-p2p", "rtx-pro-6000-pcie", "a100-pcie-80gb", "h100-pcie")


def quantile(values, part):
    """Linear between order statistics, as Hyndman and Fan's type 6: unbiased for the share beyond it."""
    values = sorted(values)
    at = part * (len(values) + 1) - 1
    low = min(max(math.floor(at), 0), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * min(max(at - low, 0), 1)


def residual(values):
    beyond = (1 - COVERAGE) / 2
    return quantile(values, beyond), statistics.median(values), quantile(values, 1 - beyond)


def step_rows(zerosim):
    """(class, residual over its share of the step, table)"""
    found = []
    for table in time_accuracy.LIMITS:
        for model, options, measured, group, _ in time_accuracy.rows_of(table):
            time = time_accuracy.predict(zerosim, model, options)
            step = time["step_seconds"]
            host = max(0.0, step - time["compute_seconds"] - time["exposed_communication_seconds"]) / step
            error = measured / step - 1
            kind = "host" if host > HOST_SHARE else "compute-fp8" if "fp8" in group else "compute-" + GENERATIONS[options["cluster"]]
            found.append((kind, error / (host if kind == "host" else time["compute_seconds"] / step), table))
    return found


def collective_rows(zerosim):
    times, found = {}, []
    for row in score_collectives.read(score_collectives.pathlib.Path(ROOT) / "tests/truth/collectives/times.csv"):
        times.setdefault(row["sweep"], []).append((int(row["bytes"]), float(row["microseconds"]) * 1e-6))
    for sweep in score_collectives.read(score_collectives.pathlib.Path(ROOT) / "tests/truth/collectives/sweeps.csv"):
        large = [(size, seconds) for size, seconds in times[sweep["sweep"]] if size >= 1 << 20]
        if sweep["use"] != "score" or not large: continue
        model = score_collectives.predicted(zerosim, sweep, [size for size, _ in large])
        domain = 72 if "nvl72" in sweep["cluster"] else 8
        spans = (int(sweep["ranks"]) - 1) * int(sweep["stride"]) + 1 > domain
        kind = "network" if spans else "pcie" if sweep["cluster"] in PCIE else "nvlink"
        found += [("collectives-" + kind, seconds / model[size][0] - 1) for size, seconds in large]
    return found


def local_rows():
    """Steps and collectives of the executor on the calibrated machine that measured them (executor_against_simulator.py --residuals)."""
    found = []
    with open(os.path.join(ROOT, "tests", "truth", "time", "local.csv"), newline="") as file:
        for row in csv.DictReader(file):
            error = float(row["measured_seconds"]) / float(row["predicted_seconds"]) - 1
            found.append(("compute-cpu" if row["what"] == "step" else "collectives-cpu", error))
    return found


def by_class(rows):
    classes = {}
    for kind, value in rows: classes.setdefault(kind, []).append(value)
    return classes


def wider(middle):
    low, median, high = middle
    extra = GEMM_GRID * MEAN_TO_QUANTILE
    return median - math.hypot(median - low, extra), median, median + math.hypot(high - median, extra)


def section(name, values, rows, source):
    low, median, high = values
    return f"\n[{name}]{' ' * max(1, 30 - len(name))}# {source}\nlow = {low:.4f}\nmedian = {median:.4f}\nhigh = {high:.4f}\nrows = {rows}\n"


def check(steps, collectives):
    """How many rows lie between the quantiles of the others of their class, and of the other tables."""
    rows = [(kind, value) for kind, value, _ in steps] + collectives
    for kind, values in sorted(by_class(rows).items()):
        if len(values) < 4: continue
        inside = 0
        for i, value in enumerate(values):
            low, _, high = residual(values[:i] + values[i + 1:])
            inside += low <= value <= high
        low, median, high = residual(values)
        print(f"| {kind} | {len(values)} | {low:+.1%} | {median:+.1%} | {high:+.1%} | {inside / len(values):.0%} |")
    for left_out in time_accuracy.LIMITS:
        others = by_class([(kind, value) for kind, value, table in steps if table != left_out])
        own = [(residual(others[kind]), value) for kind, value, table in steps if table == left_out and len(others.get(kind, [])) >= 4]
        if own: print(f"{left_out}: {statistics.mean(low <= value <= high for (low, _, high), value in own):.0%} of {len(own)} rows inside intervals of the other tables")


def main():
    zerosim = sys.argv[1]
    steps, collectives = step_rows(zerosim), collective_rows(zerosim) + local_rows()
    if "--check" in sys.argv: return check(steps, collectives)
    classes = by_class([(kind, value) for kind, value, _ in steps] + collectives)
    text = ("# How far measured times lie from predicted ones: quantiles of measured / predicted - 1 between which `coverage` of the rows lie.\n"
            "# Written by tests/calibration/fit_residuals.py ZEROSIM; docs/accuracy.md, section Intervals. Do not edit.\n\n"
            f"coverage = {COVERAGE}\n")
    for kind in sorted(classes):
        source = ("tests/truth/time/local.csv" if kind.endswith("cpu") else
                  "tests/truth/collectives, 1 MiB and more" if kind.startswith("collectives") else "tests/truth/time")
        text += section(kind, residual(classes[kind]), len(classes[kind]), source)
    pooled = [value for kind in classes if kind in ("compute-ampere", "compute-hopper") for value in classes[kind]]
    text += section("compute-other", wider(residual(pooled)), len(pooled), "no steps measured: ampere and hopper, and the worst GEMM grid")
    with open(os.path.join(ROOT, "configs", "residuals.cfg"), "w") as file: file.write(text)
    print(text)


if __name__ == "__main__":
    main()
