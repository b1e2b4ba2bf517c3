#!/usr/bin/env python3
"""How far `zerosim collectives --predict` is from published sweeps (tests/truth/collectives).

usage: score_collectives.py PROGRAM [--sweeps] [--sizes SWEEP] [--data FOLDER]

A sweep's error is the median of |predicted / measured - 1| over its sizes, and over those from 16 MiB up. Sweeps marked `bad` or
`forced` in sweeps.csv are printed and not counted. Standard library only.
"""
import argparse
import csv
import pathlib
import statistics
import subprocess
import sys

LARGE = 16 << 20
LIMIT_ALL, LIMIT_LARGE = 0.15, 0.08


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def predicted(program, sweep, sizes):
    """Seconds by size, of one call of the program. Sizes that do not divide are those of the nearest message below."""
    command = [program, "collectives", "--predict", "--format", "csv", "--cluster", sweep["cluster"], "--ranks", sweep["ranks"],
               "--stride", sweep["stride"], "--kind", sweep["kind"], "--sizes", ",".join(map(str, sizes)),
               "--type", "bf16" if sweep["dtype"] in ("half", "bfloat16") else "fp32"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(text.splitlines()))
    return {size: (float(row["seconds"]), row["algorithm"], row["protocol"]) for size, row in zip(sizes, rows)}


def median_error(errors):
    return statistics.median(abs(e) for e in errors) if errors else None


def percent(value):
    return "      -" if value is None else f"{100 * value:6.1f}%"


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--data", type=pathlib.Path, default=here.parent / "truth" / "collectives")
    parser.add_argument("--sweeps", action="store_true", help="a line for each sweep")
    parser.add_argument("--sizes", default="", help="a line for each size of sweeps whose name holds this")
    arguments = parser.parse_args()
    times = {}
    for row in read(arguments.data / "times.csv"):
        times.setdefault(row["sweep"], []).append((int(row["bytes"]), float(row["microseconds"]) * 1e-6))
    clusters = {}
    for sweep in read(arguments.data / "sweeps.csv"):
        measured = times[sweep["sweep"]]
        model = predicted(arguments.program, sweep, [size for size, _ in measured])
        errors = [(size, model[size][0] / seconds - 1) for size, seconds in measured]
        whole = median_error([e for _, e in errors])
        large = median_error([e for size, e in errors if size >= LARGE])
        clusters.setdefault(sweep["cluster"], []).append((sweep, whole, large))
        missed = sweep["use"] == "score" and (whole > LIMIT_ALL or (large or 0) > LIMIT_LARGE)
        if arguments.sweeps:
            print(f"{sweep['cluster']:20} {sweep['sweep']:46} {sweep['use']:6} all {percent(whole)} large {percent(large)}"
                  f"{'  <-- missed' if missed else ''}")
        if arguments.sizes and arguments.sizes in sweep["sweep"]:
            for (size, seconds), (_, error) in zip(measured, errors):
                print(f"  {size:>12} {seconds * 1e6:12.1f} us {model[size][0] * 1e6:12.1f} us {100 * error:+7.1f}%"
                      f" {model[size][1]} {model[size][2]}")
    print(f"{'cluster':20} {'sweeps':>6} {'scored':>6} {'all sizes':>10} {'worst':>8} {'>= 16 MiB':>10} {'worst':>8} {'within':>7}")
    counted = within = 0
    for name, rows in sorted(clusters.items()):
        scored = [(w, l) for s, w, l in rows if s["use"] == "score"]
        good = sum(w <= LIMIT_ALL and (l is None or l <= LIMIT_LARGE) for w, l in scored)
        counted, within = counted + len(scored), within + good
        all_sizes, large = [w for w, _ in scored], [l for _, l in scored if l is not None]
        print(f"{name:20} {len(rows):6} {len(scored):6} {percent(median_error(all_sizes)):>10} {percent(max(all_sizes, default=None)):>8}"
              f" {percent(median_error(large)):>10} {percent(max(large, default=None)):>8} {good:4}/{len(scored)}")
    print(f"{within} of {counted} scored sweeps within {LIMIT_ALL:.0%} over all sizes and {LIMIT_LARGE:.0%} from 16 MiB up")
    return 0


if __name__ == "__main__":
    sys.exit(main())
