"""Models on the real wire: recordings, faults and prices, at the socket."""
import asyncio, json, time
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from cassettes import CASES, FOLDER, WAYS, client_for, play
from replay import Replay

from agentnb import Agent, Ask, Budget, Cached, Delta, Fallback, ModelError, Retry, Scripted, Tape, TapeMiss, call, tool, user
from agentnb.models.anthropic import Anthropic
from agentnb.models.chat import BodyBuilder, from_wire
from agentnb.wrappers.cost import Priced, price
from agentnb.core.messages import Message, Reply, Usage, assistant, result
from agentnb.models.openai import OpenAI
from agentnb.wrappers.providers import client
from agentnb.models.wire import Events


@pytest.mark.parametrize("way", WAYS, ids=lambda w: f"{'every 7 bytes' if w['chunk'] else 'every event'}, {'sync' if w['sync'] else 'async'}")
@pytest.mark.parametrize("path, index", CASES, ids=lambda v: v.stem if hasattr(v, "stem") else str(v))
def test_a_recording_is_read_as_expected(path, index, way):
    differs, _ = play(path, index, **way)
    assert not differs


# What the second request must carry

TURNS = [(p, i) for p, i in CASES if i and (p.parent.name, p.stem) not in {("openai_chat", "error_429_then_ok"), ("anthropic", "error_429_then_ok"),
    ("ollama_compat", "openrouter_429"), ("anthropic", "stream_tool_use_sonnet46"), ("anthropic", "count_tokens"), ("anthropic", "cache_write_read"),
    ("openai_responses", "cached_tokens"), ("ollama_compat", "groq_tool_use_failed")}]


# In two recordings the second request has other ids than the first reply; there ours must be those of the reply
FOREIGN_IDS = {("openai_responses", "tool_stream"): "call_kL0PCQV7M2WMoVX8V8OtYSAL", ("openai_chat", "text_stream_llm_gpt41mini"): "llm_version:0"}


def results_in(body):
    "Call ids and what was answered to them, as a recorded request has them, in all three formats"
    found = []
    for m in body.get("messages") or body.get("input") or []:
        if m.get("role") == "tool": found.append((m["tool_call_id"], m["content"]))
        if m.get("type") == "function_call_output": found.append((m["call_id"], m["output"]))
        for block in m.get("content") if isinstance(m.get("content"), list) else []:
            if block.get("type") == "tool_result": found.append((block["tool_use_id"], block["content"]))
    return [(i, c if isinstance(c, str) else "".join(p.get("text", "") for p in c)) for i, c in found]


def needed(body):
    "What a provider needs to see again: calls with ids, names and arguments, results, signed thoughts, reasoning items"
    kept = []
    for m in body.get("messages") or body.get("input") or []:
        for c in m.get("tool_calls") or []: kept.append(("call", c["id"], c["function"]["name"], json.loads(c["function"]["arguments"] or "{}")))
        if m.get("type") == "function_call": kept.append(("call", m["call_id"], m["name"], json.loads(m["arguments"])))
        if m.get("type") == "reasoning": kept.append(("reasoning", m["id"], m.get("encrypted_content")))
        for b in m.get("content") if isinstance(m.get("content"), list) else []:
            if b.get("type") == "tool_use": kept.append(("call", b["id"], b["name"], b["input"]))
            if b.get("type") == "thinking": kept.append(("thinking", b["thinking"], b["signature"]))
    return kept + [("result", *r) for r in results_in(body)]


@pytest.mark.parametrize("path, index", TURNS, ids=lambda v: v.stem if hasattr(v, "stem") else str(v))
def test_the_next_request_carries_what_the_provider_needs(path, index):
    doc = json.loads(path.read_text())
    recorded, messages = doc["interactions"][index]["request"]["json"], [user("go")]
    with Replay([i["response"] for i in doc["interactions"]]) as replay:
        model, given = client_for(path, doc["interactions"][0]["request"], replay.url), dict(results_in(recorded))
        said_before, foreign = results_in(recorded), (path.parent.name, path.stem) in FOREIGN_IDS
        for turn in range(index):
            reply = asyncio.run(model(messages, ask=Ask(on_delta=(lambda _: None) if doc["expected"][turn]["stream"] else None)))
            calls = list(reply.calls)
            if foreign: given = {c.id: r for c, (_, r) in zip(calls, said_before)}
            messages.append(Message(role="assistant", content=reply.content, calls=reply.calls, native=reply.native))
            messages += [result(c, given[c.id]) for c in calls]
            if not calls: messages.append(user("And then?"))
        asyncio.run(model(messages))
        sent, meant = needed(replay.requests[-1]), needed(recorded)
    if foreign:
        assert [s[1] for s in sent] == [FOREIGN_IDS[path.parent.name, path.stem]] * 2
        sent, meant = [(s[0], *s[2:]) for s in sent], [(m[0], *m[2:]) for m in meant]
    assert meant and sent == meant


