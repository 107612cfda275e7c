"""Forks of held graphs: what was done beside a question is not done again, and what would be is named or asked.

Nodes count themselves in a list, outside of LangGraph and of agentnb.
"""
# ruff: noqa: E402
import asyncio, operator, sqlite3
from collections import Counter
from typing import Annotated, TypedDict

import pytest
from needs import need_modules

need_modules("langgraph")

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from agentnb.langgraph.held import hold
from agentnb.langgraph.saver import AgentnbSaver


class Order(TypedDict, total=False):
    out: Annotated[list, operator.add]
    item: str


@pytest.fixture(params=["memory", "sqlite", "agentnb"])
def saver(request, tmp_path):
    if request.param == "memory": return InMemorySaver()
    if request.param == "agentnb": return AgentnbSaver(f"sqlite:///{tmp_path}/saver.db")
    return SqliteSaver(sqlite3.connect(tmp_path/"lg.db", check_same_thread=False))


def shop(saver, done, inner_memory=None):
    "pay and ask side by side, with a subgraph that packs, asks, sends; then two of them that close"
    def act(name):
        def fn(s):
            done.append(name)
            return {"out": [name]}
        return fn
    def ask(name, *questions):
        def fn(s):
            said = [str(interrupt(q)) for q in questions]
            done.append(name)
            return {"out": [f"{name} {' '.join(said)}"]}
        return fn
    inner = StateGraph(Order).add_node("pack", act("pack")).add_node("label", ask("label", "address?", "size?")).add_node("send", act("send"))
    inner = inner.add_edge(START, "pack").add_edge("pack", "label").add_edge("label", "send").compile(checkpointer=inner_memory)
    g = StateGraph(Order).add_node("begin", act("begin")).add_node("pay", act("pay")).add_node("ask", ask("ask", "ship?"))
    g.add_node("parcel", inner).add_node("close", act("close"))
    g.add_edge(START, "begin").add_edge("begin", "pay").add_edge("begin", "ask").add_edge("begin", "parcel")
    return g.add_edge(["pay", "ask", "parcel"], "close").add_edge("close", END).compile(checkpointer=saver)


def answer(run, **answers):
    for p in run.pending:
        if p.question.rstrip("?") in answers: p.answer(answers[p.question.rstrip("?")])
    return asyncio.run(run.until())


def to_question(graph, **options):
    run = hold(graph, {"out": []}, store="memory:", **options)
    asyncio.run(run.until())
    asyncio.run(run.until())
    return run


def asked(run): return sorted(p.question for p in run.pending)
def out(run): return sorted(set(asyncio.run(run.values())["out"]))


@pytest.mark.parametrize("memory", [None, True])
def test_a_fork_at_a_question_runs_no_finished_node_again(saver, memory):
    run = to_question(shop(saver, done := [], memory))
    assert asked(run) == ["address?", "ship?"] and Counter(done) == dict(begin=1, pay=1, pack=1)
    fork = run.fork()
    assert asked(fork) == ["address?", "ship?"] and fork.status == "waiting" and not fork.behind
    answer(fork, ship="no", address="B")
    assert asked(fork) == ["size?"]
    answer(fork, size="XL")
    asyncio.run(fork.wait())
    assert Counter(done) == dict(begin=1, pay=1, pack=1, ask=1, label=1, send=1, close=1)
    assert {"ask no", "label B XL", "pay", "close"} <= set(out(fork)) and asked(run) == ["address?", "ship?"]
    answer(run, ship="yes", address="A")
    answer(run, size="S")
    asyncio.run(run.wait())
    assert {"ask yes", "label A S"} <= set(out(run)) and not {"ask no", "label B XL"} & set(out(run))
    assert Counter(done) == dict(begin=1, pay=1, pack=1, ask=2, label=2, send=2, close=2)


@pytest.mark.parametrize("memory", [None, True])
def test_a_fork_at_an_earlier_question_after_the_run_has_ended(saver, memory):
    run = to_question(shop(saver, done := [], memory))
    at = run.place
    answer(run, ship="yes", address="A")
    second = run.place
    answer(run, size="S")
    asyncio.run(run.wait())
    before = Counter(done)
    first = run.fork(at=at)
    assert {e.call.tool for e in first.behind} == {"ask", "parcel", "close"}, "what the fork will do again, if it comes to it"
    answer(first, ship="no", address="B")
    assert Counter(done) - before == dict(ask=1) and asked(first) == ["size?"]
    answer(first, size="M")
    asyncio.run(first.wait())
    assert Counter(done) - before == dict(ask=1, label=1, send=1, close=1) and {"ask no", "label B M"} <= set(out(first))
    before = Counter(done)
    later = run.fork(at=second)
    assert asked(later) == ["size?"], "the answers before it are shared"
    answer(later, size="XS")
    asyncio.run(later.wait())
    assert Counter(done) - before == dict(label=1, send=1, close=1) and {"ask yes", "label A XS"} <= set(out(later))


