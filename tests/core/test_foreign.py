"""Code that a user wrote, called where only ordinary errors may come out."""
import asyncio, functools, os, subprocess, sys

import pytest

from agentnb import Agent, Decision, Gate, Rule, RequestOpen, Scripted, Verdict, Cascade, call, tool
from agentnb.core.foreign import CodeExit, await_code, call_code, call_in_thread, error_text
from agentnb.host.kernel import run_blocking


class Mute(Exception):
    def __str__(self): raise SystemExit("in its message")
class NoText(Exception):
    def __str__(self): return 7  # pyright: ignore # noqa: PLE0307
class OfItsOwn(BaseException): pass


EXITS = [SystemExit(2), StopIteration(), StopAsyncIteration(), GeneratorExit(), asyncio.CancelledError(), OfItsOwn("bye"),
    BaseExceptionGroup("two", [SystemExit(1)])]
ERRORS = [ValueError("no"), Mute(), NoText(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), RecursionError("deep"),
    MemoryError(), ExceptionGroup("some", [ValueError("a")])]
each = pytest.mark.parametrize("error", EXITS, ids=lambda e: type(e).__name__)


def raising(error):
    def code(*_, **__): raise error
    return code


def waiting_and_raising(error):
    async def code(*_, **__):
        await asyncio.sleep(0)
        raise error
    return code


@each
@pytest.mark.parametrize("how", [lambda e: asyncio.run(later(call_code, raising(e))), lambda e: asyncio.run(await_code(raising(e))),
    lambda e: asyncio.run(await_code(waiting_and_raising(e))), lambda e: asyncio.run(call_in_thread(raising(e)))],
    ids=["plain", "awaited", "asynchronous", "thread"])
def test_what_would_end_more_is_an_ordinary_error(error, how):
    with pytest.raises(Exception) as caught: how(error)
    if isinstance(error, StopIteration | StopAsyncIteration) and type(caught.value) is RuntimeError: return  # Python's own, out of a coroutine
    assert type(caught.value) is CodeExit and caught.value.__cause__ is error


async def later(code, *args): return code(*args)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_an_error_stays_what_it_is_and_can_be_said(error):
    with pytest.raises(type(error)) as caught: call_code(raising(error))
    assert caught.value is error and error_text(error).startswith(f"{type(error).__name__}: ")


def test_the_text_of_an_error_is_short_and_holds_no_secret(monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "abcdef123456")
    text = error_text(ValueError("abcdef123456 " + "x" * 2_000_000 + "\ud800"))
    assert len(text) < 11_000 and "abcdef123456" not in text and text.encode()


def test_arguments_may_have_any_name():
    def run(code, args, kwargs): return code, args, kwargs
    given = dict(code="1 + 1", args=2, kwargs=3)
    assert call_code(run, **given) == asyncio.run(await_code(run, **given)) == asyncio.run(call_in_thread(run, **given)) == ("1 + 1", 2, 3)


def test_keyboard_interrupt_stops_in_the_main_thread_only():
    with pytest.raises(KeyboardInterrupt): call_code(raising(KeyboardInterrupt()))
    with pytest.raises(CodeExit): asyncio.run(call_in_thread(raising(KeyboardInterrupt())))


