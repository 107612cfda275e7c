"""Calls in every form that servers and small models give them, and what goes back of them."""
import asyncio, json, re

import pytest
from hypothesis import given, settings, strategies as st

from agentnb import Agent, ModelError, Reply, Scripted, tool, user
from agentnb.core.calls import calls_in_text, fit_name
from agentnb.core.messages import Ask, Call, Message, Native, ToolSpec, assistant, result
from agentnb.core.shape import read_inner_json
from agentnb.models import anthropic, chat, ollama, responses
from agentnb.models.openai import DIALECTS, OpenAI
from agentnb.models.protocol import as_model

TOOLS = [ToolSpec(name="look", parameters=dict(type="object", properties={"at": {"type": "string"}, "ids": {"type": "array", "items": {"type": "integer"}}})),
    ToolSpec(name="move")]


def completion(finish="stop", **message): return dict(id="r1", model="m", choices=[dict(message=message, finish_reason=finish)], usage=None)
def called(reply): return [(c.tool, c.args) for c in reply.calls]


@pytest.mark.parametrize("text,before", [
    ('```tool_call\n{"name": "look", "arguments": {"at": "x"}}\n```', ""), ('I look.\n\n```\n{"tool": "look", "args": {"at": "x"}}\n```\n', "I look."),
    ('{"type": "function", "function": {"name": "look", "arguments": "{\\"at\\": \\"x\\"}"}}', ""),
        ('[TOOL_CALLS] [{"name": "look", "arguments": {"at": "x"}}]', ""),
    ('<|python_tag|>{"name": "look", "parameters": {"at": "x"}}<|eom_id|>', ""), ('Sure. {"name": "look", "arguments": {"at": "x"}}', "Sure."),
    ("<tool_call>\n<function=look>\n<parameter=at>\nx\n</parameter>\n</function>\n</tool_call>", ""),
        ('<function_call>{"name": "look", "arguments": {"at": "x"}}', "")])
def test_a_call_in_the_text_is_a_call(text, before):
    replies = [chat.from_wire(completion(content=text), TOOLS), ollama.from_wire(dict(message=dict(content=text), done=True), TOOLS),
        responses.from_wire(dict(output=[dict(type="message", content=[dict(type="output_text", text=text)])]), TOOLS),
        anthropic.from_wire(dict(content=[dict(type="text", text=text)]), TOOLS)]
    for reply in replies: assert called(reply) == [("look", {"at": "x"})] and reply.content == before and reply.native is None


def test_several_calls_in_one_text():
    text = '{"name": "look", "arguments": {"at": "x"}}\n{"name": "move", "arguments": {}}'
    for said in (text, f"[{text.replace(chr(10), ', ')}]", "".join(f"<tool_call>{line}</tool_call>" for line in text.splitlines())):
        reply = chat.from_wire(completion(content=said), TOOLS)
        assert called(reply) == [("look", {"at": "x"}), ("move", {})] and len({c.id for c in reply.calls}) == 2


@pytest.mark.parametrize("text", ['{"name": "Ann", "arguments": {}}', '{"name": "look"}', '{"name": "look", "arguments": {}, "price": 3}',
    '{"name": "look", "arguments": [1]}', "look",
    'Write:\n```json\n{"name": "look", "arguments": {}}\n```\nThat is all.',
        '```json\n{"name": "look", "arguments": {}}\n```\n```json\n{"a": 1}\n```', '[{"name": "look", "arguments": {}}, 1]'])
def test_an_answer_is_left_alone(text):
    reply = chat.from_wire(completion(content=text), TOOLS)
    assert reply.content == text and not reply.calls and not reply.malformed
    assert not chat.from_wire(completion(content='{"name": "look", "arguments": {}}')).calls


def test_a_typed_answer_that_looks_like_a_call_is_an_answer():
    text, shape = '{"name": "look", "arguments": {"at": "x"}}', dict(type="object", properties=dict(name={"type": "string"}, arguments={"type": "object"}))
    assert not chat.from_wire(completion(content=text), TOOLS, Ask(answer=shape)).calls
    assert chat.from_wire(completion(content=text), TOOLS, Ask(answer=dict(type="object", properties=dict(age={"type": "integer"})))).calls


