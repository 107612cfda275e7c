# ruff: noqa: B023, E501
"""Rows of any shape in every table: an error that names the row, other runs are listed, and an id is never a path."""
import asyncio, json, re, sqlite3, warnings
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agentnb import Agent, Scripted, StoreError, call, open_store, tool
from agentnb.cli.lab import prepare_lab
from agentnb.core.contents import content_of
from agentnb.core.steps import Origin, Returned, Step
from agentnb.engine.spending import budget_lines
from agentnb.log.approval import approvals, revoke, use_approval
from agentnb.log.inbox import answered_runs, pending
from agentnb.log.listing import Listing, list_runs
from agentnb.log.place import place_of
from agentnb.store.hidden import purge
from agentnb.store.lease import dead_leases
from agentnb.store.protocol import hidden_runs
from agentnb.store.sqlite import SQLite
from agentnb.store.transfer import export_runs
from agentnb.study.testcase import replay, write_test
from agentnb.wrappers.tape import Tape

AT = datetime(2026, 5, 4, 2, 15, tzinfo=UTC)
DATA = b"\x89PNG" * 9
COLUMNS = dict(steps="run_id idx iteration kind at payload", runs="run_id idx began agent task labels caller caller_step parent parent_step",
    labels="run_id name value", kept="space key at value", leases="run_id holder until seconds", contents="sha256 mime size at bytes", uses="run_id sha256")
PLACES = [(table, column) for table, columns in COLUMNS.items() for column in columns.split()]
SHAPES = [None, "", "no JSON", "[]", "null", '{"a": 1}', '{"kind": 5}', "[" * 100_000, '{"max_iterations": ' + "9" * 5000 + "}", '{"task": 1e999}', 5, -1, 2**62, 1.5, float("inf"),
    b"\xff\xfe\x00", b"[]", "a\0b", "../../x", "9999-99-99", "2026-05-04T02:15:00", '{"reply": {"calls": [{}]}}', '{"parent": {"run_id": "bad", "index": 0}}']


@tool
def act(name: str) -> str:
    "Do it"
    return "done"


def agent(store): return Agent(Scripted([call("act", name="db"), "done"] * 9), [act], store=store, labels={"case": "7"})


def fill(store):
    made = agent(store)
    for run_id in ("good", "bad"):
        run = made.run("Look.", run_id=run_id)
        asyncio.run(run.until())
        if run.pending: run.pending[0].approve(remember="tool")
        asyncio.run(run.wait())
    asyncio.run(made.run("More.", run_id="child", caller=Origin(run_id="bad", index=1)).until())
    asyncio.run(made.load("bad").fork(at=3).until())
    content = content_of(DATA, "image/png")
    store.append(Step(run_id="bad", index=made.load("bad").tip.index, at=AT, body=Returned(call_id="x", tool="act", contents=(content,))), contents=[(content, DATA)])
    store.hold("good", "a/1/2/3", 30)
    store.keep("hidden runs", "nobody", "you", AT)
    store.keep("budget team", "bad", '{"tokens": 5}', AT)
    return content.sha256


@pytest.fixture(scope="module")
def whole():
    store = SQLite(":memory:")
    fill(store)
    db = store._db
    for table in COLUMNS: assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0], table
    db.execute("PRAGMA writable_schema=1")
    db.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'")
    db.execute("PRAGMA writable_schema=reset")
    return store


def copy_of(whole):
    store = SQLite(":memory:")
    store._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    whole._db.backup(store._db)
    return store


def lists(store):
    for look in (store.runs, store.heads, store.leases, store.children, lambda: store.runs({"case": "7"}), lambda: store.children("bad"), lambda: hidden_runs(store),
            lambda: dead_leases(store), lambda: Listing(store).find("x"), lambda: pending(store), lambda: answered_runs(store), lambda: approvals(store)): look()
    use_approval(store, call("act", name="x"), act.spec, "agent", "r", AT, {"code": "x"})
    shown = "\n".join(list_runs(store))
    assert "good  done" in shown or "good" not in store.runs(), shown
    assert store.check() is not None


def reads(store):
    made = agent(store)
    for run_id in ("good", "bad", "child"):
        yield lambda: store.restore(run_id)
        yield lambda: made.load(run_id, anyway=True)._repr_html_()
        yield lambda: list(export_runs(store, [run_id]))
        yield lambda: store.hold(run_id, "me", 30)
    yield lambda: [store.content(row[0]) for row in store._run(("SELECT sha256 FROM contents", ()))]
    yield lambda: place_of(store, AT)
    yield lambda: budget_lines(store, "team")
    yield store.starts
    yield lambda: asyncio.run(made.run("go").until())
    yield lambda: asyncio.run(made.load("bad", anyway=True).fork(at=2).until())
    yield lambda: purge(store)


