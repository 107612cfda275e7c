"""Attempts to get a known value out of the process: how often it was found before secrets were references, and that it is found nowhere now"""
import asyncio, base64, html, json, os, stat, warnings
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agentnb import Agent, Reply, Scripted, Tape, ToolError, assistant, browse, call, dashboard, export_runs, import_runs, inbox, open_store, secrets,\
    spent, tool, user, write_messages
from agentnb.host.secrets import forms_of, is_secret
from agentnb.ui.chat import chat_html

VALUE = "s3cr3t/of-ours+42x"

def ran(script, tools=(), task="go", store="memory:", **more):
    run = Agent(Scripted(script), list(tools), store=store, **more).run(task)
    asyncio.run(run.wait())
    return run

def shown(run): return "\n".join([repr(run.steps), run._repr_html_() or "", *export_runs(run.store)])

def in_file(folder, script, tools=(), **more):
    run = ran(script, tools, store=f"sqlite:///{folder}/runs.db", **more)
    return shown(run) + "".join(p.read_bytes().decode("latin-1") for p in folder.iterdir())

def echoing(text, **hints):
    @tool(read_only=True, **hints)
    def look() -> str: return text
    return look

def a_result(folder): return in_file(folder, [call("look"), "done"], [echoing(f"env: {VALUE}")])
def a_reply_in_base64(folder): return in_file(folder, [base64.b64encode(f"key={VALUE}".encode()).decode()])
def a_task_and_labels(folder): return in_file(folder, ["ok"], task=f"use {VALUE}", labels={"who": VALUE}, instructions=f"the key: {VALUE}")

def an_error(folder):
    @tool(read_only=True)
    def look() -> str: raise ValueError(f"cannot log in with {VALUE!r}")
    return in_file(folder, [call("look"), "done"], [look])

def a_broken_call(folder): return in_file(folder, [Reply(calls=(call("look").model_copy(update={"broken": '{"a": "' + VALUE}),)), "done"], [echoing("x")])

def a_preview(folder):
    @tool(preview=lambda: f"posts {VALUE}")
    def act() -> str: return "done"
    run = Agent(Scripted([call("act")]), [act], store=f"sqlite:///{folder}/runs.db").run("go")
    asyncio.run(run.until())
    return shown(run) + repr(run.pending[0]) + repr(run.tip.requests) + str(run.tip.requests[0]._repr_html_())

class Drawn:
    def _repr_html_(self): return f"<b>{VALUE}</b>"

def a_drawing_beside_a_result(folder):
    @tool(read_only=True)
    def look() -> Drawn: return Drawn()
    return in_file(folder, [call("look"), "done"], [look])

def the_whole_of_a_cut_result(folder): return in_file(folder, [call("look"), "done"], [echoing("x\n" * 500 + VALUE, result_limit=40)])

def a_kept_result(folder):
    @tool(idempotent=True)
    def act() -> str: return VALUE
    return in_file(folder, [call("act"), "done"], [act], unattended="approve")

def a_tape(folder):
    tape = Tape(folder/"a.tape", mode="auto")
    ran_on = Agent(tape(Scripted([f"with {quote(VALUE, safe='')}"])), instructions=f"use {VALUE}", store="memory:").run("go")
    asyncio.run(ran_on.wait())
    return (folder/"a.tape").read_text()

def a_backup(folder):
    run = ran([f"it is {VALUE}"], store=f"sqlite:///{folder}/runs.db")
    copy = run.store.backup(folder/"copy.db")
    return copy.read_bytes().decode("latin-1") + ("" if stat.S_IMODE(copy.stat().st_mode) == 0o600 else VALUE)

