"""Answers of servers as they really come: in pieces, unfinished, of another interface, with counts that say nothing."""
import asyncio, json, socket, ssl, time
from urllib.error import HTTPError, URLError

import pytest
from hypothesis import given, settings, strategies as st

from agentnb import Ask, Fallback, ModelError, Reply, Retry, user
from agentnb.models import chat, responses
from agentnb.models.anthropic import Anthropic
from agentnb.models.ollama import Ollama
from agentnb.models.openai import OpenAI
from agentnb.models.protocol import network_error
from agentnb.models.wire import Events, kind_of, to_error

MODELS = dict(chat=lambda: OpenAI("m", "openrouter", "chat", "k", "http://127.0.0.1:9/v1"),
    completions=lambda: OpenAI("m", "x", "completions", "k", "http://a/v1"),
    responses=lambda: OpenAI("m", api="responses", key="k", url="http://127.0.0.1:9/v1"), anthropic=lambda: Anthropic("c", "k", "http://127.0.0.1:9"),
    ollama=lambda: Ollama("m", "http://127.0.0.1:9"))


class Answer:
    "One answer of a server: its pieces are bytes, or seconds of silence"
    def __init__(self, kind, *pieces): self.headers, self.pieces, self.asked = {"content-type": kind}, pieces, 0
    @property
    def http_response(self): return self
    async def post(self, *_, **__):
        self.asked += 1
        return self
    async def aread(self): return b"".join(p for p in self.pieces if isinstance(p, bytes))
    async def aiter_bytes(self):
        for piece in self.pieces:
            if isinstance(piece, bytes): yield piece
            else: await asyncio.sleep(piece)
    async def close(self): pass


def ask(api, answer, stream=True, seconds=5.0):
    model = MODELS[api]()
    model.client = lambda: answer
    return asyncio.run(model([user("Where is the key?")], ask=Ask(on_delta=(lambda _: None) if stream else None, seconds=seconds)))


def data(*events): return b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in events)
def said(delta=None, finish=None, at=0, **more): return dict(choices=[dict(index=at, delta=delta or {}, finish_reason=finish)], **more)
def piece(index=0, id=None, name=None, args=None): return said({"tool_calls": [dict(index=index, id=id, function=dict(name=name, arguments=args))]})


USED = dict(prompt_tokens=3, completion_tokens=2)
BEGIN = dict(type="message_start", message=dict(id="m", model="c", content=[], usage=dict(input_tokens=3, output_tokens=1)))
TEXT = dict(type="content_block_start", index=0, content_block=dict(type="text", text="Under the mat."))
END = dict(type="message_delta", delta=dict(stop_reason="end_turn"), usage=dict(output_tokens=9, input_tokens=0))
WHOLE = dict(chat=data(said({"content": "Under the mat."}), said({}, "stop"), dict(choices=[], usage=USED)), anthropic=data(BEGIN, TEXT, END),
    responses=data(dict(type="response.created"), dict(type="response.output_text.delta", delta="Under the mat."), dict(type="response.completed",
        response=dict(status="completed", output=[dict(type="message", content=[dict(type="output_text", text="Under the mat.")])],
            usage=dict(input_tokens=3)))),
    ollama=json.dumps(dict(message=dict(content="Under the mat."), done=True, prompt_eval_count=3, eval_count=2)).encode() + b"\n")
LAST = dict(chat=b"data: [DONE]\n\n", anthropic=data(dict(type="message_stop")), responses=b"", ollama=b"")


def kind_of_stream(api): return "application/x-ndjson" if api == "ollama" else "text/event-stream"


@pytest.mark.parametrize("api", WHOLE)
@pytest.mark.parametrize("after", [(30,), (0.02, b": ping\n\n") * 200], ids=["silent", "comments"])
def test_a_whole_reply_does_not_wait_for_the_connection_to_close(api, after):
    began = time.monotonic()
    reply = ask(api, Answer(kind_of_stream(api), WHOLE[api] + LAST[api], *(after if api != "ollama" else (30,))))
    assert reply.content == "Under the mat." and reply.usage.input == 3 and time.monotonic() - began < 0.7


@pytest.mark.parametrize("api", ["chat", "anthropic"])
def test_a_reply_without_its_last_word_is_returned_at_the_deadline_at_the_latest(api):
    reply = ask(api, Answer("text/event-stream", WHOLE[api], 30), seconds=0.2)
    assert reply.content == "Under the mat." and not reply.usage.estimated


