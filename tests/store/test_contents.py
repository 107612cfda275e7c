"""Bytes beside the steps: once by content, durable with the step, along with forks, exports and imports, gone with the last run that refers to them."""
import asyncio, json, sqlite3, threading

import pytest

from agentnb import Agent, Scripted, StoreError, call, open_store, tool
from agentnb.core.contents import content_of
from agentnb.core.messages import Message, user
from agentnb.core.steps import Edit, Returned, Started, Step
from agentnb.store.contents import bytes_of, content_line, whole_text
from agentnb.store.hidden import hide, purge
from agentnb.store.rows import MIGRATIONS
from agentnb.store.transfer import export_runs, import_runs
from agentnb.store.writer import Writer

PIXEL = b"GIF89a\x01\0\x01\0" + b"\0" * 30


@tool(read_only=True)
def picture(n: int = 0) -> bytes:
    "A picture"
    return PIXEL + bytes([n])


@tool(read_only=True)
def dump() -> str:
    "All alerts"
    return "".join(f"alert {i}\n" for i in range(2000))


@tool(idempotent=True)
def chart(service: str) -> bytes:
    "Restart and draw"
    return PIXEL + service.encode()


def agent(store, *script, **how): return Agent(Scripted([*script, "done"]), [picture, dump, chart], store=store, unattended="approve", **how)


def count(store, table="contents"): return store._run((f"SELECT count(*) FROM {table}", ()))[0][0]


def ran(store, *script, run_id=None, **how):
    run = agent(store, *script, **how).run("go", run_id=run_id)
    asyncio.run(run.wait())
    return run


def contents(run): return [c for s in run.steps if isinstance(s.body, Returned) for c in s.body.contents]


def test_kept_once_and_read_by_everyone(store):
    run = ran(store, call("picture"), [call("picture"), call("picture", n=1)])
    fork = run.fork(at=2)
    asyncio.run(fork.wait())
    assert [bytes_of(store, c) for c in contents(run)] == [PIXEL + b"\0", PIXEL + b"\0", PIXEL + b"\1"]
    assert count(store) == 2 and count(store, "uses") == 4
    assert store.check() == [] and store.content("0" * 64) is None
    again = agent(store).load(run.run_id)
    assert again.steps == run.steps and [m.contents for m in again.tip.messages if m.contents] == [(c,) for c in contents(run)]


def test_a_turn_without_them_asks_the_store_nothing_more(tmp_path):
    store, said = open_store(f"sqlite:///{tmp_path}/runs.db"), []
    run = agent(store, call("dump")).run("go")
    store._db.set_trace_callback(said.append)
    asyncio.run(run.wait())
    store._db.set_trace_callback(None)
    assert not any(word in sql.split("'")[0] for sql in said for word in ("contents", "uses"))
    assert sum(s.startswith("INSERT INTO steps") for s in said) == len(run.steps)


def test_bytes_and_step_are_written_together_or_not_at_all(store):
    c = content_of(PIXEL, "image/gif")
    step = Step(run_id="r1", index=1, at="2026-05-04T02:15:00+00:00", body=Returned(call_id="c", tool="t", contents=(c,)))
    store.append(step)
    with pytest.raises(Exception, match="already written"): store.append(step, contents=[(c, PIXEL)])
    assert store.content(c.sha256) is None


@pytest.mark.parametrize("runs", [1, 5])
def test_both_ways_of_the_writer(store, runs):
    async def write():
        writer = Writer(store)
        with writer:
            writer.runs = runs
            at, data = "2026-05-04T02:15:00+00:00", [PIXEL + bytes([i]) for i in range(3)]
            bodies = [Returned(call_id="c", tool="t", contents=(content_of(d, "image/gif"),)) for d in data]
            steps = [Step(run_id=f"r{i}", index=0, at=at, body=body) for i, body in enumerate(bodies)]
            waiting = [writer.append(s, contents=[(s.body.contents[0], d)]) for s, d in zip(steps, data)]
            for done in waiting:
                if done: await done
            return [bytes_of(store, s.body.contents[0]) for s in steps] == data
    assert asyncio.run(write()) and count(store) == 3


