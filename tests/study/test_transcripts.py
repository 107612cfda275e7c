"""Conversations from elsewhere: in as runs, out as the same JSON, or refused with nothing written."""
import asyncio, json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st
from places import DATA

from agentnb import Agent, Budget, RequestOpen, Run, RunConflict, RunStopped, Scripted, call, open_store, tool
from agentnb.models.anthropic import to_wire as to_anthropic
from agentnb.models.chat import to_wire as to_chat
from agentnb.study.conversations import format_of, read_messages
from agentnb.core.messages import user
from agentnb.models.responses import to_wire as to_responses

CASSETTES = DATA/"cassettes"
KEPT = []


@tool(read_only=True)
def look(host: str) -> str: return f"{host}: disk full"


@tool
def restart(service: str) -> str:
    KEPT.append(service)
    return f"{service} is up"


def agent(*script, **options): return Agent(Scripted([*script] or ["done"]), [look, restart], store=options.pop("store", "memory:"), **options)


def taken(messages, format=None, **options):
    mine = agent()
    run = Run.from_messages(messages, mine, format, run_id="r1", **options)
    again = mine.load("r1")
    assert again.state == run.state and [s.index for s in run.steps] == list(range(len(run.steps)))
    return again


def recorded():
    "Every conversation in the recorded traffic: requests, and requests with their answers"
    for path in sorted(CASSETTES.glob("*/*.json")):
        for i, exchange in enumerate(json.loads(path.read_text())["interactions"]):
            body = exchange["request"].get("json") or {}
            if not body.get("messages"): continue
            form = "anthropic" if path.parent.name == "anthropic" else "openai"
            yield pytest.param(form, body, id=f"{path.parent.name}/{path.stem} {i}")


RECORDED = list(recorded())
asks = dict(role="assistant", content=None, tool_calls=[dict(id="c1", type="function", function=dict(name="look", arguments='{"host":"db1"}'))])
told = dict(role="tool", tool_call_id="c1", content="disk full")
used = dict(role="assistant", content=[dict(type="thinking", thinking="Hm.", signature="sig"),
    dict(type="tool_use", id="t1", name="look", input=dict(host="db1")), dict(type="tool_use", id="t2", name="restart", input=dict(service="api"))])
graph = dict(type="image", source=dict(type="url", url="https://x.org/a.png"))
gave = dict(role="user", content=[dict(type="tool_result", tool_use_id="t1", content=[dict(type="text", text="full"), graph]),
    dict(type="tool_result", tool_use_id="t2", content="no right", is_error=True), dict(type="text", text="Hurry.")])


def test_there_is_recorded_traffic():
    assert len(RECORDED) >= 30 and {p.values[0] for p in RECORDED} == {"openai", "anthropic"}


@pytest.mark.parametrize("form, body", RECORDED)
def test_recorded_traffic_comes_out_as_it_went_in(form, body):
    messages = body["messages"]
    for chosen in (form, None):
        run = taken(messages, chosen, system=body.get("system"))
        assert json.dumps(run.to_messages(form)) == json.dumps(messages)
    assert run.state.messages and run.state.run_id == "r1"


@pytest.mark.parametrize("form, body", RECORDED)
def test_recorded_traffic_is_translated_to_the_other_format_and_keeps_its_sense(form, body):
    other = "openai" if form == "anthropic" else "anthropic"
    run = taken(body["messages"], form, system=body.get("system"))
    there = run.to_messages(other)
    back = read_messages(there, other, None if other == "openai" else run.state.instructions or None)
    says = lambda m: (m.role, (str(m.failure or "") or m.content).removeprefix("internal: ").strip(), [(c.tool, c.args) for c in m.calls])
    sense = lambda messages: [said for said in map(says, messages) if any(said[1:]) or said[0] == "tool"]
    assert back[0] == run.state.instructions and sense(m for _, m in back[2]) == sense(run.state.messages)


@pytest.mark.parametrize("form, body", RECORDED)
def test_a_fork_at_every_step_gives_back_a_beginning_that_can_be_sent(form, body):
    run = taken(body["messages"], form, system=body.get("system"))
    for at in range(len(run.steps)):
        cut = run.fork(at=at).to_messages(form)
        assert read_messages(cut, form) is not None if cut else at >= 0
        whole = [m for m in cut if m in body["messages"]]
        assert len(whole) >= len(cut) - 1 and whole == body["messages"][:len(whole)]


