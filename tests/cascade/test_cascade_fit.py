"""Calibrating a cascade: the floor on halves that were not seen, refusals, made records whose truth is known, bad input."""
import pickle, subprocess, sys, time
from decimal import Decimal

import numpy as np, pandas as pd, pytest
from cascade_data import ARENA, GSM8K, arena, gsm8k, made, mmlu

from agentnb.cascade import Records, fit
from agentnb.cascade.bounds import is_certified, evidence, last_certified
from agentnb.cascade.paired import pair_cases
from agentnb.cascade.report import oracle, random_mix
from agentnb.cascade.text import answer_features, final_answer, word_counts, wrong_sums

TIERS = ["cheap", "strong"]


def halves(table, tiers, floor, splits=20, **how):
    records, out = Records.from_frame(table), []
    for seed in range(splits):
        train, test = records.split(seed=seed)
        policy = fit(train, tiers, quality=floor, **how)
        out.append((policy, policy.evaluate(test)))
    kept, saved = sum(r.keeps_floor for _, r in out), float(np.mean([r.saved for _, r in out]))
    mix, best = (float(np.mean([getattr(r, n) for _, r in out])) for n in ("random_mix", "oracle"))
    print(f"floor {floor}: kept {kept} of {splits}, saved {saved:.1%}, random mix {mix:.1%}, oracle {best:.1%}, {sum(bool(p.refused) for p, _ in out)} refused")
    return kept, saved, mix, [p for p, _ in out], [r for _, r in out]


@pytest.mark.parametrize("floor, least", [(0.95, 0.15), (0.98, 0.02)])
def test_grade_school_mathematics(floor, least):
    kept, saved, mix, *_ = halves(gsm8k(), GSM8K, floor)
    assert kept >= 19 and saved > least


@pytest.mark.parametrize("floor", [0.95, 0.98])
def test_multiple_choice_by_domain(floor):
    "Only the question's domain and length are known, and the domains differ enough to be worth something"
    kept, saved, mix, *_ = halves(mmlu(), GSM8K, floor)
    assert kept >= 19 and saved > 1.3 * mix


def test_domains_as_groups():
    kept, saved, _, policies, reports = halves(mmlu(group=True), GSM8K, 0.95)
    own = [g for g in policies[0].thresholds if g is not None]
    assert kept >= 19 and saved > 0.15 and len(own) >= 5
    misses = [(r.groups.loc[g, "quality"] < 0.95) for p, r in zip(policies, reports) for g in p.thresholds if g is not None]
    assert np.mean(misses) < 0.05


@pytest.mark.parametrize("floor", [0.95, 0.98])
def test_a_better_and_cheaper_model_is_asked_alone(floor):
    kept, saved, _, policies, _ = halves(arena(), ARENA, floor)
    assert kept == 20 and saved > 0.7 and all(p.single_model == ARENA[0] and "alone is good enough" in p.refused for p in policies)
    assert policies[0].decide(dict(model=ARENA[0], answer="")) == "accept"


def test_a_dear_first_tier_is_refused():
    kept, saved, _, policies, reports = halves(arena(), ARENA[::-1], 0.95, splits=3)
    assert saved == 0 and all("is not cheaper" in p.refused and p.single_model == ARENA[0] for p in policies) and reports[0].quality == 1


@pytest.mark.parametrize("floor", [0.95, 0.98])
@pytest.mark.parametrize("how", [dict(), dict(logs=True), dict(second=True), dict(signal=0.4), dict(strong=0.99, weak=0.9)], ids=str)
def test_made_records_keep_the_floor(how, floor):
    kept, saved, mix, policies, _ = halves(made(**how), TIERS, floor, second="second" if how.get("second") else None)
    assert kept >= 19 and (saved > mix or how.get("signal") == 0.4)


def test_fresh_records_keep_the_floor():
    "Each time other cases, fitted on 400 and judged by 20,000: the true quality, not that of another half"
    table = lambda n, seed: made(n, seed, strong=0.95, signal=0.5)
    seen = [fit(table(400, seed), TIERS, quality=0.95).evaluate(table(20_000, 1000 + seed)) for seed in range(20)]
    assert sum(r.keeps_floor for r in seen) >= 19 and np.mean([r.saved for r in seen]) > 0.1


