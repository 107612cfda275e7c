"""Two runs and two states compared: forks, strangers, edits, every kind of step, and what a page shows of it."""
import asyncio, html.parser, time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentnb import Agent, Budget, Message, Reply, Rule, Scripted, Tape, Ticks, assistant, call, open_store, tool, user
from agentnb.study.compare import RunDiff, StateDiff, diff
from agentnb.log.forks import Branch, lineage
from agentnb.log.log import Log
from agentnb.core.messages import Failure, Usage
from agentnb.core.steps import Decision, Edit, Finished, Intent, Note, Replied, Request, Returned, Started


@tool(read_only=True)
def look(where: str) -> str: return f"looked at {where}"


@tool(idempotent=True)
def restart(service: str) -> str: return f"{service} restarted"


SCRIPT = [call("look", where="a"), [call("restart", service="b"), call("look", where="b")], "all done"]


def done(script=SCRIPT, run_id="r1", **options):
    run = Agent(Scripted(script), [look, restart], **dict(store="memory:", policy=[Rule(effect="allow")], clock=Ticks()) | options).run("go", run_id=run_id)
    asyncio.run(run.wait())
    return run


def numbered(script, prefix):
    "The same calls under the ids of another provider"
    count = iter(range(99))
    name = lambda c: c.model_copy(update={"id": f"{prefix}{next(count)}"})
    return [Reply(content=e) if isinstance(e, str) else Reply(calls=tuple(map(name, [e] if not isinstance(e, list) else e))) for e in script]


def test_a_run_is_the_same_as_itself_and_as_one_that_did_the_same():
    run, again = done(numbered(SCRIPT, "x")), done(numbered(SCRIPT, "y"), "r2", clock=Ticks(datetime(2027, 1, 1, tzinfo=UTC)))
    assert [s.model_dump() for s in run.steps] != [s.model_dump() for s in again.steps]
    for other in (run, again):
        found = diff(run, other)
        assert found.shared == len(run.steps) == len(other.steps) and found.pairs == ()
    assert str(diff(run, again)).splitlines()[2:] == [f"@@ steps shared: {len(run.steps)} @@"]


def test_a_run_from_a_tape_is_the_same_as_the_live_one(tmp_path):
    tape = Tape(tmp_path/"go.tape")
    live, played = done(), Agent(tape(Scripted(SCRIPT)), [tape(look), tape(restart)], store="memory:", policy=[Rule(effect="allow")]).run("go", run_id="r2")
    asyncio.run(played.wait())
    assert {s.body.source for s in played.steps if s.kind == "tool"} == {"tape"} and diff(live, played).shared == len(live.steps)


def test_a_request_is_known_by_what_it_asks():
    runs = []
    for script in (SCRIPT, [call("look", where="first"), *SCRIPT]):
        runs.append(Agent(Scripted(script), [look, restart], store="memory:").run("go"))
        asyncio.run(runs[-1].until(kind="request"))
        runs[-1].pending[0].approve()
        asyncio.run(runs[-1].wait())
    pairs = [p for p in diff(*runs).pairs if p.a and p.a.kind in ("request", "decision")]
    assert len(pairs) == 2 and all(p.same and p.a.body.request_id != p.b.body.request_id for p in pairs)


@pytest.mark.parametrize("at", [0, 2, 6])
def test_a_fork_shares_the_steps_up_to_the_cut(at):
    run = done()
    fork = run.fork(at=at, instructions="Be brief.", run_id="f1")
    asyncio.run(fork.wait())
    found = diff(run, fork)
    assert found.shared == fork.tip.parent.index + 1 and [p.b.kind for p in found.pairs if p.b][:2] == ["started", "edit"]
    assert [p.a.index for p in found.pairs if p.a] == list(range(found.shared, len(run.steps)))
    assert [p.b.index for p in found.pairs if p.b] == list(range(found.shared, len(fork.steps)))
    assert all(p.same for p in found.pairs if p.a) and sum(p.a is None for p in found.pairs) == 2
    second = run.fork(at=at, instructions="Be long.", run_id="f2")
    edits = [p for p in diff(fork, second).pairs if p.changes]
    assert [(c.name, c.before, c.after) for c in edits[0].changes] == [("instructions", "Be brief.", "Be long.")]


