"""What a calibrated cascade keeps and saves on cases it has not seen: `python bench/cascade.py [splits]`.

Each set is split into halves at random, `fit` sees one half and the other half is measured. `kept` counts the splits in which the
floor held there, refusals included; the savings are means over all splits. Then the time of `fit` and of a decision.
"""
import sys, time
from pathlib import Path

import numpy as np, pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent/"tests"/"helpers"))
from cascade_data import ARENA, GSM8K, arena, gsm8k, made, mmlu  # noqa: E402

from agentnb.cascade import Records, fit  # noqa: E402

SETS = {"gsm8k": (gsm8k, GSM8K, {}), "mmlu, domain as a feature": (mmlu, GSM8K, {}), "mmlu, domains as groups": (lambda: mmlu(group=True), GSM8K, {}),
    "arena": (arena, ARENA, {}), "arena, the other way": (arena, ARENA[::-1], {}), "made: confidence": (made, ["cheap", "strong"], {}),
    "made: confidence, second": (lambda: made(second=True), ["cheap", "strong"], dict(second="second")),
    "made: noise": (lambda: made(signal=0), ["cheap", "strong"], {}), "made: weak tier": (lambda: made(weak=0.15), ["cheap", "strong"], {}),
    "made: price ratio 3": (lambda: made(ratio=3, signal=0.3), ["cheap", "strong"], {}),
    "made: label-free": (made, ["cheap", "strong"], dict(label_free=True))}


def compare(splits):
    print(f"{'set':26} {'floor':>5} {'kept':>6} {'quality':>8} {'lowest':>7} {'saved':>7} {'random':>7} {'oracle':>7} {'refused':>8}  why")
    for name, (table, tiers, how) in SETS.items():
        records = Records.from_frame(table())
        for floor in (0.95, 0.98):
            reports, refused = [], []
            for seed in range(splits):
                train, test = records.split(seed=seed)
                policy = fit(train, tiers, quality=floor, **how)
                reports.append(policy.evaluate(test))
                if policy.refused: refused.append(policy.refused)
            columns = ("quality", "saved", "random_mix", "oracle")
            quality, *saved = (float(np.mean([getattr(r, c) for r in reports])) for c in columns)
            kept, lowest = sum(r.keeps_floor for r in reports), min(r.quality for r in reports)
            print(f"{name:26} {floor:5} {kept:3}/{splits} {quality:8.3f} {lowest:7.3f} {' '.join(f'{s:7.1%}' for s in saved)} "
                f"{len(refused):4}/{splits}  {(refused or [''])[0][:90]}", flush=True)


def timed():
    for name, table in (("a confidence", made(10_000)), ("answers and questions", copies(gsm8k(), 10_000))):
        records, start = Records.from_frame(table), time.perf_counter()
        policy = fit(records, table["model"].unique()[:2], quality=0.95)
        print(f"fit on {len(records):,} cases with {name}: {time.perf_counter() - start:.2f} s, {policy.signal and policy.signal.name}")
    for second in (None, "second"):
        table = made(second=bool(second))
        policy = fit(table, ["cheap", "strong"], quality=0.95, second=second)
        frames = [rows for _, rows in table.groupby("case")]
        for kind, given in (("dicts", [f.to_dict("records") for f in frames]), ("a frame", frames)):
            took = []
            for rows in given:
                start = time.perf_counter()
                policy.decide(rows)
                took.append(time.perf_counter() - start)
            usual, slow = 1e6 * np.quantile(took, [0.5, 0.99])
            print(f"decide by {policy.signal and policy.signal.name}, {kind}: {usual:.0f} µs, 99 % below {slow:.0f} µs")


def copies(table, cases):
    size = table["case"].nunique()
    times = -(-cases // size)
    long = pd.concat([table.assign(case=table["case"] + i * size) for i in range(times)], ignore_index=True)
    return long[long["case"] < cases]


if __name__ == "__main__":
    compare(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    timed()
