"""The embedded model, for real: no script and no recording in this file."""
import asyncio

import pytest
from places import ROOT

from agentnb import ModelError, user
from agentnb.models.embedded import fetch_weights, serve
from agentnb.models.local import Local, find_endpoint, from_wire, to_wire
from agentnb.core.messages import Ask, ToolSpec

SEARCH = ToolSpec(name="search", description="Search the manual", parameters=dict(type="object", properties={"query": dict(type="string", maxLength=60)},
    required=["query"], additionalProperties=False))


def alike(calls, others):
    "The same tools with the same arguments, but for where a text begins and ends: what a server has cached rounds a near tie one way or the other"
    names = [(c.tool, sorted(c.args)) for c in calls] == [(c.tool, sorted(c.args)) for c in others]
    return names and all(a in b or b in a for c, o in zip(calls, others) for a, b in [(str(c.args[k]), str(o.args[k])) for k in c.args])


@pytest.mark.model
def test_any_server_by_its_address_answers_the_same(model_server):
    "The same client with an OpenAI-compatible server named by its URL"
    by_url = Local(model_server)
    question = [user("the printer is on fire")], [SEARCH]
    replies = [asyncio.run(m(*question, ask=Ask(must_call=True))) for m in (by_url, Local("smollm2"))]
    assert alike(replies[0].calls, replies[1].calls) and replies[0].calls[0].tool == "search"
    assert replies[0].usage.input > 0 and 0 < replies[0].confidence <= 1 and replies[0].cost == 0


@pytest.mark.model
def test_the_embedded_server_wants_its_key():
    import urllib.error, urllib.request
    endpoint = serve(fetch_weights())
    assert endpoint.url.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError, match="401"): urllib.request.urlopen(f"{endpoint.url}/models")


@pytest.mark.model
def test_what_was_recorded_is_still_what_the_model_says():
    "The quickstart's tape against the live model: the recorded replies are real"
    import json
    tape = json.loads((ROOT/"nbs"/"tutorials"/"01_quickstart.tape").read_text())
    assert len(tape) >= 2
    from agentnb.core.messages import Message, Reply
    for entry in tape.values():
        request, kept = entry["request"], Reply.model_validate(entry["reply"])
        messages, tools = [Message(**m) for m in request["messages"]], [ToolSpec(**t) for t in request["tools"]]
        live = asyncio.run(Local("smollm2")(messages, tools, request["instructions"], Ask(**request["ask"])))
        assert alike(live.calls, kept.calls)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path/"bad.gguf").write_text("not weights")
    with pytest.raises(ModelError, match="cannot load .*bad.gguf"): serve(tmp_path/"bad.gguf")


