"""A held graph is found by its labels, like any other run."""
import asyncio
from typing import TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph

from agentnb import hold, open_store


class State(TypedDict):
    service: str


def graph(): return StateGraph(State).add_node("look", lambda state: state).add_edge("__start__", "look").compile(checkpointer=InMemorySaver())


def test_a_held_graph_has_labels_and_so_do_its_forks():
    store, compiled = open_store("memory:"), graph()
    run = hold(compiled, dict(service="checkout"), thread_id="t1", store=store, labels={"case": "7"})
    assert run.labels == {"case": "7"}
    asyncio.run(run.wait())
    assert run.labels == {"case": "7"} == hold(compiled, thread_id="t1", store=store).labels and store.runs(labels={"case": "7"}) == ["t1"]
    fork = run.fork(at=1, run_id="t2", labels={"trial": "b"})
    assert fork.labels == {"case": "7", "trial": "b"} and store.runs(labels={"case": "7", "trial": "b"}) == ["t2"]


def test_labels_of_a_run_that_has_begun_stay():
    store, compiled = open_store("memory:"), graph()
    asyncio.run(hold(compiled, dict(service="checkout"), thread_id="t1", store=store, labels={"case": "7"}).wait())
    asyncio.run(hold(compiled, dict(service="search"), thread_id="t1", store=store, labels={"case": "7"}).wait())
    with pytest.raises(ValueError, match="run t1 has begun, with the labels {'case': '7'}. They stay."):
        hold(compiled, dict(service="search"), thread_id="t1", store=store, labels={"case": "8"})
    with pytest.raises(TypeError, match="labels: case is 7, which is no text"): hold(compiled, dict(service="x"), store=store, labels={"case": 7})