# Faults

CHAT, CLAUDE = "openai_chat/tool_stream_single.json", "anthropic/thinking_stream.json"


def first(cassette): return json.loads((FOLDER/cassette).read_text())["interactions"][0]["response"]


def make(kind, url, **options):
    if kind is CLAUDE: return Anthropic("claude-x", "test-key", url, **options)
    return OpenAI("gpt-x", api="chat", key="test-key", url=f"{url}/v1", **options)


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("cassette", [CHAT, CLAUDE], ids=["chat", "anthropic"])
def test_a_dropped_stream_is_an_error_or_whole(cassette, tenth):
    answer = first(cassette)
    where = len(answer["body"].encode()) * tenth // 10
    said_all = b'"finish_reason":"tool_calls"' in answer["body"].encode()[:where].rpartition(b"\n\n")[0]
    with Replay([answer], drop_after=where) as replay:
        asked = make(cassette, replay.url)([user("hello")], ask=Ask(on_delta=lambda _: None))
        if said_all:   # only the count of tokens was lost
            reply = asyncio.run(asked)
            assert reply.calls[0].args == {"country": "UK"} and reply.usage.estimated and reply.usage.total
            return
        with pytest.raises(ModelError) as e: asyncio.run(asked)
    assert e.value.kind == "connection" and e.value.retryable
    assert e.value.usage.estimated == (e.value.usage.total > 0)
    if tenth > 2: assert e.value.usage.input and e.value.usage.output


def test_a_dropped_stream_is_asked_for_again_and_its_tokens_count():
    answer, heard = first(CHAT), []
    with Replay([answer], drop_after=len(answer["body"]) // 2) as replay:
        server = replay
        def mended(_): server.drop_after = None
        async def nap(_): mended(_)
        model = Retry(Priced(OpenAI("gpt-4o-mini", api="chat", key="k", url=f"{replay.url}/v1")), sleep=nap)
        reply = asyncio.run(model([user("hello")], ask=Ask(on_delta=heard.append)))
    assert reply.calls[0].args == {"country": "UK"} and reply.usage.requests == 2 and reply.usage.estimated
    assert reply.usage.total > 68 and "attempt 1 failed: connection" in reply.notes[0] and reply.cost > 0
    assert [d.kind for d in heard] == ["call", "restart", "call"]


OK = {"status": 200, "headers": {"content-type": "application/json"}, "json": {"choices": [{"message": {"content": "Fine."}, "finish_reason": "stop"}]}}


def failing(status, code="", headers=None, message="no"):
    return {"status": status, "headers": {"content-type": "application/json", **(headers or {})}, "json": {"error": {"code": code, "message": message}}}


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_failure_that_passes_is_tried_again(status):
    with Replay([failing(status), OK]) as replay:
        model = Retry(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), base=0.001)
        assert asyncio.run(model([user("hello")])).content == "Fine." and len(replay.requests) == 2


@pytest.mark.parametrize("status, code, kind", [(400, "", "invalid_request"), (401, "", "authentication"), (403, "", "authentication"),
    (404, "", "not_found"), (413, "", "context_exceeded"), (400, "context_length_exceeded", "context_exceeded"), (429, "insufficient_quota", "quota"),
    (402, "", "quota"), (400, "content_filter", "filtered"), (422, "", "invalid_request")])
def test_a_failure_that_stays_is_not(status, code, kind):
    with Replay([failing(status, code), OK]) as replay:
        model = Retry(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), base=0.001)
        with pytest.raises(ModelError) as e: asyncio.run(model([user("hello")]))
    assert e.value.kind == kind and len(replay.requests) == 1 and e.value.provider == "openai" and e.value.hint


@pytest.mark.parametrize("headers, least", [({"retry-after-ms": "1500"}, 1.5), ({"retry-after": "2"}, 2.0)])
def test_the_wait_is_the_providers(headers, least):
    slept = []
    async def nap(seconds): slept.append(seconds)
    with Replay([failing(429, headers=headers), OK]) as replay:
        asyncio.run(Retry(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), sleep=nap)([user("hello")]))
    assert least <= slept[0] < least + 1


def test_a_wait_longer_than_the_deadline_is_not_begun():
    with Replay([failing(429, headers={"retry-after": "50"}), OK]) as replay:
        model = Retry(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), seconds=5)
        began = time.monotonic()
        with pytest.raises(ModelError, match="rate limited"): asyncio.run(model([user("hello")]))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("fault", [dict(stall=30), dict(pause=5)], ids=["silent", "trickling"])