def test_naive_tuning_breaks_the_floor_that_is_certified_here():
    "The threshold that is best on the train half, against the certified one"
    naive = kept = 0
    for seed in range(40):
        train, test = made(300, seed, strong=0.95, signal=0.25), made(5000, 500 + seed, strong=0.95, signal=0.25)
        cases, other = (pair_cases(Records.from_frame(t), TIERS) for t in (train, test))
        sure, later = (np.array([r["confidence"] for r in c.first]) for c in (cases, other))
        good = [t for t in np.unique(sure) if np.where(sure >= t, cases.weak_quality, cases.strong_quality).mean() >= 0.98 * cases.strong_quality.mean()]
        naive += np.where(later >= min(good, default=2), other.weak_quality, other.strong_quality).mean() >= 0.98 * other.strong_quality.mean()
        kept += fit(train, TIERS, quality=0.98).evaluate(test).keeps_floor
    assert naive < 30 and kept >= 38


def test_groups_of_different_quality():
    "On average the floor would hold; in the hard group it would not"
    size = 4000
    group = np.where(np.arange(size) % 2, "hard", "easy")
    table = made(size, weak=np.where(group == "easy", 0.97, 0.45), strong=0.93, signal=0.15, group=group)
    kept = 0
    for seed in range(20):
        train, test = Records.from_frame(table).split(seed=seed)
        policy = fit(train, TIERS, quality=0.95)
        report = policy.evaluate(test)
        assert set(policy.thresholds) == {"easy", "hard"} and report.saved > 0.3
        kept += (report.groups["quality"] >= 0.95).all()
    assert kept >= 19
    assert policy.decide(dict(model="cheap", answer="A", confidence=0.999, group="new")) == "escalate"


@pytest.mark.parametrize("how, says", [
    (dict(signal=0), "says nothing|no threshold|random mix|no saving"), (dict(weak=0.1, signal=0.3), "no saving|no threshold|says nothing"),
    (dict(ratio=3, signal=0.25), "no saving|no threshold"), (dict(weak=0.95, strong=0.9), "alone is good enough")], ids=str)
@pytest.mark.parametrize("floor", [0.95, 0.98])
def test_what_does_not_pay_is_refused(how, says, floor):
    refused = [fit(made(2000, seed, **how), TIERS, quality=floor).refused for seed in range(10)]
    assert sum(r is not None for r in refused) >= 9 and all(any(s in r for s in says.split("|")) for r in refused if r)


def test_without_labels_the_floor_is_on_agreement():
    table = made(4000, strong=0.97, weak=0.85, signal=0.9)
    train, test = Records.from_frame(table).split()
    policy = fit(train.frame.drop(columns="correct"), TIERS, quality=0.95, label_free=True)
    blind, seen = policy.evaluate(test.frame.drop(columns="correct")), policy.evaluate(test)
    assert not policy.refused and blind.keeps_floor and blind.saved > 0.4 and seen.keeps_floor


def test_the_price_of_every_probe_counts():
    table = made(second=True)
    policy = fit(table, TIERS, quality=0.95, second="second")
    report = policy.evaluate(table)
    assert report.saved == pytest.approx(1 - 2 / 20 - report.escalated)
    rows = table[table["case"] == "c0"]
    assert policy.decide(rows[rows["model"] != "second"]) == "escalate"


def test_the_oracle_is_not_beaten_and_the_mix_just_keeps_the_floor():
    for seed in range(5):
        cases = pair_cases(Records.from_frame(made(300, seed)), TIERS)
        best, mix = oracle(cases, 0.97), random_mix(cases, 0.97)
        assert best.quality == pytest.approx(0.97) and mix.quality == pytest.approx(0.97) and 0 < mix < best < 1 - 1 / 20 + 1e-9


