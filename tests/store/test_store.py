"""What every store promises, on each of them: SQLite in a file and in memory, PostgreSQL."""
import asyncio, multiprocessing, sqlite3, subprocess, sys, threading, uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agentnb import Agent, RunConflict, Scripted, StoreError, Tool, call, open_store, tool, user
from agentnb.store.lease import HeldLease, holder_name, dead_leases
from agentnb.core.messages import Call, Failure, Native, Reply, Usage
from agentnb.store.rows import MIGRATIONS, _row
from agentnb.core.steps import Decision, Edit, Finished, Intent, Note, Origin, Replied, Request, Returned, Started, Step
from agentnb.store.protocol import read_run

AT = datetime(2026, 5, 4, 2, 15, 0, 123456, tzinfo=UTC)


def step(run_id="r1", index=0, body=None, at=AT): return Step(run_id=run_id, index=index, at=at, body=body or Finished(status="done", result=str(index)))


ASKED = call("restart", service="checkout", note="ümlaut \x00 \ud83d\ude00 '; DROP TABLE steps; --").model_copy(update={"id": "c1"})
BODIES = [Started(task="disk full", messages=(user("disk full"),), parent=Origin(run_id="r0", index=3)),
    Replied(problems={"c1": Failure(kind="timeout", message="m")}, reply=Reply(content="a\x00b\u2028", calls=(ASKED,), usage=Usage(input=3, other={"x": 1}),
        cost=Decimal("0.000000123456789012345"), logprobs=(("x", -0.1234567890123456),),
        native=Native(format="chat", parts=({"z": 1, "a": [1.0, 1e300, None]},)))),
    Intent(call_id="c1", key="k", session="s"), Returned(call_id="c1", tool="restart", content="x" * 100_000),
    Request(request_id="q1", about="approve", question="?", call=ASKED),
    Decision(request_id="q1", verdict="approve", args={"deep": {"er": [1, 2.5, "é"]}}),
    Edit(max_iterations=3, messages=()), Note(about="loop", text="t", cost=None), Finished(status="failed")]


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(minutes=30, seconds=7))])))
def test_the_time_in_a_row_is_the_time_of_the_step(at):
    made = Step.model_construct(run_id="r1", index=0, at=at, body=BODIES[0])
    assert _row(made)[4] == at.astimezone(UTC).isoformat() and datetime.fromisoformat(_row(made)[4]) == at


def test_what_is_appended_is_read_back_the_same(store):
    steps = [step("r1", i, b) for i, b in enumerate(BODIES)]
    for s in steps: store.append(s)
    assert store.read("r1") == steps and store.read("r1", 2, 5) == steps[2:5] and store.read("r1", 7) == steps[7:] and store.read("nobody") == []


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), args=st.dictionaries(st.text(), st.recursive(PLAIN, st.lists, max_leaves=5)))
def test_any_text_and_any_arguments_come_back(store, text, args):
    run_id = f"h{uuid.uuid4()}"
    written = step(run_id, 0, Replied(reply=Reply(content=text, calls=(Call(id="c", tool="t", args=args),))))
    store.append(written)
    assert store.read(run_id) == [written]


def test_a_place_is_taken_once(store):
    store.append(step())
    with pytest.raises(RunConflict, match="agent/r1/step_0 is already written: someone else continued run r1"): store.append(step(body=Started()))
    assert store.read("r1") == [step()]


def test_a_batch_is_written_whole_or_not_at_all(store):
    store.append(step("r2"))
    with pytest.raises(RunConflict): store.append(step("r1"), step("r2"), step("r3"))
    assert store.read("r1") == store.read("r3") == []
    store.append(step("r1"), step("r1", 1), step("r3"))
    assert len(store.read("r1")) == 2


def test_runs_are_listed_newest_first(store):
    for i, run_id in enumerate(["a", "c", "b"]): store.append(step(run_id, 0, Started(task=run_id), AT + timedelta(seconds=i)), step(run_id, 1))
    store.append(step("fork", 7, Started(parent=Origin(run_id="a", index=1)), AT + timedelta(seconds=9)))
    assert store.runs() == ["fork", "b", "c", "a"] and [(s.run_id, s.index) for s in store.starts()] == [("fork", 7), ("b", 0), ("c", 0), ("a", 0)]


