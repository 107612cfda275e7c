# ruff: noqa: E501
"""Lines of an export, rows and tapes of any shape: what is wrong is said with its place, and nothing of it is written."""
import asyncio, json

import pytest

from agentnb import Agent, Scripted, call, tool
from agentnb.store.opening import open_store
from agentnb.store.protocol import StoreError
from agentnb.store.transfer import export_runs, import_runs
from agentnb.wrappers.tape import Tape


@tool(read_only=True)
def look(name: str) -> str:
    "Look at a service"
    return "fine"


@pytest.fixture(scope="module")
def lines():
    store = open_store("memory:")
    asyncio.run(Agent(Scripted([call("look", name="db"), "done"]), [look], store=store).run("Look.").wait())
    return list(export_runs(store))


def refused(lines, url="memory:"):
    store = open_store(url)
    with pytest.raises(StoreError, match="line [0-9]+") as e: import_runs(store, lines)
    assert len(str(e.value)) < 3000 and not store.runs()
    return str(e.value)


RAW = ["{", "null", "[]", "1", '"x"', "[" * 100_000, '{"a":' * 100_000, '{"content":' + "[" * 200_000, '{"content":1}', '{"content":{}}', "\0", b"\xff\xfe{", b"\xff", "1" * 100_000,
    '{"content":{"sha256":"' + "0" * 64 + '","mime":"a","size":1},"data":5}']


@pytest.mark.parametrize("raw", RAW, ids=[repr(r[:20]) for r in RAW])
def test_a_line_that_is_none_is_named(lines, raw):
    assert "line 1" in refused([raw, *lines[1:]]) and "line 3" in refused([*lines[:2], raw, *lines[3:]])


WRONG = [None, True, -1, 10**30, 1e308, "", [], {}, [[]], {"a": {}}, "x" * 100_000]


@pytest.mark.parametrize("field", ["run_id", "index", "iteration", "at", "body"])
@pytest.mark.parametrize("value", WRONG, ids=[repr(w)[:12] for w in WRONG])
def test_a_value_that_is_none_is_named_or_harmless(lines, field, value, tmp_path):
    for at in (0, 2):
        made, store = [*lines], open_store(f"sqlite:///{tmp_path}/{at}.db")
        made[at] = json.dumps(json.loads(made[at]) | {field: value})
        try: written = import_runs(store, made)
        except StoreError as e: assert "line " in str(e) and len(str(e)) < 3000
        else: assert all(store.restore(r) for r in written)
        store.close()


IDS = ["../../x", "/etc/x", "a/b", "..", "con", "C:\\x", "x" * 1001, "x" * 10_000_000, "\0", "a\nb", "", " ", "\u202ex", "\x1b[31m"]


@pytest.mark.parametrize("run_id", IDS, ids=[ascii(i[:12]) + str(len(i)) for i in IDS])
def test_an_id_is_text_and_no_path(lines, run_id, tmp_path, monkeypatch):
    (home := tmp_path/"a"/"b"/"c").mkdir(parents=True)
    monkeypatch.chdir(home)
    made = [json.dumps(json.loads(line) | {"run_id": run_id}) for line in lines]
    store = open_store(f"sqlite:///{home}/runs.db")
    if len(run_id) > 1000 or not run_id.isprintable() or not run_id.strip():
        with pytest.raises(StoreError, match="line 1") as e: import_runs(store, made)
        assert len(str(e.value)) < 1000
    else:
        assert import_runs(store, made) == [run_id] and store.restore(run_id).status == "done"
        assert list(export_runs(store, [run_id])) and str(Agent(Scripted(["x"]), [look], store=store, name="a"))
    store.close()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {"runs.db", "runs.db-wal", "runs.db-shm"}


TAPES = ["{", "[]", "null", "1", '"x"', '{"a": 1}', '{"a": {}}', '{"a": {"request": 1}}', '{"a": {"request": {}, "results": []}}', "[" * 100_000, "\0", '{"a": null}']


@pytest.mark.parametrize("text", TAPES, ids=[t[:20] for t in TAPES])
def test_a_tape_that_is_none_says_so(text, tmp_path):
    (tmp_path/"a.tape").write_text(text)
    with pytest.raises(ValueError, match="a.tape"): Tape(tmp_path/"a.tape").find(dict(tool="look", args={}))


def test_a_tape_in_another_encoding_says_so(tmp_path):
    (tmp_path/"a.tape").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="a.tape is not a tape"): Tape(tmp_path/"a.tape").find(dict(tool="look", args={}))
