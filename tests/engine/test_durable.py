"""The promises of the log, tested by breaking them: killed, raced, cut off, out of space."""
import asyncio, gc, signal, sqlite3, subprocess, sys
from collections import Counter
from pathlib import Path

import pytest
from places import HELPERS, on_path

from agentnb import Agent, RequestOpen, RunConflict, RunNotFound, Scripted, StoreError, call, open_store, tool
from agentnb.core.messages import Reply
from agentnb.models.protocol import ModelError
from agentnb.store.writer import CROWD_GC_THRESHOLD
from crash_child import make_agent, pay_agent

CHILD = HELPERS/"crash_child.py"
MOMENTS = [f"step {i}" for i in range(16)] + ["in look", "before keyed", "after keyed", "before plain", "after plain"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed(tmp_path, moment):
    "SIGKILL at every step and inside every tool: no step that was printed is lost, no effect happens twice, and only what is unknown is asked"
    store = f"sqlite:///{tmp_path}/runs.db"
    child = subprocess.run([sys.executable, CHILD, store, tmp_path, "r1", moment], capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    printed = [int(line) for line in child.stdout.split()]
    run = make_agent(store, tmp_path).load("r1")
    assert run.state.index >= len(printed) == printed[-1] + 1
    before = (tmp_path/"effects").read_text().count("plain") if (tmp_path/"effects").exists() else 0
    try: result, asked = asyncio.run(run.wait()), False
    except RequestOpen:
        request, asked = run.state.requests[0], True
        assert request.about == "outcome" and request.call.tool == "plain"
        pending = run.pending[0]
        pending.answer("plain done") if before else pending.approve()
        result = asyncio.run(run.wait())
    assert result == "all done"
    plain = {c.id for s in run.steps if s.kind == "model" for c in s.body.reply.calls if c.tool == "plain"}
    intent = next(s.index for s in run.steps if s.kind == "intent" and s.body.call_id in plain)
    assert asked == (moment in (f"step {intent}", "before plain", "after plain")), "asked between the intent and the result of a call that is not idempotent"
    effects = Counter(line.split()[0] for line in (tmp_path/"effects").read_text().splitlines())
    assert effects == {"keyed": 1, "plain": 1}
    assert [s.index for s in run.steps] == list(range(len(run.steps)))
    assert open_store(store).restore("r1") == run.state


def test_two_holders_go_on_with_one_run(tmp_path):
    "While one goes on the other is told who does; when it has paused the other goes on from there, and the log has one history"
    store = f"sqlite:///{tmp_path}/runs.db"
    first = make_agent(store, tmp_path)
    asyncio.run(first.run("go", run_id="r1").until(kind="model"))
    mine, theirs = first.load("r1"), make_agent(store, tmp_path).load("r1")

    async def both():
        mine.start()
        await asyncio.sleep(0)
        with pytest.raises(RunConflict, match="run r1 is going on in this process, by another Run object"): await theirs.step()
        mine.pause()
        await mine.engine.task
        return list(mine.steps), await theirs
    before, result = asyncio.run(both())
    assert result == "all done" and theirs.steps[:len(before)] == before and len(theirs.steps) > len(before)
    mine.log.refresh()
    assert mine.steps == theirs.steps


def test_racing_processes(tmp_path):
    "Six processes race to begin and end the same run: its effects happen once each, and every step has one author"
    store = f"sqlite:///{tmp_path}/runs.db"
    racers = [subprocess.Popen([sys.executable, CHILD, store, tmp_path, "r1", ""], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(6)]
    said = [p.communicate(timeout=60)[1].decode() for p in racers]
    assert sum(p.returncode == 0 for p in racers) <= 1
    assert all("RunConflict" in text for p, text in zip(racers, said) if p.returncode)
    run = make_agent(store, tmp_path).load("r1")
    try: asyncio.run(run.wait())
    except RequestOpen: run.pending[0].answer("plain done") if "plain" in (tmp_path/"effects").read_text() else run.pending[0].approve()
    asyncio.run(run.wait())
    effects = Counter(line.split()[0] for line in (tmp_path/"effects").read_text().splitlines())
    assert effects == {"keyed": 1, "plain": 1}


def slow_agent(store):
    @tool
    async def slow() -> str:
        await asyncio.sleep(60)
        return "never"
    return Agent(Scripted([call("slow"), "done"]), [slow], store=store, unattended="approve")


def test_a_cancelled_call_has_an_unknown_outcome(tmp_path):
    "Cut off inside a call, the same run asks what happened, as another process would"
    async def cut():
        run = slow_agent(f"sqlite:///{tmp_path}/runs.db").run("go", run_id="r1")
        run.start()
        while run.state.index == 0 or run.steps[-1].kind != "intent": await asyncio.sleep(0.01)
        run.engine.task.cancel()
        await asyncio.sleep(0.05)
        with pytest.raises(RequestOpen, match=r"Did slow\(\) happen\?"): await run
        run.pending[0].answer("it was done by hand")
        return await run, run
    result, run = asyncio.run(cut())
    assert result == "done" and [m.content for m in run.state.messages if m.role == "tool"] == ["it was done by hand"]


def filling_agent(path):
    @tool(read_only=True)
    def dump() -> str: return "x" * 200_000
    return Agent(Scripted([call("dump")] * 50 + ["done"]), [dump], store=f"sqlite:///{path}", max_iterations=100)


def nudged(run):
    "Go on where the loop detector asks"
    while run.pending: run.pending[0].answer("go on")
    return asyncio.run(run.until())


def test_a_full_disk(tmp_path):
    "No space for a step: a clear error, the run as it was, and it goes on once there is space"
    path = tmp_path/"runs.db"
    agent = filling_agent(path)
    agent.store._db.execute("PRAGMA max_page_count = 600")   # SQLite's own limit: the same error as a full disk
    run = agent.run("fill", run_id="r1")
    with pytest.raises(StoreError, match="full.*The last step was not written and the run is as it was: free some space"):
        while True: nudged(run)
    held = run.state
    assert agent.store.restore("r1") == held and held.index > 3
    agent.store._db.execute("PRAGMA max_page_count = 1000000")
    while run.state.status != "done" and run.state.iteration < 12: nudged(run)
    assert run.state.index > held.index and agent.store.restore("r1") == run.state


FULL = """
import asyncio, resource, signal
{sys_path}from test_durable import filling_agent, nudged
from agentnb import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))
run = filling_agent({path!r}).run("fill", run_id="r1")
try:
    while True: nudged(run)
except StoreError as e: print(run.state.index, str(e)[:200])
"""


def test_a_write_that_the_system_refuses(tmp_path):
    "The operating system refuses to let the file grow, in a process of its own; what was written can be read and continued"
    path = str(tmp_path/"runs.db")
    child = subprocess.run([sys.executable, "-c", FULL.format(sys_path=on_path(Path(__file__).parent), path=path)], capture_output=True, text=True)
    index, text = child.stdout.split(" ", 1)
    assert "runs.db" in text and "not written" in text or "disk I/O error" in text, child.stdout + child.stderr
    agent = filling_agent(path)
    run = agent.load("r1")
    assert run.state.index == int(index)
    nudged(run)
    assert run.state.index > int(index)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path/"runs.db"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(StoreError, match="not a database.*Nothing was changed. Move the file away"): open_store(f"sqlite:///{path}")
    assert path.read_bytes() == b"this is not a database at all" * 100


def test_a_damaged_row_is_named(tmp_path):
    store = f"sqlite:///{tmp_path}/runs.db"
    asyncio.run(make_agent(store, tmp_path).run("go", run_id="r1").wait())
    with sqlite3.connect(tmp_path/"runs.db") as db: db.execute("UPDATE steps SET payload = '{\"reply\": 7}' WHERE idx = 1")
    with pytest.raises(StoreError, match="agent/r1/step_1 cannot be read"): open_store(store).restore("r1")


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(StoreError, match="Check that .*nowhere exists and can be written"): open_store(f"sqlite:///{tmp_path}/nowhere/runs.db")


def test_a_newer_store_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path/"runs.db") as db: db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer agentnb"): open_store(f"sqlite:///{tmp_path}/runs.db")


def test_a_run_that_is_not_there(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    with pytest.raises(RunNotFound, match="It has no runs"): store.restore("r1")


def test_two_answers_from_two_processes(tmp_path):
    "The first answer counts, whoever gives it; the second says so and changes nothing"
    @tool
    def restart(service: str) -> str: return service
    def agent(): return Agent(Scripted([call("restart", service="a"), "done"]), [restart], store=f"sqlite:///{tmp_path}/runs.db")
    asyncio.run(agent().run("go", run_id="r1").until())
    mine, theirs = agent().load("r1"), agent().load("r1")
    late = theirs.pending[0]
    mine.pending[0].approve(args={"service": "b"}, by="me")
    with pytest.warns(UserWarning, match="already decided: approve by me. Nothing changed"): counted = late.reject("no", by="them")
    assert counted.by == "me" and asyncio.run(theirs.wait()) == "done"
    assert [m.content for m in theirs.state.messages if m.role == "tool"] == ["b"]


def test_waiting_sees_the_answer_of_another_process(tmp_path, monkeypatch):
    "Where a person can answer, `await run` notices a decision that was made elsewhere"
    monkeypatch.setenv("AGENTNB_INTERACTIVE", "1")
    @tool
    def restart(service: str) -> str: return service
    def agent(): return Agent(Scripted([call("restart", service="a"), "done"]), [restart], store=f"sqlite:///{tmp_path}/runs.db")

    async def both():
        run = agent().run("go", run_id="r1").start()
        while not run.pending: await asyncio.sleep(0.01)
        agent().load("r1").pending[0].approve(by="elsewhere")
        return await asyncio.wait_for(run.wait(), 60)
    assert asyncio.run(both()) == "done"


class Looking:
    "A model that notes how often the garbage collector looks, then does something"
    name = "looking"
    def __init__(self, do): self.seen, self.do = [], do
    async def __call__(self, messages, *rest):
        await asyncio.sleep(0.01)
        self.seen.append(gc.get_threshold()[0])
        self.do(len(self.seen))
        return Reply(content="done")


async def crowd(count, model):
    made = Agent(model, store="memory:")
    return await asyncio.gather(*(made.run("go").wait() for _ in range(count)), return_exceptions=True)


def fail_often(n):
    if n % 10 == 0: raise ModelError("unavailable", "no answer")


@pytest.mark.parametrize("usual, during", [(700, CROWD_GC_THRESHOLD), (2 * CROWD_GC_THRESHOLD, 2 * CROWD_GC_THRESHOLD), (0, 0)])
def test_a_crowd_and_the_garbage_collector(usual, during):
    "It looks rarely while a hundred runs go on, and as often as before once they are done, or failed"
    before, few, many = gc.get_threshold(), Looking(fail_often), Looking(fail_often)
    gc.set_threshold(usual)
    try:
        asyncio.run(crowd(99, few))
        assert {*few.seen} == {usual}
        assert asyncio.run(crowd(150, many)).count("done") == 135
        assert {*many.seen[:51]} == {during} and gc.get_threshold() == (usual, *before[1:])
    finally: gc.set_threshold(*before)


def test_what_was_set_while_a_crowd_went_on_stays():
    before, model = gc.get_threshold(), Looking(lambda n: gc.set_threshold(900))
    try:
        asyncio.run(crowd(100, model))
        assert model.seen == [CROWD_GC_THRESHOLD] + [900] * 99 and gc.get_threshold()[0] == 900
    finally: gc.set_threshold(*before)


def test_bytes_do_not_grow_with_the_run(tmp_path):
    "A step of a long run takes as many bytes as one of a short run"
    @tool(read_only=True)
    def look(i: int) -> str: return f"{i}" * 200
    sizes = {}
    for n in (50, 500):
        agent = Agent(Scripted([call("look", i=i) for i in range(n)] + ["done"]), [look], store=f"sqlite:///{tmp_path}/{n}.db", max_iterations=n + 1)
        asyncio.run(agent.run("go", run_id="r1").wait())
        sizes[n] = sum(len(s.model_dump_json()) for s in agent.store.read("r1"))/n
    assert sizes[500] < sizes[50] * 1.3


def test_a_result_that_cannot_be_written_is_not_made_again(tmp_path):
    "The disk is full when the result of a payment is written: the run asks, and does not pay twice"
    enough = tmp_path/"enough"
    run = pay_agent(tmp_path, during=lambda: enough.exists() or run.store._db.execute("PRAGMA query_only = 1")).run("go", run_id="r1")
    asyncio.run(run.until())
    for pending in run.pending: pending.approve()
    with pytest.raises(StoreError): asyncio.run(run.until())
    run.store._db.execute("PRAGMA query_only = 0")
    enough.touch()
    with pytest.raises(RequestOpen, match=r"Did pay\(what='a'\) happen\?.*if it happened"): asyncio.run(run.wait())
    run.pending[0].answer("paid a")
    assert asyncio.run(run.wait()) == "done" and (tmp_path/"effects").read_text() == "a\nb\n"


def test_a_decision_elsewhere_while_a_tool_runs_loses_nothing(tmp_path):
    "Notebook A makes an approved call while notebook B decides another request: A keeps its result"
    mine = pay_agent(tmp_path).run("go", run_id="r1")
    asyncio.run(mine.until())
    mine.pending[0].approve()
    asyncio.run(mine.until(kind="intent"))
    pay_agent(tmp_path).load("r1").pending[0].approve(by="B")
    asyncio.run(mine.step())
    assert asyncio.run(mine.wait()) == "done" and (tmp_path/"effects").read_text() == "a\nb\n"


def test_a_tool_that_would_end_the_process_has_an_unknown_outcome(tmp_path):
    run = pay_agent(tmp_path, SystemExit(3)).run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve()
    asyncio.run(run.until())
    assert [r.about for r in run.state.requests] == ["approve", "outcome"] and (tmp_path/"effects").read_text() == "a\n"


def test_two_processes_decide_different_requests(tmp_path, monkeypatch):
    "The second writer of a place tries again: no decision is lost"
    asyncio.run(pay_agent(tmp_path).run("go", run_id="r1").until())
    mine, theirs = (pay_agent(tmp_path, store=open_store(f"sqlite:///{tmp_path}/runs.db")).load("r1") for _ in range(2))
    first, second = mine.pending[0], theirs.pending[1]
    write = mine.store.append
    def late(step):
        if not theirs.steps[-1].kind == "decision": second.reject("no", by="B")
        write(step)
    monkeypatch.setattr(mine.store, "append", late)
    assert first.approve(by="A").by == "A"
    verdicts = {s.body.by: s.body.verdict for s in open_store(f"sqlite:///{tmp_path}/runs.db").read("r1") if s.kind == "decision"}
    assert verdicts == {"A": "approve", "B": "reject"}
