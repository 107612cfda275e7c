"""Whole runs out of one store and into another: with their forks, once, or not at all."""
import asyncio, json

import pytest

from agentnb import Agent, RunConflict, RunNotFound, Scripted, StoreError, call, open_store, tool
from agentnb.store.transfer import export_runs, import_runs


@tool
def pay(what: str) -> str: return f"paid {what}"


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path): return open_store(f"sqlite:///{tmp_path}/from.db" if request.param == "file" else "memory:")


@pytest.fixture(params=["file", "memory"])
def target(request, tmp_path): return open_store(f"sqlite:///{tmp_path}/to.db" if request.param == "file" else "memory:")


def payer(store): return Agent(Scripted([call("pay", what="ä\n\u2028"), "done"]), [pay], store=store)


def filled(store):
    "A finished run, a fork of it, a fork of that, and one that waits for a human"
    agent = payer(store)
    run = agent.run("Pay.", run_id="first")
    asyncio.run(run.until())
    run.pending[0].approve(by="Ada")
    asyncio.run(run.wait())
    child = run.fork(at=0, run_id="second", instructions="Now.")
    child.fork(run_id="third")
    asyncio.run(agent.run("Pay.", run_id="alone").until())
    return store


def all_steps(store): return {run_id: store.read(run_id) for run_id in store.runs()}


def test_everything_arrives_as_it_was(store, target):
    lines = list(export_runs(filled(store)))
    assert all("\n" not in line and json.loads(line)["run_id"] for line in lines) and len(lines) == sum(map(len, all_steps(store).values()))
    assert sorted(import_runs(target, lines)) == ["alone", "first", "second", "third"]
    assert all_steps(target) == all_steps(store) and target.runs() == store.runs() and target.check() == []
    for run_id in store.runs(): assert target.restore(run_id) == store.restore(run_id)
    waiting = payer(target).load("alone")
    waiting.pending[0].reject("no")
    assert asyncio.run(waiting.wait()) == "done"


def test_a_fork_brings_the_runs_it_comes_from(store, target):
    lines = list(export_runs(filled(store), ["third"]))
    assert list(dict.fromkeys(json.loads(line)["run_id"] for line in lines)) == ["first", "second", "third"]
    assert import_runs(target, (line.encode() + b"\n" for line in lines)) == ["first", "second", "third"]
    assert target.restore("third") == store.restore("third")
    assert len(list(export_runs(store, ["third", "second", "first"]))) == len(lines)


def test_again_changes_nothing_and_another_history_is_refused(store, target):
    lines = list(export_runs(filled(store)))
    import_runs(target, lines)
    before = all_steps(target)
    assert import_runs(target, lines) == [] and all_steps(target) == before
    payer(target).load("second").edit(max_iterations=3)
    with pytest.raises(RunConflict, match=r"line \d+: .* has a run second already, with other steps \(3 there, 2 here\)"): import_runs(target, lines)
    assert len(target.read("second")) == 3


def test_a_fork_whose_origin_is_nowhere(store, target):
    lines = [line for line in export_runs(filled(store), ["second"]) if json.loads(line)["run_id"] == "second"]
    with pytest.raises(StoreError, match="line 1: run second shares the steps up to 0 of run first, which .* does not have"): import_runs(target, lines)
    assert target.runs() == []
    store._run(("DELETE FROM steps WHERE run_id = 'first'", ()))
    with pytest.raises(RunNotFound, match="shares steps with first"): export_runs(store, ["third"])
    with pytest.raises(RunNotFound, match="has no run 'sekond'. Nearest: second"): export_runs(store, ["sekond"])


def cut(lines): return [*lines[:-1], lines[-1][:20]]
def swap(lines): return [*lines[:2], lines[3], lines[2], *lines[4:]]
def no_begin(lines): return lines[1:]
def hole(lines): return lines[:1] + lines[2:]
def unknown_field(lines): return [lines[0], json.dumps(json.loads(lines[1]) | {"mood": "good"}), *lines[2:]]
def foreign_decision(lines): return [line.replace('"kind":"decision","request_id":"q2"', '"kind":"decision","request_id":"q9"') for line in lines]


@pytest.mark.parametrize("damage, n, text", [(cut, -1, "is no step"), (swap, 3, "does not fit"), (no_begin, 1, "does not begin here"),
    (hole, 2, "does not follow"), (unknown_field, 2, "mood: there is no such field"), (foreign_decision, 4, "answers a request that was not made"),
    (lambda lines: [*lines, "[1]"], -1, "is no step")])
def test_a_damaged_line_is_named_and_its_run_is_not_there(store, target, damage, n, text):
    good, lines = list(export_runs(filled(store), ["alone"])), list(export_runs(store, ["first"]))
    bad = damage(lines)
    assert bad != lines
    where = len(good) + 1 + (len(bad) if n == -1 else n)
    with pytest.raises(StoreError, match=f"line {where}[ :].*{text}"): import_runs(target, [*good, "", *bad])
    assert target.runs() == ["alone"] and target.check() == []
    assert import_runs(target, [*good, *lines]) == ["first"]


def test_an_export_is_read_as_it_is_written(store):
    "The lines of a run are made when they are asked for"
    lines = export_runs(filled(store), ["first", "alone"])
    assert json.loads(next(lines))["index"] == 0
    store._run(("DELETE FROM steps WHERE run_id = 'alone'", ()))
    assert {json.loads(line)["run_id"] for line in lines} == {"first"}