def said_by(store):
    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lists(store)
        for read in reads(store):
            try: read()
            except StoreError as e: said.append(str(e))
    assert all(len(s) < 4000 for s in said)
    return said


def rows_of(store, table):
    return [r for r, in store._db.execute(f"SELECT rowid FROM {table} {'WHERE run_id = ' + repr('bad') if table == 'steps' else ''} ORDER BY rowid")]


@pytest.mark.parametrize("table, column", PLACES, ids=[".".join(p) for p in PLACES])
def test_a_value_of_any_shape_is_an_error_that_names_its_row(whole, table, column):
    rows = rows_of(whole, table)
    for n, shape in enumerate(SHAPES[PLACES.index((table, column)) % 4::4]):
        store = copy_of(whole)
        try: store._db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (shape, rows[n % len(rows)]))
        except sqlite3.IntegrityError: continue
        said_by(store)
        store.close()


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.sampled_from(["reply", "calls", "parent", "run_id", "index", "request_id", "call", "args", "verdict", "messages", "task", "labels", "id", "tool"]), inner, max_size=4), max_leaves=12)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), n=st.integers(0, 99), value=JSON)
def test_any_json_in_any_column_is_a_typed_error_or_a_whole_run(whole, place, n, value):
    (table, column), store = place, copy_of(whole)
    rows = rows_of(store, table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try: store._db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (json.dumps(value), rows[n % len(rows)]))
        except sqlite3.IntegrityError: return
    said_by(store)
    store.close()


DAMAGE = dict(
    gap=("DELETE FROM steps WHERE run_id = 'bad' AND idx = 2", "agent/bad/step_3 does not follow step 1"),
    beginning=("DELETE FROM steps WHERE run_id = 'bad' AND idx = 0", "agent/bad/step_1 does not follow step -1"),
    index=("UPDATE steps SET idx = 99 WHERE run_id = 'bad' AND idx = 3", "agent/bad/step_4 does not follow step 2"),
    negative=("UPDATE steps SET idx = -1 WHERE run_id = 'bad' AND idx = 0", "agent/bad/step_1 does not follow step -1"),
    foreign=("UPDATE steps SET run_id = 'bad', idx = 99 WHERE run_id = 'good' AND idx = 3", "agent/bad/step_99 does not follow"),
    circle=("UPDATE steps SET payload = '{\"parent\": {\"run_id\": \"bad\", \"index\": 3}}' WHERE run_id = 'bad' AND idx = 0", "goes back to itself"),
    list=("UPDATE steps SET payload = '[]' WHERE run_id = 'bad' AND idx = 0", "agent/bad/step_0 cannot be read"),
    answer=("UPDATE steps SET payload = '{\"request_id\": \"q\", \"verdict\": \"approve\"}', kind = 'decision' WHERE run_id = 'bad' AND idx = 2", "agent/bad/step_2 does not fit"),
    kind=("UPDATE steps SET kind = 'nothing' WHERE run_id = 'bad' AND idx = 2", "agent/bad/step_2 cannot be read"))


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_is_named_and_the_others_are_listed(store, kind):
    fill(store)
    statement, words = DAMAGE[kind]
    store._run((statement, ()))
    with pytest.raises(StoreError, match=re.escape(words)) as e: store.restore("bad")
    assert e.value.kind == "damaged"
    with pytest.raises(StoreError, match=re.escape(words)): agent(store).load("bad")
    assert any(words in problem or kind == "beginning" and "run bad has steps, and its beginning is missing" in problem for problem in store.check())
    shown = {line.split()[0]: line.split()[1] for line in list_runs(store)}
    assert shown["bad"] == "damaged" and shown["child"] != "damaged" and (kind == "foreign" or shown["good"] != "damaged")
    assert list(export_runs(store, ["child"])) and asyncio.run(agent(store).run("go").until())


WRONG_JSON = ["null", "1", '"x"', "[]", '{"task": {}}', '{"labels": []}', "[" * 3000 + "]" * 3000, '{"messages": [{"role": "nobody"}]}', "9" * 5000, "1e400"]


@pytest.mark.parametrize("text", WRONG_JSON, ids=[t[:12] for t in WRONG_JSON])
def test_json_of_another_shape_in_each_database(store, text):
    fill(store)
    for table, column in (("steps", "payload"), ("runs", "labels"), ("kept", "value"), ("kept", "at"), ("runs", "began"), ("steps", "at"), ("leases", "holder")):
        try: store._run((f"UPDATE {table} SET {column} = ?", (text,)))
        except StoreError: continue
        for read in (lambda: store.restore("bad"), store.check, lambda: agent(store).load("bad"), lambda: place_of(store, AT), lambda: budget_lines(store, "team")):
            try: read()
            except StoreError: pass
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert len(list_runs(store)) == 4 and approvals(store) is not None


