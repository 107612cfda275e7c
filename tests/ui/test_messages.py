"""What the kernel takes for an answer: messages as a browser, or whoever has taken its place, could send them."""
import asyncio

import pytest

from agentnb import Agent, Scripted, call, tool
from agentnb.ui.acts import SECONDS_IN_VIEW, NotSeen, SecondYes, Shown, decide
from agentnb.ui.cards import card_of


def waiting(destructive=False, count=3):
    @tool(destructive=destructive)
    def drop(table: str) -> str: return f"{table} is gone"
    run = Agent(Scripted([tuple(call("drop", table=t) for t in "abcdef"[:count]), "done"]), [drop], store="memory:").run("x")
    asyncio.run(run.until())
    return run


class View:
    "A view of a run whose clock is set by hand"
    def __init__(self, run):
        self.run, self.now = run, 100.0
        self.shown = Shown(clock=lambda: self.now)
        self.cards = [card_of(r, run.tip, run.steps) for r in run.tip.requests]
        self.shown.show(self.cards, run.run_id)

    def say(self, card, press, after=SECONDS_IN_VIEW + 0.01, **more):
        self.now += after
        message = dict(request=card["id"], seen=card["seen"], press=press, verdict="approve") | more
        decide(self.run.log, message, self.shown, self.run.run_id)

    def decided(self): return [s.body.request_id for s in self.run.steps if s.kind == "decision"]


def test_an_answer_to_what_was_seen_counts():
    view = View(waiting())
    view.say(view.cards[1], "1")
    assert view.decided() == [view.cards[1]["id"]]


def test_two_messages_for_one_press_answer_one_request():
    view = View(waiting())
    view.say(view.cards[0], "1")
    with pytest.raises(NotSeen, match="one press"): view.say(view.cards[1], "1")
    for press in ("", None, 7):
        with pytest.raises(NotSeen): view.say(view.cards[1], press)
    assert len(view.decided()) == 1


def test_answers_that_come_too_soon_are_none():
    view = View(waiting())
    with pytest.raises(NotSeen, match="less than a moment"): view.say(view.cards[0], "1", after=0.3)
    view.say(view.cards[0], "2")
    for n in range(5):
        with pytest.raises(NotSeen, match="a moment ago"): view.say(view.cards[1], f"k{n}", after=0.1)
    assert len(view.decided()) == 1


@pytest.mark.parametrize("change", [dict(request="q99"), dict(seen="0" * 16), dict(seen=None), "swap", "args"])
def test_an_answer_to_something_else_is_none(change):
    view = View(waiting())
    first, second = view.cards[:2]
    if change == "swap": change = dict(request=first["id"], seen=second["seen"])
    if change == "args":   # the request is another one than it was when it was shown
        view.run.tip.requests[0].call.args["table"] = "users"
        change = {}
    with pytest.raises(ValueError): view.say(first, "1", **change)
    assert view.decided() == []


def test_a_view_answers_only_what_it_has_shown():
    view, other = View(waiting()), Shown()
    with pytest.raises(NotSeen, match="not what the card shows"):
        decide(view.run.log, dict(request=view.cards[0]["id"], seen=view.cards[0]["seen"], press="1", verdict="approve"), other, view.run.run_id)


def test_what_may_destroy_takes_two_presses():
    view = View(waiting(destructive=True))
    card = view.cards[0]
    with pytest.raises(SecondYes): view.say(card, "0", sure="drop")   # sure, and never asked
    view = View(view.run)
    with pytest.raises(SecondYes): view.say(card, "1")
    with pytest.raises(SecondYes): view.say(card, "2")   # the same act again
    with pytest.raises(NotSeen): view.say(card, "3", after=0.1, sure="drop")
    with pytest.raises(NotSeen): view.say(card, "2", sure="drop")
    with pytest.raises(SecondYes): view.say(card, "4", sure="drop", typed=dict(table="users"))   # to other arguments
    with pytest.raises(SecondYes): view.say(card, "5", sure="rm")
    assert view.decided() == []
    view.say(card, "6", sure="drop")
    assert view.decided() == [card["id"]]


def test_a_no_takes_one():
    view = View(waiting(destructive=True))
    view.say(view.cards[0], "1", verdict="reject", message="not now")
    assert view.decided() == [view.cards[0]["id"]]
