"""A run that a call of another run began names that call: in its log, in lists, in the tree of runs, and when the caller is deleted."""
import asyncio, json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from agentnb import Agent, Origin, Scripted, Ticks, browse, call, export_runs, import_runs, lineage, open_store, tool
from agentnb.cli.main import main
from agentnb.core.steps import Finished, Started, Step
from agentnb.log.listing import Listing, list_runs
from agentnb.store.hidden import children_of, hide, purge, unhide
from agentnb.store.protocol import hidden_runs
from agentnb.ui.runs import Query, RunsView, _Link

AT = datetime(2026, 5, 4, 2, 15, tzinfo=UTC)


def step(run_id, index=0, body=None): return Step(run_id=run_id, index=index, at=AT, body=body or Started(task=run_id))


def team(store):
    "A run whose tool begins two others, one of which begins a third"
    @tool(read_only=True)
    async def ask(question: str) -> str:
        child = helper.run(question, run_id=question, caller=Origin(run_id="boss", index=1))
        return await child
    helper = Agent(Scripted(["Full.", "Empty.", "Deep."]), name="helper", store=store, clock=Ticks())
    boss = Agent(Scripted([call("ask", question="disk"), call("ask", question="tape"), "Both."]), [ask], name="boss", store=store, clock=Ticks())
    asyncio.run(boss.run("Look around.", run_id="boss").wait())
    asyncio.run(helper.run("deeper", run_id="deep", caller=Origin(run_id="tape", index=2)).wait())
    return boss, helper


def test_the_caller_is_in_the_log_and_comes_back(store):
    boss, helper = team(store)
    child = helper.load("disk")
    assert child.caller == child.tip.caller == store.restore("disk").caller == Origin(run_id="boss", index=1) and boss.load("boss").caller is None
    assert store.read("disk")[0].body.caller == Origin(run_id="boss", index=1)
    assert store.children() == {"disk": Origin(run_id="boss", index=1), "tape": Origin(run_id="boss", index=1), "deep": Origin(run_id="tape", index=2)}
    assert list(store.children(caller="boss")) == ["disk", "tape"] and list(store.children("tape")) == ["deep"]
    assert store.children("deep") == store.children("nobody") == {}
    assert store.check() == []


def test_a_run_knows_its_caller_before_it_begins_and_in_plain_code(store):
    agent, caller = Agent(Scripted(["Full."] * 3), store=store), Origin(run_id="elsewhere", index=7)
    run = agent.run("Is it full?", caller=caller)
    assert run.caller == caller and run.steps == []
    assert agent.run_sync("Is it full?", caller=caller) == "Full."
    assert [agent.load(r).caller for r in store.children("elsewhere")] == [caller]


def test_what_is_no_caller_is_refused_in_words(store):
    agent = Agent(Scripted([]), store=store)
    for wrong in ("boss", ("boss", 1), {"run_id": "boss", "index": 1}):
        with pytest.raises(TypeError, match="caller is the step that made the call: Origin"): agent.run("x", caller=wrong)
        with pytest.raises(TypeError, match="caller is the step that made the call: Origin"): agent.run_sync("x", caller=wrong)
    with pytest.raises(ValueError, match="run me cannot be begun by a call of its own"): agent.run("x", run_id="me", caller=Origin(run_id="me", index=0))
    with pytest.raises(ValidationError): Started(caller="boss")
    assert store.runs() == []


def test_a_fork_was_called_by_nobody(store):
    boss, helper = team(store)
    fork = helper.load("disk").fork(at=0, run_id="fork")
    assert fork.caller is None and store.restore("fork").caller is None and "fork" not in store.children()
    assert fork.state_at(0).caller == Origin(run_id="boss", index=1)   # that step is the other run's
    assert store.check() == []


def test_the_line_of_runs_shows_who_called_whom(store):
    boss, helper = team(store)
    boss.load("boss").fork(at=0, run_id="other")
    helper.load("disk").fork(at=0, run_id="disk-2")
    store.append(step("orphan", 0, Started(task="x", caller=Origin(run_id="gone", index=4))))
    trees = {b.run_id: b for b in lineage(store)}
    assert set(trees) == {"boss", "orphan"}
    assert str(trees["boss"]).splitlines() == ["boss", "  other  after step 0", "  disk  called by boss at step 1", "    disk-2  after step 0",
        "  tape  called by boss at step 1", "    deep  called by tape at step 2"]
    assert str(trees["orphan"]) == "orphan  called by gone at step 4" and trees["orphan"].caller == "gone"
    disk, tape = trees["boss"].children
    assert (disk.run_id, disk.caller, disk.at, [f.run_id for f in disk.forks], disk.children) == ("disk", "boss", 1, ["disk-2"], ())
    assert [b.run_id for b in trees["boss"].forks] == ["other"] and "called by boss at step 1" in trees["boss"]._repr_html_()


def test_runs_that_name_each_other_as_callers_are_all_shown(store):
    called = lambda by: Started(task="x", caller=Origin(run_id=by, index=0))
    store.append(step("a", 0, called("b")), step("b", 0, called("a")), step("c", 0, called("c")), step("d", 0, called("a")))

    def flat(branches): return [r for b in branches for r in (b.run_id, *flat((*b.forks, *b.children)))]
    assert sorted(flat(lineage(store))) == ["a", "b", "c", "d"]
    query = Query(store)
    query.unfolded = True
    assert sorted(r["id"] for r in query()["rows"]) == ["a", "b", "c", "d"] and query()["tops"] == 2
    query.tree = True
    assert len(query()["rows"]) == 4