@pytest.mark.parametrize("cassette", [CHAT, CLAUDE], ids=["chat", "anthropic"])
def test_a_stall_ends_at_the_deadline(cassette, fault):
    with Replay([first(cassette)], **fault) as replay:
        began = time.monotonic()
        with pytest.raises(ModelError) as e: asyncio.run(make(cassette, replay.url, timeout=2)([user("hello")], ask=Ask(on_delta=lambda _: None)))
    assert e.value.kind == "timeout" and 1.5 < time.monotonic() - began < 25


def test_a_run_has_a_deadline_and_can_go_on():
    with Replay([OK], stall=30) as replay:
        agent = Agent(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), store="memory:", budget=Budget(seconds=1))
        run = agent.run("hello")
        step = asyncio.run(run.until())
        assert step.is_terminal and "budget of 1 s" in step.body.reason
        replay.stall = 0
        run.edit(budget=Budget(seconds=60))
        async def end(): return await run
        assert asyncio.run(end()) == "Fine."


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", "[]", '{"choices": [{"mess'])
def test_a_body_that_is_not_a_reply(body):
    for kind in ("application/json", "text/html", "text/event-stream"):
        answer = {"status": 200, "headers": {"content-type": kind}, "body": body}
        with Replay([answer]) as replay:
            with pytest.raises(ModelError) as e: asyncio.run(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1")([user("hello")]))
        assert e.value.kind in ("malformed", "connection")


def test_an_error_inside_a_stream():
    events = 'data: {"choices": [{"delta": {"content": "Del"}}]}\n\ndata: {"error": {"code": 502, "message": "upstream"}}\n\n'
    with Replay([{"status": 200, "headers": {"content-type": "text/event-stream"}, "body": events}]) as replay:
        with pytest.raises(ModelError) as e: asyncio.run(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1")([user("hello")]))
    assert e.value.kind == "overloaded" and e.value.retryable and e.value.status == 502
    events = 'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
    with Replay([{"status": 200, "headers": {"content-type": "text/event-stream"}, "body": events}]) as replay:
        with pytest.raises(ModelError) as e: asyncio.run(Anthropic("claude-x", "k", replay.url)([user("hello")]))
    assert e.value.kind == "overloaded" and e.value.retryable and e.value.status == 529


def test_no_step_is_lost_and_failed_calls_are_counted(tmp_path):
    with Replay([failing(500)] * 2 + [OK]) as replay:
        agent = Agent(OpenAI("gpt-x", api="chat", key="test-key-123", url=f"{replay.url}/v1"), store=f"sqlite:///{tmp_path}/r.db")
        run = agent.run("A secret plan that nobody should ever read in an error")
        for _ in range(2):
            with pytest.raises(ModelError): asyncio.run(run.until())
        asyncio.run(run.until())
    assert [s.kind for s in agent.load(run.run_id).steps] == ["started", "note", "note", "model", "finished"] and run.result == "Fine."


def test_no_key_and_no_prompt_in_an_error():
    prompt = "The launch code of the coffee machine is 12345678."
    echo = failing(400, message=f"Invalid prompt: '{prompt}' with key my-own-key-1")
    with Replay([echo]) as replay:
        model = OpenAI("gpt-x", api="chat", key="my-own-key-1", url=f"{replay.url}/v1")
        with pytest.raises(ModelError) as e: asyncio.run(model([user(prompt)]))
    for text in (str(e.value), repr(e.value), str(e.value.__dict__), repr(model)): assert "coffee" not in text and "my-own-key-1" not in text


def test_offline_means_offline(monkeypatch):
    monkeypatch.setenv("AGENTNB_OFFLINE", "1")
    for name in ("openai:gpt-5.5", "anthropic:claude-haiku-4-5", "groq:llama"):
        with pytest.raises(ModelError, match="AGENTNB_OFFLINE=1 forbids"): asyncio.run(client(name, key="k")([user("hello")]))


# Reading streams

@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6), st.integers(1, 9), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=200, deadline=None)
def test_events_are_the_same_wherever_the_stream_is_cut(texts, size, end):
    data = "".join(f": ping{end}data: {json.dumps({'t': t}, ensure_ascii=False)}{end}{end}" for t in texts).encode()
    events = Events()
    found = [e for i in range(0, len(data), size) for e in events.feed(data[i:i + size])] + events.feed(b"")
    assert [e["t"] for e in found] == texts


def gathered(*deltas, end=None):
    gather = BodyBuilder()
    for d in deltas: gather.feed({"choices": [{"delta": d}]})
    gather.feed(end)
    return gather


def piece(index, name=None, args=None, id=None): return {"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": args}}]}


