"""Runs carry labels: set, inherited by forks, kept in every store, found in code, lists, cells, at a terminal and in SQL; older stores are upgraded."""
import asyncio, json, shlex, sqlite3, uuid
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from pydantic import ValidationError

from agentnb import Agent, Origin, Reply, Run, RunConflict, Scripted, StoreError, Ticks, browse, call, export_runs, hide, hold, import_runs, intervention_rates
from agentnb import measure, open_store, replay, tool
from agentnb.cli.main import main
from agentnb.core.steps import Finished, Started, Step
from agentnb.log.listing import Listing, list_runs, read_labels, show_labels
from agentnb.store.rows import MIGRATIONS, _row
from agentnb.store.writer import Writer
from agentnb.ui.magics import _AgentMagics
from agentnb.ui.runs import Query, RunsView, _Link
from agentnb.views.html import step_html

AT = datetime(2026, 5, 4, 2, 15, tzinfo=UTC)


def step(run_id, index=0, body=None, seconds=0): return Step(run_id=run_id, index=index, at=AT + timedelta(seconds=seconds), body=body or Started(task=run_id))


def on_call(store, *replies, **more): return Agent(Scripted(list(replies) or ["It is full."] * 9), name="on-call", store=store, clock=Ticks(), **more)


def rows(store, sql, *values): return [tuple(r) for r in store._run((sql, values))]


def finished(agent, run_id, **more):
    run = agent.run("Is the disk full?", run_id=run_id, **more)
    asyncio.run(run.wait())
    return run


# what a run carries

def test_labels_of_agent_and_run_are_merged_and_those_of_the_run_win(store):
    agent = on_call(store, labels={"version": "a", "case": "0"})
    run = agent.run("Is the disk full?", run_id="r1", labels={"case": "7", "user": "Ada"})
    assert run.labels == {"version": "a", "case": "7", "user": "Ada"} and run.steps == []
    asyncio.run(run.wait())
    assert run.labels == run.tip.labels == agent.load("r1").labels == store.restore("r1").labels == {"version": "a", "case": "7", "user": "Ada"}
    assert run.back(9).state.labels == run.labels and agent.labels == {"version": "a", "case": "0"}
    assert agent.run("Again?").labels == {"version": "a", "case": "0"} and agent.variant(instructions="Be brief.").run("Again?").labels == agent.labels


def test_run_sync_and_a_conversation_from_elsewhere_carry_labels(store):
    agent = on_call(store, labels={"version": "a"})
    assert agent.run_sync("Is the disk full?", labels={"case": "7"}) == "It is full."
    [run_id] = store.runs(labels={"case": "7", "version": "a"})
    assert agent.load(run_id).labels == {"version": "a", "case": "7"}
    taken = Run.from_messages([{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "Yes."}], agent, run_id="taken")
    assert taken.labels == {"version": "a"} and store.runs({"version": "a"})[0] == "taken"


def test_a_fork_has_the_labels_of_what_it_shares_and_its_own(store):
    run = finished(on_call(store), "r1", labels={"case": "7"})
    fork = run.fork(at=1, run_id="fork", labels={"version": "b"})
    again = fork.fork(run_id="again", labels={"case": "8"})
    beside = fork.fork(at=0, run_id="beside")   # leaves before the fork's own first step
    assert fork.labels == {"case": "7", "version": "b"} and again.labels == {"case": "8", "version": "b"} and beside.labels == run.labels == {"case": "7"}
    assert store.runs({"case": "7"}) == ["beside", "fork", "r1"] and store.runs({"case": "8", "version": "b"}) == ["again"]
    for one in (run, fork, again, beside): assert store.restore(one.run_id).labels == one.labels
    assert store.check() == []


def test_a_fork_in_another_store_and_a_run_made_of_a_state(store):
    run = finished(on_call(store, labels={"version": "a"}), "r1", labels={"case": "7"})
    assert on_call("memory:").run(run.state).labels == {}   # another run, not a fork