text = st.text(max_size=12)
value = st.recursive(st.none() | st.booleans() | st.integers(-2**60, 2**60) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2), max_leaves=4)
args = st.dictionaries(text, value, max_size=2)
extra = st.dictionaries(st.sampled_from(["name", "id", "x"]), text, max_size=2)
URL = st.sampled_from(["https://x.org/a.png", "data:image/png;base64,AAAA"])
openai_parts = st.lists(st.one_of(st.builds(lambda t: dict(type="text", text=t), text), st.builds(lambda u: dict(type="image_url", image_url=dict(url=u)), URL),
    st.just(dict(type="input_audio", input_audio=dict(data="AA", format="wav"))), st.just(dict(type="file", file=dict(file_id="f")))), max_size=3)


@st.composite
def openai_conversations(draw):
    said, number = [], 0
    for role in draw(st.lists(st.sampled_from(["system", "developer"]), max_size=2)):
        said.append(dict(role=role, content=draw(text | st.builds(lambda t: [dict(type="text", text=t)], text))))
    for kind in draw(st.lists(st.sampled_from(["user", "text", "calls", "system", "refusal"]), min_size=1, max_size=6)):
        if kind in ("user", "system"): said.append({**draw(extra), "role": kind, "content": draw(text | openai_parts if kind == "user" else text)})
        elif kind == "text": said.append({"content": draw(text | st.builds(lambda t: [dict(type="text", text=t)], text)), "role": "assistant", **draw(extra)})
        elif kind == "refusal": said.append(dict(role="assistant", content=None, refusal=draw(text)))
        else:
            count, calls = draw(st.integers(1, 3)), []
            for _ in range(count):
                number += 1
                sent = draw(st.builds(json.dumps, args) | st.just('{"a": ') | st.builds(lambda a: json.dumps(a, separators=(",", ":")), args))
                calls.append(dict(id=f"c{number}", type="function", function=dict(name=draw(st.sampled_from(["look", "restart", "other"])), arguments=sent)))
            said.append(dict(role="assistant", tool_calls=calls, content=draw(st.none() | text)))
            for c in draw(st.permutations(calls)): said.append({"role": "tool", "tool_call_id": c["id"], "content": draw(text), **draw(extra)})
    return said


paper = dict(type="document", source=dict(type="text", data="x", media_type="text/plain"))
marked = st.builds(lambda t: dict(text=t, type="text", cache_control={"type": "ephemeral"}), text)
block = st.one_of(st.builds(lambda t: dict(type="text", text=t), text), marked, st.builds(lambda u: dict(type="image", source=dict(type="url", url=u)), URL),
    st.just(paper))


@st.composite
def anthropic_conversations(draw):
    said, number = [], 0
    if draw(st.booleans()): said.append(dict(role="system", content=draw(text | st.builds(lambda t: [dict(type="text", text=t)], text))))
    for kind in draw(st.lists(st.sampled_from(["user", "text", "calls"]), min_size=1, max_size=6)):
        if kind == "user": said.append({"role": "user", "content": draw(text | st.lists(block, max_size=3)), **draw(extra)})
        elif kind == "text": said.append(dict(role="assistant", content=draw(text | st.lists(st.one_of(block.filter(lambda b: b["type"] == "text"),
            st.just(dict(type="thinking", thinking="t", signature="s")), st.just(dict(type="redacted_thinking", data="d"))), max_size=3))))
        else:
            calls = [dict(type="tool_use", id=f"t{number + i}", name=draw(st.sampled_from(["look", "restart", "other"])), input=draw(args))
                for i in range(draw(st.integers(1, 3)))]
            number += len(calls)
            said.append(dict(role="assistant", content=draw(st.lists(block.filter(lambda b: b["type"] == "text"), max_size=1)) + calls))
            results = [dict(type="tool_result", tool_use_id=c["id"], **draw(st.sampled_from([{}, {"is_error": True}, {"is_error": False}])),
                **draw(st.just({}) | st.builds(lambda c: dict(content=c), text | st.lists(block, max_size=2)))) for c in calls]
            split = draw(st.integers(0, len(results) - 1))
            if split: said.append(dict(role="user", content=results[:split]))
            said.append(dict(content=results[split:] + draw(st.lists(block, max_size=2)), role="user"))
    return said