def graph_of(value_of, folder):
    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    from agentnb.langgraph.saver import AgentnbSaver
    class Held(TypedDict, total=False):
        held: object
        got: str
    got = []
    def first(s): return {"held": value_of()}
    def second(s):
        got.append(s["held"])
        return {"got": "yes"}
    graph = StateGraph(Held).add_node("first", first).add_node("second", second).add_edge(START, "first").add_edge("first", "second").add_edge("second", END)
    made = graph.compile(AgentnbSaver(f"sqlite:///{folder}/graph.db"), interrupt_after=["first"])
    config = {"configurable": {"thread_id": "t"}}
    made.invoke({}, config)
    made.invoke(None, config)
    assert got == [value_of()], "the node takes the value itself"
    return "".join(p.read_bytes().decode("latin-1") for p in folder.iterdir())

def a_checkpoint(folder): return graph_of(lambda: {"key": VALUE}, folder)
def a_checkpoint_of_a_set(folder): return graph_of(lambda: {VALUE, "b"}, folder)
def a_checkpoint_of_messages(folder):
    from langchain_core.messages import HumanMessage
    return graph_of(lambda: [HumanMessage(f"use {VALUE}", id="m")], folder)

def a_written_conversation(folder): return json.dumps(write_messages([user(f"use {VALUE}")]) + write_messages([user(VALUE)], format="anthropic"))

def a_test(folder):
    run = ran([f"it is {VALUE}", "done"], task=f"use {VALUE}")
    run.to_test(folder/"test_it.py", agent="somewhere:agent", at=1)
    return "".join(p.read_text() for p in folder.iterdir())

def a_stream(folder):
    heard = []
    def model(messages, tools): return f"the key {VALUE} is it"
    run = Agent(Scripted(model), store="memory:").run("go")
    run.listeners.append(lambda d: heard.append(d.text))
    asyncio.run(run.wait())
    return "".join(heard)

def a_warning(folder):
    run = Agent(Scripted(["hello there"]), store="memory:").run("go")
    def fails(delta): raise RuntimeError(f"no {VALUE}")
    run.listeners.append(fails)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        asyncio.run(run.wait())
    assert said
    return "\n".join(str(w.message) for w in said)

def a_lent_tool(folder):
    from agentnb.mcp.server import MCPServer
    @tool(read_only=True)
    def look(key: str) -> str: return f"{VALUE} for {key}"
    server = MCPServer([look])
    return repr(asyncio.run(server._run_tool(server.tools["look"], {"key": "‹secret:SHOP_PASSWD›"}, "k")))

ATTEMPTS = [(a_result, 7), (a_reply_in_base64, 14), (a_task_and_labels, 28), (an_error, 11), (a_broken_call, 16),
    (a_preview, 7), (a_drawing_beside_a_result, 10), (the_whole_of_a_cut_result, 3), (a_kept_result, 8), (a_tape, 2),
    (a_backup, 3), (a_checkpoint, 2), (a_checkpoint_of_a_set, 2), (a_checkpoint_of_messages, 2), (a_written_conversation, 2),
    (a_test, 8), (a_stream, 1), (a_warning, 1), (a_lent_tool, 1)]

def found_in(text, *values): return sorted({form for value in values or (VALUE,) for form in forms_of(value) if form in text})

@pytest.mark.parametrize("attempt, before", ATTEMPTS, ids=lambda x: getattr(x, "__name__", f"{x} before"))
def test_an_attempt_gets_a_name_at_most(tmp_path, monkeypatch, attempt, before):
    monkeypatch.setenv("SHOP_PASSWD", VALUE)
    assert before and found_in(attempt(tmp_path)) == []

@tool(read_only=True)
def measure(key: str) -> str: return f"{len(key)} characters"