def test_a_remembered_yes_that_cannot_be_read_covers_nothing_and_the_others_count(store):
    fill(store)
    known = store.scan("approvals")
    text = known[0][1]
    for name, value in (("a", "{"), ("b", text), ("c", json.dumps(json.loads(text) | {"id": "c", "uses": "x"}))): store.keep("approvals", name, value, AT)
    with pytest.warns(UserWarning, match="remembered yes '[abc]' in the table kept cannot be read, and covers nothing"):
        assert [a.id for a in approvals(store)] == [key for key, _ in known]
        assert asyncio.run(agent(store).run("go").until()).kind == "request"
    assert revoke(store, "b") and "b" not in dict(store.scan("approvals"))


IDS = ["../../x", "/etc/x", "a/b", "..", "C:\\x", "x" * 1_000_000, "a\nimport os; os.abort()", "\u202ex", "\x1b[31m", "a\rb", ""]


@pytest.mark.parametrize("run_id", IDS, ids=[ascii(i[:12]) for i in IDS])
def test_an_id_from_elsewhere_is_no_path_and_no_code(run_id, tmp_path, monkeypatch):
    (home := tmp_path/"a"/"b").mkdir(parents=True)
    monkeypatch.chdir(home)
    store = open_store("memory:")
    made = agent(store)
    run = made.run("Look.", run_id="r")
    asyncio.run(run.until())
    store._run(("UPDATE steps SET run_id = ?", (run_id,)))
    run = made.load(run_id)
    write_test(run.engine, home/"test_a.py", "module:agent", 1)
    (home/"page.ipynb").write_text('{"cells": []}')
    write_test(run.engine, home/"page.ipynb", "agent", 1)
    code = (home/"test_a.py").read_text()
    assert "\nimport os" not in code and compile(code, "test_a.py", "exec") and "\nimport os" not in json.loads((home/"page.ipynb").read_text())["cells"][0]["source"][1]
    assert len(list_runs(store)) == 1 and len(list_runs(store)[0]) < 3000 and list_runs(store)[0].isprintable()
    if run_id: assert prepare_lab(home/"lab", "module:agent", run_id).parent == home/"lab"
    assert {p.parent.name for p in tmp_path.rglob("*") if p.is_file() and "lab" not in p.parts} == {"b"}


PLAYED = [None, 1, "x", [], {}, {"reply": 1}, {"reply": {"content": 5}}, {"asked": {}}, {"results": {"a": 1}}, {"results": {"": {}}}, {"results": {"": {"content": 1, "contents": [1]}}},
    {"results": {"": {"content": "a", "contents": [{"mime": 1, "data": "?"}]}}}, {"results": {"": {"failure": {"kind": "nothing"}}}}]


@pytest.mark.parametrize("found", PLAYED, ids=[json.dumps(p)[:40] for p in PLAYED])
def test_a_recording_of_any_shape_is_named(found, tmp_path):
    tape = Tape(tmp_path/"a.tape")
    tape.record(dict(tool="act", args={"name": "db"}), results={"": {"content": "x"}})
    key, entry = next(iter(json.loads(tape.path.read_text()).items()))
    tape.path.write_text(json.dumps({key: entry | found if isinstance(found, dict) and "results" in found else found}))
    with pytest.raises(ValueError, match=f"a.tape: the recording '{key}'"): asyncio.run(Tape(tape.path, "replay")(act).run(dict(name="db")))


@pytest.mark.parametrize("data", [b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\x1f\x8b\x08\x00", b"\x80", b'{"a": {"request": {}', b"[" * 100_000, b"1" * 10_000])
def test_a_file_that_is_no_tape_says_so(data, tmp_path):
    (tmp_path/"a.tape").write_bytes(data)
    with pytest.raises(ValueError, match="a.tape is not a tape"): asyncio.run(Tape(tmp_path/"a.tape")(act).run(dict(name="db")))


def test_a_recorded_step_of_any_shape_is_named(tmp_path):
    run = agent(open_store("memory:")).run("Look.", run_id="r")
    asyncio.run(run.until())
    write_test(run.engine, tmp_path/"test_a.py", "module:agent", 1)
    whole = json.loads((tmp_path/"test_a.tape").read_text())
    key = next(k for k, e in whole.items() if "step" in e["request"])
    for field in ("root", "before", "behind", "steps"):
        for value in (None, 5, [1], [{}], {"a": 1}, "x"):
            if (field, value) == ("root", "x"): continue
            (tmp_path/"test_a.tape").write_text(json.dumps(whole | {key: whole[key] | {field: value}}))
            with pytest.raises(ValueError, match=f"test_a.tape: the recording '{key}' cannot be played"): replay(agent("memory:"), tmp_path/"test_a.tape", "r", 1)
