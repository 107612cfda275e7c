"""What a held graph's channels hold is shown at each step, in the stepper and on the static page; so is where a run was inside a subgraph."""
import asyncio, operator, re
from typing import Annotated, Any, TypedDict

import pytest
from needs import need_modules

need_modules("langgraph", "numpy")
import numpy as np  # noqa: E402
from agentnb import hold  # noqa: E402
from agentnb.langgraph.shape import Visits  # noqa: E402
from agentnb.ui.stepper import page_of  # noqa: E402
from langgraph.checkpoint.memory import InMemorySaver  # noqa: E402
from langgraph.graph import START, StateGraph  # noqa: E402
from langgraph.types import interrupt  # noqa: E402


class Incident(TypedDict, total=False):
    table: Any
    log: Annotated[list, operator.add]


def act(name): return lambda state: {"log": [name]}
def load(state): return {"table": np.arange(6.0).reshape(2, 3), "log": ["load"]}
def ask(state): return {"log": [str(interrupt("How many?"))]}


def graph(saver=None):
    inner = StateGraph(Incident).add_node("drain", act("drain")).add_node("ask", ask).add_node("rest", act("rest"))
    inner = inner.add_edge(START, "drain").add_edge("drain", "ask").add_edge("ask", "rest").compile()
    builder = StateGraph(Incident).add_node("load", load).add_node("repair", inner).add_edge(START, "load").add_edge("load", "repair")
    return builder.compile(checkpointer=saver or InMemorySaver(), name="incident")


def test_channels_are_shown_at_each_step(monkeypatch):
    saver = InMemorySaver()
    run = hold(graph(saver), {"log": []}, store="memory:", thread_id="t1")
    asyncio.run(run.until())
    at_load = next(s.index for s in run.steps if s.kind == "note" and s.body.tool == "load")
    assert run.channels_at(at_load).now["log"] == ["load"] and "table" not in run.channels_at(at_load).before
    html = page_of(run, tab="State", index=at_load)["html"]
    assert "Channels" in html and "table" in html and "6" in html and "0x" not in html and html.index("Channels") < html.index("messages")
    assert "repair" not in page_of(run, tab="State", index=at_load, find="load")["html"]
    again = hold(graph(saver), thread_id="t1", store=run.store)
    assert again.channels_at(at_load) == run.channels_at(at_load), "read from the saver"
    assert "<summary>Channels</summary>" in again._repr_html_()
    run.pending[0].answer("2")
    asyncio.run(run.until())
    assert run.channels_at().now["log"][-1] == "rest" and run.channels_at(at_load).now["log"] == ["load"]


def test_a_saver_that_only_waits_shows_what_was_seen_here():
    class OnlyAsync(InMemorySaver):
        def get_tuple(self, config): raise RuntimeError("only async")
        async def aget_tuple(self, config): return InMemorySaver.get_tuple(self, config)
        def list(self, *args, **kwargs): raise RuntimeError("only async")
    saver = OnlyAsync()
    run = hold(graph(saver), {"log": []}, store="memory:", thread_id="t1")
    asyncio.run(run.until())
    assert run.channels_at().now["log"] == ["load"]
    again = hold(graph(saver), thread_id="t1", store=run.store)
    assert again.channels_at().now == {} and "Channels" not in page_of(again, tab="State")["html"]


@pytest.mark.parametrize("value", ["sk-ant-api03-" + "aB3" * 30, {"deep": [np.ones(9)] * 300}, "x" * 10**6, float("nan"), b"\xff"])
def test_any_value_of_a_channel_is_shown(value):
    builder = StateGraph(Incident).add_node("put", lambda state: {"table": value}).add_edge(START, "put")
    run = hold(builder.compile(), {"log": []}, store="memory:")
    asyncio.run(run.wait())
    html = page_of(run, tab="State")["html"].partition("<h4>State</h4>")[0]
    assert "table" in html and " at 0x" not in html and "sk-ant-api03-aB3" not in html and len(html) < 200_000


@pytest.mark.parametrize("heard", [False, True])
def test_visits_inside_a_subgraph_are_marked(heard):
    run = hold(graph(), {"log": []}, store="memory:", thread_id="t1")
    if heard: run.listeners.append(lambda delta: None)
    asyncio.run(run.until())
    def boxes(): return dict(re.findall(r"<title>(\w+): ([^<]*)</title>", run.graph_html()))
    assert boxes()["drain"].startswith("1 time") and boxes()["rest"] == "not yet"
    run.pending[0].answer("2")
    asyncio.run(run.wait())
    assert [n for n in ("drain", "ask", "rest", "load", "repair") if not boxes()[n].startswith("1 time")] == []
    notes = [p for s in run.steps if s.kind == "note" for p in s.body.inside]
    assert notes == ["repair / drain", "repair / ask", "repair / rest"]
    early = run.graph_html(0)
    assert dict(re.findall(r"<title>(\w+): ([^<]*)</title>", early))["drain"] == "not yet"


def test_what_is_deeper_is_told_apart():
    seen = Visits(inside=["a / b", "a / b / c", "b / c", "a / d"])
    assert seen.within("a").supersteps == [["b"], ["d"]] and seen.within("a").within("b").supersteps == [["c"]] and seen.within("x").supersteps == []