def test_a_finish_in_every_piece_ends_nothing(monkeypatch):
    monkeypatch.setattr(chat, "_QUIET", 0.05)
    pieces = [data(said({"content": c}, "stop", usage=USED)) for c in ("Under ", "the ", "mat.")]
    assert ask("chat", Answer("text/event-stream", pieces[0], 0.2, *pieces[1:], LAST["chat"])).content == "Under the mat."


def test_an_error_after_a_whole_reply_takes_nothing_back():
    assert ask("chat", Answer("text/event-stream", WHOLE["chat"] + data(dict(error=dict(message="odd"))))).content == "Under the mat."


LOOK, MOVE = ("look", {"at": "x"}), ("move", {"to": "y"})


@pytest.mark.parametrize("pieces, calls", [
    ([piece(0, "a", "look", '{"at"'), piece(0, "b", "move", '{"to"'), piece(0, "a", None, ': "x"}'), piece(0, "b", None, ': "y"}')], [LOOK, MOVE]),
    ([piece(None, None, "look", '{"at": "x"}'), piece(None, None, "look", '{"at": "x"}')], [LOOK, LOOK]),
    ([piece(None, "a", "look", ""), piece(None, None, None, '{"at": "x"}'), piece(None, "b", "move", ""), piece(None, None, None, '{"to": "y"}')],
    [LOOK, MOVE]),
    ([piece(0, None, "look", '{"at": "x"}'), piece(0, None, "move", '{"to": "y"}')], [LOOK, MOVE]),
    ([piece(0, "a", "look", '{"at": "x"}'), piece(0, None, None, '{"at": "x"}')], [LOOK]),
    ([piece(0, "a", "look", "{}"), piece(0, None, None, '{"at":'), piece(0, None, None, '"x"}')], [LOOK]),
    ([piece(0, "a", "look", '{"at":'), piece(0, "b", None, '"x"}'), piece(0, "c", None, "")], [LOOK]),
    ([piece(0, "a", "look", {"at": "x"}), piece(1, "a", "move", {"to": "y"})], [LOOK, MOVE]),
    ([piece(1, "b", "move", '{"to":'), piece(0, "a", "look", '{"at":'), piece(1, None, None, '"y"}'), piece(0, None, None, '"x"}')], [MOVE, LOOK])])
def test_pieces_of_calls_are_joined_by_what_names_them(pieces, calls):
    reply = ask("chat", Answer("text/event-stream", data(*pieces, said({}, "tool_calls")) + LAST["chat"]))
    assert [(c.tool, c.args) for c in reply.calls] == calls


@pytest.mark.parametrize("first", [0, 1])
def test_choices_are_not_mixed(first):
    order = [said({"content": "Under "}, at=0), said({"content": "WRONG"}, at=1)]
    if first: order.reverse()
    stream = data(*order, said({"content": "the mat."}), said({}, "length", at=1), said({}, "stop"))
    reply = ask("chat", Answer("text/event-stream", stream + LAST["chat"]))
    assert (reply.content, reply.stop) == ("Under the mat.", "stop")


@pytest.mark.parametrize("text, call", [(0, 1), (0, 0), (None, None)], ids=["numbered", "equal", "missing"])
def test_blocks_of_claude_are_told_apart(text, call):
    at = lambda index, **event: event if index is None else event | dict(index=index)
    start, delta = (lambda index, kind, key, **v: at(index, type=kind, **{key: v})), "content_block_delta"
    stream = data(BEGIN, start(text, "content_block_start", "content_block", type="text", text=""), start(text, delta, "delta", type="text_delta",
        text="Wait."),
        start(call, "content_block_start", "content_block", type="tool_use", id="t", name="look", input={}),
        *(start(call, delta, "delta", type="input_json_delta", partial_json=p) for p in ('{"at":', '"x"}')), END, dict(type="message_stop"))
    reply = ask("anthropic", Answer("text/event-stream", stream))
    assert reply.content == "Wait." and [(c.tool, c.args) for c in reply.calls] == [LOOK] and (reply.usage.input, reply.usage.output) == (3, 9)


def test_items_of_a_response_without_output():
    made = lambda own, name: dict(type="response.output_item.added", output_index=0, item=dict(id=own, type="function_call", call_id=own, name=name))
    heard = lambda own, text: dict(type="response.function_call_arguments.delta", output_index=0, item_id=own, delta=text)
    end = dict(type="response.completed", response=dict(status="completed", output=[]))
    reply = ask("responses", Answer("text/event-stream", data(made("a", "look"), heard("a", '{"at": "x"}'), made("b", "move"), heard("b", '{"to": "y"}'), end)))
    assert [(c.tool, c.args) for c in reply.calls] == [LOOK, MOVE] and reply.usage.estimated