@pytest.mark.parametrize("text", ['<tool_call>{"name": "loo', '<tool_call>{"name": "fly", "arguments": {}}</tool_call>', "[TOOL_CALLS] look"])
def test_a_call_that_cannot_be_made_is_told(text):
    reply = chat.from_wire(completion(content=text), TOOLS)
    assert not reply.calls and "Call one of look, move" in reply.malformed


@pytest.mark.parametrize("body,words", [
    (completion("tool_calls", content=None), "finish_reason 'tool_calls'"), (completion("tool_calls", tool_calls=[dict(id="a", function={})]),
        "a call without a name"),
    (completion(content=None, audio=dict(id="a")), "'audio'"), (completion(content=[dict(type="image_url", image_url={})]), "a part of type 'image_url'")])
def test_what_is_no_answer_is_named_in_chat(body, words):
    with pytest.raises(ModelError) as e: chat.from_wire(body, TOOLS)
    assert e.value.kind == "malformed" and words in str(e.value) and words in e.value.feedback and "Call one of look, move" in e.value.feedback


def test_what_is_no_answer_is_named_elsewhere():
    for item in (dict(type="mcp_approval_request", name="look", arguments="{}"), dict(type="computer_call"), dict(type="invented")):
        with pytest.raises(ModelError, match=item["type"]): responses.from_wire(dict(output=[item]), TOOLS)
    for body in (dict(content=[], stop_reason="tool_use"), dict(content=[dict(type="server_tool_use", name="x")])):
        with pytest.raises(ModelError, match="tool_use"): anthropic.from_wire(body, TOOLS)


def test_thoughts_alone_are_kept_and_told():
    thought = [chat.from_wire(completion(content="", reasoning_content="hm")), ollama.from_wire(dict(message=dict(thinking="hm"), done=True)),
        responses.from_wire(dict(output=[dict(type="reasoning", summary=[dict(text="hm")])])),
        anthropic.from_wire(dict(content=[dict(type="thinking", thinking="hm", signature="s")], stop_reason="end_turn"))]
    for reply in thought: assert reply.thinking == "hm" and "thoughts alone" in reply.malformed and reply.native is None
    assert chat.from_wire(completion("length", content="", reasoning_content="hm")).malformed == ""
    assert "it is empty" in anthropic.from_wire(dict(content=[], stop_reason="end_turn")).malformed


def test_the_older_form_and_a_custom_call_are_calls():
    assert called(chat.from_wire(completion("function_call", function_call=dict(name="look", arguments='{"at": "x"}')), TOOLS)) == [("look", {"at": "x"})]
    custom = chat.from_wire(completion(tool_calls=[dict(id="a", type="custom", custom=dict(name="look", input="x"))]), TOOLS).calls[0]
    item = responses.from_wire(dict(output=[dict(type="custom_tool_call", call_id="a", name="look", input="x")]), TOOLS)
    assert custom == item.calls[0] == Call(id="a", tool="look", broken="x") and item.native is None


NAMES = ["", "functions.look", "look up", "l" * 80, "l" * 81, "schön", "看", "look<|channel|>json", "a.b", "a:b"]


def test_invented_names_are_sent_as_others():
    fit = [fit_name(n) for n in NAMES]
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", n) for n in fit) and len(set(fit)) == len(NAMES) and fit_name("look-up_2") == "look-up_2"
    for name in NAMES:
        c = Call(id="c1", tool=name)
        turns = [user("go"), assistant("", c), result(c, "none")]
        sent = ollama.to_wire("m", turns)[0]["messages"]
        assert sent[1]["tool_calls"][0]["function"]["name"] == sent[2]["tool_name"] == fit_name(name)
        assert chat.to_wire("m", turns)[0]["messages"][1]["tool_calls"][0]["function"]["name"] == fit_name(name)
        assert responses.to_wire("m", turns)[0]["input"][1]["name"] == fit_name(name)
        assert anthropic.to_wire("m", turns)[0]["messages"][1]["content"][0]["name"] == fit_name(name)