@pytest.mark.parametrize("pieces, calls", [
    ([piece(0, "look", "", "a"), piece(0, "look", None), piece(0, "look", "{}")], [("look", {})]),
    ([piece(0, "look", None, "a")], [("look", {})]),
    ([piece(0, "look", "", ""), piece(0, None, '{"x":'), piece(0, None, "1}")], [("look", {"x": 1})]),
    ([piece(0, "look", "{}", "a"), piece(0, "act", "{}", "b")], [("look", {}), ("act", {})]),
    ([piece(None, "look", "{}", "a")], [("look", {})])])
def test_accents_of_streamed_calls(pieces, calls):
    gather = gathered(*pieces)
    reply = from_wire(gather.body)
    assert gather.complete and [(c.tool, c.args) for c in reply.calls] == calls and all(c.id for c in reply.calls)


def test_a_filtered_reply_has_no_message():
    with pytest.raises(ModelError) as e: from_wire({"choices": [{"message": None, "finish_reason": "content_filter"}]})
    assert e.value.kind == "filtered"


# In the loop

@tool(read_only=True)
def look(where: str) -> str:
    "Look somewhere"
    return f"nothing in {where}"


def test_broken_arguments_go_back_to_the_model_and_never_to_the_tool():
    broken = Reply(calls=(call("look").model_copy(update={"broken": '{"where": "ro'}),), model="m", cut=True)
    run = Agent(Scripted([broken, call("look", where="roof"), "Nothing."]), [look], store="memory:").run("look")
    asyncio.run(run.until())
    assert run.result == "Nothing." and [m.content for m in run.state.messages if m.tool and not m.failure] == ["nothing in roof"]
    assert "not a JSON object" in str(next(m.failure for m in run.state.messages if m.failure))


def test_a_mistake_that_groq_refuses_goes_back_to_the_model():
    with Replay("ollama_compat/groq_tool_use_failed.json") as replay:
        agent = Agent(OpenAI("openai/gpt-oss-120b", "groq", key="k", url=f"{replay.url}/v1"), [tool(read_only=True)(get_something_by_name)], store="memory:")
        run = agent.run("go")
        asyncio.run(run.until())
    assert run.state.status == "done" and run.steps[1].body.reply.malformed and "get_something_by_name" in replay.requests[1]["messages"][-1]["content"]


def get_something_by_name(name: str) -> str:
    "Get something"
    return f"Something with name: {name}"


def test_a_structured_result():
    from pydantic import BaseModel, Field

    class City(BaseModel):
        name: str
        people: int = Field(gt=0)

    said = ['{"name": "Paris"}', "Paris has two million people.", '{"name": "Paris", "people": 2100000}']
    run = Agent(Scripted(said), result=City, store="memory:").run("Which city?")
    asyncio.run(run.until())
    assert run.result == City(name="Paris", people=2100000) and len([s for s in run.steps if s.kind == "model"]) == 3
    assert "people: Field required" in run.steps[1].body.reply.malformed
    stuck = Agent(Scripted(lambda m, t: "no"), result=City, store="memory:").run("Which city?")
    asyncio.run(stuck.until())
    assert stuck.state.status == "stopped" and "5 replies in a row" in stuck.state.reason


def test_the_schema_of_a_result_is_one_that_providers_enforce():
    from pydantic import BaseModel, Field

    class Part(BaseModel):
        title: str = Field(default="", max_length=20)

    class Whole(BaseModel):
        title: str
        parts: list[Part] = []
        note: str | None = None

    class Free(BaseModel):
        counts: dict[str, int]

    for api, cassette in (("chat", "openai_chat/text_basic.json"), ("responses", "openai_responses/text_basic.json")):
        with Replay(cassette) as replay:
            for kind in (Whole, Free):
                asyncio.run(OpenAI("gpt-x", api=api, key="k", url=f"{replay.url}/v1")([user("go")], ask=Ask(answer=kind.model_json_schema())))
        whole, free = [r["response_format"]["json_schema"] if api == "chat" else r["text"]["format"] for r in replay.requests]
        assert whole["strict"] and whole["schema"]["required"] == ["title", "parts", "note"] and whole["schema"]["additionalProperties"] is False
        part = whole["schema"]["$defs"]["Part"]
        assert part["required"] == ["title"] and "maxLength: 20" in part["properties"]["title"]["description"]
        assert not free["strict"] and free["schema"] == Free.model_json_schema()
    with Replay("anthropic/text_basic.json") as replay:
        asyncio.run(Anthropic("claude-x", "k", replay.url)([user("go")], ask=Ask(answer=Whole.model_json_schema())))
    sent = replay.requests[0]["output_config"]["format"]["schema"]
    assert sent["required"] == ["title"] and sent["$defs"]["Part"]["additionalProperties"] is False