def test_a_decision_takes_rows_of_any_shape():
    table = made(signal=1.0)
    policy = fit(table, TIERS, quality=0.95)
    for case in ("c0", "c1", "c2", "c3"):
        rows = table[table["case"] == case]
        dicts = rows.to_dict("records")
        shapes = (rows, rows[rows["model"] == "cheap"], dicts, dicts[:1], dicts[0], rows.iloc[0], dict(dicts[0], cost=Decimal("0.05")))
        said = {policy.decide(r) for r in shapes}
        assert said == {"accept" if dicts[0]["correct"] else "escalate"}
    assert policy.decide(dict(model="cheap", confidence=None)) == policy.decide(dict(model="cheap", answer="A")) == "escalate"
    for wrong in ([], dicts[1:], table[table["case"].isin(["c0", "c1"])]):
        with pytest.raises(ValueError, match="decide takes the rows of one case"): policy.decide(wrong)


def test_log_probabilities_and_probabilities_decide_alike():
    policies = [fit(made(logs=logs), TIERS, quality=0.95) for logs in (False, True)]
    assert policies[0].evaluate(made(seed=1)).saved == policies[1].evaluate(made(seed=1, logs=True)).saved
    assert [p.decide(dict(model="cheap", answer="A", confidence=0.0)) for p in policies] == ["escalate", "accept"]


def test_fitting_twice_gives_the_same():
    one, two = (fit(gsm8k(), GSM8K, quality=0.95) for _ in range(2))
    assert repr(one) == repr(two) and one.signal.name == "a fitted scorer"


def test_a_row_without_what_the_scorer_reads_is_an_error():
    policy = fit(gsm8k(), GSM8K, quality=0.95)
    assert policy.signal.texts == ["answer", "question"]
    with pytest.raises(ValueError, match="has no question, which the policy was fitted on"): policy.decide(dict(model=GSM8K[0], answer="18"))


def drop(table, model): return table[table["model"] != model]