def test_a_long_line_is_read_in_time_that_grows_with_it():
    raw, events, began = b'data: "' + b"A" * 2**22 + b'"\n\n', Events(), time.process_time()
    found = [e for i in range(0, len(raw), 16384) for e in events.feed(raw[i:i + 16384])]
    assert len(found[0]) == 2**22 and time.process_time() - began < 0.5


@given(st.lists(st.sampled_from([b"data: 1", b"\r", b"\n", b"\r\n", b": x", b"data:", b"\xef\xbb\xbf"]), max_size=12), st.integers(1, 5))
def test_lines_end_in_the_same_places_wherever_they_are_cut(parts, size):
    raw, whole, cut = b"".join(parts), Events(), Events()
    def read(events, chunks):
        try: return [e for c in chunks for e in events.feed(c)] + events.feed(b"")
        except ValueError: return "not JSON"
    assert read(cut, [raw[i:i + size] for i in range(0, len(raw), size)]) == read(whole, [raw] if raw else [])


PAGE = b"<html>Please sign in</html>"


@pytest.mark.parametrize("api", WHOLE)
@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/event-stream", ""])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("raw", [PAGE, b'{"detail": "Please sign in"}'], ids=["page", "object"])
def test_another_interface_is_asked_once(api, kind, stream, raw):
    answer, model = Answer(kind, raw), MODELS[api]()
    model.client = lambda: answer
    with pytest.raises(ModelError) as e: asyncio.run(Retry(model, base=0.0)([user("go")], ask=Ask(on_delta=(lambda _: None) if stream else None)))
    assert e.value.kind == "malformed" and answer.asked == 1 and "sign in" in str(e.value) and "http://127.0.0.1:9" in str(e.value)


@pytest.mark.parametrize("api, other", [(a, b) for a in WHOLE for b in WHOLE if a != b])
def test_the_stream_of_another_interface_is_no_broken_connection(api, other):
    with pytest.raises(ModelError) as e: ask(api, Answer(kind_of_stream(other), WHOLE[other] + LAST[other]))
    assert e.value.kind == "malformed" and not e.value.retryable


def test_a_whole_answer_where_a_stream_was_asked_for_is_read():
    raw = json.dumps(dict(choices=[dict(message=dict(content="Under the mat."))], usage=USED)).encode()
    for kind in ("application/json", "text/event-stream", "text/plain"): assert ask("chat", Answer(kind, raw)).content == "Under the mat."


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
def test_a_redirect_says_where_it_points(status):
    error = to_error(status, None, {"location": "https://elsewhere.example/v1?key=abc"})
    assert (error.kind, error.status, error.retryable) == ("not_found", status, False) and "elsewhere.example/v1," in str(error) and "abc" not in str(error)