def test_a_lease_is_held_by_one_and_runs_out(store):
    assert store.hold("r1", "A", 30) == "A" and store.hold("r1", "A", 30) == "A" and store.hold("r1", "B", 30) == "A"
    store.release("r1", "B")
    assert store.hold("r1", "B", 30) == "A" and store.hold("r1", "B", 30, former_holder="A") == "B" and store.hold("r1", "A", 30) == "B"
    store.release("r1", "B")
    assert store.leases() == [] and store.hold("r1", "A", -1) == "A"
    assert [(lease.holder, lease.seconds_left < 0) for lease in store.leases()] == [("A", True)] and [lease.run_id for lease in dead_leases(store)] == ["r1"]
    assert store.hold("r1", "B", 30) == "B" and 29 < store.leases()[0].seconds_left <= 30


def test_a_lease_taken_before_the_clock_was_set_back_does_not_count(store):
    store.hold("r1", "A", 30)
    store._run(("UPDATE leases SET until = until + 3600", ()))
    assert store.hold("r1", "B", 30) == "B" and store.leases()[0].seconds_left <= 30


def test_what_is_kept_is_found_replaced_listed_and_forgotten(store):
    for key in ("b", "a", "ab", "ä", "a\U0010fffe", "A", "a%", "a_", ""): store.keep("s", key, f"value of {key}", AT)
    store.keep("s", "a", "another", AT + timedelta(days=1))
    store.keep("other", "a", "elsewhere", AT)
    assert store.recall("s", "a") == (AT + timedelta(days=1), "another") and store.recall("s", "nothing") is None
    assert [k for k, _ in store.scan("s", "a")] == ["a", "a%", "a_", "ab", "a\U0010fffe"] and len(store.scan("s")) == 9
    assert store.forget("s", "a") == 5 and [k for k, _ in store.scan("s")] == ["", "A", "b", "ä"] and store.recall("other", "a")


def test_many_threads_write_one_place_and_one_wins(store):
    won, lost, gate = [], [], threading.Barrier(8)

    def race(i):
        gate.wait()
        for n in range(20):
            try:
                store.append(step("r1", n, Finished(status="done", result=f"{i}")))
                won.append(n)
            except RunConflict: lost.append(n)
    threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sorted(won) == list(range(20)) and len(lost) == 140 and [s.index for s in store.read("r1")] == list(range(20))


def test_a_check_finds_what_cannot_be_read_or_folded(store):
    store.append(step("good", 0, Started(task="x")), step("gap", 0, Started()), step("gap", 2), step("bad", 0, Started()))
    store._run(("UPDATE steps SET payload = '{\"task\": 7}' WHERE run_id = 'bad'", ()))
    with pytest.raises(StoreError, match="agent/bad/step_0 cannot be read") as e: store.read("bad")
    assert e.value.kind == "damaged"
    store._run(("DELETE FROM steps WHERE run_id = 'bad'", ()))
    assert store.check() == ["agent/gap/step_2 does not follow step 0"]
    store.vacuum()
    assert store.read("good")


def test_a_person_can_read_the_rows(store):
    steps = [step("r1", i, b) for i, b in enumerate([BODIES[0], Replied(reply=Reply(content="hm")), BODIES[2], BODIES[3]])]
    store.append(*steps)
    rows = store._run(("SELECT idx, kind, payload ->> 'tool' FROM steps WHERE run_id = ? ORDER BY idx", ("r1",)))
    assert [tuple(r) for r in rows] == [(0, "started", None), (1, "model", None), (2, "intent", None), (3, "tool", "restart")]
    assert store._run(("SELECT payload -> 'parent' ->> 'run_id' FROM steps WHERE kind = 'started'", ()))[0][0] == "r0"


def test_the_url_opens_the_same_store_again(durable):
    open_store(durable).append(step())
    assert open_store(durable).read("r1") == [step()]


def hold_in_a_process(url, ready, done):
    async def go():
        await HeldLease(open_store(url), "r1", "other").take()
        ready.set()
        while not done.is_set(): await asyncio.sleep(0.01)
    asyncio.run(go())


def test_a_dead_process_of_this_machine_does_not_stand_in_the_way(durable):
    "A living one does: the other hears which process has the run"
    store, context = open_store(durable), multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold_in_a_process, args=(durable, ready, done))
    other.start()
    assert ready.wait(30)

    async def take():
        mine = HeldLease(store, "r1", "mine")
        await mine.take()
        try: return store.leases()[0].holder
        finally: await mine.release()
    with pytest.raises(RunConflict, match=f"run r1 is going on by process {other.pid} on "): asyncio.run(take())
    assert dead_leases(store) == []
    other.kill()
    other.join()
    assert [lease.run_id for lease in dead_leases(store)] == ["r1"]
    assert asyncio.run(take()) == holder_name("mine.1") and store.leases() == []