def test_no_server_has_the_model(monkeypatch):
    monkeypatch.setenv("AGENTNB_LOCAL_ENDPOINTS", "http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="http://127.0.0.1:9/v1 does not answer. The embedded model is `local:smollm2`"): find_endpoint("qwen3:4b")


def test_offline_without_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("AGENTNB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="AGENTNB_OFFLINE=1 forbids fetching it. Without a network, copy a .gguf file to"): fetch_weights()


def completion(finish="stop", **message): return dict(choices=[dict(message=message, finish_reason=finish)], usage=None)


@pytest.mark.parametrize("message", [
    dict(content='{"tool": "search", "arguments": {"query": "fire"}}'), dict(content='```json\n{"name": "search", "arguments": {"query": "fire"}}\n```'),
    dict(content='{"name": "search", "parameters": {"query": "fire"}}'), dict(content='[{"tool": "search", "arguments": {"query": "fire"}}]'),
    dict(content=None, tool_calls=[dict(function=dict(name="search", arguments='{"query": "fire"}'))])])
def test_a_call_in_any_of_its_forms(message):
    calls = from_wire(completion(**message), [SEARCH]).calls
    assert [(c.tool, c.args) for c in calls] == [("search", {"query": "fire"})]


@pytest.mark.parametrize("text", ['{"tool": "sea', '{"tool": 7}', "{}", "```json\nno\n```", '{"tool": "search", "arguments": "fire"}', "[1]"])
def test_half_an_action_is_told_to_the_model(text):
    reply = from_wire(completion(content=text), [SEARCH])
    assert not reply.calls and "is not a JSON action" in reply.malformed


def test_plain_text_is_the_answer_where_one_is_allowed():
    assert from_wire(completion(content="It burns."), [SEARCH]).content == "It burns."
    assert from_wire(completion(content="It burns."), [SEARCH], Ask(must_call=True)).malformed
    assert from_wire(completion(content='{"answer": "It burns."}'), [SEARCH]).content == "It burns."


def test_shared_definitions_move_to_the_top_of_the_schema():
    spec = ToolSpec(name="go", parameters={"type": "object", "properties": {"to": {"$ref": "#/$defs/Place"}}, "$defs": {"Place": {"enum": ["a", "b"]}}})
    schema = to_wire([user("go")], [spec])["response_format"]["json_schema"]["schema"]
    assert schema["$defs"] == {"Place": {"enum": ["a", "b"]}} and "$defs" not in schema["anyOf"][0]["properties"]["arguments"]


@pytest.mark.parametrize("body", [
    completion(content=None, tool_calls=[dict(function=dict(name="search", arguments='{"query": "x'))]), completion(content="[]"),
    completion(content='{"answer": null}'), completion(content=None, tool_calls=[dict(function=dict(name="search", arguments=7))])])
def test_an_odd_body_is_malformed_and_not_an_end(body):
    reply = from_wire(body, [SEARCH])
    assert reply.malformed and not reply.calls


@pytest.mark.parametrize("body", [dict(choices=[]), dict(choices=None, error=dict(message="overloaded"))])
def test_a_body_without_a_reply_is_an_error(body):
    with pytest.raises(ModelError, match="the server sent no reply"): from_wire(body, [SEARCH])


def test_arguments_that_are_no_text_and_tokens_without_a_probability():
    body = completion(content=None, tool_calls=[dict(function=dict(name="search", arguments={"query": "fire"}))])
    body["choices"][0]["logprobs"] = dict(content=[dict(logprob=None), dict(logprob=0.0)])
    reply = from_wire(body, [SEARCH])
    assert reply.calls[0].args == {"query": "fire"} and reply.confidence == 1.0


SLOT = {"type": "object", "properties": {"day": {"enum": ["mon", "tue"]}}}
BOOKING = ToolSpec(name="book", description="Book it", parameters={"type": "object", "$defs": {"Slot": SLOT},
    "properties": {"slot": {"$ref": "#/$defs/Slot"}, "ids": {"type": "array", "items": {"type": "integer"}},
        "note": {"type": "string", "description": "a word", "default": "none"}}})


def test_the_manual_says_what_arguments_and_answers_are():
    shape = {"type": "object", "properties": {"city": {"type": "string", "description": "where she lives"}}}
    manual = to_wire([user("x")], [BOOKING], "", Ask(answer=shape))["messages"][0]["content"]
    assert '"arguments": {"slot": {"day": "mon" or "tue"}, "ids": [integer, ...], "note": string}}: Book it' in manual
    assert 'note: a word, "none" if left out' in manual and '{"answer": {"city": string}}' in manual and "city: where she lives" in manual
    assert '"..."' not in to_wire([user("x")], [BOOKING])["messages"][0]["content"]


@pytest.mark.parametrize("text", ['<tool_call>{"name": "book", "arguments": {"ids": "[1]"}}</tool_call>',
    'Sure:\n{"tool": "book", "arguments": {"ids": "[1]"}}',
    '{"tool": "book", "arguments": {"ids": "[1]"}}', '```\n{"name": "book", "arguments": "{\\"ids\\": [1]}"}\n```'])
def test_calls_in_the_text_of_a_local_model(text):
    assert [(c.tool, c.args) for c in from_wire(completion(content=text), [BOOKING]).calls] == [("book", {"ids": [1]})]


def test_half_a_tag_and_nothing_at_all_are_told():
    assert "no call that can be made" in from_wire(completion(content='<tool_call>{"name": "bo'), [BOOKING]).malformed
    assert "it is empty" in from_wire(completion(content=" ")).malformed


@pytest.mark.parametrize("text, said", [("~~~\n{\"answer\": \"ok\"}\n~~~", "ok"), ("\ufeff```json\n{\"answer\": \"code: ```py```\"}\n```", "code: ```py```"),
    ("Sure:\n```json\n{\"answer\": \"x\"}\n```", "x")])
def test_a_fenced_action_is_read_as_a_fenced_result_is(text, said):
    from agentnb.core.messages import ToolSpec
    from agentnb.models.local import from_wire
    assert from_wire(dict(choices=[dict(message=dict(content=text))]), [ToolSpec(name="look")]).content == said