def test_a_thought_that_was_cut_off_is_not_sent_back():
    from agentnb.models.anthropic import from_wire as read_claude
    from agentnb.models.responses import from_wire as read_response
    cut = read_claude(dict(content=[dict(type="thinking", thinking="Let me", signature="")], stop_reason="max_tokens"))
    assert cut.cut and cut.native is None
    cut = read_response(dict(output=[dict(type="reasoning", id="rs_1", summary=[])], status="incomplete", incomplete_details=dict(reason="max_output_tokens")))
    assert cut.cut and cut.native is None


@pytest.mark.parametrize("status, message, kind", [
    (429, "Rate limit reached. Please try again in 7.66s. See https://console.groq.com/settings/billing", "rate_limited"),
    (400, "Invalid schema for function 'make_payment'", "invalid_request"), (400, "Your credit balance is too low", "quota")])
def test_words_do_not_mislead(status, message, kind):
    from agentnb.models.wire import to_error
    assert to_error(status, {"error": {"message": message, "type": "x"}}).kind == kind


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/A", "description": "x"}, {"type": "string", "format": "path"}, {}, {"type": "array"},
    {"type": "array", "items": {}}])
def test_what_strict_mode_refuses_is_not_strict(schema):
    from agentnb.models.chat import can_be_strict
    assert not can_be_strict(dict(type="object", properties=dict(x=schema), required=["x"], additionalProperties=False))


def test_native_turns_are_sent_so_that_claude_takes_them():
    from agentnb.models.anthropic import to_wire
    from agentnb.core.messages import Native
    thought, cut = dict(type="thinking", thinking="h", signature="S"), dict(type="tool_use", id="t", name="look", input='{"x": "lo')
    say = lambda *parts: to_wire("claude-x", [user("go"), assistant("").model_copy(update={"native": Native(format="anthropic", parts=parts)}), user("on")])[0]
    assert say(thought, cut)["messages"][1]["content"] == [thought, cut | {"input": {}}]
    assert [m["role"] for m in say(thought)["messages"]] == ["user"]


def test_a_call_has_an_id_and_an_answer_wherever_it_comes_from():
    seen = []
    def script(messages, tools):
        seen.append(list(messages))
        return "done"
    c = call("look", where="x")
    asyncio.run(Agent(Scripted(script), [look], examples=[user("a"), assistant("", c), result(c, "r")], store="memory:").run("go").until())
    assert seen[0][1].calls[0].id and seen[0][1].calls[0].id == seen[0][2].call_id
    first = Agent(Scripted([call("look", where="x"), "done"]), [look], store="memory:").run("go")
    asyncio.run(first.until(tool="look"))
    asyncio.run(Agent(Scripted(script), [look], store="memory:").run(first.state).until())
    assert seen[1][-1].call_id == seen[1][-2].calls[0].id and "not made" in seen[1][-1].failure.message


def test_what_was_used_before_the_deadline_of_a_run_is_counted():
    hang, tried = asyncio.Event, []

    class Slow:
        name = "slow"
        async def __call__(self, messages, tools=(), instructions="", ask=Ask()):
            tried.append(1)
            if len(tried) == 1: raise ModelError("overloaded", "busy", retryable=True, usage=Usage(input=5000, requests=1), cost=Decimal("0.5"))
            try:
                async with asyncio.timeout(ask.seconds): await hang().wait()
            except TimeoutError: raise ModelError("timeout", "late", retryable=True) from None

    run = Agent(Retry(Slow(), base=0.001), store="memory:", budget=Budget(seconds=0.5)).run("go")
    asyncio.run(run.until())
    assert run.state.status == "stopped" and run.state.usage.total == 5000 and run.state.cost == Decimal("0.5")


def test_a_result_type_that_changed():
    from pydantic import BaseModel

    class Old(BaseModel): name: str
    class New(BaseModel): number: int

    old = Agent(Scripted(['{"name": "Paris"}']), result=Old, store="memory:")
    run = old.run("go", run_id="r")
    asyncio.run(run.step())
    changed = Agent(Scripted(['{"name": "Paris"}', '{"number": 7}']), result=New, store=old.store).load("r").fork()
    assert asyncio.run(changed.wait()) == New(number=7)
    assert [s.body.text for s in changed.steps if s.kind == "note"] == ["answer"]
    asyncio.run(run.until())
    again = Agent(Scripted([]), result=New, store=old.store).load("r")
    assert "Paris" in repr(again)
    with pytest.raises(ValueError, match="is no New"): str(again.result)


def test_ids_of_another_provider_are_made_to_fit():
    from agentnb.models.anthropic import to_wire
    asked = call("look", where="x").model_copy(update=dict(id="functions.look:0"))
    turns = to_wire("claude-x", [user("go"), assistant("", asked), result(asked, "nothing")])[0]["messages"]
    assert turns[1]["content"][0]["id"] == turns[2]["content"][0]["tool_use_id"] == "functions_look_0"