def test_a_run_from_elsewhere_gives_no_right_to_a_secret(monkeypatch):
    "The task of an imported run names a secret of this machine"
    monkeypatch.setenv("SHOP_PASSWD", VALUE)
    there, here = open_store("memory:"), open_store("memory:")
    def agent(store): return Agent(Scripted([call("measure", key="‹secret:SHOP_PASSWD›"), "done"]), [measure], store=store)
    first = agent(there).run("use ‹secret:SHOP_PASSWD›", run_id="r1")
    asyncio.run(first.step())
    lines = list(export_runs(there, ["r1"]))
    import_runs(here, lines)
    run = agent(here).load("r1")
    asyncio.run(run.wait())
    assert run.tip.messages[2].failure.kind == "permission_denied"
    asyncio.run(first.wait())
    assert first.tip.messages[2].content == f"{len(VALUE)} characters"

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=1000, exclude_characters="‹›", categories=("L", "N", "P", "S")), min_size=12,
    max_size=40).filter(is_secret)
PLACES = st.lists(st.integers(0, 1), min_size=10, max_size=10)

@given(SECRET, SECRET, PLACES)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_value_is_found_anywhere_and_the_call_is_made_with_it(tmp_path_factory, first, second, places):
    """Two random secrets, one of the environment under a name of its own and one added, in the task, instructions, labels, an example, arguments, results,
    what is drawn beside them, replies, previews and failures: then the file's bytes with its `-wal`, a backup, the export, the tape, every page and every
    repr are searched in every form"""
    folder, got, heard, seen, values = tmp_path_factory.mktemp("everywhere"), [], [], [], (first, second)
    said = [values[i] for i in places]
    references = ["‹secret:PATH_PASSWD›", "‹secret:PATH_ADDED›"]

    class Beside:
        def _repr_html_(self): return f"<i>{html.escape(said[0])}</i>"

    @tool(read_only=True, preview=lambda key: f"sends {said[1]}")
    def send(key: str) -> dict:
        got.append(key)
        return {"echo": key, "url": quote(said[2], safe=""), "b": base64.b64encode(f"u:{said[3]}".encode()).decode(), "drawn": Beside()}

    @tool(preview=lambda key: f"would send {said[4]} and {key}")
    def act(key: str) -> str: raise ToolError("internal", f"refused {key}", f"not {said[5]!r}")

    def model(messages, tools):
        seen.append(repr(messages))
        calls = (call("send", key=references[0]), call("send", key=f"a {references[1]}"))
        script = [Reply(content=f"with {said[6]}", thinking=f"I have {said[7]}", calls=calls),
            [call("act", key=said[8])], f"done, {said[9]} and {json.dumps(said[6])}"]
        return script[len(seen) - 1]

    os.environ["PATH_PASSWD"] = first
    secrets.add("PATH_ADDED", second)
    try:
        tape = Tape(folder/"a.tape", mode="auto")
        agent = Agent(tape(Scripted(model)), [tape(send), act], instructions=f"use {said[0]}", store=f"sqlite:///{folder}/runs.db", labels={"who": said[1]},
            examples=[user(f"for example {said[2]}"), assistant("yes")])
        run = agent.run(f"send {first} and {second} on")
        run.listeners.append(lambda d: heard.append(d.text))
        asyncio.run(run.until())
        asked = [repr(run.pending), inbox(run.store)._repr_html_(), *(r._repr_html_() for r in run.tip.requests)]
        run.pending[0].approve(args={"key": said[8]})
        asyncio.run(run.wait())
        assert got == [first, f"a {second}"] or first == second
        run.store.backup(folder/"copy.db")
        files = "".join(p.read_bytes().decode("utf-8", "replace") for p in folder.iterdir())
        things = [run, agent, send, act, run.state, *run.steps, *run.tip.messages, *run.tip.requests]
        pages = [*(repr(x) for x in things), *(x._repr_html_() or "" for x in things), *asked, browse(run.store)._repr_html_(), spent(run.store)._repr_html_(),
            dashboard(run.store)._repr_html_(), chat_html(run.steps), json.dumps(write_messages(run.tip.messages)), str(run), repr(run.result)]
        everything = "\n".join([files, *export_runs(run.store), *pages, *heard, *seen])
        assert not found_in(everything, first, second) and all(r in everything for r in references)
        assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    finally:
        del os.environ["PATH_PASSWD"]
        secrets.forget("PATH_ADDED")
