"""Graphs whose state holds what no JSON is: they run, are shown, are edited, and a wrong value never ends a run for good."""
# ruff: noqa: E402
import asyncio, operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from needs import need_modules

need_modules("langgraph")

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, Field

from agentnb import assistant, open_store
from agentnb.core.objects import object_text, plain_value, same_value
from agentnb.langgraph.held import hold


class Tensor:
    "Like torch: `==` gives no bool, and its truth is an error"
    def __init__(self, *held): self.held = list(held)
    def __eq__(self, other): return Tensor(*(a == b for a, b in zip(self.held, other.held)))
    def __bool__(self): raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")


class Raises(Tensor):
    def __eq__(self, other): raise RecursionError("compared")
    def __repr__(self): raise KeyError("no words")
    __str__ = __repr__


class Lies(Tensor):
    def __eq__(self, other): return True
    def __repr__(self): return None  # type: ignore[return-value]


class Exits(Tensor):
    def __eq__(self, other): raise SystemExit(1)
    def __repr__(self): raise SystemExit(1)


@dataclass
class Reading:
    service: str
    values: Any = None


class Plan(BaseModel):
    goal: str
    pods: int = Field(default=1, gt=0)
    found: Any = None


class Open(TypedDict, total=False):
    table: Any
    log: Annotated[list, operator.add]


def pickling(): return InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=True))


@pytest.mark.parametrize("make", [lambda n: Tensor(n, 2), lambda n: Raises(n), lambda n: Lies(n), lambda n: Exits(n), lambda n: Reading("a", Tensor(n)),
    lambda n: Plan(goal="up", found=Tensor(n)), lambda n: {"deep": [{"er": Tensor(n)}]}, lambda n: HumanMessage(f"slow {n}"), lambda n: {(1, n): b"\0\xff"}])
def test_any_object_in_the_state_is_compared_by_what_it_holds_and_shown(make):
    assert same_value(make(1), make(1)) and not same_value(make(1), make(2)) and not same_value(make(1), None)
    assert len(object_text(make(1))) <= 200 and plain_value(make(1)) is not None
    g = StateGraph(Open).add_node("load", lambda s: {"table": make(1)}).add_node("rest", lambda s: {"log": ["y"]})
    g.add_node("clean", lambda s: {"table": make(2), "log": ["x"]})
    run = hold(g.add_edge(START, "load").add_edge("load", "clean").add_edge("clean", "rest").compile(pickling()), {"log": []}, store="memory:")
    asyncio.run(run.wait())
    told = [s.body.text for s in run.steps if s.kind == "note" and s.body.tool]
    assert ["table" in t for t in told] == [True, True, False], told
    assert "Agent run" in run._repr_html_()


def test_values_that_cannot_be_compared_are_said_to_differ_and_nothing_raises():
    loop: dict[str, Any] = {}
    loop["in"] = loop
    other: dict[str, Any] = {"in": loop}
    assert same_value(loop, loop) and same_value(float("nan"), float("nan")) and not same_value(1, True) and not same_value(iter(""), iter("a"))
    assert same_value([loop], [other]) in (True, False) and "…" not in str(plain_value([1] * 100)) and "more" in str(plain_value([1] * 101))
    assert plain_value(loop, 3)


def test_arrays_and_frames_by_their_own_comparison():
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    gap = np.array([1.0, np.nan])
    assert same_value(gap, gap.copy()) and not same_value(gap, gap[:1]) and not same_value(np.array([1]), np.array([1.0])) and not same_value(gap, [1.0])
    assert same_value(np.array([{"a": 1}], dtype=object), np.array([{"a": 1}], dtype=object)) and same_value(np.float64("nan"), np.float64("nan"))
    frame = pd.DataFrame({"x": [1.0, np.nan]})
    assert same_value(frame, frame.copy()) and not same_value(frame, frame.fillna(0)) and not same_value(frame.x, frame.x.rename("y").add(1))
    assert plain_value({"f": frame, "a": np.zeros((30, 4)), "n": np.int64(3)}) == {"f": "DataFrame 2 × 1 (x)", "a": "ndarray 30 × 4 float64", "n": "3"}


class Typed(BaseModel):
    tries: int = Field(default=0, ge=0, le=9)
    plan: Plan | None = None
    reading: Reading | None = None
    log: Annotated[list[str], operator.add] = []


def typed(seen):
    def first(s): return {"log": ["first"]}
    def second(s):
        seen.append(s)
        return {"log": ["second"]}
    return StateGraph(Typed).add_node("first", first).add_node("second", second).add_edge(START, "first").add_edge("first", "second").compile(pickling())


@pytest.mark.parametrize("values, said", [({"tries": "soon"}, "tries does not fit .*valid integer"), ({"tries": 10}, "less than or equal to 9"),
    ({"plan": {"goal": 3}}, "goal"),
    ({"plan": {"goal": "x", "pods": 0}}, "greater than 0"), ({"log": "text"}, "valid list"),
    ({"reading": {"values": 1}}, "service"), ({"tries": None}, "tries")])
