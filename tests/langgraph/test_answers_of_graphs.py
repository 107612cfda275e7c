"""What is said to a held graph and by it: answers of every kind, from here and from elsewhere, a context, events while a node works."""
# ruff: noqa: E402
import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from needs import need_modules

need_modules("langgraph")

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from agentnb import Agent, RequestOpen, Scripted, call, tool
from agentnb.langgraph.graphs import to_langgraph
from agentnb.langgraph.held import hold
from agentnb.langgraph.langchain import join_names, split_names
from agentnb.ui.acts import decide
from agentnb.ui.cards import card_of


class Out(TypedDict, total=False):
    out: Any


class Size(BaseModel):
    pods: int


def asking(got, saver=None, **options):
    def ask(s):
        got.append(interrupt("how many?", **options))
        return {"out": 1}
    return StateGraph(Out).add_node("ask", ask).add_edge(START, "ask").compile(saver or InMemorySaver())


def waiting(graph, **options):
    run = hold(graph, {"out": 0}, store="memory:", **options)
    asyncio.run(run.until(kind="request"))
    return run


@pytest.mark.parametrize("value", [7, -1.5, True, False, None, [], {}, [1, None], {"a": {"b": 1}}, "7", "null", "true", "", "é"])
def test_an_answer_is_any_json_value_and_keeps_its_type(value, tmp_path):
    graph = asking(got := [])
    run = hold(graph, {"out": 0}, thread_id="t", store=f"sqlite:///{tmp_path}/runs.db")
    asyncio.run(run.until(kind="request"))
    run.pending[0].answer(value)
    asyncio.run(hold(graph, thread_id="t", store=f"sqlite:///{tmp_path}/runs.db").wait())
    assert got == [value] and type(got[0]) is type(value)


@pytest.mark.parametrize("value", [object(), {1}, float("nan"), b"x"])
def test_what_is_no_json_is_refused_in_words_and_the_question_stays(value):
    run = waiting(asking([]))
    with pytest.raises(ValueError, match="text or a JSON value"): run.pending[0].answer(value)
    assert len(run.pending) == 1


@pytest.mark.parametrize("schema, wrong, right, read", [({"type": "integer", "maximum": 9}, 40, 4, 4), ({"type": "integer"}, "many", "4", 4),
    (Size, {"pods": "x"}, {"pods": 2}, Size(pods=2)),
    ({"type": "string"}, 3, "3", "3"), ({"type": "boolean"}, "yes", "true", True)])
def test_an_answer_fits_the_schema_that_the_node_gave(schema, wrong, right, read):
    run = waiting(asking(got := [], response_schema=schema))
    with pytest.raises(ValueError, match="wants another answer"): run.pending[0].answer(wrong)
    run.pending[0].answer(right)
    asyncio.run(run.wait())
    assert got == [read]


def test_the_card_takes_json_and_says_what_is_none():
    run = waiting(asking(got := []))
    request = run.tip.requests[0]
    assert card_of(request, run.state, run.steps)["json"] == "text"
    answer = dict(request=request.request_id, verdict="answer", json=True)
    with pytest.raises(ValueError, match="is no JSON"): decide(run.log, dict(answer, message="{pods"))
    decide(run.log, dict(answer, message='{"pods": 3}'))
    asyncio.run(run.wait())
    assert got == [{"pods": 3}] and card_of(waiting(asking([], response_schema=Size)).tip.requests[0], run.state, [])["json"] == "json"


def test_an_answer_that_another_client_gave_is_seen():
    def both(s): return {}
    def ask(name): return lambda s: got.append(interrupt(name)) or {}
    got = []
    g = StateGraph(Out).add_node("a", ask("a?")).add_node("b", ask("b?")).add_node("both", both)
    graph = g.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "both").compile(InMemorySaver())
    run = waiting(graph, thread_id="t")
    other = dict(configurable=dict(thread_id="t"))
    a, b = sorted(graph.get_state(other).interrupts, key=lambda i: i.value)
    graph.invoke(Command(resume={a.id: 1}), other)
    asyncio.run(run.until())
    assert [p.question for p in run.pending] == ["b?"]
    assert [s.body.by for s in run.steps if s.kind == "decision"] == ["another client"]
    graph.invoke(Command(resume={b.id: 2}), other)
    asyncio.run(run.wait())
    assert sorted(got) == [1, 2] and run.status == "done" and not run.pending


@dataclass
class Who:
    user: str


