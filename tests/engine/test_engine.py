"""What a run does, through the public surface, with scripted models."""
import asyncio, json, sys

import pytest
from pydantic import BaseModel, Field
from hypothesis import given, settings, strategies as st

from agentnb import (AgentMismatch,
    Agent, Budget, Call, ModelError, Reply, RequestOpen, Rule, RunConflict, RunStopped, Scripted, State, Tape, TapeMiss, Tool, assistant, call, tool, user)
from agentnb.core.messages import Usage
from agentnb.wrappers.providers import find_model
from agentnb.core.state import fold
from agentnb.core.steps import Decision, Step
from agentnb.tools.tool import ToolDefinitionError
from agentnb.views.html import escape_html, run_html


@tool(read_only=True)
def look(where: str) -> str: return f"looked at {where}"


@tool
def act(what: str) -> str: return f"did {what}"


def agent(script, **options): return Agent(Scripted(script), [look, act], store="memory:", **options)


def test_sync_from_a_script_and_inside_a_running_loop():
    assert agent(["hello"]).run_sync("go") == "hello"
    async def inside(): return agent(["hello"]).run_sync("go")
    assert asyncio.run(inside()) == "hello"


def test_the_loop_every_backend_engineer_knows():
    async def loop():
        async for step in agent([call("look", where="here"), "found"]).run(State(messages=(user("go"),), task="go"), max_iterations=10):
            if step.is_terminal: return step.result, step.key
    result, key = asyncio.run(loop())
    assert result == "found" and key.endswith("/step_4") and key.startswith("agent/")


def test_all_requests_of_a_reply_are_asked_at_once_and_calls_run_in_order():
    run = agent([[call("act", what="a"), call("look", where="b"), call("act", what="c")], "done"]).run("go")
    asyncio.run(run.until())
    assert [p.request.call.args for p in run.pending] == [{"what": "a"}, {"what": "c"}]
    run.pending[1].approve()
    asyncio.run(run.until())
    assert [m.content for m in run.state.messages if m.role == "tool"] == ["looked at b"], "c waits for a"
    run.pending[0].reject("not a")
    assert asyncio.run(run.wait()) == "done"
    said = [m.content or str(m.failure) for m in run.state.messages if m.role == "tool"]
    assert said == ["looked at b", "permission_denied: A human said no. not a", "did c"]


def test_a_policy_allows_and_denies():
    rules = [Rule(tool="act", effect="deny", when=lambda a: a["what"] == "harm", reason="Never."), Rule(tool="act", effect="allow")]
    run = agent([call("act", what="harm"), call("act", what="good"), "done"], policy=rules).run("go")
    assert asyncio.run(run.wait()) == "done"
    said = [m.content or str(m.failure) for m in run.state.messages if m.role == "tool"]
    assert said == ["permission_denied: The policy does not allow this call. Never.", "did good"]


@pytest.mark.parametrize("script, reason", [
    ([call("look", where=7)] * 9, "repeats|could not be used"),
    ([call("nothing", i=i) for i in range(9)], "no tool is called 'nothing'. Tools: look, act"),
    ([Reply(content="{", malformed=f"not JSON {i}") for i in range(9)], "5 replies in a row could not be used; the last: not JSON 4")])
def test_garbage_ends_in_a_clear_stop(script, reason):
    run = agent(script).run("go")
    with pytest.raises((RunStopped, RequestOpen), match=reason): asyncio.run(run.wait())
    assert run.state.iteration <= 5 and run.store.restore(run.run_id) == run.state


def test_a_loop_is_nudged_then_asked():
    run = agent([call("look", where="here")] * 9).run("go")
    with pytest.raises(RequestOpen, match=r"The model repeats look\(where='here'\) and gets the same result"): asyncio.run(run.wait())
    assert [s.kind for s in run.steps].count("note") == 1
    run.pending[0].abort("enough")
    with pytest.raises(RunStopped, match="enough"): asyncio.run(run.wait())


def test_a_loop_withholds_the_tool_once():
    offered = []
    def script(messages, tools):
        offered.append([t.name for t in tools])
        return call("look", where="here") if len(offered) < 4 else "done"
    asyncio.run(Agent(Scripted(script), [look, act], store="memory:").run("go").wait())
    assert offered == [["look", "act"]] * 3 + [["act"]]


def test_budgets_stop_before_the_next_call():
    def script(messages, tools): return Reply(calls=(call("look", where=str(len(messages))),), usage=Usage(input=40, output=10, requests=1), cost="0.01")
    run = agent(script, budget=Budget(tokens=120)).run("go")
    with pytest.raises(RunStopped, match="budget of 120 tokens is used up"): asyncio.run(run.wait())
    assert run.state.usage.total == 150
    run.edit(budget=Budget(usd="0.05"))
    with pytest.raises(RunStopped, match=r"budget of \$0.05 is used up"): asyncio.run(run.wait())
    assert str(run.state.cost) == "0.05"


