"What a node or an edge of a held graph raises is an error of the run, and the event loop lives."
import asyncio

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from agentnb import hold


@pytest.mark.parametrize("kind", ["plain", "async", "edge"])
@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), BaseExceptionGroup("g", [SystemExit(1)])])
def test_a_node_that_wants_to_end_more_than_itself_fails_as_a_node(kind, error):
    def leave(state): raise error
    async def later(state): raise error
    graph = StateGraph(dict)
    graph.add_node("a", {"plain": leave, "async": later, "edge": lambda state: {}}[kind])
    graph.add_edge(START, "a")
    if kind == "edge": graph.add_conditional_edges("a", leave, [END])
    run = hold(graph.compile(checkpointer=InMemorySaver()), {"n": 1}, thread_id="t", store="memory:")
    with pytest.raises(Exception, match="would end more than this call|raised asyncio.CancelledError"): asyncio.run(run.wait())
    assert run.status == "failed" and type(error).__name__ in run.steps[-1].body.text


LEAVING = [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), StopIteration(), BaseExceptionGroup("g", [SystemExit(1)])]


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("error", LEAVING, ids=lambda e: type(e).__name__)
def test_a_tool_of_langgraphs_own_node_that_wants_to_end_more_fails_as_a_tool(kind, error):
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.graph import MessagesState
    from langgraph.prebuilt import ToolNode

    def leave(what: str) -> str:
        "Leave"
        raise error

    async def later(what: str) -> str:
        "Leave"
        raise error
    made = tool("leave")(leave if kind == "plain" else later)
    asked = AIMessage("", tool_calls=[dict(name="leave", args=dict(what="x"), id="c1")])
    graph = StateGraph(MessagesState).add_node("ask", lambda state: {"messages": [asked]}).add_node("tools", ToolNode([made]))
    graph.add_edge(START, "ask").add_edge("ask", "tools")
    run = hold(graph.compile(checkpointer=InMemorySaver()), {"messages": [("user", "go")]}, thread_id="t", store="memory:")
    with pytest.raises(Exception): asyncio.run(run.wait())  # noqa: B017
    assert run.status == "failed" and type(error).__name__ in run.steps[-1].body.text
    original = made.func if kind == "plain" else made.coroutine
    assert original is (leave if kind == "plain" else later), "the graph that was given is as it was"


@pytest.mark.parametrize("error", LEAVING, ids=lambda e: type(e).__name__)
def test_a_node_of_a_subgraph_fails_as_a_node(error):
    def leave(state): raise error
    innermost = StateGraph(dict).add_node("c", leave).add_edge(START, "c").compile()
    inner = StateGraph(dict).add_node("b", innermost).add_edge(START, "b").compile()
    graph = StateGraph(dict).add_node("a", inner).add_edge(START, "a").compile(checkpointer=InMemorySaver())
    run = hold(graph, {"n": 1}, thread_id="t", store="memory:")
    with pytest.raises(Exception): asyncio.run(run.wait())  # noqa: B017
    assert run.status == "failed" and type(error).__name__ in run.steps[-1].body.text
    assert "inner" not in (run.graph_html() or "") or run.graph_html().count("<details>") >= 1


def test_tools_that_stay_are_called_as_before():
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.graph import MessagesState
    from langgraph.prebuilt import ToolNode

    @tool
    def double(n: int) -> int:
        "Twice"
        return 2 * n
    asked = AIMessage("", tool_calls=[dict(name="double", args=dict(n=21), id="c1")])
    graph = StateGraph(MessagesState).add_node("ask", lambda state: {"messages": [asked]}).add_node("tools", ToolNode([double]))
    graph.add_edge(START, "ask").add_edge("ask", "tools")
    run = hold(graph.compile(checkpointer=InMemorySaver()), {"messages": [("user", "go")]}, thread_id="t", store="memory:")
    asyncio.run(run.wait())
    assert run.tip.messages[-1].content == "42" and "double" in run.tip.tools