def test_gone_with_the_last_run_that_refers_to_them(store):
    first, second = (ran(store, call("picture"), call("picture", n=n), run_id=f"r{n}") for n in (1, 2))
    third = agent(store, "").run(first.state_at(2), run_id="r3")   # goes on from the conversation of the first
    asyncio.run(third.wait())
    hide(store, "r1")
    assert purge(store) == ["r1"] and [bytes_of(store, c) is not None for c in contents(first)] == [True, False]
    for run_id in ("r2", "r3"): hide(store, run_id)
    assert set(purge(store)) == {"r2", "r3"} and count(store) == count(store, "uses") == 0 and bytes_of(store, contents(second)[0]) is None


def test_a_fork_keeps_what_it_shares(store):
    run = ran(store, call("picture"), run_id="r1")
    fork = run.fork(at=2, run_id="r2")
    hide(store, "r1")
    assert purge(store) == [] and bytes_of(store, contents(run)[0])
    hide(store, "r2")
    assert set(purge(store)) == {"r1", "r2"} and count(store) == 0 and fork.run_id == "r2"


def test_steps_of_every_kind_that_holds_a_message(store):
    c, at = content_of(PIXEL, "image/gif"), "2026-05-04T02:15:00+00:00"
    said = user("look").model_copy(update={"contents": (c,)})
    for i, body in enumerate((Started(messages=(said,)), Started(examples=(said,)), Edit(added=(said,)), Edit(messages=(said,)))):
        store.append(Step(run_id=f"r{i}", index=0, at=at, body=body), contents=[(c, PIXEL)])
    for i in range(4):
        assert store.content(c.sha256) == PIXEL
        store.remove(f"r{i}")
    assert store.content(c.sha256) is None


