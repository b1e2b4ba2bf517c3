#!/usr/bin/env python3
"""Predicted against published memory of inference (rows.csv). ZEROSIM names the program; prints one line a row and the medians."""
import csv, json, os, statistics, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
ZEROSIM = os.environ.get("ZEROSIM", os.path.join(HERE, "../../../build/release/zerosim"))
UNIT = {"GB": 1e9, "GiB": 2**30, "tokens": 1}


def predicted(row, result):
    inference, memory = result["inference"], result["memory"]
    return {
        "reserved": lambda: memory["peak_reserved_bytes"],
        # Both the old and the new cache of all layers (rows.csv): ours holds one of them.
        "allocated_twice": lambda: max(inference["prefill_peak_bytes"], inference["decode_peak_bytes"]) + inference["kv_cache_bytes"],
        "pool": lambda: inference["kv_pool_bytes"],
        "pool_tokens": lambda: inference["kv_pool_bytes"] / inference["kv_bytes_per_token"],
        "weights": lambda: inference["weights_bytes"],
        "activations": lambda: inference["prefill_peak_bytes"] - inference["weights_bytes"] - inference["kv_pool_bytes"],
    }[row["what"]]()


def main():
    errors = {}
    with open(os.path.join(HERE, "rows.csv")) as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for row in rows:
        command = [ZEROSIM, "simulate", "--mode", "inference", "--format", "json", "--model", row["model"], "--cluster", row["cluster"],
                   "--inference.cache", row["cache"], "--inference.kv-precision", row["kv"], "--train.quantize-weights", row["quantize"],
                   "--inference.batch", row["batch"], "--inference.prompt-tokens", row["prompt"], "--inference.new-tokens", row["new"]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"FAILED {row['source']} {row['model']}: {done.stderr.strip()}")
            sys.exit(1)
        value, true = predicted(row, json.loads(done.stdout)), float(row["value"]) * UNIT[row["unit"]]
        error = value / true - 1
        errors.setdefault(row["source"], []).append(error)
        print(f"{row['source']:7} {row['model']:12} {row['kv']:8} {row['quantize']:11} batch {row['batch']:>4} {row['what']:15}"
              f" {value / UNIT[row['unit']]:10.2f} {row['value']:>9} {row['unit']:6} {100 * error:+6.1f} %")
    for source, all_errors in errors.items():
        print(f"{source}: rows {len(all_errors)}, median {100 * statistics.median(map(abs, all_errors)):.1f} %, worst {100 * max(map(abs, all_errors)):.1f} %")


if __name__ == "__main__":
    main()
