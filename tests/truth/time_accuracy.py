#!/usr/bin/env python3
"""Predicted against published and measured step times (tests/truth/time), one line a group; fails when worse than what was reached.
usage: time_accuracy.py ZEROSIM [--verbose] [llmfoundry|torchtitan|h200 ...]       docs/accuracy.md, section Time"""
import collections, csv, json, os, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__)) + "/time/"
# Mean error, 90th percentile, and least rank correlation of MFU: what was reached, rounded up.
LIMITS = {"llmfoundry": (0.031, 0.063, 0.86), "h200": (0.041, 0.072, None), "torchtitan": (0.042, 0.065, None)}
COVERAGE, COVERAGE_MARGIN = 0.8, 0.1   # of the intervals: configs/residuals.cfg; three standard deviations of a share of 110 rows
FP8_LIMIT = 0.15   # each row of 8-bit training
LLAMA = {"Llama3.1-8B": (32, 4096, 32, 8, 14336, 128256), "Llama3.1-70B": (80, 8192, 64, 8, 28672, 128256),
         "Llama3.1-405B": (126, 16384, 128, 8, 53248, 128256), "Llama2-13B": (40, 5120, 40, 40, 13824, 32000),
         "Llama2-70B": (80, 8192, 64, 8, 28672, 32000), "llama3.2-1b": (16, 2048, 32, 8, 8192, 128256), "llama3.2-3b": (28, 3072, 24, 8, 8192, 128256),
         "llama2-7b": (32, 4096, 32, 32, 11008, 32000), "llama3.1-8b": (32, 4096, 32, 8, 14336, 128256)}
GPT = {"gpt2-124m": (12, 768, 12), "gpt2-350m": (24, 1024, 16), "gpt2-774m": (36, 1280, 20), "gpt2-1.5b": (48, 1600, 25), "gpt3-2.7b": (32, 2560, 32)}


def gpt(layers, hidden, heads, vocabulary, positions, tied):
    return dict(model_type="gpt2", n_layer=layers, n_embd=hidden, n_head=heads, n_inner=4 * hidden, vocab_size=vocabulary, n_positions=positions,
                activation_function="gelu_pytorch_tanh", tie_word_embeddings=tied, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)


def llama(name, positions):
    layers, hidden, heads, kv, ffn, vocabulary = LLAMA[name]
    return dict(model_type="llama", num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=kv,
                intermediate_size=ffn, vocab_size=vocabulary, max_position_embeddings=positions, hidden_act="silu", tie_word_embeddings=False)


def llmfoundry(r):
    pure = r["fsdp_mixed_precision"] == "PURE"   # bf16 reductions, torch 1.13; DEFAULT: fp32, torch 2
    cluster = {"h100_80gb": "h100-sxm", "a100_80gb": "a100-sxm-80gb", "a100_40gb": "a100-sxm-40gb"}[r["gpu"]]
    options = {"cluster": cluster, "ranks": r["gpus"], "strategy.system": "fsdp", "strategy.zero-stage": r["zero_stage"],
               "train.micro-batch": r["micro_batch"], "train.sequence-length": r["seq_len"], "train.gradient-accumulation": r["grad_accum"],
               "train.recompute": "full" if r["act_ckpt"] == "True" else "none", "train.recompute-early-stop": "false" if pure else "true",
               "train.precision": "fp8-mixed" if "fp8" in r["precision"] else "bf16-mixed", "train.reduce-precision": "bf16" if pure else "fp32"}
    model = gpt(int(r["n_layers"]), int(r["d_model"]), int(r["n_heads"]), int(r["vocab"]), int(r["seq_len"]), True)
    return model, options, float(r["step_time_s_derived"]), r["gpu"] + (" fp8" if "fp8" in r["precision"] else ""), float(r["mfu_pct"])


def torchtitan(r):
    cluster = ("h200-sxm" if "H200" in r["gpu"] else "h100-sxm-96gb-500w" if "500W" in r["gpu"] else "h100-sxm" if "H100" in r["gpu"] else "a100-sxm-80gb")
    kept = r["act_ckpt"]
    recompute = "none" if kept == "none" else "every:2" if "layer" in kept else "selective" if "op" in kept else "full"
    bf16 = r["precision"] == "bf16"
    options = {"cluster": cluster, "ranks": r["gpus"], "strategy.system": "fsdp2", "strategy.zero-stage": 3, "train.micro-batch": r["local_batch"],
               "train.sequence-length": r["seq_len"], "train.compile": r["compile"].lower(), "train.recompute": recompute,
               "train.precision": "bf16-mixed" if bf16 else "fp8-mixed"}
    seconds = int(r["local_batch"]) * int(r["seq_len"]) / float(r["tps_per_gpu"])
    return llama(r["model"], int(r["seq_len"])), options, seconds, cluster + ("" if bf16 else " fp8"), 0.0