def test_a_lease_that_was_lost_stops_its_holder(durable, monkeypatch):
    "As after a machine slept: someone else has taken the run, and the next step is not taken"
    import agentnb.store.lease
    monkeypatch.setattr(agentnb.store.lease, "LEASE_SECONDS", 0.15)

    @tool(read_only=True)
    async def wait() -> str:
        open_store(durable).hold("r1", "elsewhere/1/2/x", 60, former_holder=store.leases()[0].holder)
        await asyncio.sleep(0.3)
        return "waited"
    store = open_store(durable)
    run = Agent(Scripted([call("wait"), "done"]), [wait], store=store).run("go", run_id="r1")
    with pytest.raises(RunConflict, match="run r1 is going on by process 1 on elsewhere"): asyncio.run(run.wait())
    assert [s.kind for s in store.read("r1")] == ["started", "model", "tool"]


def look_agent(store, n=6):
    @tool(read_only=True)
    async def look(i: int) -> str: return f"looked at {i}"
    return Agent(Scripted([call("look", i=i) for i in range(n)] + ["done"]), [look], store=store)


def test_many_runs_at_once_in_one_loop(store):
    "Their steps are committed together, and each has its own history"
    async def all_of_them():
        agent = look_agent(store)
        runs = [agent.run("go", run_id=f"r{i}") for i in range(60)]
        assert await asyncio.gather(*(r.wait() for r in runs)) == ["done"] * 60
        return runs
    for run in asyncio.run(all_of_them()): assert store.read(run.run_id) == run.steps and store.restore(run.run_id) == run.tip
    assert store.leases() == []


def test_one_of_many_that_cannot_be_written_does_not_hold_up_the_others(store):
    store.append(step("r1", 0, Started()))

    async def all_of_them():
        agent = look_agent(store)
        return await asyncio.gather(*(agent.run("go", run_id=f"r{i}").wait() for i in range(3)), return_exceptions=True)
    said = asyncio.run(all_of_them())
    assert [said[0], said[2]] == ["done", "done"] and isinstance(said[1], RunConflict)
    assert "has a run r1 already. Go on with it by agent.load('r1')" in str(said[1]) and len(store.read("r1")) == 1


def continue_all(url, go, told):
    store = open_store(url)
    go.wait()

    async def one(run_id):
        try: await look_agent(store, 4).load(run_id).wait()
        except RunConflict as e: return str(e)[:40]
    async def every(): return [x for x in await asyncio.gather(*(one(r) for r in store.runs())) if x]
    told.put(asyncio.run(every()))


def test_two_processes_race_to_continue_a_hundred_runs(durable):
    "Every run has one history, and each model reply has one author"
    store, context = open_store(durable), multiprocessing.get_context("spawn")

    async def begin():
        agent = look_agent(store, 4)
        await asyncio.gather(*(agent.run("go", run_id=f"r{i:03}").step() for i in range(100)))
    asyncio.run(begin())
    go, told = context.Event(), context.Queue()
    racers = [context.Process(target=continue_all, args=(durable, go, told)) for _ in range(2)]
    for p in racers: p.start()
    go.set()
    refused = [told.get(timeout=60) for _ in racers]
    for p in racers: p.join(30)
    histories = [store.read(r) for r in store.runs()]
    assert len(histories) == 100 and all([s.index for s in h] == list(range(len(h))) for h in histories)
    assert {tuple(s.kind for s in h) for h in histories} == {("started", *["model", "tool"] * 4, "model", "finished")}
    print("refused:", [len(r) for r in refused])


FIRST = """CREATE TABLE steps (run_id TEXT NOT NULL, idx INTEGER NOT NULL, iteration INTEGER NOT NULL,
  kind TEXT NOT NULL, at TEXT NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (run_id, idx));
INSERT INTO steps VALUES ('old', 0, 0, 'started', '2026-05-04T02:15:00+00:00', '{"task":"go","messages":[{"role":"user","content":"go"}]}');
INSERT INTO steps VALUES ('old', 1, 1, 'model', '2026-05-04T02:15:01+00:00', '{"reply":{"content":"hello","model":"scripted","cost":"0"},"seconds":0.5}');
INSERT INTO steps VALUES ('old', 2, 1, 'finished', '2026-05-04T02:15:02+00:00', '{"status":"done","result":"hello"}');
PRAGMA user_version = 1;"""
SECOND = """CREATE TABLE kept (space TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (space, key));
INSERT INTO kept VALUES ('replies', 'k', '2026-05-04T02:15:00+00:00', 'kept');
PRAGMA user_version = 2;"""


