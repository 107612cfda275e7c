"""What is listed, hidden, purged and counted over a store, where one run is damaged and many are there."""
import asyncio, time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agentnb import Agent, ModelError, Reply, Scripted, StoreError, Ticks, ToolError, call, open_store, tool
from agentnb.log.forks import lineage
from agentnb.store.hidden import hide, purge, unhide
from agentnb.log.inbox import pending
from agentnb.log.listing import Listing
from agentnb.core.messages import Usage
from agentnb.metrics.measure import measure
from agentnb.core.steps import Finished, Note, Origin, Started, Step
from agentnb.store.protocol import RunNotFound, hidden_runs, origin_of

AT = datetime(2026, 5, 4, 2, 15, tzinfo=UTC)


def step(run_id, index=0, body=None, seconds=0): return Step(run_id=run_id, index=index, at=AT + timedelta(seconds=seconds), body=body or Started(task=run_id))


@tool
def restart(service: str) -> str: return f"{service} restarted"


@tool(read_only=True)
def look(service: str) -> str:
    if service == "nosuch": raise ToolError("not_found", "no such service")
    return f"{service} is slow"


def on_call(store, *replies, **more): return Agent(Scripted(list(replies)), [look, restart], name="on-call", store=store, clock=Ticks(), **more)


def damage(store, run_id, index=0): store._run(("UPDATE steps SET payload = '{\"task\": 7}' WHERE run_id = ? AND idx = ?", (run_id, index)))


def test_heads_are_those_of_all_runs(store):
    store.append(step("a"), step("a", 1, Finished(status="done"), 5))
    store.append(step("b", 0, None, 1))
    store.append(step("fork", 2, Started(parent=Origin(run_id="a", index=1)), 9))
    damage(store, "b")
    store._run(("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)", ("lost", 3, 1, "finished", AT.isoformat(), "{}")))
    assert [(h.run_id, h.first, h.last, h.kind) for h in store.heads()] == [("fork", 2, 2, "started"), ("b", 0, 0, "started"), ("lost", 3, 3, "finished"),
        ("a", 0, 1, "finished")]
    assert store.heads()[-1].started_at == AT and store.heads()[-1].at == AT + timedelta(seconds=5)
    assert [(t.run_id, t.status) for t in Listing(store).summaries(store.heads())] == [("fork", "paused"), ("b", "damaged"), ("lost", "damaged"), ("a", "done")]
    assert [(b.run_id, [f.run_id for f in b.forks]) for b in lineage(store)] == [("b", []), ("lost", []), ("a", ["fork"])]
    assert [origin_of(store, h) for h in store.heads()[:2]] == [Origin(run_id="a", index=1), None]


def test_removing_is_for_good(store):
    store.append(step("a"), step("a", 1), step("b"))
    assert store.remove("a", "nobody") == 2 and [h.run_id for h in store.heads()] == ["b"] and store.read("a") == []


def test_hiding_can_be_undone_and_says_who(store):
    store.append(step("a"), step("ab"))
    hide(store, "a", by="ann")
    assert hidden_runs(store) == {"a": "ann"} and [h.run_id for h in Listing(store).heads()] == ["ab"] and store.read("a")
    unhide(store, "a"), unhide(store, "ab")
    assert hidden_runs(store) == {} and len(Listing(store).heads()) == 2
    with pytest.raises(RunNotFound, match="no run 'b'"): hide(store, "b")


def test_a_hidden_run_goes_when_nobody_needs_it(store):
    fork = lambda run_id, parent, at: step(run_id, at + 1, Started(parent=Origin(run_id=parent, index=at)))
    store.append(step("root"), fork("mid", "root", 0), fork("leaf", "mid", 1), step("alone"), step("held"), step("seen"))
    for run_id in ("root", "mid", "alone", "held"): hide(store, run_id)
    store.hold("held", "somebody", 60.0)
    assert purge(store) == ["alone"] and {h.run_id for h in store.heads()} == {"root", "mid", "leaf", "held", "seen"}
    hide(store, "leaf")
    store.release("held", "somebody")
    assert set(purge(store)) == {"leaf", "mid", "root", "held"} and purge(store) == [] and hidden_runs(store) == {}
    store.append(step("root"))
    assert len(Listing(store).heads()) == 2


def test_nothing_is_purged_while_a_fork_cannot_be_read(store):
    store.append(step("root"), step("fork", 1, Started(parent=Origin(run_id="root", index=0))))
    hide(store, "root")
    damage(store, "fork", 1)
    with pytest.raises(StoreError, match="run fork may need any of the hidden runs, so none was removed: .*step_1 cannot be read"): purge(store)
    hide(store, "fork")
    assert set(purge(store)) == {"root", "fork"}


def test_the_status_of_a_run_is_that_of_its_log_and_its_lease(store):
    store.append(step("r"))
    status = lambda: Listing(store).summaries(store.heads())[0].status
    assert status() == "paused"
    store.hold("r", "elsewhere/1/1/x", 60.0)
    assert status() == "running"
    store.hold("r", "gone", -1.0, "elsewhere/1/1/x")
    assert status() == "stuck"
    store.append(step("r", 1, Note(about="error", text="no answer")))
    assert status() == "stuck"
    store.release("r", "gone")
    assert status() == "failed"


