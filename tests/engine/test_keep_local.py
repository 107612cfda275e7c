"""What is kept on this machine is not sent elsewhere: counted at a socket that stands for a provider."""
import asyncio, json, threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest

from agentnb import Agent, Ask, Cascade, Fallback, Human, KeepLocal, ModelError, Reply, RequestOpen, Retry, Rule, Scripted, call, tool, user
from agentnb.cascade import agree, check, judged
from agentnb.core.steps import Note, Replied, Returned
from agentnb.mcp.schemas import MCPTool
from agentnb.models.ollama import Ollama
from agentnb.models.openai import OpenAI
from agentnb.models.protocol import Withheld, is_local
from agentnb.routing.remote import Embeddings
from agentnb.routing.toolset import Toolset
from agentnb.tools.contract import call_host

SECRET = "Ann Onymous earns 93417 a year"
SAID = dict(id="r", model="m", choices=[dict(index=0, finish_reason="stop", message=dict(role="assistant", content="yes, it is right"))],
    usage=dict(prompt_tokens=5, completion_tokens=2, total_tokens=7))


@pytest.fixture(scope="module")
def provider():
    "A provider elsewhere; holds what it was told"
    heard = list[bytes]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard.append(body)
            asked = json.loads(body)
            vectors = dict(data=[dict(index=i, embedding=[1.0, float(i)]) for i, _ in enumerate(asked.get("input", []))], model="m", object="list")
            answer = json.dumps(vectors if "input" in asked else SAID).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        def log_message(self, *_): pass
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(heard=heard, url=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.fixture
def elsewhere(provider):
    "A model at that provider, and what was heard there"
    provider.heard.clear()
    return SimpleNamespace(model=OpenAI("gpt-5.5", api="chat", key="k", url=f"{provider.url}/v1"), heard=provider.heard, url=provider.url)


@tool(read_only=True)
def read_payroll(name: str) -> str: return SECRET


@tool(read_only=True)
def weather(town: str) -> str: return "sunny"


READS = call("read_payroll", name="Ann")


def told(heard): return [w for w in ("93417", "Onymous") if any(w.encode() in body for body in heard)]


def go(model, *tools, task="What does Ann earn?", keep_local="read_payroll", **options):
    run = Agent(model, [read_payroll, *tools], policy=[Rule(effect="allow")], store="memory:", keep_local=keep_local, **options).run(task)
    with suppress(RequestOpen): asyncio.run(run.wait())
    return run


def here(*script): return Scripted(script or [READS, SECRET])


def test_a_cascade_stays_here_and_its_attempts_say_why(elsewhere):
    run = go(Cascade([here(READS, SECRET, "again"), elsewhere.model], [check(lambda reply: bool(reply.calls))], least_ratio=0))
    assert run.result == SECRET and elsewhere.heard == []
    reply = [s.body.reply for s in run.steps if isinstance(s.body, Replied)][-1]
    assert [a.outcome for a in reply.attempts] == ["accepted", "withheld"] and reply.escalated == 0
    assert "the result of read_payroll is kept here" in reply.attempts[1].reason and "openai:gpt-5.5 was not asked" in reply.attempts[0].reason
    assert any("withheld" in note for note in reply.notes)


def test_the_same_cascade_goes_up_where_nothing_is_kept(elsewhere):
    run = go(Cascade([here("no idea"), elsewhere.model], [check(lambda reply: False)], least_ratio=0))
    assert run.result == "yes, it is right" and len(elsewhere.heard) == 1 and not told(elsewhere.heard)


def test_a_cascade_that_had_gone_up_comes_down_again(elsewhere):
    up = Cascade([Scripted(lambda messages, tools: "no idea" if len(messages) == 1 else READS if messages[-1].role == "user" else SECRET), elsewhere.model],
        [check(lambda reply: bool(reply.calls))], least_ratio=0)
    agent = Agent(up, [read_payroll], store="memory:", keep_local="read_payroll")
    run = agent.run("Hello")
    asyncio.run(run.wait())
    assert len(elsewhere.heard) == 1
    second = agent.run([*run.state.messages, user("What does Ann earn?")])
    asyncio.run(second.until(tool="read_payroll"))
    heard = len(elsewhere.heard)
    with suppress(ModelError): asyncio.run(second.wait())
    assert len(elsewhere.heard) == heard and not told(elsewhere.heard)


@pytest.mark.parametrize("gate", [judged, agree])
def test_a_judge_elsewhere_is_not_asked(elsewhere, gate):
    run = go(Cascade([here(), here(READS, "from the second tier")], [gate(elsewhere.model)], sticky=0, least_ratio=0))
    reply = [s.body.reply for s in run.steps if isinstance(s.body, Replied)][-1]
    assert run.status == "done" and not told(elsewhere.heard) and "not asked" in reply.attempts[0].verdicts[0].reason
    assert all(SECRET.encode() not in body for body in elsewhere.heard) and len(elsewhere.heard) == 1   # about the first reply, before anything was read


def test_the_models_own_function_and_one_of_its_gate_are_elsewhere_if_they_do_not_say_otherwise(elsewhere):
    async def posts(messages, tools=(), instructions="", ask=Ask()):
        urlopen(Request(elsewhere.url, json.dumps(dict(messages=[m.content for m in messages])).encode(), {"Content-Type": "application/json"})).read()
        return Reply(content="done")

    class Own:
        name = "own"
        async def __call__(self, *arguments): return await posts(*arguments)
    for model in (posts, Own(), Retry(Own()), Fallback(Own(), posts)):
        with pytest.raises(Withheld): go(model, task="What does Ann earn?", keep_local=lambda m: "Ann" in m.content)
        assert elsewhere.heard == [] and not is_local(model)
    posts.local = True
    assert go(posts, keep_local=lambda m: "Ann" in m.content).result == "done"


def test_a_model_elsewhere_refuses_in_words_and_the_log_holds_them(elsewhere):
    both = Fallback(here(READS), elsewhere.model)
    run = Agent(both, [read_payroll], store="memory:", keep_local="read_payroll").run("What does Ann earn?")
    said = "openai:gpt-5.5: it is not on this machine, and was not asked: the result of read_payroll is kept here"
    with pytest.raises(Withheld, match=said) as e: asyncio.run(run.wait())
    assert "KeepLocal(..., models=['openai:gpt-5.5'])" in str(e.value) and elsewhere.heard == []
    assert isinstance(run.steps[-1].body, Note) and "the result of read_payroll is kept here" in run.steps[-1].body.text
    fork = run.fork(model=Scripted(lambda messages, tools: "93417"))
    asyncio.run(fork.wait())
    assert fork.result == "93417"


def test_a_fallback_goes_past_what_is_elsewhere(elsewhere):
    run = go(Fallback(elsewhere.model, here("it is here"), on=()), task=SECRET, keep_local=lambda m: "93417" in m.content)
    assert run.result == "it is here" and elsewhere.heard == []


def test_a_named_model_may_see_it(elsewhere):
    kept = KeepLocal("read_payroll", models=["openai:gpt-*"])
    run = go(Fallback(here(READS), elsewhere.model), keep_local=kept)
    assert run.status == "done" and told(elsewhere.heard)


def asks_child(model, sync=False, open_world=False, **options):
    agent = Agent(model, [weather], store="memory:", name="child", **options)
    @tool(read_only=True, open_world=open_world)
    async def delegate(task: str) -> str: return await agent.run(task)
    @tool(read_only=True, open_world=open_world, name="delegate")
    def delegate_sync(task: str) -> str: return agent.run_sync(task)
    return delegate_sync if sync else delegate


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("task", [f"Is this fair: {SECRET}?", "Is her salary fair?"])
def test_a_child_elsewhere_is_refused_in_the_words_of_its_call(elsewhere, sync, task):
    run = go(here(READS, call("delegate", task=task), "it did not"), asks_child(elsewhere.model, sync))
    given = next(s.body for s in run.steps if isinstance(s.body, Returned) and s.body.tool == "delegate")
    assert elsewhere.heard == [] and run.result == "it did not"
    assert given.withheld == ("openai:gpt-5.5 was not asked: the result of read_payroll is kept here",)


def test_a_child_of_a_child_and_a_model_that_a_tool_asks_are_refused_too(elsewhere):
    @tool(read_only=True)
    async def ask_it(text: str) -> str: return (await elsewhere.model([user(text)])).content
    inner = asks_child(elsewhere.model)
    outer = Agent(here(call("delegate", task=SECRET), "no"), [inner], store="memory:")
    @tool(read_only=True)
    async def ask_outer(task: str) -> str: return await outer.run(task)
    run = go(here(READS, [call("ask_it", text=SECRET), call("ask_outer", task=SECRET)], "no"), ask_it, ask_outer)
    assert elsewhere.heard == [] and run.result == "no"
    assert all(s.body.withheld for s in run.steps if isinstance(s.body, Returned) and s.body.tool == "ask_it")


def test_a_child_goes_elsewhere_as_long_as_nothing_was_read(elsewhere):
    run = go(here(call("delegate", task="Is it warm?"), "yes"), asks_child(elsewhere.model))
    assert len(elsewhere.heard) == 1 and run.result == "yes"


def test_what_a_child_has_read_is_kept_by_whoever_began_it(elsewhere):
    child = Agent(here(READS, SECRET), [read_payroll], store="memory:", keep_local="read_payroll", name="child")
    @tool(read_only=True)
    async def delegate(task: str) -> str: return await child.run(task)
    run = Agent(Fallback(here(call("delegate", task="What does Ann earn?")), elsewhere.model), [delegate], store="memory:").run("What does Ann earn?")
    with pytest.raises(Withheld): asyncio.run(run.wait())
    assert elsewhere.heard == [] and next(s.body.kept for s in run.steps if isinstance(s.body, Returned)) == "the result of read_payroll is kept here"


def test_a_marked_call_keeps_what_it_does_itself(elsewhere):
    @tool(read_only=True, name="read_payroll")
    async def read_and_ask(name: str) -> str:
        try: return (await elsewhere.model([user(SECRET)])).content
        except ModelError as e: return str(e)
    run = Agent(here(), [read_and_ask], store="memory:", keep_local="read_payroll").run("go")
    asyncio.run(run.wait())
    assert elsewhere.heard == [] and run.steps[2].body.withheld


def test_a_server_of_tools_that_asks_the_model_is_refused(elsewhere):
    async def samples(it, args, context):
        with suppress(Exception): return (await call_host.get().sample([user(SECRET)])).content
        return "refused"
    ticket = MCPTool(dict(name="ticket", inputSchema=dict(type="object", properties={})), samples)
    says = lambda messages, tools: READS if len(messages) == 1 else call("ticket") if len(messages) == 3 else "done" if len(messages) > 4 else ""
    model = Cascade([Scripted(says), elsewhere.model], [check(lambda reply: bool(reply.content or reply.calls))], least_ratio=0)
    run = go(model, ticket)
    assert elsewhere.heard == [] and any(isinstance(s.body, Note) and s.body.about == "sampling" for s in run.steps)


def test_embeddings_of_what_is_kept_are_not_made_elsewhere(elsewhere):
    embedder = Embeddings("e", key="k", url=f"{elsewhere.url}/v1")
    tools = Toolset([read_payroll, weather], top_k=1, embedder=embedder, always=["read_payroll"])
    run = Agent(here(READS, SECRET), tools, store="memory:", keep_local=lambda m: "Ann" in m.content).run(SECRET)
    asyncio.run(run.wait())
    assert run.result == SECRET and not told(elsewhere.heard)


@pytest.mark.parametrize("args", ["hr/ann.txt", "./hr//ann.txt", "notes/../hr/ann.txt", "{here}/hr/ann.txt", "link/ann.txt", ".", "cat hr/ann.txt"])
def test_a_folder_is_kept_under_all_its_names(elsewhere, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    for name in ("hr", "notes"): (tmp_path/name).mkdir()
    (tmp_path/"hr"/"ann.txt").write_text(SECRET)
    (tmp_path/"link").symlink_to(tmp_path/"hr")
    @tool(read_only=True)
    def look(what: str) -> str: return SECRET
    given = args.format(here=tmp_path)
    for folder in ("hr/", tmp_path/"hr", "./hr"):
        with pytest.raises(Withheld): go(Fallback(here(call("look", what=given)), elsewhere.model), look, keep_local=folder)
        assert elsewhere.heard == []
    assert go(Fallback(here(call("look", what="notes/x")), elsewhere.model), look, keep_local="hr/").status == "done"
    elsewhere.heard.clear()


def test_a_label_keeps_a_run_from_its_first_word(elsewhere):
    for labels, asked in (({"customer": "acme"}, 0), ({"customer": "other"}, 1), ({}, 2)):
        with suppress(Withheld): go(elsewhere.model, keep_local="label:customer=acme", labels=labels)
        assert len(elsewhere.heard) == asked


def test_a_function_that_fails_or_says_neither_keeps():
    for fn in (lambda m: 1 / 0, lambda m: None, lambda m: "no"):
        with pytest.raises(Withheld): go(Scripted(["x"], name="openai:gpt-5.5"), keep_local=fn)
    assert go(Scripted(["x"], name="openai:gpt-5.5"), keep_local=lambda m: False).result == "x"


def test_what_keeps_nothing_is_an_error_when_the_agent_is_made():
    for wrong, error in (("read_pay", ValueError), ("", TypeError), (7, TypeError), ([None], TypeError)):
        with pytest.raises(error): Agent(here(), [read_payroll], store="memory:", keep_local=wrong)
    with pytest.raises(TypeError): KeepLocal("x", models="openai:gpt-5.5")


@pytest.mark.parametrize("model,local", [(Scripted([]), True), (Scripted([], name="openai:x"), False), (Human(), True), (Ollama("qwen3"), True),
    (Ollama("gpt-oss:120b-cloud"), False), (Ollama("qwen3", url="http://gpu.example:11434"), False), (OpenAI("m", "vllm"), True),
    (OpenAI("m", "vllm", url="http://10.0.0.7:8000/v1"), False), (OpenAI("m", key="k", url="http://localhost:4000/v1"), False),
    (Cascade([Scripted([]), Ollama("qwen3")], [check(lambda reply: True)], least_ratio=0), True), (Fallback(Scripted([]), OpenAI("m", key="k")), False),
    (object(), False)])
def test_where_a_model_is_known(model, local): assert is_local(model) is local


def test_an_agent_without_it_is_as_before(elsewhere):
    run = go(Fallback(here(READS), elsewhere.model), keep_local=None)
    assert run.status == "done" and told(elsewhere.heard)