@pytest.mark.parametrize("labels, kind, text", [
    ([("case", "7")], TypeError, "labels are texts by name: {'case': '7'}, not [('case', '7')]"),
    ("case=7", TypeError, "labels are texts by name"), ([], TypeError, "labels are texts by name"),
    ({"case": 7}, TypeError, "labels: case is 7, which is no text. Write {'case': '7'}"),
    ({"case": None}, TypeError, "labels: case is None"), ({7: "case"}, TypeError, "labels: the name 7 is no text. Write '7'"),
    ({"": "7"}, ValueError, "labels: '7' has no name"), ({" ": "7"}, ValueError, "labels: '7' has no name"),
    ({"x" * 101: "7"}, ValueError, "has 101 characters. A name may have 100, a text 500"), ({"case": "x" * 501}, ValueError, "has 501 characters"),
    ({"case": "a\0b"}, ValueError, "holds what no database keeps"), ({"case\ud800": "7"}, ValueError, "holds what no database keeps")])
def test_what_is_no_label_is_refused_in_words_everywhere(store, labels, kind, text):
    agent = on_call(store)
    run = finished(agent, "r1")
    tries = [lambda: agent.run("x", labels=labels), lambda: agent.run_sync("x", labels=labels), lambda: on_call(store, labels=labels),
        lambda: run.fork(labels=labels), lambda: store.runs(labels=labels), lambda: browse(store, labels=labels), lambda: measure(store, labels=labels)]
    for act in tries:
        with pytest.raises(kind) as e: act()
        assert text in str(e.value)
    if isinstance(labels, dict):
        with pytest.raises(ValidationError): Started(labels=labels)
    assert store.runs() == ["r1"]


def test_what_stands_at_its_default_is_not_written():
    assert "labels" not in _row(step("r1"))[-1] and "caller" not in _row(step("r1"))[-1]
    assert json.loads(_row(step("r1", 0, Started(task="x", labels={"case": "7"})))[-1]) == {"task": "x", "labels": {"case": "7"}}


def test_a_test_written_from_a_labelled_run_plays_again(tmp_path):
    run = finished(on_call("memory:"), "r1", labels={"case": "7"})
    path = run.to_test(tmp_path/"test_it.py", "mine:agent")
    [tape] = [p for p in tmp_path.iterdir() if p != path]
    assert replay(on_call("memory:", labels={"version": "c"}), tape, "r1", 2).result == "It is full."


# in a store

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
KNOWN = ["", " ", "%", "_", "7", "'", '"', "\\", "case=7", "a'b\"c", "ä", "\U0001f600", "\u202e", "'; DROP TABLE labels; --", "{}", "\n", "?", "%s", "$1"]
ODD = st.sampled_from(KNOWN) | TEXT
LABELS = st.dictionaries(ODD.filter(lambda name: name.strip()), ODD, max_size=4)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=LABELS, added=LABELS)
def test_any_labels_come_back_from_store_export_sql_and_words(store, labels, added):
    run_id, fork_id = (f"h{uuid.uuid4()}" for _ in range(2))
    store.append(step(run_id, 0, Started(task="x", labels=labels)))
    store.append(step(fork_id, 1, Started(parent=Origin(run_id=run_id, index=0), labels=added)))
    both = {**labels, **added}
    for one, want in ((run_id, labels), (fork_id, both)):
        assert store.restore(one).labels == want
        assert dict(rows(store, "SELECT name, value FROM labels WHERE run_id = ?", one)) == want
        [(told,)] = rows(store, "SELECT labels FROM runs WHERE run_id = ?", one)
        assert json.loads(told) == want and one in store.runs(want)
        for name, text in want.items(): assert one in store.runs({name: text}) and one not in store.runs({name: f"{text}x"[:500]})
    other = open_store("memory:")
    assert set(import_runs(other, export_runs(store, [fork_id]))) == {run_id, fork_id} and other.restore(fork_id).labels == both
    assert fork_id in other.runs(both)
    assert read_labels(shlex.split(show_labels({k: v for k, v in both.items() if "=" not in k}))) == {k: v for k, v in both.items() if "=" not in k}