def test_who_purges_and_who_refers_wait_for_each_other(store):
    "Many times, two threads: what a run refers to is there"
    c, at, lost = content_of(PIXEL, "image/gif"), "2026-05-04T02:15:00+00:00", []
    def refer(n):
        for i in range(40):
            store.append(Step(run_id=f"r{n}.{i}", index=0, at=at, body=Returned(call_id="c", tool="t", contents=(c,))), contents=[(c, PIXEL)])
            if store.content(c.sha256) is None: lost.append(i)
            store.remove(f"r{n}.{i}")
    threads = [threading.Thread(target=refer, args=(n,)) for n in range(2)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert not lost and count(store) == 0


# exports

def test_exports_and_imports_carry_them(store, tmp_path):
    run = ran(store, call("picture"), call("dump"), run_id="r1", result_limit=1000)
    run.fork(run_id="r2")
    lines = list(export_runs(store))
    assert [json.loads(line)["content"]["mime"] for line in lines if "content" in json.loads(line)] == ["image/gif", "text/plain"]
    other = open_store(f"sqlite:///{tmp_path}/other.db")
    assert import_runs(other, lines) == ["r1", "r2"] and import_runs(other, lines) == []
    assert other.read("r1") == store.read("r1") and list(export_runs(other)) == lines and other.check() == []
    assert [bytes_of(other, c) for c in contents(run)] == [bytes_of(store, c) for c in contents(run)]


@pytest.mark.parametrize("spoil, why", [(lambda line: line.replace('"data": "R', '"data": "S'), "are not those of"), (lambda line: line[:-3], "no content"),
    (lambda line: line.replace('"sha256"', '"sha"'), "no content"), (lambda line: '{"content": 7, "data": ""}', "no content")], ids=range(4))
def test_bytes_that_are_others_are_not_taken_in(tmp_path, spoil, why):
    store, other = open_store("memory:"), open_store("memory:")
    ran(store, call("picture"))
    lines = list(export_runs(store))
    with pytest.raises(StoreError, match=f"line 1: it.*{why}"): import_runs(other, [spoil(lines[0]), *lines[1:]])
    assert other.runs() == []


def test_an_export_without_them_is_taken_in_and_says_what_is_missing():
    store, other = open_store("memory:"), open_store("memory:")
    run = ran(store, call("picture"))
    import_runs(other, list(export_runs(store))[1:])
    assert other.check() == [] and bytes_of(other, contents(run)[0]) is None and list(export_runs(other)) == list(export_runs(store))[1:]


def test_a_check_finds_bytes_that_are_others():
    store = open_store("memory:")
    run = ran(store, call("picture"))
    store._run(("UPDATE contents SET bytes = ?", (b"other",)))
    assert len(store.check()) == 1 and bytes_of(store, contents(run)[0]) is None


# older files

SCHEMA_4 = [part.format(json="TEXT", real="REAL", key="TEXT") for parts in MIGRATIONS[:4] for part in parts if isinstance(part, str)]


def test_a_file_of_schema_4_gets_the_tables(tmp_path):
    path = tmp_path/"runs.db"
    with sqlite3.connect(path) as db:
        for sql in SCHEMA_4: db.execute(sql)
        began = '{"task":"go","messages":[{"role":"user","content":"go"}]}'
        db.execute("INSERT INTO steps VALUES ('old', 0, 0, 'started', '2026-05-04T02:15:00+00:00', ?)", (began,))
        db.execute("INSERT INTO runs VALUES ('old', 0, '2026-05-04T02:15:00+00:00', '', 'go', '{}', NULL, NULL, NULL, NULL)")
        db.execute("PRAGMA user_version = 4")
    store = open_store(f"sqlite:///{path}")
    assert store.check() == [] and store.runs() == ["old"] and count(store) == 0
    run = ran(store, call("picture"))
    assert bytes_of(open_store(f"sqlite:///{path}"), contents(run)[0]) == PIXEL + b"\0"


# reading on

def test_a_cut_result_is_read_on_in_pages(store):
    asks = [call("read_result", call_id=call_id, page=page) for call_id, page in (("c1.0", 2), ("c1.0", 99), ("no", 1))]
    run = ran(store, call("dump"), *asks, result_limit=5000)
    cut, second, beyond, unknown = [m for m in run.tip.messages if m.role == "tool"]
    whole = dump.fn()
    assert cut.content.endswith(f'(All of it is kept, as {-(-len(whole) // 5000)} pages: read_result(call_id="c1.0", page=2) reads on.)')
    assert second.content == f"(Page 2 of 5)\n{whole[5000:10000]}" and "Pages: 1 to 5" in str(beyond.failure) and "c1.0" in str(unknown.failure)
    assert "read_result" not in run.state_at(1).tools and [*run.tip.tools][-1] == "read_result"
    loaded = Agent(Scripted(["", call("read_result", call_id="c1.0", page=1), "done"]), [picture, dump, chart], store=store, result_limit=5000)
    fork = loaded.load(run.run_id).fork(at=2)
    asyncio.run(fork.wait())
    assert fork.tip.messages[-2].content == f"(Page 1 of 5)\n{whole[:5000]}" and not [s for s in fork.steps if s.kind == "note"]


def test_it_is_read_on_from_another_run_and_not_once_it_is_gone(store):
    first = ran(store, call("dump"), run_id="r1", result_limit=5000)
    script = ["", call("read_result", call_id="c1.0", page=5), "done"]
    def ask(): return Agent(Scripted(script), [dump], store=store, result_limit=5000).run(first.state_at(2))
    run = ask()
    asyncio.run(run.wait())
    assert next(m for m in run.tip.messages if m.content.startswith("(Page 5 of 5)")).content.endswith("alert 1999\n")
    store._run(("DELETE FROM contents", ()))
    run = ask()
    asyncio.run(run.wait())
    assert any("not in the store any more" in str(m.failure) for m in run.tip.messages if m.failure)


def test_an_agent_keeps_its_own_tool_of_this_name():
    @tool(read_only=True)
    def read_result(call_id: str) -> str:
        "Mine"
        return "mine"
    run = Agent(Scripted([call("dump"), call("read_result", call_id="x"), "done"]), [dump, read_result], store="memory:", result_limit=1000).run("go")
    asyncio.run(run.wait())
    said = [m.content for m in run.tip.messages if m.role == "tool"]
    assert said[1] == "mine" and "All of it is kept" not in said[0] and whole_text(run.store, run.steps[2].body.contents) == dump.fn()


def test_what_an_idempotent_call_showed_is_shown_again_from_the_ledger(store):
    run = ran(store, call("chart", service="db"), run_id="r1")
    fork = agent(store, call("chart", service="db")).load("r1").fork(at=1)
    asyncio.run(fork.wait())
    again = next(s.body for s in fork.steps if isinstance(s.body, Returned))
    assert (again.source, again.contents) == ("ledger", tuple(contents(run))) and bytes_of(store, again.contents[0]) == PIXEL + b"db"


def test_side_by_side_each_call_keeps_its_own(store):
    run = ran(store, [call("picture", n=n) for n in range(5)])
    assert sorted(bytes_of(store, c)[-1] for c in contents(run)) == [0, 1, 2, 3, 4]


def test_a_content_line_is_one_line():
    assert "\n" not in content_line(content_of(PIXEL, "image/gif", name="a\nb"), PIXEL) and Message(role="user").contents == ()