def test_a_turn_that_goes_back_as_it_came_has_fit_names_too():
    claude = anthropic.from_wire(dict(content=[dict(type="thinking", thinking="hm", signature="s"),
        dict(type="tool_use", id="a.1", name="f.look", input={})]), TOOLS)
    turn = Message(role="assistant", calls=claude.calls, native=claude.native)
    assert anthropic.to_wire("m", [user("go"), turn])[0]["messages"][1]["content"][1] == dict(type="tool_use", id="a_1", name=fit_name("f.look"), input={})
    items = [dict(type="reasoning", id="r", encrypted_content="x"), dict(type="function_call", call_id="a", name="f.look", arguments="{}")]
    said = responses.from_wire(dict(model="served", output=items), TOOLS, asked="gpt-x")
    sent = responses.to_wire("gpt-x", [Message(role="assistant", calls=said.calls, native=said.native)])[0]["input"]
    assert [i["type"] for i in sent] == ["reasoning", "function_call"] and sent[1]["name"] == fit_name("f.look") and said.calls[0].tool == "f.look"


def test_reasoning_goes_back_to_who_was_asked_and_to_no_other():
    beside = dict(google=dict(thought_signature="SIG"))
    calls = [dict(id="a", function=dict(name="look", arguments="{}"), extra_content=beside), dict(id="b", function=dict(name="move", arguments="{}"))]
    model = OpenAI("alias", "proxy", url="http://127.0.0.1:9/v1")
    reply = model.wire_format.from_wire(completion(tool_calls=calls, reasoning_content="hm", reasoning_details=[dict(type="x")]), TOOLS, Ask())
    turn = Message(role="assistant", calls=reply.calls, native=reply.native)
    sent, other = (model.wire_format.to_wire(name, [turn])[0]["messages"][0] for name in ("alias", "another"))
    assert sent["tool_calls"][0]["extra_content"] == beside and "extra_content" not in sent["tool_calls"][1]
    assert sent["reasoning_content"] == "hm" and sent["reasoning_details"] == [dict(type="x")]
    assert "SIG" not in json.dumps(other) and "hm" not in json.dumps(other)


@pytest.mark.parametrize("server", ["llamacpp", "vllm", "lmstudio", "groq", "my-own"])
def test_a_typed_answer_is_asked_for_in_words_beside_tools(server):
    ask = Ask(answer=dict(type="object", properties=dict(age={"type": "integer"})))
    said, alone = (chat.to_wire("m", [user("go")], tools, "Be brief.", ask, DIALECTS.get(server, chat.Dialect()))[0] for tools in (TOOLS, ()))
    assert "response_format" not in said and '"age"' in said["messages"][0]["content"] and "response_format" in alone
    assert "response_format" in chat.to_wire("m", [user("go")], TOOLS, "", ask, DIALECTS["openai"])[0]
    local = ollama.to_wire("m", [user("go")], TOOLS, "Be brief.", ask)[0]
    assert "format" not in local and '"age"' in local["messages"][0]["content"] and "format" in ollama.to_wire("m", [user("go")], (), "", ask)[0]


NESTED = {"type": "object", "$defs": {"Slot": {"type": "object", "properties": {"day": {"type": "string"},
    "tags": {"type": "array", "items": {"type": "string"}}}}},
    "properties": {"slot": {"$ref": "#/$defs/Slot"}, "slots": {"type": "array", "items": {"$ref": "#/$defs/Slot"}},
        "maybe": {"anyOf": [{"$ref": "#/$defs/Slot"}, {"type": "null"}]},
        "either": {"anyOf": [{"type": "string"}, {"type": "object"}]},
            "by_day": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Slot"}}, "text": {"type": "string"}, "any": {}}}


@pytest.mark.parametrize("sent,read", [
    ({"slot": '{"day": "mon", "tags": "[\\"a\\"]"}'}, {"slot": {"day": "mon", "tags": ["a"]}}), ({"slots": ['{"day": "mon"}']}, {"slots": [{"day": "mon"}]}),
    ({"maybe": '{"day": "1"}'}, {"maybe": {"day": "1"}}), ({"by_day": '{"mon": "{\\"tags\\": []}"}'}, {"by_day": {"mon": {"tags": []}}}),
    *(({k: '{"day": 1}'}, {k: '{"day": 1}'}) for k in ("either", "text", "any", "unknown")), ({"slot": "mon"}, {"slot": "mon"}), ({"slot": "[1]"},
        {"slot": "[1]"}),
    ({"slot": {"day": '["a"]'}}, {"slot": {"day": '["a"]'}}), ({"slot": "[" * 5000}, {"slot": "[" * 5000})])
def test_objects_and_lists_sent_as_text_are_read_where_they_are_wanted(sent, read):
    assert read_inner_json(sent, NESTED) == read


def test_arguments_are_read_so_for_every_interface():
    arguments, tools = {"ids": "[1, 2]", "at": "[1]"}, TOOLS
    replies = [chat.from_wire(completion(tool_calls=[dict(id="a", function=dict(name="look", arguments=json.dumps(arguments)))]), tools),
        responses.from_wire(dict(output=[dict(type="function_call", call_id="a", name="look", arguments=json.dumps(arguments))]), tools),
        anthropic.from_wire(dict(content=[dict(type="tool_use", id="a", name="look", input=arguments)]), tools),
        ollama.from_wire(dict(message=dict(tool_calls=[dict(function=dict(name="look", arguments=arguments))])), tools),
        chat.from_wire(completion(content=json.dumps(dict(name="look", arguments=arguments))), tools)]
    for reply in replies: assert called(reply) == [("look", {"ids": [1, 2], "at": "[1]"})]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["name", "arguments", "function", "type", "content", "at", "ids", "input"]) | st.text(max_size=3), inner, max_size=3), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(JSON, st.sampled_from(["{}", "x{}", "```json\n{}\n```", "<tool_call>{}</tool_call>", "[TOOL_CALLS]{}"]))
