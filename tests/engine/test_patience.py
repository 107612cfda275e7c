"Previews and functions of a policy run beside the event loop, and are not waited for for ever."
import asyncio, threading, time

import pytest

from agentnb import Agent, Rule, Scripted, call, tool
from agentnb.core import foreign
from agentnb.engine import perform, policy


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(perform, "PATIENCE", 0.1)
    monkeypatch.setattr(policy.Rulings.ask, "__defaults__", (policy.Rulings.ask.__defaults__[0], 0.1))


def hang(*args, **named):
    time.sleep(1.5)
    return True


@tool
def act(n: int = 1) -> str: return f"did {n}"


def made(*rules, calls=1, tools=(act,), **more):
    return Agent(Scripted([[call("act", n=n) for n in range(calls)], "Done."]), list(tools), store="memory:", policy=list(rules), **more).run("x")


async def beside(work):
    "How long the event loop was blocked at most"
    longest, last, task = 0.0, time.monotonic(), asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return task.result(), longest


def test_a_preview_that_hangs_is_given_up(impatient):
    def shown(n: int = 1) -> str: return "did it"
    run = made(tools=[tool(shown, name="act", preview=lambda n: hang())])
    step, blocked = asyncio.run(beside(run.until(kind="request")))
    assert step.body.preview.startswith("(no preview: TimeoutError:") and blocked < 1


@pytest.mark.parametrize("rule", [Rule(when=hang, effect="allow"), Rule(approver=lambda call, spec: hang() and "allow")])
def test_a_rule_that_hangs_asks_a_human_once_and_the_run_ends(impatient, rule):
    run = made(rule)
    step, blocked = asyncio.run(beside(run.until(kind="request")))
    assert "A rule of the policy failed: TimeoutError: no answer within 0.1 s" in step.body.question and blocked < 1
    run.pending[0].approve()
    began = time.monotonic()
    assert asyncio.run(run.wait()) == "Done." and time.monotonic() - began < 1


def test_one_that_hangs_leaves_the_others_their_answer(impatient):
    run = made(Rule(when=lambda args: hang() if args["n"] == 1 else True, effect="allow"), calls=3)
    asyncio.run(run.until(kind="request"))
    assert [p.call.args["n"] for p in run.pending] == [1] and run.tip.status == "waiting"


@pytest.mark.parametrize("fail", [lambda a: (_ for _ in ()).throw(SystemExit(3)), lambda a: next(iter(())), lambda a: "yes",
    lambda a: (_ for _ in ()).throw(KeyboardInterrupt()), lambda a: (_ for _ in ()).throw(asyncio.CancelledError()),
    lambda a: (_ for _ in ()).throw(GeneratorExit())])
def test_a_rule_that_fails_in_its_thread_asks(fail):
    assert "A rule of the policy failed" in asyncio.run(made(Rule(when=fail, effect="allow")).until(kind="request")).body.question


def test_policies_without_functions_start_no_thread(monkeypatch):
    started = []
    monkeypatch.setattr(foreign.threading.Thread, "start", lambda self, kept=threading.Thread.start: (started.append(self.name), kept(self)))
    @tool(read_only=True)
    async def look() -> str: return "seen"
    for agent in (Agent(Scripted([call("look"), "Done."]), [look], store="memory:", policy=[Rule(hint="destructive", effect="deny")]),
                  Agent(Scripted([call("look"), "Done."]), [look], store="memory:")):
        assert asyncio.run(agent.run("x").wait()) == "Done."
    assert not [name for name in started if name.startswith("agentnb")]
    asyncio.run(made(Rule(when=lambda args: True, effect="allow")).wait())
    assert [name for name in started if name.startswith("agentnb")]


def test_the_context_of_the_caller_is_there_and_a_cancelled_wait_leaves_nothing_broken():
    import contextvars
    user = contextvars.ContextVar("user", default="nobody")
    async def go():
        user.set("kim")
        assert await foreign.call_within(1, user.get) == "kim"
        task = asyncio.ensure_future(foreign.call_within(5, time.sleep, 0.05))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
        def late(): raise TimeoutError("of its own")
        with pytest.raises(TimeoutError, match="of its own"): await foreign.call_within(1, late)
    asyncio.run(go())