def test_a_fork_of_a_fork_has_the_answers_of_its_own_line(saver):
    run = to_question(shop(saver, done := []))
    fork = run.fork(run_id="f1")
    answer(run, ship="yes", address="A")
    answer(run, size="S")
    asyncio.run(run.wait())
    fork.pending[[p.question for p in fork.pending].index("ship?")].answer("no")
    deeper = fork.fork(run_id="f2")
    assert asked(deeper) == ["address?"] and fork.status == "waiting"
    answer(deeper, address="C")
    assert asked(deeper) == ["size?"]
    answer(deeper, size="L")
    asyncio.run(deeper.wait())
    assert {"ask no", "label C L"} <= set(out(deeper)) and done.count("pay") == done.count("pack") == 1
    answer(fork, address="D")
    third = fork.fork(run_id="f3")
    assert asked(third) == ["size?"]
    answer(third, size="M")
    asyncio.run(third.wait())
    assert {"ask no", "label D M"} <= set(out(third)) and done.count("pay") == done.count("pack") == 1


def test_a_fork_before_the_question_keeps_what_was_done_beside_it(saver):
    run = to_question(shop(saver, done := []))
    note = next(s.index for s in reversed(run.steps) if s.kind == "note")
    fork = run.fork(at=note)
    asyncio.run(fork.until())
    assert asked(fork) == ["address?", "ship?"] and Counter(done) == dict(begin=1, pay=1, pack=1)
    earlier = run.fork(at=note - 1)
    assert not earlier.pending
    asyncio.run(earlier.until(kind="request"))
    assert Counter(done) == dict(begin=2, pay=2, pack=2), "the fork was made before them, to take another way"
    assert [str(e) for e in run.fork(at=note - 1).behind] == [f"step {note}: begin, done; if the fork comes to it, it runs again"]


def test_an_edit_at_a_question_asks_before_a_finished_node_runs_again(saver):
    run = to_question(shop(saver, done := []))
    for made in (run.fork(values={"item": "book"}, run_id="f"), run):
        if made is run: run.edit(values={"item": "pen"})
        before = Counter(done)
        asyncio.run(made.until(kind="request"))
        assert [p.question for p in made.pending] == ["Run pay again? That was done before the edit, and follows it once more."] and Counter(done) == before
        if made is run:
            made.pending[0].reject()
            asyncio.run(made.until())
            assert made.status == "stopped" and made.tip.reason == "not again: pay" and Counter(done) == before
        else:
            made.pending[0].approve()
            asyncio.run(made.until())
            assert asked(made) == ["address?", "ship?"] and Counter(done) - before == dict(pay=1, pack=1)


def test_sends_and_loops(saver):
    done = []
    def work(s):
        done.append(s["item"])
        if s["item"] == "b": return {"out": [interrupt("b?")]}
        return {"out": [s["item"]]}
    def again(s): return "fan" if len(s["out"]) < 6 else END
    g = StateGraph(Order).add_node("fan", lambda s: Command(goto=[Send("work", {"item": i}) for i in "abc"]))
    g.add_node("work", work).add_node("turn", lambda s: {})
    graph = g.add_edge(START, "fan").add_edge("work", "turn").add_conditional_edges("turn", again, ["fan", END]).compile(saver)
    run = hold(graph, {"out": []}, store="memory:")
    asyncio.run(run.until(kind="request"))
    fork = run.fork()
    assert Counter(done) == dict(a=1, b=1, c=1)
    answer(fork, b="B")
    assert Counter(done) == dict(a=2, b=3, c=2) and asked(fork) == ["b?"], "the loop has come round once"
    deeper = fork.fork()
    answer(deeper, b="BB")
    asyncio.run(deeper.wait())
    assert Counter(done) == dict(a=2, b=4, c=2) and asyncio.run(deeper.values())["out"] == ["a", "B", "c", "a", "BB", "c"]


def test_a_fork_beside_a_failure_keeps_what_was_done(saver):
    done, broken = [], [1]
    def pay(s): done.append("pay"); return {"out": ["paid"]}
    def fail(s):
        if broken: raise OSError("down")
        return {"out": ["up"]}
    g = StateGraph(Order).add_node("pay", pay).add_node("fail", fail).add_edge(START, "pay").add_edge(START, "fail").compile(saver)
    run = hold(g, {"out": []}, store="memory:")
    with pytest.raises(OSError): asyncio.run(run.wait())
    broken.clear()
    fork = run.fork()
    asyncio.run(fork.wait())
    assert done == ["pay"] and set(out(fork)) == {"paid", "up"}