@settings(max_examples=150, deadline=None)
@given(openai_conversations())
def test_any_openai_conversation_comes_out_as_it_went_in(messages):
    run = taken(messages, "openai")
    assert json.dumps(run.to_messages("openai")) == json.dumps(messages)
    to_chat("gpt", run.state.messages), to_anthropic("claude", run.state.messages), to_responses("gpt", run.state.messages)
    read_messages(run.to_messages("anthropic") or [dict(role="user", content="")], "anthropic")


@settings(max_examples=150, deadline=None)
@given(anthropic_conversations())
def test_any_anthropic_conversation_comes_out_as_it_went_in(messages):
    run = taken(messages, "anthropic")
    assert json.dumps(run.to_messages("anthropic")) == json.dumps(messages)
    to_chat("gpt", run.state.messages), to_anthropic("claude", run.state.messages), to_responses("gpt", run.state.messages)
    read_messages(run.to_messages("openai") or [dict(role="user", content="")], "openai")


def test_the_steps_are_those_of_a_run():
    run = taken([dict(role="system", content="Be brief."), dict(role="user", content="Why?"), used | {"role": "assistant"}, gave], "anthropic")
    assert [s.kind for s in run.steps] == ["started", "edit", "model", "tool", "intent", "tool", "edit"]
    assert [s.iteration for s in run.steps] == [0, 0, 1, 1, 1, 1, 1] and run.state.instructions == "Be brief." and run.task == "Why?"
    assert run.state.cost is None and run.status == "paused" and str(run.state.messages[3].failure) == "internal: no right"
    assert [m.content for m in run.state.messages] == ["Why?", "", "full\n[image]", "no right", "Hurry."]
    assert [e.call.tool for e in run.fork(at=1).side_effects_after_cut] == ["restart"]


def test_it_goes_on_and_what_is_said_at_its_end_is_an_answer():
    mine = agent(call("look", host="db1"), "Clean it.")
    run = Run.from_messages([dict(role="user", content="Why?"), asks, told], mine)
    assert asyncio.run(run.wait()) == "Clean it." and run.to_messages()[:3] == [dict(role="user", content="Why?"), asks, told]
    done = taken([dict(role="user", content="Why?"), dict(role="assistant", content="Because.")])
    assert done.status == "done" and done.result == "Because."
    again = agent("Because.", "It said so.").store
    mine = agent("Because.", "It said so.", store=again)
    more = Run.from_messages([dict(role="user", content="Why?"), dict(role="assistant", content="Because.")], mine, run_id="r1")
    more.edit(added=(user("Really?"),))
    assert asyncio.run(more.wait()) == "It said so." and [m["content"] for m in more.to_messages()] == ["Why?", "Because.", "Really?", "It said so."]


def test_the_instructions_of_the_conversation_count_until_someone_changes_them():
    mine = agent("x", "done", instructions="Mine.")
    run = Run.from_messages([dict(role="system", content="Theirs."), dict(role="user", content="Why?")], mine, run_id="r1")
    run = mine.load("r1")
    asyncio.run(run.step())
    assert run.state.instructions == "Theirs." and "note" not in [s.kind for s in run.steps]
    bare = Run.from_messages([dict(role="user", content="Why?")], mine, run_id="r2")
    assert bare.to_messages() == [dict(role="user", content="Why?")]
    asyncio.run(bare.step())
    assert bare.to_messages()[0] == dict(role="system", content="Mine.")


