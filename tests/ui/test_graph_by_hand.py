"""A held graph by hand: stepped to its question, looked at as a picture, forked there, answered in JSON; nothing runs twice."""
import pytest
from lab import shoot
from needs import need_modules
from playwright.sync_api import expect

need_modules("langgraph")
pytestmark = pytest.mark.browser

GRAPH = """
import operator
from typing import Annotated, Any, TypedDict
import numpy as np
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from agentnb import hold

class Incident(TypedDict, total=False):
    table: Any
    log: Annotated[list, operator.add]

done = []
def act(name):
    def fn(state):
        done.append(name)
        return {"log": [name]}
    return fn
def load(state):
    done.append("load")
    return {"table": np.arange(6.0).reshape(2, 3)}
def ask(state):
    pods = interrupt("How many pods?")
    done.append("ask")
    return {"log": [f"{pods!r} pods, {state['table'].sum():.0f} errors"]}

inner = StateGraph(Incident).add_node("drain", act("drain")).add_node("ask", ask).add_edge(START, "drain").add_edge("drain", "ask").compile()
builder = StateGraph(Incident).add_node("load", load).add_node("page", act("page")).add_node("repair", inner).add_node("close", act("close"))
builder.add_edge(START, "load").add_edge("load", "page").add_edge("load", "repair").add_edge(["page", "repair"], "close")
run = hold(builder.compile(checkpointer=InMemorySaver(), name="incident"), {"log": []}, store="memory:")
""".strip()


def test_a_graph_is_forked_at_its_question_and_nothing_runs_twice(notebook):
    nb = notebook(GRAPH, "run", "from collections import Counter\nprint(Counter(done), run.status)")
    nb.run_cell(0)
    nb.done(0)
    nb.run_cell(1)
    view = nb.cell(1).locator(".an-stepper")
    for _ in range(2):
        view.get_by_role("button", name="To request").click()
        expect(view.get_by_role("button", name="To request")).to_be_enabled()
        if view.get_by_text("How many pods?").count(): break
    view.get_by_text("How many pods?").first.wait_for()
    view.get_by_role("tab", name="Graph").click()
    picture = view.get_by_role("img", name="Graph incident")
    picture.wait_for()
    assert "page, 1 time; repair, 1 time, asks a question" in picture.get_attribute("aria-label")
    shoot(nb.page, "graph-question", view)
    view.get_by_role("button", name="Fork here").click()
    expect(view.get_by_label("Model", exact=True)).to_be_hidden()
    view.get_by_role("button", name="Fork", exact=True).click()
    view.get_by_text("forked").first.wait_for()
    view.get_by_role("tab").first.click()
    card = view.locator(".an-ask").first
    card.wait_for()
    card.get_by_label("as JSON").check()
    card.get_by_label("Message").fill("{pods")
    card.get_by_role("button", name="Answer").click()
    card.get_by_text("is no JSON").wait_for()
    card.get_by_label("Message").fill("7")
    shoot(nb.page, "graph-card", view)
    card.get_by_role("button", name="Answer").click()
    view.get_by_role("button", name="Run", exact=True).click()
    nb.cell(1).get_by_text("7 pods, 15 errors").first.wait_for()
    view.get_by_role("tab", name="Graph").click()
    shoot(nb.page, "graph-end", view)
    nb.run_cell(2)
    nb.done(2)
    said = nb.output(2)
    assert all(f"'{name}': 1" in said for name in ("load", "page", "drain", "ask", "close")) and "waiting" in said
