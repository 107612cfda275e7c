"""Recorded calls to calibrate on: three sets under Apache-2.0 (see tests/data/cascade/README.md), and made ones whose truth is known."""
import numpy as np, pandas as pd
from places import DATA, ROOT

GSM8K = ["mixtral-8x7b", "gpt-4-1106"]
ARENA = ["gemini-2.0-flash", "claude-3-haiku"]


def gsm8k(): return pd.read_csv(ROOT/"nbs"/"tutorials"/"06_cascade_pays.csv.gz")


def mmlu(group=False):
    "No answers were kept: what there is to go by is the domain and the length of the question"
    wide = pd.read_csv(DATA/"cascade"/"mmlu.csv.gz").reset_index(names="case")
    shared = dict(case=wide["case"], answer=None, **{"group" if group else "domain": wide["domain"]}, characters=wide["characters"])
    sides = [pd.DataFrame(dict(shared, model=m, cost=wide["characters"] / 4e6 * usd, correct=wide[column]))
        for m, column, usd in (("mixtral-8x7b", "mixtral", 0.24), ("gpt-4-1106", "gpt4", 24.7))]
    return pd.concat(sides, ignore_index=True)


def arena(): return pd.read_csv(DATA/"cascade"/"routerarena.csv.gz")


def made(n=2000, seed=0, weak=0.7, strong=0.9, signal=0.9, ratio=20.0, second=False, group=None, logs=False):
    "Cases whose truth is known: `signal` 1 is a perfect confidence, 0 is noise; `strong` may be a rate for each case"
    chance = np.random.default_rng(seed)
    hard = chance.random(n)
    good = chance.random(n) < (weak if np.isscalar(weak) else np.asarray(weak))
    best = chance.random(n) < strong
    sure = np.clip(np.where(chance.random(n) < signal, np.where(good, 0.5 + hard / 2, hard / 2), hard), 1e-6, 1)
    cases, key, miss = [f"c{i}" for i in range(n)], chance.integers(0, 4, n), chance.integers(1, 4, (3, n))
    said = lambda ok, who: np.array(list("ABCD"))[(key + np.where(ok, 0, miss[who])) % 4]
    rows = dict(cheap=dict(answer=said(good, 0), correct=good, cost=1 / ratio, confidence=np.log(sure) if logs else sure),
        strong=dict(answer=said(best, 1), correct=best, cost=1.0))
    if second: rows["second"] = dict(answer=said(chance.random(n) < 0.7, 2), cost=1 / ratio)
    table = pd.concat([pd.DataFrame(dict(case=cases, model=m, **columns)) for m, columns in rows.items()], ignore_index=True)
    return table if group is None else table.assign(group=np.tile(np.asarray(group), len(rows)))
