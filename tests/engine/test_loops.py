"""When an agent turns in circles: 20 recorded runs without a false alarm (tests/data/tau, MIT, Copyright (c) 2024 Sierra), and circles of every size."""
import gzip, json, time

import pytest
from places import DATA

from agentnb import call
from agentnb.engine.loops import find_loop
from agentnb.core.messages import Failure, assistant, result, user

RUNS = json.loads(gzip.decompress((DATA/"tau"/"airline_runs.json.gz").read_bytes()))


def messages_of(turns, people=True):
    "A recorded run as messages, each with those before it at the moments when a model was asked"
    said, waiting, n = [], [], 0
    for t in turns:
        if t["role"] == "user":
            if people: said.append(user(t["content"]))
        elif t["role"] == "assistant":
            waiting = [call(name, **args).model_copy(update={"id": f"c{(n := n + 1)}"}) for name, args in t.get("calls", ())]
            said.append(assistant(t["content"] or "", *waiting))
        else:
            said.append(result(waiting.pop(0), t["content"]))
            yield list(said)


def alarms(people=True): return [found for run in RUNS for said in messages_of(run["turns"], people) if (found := find_loop(said))]


def test_recorded_runs_raise_no_alarm():
    results = sum(t["role"] == "tool" for run in RUNS for t in run["turns"])
    assert (len(RUNS), results) == (20, 123)
    assert alarms() == []
    assert [c.tool for c in alarms(people=False)] == ["update_reservation_flights"], "refused three times in a row, if nobody had spoken in between"


def test_a_recorded_run_that_hangs_is_noticed():
    "Each of the 123 calls, made again and again as a model does that hangs: noticed at the third, not before"
    for run in RUNS:
        for said in messages_of(run["turns"]):
            last, answer = said[-2:]
            if last.role != "assistant" or not last.calls: continue
            again = [last.model_copy(update=dict(calls=(last.calls[0].model_copy(update={"id": "again"}),))), answer.model_copy(update=dict(call_id="again"))]
            assert not find_loop(said + again) and find_loop(said + again * 2).signature == last.calls[0].signature


def replies(text, results=None):
    "A letter is a reply with one call, `(ab)` one with two; the result is the letter too, unless another is given"
    said, n, group = [], 0, None
    for i, letter in enumerate(text):
        if letter == "(": group = []
        elif letter == "!": said.append(user("Go on."))
        elif letter != ")":
            c = call("look", at=letter).model_copy(update={"id": f"c{(n := n + 1)}"})
            answer = result(c, (results or {}).get(i, letter))
            if group is None: said += [assistant("", c), answer]
            else: group.append((c, answer))
        if letter == ")": said += [assistant("", *(c for c, _ in group)), *(a for _, a in reversed(group))]; group = None
    return said


@pytest.mark.parametrize("text, circles", [("a", 0), ("aa", 0), ("aaa", 1), ("baaa", 1), ("abab", 1), ("cabab", 1), ("aba", 0), ("abcab", 0), ("abcabc", 0),
    ("abcabcabc", 1), ("abcdabcdabcd", 1), ("axaya", 0), ("axayazab", 0), ("aa!a", 0), ("a!aaa", 1), ("(ab)(ab)(ab)", 1), ("(ab)(ac)(ad)", 0), ("(aaa)", 0),
    ("(ab)c(ab)c", 1)])
def test_circles(text, circles): assert bool(find_loop(replies(text))) == bool(circles)


def test_polling_is_no_circle_once_something_changes():
    assert find_loop(replies("aaa", {2: "ready"})) is None and find_loop(replies("aaaa", {1: "50 %", 2: "70 %"})) is None


def test_a_failure_counts_as_a_result():
    failed = [m.model_copy(update=dict(content="", failure=Failure(kind="timeout", message="x"))) if m.role == "tool" else m for m in replies("aaa")]
    assert find_loop(failed) and not find_loop([*replies("a"), *failed[2:]])


def test_calls_that_are_left_of_a_rate_do_not_hide_a_circle():
    said = {i: f"pending\n({9 - i} of 10 calls left in 60 s)" for i in range(3)}
    assert find_loop(replies("aaa", said)).args == dict(at="a")


def test_a_long_run_costs_no_more():
    "Only the window is looked at, whatever lies before it"
    def seconds(said):
        began = time.perf_counter()
        for _ in range(200): find_loop(said)
        return time.perf_counter() - began
    short, long = replies("abcdefghij" * 6), replies("abcdefghij" * 600)
    assert min(seconds(long) for _ in range(3)) < 5 * min(seconds(short) for _ in range(3))
