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