def test_a_cut_text_is_not_an_answer():
    with Replay([{**OK, "json": {"choices": [{"message": {"content": "Delete the"}, "finish_reason": "length"}]}}, OK]) as replay:
        run = Agent(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), store="memory:").run("hello")
        asyncio.run(run.until())
    assert run.result == "Fine." and "cut at the limit" in run.steps[1].body.reply.malformed


def test_settings_a_model_does_not_take_are_left_out_and_said():
    with Replay("anthropic/text_basic.json") as replay:
        reply = asyncio.run(Anthropic("claude-opus-4-8", "k", replay.url)([user("hello")], ask=Ask(temperature=0.5)))
    assert "temperature" not in replay.requests[0] and reply.notes == ("temperature=0.5 was left out: Claude does not take it.",)


def test_what_can_be_cached_is_marked():
    spec = look.spec
    with Replay("anthropic/text_basic.json") as replay:
        asyncio.run(Anthropic("claude-opus-4-8", "k", replay.url)([user("hello"), assistant("hi"), user("go")], [spec], "Be brief."))
    sent = replay.requests[0]
    marked = [b for b in (*sent["tools"], *sent["system"], *(b for m in sent["messages"] for b in m["content"])) if "cache_control" in b]
    assert [m.get("name") or m["text"] for m in marked] == ["look", "Be brief.", "go"]


# Fallback, cache, tape

def test_the_next_model_answers():
    with Replay([failing(529)]) as down, Replay([OK]) as up:
        model = Fallback(OpenAI("a", api="chat", key="k", url=f"{down.url}/v1"), OpenAI("b", api="chat", key="k", url=f"{up.url}/v1"))
        reply = asyncio.run(model([user("hello")]))
    assert reply.content == "Fine." and "openai:a failed: overloaded" in reply.notes[0]


def test_a_cached_reply_survives_the_process(tmp_path):
    url, asked = f"sqlite:///{tmp_path}/runs.db", []
    said = Scripted(lambda m, t: asked.append(1) or "Fine.")
    for _ in range(2): reply = asyncio.run(Cached(said, url)([user("hello")]))
    assert len(asked) == 1 and reply.source == "cache" and reply.cost == 0 and reply.usage == Usage()
    asyncio.run(Cached(said, url)([user("hello")], ask=Ask(temperature=1)))
    assert len(asked) == 2


def test_tools_on_a_tape_do_not_act_again(tmp_path):
    acted = []

    @tool(idempotent=True)
    def act(what: str) -> str:
        "Act"
        acted.append(what)
        return f"done {len(acted)}"

    def run(mode):
        tape = Tape(tmp_path/"a.tape", mode)
        script = Scripted([[call("act", what="x"), call("act", what="x")], "Done."], name="m")
        done = Agent(tape(script if mode == "record" else "m"), [tape(act)], store="memory:", unattended="approve").run("go", run_id="r")
        async def end(): return await done
        asyncio.run(end())
        return [(m.role, m.content) for m in done.state.messages], [s.body.source for s in done.steps if s.kind == "tool"]

    recorded = run("record")
    assert run("replay") == recorded and acted == ["x", "x"] and recorded[1] == ["tape", "tape"]
    assert [c for r, c in recorded[0] if r == "tool"] == ["done 1", "done 2"]
    with pytest.raises(TapeMiss, match='"what": "y"'): asyncio.run(Tape(tmp_path/"a.tape", "replay")(act).run({"what": "y"}))


# Prices

def test_prices_agree_with_the_reference():
    "Each recorded reply that the price list can read, priced by its own reader of usage and by ours"
    import genai_prices
    flavours, compared = {"openai_chat": ("openai", "chat"), "openai_responses": ("openai", "responses"), "anthropic": ("anthropic", "default")}, 0
    for path, index in CASES:
        doc = json.loads(path.read_text())
        body = doc["interactions"][index]["response"].get("json") or {}
        if path.parent.name not in flavours or "usage" not in body: continue
        provider, flavour = flavours[path.parent.name]
        meant = genai_prices.extract_usage(body, provider_id=provider, api_flavor=flavour).calc_price().total_price
        with Replay([doc["interactions"][index]["response"]]) as replay:
            reply = asyncio.run(Priced(client_for(path, doc["interactions"][index]["request"], replay.url))([user("hello")]))
        assert reply.cost == meant or reply.usage.estimated and not meant, (path, index)
        compared += 1
    assert compared >= 40