def test_a_run_that_is_a_fork_and_was_called_stands_under_the_run_it_shares(store):
    store.append(step("a"), step("b"), step("both", 1, Started(parent=Origin(run_id="a", index=0), caller=Origin(run_id="b", index=0))))
    trees = {b.run_id: b for b in lineage(store)}
    assert [f.run_id for f in trees["a"].forks] == ["both"] and trees["a"].children == trees["b"].children == ()
    assert list(store.children("b")) == ["both"] and store.restore("both").caller == Origin(run_id="b", index=0)


def test_the_list_says_who_called(store):
    team(store)
    told = {t.run_id: t for t in Listing(store).summaries(store.heads())}
    assert told["disk"].caller == Origin(run_id="boss", index=1) and told["boss"].caller is None
    assert str(told["disk"]).endswith("helper: disk  (called by boss at step 1)") and any("(called by tape at step 2)" in line for line in list_runs(store))
    assert "called by boss at step 1" in browse(store)._repr_html_()
    query = Query(store)
    query.tree = True
    assert [(r["id"], r["depth"], r["call"]) for r in query()["rows"]] == [("boss", 0, ""), ("disk", 1, "called by boss at step 1"),
        ("tape", 1, "called by boss at step 1"), ("deep", 2, "called by tape at step 2")]


def test_deleting_a_caller_says_what_it_called_and_leaves_that_whole(store):
    boss, helper = team(store)
    before = {r: store.read(r) for r in ("disk", "tape", "deep")}
    assert hide(store, "boss") == ["disk", "tape"] and hide(store, "deep") == []
    unhide(store, "boss")
    hide(store, "tape")
    assert hide(store, "boss") == ["disk"] and hidden_runs(store).keys() == {"boss", "tape", "deep"}
    assert set(purge(store)) == {"boss", "tape", "deep"}
    assert store.runs() == ["disk"] and store.read("disk") == before["disk"] and children_of(store, "boss", "tape", "deep") == ["disk"]
    child = helper.load("disk")
    assert child.tip.result == "Full." and child.caller == Origin(run_id="boss", index=1) and store.check() == []
    assert [str(b) for b in lineage(store)] == ["disk  called by boss at step 1"] and "(called by boss at step 1)" in list_runs(store)[0]
    assert child.fork(at=0, run_id="again").tip.task == "disk"


def test_a_hidden_caller_that_only_called_is_removed(store):
    "A fork needs what it shares; a run that was called needs nothing"
    boss, helper = team(store)
    boss.load("boss").fork(at=0, run_id="fork")
    hide(store, "boss"), hide(store, "tape")
    assert purge(store) == ["tape"] and set(store.runs()) == {"boss", "fork", "disk", "deep"}
    assert store.children("tape") == {"deep": Origin(run_id="tape", index=2)}


def test_a_terminal_says_what_a_deleted_caller_called(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/runs.db"
    team(url)
    assert main(["store", "hide", "--store", url, "boss", "disk"]) == 0
    assert "hidden: boss, disk; their calls began tape, which stay. Until agentnb store vacuum" in capsys.readouterr().out
    assert main(["store", "hide", "--store", url, "deep"]) == 0 and "their calls" not in capsys.readouterr().out
    assert main(["store", "vacuum", "--store", url]) == 0
    assert "; their calls began tape, which stay\n" in capsys.readouterr().out
    assert main(["runs", "--store", url]) == 0
    assert "(called by boss at step 1)" in capsys.readouterr().out and open_store(url).runs() == ["tape"]


class Widget(RunsView):
    def send(self, content, buffers=None): pass


def test_the_browser_says_what_a_deleted_caller_called():
    store = open_store("memory:")
    boss, _ = team(store)

    async def go():
        link = _Link(browse(boss), widget := Widget(), SimpleNamespace(update=lambda *_: None))
        link.on_message(widget, dict(type="hide", run="boss"), [])
        assert widget.note == dict(undo="boss", children=["disk", "tape"])
    asyncio.run(go())


def test_a_child_is_exported_without_its_caller_and_keeps_its_name(store):
    team(store)
    lines = list(export_runs(store, ["disk"]))
    assert {json.loads(line)["run_id"] for line in lines} == {"disk"} and json.loads(lines[0])["body"]["caller"] == {"run_id": "boss", "index": 1}
    other = open_store("memory:")
    assert import_runs(other, lines) == ["disk"] and other.children() == {"disk": Origin(run_id="boss", index=1)}
    assert other.restore("disk") == store.restore("disk")
    assert import_runs(other, export_runs(store)) and other.children() == store.children() and list(map(str, lineage(other))) == list(map(str, lineage(store)))


def test_a_damaged_child_is_still_known_as_one(store):
    store.append(step("boss"), step("child", 0, Started(task="x", caller=Origin(run_id="boss", index=0))), step("child", 1, Finished(status="done")))
    store._run(("UPDATE steps SET payload = '{\"task\": 7}' WHERE run_id = 'child' AND idx = 0", ()))
    [tree] = lineage(store)
    assert [b.run_id for b in tree.children] == ["child"] and hide(store, "boss") == ["child"]