def test_an_unknown_price_stops_a_dollar_budget():
    run = agent([Reply(calls=(call("look", where="a"),)), "done"], budget=Budget(usd=1)).run("go")
    with pytest.raises(RunStopped, match="cost so far is unknown"): asyncio.run(run.wait())
    assert run.state.cost is None


def test_a_result_tool_ends_the_run_and_text_does_not():
    run = Agent(Scripted(["just text", call("act", what="it")]), [look, act], result=act, store="memory:", unattended="approve").run("go")
    assert asyncio.run(run.wait()) == "did it"
    assert run.steps[1].body.reply.malformed == "Text alone is not an answer here. Call act."


def test_a_model_error_is_in_the_log_and_the_run_goes_on():
    tries = []
    def script(messages, tools):
        tries.append(1)
        return ModelError("timeout", "no reply within 5 s.") if len(tries) == 1 else "fine"
    run = agent(script).run("go")
    with pytest.raises(ModelError, match="no reply within 5 s"): asyncio.run(run.wait())
    assert run.status == "failed" and run.steps[-1].body.text == "ModelError: no reply within 5 s."
    assert asyncio.run(run.wait()) == "fine"


def test_one_loop_at_a_time():
    @tool(read_only=True)
    async def slow() -> str:
        await asyncio.sleep(0.2)
        return "ok"
    async def twice():
        run = Agent(Scripted([call("slow"), "done"]), [slow], store="memory:").run("go").start()
        await asyncio.sleep(0.05)
        with pytest.raises(RunConflict, match="going on, so it cannot be stepped. Call run.pause"): await run.step()
        run.pause()
        while run.active: await asyncio.sleep(0.01)
        assert run.status == "paused"
        return await run
    assert asyncio.run(twice()) == "done"


def test_an_open_call_whose_tool_is_gone_is_refused():
    owner = agent([call("look", where="a"), "done"])
    run = owner.run("go")
    asyncio.run(run.until(kind="model"))
    other = Agent(Scripted([]), [act], store=owner.store).load(run.run_id)
    with pytest.raises(AgentMismatch, match="has an open call of look, and the agent has no such tool. Give it to Agent"): asyncio.run(other.step())
    assert other.tip == run.tip and asyncio.run(owner.load(run.run_id).wait()) == "done"


@pytest.mark.parametrize("make, text", [
    (lambda: find_model("gpt"), "no provider 'gpt' in the model name 'gpt'. Names look like `local:smollm2`. Did you mean 'openai:gpt'?"),
    (lambda: find_model("qqq:x"), "no provider 'qqq' in the model name 'qqq:x'. Names look like `local:smollm2`. Providers: local, openai,"),
    (lambda: Agent(Scripted([]), [look, look], store="memory:"), "two tools have the same name"),
    (lambda: Agent(Scripted([]), [look], result=act, store="memory:"), "result=act is not one of the tools"),
    (lambda: Agent(Scripted([]), unattended="maybe", store="memory:"), "use 'wait', 'approve', 'reject'"),
    (lambda: Tool(lambda *args: 1, name="many"), "cannot be offered to a model"),
    (lambda: Tool(look.fn, name="two words"), "providers take 1 to 64 letters")])
def test_bad_definitions(make, text):
    with pytest.raises((ModelError, ValueError, ToolDefinitionError)) as e: make()
    assert text in str(e.value)


def test_a_missing_extra_names_the_command(monkeypatch):
    from agentnb.models.embedded import serve
    from agentnb.models.local import Local
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModelError, match=r'Run: pip install "agentnb-kit\[local\]"'): asyncio.run(Local("smollm2")([user("hi")]))
    with pytest.raises(ModelError, match=r'Run: pip install "agentnb-kit\[local\]"'): serve(__file__)


def test_a_tape_scrubs_keys(tmp_path):
    secret = "sk-abcdefghijklmnop123456"
    live = Scripted([f"the key is {secret}"], name="local")
    with pytest.raises(TapeMiss, match="never recorded"): asyncio.run(Tape(tmp_path/"a.tape", mode="replay")(live)([user("hello")]))
    asyncio.run(Tape(tmp_path/"a.tape")(live)([user(f"my key is {secret}")]))
    assert secret not in (tmp_path/"a.tape").read_text()
    assert asyncio.run(Tape(tmp_path/"a.tape", mode="replay")("local")([user(f"my key is {secret}")])).source == "tape"