def test_any_text_is_words_or_calls_of_offered_tools(value, frame):
    text = frame.replace("{}", json.dumps(value))
    said, calls = calls_in_text(text, TOOLS)
    assert {c.tool for c in calls} <= {"look", "move"} and (calls or said == text)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_any_list_of_calls_is_read(value):
    read = chat.read_calls(value if isinstance(value, list) else [value], TOOLS)
    assert all(c.tool and c.id for c in read.calls) and len(read.calls) == len(read.beside)


@pytest.mark.parametrize("text", ["<tool_call>" + " " * 300_000 + "x", "```\n" + " " * 300_000 + "x```", "\n" * 300_000 + "{", '{"' * 150_000, "[" * 300_000])
def test_a_long_text_is_searched_once(text):
    import time
    began = time.process_time()
    assert calls_in_text(text, TOOLS)[1] == []
    assert time.process_time() - began < 1


def turn_of(reply, *ids):
    calls = [c.model_copy(update={"id": i}) for c, i in zip(reply.calls, ids)]
    return Message(role="assistant", content=reply.content, calls=tuple(calls), native=reply.native)


def test_a_server_that_always_says_the_same_id_keeps_its_reasoning():
    def thought(n): return Reply(thinking="hm", calls=(Call(id="call_0", tool="look", args={"n": n}),), native=Native(format="chat", model="m",
        parts=(dict(reasoning_content=f"thought {n}"),)))

    @tool(read_only=True)
    def look(n: int) -> str: return str(n)
    run = Agent(Scripted([thought(0), thought(1), "done"]), [look], store="memory:").run("go")
    asyncio.run(run.until())
    sent = [t for t in chat.to_wire("m", run.state.messages)[0]["messages"] if t.get("tool_calls")]
    assert [t["reasoning_content"] for t in sent] == ["thought 0", "thought 1"]
    assert sent[0]["tool_calls"][0]["id"] != sent[1]["tool_calls"][0]["id"]


def test_ids_in_what_goes_back_are_those_of_the_log():
    details = [dict(type="reasoning.encrypted", data=d, id="call_0") for d in "AB"] + [dict(type="reasoning.text", text="hm"), "odd"]
    twice = [dict(id="call_0", function=dict(name="look", arguments="{}"))] * 2
    reply = chat.from_wire(completion(tool_calls=twice, reasoning_details=details), TOOLS, asked="m")
    sent = chat.to_wire("m", [turn_of(reply, "c1.0", "c1.1")])[0]["messages"][0]
    assert [c["id"] for c in sent["tool_calls"]] == ["c1.0", "c1.1"] and [d.get("id") for d in sent["reasoning_details"][:3]] == ["c1.0", "c1.1", None]
    claude = anthropic.from_wire(dict(content=[dict(type="thinking", thinking="hm", signature="s"), dict(type="tool_use", id="call_0", name="look", input={}),
        dict(type="tool_use", id="x", name="", input={})]), TOOLS)
    blocks = anthropic.to_wire("c", [user("go"), turn_of(claude, "c1.0")])[0]["messages"][1]["content"]
    assert [b.get("id") for b in blocks] == [None, "c1_0"]
    items = [dict(type="reasoning", id="r", encrypted_content="x"), dict(type="function_call", id="fc_1", call_id="call_0", name="look", arguments="{}")]
    said = responses.from_wire(dict(output=items), TOOLS, asked="gpt-5")
    assert responses.to_wire("gpt-5", [turn_of(said, "c1.0")])[0]["input"][1] == items[1] | {"call_id": "c1.0"}