def test_steps_are_paired_by_kind_and_tool_and_say_what_differs():
    run = done()
    other = done([call("look", where="z"), call("look", where="more"), call("restart", service="b"), "nothing done"], "r2")
    found = diff(run, other)
    assert found.shared == 1 and all(p.a.kind == p.b.kind for p in found.pairs if p.a and p.b)
    first, result, *_ = found.pairs
    assert [(c.name, c.before, c.after) for c in first.changes] == [("calls", ["look(where='a')"], ["look(where='z')"])]
    assert [(c.name, c.before, c.after) for c in result.changes] == [("call", "look(where='a')", "look(where='z')"), ("content", "looked at a", "looked at z")]
    assert [c.name for c in found.pairs[-1].changes] == ["result"] and found.pairs[-1].a.kind == "finished"
    assert (found.a.result, found.b.result, found.b.iterations, found.b.steps) == ("all done", "nothing done", 4, len(other.steps))
    text = str(found).splitlines()
    assert text[0].startswith("--- r1  done · ") and text[1].startswith("+++ r2  done · ") and len(repr(found).splitlines()) == 1
    assert all(line[:2] in ("- ", "+ ", "  ") for line in text[3:])
    assert RunDiff.model_validate_json(found.model_dump_json()) == found


def log_of(run_id, *bodies):
    log = Log(run_id, open_store("memory:"), Ticks())
    for body in bodies: log.append(body, log.tip.iteration + isinstance(body, Replied))
    return log


def everything(prefix, service, cost):
    asked = call("restart", service=service).model_copy(update={"id": f"{prefix}1"})
    reply = Reply(calls=(asked,), cost=cost, usage=Usage(input=3), id=prefix, thinking=prefix, confidence=0.5)
    return [Started(task="go", messages=(user("go"),)), Replied(reply=reply, problems={}, seconds=len(prefix)),
        Request(request_id="q2", about="approve", question="restart?", call=asked), Decision(request_id="q2", verdict="approve", by="you", seconds=3),
        Intent(call_id=asked.id, key=prefix, session=prefix), Returned(call_id=asked.id, tool="restart", failure=Failure(kind="timeout", message="slow")),
        Note(about="loop", text="again"), Edit(messages=(user("go"), assistant("", asked), Message(role="tool", call_id=asked.id, tool="restart"))),
        Finished(status="stopped", reason="enough")]


def test_every_kind_of_step_is_compared_by_what_it_says_and_does():
    one, same = log_of("r1", *everything("x", "a", Decimal(1))), log_of("r2", *everything("yy", "a", None))
    assert diff(one, same).shared == 9
    other = diff(one, log_of("r3", *everything("z", "b", Decimal(1))))
    assert other.shared == 1 and len(other.pairs) == 8
    assert [p.a.kind for p in other.pairs if p.changes] == ["model", "request", "intent", "tool", "edit"]
    assert diff(one, same).b.cost is None and "cost unknown" in str(diff(one, same))


def test_a_state_and_the_step_before_it():
    run = done()
    assert run.at(0).diff() == diff(run.state_at(-1), run.state_at(0))
    for k in range(1, len(run.steps)):
        found = run.diff(k - 1, k)
        assert found == diff(run.state_at(k - 1), run.state_at(k)) == run.at(k).diff()
        assert (found.before == "before the first step") == (k == 0) and found.after == f"run r1 after step {k}"
    changed = {c.name: (c.before, c.after) for c in run.diff(0, len(run.steps) - 1).changes}
    assert changed["status"] == ("running", "done") and changed["result"] == (None, "all done") and changed["iteration"] == (0, 3)
    assert run.diff(3).before == "run r1 after step 3"
    assert run.diff(2, 2).changes == () and run.diff(2, 2).pairs == () and "Nothing is different" in run.diff(2, 2)._repr_html_()
    with pytest.raises(IndexError, match="run r1 has steps 0 to"): run.diff(0, 99)