def test_the_inbox_survives_a_damaged_run(store):
    agent = on_call(store, call("restart", service="a"), call("restart", service="b"))
    for run_id in ("r1", "r2"): asyncio.run(agent.run("Go.", run_id=run_id).until())
    damage(store, "r1")
    with pytest.warns(UserWarning, match="run r1 is not in the inbox"): assert [p.run.run_id for p in pending(store)] == ["r2"]
    hide(store, "r2")
    with pytest.warns(UserWarning): assert pending(store) == []


def test_ten_thousand_runs_are_listed_a_page_at_a_time(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    store.append(*(s for i in range(10_000) for s in (step(f"r{i:05}", 0, Started(task=f"task {i}"), i), step(f"r{i:05}", 1, Finished(status="done"), i))))
    damage(store, "r09990")
    began = time.perf_counter()
    listing = Listing(store)
    page = listing.summaries(listing.heads()[:25])
    took = time.perf_counter() - began
    assert [page[0].run_id, page[9].status, page[24].task] == ["r09999", "damaged", "task 9975"] and took < 15, took
    assert [t.run_id for t in listing.find("TASK 777")][-1] == "r00777" and len(listing.find(status="damaged")) == 1
    began = time.perf_counter()
    listing.find("task 1")
    assert time.perf_counter() - began < 15


def used(model, cost, *calls, said=""): return Reply(content=said, calls=calls, model=model, usage=Usage(input=400, output=20), cost=cost)


def measured(store):
    replies = [used("small", Decimal("0.003"), call("look", service="nosuch"), call("look", service="checkout")),
        used("large", Decimal("0.02"), call("restart", service="checkout")), used("large", Decimal("0.01"), said="Restarted.")]
    agent = on_call(store, *replies)
    run = agent.run("Checkout is slow.", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve(by="ann")
    asyncio.run(run.wait())
    return agent, run


def test_the_parts_of_a_cost_add_up_and_failures_are_counted(store):
    agent, run = measured(store)
    found = measure(store)
    assert found.costs.cost.sum() == run.tip.cost == Decimal("0.033")
    assert dict(zip(found.costs.tool, found.costs.cost)) == {"look": Decimal("0.003"), "restart": Decimal("0.02"), "(answer)": Decimal("0.01")}
    tools = found.tools.set_index("tool")
    assert tools.loc["look", "success"] == 0.5 and tools.loc["look", "failed: not_found"] == 1 and tools.loc["look", "runs"] == ("r1",)
    asked, waited = found.interventions.iloc[0], next(s.body.seconds for s in run.steps if s.kind == "decision")
    assert (asked["rate"], asked.by_human, asked.by_rule, asked.approve, asked["p50"]) == (1.0, 1, 0, 1, waited)
    assert found.iterations.iloc[0][["count", "p50", "p99", "most"]].tolist() == [1, 3, 3, 3]
    speed = found.latency.set_index(["kind", "name"])
    assert speed.loc[("model", "large"), ["steps", "input", "output"]].tolist() == [2, 800, 40]


def test_a_fork_is_not_counted_twice_and_a_damaged_run_is_named(store):
    agent, run = measured(store)
    run.fork(at=4, run_id="fork")
    assert measure(store).costs.cost.sum() == Decimal("0.033") and len(measure(store).counts.runs) == 2
    assert measure([run, agent.load("fork")]).costs.cost.sum() == Decimal("0.033")
    damage(store, "r1", 2)
    found = measure(store)
    assert list(found.damaged) == ["r1"] and "step_2 cannot be read" in found.damaged["r1"] and len(found.counts.runs) == 1


def test_an_unknown_cost_stays_unknown(store):
    agent = on_call(store, used("free", None, call("look", service="a"), call("restart", service="a")), unattended="approve")
    with pytest.raises(ModelError): agent.run_sync("Go.")
    assert list(measure(store).costs.cost) == [None, None]


def test_a_rule_and_a_remembered_yes_are_no_human(store):
    restart_a = call("restart", service="a")
    agent = on_call(store, restart_a, call("look", service="b"), restart_a, "done", restart_a, "done", unattended="approve")
    run = agent.run("Go.")
    asyncio.run(run.until())
    run.pending[0].approve(remember="args", by="ann", everywhere=False)
    asyncio.run(run.wait())
    agent.run_sync("Go again.")
    asked = measure(store).interventions.iloc[0]
    assert (asked["count"], asked.requests, asked.by_human, asked.by_rule, asked["rate"]) == (2, 4, 1, 3, 0.5)


def test_snapshots_are_the_same_for_the_same_runs_and_tables_of_nothing_have_their_columns(store):
    agent, run = measured(store)
    first, again = measure(store, sample=3).snapshots, measure(agent.store, sample=3).snapshots
    assert first.equals(again) and len(first) == 3 and len(measure(store, sample=0).snapshots) == 0
    nothing = measure(open_store("memory:"))
    assert [len(getattr(nothing, t)) for t in ("latency", "tools", "costs", "interventions", "iterations", "steps", "requests", "snapshots")] == [0] * 8
    assert "success" in nothing.tools and "rate" in nothing.interventions