def test_what_stands_beside_a_streamed_message_goes_back():
    builder = chat.BodyBuilder()
    for google in (dict(thought=True), dict(thought_signature="SIG")):
        builder.feed(dict(choices=[dict(delta=dict(content="a", extra_content=dict(google=google)))]))
    for text in ("I ", "see."): builder.feed(dict(choices=[dict(delta=dict(reasoning_details=[dict(type="reasoning.text", index=0, text=text)]))]))
    builder.feed(dict(choices=[dict(delta=dict(reasoning_details=[dict(type="reasoning.text", index=0, text="", signature="S")]), finish_reason="stop")]))
    kept = chat.from_wire(builder.body, TOOLS, asked="m").native.parts[0]
    assert kept["extra_content"] == dict(google=dict(thought=True, thought_signature="SIG"))
    assert kept["reasoning_details"] == [dict(type="reasoning.text", index=0, text="I see.", signature="S")]


def test_parameters_of_any_name_are_offered_to_claude_and_read_back():
    named = ToolSpec(name="look", parameters=dict(type="object", properties={"größe": {}, "$top": {}, "a.b": {}}, required=["größe"]))
    shape = anthropic.to_wire("c", [user("go")], [named])[0]["tools"][0]["input_schema"]
    assert all(re.fullmatch("[a-zA-Z0-9_.-]{1,64}", k) for k in shape["properties"])
    assert shape["required"][0] in shape["properties"] and "a.b" in shape["properties"]
    args = {k: i for i, k in enumerate(named.parameters["properties"])}
    assert list(anthropic.to_wire("c", [user("go"), assistant("", Call(id="a", tool="look", args=args))])[0]["messages"][1]["content"][0]["input"]) \
        == list(shape["properties"])
    block = dict(type="tool_use", id="a", name="look", input=dict(zip(shape["properties"], range(3))))
    assert anthropic.from_wire(dict(content=[block]), [named]).calls[0].args == args


def test_mistral_is_given_the_ids_and_the_turns_that_it_takes():
    c = Call(id="c3.0", tool="look")
    sent = chat.to_wire("m", [user("go"), assistant(""), assistant("", c), result(c, "x")], dialect=DIALECTS["mistral"])[0]["messages"]
    assert [t["role"] for t in sent] == ["user", "assistant", "tool"] and sent[1]["content"] == ""
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] and re.fullmatch("[a-zA-Z0-9]{9}", sent[2]["tool_call_id"])


@pytest.mark.parametrize("error, kind", [(ConnectionResetError(104, "reset"), "connection"), (TimeoutError(), "timeout"), (KeyError("x"), None)])
def test_a_function_that_is_a_model_says_what_broke(error, kind):
    async def mine(messages, tools=(), instructions="", ask=Ask()): raise error
    with pytest.raises(ModelError if kind else KeyError) as e: asyncio.run(as_model(mine)([user("go")]))
    if kind: assert e.value.kind == kind and e.value.retryable


@pytest.mark.parametrize("text", ['~~~json\n{"name": "look", "arguments": {"at": "x"}}\n~~~',
    '{"tool_calls": [{"function": {"name": "look", "arguments": {"at": "x"}}}]}',
    '<TOOL_CALL>{"name": "look", "arguments": {"at": "x"}}</TOOL_CALL>'])
def test_a_call_in_another_wrapping_is_a_call(text):
    assert [tuple(c) for c in calls_in_text(text, TOOLS)[1]] == [("look", {"at": "x"})]


@pytest.mark.parametrize("odd", [dict(id=7), dict(model={"a": 1}), dict(id=None, model=None), dict(choices=[dict(message=dict(content="ok"), logprobs="x")])])
def test_an_odd_name_beside_a_good_reply_costs_nothing(odd):
    assert chat.from_wire(completion(content="ok") | odd).content == "ok"
    part = dict(type="output_text", text="ok", logprobs=[None, dict(token="o", logprob=None)])
    assert responses.from_wire(dict(output=[dict(type="message", content=[part])]) | {k: v for k, v in odd.items() if k != "choices"}).content == "ok"