def test_runs_with_all_of_the_labels_are_found_newest_first(store):
    for i, labels in enumerate([{"case": "7"}, {"case": "7", "version": "b"}, {"case": "8", "version": "b"}, {}]):
        store.append(step(f"r{i}", 0, Started(task="x", labels=labels), i), step(f"r{i}", 1, Finished(status="done"), i))
    assert store.runs({"case": "7"}) == ["r1", "r0"] and store.runs({"version": "b"}) == ["r2", "r1"] and store.runs({"case": "7", "version": "b"}) == ["r1"]
    assert store.runs({}) == store.runs(None) == store.runs() == ["r3", "r2", "r1", "r0"]
    assert store.runs({"case": "77"}) == store.runs({"case": ""}) == store.runs({"nothing": "7"}) == store.runs({"CASE": "7"}) == []
    assert store.remove("r1") == 2 and store.runs({"case": "7"}) == ["r0"] and rows(store, "SELECT count(*) FROM labels WHERE run_id = 'r1'") == [(0,)]
    store.append(step("r1", 0, Started(task="x", labels={"case": "9"})))
    assert store.runs({"case": "9"}) == ["r1"] and store.runs({"case": "7"}) == ["r0"]


def test_a_run_and_its_forks_may_be_appended_at_once_and_in_any_order(store):
    fork, leaf = Started(parent=Origin(run_id="r1", index=0), labels={"version": "b"}), Started(parent=Origin(run_id="fork", index=1))
    store.append(step("leaf", 2, leaf), step("fork", 1, fork), step("r1", 0, Started(task="go", agent="on-call", labels={"case": "7"})), step("lone", 4, fork))
    assert set(store.runs({"case": "7", "version": "b"})) == {"leaf", "fork", "lone"} == set(store.runs({"version": "b"}))
    assert set(rows(store, "SELECT run_id, agent, task, parent FROM runs")) == {("leaf", "on-call", "go", "fork"), ("fork", "on-call", "go", "r1"),
        ("r1", "on-call", "go", None), ("lone", "on-call", "go", "r1")}
    assert [json.loads(t) for t, in rows(store, "SELECT labels FROM runs WHERE run_id = 'lone'")] == [{"case": "7", "version": "b"}]


def test_forks_of_each_other_and_of_what_is_nowhere_do_no_harm(store):
    around = lambda of: Started(parent=Origin(run_id=of, index=0), labels={"case": of})
    store.append(step("a", 1, around("b")), step("b", 1, around("a")), step("c", 1, around("gone")))
    assert set(store.runs()) == {"a", "b", "c"} and store.runs({"case": "gone"}) == ["c"] and len(store.check()) == 3


def test_many_runs_of_one_loop_begin_together(store):
    agent = on_call(store, *["It is full."] * 60)

    async def crowd(): await asyncio.gather(*(agent.run("x", labels={"case": str(i % 2)}).wait() for i in range(60)))
    asyncio.run(crowd())
    assert len(store.runs({"case": "0"})) == len(store.runs({"case": "1"})) == 30 and store.check() == []


def test_a_batch_that_fails_leaves_no_label(store):
    store.append(step("r1"))
    with pytest.raises(RunConflict): store.append(step("r2", 0, Started(task="x", labels={"case": "7"})), step("r1"))
    assert store.runs({"case": "7"}) == [] and rows(store, "SELECT * FROM labels") == [] and len(rows(store, "SELECT * FROM runs")) == 1


def test_a_step_that_begins_no_run_is_one_statement_and_a_search_uses_the_index(tmp_path):
    store, said = open_store(f"sqlite:///{tmp_path}/runs.db"), []
    store.append(step("r1", 0, Started(task="x", labels={"case": "7"})))
    store._db.set_trace_callback(said.append)
    store.append(step("r1", 1, Finished(status="done")))
    assert len(said) == 1 and said[0].startswith("INSERT INTO steps")
    store.runs({"case": "7"})
    plan = " ".join(str(r) for r in store._db.execute(f"EXPLAIN QUERY PLAN {said[-1]}"))
    assert "by_label (name=? AND value=?)" in plan and "SCAN" not in plan