def test_an_open_call_is_made_by_policy_or_asked_about():
    begin = [dict(role="user", content="Why?")]
    mine = agent(call("look", host="db1"), "Clean it.")
    run = Run.from_messages([*begin, asks], mine)
    assert asyncio.run(run.wait()) == "Clean it." and run.state.messages[2].content == "db1: disk full"
    wish = dict(role="assistant", content="", tool_calls=[dict(id="c9", type="function", function=dict(name="restart", arguments='{"service": "api"}'))])
    run = Run.from_messages([*begin, wish], agent(call("restart", service="api"), "Up."))
    KEPT.clear()
    with pytest.raises(RequestOpen, match=r"Did restart\(service='api'\) happen"): asyncio.run(run.wait())
    run.pending[0].answer("It is up.")
    assert asyncio.run(run.wait()) == "Up." and not KEPT
    gone = dict(role="assistant", content="", tool_calls=[dict(id="c9", type="function", function=dict(name="nuke", arguments="{}"))])
    run = Run.from_messages([*begin, gone], agent(call("look", host="x"), "Up."))
    assert asyncio.run(run.wait()) == "Up." and run.state.messages[2].failure.kind == "not_found"


def test_a_system_that_is_no_text():
    with pytest.raises(ValueError, match="^system holds a part of the type 'image'"): taken([dict(role="user", content="x")], system=[dict(type="image")])
    assert taken([dict(role="user", content="x")], system=[dict(type="text", text="Be brief.", cache_control={})]).state.instructions == "Be brief."


def test_one_of_two_results_is_there():
    run = taken([dict(role="user", content="Why?"), used, dict(role="user", content=[gave["content"][1]])])
    assert [c.call.tool for c in run.state.open_calls] == ["look"] and run.to_messages("anthropic")[2]["content"] == [gave["content"][1]]


def test_times_and_costs_that_are_told():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start, start + timedelta(hours=2), start + timedelta(hours=1)]
    run = taken([dict(role="user", content="Why?"), asks, told], at=times, cost=Decimal("0.02"))
    assert [s.at - start for s in run.steps] == [timedelta(0), timedelta(hours=2), timedelta(hours=2)] and run.state.cost == Decimal("0.02")
    with pytest.raises(ValueError, match="at holds 1 times for 3 messages"): taken([dict(role="user", content="Why?"), asks, told], at=times[:1])
    tight = Run.from_messages([dict(role="user", content="Why?"), asks, told], agent("a", "b", budget=Budget(usd=1)))
    with pytest.raises(RunStopped, match="unknown"): asyncio.run(tight.wait())


def test_objects_of_the_sdks():
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    reply = openai.types.chat.ChatCompletionMessage(role="assistant", content=None, tool_calls=[dict(id="c1", type="function",
        function=dict(name="look", arguments='{"host":"db1"}'))])
    run = taken([dict(role="user", content="Why?"), reply, told])
    assert run.to_messages() == [dict(role="user", content="Why?"), reply.model_dump(exclude_unset=True), told]
    asks_it = anthropic.types.ToolUseBlock(type="tool_use", id="t1", name="look", input=dict(host="db1"))
    blocks = [anthropic.types.TextBlock(type="text", text="I look."), asks_it]
    run = taken([dict(role="user", content="Why?"), dict(role="assistant", content=blocks)])
    assert run.to_messages("anthropic")[1]["content"] == [b.model_dump(exclude_unset=True) for b in blocks]


def test_images_cross_over():
    seen = dict(role="user", content=[dict(type="text", text="This?"), dict(type="image_url", image_url=dict(url="data:image/png;base64,AAAA"))])
    run = taken([seen])
    there = run.to_messages("anthropic")
    image = dict(type="image", source=dict(type="base64", media_type="image/png", data="AAAA"))
    assert there == [dict(role="user", content=[dict(type="text", text="This?"), image])]
    assert taken(there).to_messages("openai") == [seen]
    assert to_chat("gpt", run.state.messages)[0]["messages"] == [seen]
    assert to_responses("gpt", run.state.messages)[0]["input"][0]["content"][1] == dict(type="input_image", image_url="data:image/png;base64,AAAA")


def test_claude_gets_back_what_it_signed_and_no_foreign_marks():
    marked = [dict(role="user", content=[dict(type="text", text=str(i), cache_control={"type": "ephemeral"})]) for i in range(5)]
    unsigned = dict(role="assistant", content=[dict(type="thinking", thinking="Hm."), dict(type="text", text="So.")])
    run = taken([*marked, unsigned, dict(role="user", content="And?"), used, gave], "anthropic")
    sent = to_anthropic("claude", run.state.messages, [look.spec], cache=False)[0]["messages"]
    assert "cache_control" not in json.dumps(sent) and sent[1]["content"] == [dict(type="text", text="So.")]
    assert sent[3]["content"] == used["content"] and sent[4]["content"] == gave["content"]