@pytest.mark.parametrize("status, words", [(400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081"), (500, "the input length exceeds the context length"),
    (400, "when context the overflows"), (422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"),
    (400, "Range of input length should be [1, 30720]"),
    (400, "Your request exceeded model token limit: 8192"), (400, "Prompt exceeds max length"), (413, "tokens_limit_reached"),
    (400, "the input token count is 2000000 but model only supports up to 1000000"), (400, "prompt token count of 150000 exceeds the limit of 128000")])
def test_too_long_in_other_words(status, words):
    assert kind_of(status, words) == "context_exceeded" and not to_error(status, dict(message=words)).retryable


@pytest.mark.parametrize("status, words", [(400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"),
    (400, "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens"),
    (400, "`max_tokens` must be less than or equal to 8192, as is the `context_window` of this model"), (429, "Too many tokens, please wait"),
    (413, "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 8000"), (400, "Unknown parameter: 'context_length'"),
    (400, "Invalid 'tools[0].function.description': string too long"), (500, "The server had an error")])
def test_another_limit_is_not_the_context(status, words): assert kind_of(status, words) != "context_exceeded"


COUNTS = [{}, None, [1], "x", dict(prompt_tokens=None), dict(prompt_tokens=0, completion_tokens=0), dict(prompt_tokens=-5, completion_tokens=-7),
    dict(prompt_tokens="many", completion_tokens="few"), dict(prompt_tokens=10**15, completion_tokens=10**18), dict(prompt_tokens=True,
        completion_tokens=1e308)]


@pytest.mark.parametrize("usage", COUNTS, ids=str)
@pytest.mark.parametrize("stream", [True, False])
def test_a_count_that_says_nothing_is_estimated(usage, stream):
    raw = data(said({"content": "Under the mat."}), said({}, "stop"), dict(choices=[], usage=usage)) + LAST["chat"] if stream else \
        json.dumps(dict(choices=[dict(message=dict(content="Under the mat."))], usage=usage)).encode()
    reply = ask("chat", Answer("text/event-stream" if stream else "application/json", raw), stream)
    assert reply.usage.estimated and 0 < reply.usage.input < 100 and 0 < reply.usage.output < 20


@pytest.mark.parametrize("read, usage, counted", [(chat.read_usage, dict(prompt_tokens=2.5, completion_tokens="7"), (3, 7)),
    (chat.read_usage, dict(prompt_tokens=3, completion_tokens=2, prompt_tokens_details=dict(cached_tokens=50),
    completion_tokens_details=dict(reasoning_tokens=9)),
        (50, 9)), (responses._usage, dict(input_tokens=3, output_tokens=-2, input_tokens_details=[1]), (3, 0))])
def test_a_part_is_never_larger_than_its_whole(read, usage, counted):
    used = read(usage)
    assert (used.input, used.output) == counted and used.cached <= used.input and used.reasoning <= used.output


def test_a_later_count_of_nothing_takes_nothing_back():
    stream = data(said({"content": "Under the mat."}, "stop", usage=USED), dict(choices=[], usage=dict(prompt_tokens=0, completion_tokens=-4)))
    assert ask("chat", Answer("text/event-stream", stream + LAST["chat"])).usage.total == 5


def test_a_pause_of_claude_is_gone_on_with():
    search, model, sent = dict(type="server_tool_use", id="s", name="web_search", input={}), MODELS["anthropic"](), []
    bodies = [dict(content=[search], stop_reason="pause_turn", usage=dict(input_tokens=5, output_tokens=2)),
        dict(content=[dict(type="text", text="Under the mat.")], stop_reason="end_turn", usage=dict(input_tokens=7, output_tokens=3))]
    answers = [Answer("application/json", json.dumps(b).encode()) for b in bodies]

    class Client:
        async def post(self, *_, body, **__):
            sent.append(body["messages"])
            return answers[len(sent) - 1]

    model.client = Client
    reply = asyncio.run(model([user("go")]))
    assert reply.content == "Under the mat." and not reply.cut and (reply.usage.input, reply.usage.output, reply.usage.requests) == (12, 5, 2)
    assert sent[1][-1] == dict(role="assistant", content=[search]) and [p["type"] for p in reply.native.parts] == ["server_tool_use", "text"]
    sent.clear()
    async def no(*_): return False
    assert asyncio.run(model([user("go")], ask=Ask(may_retry=no))).cut and len(sent) == 1
    sent.clear()
    answers[1] = Answer("text/html", PAGE)
    with pytest.raises(ModelError) as e: asyncio.run(model([user("go")]))
    assert e.value.kind == "malformed" and e.value.usage.total >= 7 and e.value.cost is None


# Any answer

JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) |
    st.dictionaries(st.sampled_from(["choices", "message", "content", "delta", "tool_calls", "function", "arguments", "name",
        "index", "id", "type", "text",
        "usage", "output", "item", "response", "error", "code", "done", "finish_reason", "status", "content_block", "prompt_tokens", "logprobs",
            "stop_reason"]), inner,
        max_size=4), max_leaves=12)
KINDS = st.sampled_from(["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "error",
    "response.created", "response.output_item.added", "response.output_item.done", "response.function_call_arguments.delta", "response.output_text.delta",
    "response.completed"])
EVENTS = st.lists(JSON | st.builds(lambda kind, more: (more if isinstance(more, dict) else {}) | dict(type=kind), KINDS, JSON), max_size=6)


def outcome(api, answer, stream):
    try: return ask(api, answer, stream, seconds=0.03)
    except ModelError as e: return e


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(MODELS)), JSON, st.booleans(), st.sampled_from(["application/json", "text/event-stream", ""]))
def test_any_object_is_a_reply_or_a_model_error(api, value, stream, kind):
    assert isinstance(outcome(api, Answer(kind, json.dumps(value).encode()), stream), Reply | ModelError)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(WHOLE)), EVENTS, st.booleans(), st.integers(0, 400), st.integers(1, 60), st.booleans())