def test_a_person_asks_in_sql(store):
    finished(on_call(store), "r1", labels={"case": "7"}, caller=Origin(run_id="r0", index=3)).fork(at=0, run_id="fork")
    found = rows(store, "SELECT r.run_id, r.task, r.agent, r.caller, r.caller_step, r.parent, r.parent_step FROM runs AS r "
        "JOIN labels AS l ON l.run_id = r.run_id WHERE l.name = 'case' AND l.value = '7' ORDER BY r.began DESC")
    assert found == [("fork", "Is the disk full?", "on-call", None, None, "r1", 0), ("r1", "Is the disk full?", "on-call", "r0", 3, None, None)]
    assert rows(store, "SELECT run_id, labels ->> 'case', caller FROM runs ORDER BY began") == [("r1", "7", "r0"), ("fork", "7", None)]


def test_a_client_of_the_database_sees_both(durable):
    finished(on_call(durable), "r1", labels={"case": "7"}, caller=Origin(run_id="r0", index=3))
    if durable.startswith("sqlite"): found = sqlite3.connect(durable.removeprefix("sqlite:///")).execute("SELECT run_id, labels, caller FROM runs").fetchall()
    else:
        import psycopg
        with psycopg.connect(durable) as db: found = db.execute("SELECT run_id, labels, caller FROM agentnb.runs").fetchall()
    assert [(r, json.loads(text) if isinstance(text, str) else text, c) for r, text, c in found] == [("r1", {"case": "7"}, "r0")]


def test_long_tasks_and_texts_with_nul_are_entered_as_far_as_they_can_be(store):
    store.append(step("r1", 0, Started(task="a\0b" + "x" * 10_000, agent="on\0call")))
    assert rows(store, "SELECT task, agent FROM runs") == [("a\ufffdb" + "x" * 197, "on\ufffdcall")] and store.restore("r1").task.startswith("a\0bx")
    longest = {"é" * 100: "\U0001f600" * 500, "x" * 100: "7" * 500}   # what an index of PostgreSQL takes
    store.append(step("r2", 0, Started(task="x", labels=longest)))
    assert store.runs(longest) == ["r2"]


def test_a_check_finds_a_table_that_is_not_what_the_log_says(store):
    store.append(step("r1", 0, Started(task="x", labels={"case": "7"})), step("r2"))
    assert store.check() == []
    store._run(("UPDATE runs SET labels = '{}' WHERE run_id = 'r1'", ()))
    store._run(("DELETE FROM runs WHERE run_id = 'r2'", ()))
    assert len(problems := store.check()) == 2 and any("run r1 stands in the table `runs` with {}, and its log says {'case': '7'}" in p for p in problems)


# older stores

