"An end in the background leaves word; a stopped cell says that the run is safe; a clock never costs a step."
import asyncio, warnings
from datetime import UTC, datetime

import pytest

from agentnb import Agent, RunConflict, Scripted, StoreError, call, open_store, tool
from agentnb.models.protocol import ModelError


@tool(read_only=True)
def look() -> str: return "seen"


def made(**more): return Agent(Scripted([call("look"), "Done."]), [look], **dict(dict(store="memory:"), **more)).run("x")


async def in_background(run):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run.start()
        await asyncio.wait({run.engine.task})
    return [str(w.message) for w in said]


@pytest.mark.parametrize("error", [StoreError("the disk is full", "full"), KeyError("x"), ZeroDivisionError("0"), MemoryError("much"), RecursionError("deep")])
def test_an_error_is_noted_in_the_log(monkeypatch, error):
    run = made()
    def stop(engine, kept=type(run.engine).next_action):
        if engine.tip.iteration == 1: raise error
        return kept(engine)
    monkeypatch.setattr(type(run.engine), "next_action", stop)
    assert asyncio.run(in_background(run)) == []
    monkeypatch.undo()
    assert run.status == "failed" and run.steps[-1].body.about == "error" and type(error).__name__ in run.steps[-1].body.text
    assert asyncio.run(run.wait()) == "Done."


def test_where_the_store_takes_no_note_a_warning_names_the_run(monkeypatch):
    run = made()
    asyncio.run(run.until(kind="tool"))
    def full(*steps, **more): raise StoreError("the disk is full", "full")
    monkeypatch.setattr(run.store, "append", full)
    (said,) = asyncio.run(in_background(run))
    assert run.run_id in said and "the disk is full" in said and "no note of it could be written" in said and f"agent.load('{run.run_id}')" in said
    monkeypatch.undo()
    assert asyncio.run(run.wait()) == "Done."


def test_a_conflict_is_a_warning_and_the_other_log_is_left_alone():
    store = open_store("memory:")
    async def go():
        first = made(store=store)
        await first.until(kind="tool")
        second = first.agent.load(first.run_id)
        length = len(store.read(first.run_id))
        def conflict(*a): raise RunConflict("somebody else goes on with it")
        second.engine.lease.take = conflict
        (said,) = await in_background(second)
        assert "RunConflict: somebody else goes on with it" in said and second.run_id in said and len(store.read(first.run_id)) == length
    asyncio.run(go())


def test_what_the_log_has_is_not_said_twice():
    down = Agent(Scripted([ModelError("connection", "no")]), store="memory:").run("x")
    assert asyncio.run(in_background(down)) == [] and [s.kind for s in down.steps] == ["started", "note"]
    @tool
    def act() -> str: return ""
    waiting = Agent(Scripted([call("act"), "Done."]), [act], store="memory:").run("x")
    waiting.attended = lambda: False
    assert asyncio.run(in_background(waiting)) == [] and waiting.status == "waiting"


def test_an_error_that_somebody_waits_for_is_theirs(monkeypatch):
    run = made()
    monkeypatch.setattr(type(run.engine), "next_action", lambda engine: 1 // 0)
    with pytest.raises(ZeroDivisionError): asyncio.run(run.wait())
    assert [s.kind for s in run.steps] == ["started"]


async def stopped(run, how):
    task = asyncio.ensure_future(how(run))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def by_until(run): await run.until()
async def by_loop(run):
    async for _ in run: pass
async def by_wait(run): await run


@pytest.mark.parametrize("how", [by_until, by_loop, by_wait])
@pytest.mark.parametrize("kernel", [True, False])
def test_a_stopped_cell_says_that_the_run_is_safe(how, kernel, monkeypatch, capsys):
    monkeypatch.setenv("AGENTNB_INTERACTIVE", "1" if kernel else "0")
    async def slow(messages, tools, instructions="", ask=None): await asyncio.sleep(30)
    slow.name = "slow"
    run = Agent(slow, store="memory:").run("x")
    asyncio.run(stopped(run, how))
    said = capsys.readouterr().out
    assert said == "" if not kernel else said.count("\n") == 1 and run.run_id in said and "is safe in" in said and "Go on with `await run`" in said


LOOKS = [lambda: 1 // 0, lambda: "now", lambda: None, lambda: next(iter(())), lambda: (_ for _ in ()).throw(SystemExit(2)),
    lambda: asyncio.sleep(0)]


@pytest.mark.parametrize("look_at", LOOKS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_clock_that_fails_never_costs_a_step(look_at):
    looks = []
    def clock():
        looks.append(1)
        return datetime.now(UTC) if len(looks) % 2 else look_at()
    with pytest.warns(UserWarning, match="The machine's time is taken"):
        run = made(clock=clock)
        assert asyncio.run(run.wait()) == "Done."
    assert all(s.at.utcoffset() is not None for s in run.steps) and run.tip.iteration == 2


def test_a_clock_that_is_none_is_refused():
    async def later(): return datetime.now(UTC)
    with pytest.raises(TypeError, match="later is asynchronous"): made(clock=later)
    with pytest.raises(TypeError, match="clock: no function, got 5"): made(clock=5)


class Lends:
    "Hands in tools, in a way of its own"
    def __init__(self, how): self.how = how
    def __iter__(self): return self.how()
    def wrap_model(self, model): return self.how()


@pytest.mark.parametrize("how", [lambda: (_ for _ in ()).throw(SystemExit(1)), lambda: (_ for _ in ()).throw(GeneratorExit()), lambda: None])
def test_a_toolset_that_fails_is_an_ordinary_error(how):
    with pytest.raises(Exception): Agent(Scripted(["x"]), Lends(how), store="memory:")  # noqa: B017
    class Wraps(list):
        def wrap_model(self, model): return how()
    with pytest.raises(Exception): Agent(Scripted(["x"]), Wraps([look]), store="memory:")  # noqa: B017