def h200(r):
    options = {"cluster": "h200-sxm", "ranks": r["ws"], "strategy.system": "fsdp2" if r["stage"] > 1 else "ddp", "strategy.zero-stage": r["stage"],
               "train.micro-batch": r["mb"], "train.sequence-length": r["seq"], "train.recompute": r.get("ac", "none"), "cluster.communication": "free"}
    tied = r["stage"] > 1
    model = gpt(*GPT[r["model"]], 50257, r["seq"], tied) if r["model"] in GPT else llama(r["model"], r["seq"])
    return model, options, r["step_s"], f"stage {r['stage']}", 0.0


def predict(zerosim, model, options):
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/config.json", "w") as f: json.dump(model, f)
        arguments = [x for k, v in options.items() for x in ("--" + k, str(v))]
        done = subprocess.run([zerosim, "simulate", "--format", "json", "--model", folder + "/config.json"] + arguments, capture_output=True, text=True, timeout=120)
    if done.returncode: raise SystemExit(f"{options}: {done.stderr.strip()}")
    return json.loads(done.stdout)["time"]


def ranks(values):
    order = sorted(values)
    return [statistics.mean(i for i, v in enumerate(order) if v == x) for x in values]


def spearman(a, b):
    x, y = ranks(a), ranks(b)
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((p - mx) * (q - my) for p, q in zip(x, y)) / (sum((p - mx) ** 2 for p in x) * sum((q - my) ** 2 for q in y)) ** 0.5


def describe(errors):
    a = sorted(map(abs, errors))
    return statistics.mean(a), a[min(len(a) - 1, int(0.9 * len(a)))], f"rows {len(a)}  mean {statistics.mean(a):.2%}  p90 {a[min(len(a) - 1, int(0.9 * len(a)))]:.2%}  max {a[-1]:.2%}  bias {statistics.mean(errors):+.2%}"


def rows_of(table):
    path = HERE + {"h200": "h200-steps.jsonl"}.get(table, table + ".csv")
    with open(path) as f: return [globals()[table](row) for row in (map(json.loads, f) if path.endswith("l") else csv.DictReader(f))]


def score(zerosim, table, verbose, inside):
    groups, worse = collections.defaultdict(list), []
    for model, options, measured, group, mfu in rows_of(table):
        time = predict(zerosim, model, options)
        predicted = time["step_seconds"]
        inside.append(time["step_seconds_low"] <= measured <= time["step_seconds_high"])
        groups[group].append((predicted / measured - 1, mfu, mfu * measured / predicted))
        if verbose: print(f"{predicted / measured - 1:+7.1%}  measured {measured:9.4f} s  predicted {predicted:9.4f} s  {group} {options}")
    mean_limit, p90_limit, rank_limit = LIMITS[table]
    for group, values in sorted(groups.items()):
        line = f"{table} {group}: {describe([e for e, _, _ in values])[2]}"
        if table == "llmfoundry" and len(values) > 2:
            correlation = spearman([m for _, m, _ in values], [p for _, _, p in values])
            line += f"  rank correlation of MFU {correlation:.3f}"
            if correlation < rank_limit: worse.append(f"{group}: rank correlation {correlation:.3f} < {rank_limit}")
        print(line)
    mean, p90, text = describe([e for g, v in groups.items() if "fp8" not in g for e, _, _ in v])   # fp8 is reported apart
    print(f"{table}: {text}")
    for group, values in groups.items():
        worst = max(abs(e) for e, _, _ in values)
        if "fp8" in group and worst > FP8_LIMIT: worse.append(f"{table} {group}: {worst:.2%} > {FP8_LIMIT:.0%}")
    if mean > mean_limit: worse.append(f"{table}: mean {mean:.2%} > {mean_limit:.2%}")
    if p90 > p90_limit: worse.append(f"{table}: p90 {p90:.2%} > {p90_limit:.2%}")
    return worse


if __name__ == "__main__":
    tables = [t for t in sys.argv[2:] if not t.startswith("--")] or list(LIMITS)
    inside = []   # of each row: whether the measured step lies in the predicted interval
    failures = [w for t in tables for w in score(sys.argv[1], t, "--verbose" in sys.argv, inside)]
    covered = statistics.mean(inside)
    print(f"intervals: {covered:.0%} of {len(inside)} measured steps inside, {COVERAGE:.0%} expected")
    if len(tables) == len(LIMITS) and abs(covered - COVERAGE) > COVERAGE_MARGIN: failures.append(f"intervals: {covered:.0%} of the steps inside, not {COVERAGE:.0%}")
    for failure in failures: print("WORSE THAN WHAT WAS REACHED:", failure)
    sys.exit(bool(failures))