def test_an_edit_is_checked_against_the_schema_before_it_is_logged(values, said):
    run = hold(typed(seen := []), {"log": []}, store="memory:")
    asyncio.run(run.until(kind="note"))
    asyncio.run(run.step())
    before = len(run.steps)
    with pytest.raises(ValueError, match=said): run.edit(values=values)
    assert len(run.steps) == before and asyncio.run(run.wait()) and len(seen) == 1


def test_json_of_an_edit_becomes_what_the_schema_says(tmp_path):
    run = hold(typed(seen := []), {"log": []}, thread_id="t", store=f"sqlite:///{tmp_path}/runs.db")
    asyncio.run(run.step())
    asyncio.run(run.step())
    run.edit(values={"plan": {"goal": "up", "pods": 3}, "reading": {"service": "a"}, "tries": 2})
    asyncio.run(run.wait())
    assert seen[0].plan == Plan(goal="up", pods=3) and seen[0].reading == Reading("a") and seen[0].tries == 2


def test_an_edit_with_values_that_are_no_json_survives_in_the_log(tmp_path):
    np = pytest.importorskip("numpy")
    saver, seen = pickling(), []
    def look(s):
        seen.append(s["table"])
        return {"log": ["looked"]}
    g = StateGraph(Open).add_node("load", lambda s: {"table": np.arange(3.0)}).add_node("look", look)
    g = g.add_edge(START, "load").add_edge("load", "look").compile(saver)
    store = f"sqlite:///{tmp_path}/runs.db"
    run = hold(g, {"log": []}, thread_id="t", store=store)
    asyncio.run(run.step())
    asyncio.run(run.step())
    run.edit(values={"table": np.array([7.0, np.nan])})
    again = hold(g, thread_id="t", store=open_store(store))
    fork = again.fork(values={"table": [1, 2]}, run_id="t2")
    asyncio.run(again.wait())
    asyncio.run(fork.wait())
    assert same_value(seen[0], np.array([7.0, np.nan])) and same_value(seen[1], np.array([1.0, 2.0])), "a list becomes an array where an array stands"
    with pytest.raises(ValueError, match="table cannot be written down"): again.fork(values={"table": (n for n in "")})


def test_a_credential_inside_stored_bytes_is_refused(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "s3cr3t-s3cr3t")
    g = StateGraph(Open).add_node("a", lambda s: {"table": 1}).add_node("b", lambda s: {}).add_edge(START, "a").add_edge("a", "b").compile(pickling())
    run = hold(g, {"log": []}, store="memory:")
    asyncio.run(run.step())
    with pytest.raises(ValueError, match="credential"): run.edit(values={"table": {("a", 1): "s3cr3t-s3cr3t"}})


def test_a_run_that_a_bad_value_broke_is_repaired_by_an_edit():
    def route(s): return {"x": "close", "y": "close"}[s["table"]]
    g = StateGraph(Open).add_node("look", lambda s: {"table": "x"}).add_node("close", lambda s: {"log": [s["table"].upper()]})
    run = hold(g.add_edge(START, "look").add_conditional_edges("look", route, ["close"]).compile(pickling()), {"log": []}, store="memory:")
    asyncio.run(run.step())
    asyncio.run(run.step())
    run.edit(values={"table": 5})
    for _ in range(2):
        with pytest.raises(KeyError): asyncio.run(run.wait())
        assert run.status == "failed"
    run.edit(values={"table": "y"})
    asyncio.run(run.wait())
    assert run.status == "done" and asyncio.run(run.values())["log"] == ["Y"]


def test_messages_of_an_edit_are_messages_for_the_node():
    seen = []
    def say(s):
        seen.append(s["messages"])
        return {"messages": [("ai", "done")]}
    g = StateGraph(MessagesState).add_node("a", lambda s: {}).add_node("say", say).add_edge(START, "a").add_edge("a", "say").compile(InMemorySaver())
    for values in ([{"role": "user", "content": "hi"}], [HumanMessage("hi")], [("user", "hi")]):
        run = hold(g, {"messages": [("user", "slow")]}, store="memory:")
        asyncio.run(run.step())
        asyncio.run(run.step())
        run.edit(values={"messages": values})
        assert asyncio.run(run.wait()) == "done" and [m.content for m in seen[-1]] == ["hi"] and isinstance(seen[-1][0], HumanMessage)
    assert run.state.messages[-1] == assistant("done")
    with pytest.raises(ValueError, match="does not fit"): run.fork(at=1, values={"messages": [{"role": "nobody"}]})


def test_a_call_with_foreign_arguments_is_shown_as_json():
    message = AIMessage("", tool_calls=[dict(name="plot", args={"of": Tensor(1)}, id="c1")])
    g = StateGraph(MessagesState).add_node("say", lambda s: {"messages": [message]}).add_edge(START, "say").compile(pickling())
    run = hold(g, {"messages": [("user", "slow")]}, store="memory:")
    asyncio.run(run.wait())
    assert run.state.messages[-1].calls[0].args == {"of": "<Tensor>"}
