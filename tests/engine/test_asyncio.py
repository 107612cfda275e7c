"For asyncio a run is a coroutine: of each task that is made of it, as often as one likes."
import asyncio, gc, subprocess, sys, textwrap, warnings
from collections.abc import Coroutine

import pytest

from agentnb import Agent, Call, RunPaused, RunStopped, Scripted, tool

SLOW = 0.05  # seconds


@tool(read_only=True)
async def look(where: str) -> str:
    "Look"
    await asyncio.sleep(SLOW)
    return f"{where} is fine"


def calls(count): return [[Call(id="", tool="look", args={"where": str(n)})] for n in range(count)]
def make(script=None, **given): return Agent(Scripted(script or [*calls(2), "done"]), [look], store="memory:", max_iterations=20, **given)


def test_a_run_is_what_asyncio_takes():
    run = make().run("x")
    assert isinstance(run, Coroutine) and asyncio.iscoroutine(run)
    assert asyncio.run(run) == "done" and run.status == "done"


@pytest.mark.parametrize("debug", [False, True])
def test_a_run_is_taken_by_asyncio_run_more_than_once(debug):
    run = make().run("x")
    assert [asyncio.run(run, debug=debug) for _ in range(3)] == ["done"] * 3
    assert len([s for s in run.steps if s.kind == "finished"]) == 1


def test_each_way_asyncio_has():
    async def grouped(run):
        async with asyncio.TaskGroup() as group: task = group.create_task(run, name="mine")
        return task.result()
    async def ways():
        loop = asyncio.get_running_loop()
        new = lambda: make().run("x")
        assert await asyncio.create_task(new()) == await asyncio.create_task(new(), name="x") == await loop.create_task(new()) == "done"
        assert await grouped(new()) == "done" and await asyncio.ensure_future(new()) == "done"
        assert await asyncio.gather(new(), new(), new()) == ["done"] * 3
        assert await asyncio.wait_for(new(), 5) == "done" and await asyncio.shield(new()) == "done"
        assert [await each for each in asyncio.as_completed([new(), new()])] == ["done"] * 2
        done, _ = await asyncio.wait([asyncio.create_task(new()), asyncio.create_task(new())])
        assert [t.result() for t in done] == ["done"] * 2
        assert await new() == await new().wait() == "done"
        assert await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(new(), loop).result(5)) == "done"
    asyncio.run(ways())
    with asyncio.Runner() as runner: assert [runner.run(make().run("x")) for _ in range(2)] == ["done"] * 2
    loop = asyncio.new_event_loop()
    try: assert loop.run_until_complete(make().run("x")) == "done"
    finally: loop.close()


def test_several_tasks_of_one_run_at_the_same_time_have_one_result():
    async def together():
        run = make().run("x")
        tasks = [asyncio.create_task(run) for _ in range(5)]
        await asyncio.sleep(SLOW / 2)
        tasks += [asyncio.ensure_future(run), asyncio.create_task(run.wait())]
        return run, [*await asyncio.gather(*tasks), await run]
    run, results = asyncio.run(together())
    assert results == ["done"] * 8 and [s.index for s in run.steps] == list(range(len(run.steps)))
    assert len([s for s in run.steps if s.kind == "tool"]) == 2 and not run._coroutines


def test_gather_takes_the_same_run_twice():
    async def twice():
        run = make().run("x")
        return await asyncio.gather(run, run), await asyncio.gather(run, run.wait())
    assert asyncio.run(twice()) == (["done"] * 2, ["done"] * 2)


def test_a_task_that_is_cancelled_pauses_the_run_and_another_goes_on():
    async def cancelled():
        run = make([*calls(6), "done"]).run("x")
        task = asyncio.create_task(run)
        await asyncio.sleep(SLOW * 1.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
        before = len(run.steps)
        assert task.cancelled() and run.tip.status == "running" and 0 < before < 14
        return run, await asyncio.create_task(run)
    run, result = asyncio.run(cancelled())
    assert result == "done" and [s.body.content for s in run.steps if s.kind == "tool"] == [f"{n} is fine" for n in range(6)]


def test_a_task_that_is_cancelled_before_it_began_did_nothing():
    async def cancelled():
        run = make().run("x")
        task = asyncio.create_task(run)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
        assert run.steps == [] and not run._coroutines
        return await run
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(cancelled()) == "done"
        gc.collect()


def test_a_deadline_pauses_it_too():
    async def late():
        run = make([*calls(6), "done"]).run("x")
        with pytest.raises(TimeoutError): await asyncio.wait_for(run, SLOW * 1.5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SLOW * 1.5): await run
        return await asyncio.wait_for(run, 20)
    assert asyncio.run(late()) == "done"


def test_one_of_two_tasks_is_cancelled_and_the_other_hears_of_the_pause():
    async def two():
        run = make([*calls(6), "done"]).run("x")
        one, other = asyncio.create_task(run), asyncio.create_task(run)
        await asyncio.sleep(SLOW * 1.5)
        one.cancel()
        with pytest.raises(asyncio.CancelledError): await one
        with pytest.raises(RunPaused, match="is paused after step"): await other
        return await run
    assert asyncio.run(two()) == "done"


def test_an_error_is_the_tasks_own():
    async def stopped():
        run = make([*calls(6), "done"]).run("x", max_iterations=2)
        found = await asyncio.gather(run, asyncio.create_task(run), return_exceptions=True)
        assert all(isinstance(e, RunStopped) for e in found) and not run._coroutines
        run.edit(max_iterations=20)
        return await asyncio.create_task(run)
    assert asyncio.run(stopped()) == "done"
    held = make([*calls(9), "done"]).run("x")
    async def group():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(make([*calls(6), "done"]).run("x", max_iterations=1))
            tasks.create_task(held)
    with pytest.raises(ExceptionGroup) as e: asyncio.run(group())
    assert isinstance(e.value.exceptions[0], RunStopped) and held.status != "done"
    assert asyncio.run(held) == "done"


def test_a_loop_that_ends_in_the_middle_leaves_a_run_that_goes_on():
    run = make([*calls(4), "done"]).run("x")
    async def part(): asyncio.get_running_loop().call_later(SLOW * 1.5, asyncio.current_task().cancel); await run
    with pytest.raises(asyncio.CancelledError): asyncio.run(part())
    assert run.tip.status in ("new", "running") and asyncio.run(run) == "done"


def test_by_hand_and_in_a_loop_of_ones_own():
    run = make(["done"]).run("x")
    with warnings.catch_warnings(action="ignore"):
        with pytest.raises(RuntimeError, match="event loop"): run.send(None)
        gc.collect()
    run.close()
    with pytest.raises(KeyError): run.throw(KeyError("mine"))
    assert asyncio.run(run) == "done"


def test_tasks_that_are_forgotten_are_not_kept():
    run = make().run("x")
    async def forgotten():
        for _ in range(20): await asyncio.gather(*(asyncio.create_task(make(["done"]).run("x")) for _ in range(5)), run)
    asyncio.run(forgotten())
    gc.collect()
    assert not run._coroutines


def test_a_script():
    code = """
        import asyncio
        from agentnb import Agent, Scripted
        run = Agent(Scripted(["done"]), store="memory:").run("x")
        print(asyncio.run(run), run.status)
    """
    said = subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert said.stdout == "done done\n" and not said.stderr, said.stderr