@pytest.mark.parametrize("change, says", [
    (lambda t: drop(t, "strong"), "no rows of model 'strong'"), (lambda t: t.drop(columns="cost"), "missing columns: cost"),
    (lambda t: t.drop(columns=["case", "model"]), "missing columns: case, model"), (lambda t: t.iloc[:0], "no rows"),
    (lambda t: t.assign(cost=t["cost"].where(t["case"] != "c3")), "cost is missing in case 'c3' of cheap, case 'c3' of strong"),
    (lambda t: t.assign(cost=-t["cost"]), "negative"), (lambda t: t.assign(cost="cheap"), "cost holds text"),
    (lambda t: pd.concat([t, t[t["case"] == "c5"]]), "duplicate rows: case 'c5' of cheap"),
    (lambda t: t.assign(correct="yes"), "correct holds text in case 'c0' of cheap"), (lambda t: t.assign(correct=7), "correct is 7"),
    (lambda t: t.assign(correct=None), "no `correct` is known of cheap and strong"), (lambda t: t.drop(columns="correct"), "label_free=True"),
    (lambda t: t.drop(columns=["correct", "answer"]), "neither `answer` nor `correct`"),
    (lambda t: t.assign(confidence=80), "confidence of cheap goes up to 80"),
    (lambda t: t.assign(confidence=np.tile([-0.5, 0.5], len(t) // 2)), "Write the one or the other"),
    (lambda t: t.assign(case=t["case"].where(t["case"] != "c1")), "case is missing"),
    (lambda t: t.assign(case=t["model"] + t["case"]), "no case was answered by cheap and strong"),
    (lambda t: t.assign(extra=[[1, 2]] * len(t)), "the feature extra holds list")])
def test_bad_input_is_named(change, says):
    with pytest.raises(ValueError) as e: fit(change(made(300)), TIERS)
    assert says in str(e.value)


@pytest.mark.parametrize("how, says", [
    (dict(tiers=["cheep", "strong"]), "did you mean 'cheap'"), (dict(tiers=["cheap"]), "name two models"), (dict(tiers="cheap"), "name two models"),
    (dict(quality=98), "quality=98"), (dict(confidence=95), "confidence=95"), (dict(second="cheap"), "is one of the tiers"),
    (dict(second="third"), "no rows of model 'third'")])
def test_bad_arguments_are_named(how, says):
    with pytest.raises(ValueError) as e: fit(made(300), **dict(dict(tiers=TIERS), **how))
    assert says in str(e.value)


@pytest.mark.parametrize("table, alone, says", [
    (made(5), "strong", "5 cases are too few"), (made(1000).assign(correct=True), "cheap", "alone is good enough"),
    (made(1000).assign(correct=False), "strong", "right in none of 1,000 cases"),
    (made(1000, weak=0.0), "strong", "no saving is certain"), (made(1000, signal=0).drop(columns="confidence"), "strong", "")], ids=range(5))
def test_what_cannot_be_certified_is_refused_in_words(table, alone, says):
    policy = fit(table, TIERS)
    assert policy.single_model == alone and says in policy.refused and policy.evaluate(made(500)).saved == (0 if alone == "strong" else 0.95)


def test_cases_that_one_model_lacks_are_left_out_and_counted():
    table = made(2000)
    sampled = table[(table["model"] == "cheap") | (table["case"].str[1:].astype(int) % 2 == 0)]
    assert fit(sampled, TIERS, quality=0.95).calibration.cases.size == 1000
    assert "1,900 of 2,000 cases lack" in fit(table[(table["model"] == "cheap") | table["case"].str[1:].astype(int).lt(100)], TIERS).refused


def test_bounds_are_right_as_often_as_they_say():
    "Records whose mean is exactly 0, rare losses and frequent small gains: the hard case for a normal approximation"
    chance = np.random.default_rng(0)
    draws = np.where(chance.random((400, 2000)) < 0.02, -0.98, 0.02)
    assert (evidence(draws, 0.98) >= np.log(20)).mean() < 0.05 and is_certified(draws, 0.98).mean() < 0.03
    assert is_certified(draws + 0.05, 0.98).mean() > 0.9 and last_certified(np.full((50, 3), 0.02), 0.98) == -1


def test_answers_that_mean_the_same():
    same = [("#### 1,000", "1000.0"), (dict(b=1, a="x"), '{"a": "x", "b": 1}'), ("Restart.", " restart"), ("The answer is B", "b")]
    assert all(final_answer(a) == final_answer(b) is not None for a, b in same)
    assert final_answer("turn on") != final_answer("turn off") and final_answer(float("nan")) is final_answer(" ") is None
    assert wrong_sums("3 / 0 = 4") == (1, 1) and wrong_sums("2 + 3 * 4 = 14, 10 - 2 = 7") == (1, 2)


def test_long_answers_take_no_longer():
    "Digits and sums without an end, from a model that did not stop"
    start = time.perf_counter()
    for text in ("1" * 200_000, "1 + " * 50_000, "12, " * 50_000, "answer: " * 20_000): answer_features(text), final_answer(text), word_counts(text)
    assert time.perf_counter() - start < 30


def test_nullable_columns_and_a_pickled_policy():
    table = made(300).convert_dtypes()
    table.loc[3, "confidence"] = pd.NA
    policy = fit(table.assign(extra=pd.Series([1, pd.NA] * 300, dtype="Int64")), TIERS, quality=0.9)
    assert repr(pickle.loads(pickle.dumps(policy))) == repr(policy) and not policy.refused


def test_a_missing_extra_is_named():
    code = "import sys; sys.modules['numpy'] = None\ntry: from agentnb.cascade import fit\nexcept ImportError as e: print(e)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "agentnb-kit[lab]" in said.stdout, said.stdout + said.stderr


def test_an_answer_is_read_once():
    "Every split, every fit and every evaluation has the features of the same answers; one that is too long to keep is read again"
    from agentnb.cascade.text import _counts, _looks
    text = "12 * 12 = 144, once read in " + __name__
    known, read = answer_features(text), word_counts(text)
    misses = _looks.cache_info().misses, _counts.cache_info().misses
    read[:] = 9
    assert answer_features(text) == known and word_counts(text).max() < 9 and word_counts(text).sum() > 0
    answer_features("1" * 30_000), word_counts("1" * 30_000)
    assert (_looks.cache_info().misses, _counts.cache_info().misses) == misses