@pytest.mark.parametrize("schema", [FIRST, FIRST + SECOND], ids=["1", "2"])
def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path, schema):
    path = tmp_path/"runs.db"
    with sqlite3.connect(path) as db: db.executescript(schema)
    store = open_store(f"sqlite:///{path}")
    assert store.restore("old").result == "hello" and store.check() == [] and store.hold("old", "me", 30) == "me"
    assert (store.recall("replies", "k") is not None) == (SECOND in schema)
    with sqlite3.connect(path) as db: assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert open_store(f"sqlite:///{path}").runs() == ["old"]


def test_two_processes_bring_one_file_up_to_date(tmp_path):
    path = tmp_path/"runs.db"
    with sqlite3.connect(path) as db: db.executescript(FIRST)
    code = f"from agentnb import open_store; print(open_store('sqlite:///{path}').runs())"
    racers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ended = [p.communicate(timeout=60) for p in racers]
    assert [out.strip() for out, _ in ended] == ["['old']"] * 4, ended


def test_postgres_of_a_later_version_is_left_alone(postgres_url):
    open_store(postgres_url)._run(("UPDATE version SET schema = 99", ()))
    with pytest.raises(StoreError, match="newer agentnb .schema 99") as e: open_store(postgres_url)
    assert e.value.kind == "newer"


def test_a_locked_file_is_an_error_that_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("agentnb.store.sqlite._PATIENCE", 0.1)
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    run = look_agent(store).run("go", run_id="r1")
    asyncio.run(run.step())
    other = sqlite3.connect(tmp_path/"runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked. Another program holds it. Nothing was written: try again") as e: asyncio.run(run.wait())
    assert e.value.kind == "locked" and len(store.read("r1")) == 1
    other.execute("ROLLBACK")
    assert asyncio.run(run.wait()) == "done"


def test_a_clock_that_goes_backwards(store):
    "No step is older than the one before it, no duration is negative, and the run ends"
    times = iter([AT, *(AT + timedelta(seconds=3 * n * (-1)**n) for n in range(200))])
    agent = look_agent(store)
    agent.clock = lambda: next(times)
    run = agent.run("go", run_id="r1")
    assert asyncio.run(run.wait()) == "done"
    steps = store.read("r1")
    assert all(a.at <= b.at for a, b in zip(steps, steps[1:])) and all(getattr(s.body, "seconds", 0) >= 0 for s in steps)


def test_a_broken_connection_is_mended_within_a_statement(postgres_url):
    "The server ends all connections: the next statement is made on a new one, and nothing is doubled"
    store, other = open_store(postgres_url), open_store(postgres_url)
    run = look_agent(store).run("go", run_id="r1")
    asyncio.run(run.step())
    other._run(("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'agentnb' AND pid <> pg_backend_pid()", ()))
    assert asyncio.run(run.wait()) == "done" and store.read("r1") == run.steps


def test_a_commit_whose_answer_was_lost_is_recognised(postgres_url):
    "The row is there already, from a try of this very statement"
    from agentnb.store.rows import DuplicateKey
    store = open_store(postgres_url)
    store.append(step())
    run = store._run

    def lost(*statements):
        if statements[0][0].startswith("INSERT INTO steps"): raise DuplicateKey(retried=True)
        return run(*statements)
    store._run = lost
    store.append(step())
    with pytest.raises(RunConflict): store.append(step(body=Started(task="another")))


def test_no_password_is_shown(postgres_url):
    url = postgres_url.replace("postgres@", "postgres:hunter22@")
    store = open_store(url)
    assert "hunter22" not in repr(store) + store.url and "postgres@127" in store.url
    with pytest.raises(StoreError) as e: open_store("postgresql://me:hunter22@127.0.0.1:9/x")
    assert "hunter22" not in str(e.value)


def test_tools_of_a_tool_are_not_needed_to_read(store):
    "A log can be read without the code that made it"
    asyncio.run(look_agent(store).run("go", run_id="r1").wait())
    assert not any(isinstance(v, Tool) for v in vars(store).values()) and read_run(store, "r1", 2)[-1].kind == "tool"
