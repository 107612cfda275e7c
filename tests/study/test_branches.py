"""A run forked in several ways at once: every branch has its row, whatever becomes of it, and none acts twice without a word."""
import asyncio, subprocess, sys
from decimal import Decimal

import pytest

from agentnb import Agent, Budget, ModelError, Reply, RequestOpen, Rule, Scripted, Ticks, call, open_store, tool
from agentnb.study.branches import fork_many, frame
from agentnb.core.messages import Usage

acted = []


@tool(read_only=True)
def look(where: str) -> str: return f"looked at {where}"


@tool
def page(who: str) -> str:
    acted.append(who)
    return f"{who} was paged"


def reply(content, cost="0.01"): return Reply(content=content, cost=cost if cost is None else Decimal(cost), usage=Usage(input=10, output=5, requests=1))


def make(script=(call("look", where="a"), call("page", who="ann"), "ann knows"), **options):
    return Agent(Scripted(script, name="base"), [look, page], **dict(store="memory:", policy=[Rule(effect="allow")], clock=Ticks()) | options)


@pytest.fixture
def run():
    run = make().run("go", run_id="r1")
    assert asyncio.run(run.wait()) == "ann knows"
    acted.clear()
    return run


def says(name, *entries): return Scripted([None, *entries], name=name)


def test_the_cross_product_is_a_table(run):
    models = [says("one", reply("first")), says("two", call("look", where="z"), reply("second", None)), None]
    table = asyncio.run(run.fork_many(at=2, models=models[:2], instructions=[None, "Be brief.", "Be brief."], tools=[[look], None]))
    assert len(table) == 12 and table.index.is_unique
    assert " ".join(table.columns) == "run_id model status result cost tokens steps iterations seconds error instructions tools"
    assert list(table.index[:3]) == ["one ·  · look", "one ·  · look, page", "one · Be brief. · look #1"]
    one, two = table[table.model == "one"], table[table.model == "two"]
    assert set(one.result) == {"first"} and set(two.result) == {"second"} and set(table.status) == {"done"} and set(table.error) == {""}
    assert set(one.cost) == {Decimal("0.01")} and all(c is None for c in two.cost) and set(one.tokens) == {15} and set(one.iterations) == {2}
    assert set(two.iterations) == {3} and (two.seconds > 0).all() and set(table.instructions) == {"", "Be brief."}
    for label, row in table.iterrows():
        found = make(store=run.store).load(row.run_id)
        assert found.tip.result == row.result and len(found.steps) == row.steps and found.tip.model == row.model and found.tip.parent.index == 2, label
        assert (found.tip.instructions == "Be brief.") == ("Be brief." in label) and ("page" in found.tip.tools) == ("page" in label)
    assert run.tip.status == "done" and acted == []


def test_what_becomes_of_a_branch_is_shown_and_the_others_go_on(run):
    def broken(messages, tools): raise ZeroDivisionError("a bug in a model")
    models = [says("good", reply("fine")), says("repeats", call("page", who="ann")), says("away", ModelError("connection", "the server does not answer.")),
        says("endless", *(call("look", where=str(i)) for i in range(99))), Scripted(broken, name="bug"), None]
    table = asyncio.run(run.fork_many(at=2, models=models)).set_index("model")
    assert dict(table.status) == dict(good="done", repeats="waiting", away="failed", endless="stopped", bug="failed", base="waiting")
    assert table.result["good"] == "fine" and all(table.result[m] is None for m in ("repeats", "away", "endless", "bug"))
    assert "page(who='ann')? It was made already: r1, step" in table.error["repeats"] and "max_iterations=10 reached" in table.error["endless"]
    assert "the server does not answer" in table.error["away"] and "a bug in a model" in table.error["bug"]
    assert acted == [], "an effect behind the cut was repeated without a word"
    waiting = make(store=run.store, script=[None, call("page", who="ann"), "again"]).load(table.run_id["repeats"])
    waiting.pending[0].approve()
    assert waiting.steps[-1].kind == "decision"


def test_what_is_asked_where_nobody_can_answer_is_in_the_table():
    run = make(policy=[], unattended=lambda request, state: 1/0).run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    with pytest.warns(UserWarning, match="failed: ZeroDivisionError: division by zero. The request stays open"): table = asyncio.run(run.fork_many())
    assert list(table.status) == ["waiting"] and table.error.iloc[0].startswith("page(who='ann')?")