def test_the_diff_of_an_edit_is_the_edit():
    run = done()
    k = run.edit(messages=[user("go"), user("but not a")], instructions="Be brief.", tools=[look], budget=Budget(tokens=9)).index
    found = run.diff(k - 1, k)
    names = {c.name: (c.before, c.after) for c in found.changes}
    assert {"instructions", "budget.tokens", "tools.restart", "status", "result"} <= set(names) and "tools.look" not in names
    assert names["tools.restart"][1] is None and names["budget.tokens"] == (None, 9)
    assert found.shared == 1 and [t.after.content for t in found.pairs if t.after] == ["but not a"]
    assert "+ instructions: Be brief." in str(found) and "+ user: but not a" in str(found)
    assert StateDiff.model_validate_json(found.model_dump_json()) == found


def test_an_open_call_and_its_request_are_in_the_state():
    run = Agent(Scripted(SCRIPT), [look, restart], store="memory:").run("go", run_id="r1")
    asyncio.run(run.until(kind="request"))
    found = {c.name: c.after for c in run.diff().changes}
    assert found["status"] == "waiting" and found["requests"] == ["restart(service='b')?"] and "asked: restart(service='b')" in found["open_calls"]


def test_only_two_of_a_sort_are_compared():
    run = done()
    for a, b in ((run, run.state), (run.state, run), (run, 3), (run.steps[0], run.steps[1])):
        with pytest.raises(TypeError, match="diff compares two runs or two states"): diff(a, b)


class Reader(html.parser.HTMLParser):
    "What a page holds: tags, and the text that is read aloud"
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert not self.open
    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
    def handle_endtag(self, tag): assert self.open.pop() == tag
    def handle_data(self, data): self.text += data + "\n"


EVIL = "</span><script>alert(1)</script>\x1b[31m\u202e"


def test_what_a_page_shows():
    run, other = done([call("look", where=EVIL), EVIL], EVIL[:6]), done([call("look", where="b"), call("look", where="c"), "fine"], "r2")
    pages = [diff(run, other)._repr_html_(), diff(run.tip, other.tip)._repr_html_(), run.diff()._repr_html_(), Branch(run_id=EVIL)._repr_html_()]
    for page in pages:
        seen = Reader(page)
        tags = {t for t, _ in seen.tags}
        assert not tags & {"script", "style", "img"} and "\x1b" not in page and "\u202e" not in page
        assert seen.tags[0] == ("div", seen.tags[0][1]) and seen.tags[0][1]["role"] == "region" and seen.tags[0][1]["aria-label"]
        assert all(attrs.get("scope") for tag, attrs in seen.tags if tag == "th") and "background" not in page
    words = Reader(pages[0]).text
    assert "only r2" in words and "changed" in words and "same" not in words.split("shared")[0] and "Totals" in words
    assert "alert(1)" in words


def test_the_line_of_forks_is_a_list_in_a_list():
    run = done()
    fork = run.fork(at=2, run_id="f1")
    fork.fork(run_id="g1")
    tree = Reader(lineage(run.store)[0]._repr_html_())
    assert [t for t, _ in tree.tags if t in ("ul", "li")] == ["ul", "li"] * 3 and tree.text.split() == "r1 f1 after step 2 g1 after step 3".split()


def test_long_runs_are_compared_in_time():
    one = done([call("look", where=str(i)) for i in range(400)] + ["end"], max_iterations=500)
    two = done([call("look", where=str(i if i < 20 else -i)) for i in range(400)] + ["end"], "r2", max_iterations=500)
    start = time.perf_counter()
    found = diff(one, two)
    assert found.shared == 41 and len(found.pairs) == len(one.steps) - 41 and time.perf_counter() - start < 20