STEPS_OF_3 = """
INSERT INTO steps VALUES('old',0,0,'started','2026-05-04T02:15:01+00:00',
  '{"task":"Is the disk full?","agent":"on-call","model":"scripted","messages":[{"role":"user","content":"Is the disk full?"}]}');
INSERT INTO steps VALUES('old',1,1,'model','2026-05-04T02:15:04+00:00',
  '{"reply":{"content":"It is full.","usage":{"requests":1},"model":"scripted","cost":"0"},"seconds":1.0}');
INSERT INTO steps VALUES('old',2,1,'finished','2026-05-04T02:15:05+00:00','{"status":"done","result":"It is full."}');
INSERT INTO steps VALUES('old-fork',1,0,'started','2026-05-04T02:15:06+00:00','{"parent":{"run_id":"old","index":0}}');
INSERT INTO steps VALUES('old-fork',2,0,'edit','2026-05-04T02:15:07+00:00','{"instructions":"One word.","by":"fork"}');
INSERT INTO steps VALUES('old-fork-fork',1,0,'started','2026-05-04T02:14:00+00:00','{"parent":{"run_id":"old-fork","index":0}}');
INSERT INTO steps VALUES('bad',0,0,'started','2026-05-04T02:15:08+00:00','{"task":7}');
INSERT INTO steps VALUES('nul',0,0,'started','2026-05-04T02:15:08+00:00','{"task":"a\\u0000b"}');
"""   # as the code before labels wrote them, but for a damaged row, a NUL, and a clock that was set back
SQLITE_3 = """
CREATE TABLE kept (space TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (space, key));
CREATE TABLE leases (run_id TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL, seconds REAL NOT NULL);
CREATE TABLE steps (run_id TEXT NOT NULL, idx INTEGER NOT NULL, iteration INTEGER NOT NULL, kind TEXT NOT NULL,
  at TEXT NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (run_id, idx));
CREATE INDEX started ON steps (at, run_id) WHERE kind = 'started';
PRAGMA user_version = 3;"""
POSTGRES_3 = """
CREATE SCHEMA agentnb;
SET search_path = agentnb;
CREATE TABLE version (schema INTEGER NOT NULL);
INSERT INTO version VALUES (3);
CREATE TABLE kept (space TEXT NOT NULL, key TEXT COLLATE "C" NOT NULL, at TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (space, key));
CREATE TABLE leases (run_id TEXT PRIMARY KEY, holder TEXT NOT NULL, until FLOAT8 NOT NULL, seconds FLOAT8 NOT NULL);
CREATE TABLE steps (run_id TEXT NOT NULL, idx INTEGER NOT NULL, iteration INTEGER NOT NULL, kind TEXT NOT NULL,
  at TEXT NOT NULL, payload JSON NOT NULL, PRIMARY KEY (run_id, idx));
CREATE INDEX started ON steps (at, run_id) WHERE kind = 'started';"""


def written_before(url):
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as db: db.executescript(SQLITE_3 + STEPS_OF_3)
        return
    import psycopg
    with psycopg.connect(url, autocommit=True) as db: db.execute(POSTGRES_3 + STEPS_OF_3)


def test_a_store_of_the_version_before_is_brought_up_to_date(durable):
    written_before(durable)
    store = open_store(durable)
    known = {("old", 0, "on-call", "Is the disk full?", None, None), ("old-fork", 1, "on-call", "Is the disk full?", "old", 0),
        ("old-fork-fork", 1, "on-call", "Is the disk full?", "old-fork", 0), ("nul", 0, "", "a\ufffdb", None, None)}
    assert set(rows(store, "SELECT run_id, idx, agent, task, parent, parent_step FROM runs")) == known
    assert rows(store, "SELECT DISTINCT CAST(labels AS TEXT), caller FROM runs") == [("{}", None)] and rows(store, "SELECT * FROM labels") == []
    assert store.restore("old").result == "It is full." and store.restore("old").labels == {} and store.restore("old").caller is None
    assert [p for p in store.check() if "bad" not in p] == [] and set(store.runs()) == {"old", "old-fork", "old-fork-fork", "bad", "nul"}
    fork = on_call(store).load("old-fork").fork(at=1, run_id="new-fork", labels={"case": "7"})
    assert fork.labels == {"case": "7"} and store.runs({"case": "7"}) == ["new-fork"]
    assert rows(store, "SELECT agent, task FROM runs WHERE run_id = 'new-fork'") == [("on-call", "Is the disk full?")]
    store.close()
    assert len(open_store(durable).runs()) == 6   # the second time there is nothing to do


def test_a_store_of_a_later_version_is_refused_as_before(durable):
    store = open_store(durable)
    if durable.startswith("sqlite"): store._run((f"PRAGMA user_version = {len(MIGRATIONS) + 1}", ()))
    else: store._run((f"UPDATE version SET schema = {len(MIGRATIONS) + 1}", ()))
    with pytest.raises(StoreError, match=f"newer agentnb .schema {len(MIGRATIONS) + 1}, this one knows {len(MIGRATIONS)}") as e: open_store(durable)
    assert e.value.kind == "newer"