def test_the_context_reaches_every_superstep_forks_and_threads_that_are_held_again():
    seen = []
    def node(s, runtime: Runtime[Who]):
        seen.append(runtime.context.user)
        return {}
    def ask(s, runtime: Runtime[Who]): return {"out": f"{runtime.context.user} {interrupt('go?')}"}
    g = StateGraph(Out, context_schema=Who).add_node("one", node).add_node("ask", ask).add_node("two", node)
    graph = g.add_edge(START, "one").add_edge("one", "ask").add_edge("ask", "two").compile(InMemorySaver())
    run = waiting(graph, thread_id="t", context=Who("ann"))
    fork = run.fork()
    for r, said in ((fork, "no"), (hold(graph, thread_id="t", store=run.store, context=Who("bob")), "yes")):
        r.pending[0].answer(said)
        asyncio.run(r.wait())
    assert seen == ["ann", "ann", "bob"] and asyncio.run(fork.values())["out"] == "ann no"


@pytest.mark.parametrize("is_async", [False, True])
def test_events_and_the_progress_of_nodes_are_heard_while_they_work(is_async):
    def say(s):
        get_stream_writer()({"percent": 50, "of": object()})
        return {"out": 1}
    async def say_async(s): return say(s)
    inner = StateGraph(Out).add_node("deep", say_async if is_async else say).add_edge(START, "deep").compile()
    g = StateGraph(Out).add_node("say, loudly", say_async if is_async else say).add_node("sub", inner)
    graph = g.add_edge(START, "say, loudly").add_edge("say, loudly", "sub").compile(InMemorySaver())
    run, heard = hold(graph, {"out": 0}, store="memory:"), []
    run.listeners.append(heard.append)
    asyncio.run(run.wait())
    told = [(d.kind, d.node) for d in heard]
    assert told[:3] == [("begin", "say, loudly"), ("event", ""), ("end", "say, loudly")] and ("event", "sub") in told and ("begin", "sub / deep") in told
    assert "50" in next(d.text for d in heard if d.kind == "event") and [s.body.tool for s in run.steps if s.kind == "note"][-2] == '"say, loudly"'
    run.fork(at=2, values={"out": 3})
    assert run.fork(at=2).engine.last_nodes() == ["say, loudly"]


@pytest.mark.parametrize("names", [["a"], ["a, b", "c"], ['"q"', "x"], ["a", "b", "a b"], ["a,b", "c d, e", 'f", "g'], []])
def test_names_of_nodes_come_back(names): assert split_names(join_names(names)) == names


def test_a_script_goes_to_the_end_or_is_told_what_is_open():
    run = waiting(asking(got := []))
    with pytest.raises(RequestOpen): run.run_sync()
    run.pending[0].answer(3)
    async def inside(): return run.run_sync()
    asyncio.run(inside())
    assert run.status == "done" and got == [3]


def agent_graph():
    done = []
    @tool
    def restart(service: str) -> str:
        "Restart"
        done.append(service)
        return "ok"
    agent = Agent(Scripted([[call("restart", service="a"), call("restart", service="b")], "fine"]), [restart], store="memory:")
    graph, thread = to_langgraph(agent, InMemorySaver()), dict(configurable=dict(thread_id="t"))
    graph.invoke(dict(task="go"), thread)
    return graph, thread, done


@pytest.mark.parametrize("decisions, done", [([{"type": "approve"}, {"type": "reject", "message": "no"}], ["a"]),
    ([{"type": "edit", "edited_action": {"name": "restart", "args": {"service": "c"}}}, {"type": "respond", "message": "it is up"}], ["c"])])
@pytest.mark.parametrize("legacy", [False, True])
def test_the_middleware_form_of_answers_is_understood(decisions, done, legacy):
    graph, thread, acted = agent_graph()
    old = dict(approve="accept", reject="ignore", respond="response")
    def args(d): return dict(action="restart", args=d["edited_action"]["args"]) if "edited_action" in d else d.get("message")
    said = [dict(type=old.get(d["type"], d["type"]), args=args(d)) for d in decisions]
    out = graph.invoke(Command(resume=said if legacy else dict(decisions=decisions)), thread)
    assert out["status"] == "done" and acted == done


@pytest.mark.parametrize("given, said", [({"decisions": [{"type": "approve"}]}, "1 decisions for 2 open"),
    ({"decisions": [{"type": "allow"}, {"type": "approve"}]}, "'allow'.*one of approve"),
    ({"decisions": [{"type": "edit", "edited_action": {"name": "stop", "args": {}}}, {"type": "approve"}]}, "not about 'stop'"),
    ({"decisions": ["approve", "approve"]}, "does not answer"),
    ({"decisions": [{"type": "edit", "edited_action": {"name": "restart", "args": {"service": 3}}}, {"type": "approve"}]}, "service")])
def test_a_middleware_answer_that_does_not_fit_is_refused_in_words(given, said):
    graph, thread, acted = agent_graph()
    with pytest.raises(ValueError, match=said): graph.invoke(Command(resume=given), thread)
    assert not acted and graph.invoke(Command(resume=dict(decisions=[{"type": "approve"}] * 2)), thread)["status"] == "done" and acted == ["a", "b"]