def test_budgets_and_the_agents_own_policy_hold():
    agent = make([call("look", where="a"), call("page", who="bob"), reply("bob knows")], policy=[], unattended="approve", budget=Budget(tokens=20))
    run = agent.run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    acted.clear()
    dear = reply("").model_copy(update={"calls": (call("look", where="b"),), "usage": Usage(input=21)})
    table = asyncio.run(run.fork_many(models=[None, says("dear", dear)]))
    assert list(table.status) == ["done", "stopped"] and "20 tokens is used up" in table.error["dear"] and acted == ["bob"]


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_so_many_go_on_at_once_and_no_more(run, concurrency):
    now, most = set(), []

    class Slow(Scripted):
        async def __call__(self, *asked, **named):
            now.add(self)
            most.append(len(now))
            await asyncio.sleep(0.01)
            now.discard(self)
            return reply(self.name)
    table = asyncio.run(run.fork_many(at=2, models=[Slow([], name=f"m{i}") for i in range(6)], concurrency=concurrency))
    assert max(most) == min(concurrency, 6) and list(table.result) == [f"m{i}" for i in range(6)]


def test_what_is_wrong_is_said_before_anything_is_forked(run):
    for wrong, error, text in ((dict(models=[None, "nosuch:model"]), ModelError, "no provider .nosuch."), (dict(concurrency=0), ValueError, "concurrency=0"),
            (dict(tools=[[look, look]]), ValueError, "two tools have the same name")):
        with pytest.raises(error, match=text): asyncio.run(run.fork_many(at=2, **wrong))
    with pytest.raises(IndexError, match="run r1 has steps 0 to"): asyncio.run(run.fork_many(at=99))
    assert run.store.runs() == ["r1"]


def test_nothing_varied_is_one_fork(run):
    table = asyncio.run(fork_many(run, at=2))
    assert list(table.index) == ["as it was"] and list(table.status) == ["waiting"]


def test_a_person_is_not_waited_for(run):
    "In a notebook with a person at it, a grid does not stand still at the first request"
    run.attended = lambda: True
    table = asyncio.run(asyncio.wait_for(run.fork_many(at=2), 60))
    assert list(table.status) == ["waiting"]


def test_any_runs_are_a_table(run):
    other = make(["hello"], store=run.store).run("say hello", run_id="r2")
    asyncio.run(other.wait())
    half = make(policy=[]).run("go", run_id="r3")
    with pytest.raises(RequestOpen): asyncio.run(half.wait())
    table = frame(r for r in (run, other, half))
    assert list(table.index) == list(table.run_id) == ["r1", "r2", "r3"] and list(table.status) == ["done", "done", "waiting"]
    assert table.error["r3"] == "page(who='ann')?" and table.result["r3"] is None and table.cost["r2"] == 0
    assert list(frame({"before": run, "after": other}).index) == ["before", "after"] and list(frame([run]).result) == ["ann knows"]
    assert len(frame([])) == 0 and list(frame([]).columns) == list(table.columns)


def test_pandas_is_asked_for_by_its_extra_and_only_when_it_is_needed():
    said = subprocess.run([sys.executable, "-c", """
import sys
sys.modules["pandas"] = None
import agentnb, agentnb.study.branches, asyncio
run = agentnb.Agent(agentnb.Scripted(["hi"]), store="memory:").run("go")
asyncio.run(run.wait())
for what in (lambda: agentnb.study.branches.frame([run]), lambda: asyncio.run(run.fork_many(at=0))):
    try: what()
    except ImportError as e: assert 'pip install "agentnb-kit[lab]"' in str(e), e
    else: raise SystemExit("no error")
assert len(run.store.runs()) == 1
"""], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_many_branches_share_a_file(tmp_path):
    run = make(store=f"sqlite:///{tmp_path/'runs.db'}").run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    table = asyncio.run(run.fork_many(models=[says(f"m{i}", call("look", where=str(i)), reply(str(i))) for i in range(20)]))
    assert list(table.result) == [str(i) for i in range(20)] and open_store(run.store.url).check() == [] and not run.store.leases()