def test_an_unknown_price_is_unknown():
    used = Usage(input=10, output=10)
    assert price("openai:no-such-model", used) is None and price("nobody:model", used) is None and price("ollama:qwen3", used) == 0
    assert price("mycorp:small-2026", used, prices={"mycorp:small": (Decimal(1), Decimal(2))}) == Decimal("0.00003")
    hour = Usage(input=1000, output=0, written=1000, other={"cache_write_1h_tokens": 1000, "cache_write_5m_tokens": 0})
    assert price("anthropic:claude-sonnet-4-5", hour) > price("anthropic:claude-sonnet-4-5", Usage(input=1000, written=1000))


def test_a_listener_hears_the_reply(tmp_path):
    heard = []
    with Replay(CHAT) as replay:
        run = Agent(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), [tool(read_only=True)(get_capital)], store="memory:").run("go")
        run.listeners.append(heard.append)
        asyncio.run(run.until())
    assert heard[0] == Delta("call", "get_capital") and "".join(d.text for d in heard[1:]) == run.result == "The capital of the UK is London."


def get_capital(country: str) -> str:
    "The capital of a country"
    return "London"


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from("choices message content tool_calls function arguments usage output type error id name delta index".split()),
    inner, max_size=4), max_leaves=12)


@given(st.dictionaries(st.sampled_from(["choices", "content", "output", "message", "usage", "error", "done"]), JSON, max_size=4), st.sampled_from(range(4)))
@settings(max_examples=150, deadline=None)
def test_any_json_is_a_reply_or_a_typed_error(body, which):
    from agentnb.models.ollama import Ollama
    url = "http://127.0.0.1:9"
    made = [OpenAI("m", api="chat", url=url), OpenAI("m", url=url), Anthropic("m", "k", url), Ollama("m")][which]
    async def send(form, request, ask): return body, "req_1"
    made.send = send
    try: assert isinstance(asyncio.run(made([user("hello")])), Reply)
    except ModelError as e: assert e.model == made.name


@given(st.lists(st.dictionaries(st.sampled_from("type choices delta index message content_block response item error usage done".split()),
    JSON | st.sampled_from(["content_block_delta", "message_start", "response.completed", "text_delta"]), max_size=4), max_size=4), st.sampled_from(range(4)))
@settings(max_examples=60, deadline=None)
def test_any_stream_is_a_reply_or_a_typed_error(events, which):
    lines = which == 3
    text = "".join(json.dumps(e) + "\n" if lines else f"data: {json.dumps(e)}\n\n" for e in events)
    kind = "application/x-ndjson" if lines else "text/event-stream"
    from agentnb.models.ollama import Ollama
    with Replay([dict(status=200, headers={"content-type": kind}, body=text)]) as replay:
        url = f"{replay.url}/v1"
        openai = [OpenAI("m", api=api, key="k", url=url) for api in ("chat", "responses")]
        made = [*openai, Anthropic("m", "k", replay.url), Ollama("m", replay.url)][which]
        try: assert isinstance(asyncio.run(made([user("hello")])), Reply)
        except ModelError as e: assert e.model == made.name


# Found by review

def test_a_call_cut_at_the_limit_is_not_made():
    done = []

    @tool(read_only=True)
    def wipe(folder: str = ".") -> str:
        "Wipe"
        done.append(folder)
        return "wiped"

    message = dict(tool_calls=[dict(id="a", function=dict(name="wipe", arguments=""))])
    with Replay([{**OK, "json": dict(choices=[dict(message=message, finish_reason="length")])}, OK]) as replay:
        run = Agent(OpenAI("gpt-x", api="chat", key="k", url=f"{replay.url}/v1"), [wipe], store="memory:").run("go")
        asyncio.run(run.until())
    assert done == [] and run.result == "Fine."


@pytest.mark.parametrize("api, body", [("chat", dict(choices=[dict(message=dict(content="Half"), finish_reason="insufficient_system_resource")])),
    ("chat", dict(choices=[dict(message=dict(content="Half"), finish_reason="error", error=dict(code=502, message="upstream"))])),
    ("responses", dict(status="cancelled", output=[dict(type="message", content=[dict(type="output_text", text="Half")])]))])
def test_a_reply_that_was_broken_off_is_an_error(api, body):
    with Replay([{**OK, "json": body}]) as replay:
        with pytest.raises(ModelError) as e: asyncio.run(OpenAI("m", api=api, key="k", url=f"{replay.url}/v1")([user("go")]))
    assert e.value.kind == "overloaded" and e.value.retryable


@pytest.mark.parametrize("code, kind, again", [("context_length_exceeded", "context_exceeded", False), ("invalid_prompt", "invalid_request", False),
    ("429", "rate_limited", True), ("server_error", "overloaded", True)])
def test_an_error_inside_a_stream_has_its_own_kind(code, kind, again):
    events = f'event: error\ndata: {json.dumps(dict(type="error", code=code, message="no"))}\n\n'
    with Replay([dict(status=200, headers={"content-type": "text/event-stream"}, body=events)]) as replay:
        with pytest.raises(ModelError) as e: asyncio.run(OpenAI("m", key="k", url=f"{replay.url}/v1")([user("go")]))
    assert (e.value.kind, e.value.retryable) == (kind, again)