def test_plain_texts_are_both_formats():
    plain = [dict(role="user", content=[dict(type="text", text="Why?")]), dict(role="assistant", content="Because.")]
    assert format_of(plain) == "openai" and taken(plain).to_messages("anthropic") == plain == taken(plain).to_messages("openai")


def test_own_runs_are_translated():
    mine = agent(call("look", host="db1"), "Clean it.", instructions="Be brief.")
    run = mine.run("Why?")
    asyncio.run(run.wait())
    out = run.to_messages()
    assert [m["role"] for m in out] == ["system", "user", "assistant", "tool", "assistant"] and out[3]["tool_call_id"] == out[2]["tool_calls"][0]["id"]
    there = run.to_messages("anthropic")
    assert [m["role"] for m in there] == ["user", "assistant", "user", "assistant"] and there[0] == dict(role="user", content="Why?")
    assert run.at(0).to_messages() == out[:2] and mine.run("x").to_messages() == []
    with pytest.raises(ValueError, match="no format 'gemini'"): run.to_messages("gemini")


def test_what_is_given_out_is_not_the_log():
    run = taken([dict(role="user", content="Why?"), asks, told])
    run.to_messages()[1]["tool_calls"].clear()
    assert run.to_messages()[1] == asks


BAD = [
    ([told], "message 0 answers the call 'c1'"), ([asks, told, told], "message 2 answers the call 'c1', which has its result already"),
    ([asks, dict(role="user", content="And?")], "message 1 follows a call of look that has no result. Add the result"),
    ([dict(role="user", content="x"), dict(role="wizard", content="y")], "message 1 has the role 'wizard'"),
    ([dict(role="user", content=[dict(type="hologram")])], "message 0 holds a part of the type 'hologram'"),
    ([dict(role="user", content=7)], "message 0 has a content that is neither text nor a list"),
    (["hello"], "message 0 is no object with a role"), ([dict(role="user", content="x", at=object())], "message 0 is not JSON: it holds a object"),
    ([dict(role="assistant", function_call=dict(name="x", arguments="{}"))], "message 0 has a `function_call`"),
    ([dict(role="assistant", tool_calls=[dict(id="c1", type="function", function=dict(arguments="{}"))])], r"message 0 has a call \(number 0\) without a name"),
    ([dict(role="assistant", tool_calls=[asks["tool_calls"][0]] * 2)], "message 0 has two calls with the same id"),
    ([dict(role="assistant", tool_calls=[dict(id=3, type="function", function=dict(name="x"))])], "message 0 has another shape than the format 'openai'"),
    ([used, dict(role="user", content=[dict(type="text", text="x"), gave["content"][0]])], "message 1 has a result after something else"),
    ([used, dict(role="user", content="no")], "message 1 follows a call of look, restart that has no result"),
    ([used, dict(role="system", content="no")], "message 1 has the role 'system'"), ([], "at least one message"), (dict(messages=[]), "at least one message"),
    ([dict(role="user", content="x"), dict(role="user", content=[dict(type="text", text="x"), dict(type="blob")])], "message 1 holds a part"),
]


@pytest.mark.parametrize("messages, text", BAD)
def test_bad_input_names_the_message_and_writes_nothing(messages, text):
    mine = agent()
    with pytest.raises(ValueError, match=text): Run.from_messages(messages, mine)
    assert mine.store.runs() == []


def test_a_run_that_is_there_is_not_overwritten(tmp_path):
    mine = agent(store=f"sqlite:///{tmp_path}/runs.db")
    Run.from_messages([dict(role="user", content="Why?")], mine, run_id="r1")
    again = [dict(role="user", content="What?"), asks]
    with pytest.raises(RunConflict, match="has a run r1 already. Nothing was written"): Run.from_messages(again, mine, run_id="r1")
    assert len(open_store(f"sqlite:///{tmp_path}/runs.db").read("r1")) == 1