def test_a_task_that_is_cancelled_is_cancelled():
    async def go():
        task = asyncio.ensure_future(await_code(asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()
    assert asyncio.run(go())


def test_a_timeout_of_its_own_is_its_own():
    async def slow():
        async with asyncio.timeout(0.001): await asyncio.sleep(60)
    with pytest.raises(TimeoutError): asyncio.run(await_code(slow))


def test_a_coroutine_is_never_taken_for_an_answer(recwarn):
    async def yes(*_): return True
    for code in (yes, functools.partial(yes, 1), lambda *_: yes()):
        with pytest.raises(TypeError, match="asked here without `await`"): call_code(code)
    with pytest.raises(TypeError, match="asked here without `await`"): Rule(when=yes, effect="allow")
    with pytest.raises(TypeError, match="asked here without `await`"): Rule(approver=yes)
    assert not [w for w in recwarn if "never awaited" in str(w.message)]


paid = []


@tool
def pay(cents: int) -> str:
    "Pay"
    paid.append(cents)
    return "paid"


async def ended(run):
    try: return await run
    except Exception as e: return e


@each
def test_a_policy_that_leaves_asks(error):
    paid.clear()
    agent = Agent(Scripted([call("pay", cents=1), "ok"]), [pay], store="memory:", policy=[Rule(tool="pay", when=raising(error), effect="allow")])
    assert isinstance(asyncio.run(ended(agent.run("Pay."))), RequestOpen) and not paid


class Unshown:
    def __repr__(self): raise SystemExit("in its repr")
    def __bool__(self): raise SystemExit("in its bool")


@pytest.mark.parametrize("answer", [None, 1, "no", [], 0.0, Unshown()], ids=lambda a: type(a).__name__)
def test_a_predicate_that_gives_no_yes_or_no_asks(answer):
    paid.clear()
    for effect in ("allow", "deny"):
        policy = [Rule(tool="pay", when=lambda args: answer, effect=effect), Rule(tool="pay", effect="allow")]
        run = Agent(Scripted([call("pay", cents=1), "ok"]), [pay], store="memory:", policy=policy).run("Pay.")
        assert isinstance(asyncio.run(ended(run)), RequestOpen) and not paid and "True or False" in str(run.tip.requests[0])


@each
def test_an_unattended_rule_that_leaves_keeps_the_request_open(error):
    agent = Agent(Scripted([call("pay", cents=1), "ok"]), [pay], store="memory:", unattended=raising(error))
    run = agent.run("Pay.")
    with pytest.warns(UserWarning, match="stays open"): assert isinstance(asyncio.run(ended(run)), RequestOpen)
    assert run.tip.status == "waiting"


def test_an_unattended_rule_may_be_asynchronous():
    async def approve(request, state):
        await asyncio.sleep(0)
        return Decision(request_id=request.request_id, verdict="approve")
    agent = Agent(Scripted([call("pay", cents=1), "ok"]), [pay], store="memory:", unattended=approve)
    assert agent.run_sync("Pay.") == "ok"


@each
def test_a_model_that_leaves_is_a_note_in_the_log(error):
    async def model(messages, tools, instructions, ask): raise error
    for given in (model, Scripted(raising(error)), Scripted(waiting_and_raising(error))):
        run = Agent(given, store="memory:").run("Go.")
        assert isinstance(asyncio.run(ended(run)), Exception) and run.steps[-1].kind == "note" and run.status == "failed"


def test_a_script_may_be_an_asynchronous_function():
    async def say(messages, tools):
        await asyncio.sleep(0)
        return "done"
    assert Agent(Scripted(say), store="memory:").run_sync("Go.") == "done"


@each
def test_observers_listeners_and_gates_that_leave_change_nothing(error):
    async def go():
        run = Agent(Scripted(["done"]), store="memory:").run("Go.")
        run.observers.append(raising(error))
        run.listeners.append(raising(error))
        return await run
    with pytest.warns(UserWarning, match="failed"): assert asyncio.run(go()) == "done"
    gated = Cascade([Scripted(["cheap"], "own:a"), Scripted(["dear"], "own:b")], gates=[Gate("mine", lambda reply, prompt: raising(error)())])
    run = Agent(gated, store="memory:").run("Go.")
    assert isinstance(asyncio.run(ended(run)), Exception) and run.status == "failed"


def test_a_gate_may_be_asynchronous_however_it_is_written():
    async def judge(reply, prompt): return Verdict(accept=False, reason="no")
    gated = Cascade([Scripted(["cheap"], "own:a"), Scripted(["dear"], "own:b")], gates=[Gate("mine", lambda reply, prompt: judge(reply, prompt))])
    assert Agent(gated, store="memory:").run_sync("Go.") == "dear"


def test_a_rule_about_an_argument_that_is_not_there_is_an_error():
    for rule in (Rule(tool="pay", args={"sum": "1"}, effect="deny"), Rule(args={"sum": "1"}, effect="deny"), Rule(tool="p*", args={"sum": "1"}, effect="deny")):
        with pytest.raises(ValueError, match="speaks of the argument sum"): Agent(Scripted([]), [pay], store="memory:", policy=[rule])


def test_plain_code_on_the_bridge_itself_ends():
    async def inside(): return Agent(Scripted(["inner"]), store="memory:").run_sync("Go.")
    assert run_blocking(inside()) == "inner"


def test_a_bridge_that_died_is_replaced():
    code = """from agentnb.host import kernel
import asyncio
kernel.run_blocking(asyncio.sleep(0))
kernel._bridges[-1].loop.call_soon_threadsafe(kernel._bridges[-1].loop.stop)
kernel._bridges[-1].thread.join(5)
print(kernel.run_blocking(asyncio.sleep(0, "again")))"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout == "again\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_plain_code_works_in_a_fork():
    code = """import os, asyncio
from agentnb.host.kernel import run_blocking
run_blocking(asyncio.sleep(0))
pid = os.fork()
if pid == 0:
    print(run_blocking(asyncio.sleep(0, "in the child")), flush=True)
    os._exit(0)
os.waitpid(pid, 0)"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60).stdout == "in the child\n"