def test_any_stream_cut_anywhere_is_a_reply_or_a_model_error(api, events, known, end, size, silent):
    made = b"".join(json.dumps(e).encode() + b"\n" if api == "ollama" else data(e) for e in events)
    raw = (made + WHOLE[api] + LAST[api] if known else WHOLE[api][:end // 2] + made)[:end]
    chunks = [raw[i:i + size] for i in range(0, len(raw), size)]
    assert isinstance(outcome(api, Answer(kind_of_stream(api), *chunks, *([30] if silent and end < 40 else [])), True), Reply | ModelError)


@pytest.mark.parametrize("api", WHOLE)
def test_a_whole_stream_is_the_same_reply_in_any_pieces(api):
    raw, found = WHOLE[api] + LAST[api], []
    for size in (1, 2, 7, len(raw)): found.append(ask(api, Answer(kind_of_stream(api), *(raw[i:i + size] for i in range(0, len(raw), size)))))
    assert found[0].content == "Under the mat." and all(r == found[0] for r in found)


# Failures of a network, from any function

class TransportError(Exception): "As HTTP clients name it"
class ConnectTimeout(TransportError, TimeoutError): "The same, late"


@pytest.mark.parametrize("raised, kind", [(ConnectionResetError(), "connection"), (BrokenPipeError(), "connection"), (TimeoutError(), "timeout"),
    (OSError(113, "No route to host"), "connection"), (OSError("Multiple exceptions: [Errno 111] refused"), "connection"),
    (socket.gaierror(-2, "unknown"), "connection"),
    (ssl.SSLError("bad record"), "connection"), (URLError("refused"), "connection"), (TransportError(), "connection"),
    (ConnectTimeout(), "timeout"),
    (ExceptionGroup("all", [ConnectionRefusedError(), ConnectionRefusedError()]), "connection")], ids=repr)
def test_what_networks_raise_is_tried_again(raised, kind):
    left = [raised, raised]
    async def model(messages, tools=(), instructions="", ask=Ask()):
        if left: raise left.pop()
        return Reply(content="Under the mat.")
    async def broken(messages, tools=(), instructions="", ask=Ask()): raise raised
    assert asyncio.run(Retry(model, base=0.0)([user("go")])).content == "Under the mat." and not left
    assert asyncio.run(Fallback(broken, model)([user("go")])).content == "Under the mat."
    with pytest.raises(ModelError, match="Tried 2 times") as e: asyncio.run(Retry(broken, 2, 0.0)([user("go")]))
    assert e.value.kind == kind and e.value.retryable and e.value.model == "broken"


@pytest.mark.parametrize("raised", [FileNotFoundError(2, "no file"), PermissionError(13, "no"), ValueError("x"),
    HTTPError("http://a", 401, "no", None, None),
    ExceptionGroup("some", [ConnectionRefusedError(), ValueError()])], ids=repr)
def test_other_mistakes_are_raised_at_once(raised):
    tried = []
    async def model(messages, tools=(), instructions="", ask=Ask()):
        tried.append(1)
        raise raised
    with pytest.raises(type(raised)): asyncio.run(Retry(model, base=0.0)([user("go")]))
    assert tried == [1] and network_error(raised) is None


def test_a_stop_is_no_failure_of_a_network():
    async def stopped():
        async def model(messages, tools=(), instructions="", ask=Ask()): await asyncio.sleep(30)
        task = asyncio.create_task(Retry(model)([user("go")]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
    asyncio.run(stopped())
    assert network_error(asyncio.CancelledError()) is None


@pytest.mark.parametrize("odd", [5, None, ["x"], {"a": 1}])
def test_a_piece_that_is_no_text_is_passed_over(odd):
    pieces = [dict(type="content_block_delta", index=0, delta=dict(type="text_delta", text=t)) for t in ("Under ", odd, "the mat.")]
    start = dict(type="content_block_start", index=0, content_block=dict(type="text", text=""))
    assert ask("anthropic", Answer("text/event-stream", data(BEGIN, start, *pieces, END, dict(type="message_stop")))).content == "Under the mat."


def test_what_cannot_be_put_together_is_a_model_error():
    start = dict(type="content_block_start", index=0, content_block=dict(type="text", text=5))
    with pytest.raises(ModelError): ask("anthropic", Answer("text/event-stream", data(BEGIN, start, dict(type="content_block_delta", index=0,
        delta=dict(type="text_delta", text="x")), END, dict(type="message_stop"))))