@pytest.mark.parametrize("prompt", ["name: Bob Smith\npin: 4711\niban: DE1234567890\nmood: grim", "The launch code is 12345678. " + "x" * 30_000])
def test_a_prompt_of_any_shape_stays_out_of_errors(prompt):
    with Replay([failing(400, message=f"{'y' * 282}my-own-long-key-abcdef Invalid: {prompt[:80]}")]) as replay:
        with pytest.raises(ModelError) as e: asyncio.run(OpenAI("m", key="my-own-long-key-abcdef", url=f"{replay.url}/v1")([user("go")], instructions=prompt))
    assert not [part for part in ("my-own", "4711", "Bob", "launch code") if part in str(e.value)]


def test_an_address_with_a_password_is_not_shown():
    model = OpenAI("m", api="chat", key="k", url="http://bob:hunter2pw@127.0.0.1:9/v1")
    with pytest.raises(ModelError) as e: asyncio.run(model([user("go")]))
    assert "hunter2pw" not in str(e.value) + repr(model)


def test_a_redirect_is_not_followed():
    with Replay([OK]) as other, Replay([dict(status=307, headers={"location": f"{other.url}/v1/chat/completions"}, body="")]) as replay:
        with pytest.raises(ModelError): asyncio.run(OpenAI("m", api="chat", key="k", url=f"{replay.url}/v1")([user("go")]))
        assert not other.requests


def test_the_cost_of_an_unpriced_failure_is_unknown():
    body = dict(choices=[dict(message=dict(refusal="no"))], usage=dict(prompt_tokens=1000, completion_tokens=5))
    with Replay([{**OK, "json": body}]) as replay:
        run = Agent(OpenAI("no-such-model", api="chat", key="k", url=f"{replay.url}/v1"), store="memory:").run("go")
        with pytest.raises(ModelError, match="refused"): asyncio.run(run.until())
    assert run.state.usage.total == 1005 and run.state.cost is None


def test_caches_of_differently_made_clients_are_apart():
    with Replay([OK]) as replay:
        store = Agent(Scripted([]), store="memory:").store
        for heat in (0, 1, 1): asyncio.run(Cached(OpenAI("m", api="chat", key="k", url=f"{replay.url}/v1", temperature=heat), store)([user("go")]))
        assert len(replay.requests) == 2


def test_an_edited_turn_is_sent_as_edited():
    from agentnb.core.messages import Native
    native = Native(format="anthropic", parts=(dict(type="text", text="The password is X"), dict(type="text", text="!")))
    run = Agent(Scripted([Reply(content="The password is X!", native=native), "ok"]), store="memory:").run("go")
    asyncio.run(run.until())
    first, said = run.state.messages
    run.edit(messages=[first, said.model_copy(update={"content": "[removed]"}), user("on")])
    assert run.state.messages[1].native is None


def test_the_settings_of_an_agent_reach_its_model():
    asked = []

    class Ear:
        name = "ear"
        async def __call__(self, messages, tools=(), instructions="", ask=Ask()):
            asked.append(ask)
            return Reply(content="ok")

    asyncio.run(Agent(Ear(), store="memory:", ask=Ask(seconds=5, max_tokens=3, temperature=0.5), budget=Budget(seconds=60)).run("go").until())
    assert (asked[0].seconds, asked[0].max_tokens, asked[0].temperature) == (5, 3, 0.5)


def test_a_fallback_keeps_one_deadline():
    with Replay([OK], stall=30) as replay:
        slow = [OpenAI(n, api="chat", key="k", url=f"{replay.url}/v1") for n in "abcdefgh"]
        began = time.monotonic()
        with pytest.raises(ModelError): asyncio.run(Fallback(*slow)([user("go")], ask=Ask(seconds=1)))
    assert time.monotonic() - began < 6


def test_a_run_that_met_a_secret_can_be_played(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_APP_KEY", "-----BEGIN\npässwörter1\nEND")

    @tool(read_only=True)
    def env() -> str:
        "Show"
        return "token sk-abc123456789012345678 and -----BEGIN\npässwörter1\nEND"

    def run(mode):
        tape = Tape(tmp_path/"a.tape", mode)
        made = Agent(tape(Scripted([call("env"), "Done"], name="m")), [tape(env)], store="memory:").run("go", run_id="r")
        asyncio.run(made.until())
        return made.result

    assert run("record") == run("replay") == "Done"
    text = (tmp_path/"a.tape").read_text()
    assert "sk-abc" not in text and "BEGIN" not in text and "wörter" not in text
