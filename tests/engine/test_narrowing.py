"A grant and a limit only narrow: what a log says and what the agent says, both have to hold."
import asyncio
from decimal import Decimal

import pytest

from agentnb import Agent, Budget, Rule, Scripted, call, open_store, tool
from agentnb.store.transfer import export_runs, import_runs
from agentnb.tools.scopes import common_grant, is_granted

ONE = [None, [], ["*"], ["fs:"], ["fs:*"], ["fs:read:"], ["fs:read:*", "net:*"], ["fs:*:a"], ["fs:read:?"], ["fs:read:[ab]"], ["run:ls"]]
OTHER = [None, [], ["*"], ["fs:"], ["fs:*"], ["fs:write:"], ["fs:read:a"], ["fs:*:a"], ["fs:*:"], ["net:x.com", "fs:read:*"], ["fs:????:a"]]
READ, WRITE = "fs:read:a", "fs:write:a"
ALL = [READ, "fs:read:b", WRITE, "fs:write:b", "net:x.com", "fs:reads", "run:ls"]


@pytest.mark.parametrize("one", ONE)
@pytest.mark.parametrize("other", OTHER)
def test_nothing_is_granted_that_one_of_them_does_not_grant(one, other):
    both = common_grant(one, other)
    for scope in ALL:
        if is_granted(scope, both): assert is_granted(scope, one) and is_granted(scope, other), (scope, both)
    if one is None or other is None or one == other: assert all(is_granted(s, both) == (is_granted(s, one) and is_granted(s, other)) for s in ALL)


def acting(name, scope): return tool(lambda: "done", name=name, description="Act", scopes=[scope], read_only=True)


def made(store, grant, **more):
    script = [call("read"), call("write"), "done"]
    return Agent(Scripted(script), [acting("read", READ), acting("write", WRITE)], store=store, grant=grant, policy=[Rule(effect="allow")], **more)


@pytest.mark.parametrize("began, goes_on, heard", [
    (["fs:*"], ["fs:read:*"], ["done", "refused"]), (["fs:read:*"], ["fs:*"], ["done", "refused"]), (None, ["fs:write:*"], ["refused", "done"]),
    (["fs:write:*"], None, ["refused", "done"]), (["fs:read:*"], ["fs:write:*"], ["refused", "refused"]), (None, None, ["done", "done"])])
def test_what_counts_is_what_both_grant(began, goes_on, heard):
    store = open_store("memory:")
    run = made(store, began).run("go", run_id="r1")
    asyncio.run(run.until(kind="started"))
    again = made(store, goes_on).load("r1")
    assert asyncio.run(again.wait()) == "done"
    assert ["refused" if m.failure else m.content for m in again.tip.messages if m.role == "tool"] == heard
    notes = [s.body.text for s in again.steps if s.kind == "note" and "grant narrowed" in s.body.text]
    narrowed = goes_on is not None and goes_on != began and not (began and goes_on == ["fs:*"])
    assert len(notes) == narrowed


def test_what_was_narrowed_stays_narrow():
    store = open_store("memory:")
    asyncio.run(made(store, None).run("go", run_id="r1").until(kind="started"))
    asyncio.run(made(store, ["fs:read:*"]).load("r1").until(kind="note"))
    wide = made(store, None).load("r1")
    asyncio.run(wide.wait())
    assert wide.tip.grant == ("fs:read:*",)


def imported(limits, own):
    there, here = open_store("memory:"), open_store("memory:")
    asyncio.run(made(there, None, **limits).run("go", run_id="r1").until(kind="started"))
    import_runs(here, export_runs(there))
    return made(here, None, **own).load("r1")


@pytest.mark.parametrize("limits, own, most, usd", [
    (dict(max_iterations=1000), dict(max_iterations=3), 3, None), (dict(max_iterations=3), dict(max_iterations=1000), 3, None),
    (dict(budget=Budget(usd=1000)), dict(budget=Budget(usd=1)), 10, 1), (dict(budget=Budget()), dict(budget=Budget(usd=1)), 10, 1),
    (dict(budget=Budget(usd=1)), dict(budget=Budget()), 10, 1), (dict(budget=Budget(usd=9, shared="team")), dict(budget=Budget(usd=1)), 10, 1),
    (dict(budget=Budget(usd=9, shared="team")), dict(budget=Budget()), 10, 9)])
def test_the_limits_of_an_imported_run_narrow(limits, own, most, usd):
    run = imported(limits, own)
    asyncio.run(run.until(kind="tool"))
    assert (run.tip.max_iterations, run.tip.budget.usd, run.tip.budget.shared) == (most, None if usd is None else Decimal(usd), "")
    changed = (limits.get("max_iterations", 10), limits.get("budget", Budget())) != (most, run.tip.budget)
    assert bool([s for s in run.steps if s.kind == "note" and s.body.text.startswith("it was imported")]) == changed


def test_limits_that_are_raised_here_count():
    run = imported(dict(max_iterations=1), dict(max_iterations=1))
    run.edit(max_iterations=7)
    asyncio.run(run.wait())
    assert run.tip.max_iterations == 7


def test_a_run_of_this_store_keeps_its_own_limits():
    store = open_store("memory:")
    asyncio.run(made(store, None).run("go", run_id="r1", max_iterations=50).until(kind="started"))
    run = made(store, None, max_iterations=2).load("r1")
    asyncio.run(run.wait())
    assert run.tip.max_iterations == 50


def test_a_tool_made_of_anothers_function_stays_what_it_was_made(monkeypatch):
    "In a shell, too: only what is defined later, in the same place, takes its place"
    from types import SimpleNamespace

    from agentnb.engine.definitions import newest_tool
    from agentnb.host import kernel
    made = tool(later.fn, read_only=False)
    monkeypatch.setattr(kernel, "_ipython", lambda: SimpleNamespace(execution_count=7, parent_header={}))
    again = tool(later.fn, read_only=False)
    assert newest_tool(made) is made and newest_tool(again) is again
    monkeypatch.setitem(globals(), "later", newer := tool(later.fn, read_only=True))
    monkeypatch.setattr(kernel, "_ipython", lambda: SimpleNamespace(execution_count=8, parent_header={}))
    assert newest_tool(again) is again, "the same cell of the same shell is no rerun"
    monkeypatch.setitem(globals(), "later", newer := tool(later.fn, read_only=True))
    assert newest_tool(again) is newer


@tool(read_only=True)
def later() -> str:
    "Read something"
    return "read"