def test_an_upgrade_that_fails_changes_nothing(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/runs.db"
    written_before(url)
    monkeypatch.setattr("agentnb.store.sqlite.MIGRATIONS", broken := (*MIGRATIONS, ("NO SQL",)))
    monkeypatch.setattr("agentnb.store.rows.MIGRATIONS", broken)
    with pytest.raises(StoreError): open_store(url)
    monkeypatch.undo()
    with sqlite3.connect(tmp_path/"runs.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,) and not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchall()
    assert "old" in open_store(url).runs()


# in lists, in a cell, at a terminal

def labelled(store):
    agent = on_call(store, labels={"version": "b"})
    for i in range(4): finished(agent, f"r{i}", labels={"case": str(i % 2), "user": "Ada L."})
    agent.load("r0").fork(at=0, run_id="fork")
    return agent


def test_a_list_is_searched_and_filtered_by_label(store):
    agent = labelled(store)
    listing, ids = Listing(store), lambda heads: [h.run_id for h in heads]
    assert ids(listing.find(labels={"case": "0"})) == ["fork", "r2", "r0"] and ids(listing.find("CASE=1")) == ["r3", "r1"]
    assert ids(listing.find("ada l", "done", labels={"case": "0"})) == ["r2", "r0"] and ids(listing.find(labels={"case": "2"})) == []
    assert listing.summaries(listing.heads())[0].labels == {"version": "b", "case": "0", "user": "Ada L."}
    assert list_runs(store, labels={"case": "1"})[0].endswith("[version=b case=1 'user=Ada L.']") and len(list_runs(store, 1, {"case": "1"})) == 1
    hide(store, "r2")
    assert ids(listing.find(labels={"case": "0"})) == ["fork", "r0"]
    page = browse(agent, labels={"case": "1"})
    assert "2 runs" in page._repr_html_() and "case=1" in page._repr_html_() and "case=0" not in page._repr_html_() and len(repr(page).splitlines()) == 2
    assert repr(browse(agent, labels={"case": "9"})).startswith("no runs with case=9 in")


def test_labels_alone_read_no_run(store, monkeypatch):
    labelled(store)
    monkeypatch.setattr("agentnb.log.listing.read_run", lambda *_: pytest.fail("a run was read"))
    assert len(Listing(store).find(labels={"case": "0"})) == 3


class Widget(RunsView):
    def __init__(self):
        super().__init__()
        self.sent = []
    def send(self, content, buffers=None): self.sent.append(content)


def test_the_browser_asks_for_labels_and_hears_what_is_wrong_with_them():
    agent = labelled("memory:")

    async def go():
        widget = Widget()
        link = _Link(browse(agent, labels={"case": "1"}), widget, SimpleNamespace(update=lambda *_: None))
        ask = lambda **said: link.on_message(widget, dict(type="find", **said), [])
        assert link.query()["labels"] == "case=1" and link.query()["total"] == 2
        ask(labels="case=0 'user=Ada L.'", start=0)
        assert link.query()["labels"] == "case=0 'user=Ada L.'" and link.query()["total"] == 3 and widget.note == {}
        ask(labels="case")
        assert "'case' is no label. Write name=text" in widget.note["problem"] and link.query()["total"] == 3
        ask(labels="case=0 case=1")
        assert "No run has both" in widget.note["problem"]
        ask(labels="'case")
        assert "No closing quotation" in widget.note["problem"]
        ask(labels="")
        assert link.query()["total"] == 5 and widget.note == {}
    asyncio.run(go())


class Texts(HTMLParser):
    def __init__(self): super().__init__(); self.tags = set()
    def handle_starttag(self, tag, attrs): self.tags.add(tag)


def test_a_label_is_only_text(store):
    bad = {"<img src=x onerror=alert(1)>": "</code><script>alert(1)</script>", "\u202e": "\u200b"}
    run = finished(on_call(store), "r1", labels=bad)
    reader = Texts()
    reader.feed(html := browse(store)._repr_html_())
    assert not reader.tags & {"img", "script"} and "\u202e" not in html and "&lt;script&gt;" in html
    [row] = Query(store)()["rows"]
    assert [label["words"] for label in row["labels"]][1] == "\\u202e=\\u200b" and read_labels(shlex.split(row["labels"][1]["label"])) == {"\u202e": "\u200b"}
    assert "<script" not in step_html(run.steps[0])


def test_the_page_of_the_start_shows_labels_and_caller():
    run = finished(on_call("memory:"), "r1", labels={"case": "7"}, caller=Origin(run_id="r0", index=3))
    page = step_html(run.steps[0])
    assert "labels" in page and "case" in page and "caller" in page and "r0" in page
    assert "labels" not in step_html(finished(on_call("memory:"), "r2").steps[0])


@pytest.fixture
def shell():
    made = InteractiveShell.instance()
    before = dict(made.user_ns)
    yield made
    made.user_ns.clear()
    made.user_ns.update(before)


def test_runs_in_a_cell_are_filtered(shell):
    shell.user_ns.update(agent=labelled("memory:"))
    magics = _AgentMagics(shell=shell)
    assert len(magics.runs("case=1")._repr_html_().split("case=1")) == 3
    assert magics.runs("").labels == {} and magics.runs("case=0 'user=Ada L.' version=b").labels == {"case": "0", "user": "Ada L.", "version": "b"}
    assert magics.runs("empty= case=a=b").labels == {"empty": "", "case": "a=b"}
    with pytest.raises(UsageError, match="No run has both"): magics.runs("case=1 case=2")
    with pytest.raises(UsageError, match="Write %runs"): magics.runs("'case=1")
    with pytest.raises(StoreError, match="no store 'case'"): magics.runs("case")


def test_a_store_may_stand_before_the_labels_of_a_cell(shell, tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db?synchronous=full"
    labelled(url)
    page = _AgentMagics(shell=shell).runs(f"{url} case=1")
    assert "runs.db" in page.store.url and page.labels == {"case": "1"} and "2 runs" in page._repr_html_()


def test_runs_at_a_terminal_are_filtered_and_exported(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/runs.db"
    labelled(url)
    assert main(["runs", "--store", url, "--label", "case=1", "--label", "user=Ada L."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["r3", "r1"] and "[version=b case=1 'user=Ada L.']" in lines[0]
    assert main(["runs", "--store", url, "--label", "case=9"]) == 0 and capsys.readouterr().out == ""
    assert main(["runs", "--store", url, "--label", "case"]) == 1 and "--label: 'case' is no label. Write name=text" in capsys.readouterr().err
    assert main(["store", "export", "--store", url, "--label", "case=0", "--to", f"{tmp_path}/out.jsonl"]) == 0
    other = open_store("memory:")
    assert set(import_runs(other, (tmp_path/"out.jsonl").open())) == {"r0", "r2", "fork"} and other.runs({"case": "0", "version": "b"}) == ["fork", "r2", "r0"]
    assert main(["store", "export", "r1", "r0", "--skip-damaged", "--store", url, "--label", "case=1", "--to", f"{tmp_path}/one.jsonl"]) == 0
    assert {json.loads(line)["run_id"] for line in (tmp_path/"one.jsonl").open()} == {"r1"}
    capsys.readouterr()
    assert main(["store", "export", "--store", url, "--label", "case=9"]) == 0 and capsys.readouterr().out == ""


# in metrics

def test_metrics_are_filtered_and_grouped_by_a_label(store):
    @tool
    def restart(service: str) -> str: return "restarted"
    for version, asked in (("a", 2), ("b", 1)):
        replies = [Reply(content="", calls=(call("restart", service=str(i)),), cost="0.01", model="m") for i in range(asked)]
        agent = Agent(Scripted([*replies, Reply(content="done", cost="0.01", model="m")]), [restart], name="on-call", store=store, clock=Ticks(),
            unattended="approve", labels={"version": version})
        asyncio.run(agent.run("Go.", run_id=version, labels={"case": "7"}).wait())
    agent.load("b").fork(at=0, run_id="fork", labels={"version": "c"})
    asyncio.run(on_call(store).run("Go.", run_id="bare").wait())
    one, all_of_them = measure(store, labels={"version": "a", "case": "7"}), measure(store, by="version")
    assert [r["run_id"] for r in one.counts.runs] == ["a"] and str(one.costs.cost.sum()) == "0.03" and "label" not in one.costs
    assert {*zip(all_of_them.iterations.label, all_of_them.iterations.agent, all_of_them.iterations["p50"])} == {
        ("a", "on-call", 3), ("b", "on-call", 2), ("c", "on-call", 0), ("", "on-call", 1), ("(all)", "(all)", 1)}
    assert dict(zip(all_of_them.tools.label, all_of_them.tools.calls)) == {"a": 2, "b": 1} and list(all_of_them.tools)[:2] == ["label", "tool"]
    for table in ("latency", "iterations", "tools", "costs", "interventions", "steps", "requests"): assert "label" in getattr(all_of_them, table), table
    assert set(all_of_them.costs.label) == {"a", "b", ""} and all_of_them.interventions.iloc[-1]["count"] == 4
    assert [(r["run_id"], r["agent"]) for r in measure(store, labels={"version": "c"}).counts.runs] == [("fork", "on-call")]
    runs = [agent.load("a"), agent.load("b"), agent.load("fork")]
    assert len(measure(runs, labels={"case": "7"}).counts.runs) == 3 and len(measure(runs, labels={"version": "c"}).counts.runs) == 1
    assert set(measure(runs, by="version").iterations.label) == {"a", "b", "c", "(all)"}
    assert [o.calls for o in intervention_rates(store, labels={"version": "a"})] == [2] and [o.calls for o in intervention_rates(store)] == [3]


# elsewhere

def test_a_langgraph_saver_finds_runs_by_label_too():
    from agentnb.langgraph.saver_store import LangGraphStore
    from langgraph.checkpoint.memory import InMemorySaver
    store = LangGraphStore(InMemorySaver())
    agent = on_call(store, labels={"version": "b"})
    finished(agent, "r1", labels={"case": "7"}).fork(at=0, run_id="fork", labels={"case": "8"})
    finished(agent, "child", caller=Origin(run_id="r1", index=1))
    assert store.runs({"case": "8", "version": "b"}) == ["fork"] and store.runs({"version": "b"}) == ["child", "fork", "r1"] == store.runs()
    assert store.children() == {"child": Origin(run_id="r1", index=1)} == store.children("r1") and store.children("r2") == {}
    assert "[version=b case=8]" in list_runs(store, labels={"case": "8"})[0]


def test_a_held_graph_has_no_labels_and_says_so():
    from langgraph.graph import END, START, MessagesState, StateGraph
    built = StateGraph(MessagesState)
    built.add_node("say", lambda state: {"messages": [("assistant", "It is full.")]})
    built.add_edge(START, "say")
    built.add_edge("say", END)
    run = hold(built.compile(), {"messages": [("user", "Is the disk full?")]}, store="memory:")
    assert run.labels == {} and run.caller is None
    asyncio.run(run.wait())
    assert run.labels == {} and run.fork(at=1).labels == {}


def test_the_writer_takes_a_begin_alone(tmp_path):
    "A run that goes on alone writes its first step without waiting for others"
    store = open_store(f"sqlite:///{tmp_path}/runs.db")

    async def go(): return Writer(store).append(step("r1", 0, Started(task="x", labels={"case": "7"})))
    assert asyncio.run(go()) is None and store.runs({"case": "7"}) == ["r1"]