@pytest.mark.parametrize("bad", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\x1b[31mred", "\u202eevil", "'\"><svg/onload=alert(1)>"])
def test_what_comes_from_outside_is_shown_as_text(bad):
    run = agent([call("act", what=bad), bad], unattended="approve").run(bad)
    asyncio.run(run.wait())
    page = run_html(run.state, run.steps)
    assert bad not in page and escape_html(bad) in page
    assert not any(c in page for c in "\x1b\u202e") and "<script" not in page and "<img" not in page and "<svg" not in page


call_plans = st.lists(st.one_of(
    st.builds(lambda w: call("look", where=w), st.text(max_size=5)), st.builds(lambda w: call("act", what=w), st.text(max_size=5)),
    st.just(call("unknown")), st.just("text"), st.just(Reply(malformed="bad"))), max_size=8)


@settings(max_examples=60, deadline=None)
@given(plan=st.lists(call_plans, max_size=5), verdicts=st.lists(st.sampled_from(["approve", "reject", "answer", "abort"]), min_size=1, max_size=8))
def test_the_log_rebuilds_the_state(plan, verdicts):
    "Whatever is said and decided, the state is what the log folds to, by steps or at once, and from JSON"
    script = [p if all(not isinstance(x, (str, Reply)) for x in p) and p else next((x for x in p if isinstance(x, (str, Reply))), "end") for p in plan]
    run = agent([*script, "end"]).run("go", max_iterations=6)

    async def drive():
        for i in range(200):
            await run.until()
            if not run.pending: return
            verdict, pending = verdicts[i % len(verdicts)], run.pending[-1 if i % 2 else 0]
            pending.approve() if verdict == "approve" and pending.request.call else getattr(pending, "answer" if verdict == "approve" else verdict)("because")
    asyncio.run(drive())
    assert run.state.status in ("done", "stopped")
    read = [Step.model_validate_json(json.dumps(json.loads(s.model_dump_json()))) for s in run.store.read(run.run_id)]
    assert fold(read) == run.state
    approved = {s.body.request_id for s in run.steps if s.kind == "decision" and s.body.verdict == "approve"}
    asked = {s.body.request_id: s.body.call.id for s in run.steps if s.kind == "request" and s.body.call}
    did = [s.body.call_id for s in run.steps if s.kind == "tool" and not s.body.failure and s.body.tool == "act" and s.body.content.startswith("did ")]
    assert set(did) <= {asked[r] for r in approved if r in asked} and len(did) == len(set(did))


def test_a_function_without_source_is_a_tool():
    scope = {}
    exec("def look(where: str) -> str:\n    'Look there'\n    return where", scope)
    assert Tool(scope["look"]).spec.description == "Look there"


def test_ids_of_a_provider_cannot_hide_a_call():
    "Two calls under one id: the one that changes something is asked about all the same"
    twice = [Call(id="x", tool="act", args={"what": "drop table"}), Call(id="x", tool="look", args={"where": "here"})]
    run = agent([twice, "done"]).run("go")
    with pytest.raises(RequestOpen, match="drop table"): asyncio.run(run.wait())
    assert [m.content for m in run.state.messages if m.role == "tool"] == ["looked at here"]
    assert [c.phase for c in run.state.open_calls] == ["asked"]


@pytest.mark.parametrize("first, second", [("c1.1", ""), ("c1.1", "c1.1"), ("", "c1.0"), ("c1.0", "c1.1")])
def test_ids_that_look_like_our_own_hide_no_call_either(first, second):
    both = [Call(id=first, tool="look", args={"where": "here"}), Call(id=second, tool="look", args={"where": "there"})]
    run = agent([both, "done"]).run("go")
    asyncio.run(run.wait())
    assert [(m.call_id, m.content) for m in run.state.messages if m.role == "tool"] == [("c1.0", "looked at here"), ("c1.1", "looked at there")]


def test_an_id_that_a_later_step_would_give_is_given_once():
    run = agent([Call(id="c3.0", tool="look", args={"where": "here"}), call("look", where="there"), "done"]).run("go")
    asyncio.run(run.wait())
    assert [(m.call_id, m.content) for m in run.state.messages if m.role == "tool"] == [("c3.0", "looked at here"), ("c3.0_", "looked at there")]


def test_a_denial_holds_for_changed_arguments():
    run = agent([call("act", what="good"), "done"], policy=[Rule(tool="act", effect="deny", when=lambda a: a["what"] == "harm")]).run("go")
    asyncio.run(run.until())
    run.pending[0].approve(args={"what": "harm"})
    asyncio.run(run.wait())
    assert [m.failure.kind for m in run.state.messages if m.role == "tool"] == ["permission_denied"]


def test_a_decision_about_something_else_is_refused_before_it_is_written():
    wrong = lambda request, state: Decision(request_id="q99", verdict="approve")
    run = agent([call("act", what="a"), "done"], unattended=wrong).run("go")
    with pytest.raises(ValueError, match="decision about q99 given for request q2"): asyncio.run(run.wait())
    assert run.agent.load(run.run_id).state == run.state


def test_an_answer_after_an_abort_says_so():
    run = agent([[call("act", what="a"), call("act", what="b")], "done"]).run("go")
    asyncio.run(run.until())
    first, second = run.pending
    first.abort("stop")
    with pytest.warns(UserWarning, match="already decided: abort"): second.approve()
    assert [str(m.failure) for m in run.state.messages if m.role == "tool"] == ["permission_denied: This call was not made: the run was stopped."] * 2


def test_edits_before_the_start_after_the_end_and_over_an_open_request():
    run = agent(["hi", "more"]).run("task")
    run.edit(max_iterations=50)
    assert asyncio.run(run.wait()) == "hi" and run.state.task == "task" and run.steps[0].kind == "started"
    run.edit(messages=[*run.state.messages, user("and?")])
    assert asyncio.run(run.wait()) == "more"
    run = agent([call("act", what="old"), "hello"]).run("go")
    asyncio.run(run.until())
    late = run.pending[0]
    run.edit(messages=[*run.state.messages[:1], assistant("never mind"), user("say hello")])
    with pytest.warns(UserWarning, match="already decided"): late.approve()
    assert asyncio.run(run.wait()) == "hello" and not any(m.role == "tool" for m in run.state.messages)


def many(n=6): return agent([*[call("look", where=str(i)) for i in range(n)], "end"]).run("go")


def test_pause_means_now():
    async def paused():
        run = many().start()
        run.pause()
        await asyncio.sleep(0.05)
        before = len(run.steps)
        seen = []
        async for step in run:
            seen.append(step.index)
            if len(seen) == 3: run.pause()
        other = asyncio.ensure_future(run.until(kind="model"))
        await asyncio.sleep(0)
        return before, len(seen), await run, (await other).kind
    before, seen, result, _ = asyncio.run(paused())
    assert before < 3 and seen == 3 and result == "end"


def test_an_observer_cannot_break_a_run():
    run = many(1)
    run.observers.append(lambda step: 1 / 0)
    with pytest.warns(UserWarning, match="an observer of agent/.* failed: ZeroDivisionError"): assert asyncio.run(run.wait()) == "end"


def test_run_sync_never_waits_for_a_click(monkeypatch):
    monkeypatch.setenv("AGENTNB_INTERACTIVE", "1")
    with pytest.raises(RequestOpen, match="act"): agent([call("act", what="a"), "done"]).run_sync("go")


def test_no_key_reaches_the_log(monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "tok-en-of-the-day")
    keys = "sk-proj-ABCDEFGH1JKLMNOPQRSTUVWX", "tok-en-of-the-day"
    run = agent([ModelError("authentication", f"bad keys {keys}")]).run("go")
    with pytest.raises(ModelError): asyncio.run(run.wait())
    kept = "".join(s.model_dump_json() for s in run.store.read(run.run_id)) + repr(run) + run._repr_html_()
    assert "[secret]" in kept and not any(k in kept for k in keys)


@pytest.mark.parametrize("value", ["\ud83d half", "\x00", "x" * 1_000_000, None, b"bytes", float("nan"), {"a": object()}, [1, (2, 3)]])
def test_any_result_can_be_kept(value):
    @tool(read_only=True)
    def odd(x: float = 0.0) -> object: return value
    run = Agent(Scripted([call("odd", x=float("inf")), "\ud83d end"]), [odd], store="memory:").run("go")
    asyncio.run(run.wait())
    assert run.store.restore(run.run_id) == run.state


def test_what_is_approved_is_what_runs():
    class Mail(BaseModel):
        sender: str = Field(alias="from")

    @tool
    def send(mail: Mail, copies: int | None = None) -> str: return f"{mail.sender} {copies}"
    run = Agent(Scripted([call("send", mail={"from": "me"}), "done"]), [send], store="memory:", unattended="approve").run("go")
    asyncio.run(run.wait())
    assert [m.content for m in run.state.messages if m.role == "tool"] == ["me None"]
    with pytest.raises(ToolDefinitionError, match="default of `limit` is None.*int | None"): tool(limited)


def limited(limit: int = None) -> str: return ""


def test_a_tape_keeps_requests_apart_and_every_entry(tmp_path):
    path = tmp_path/"a.tape"
    async def slow(messages, tools=(), instructions="", ask=None):
        await asyncio.sleep(0.01)
        return Reply(content=messages[0].content, calls=(call("skip_maintenance"),))
    slow.name = "local"
    async def record(): return await asyncio.gather(*(Tape(path)(slow)([user(f"sk-aaaabbbbccccdddd{i}")]) for i in range(5)))
    asyncio.run(record())
    assert len(json.loads(path.read_text())) == 5 and "aaaabbbb" not in path.read_text()
    assert asyncio.run(Tape(path, mode="replay")("local")([user("sk-aaaabbbbccccdddd3")])).calls[0].tool == "skip_maintenance"
