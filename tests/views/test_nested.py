"""A page of a run with the runs that it called: to any depth, as they were, with what they cost and ask; nothing is read for a run that called none."""
import asyncio
from decimal import Decimal

import pytest

from agentnb import Agent, Budget, Reply, Scripted, call, open_store, tool
from agentnb.agent import Ticks
from agentnb.core.messages import Usage
from agentnb.ui.inbox import inbox
from agentnb.ui.runs import Query, browse
from agentnb.views.children import Nested, agents_html, called_in
from agentnb.views.html import run_html
from xss import CORPUS, Reader


def harmless(html):
    Reader().feed(html)
    assert not any(c in html for c in "\x00\x07\x1b\x7f\u202e\u200b\u2028")
    return html


@tool
def deploy(service: str) -> str:
    "Deploy `service`"
    return f"{service} is out"


@tool(read_only=True)
def look(what: str) -> str:
    "Look at `what`"
    return f"{what} is fine"


def say(text="", *calls, cost="0.01"): return Reply(content=text, calls=calls, cost=Decimal(cost), usage=Usage(input=10, output=1))


def family(store, depth=2, asks=True):
    "A boss, and so many levels below; the lowest deploys"
    last = call("deploy", service="api") if asks else call("look", what="api")
    below = Agent(Scripted([say("", last), say("Level 0 is done.")]), [deploy, look], name="level0", store=store)
    for n in range(1, depth + 1):
        script = Scripted([say("", call(f"level{n - 1}", task=f"task {n - 1}")), say(f"Level {n} is done.")])
        below = Agent(script, [below.as_tool()], name=f"level{n}", store=store, clock=Ticks(), budget=Budget(usd=5))
    return below


class Counting:
    "A store that counts how often it is read"
    def __init__(self, store): self.store, self.reads = store, 0
    def __getattr__(self, name):
        self.reads += name in ("read", "children", "heads")
        return getattr(self.store, name)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_page_opens_to_any_depth(depth):
    run = family(open_store("memory:"), depth).run("Ship", run_id="r")
    asyncio.run(run.until())
    html = harmless(run._repr_html_())
    path = " › ".join(f"level{n}" for n in range(depth, -1, -1))
    assert html.count("child · waiting for you") == depth and f"<p><small>{path}</small></p>" in html and "run.pending[0].approve()" in html
    assert "<b>waiting for you</b>" in html and f"its children ${Decimal('0.01') * depth} · with them ${Decimal('0.01') * (depth + 1)}" in html
    run.pending[0].approve()
    asyncio.run(run.until())
    html = harmless(run._repr_html_())
    assert html.count("child · done") == depth and "child · waiting" not in html and "run.pending" not in html
    assert all(f"Level {n} is done." in html for n in range(depth + 1)) and f"with them ${Decimal('0.02') * (depth + 1)}" in html


def test_a_run_on_tape_has_its_children_as_they_were():
    run = family(open_store("memory:"), 1, asks=False).run("Ship", run_id="r")
    asyncio.run(run.until())
    done = run._repr_html_()
    shown = lambda at: run.at(at)._repr_html_()
    assert "Level 0 is done." in done and "child · done" in done
    assert "Level 0 is done." not in shown(1) and "child ·" not in shown(1)
    at_intent, after = shown(2), shown(3)
    assert "child · done</small>" in at_intent and "child · done · " in after   # it had ended, and its caller did not know yet
    moment = run.children[0].steps[2].at
    early = Nested(run.store, moment=moment).rows(run.state_at(2), run.steps[:3])
    assert "2 steps" in early and "Level 0 is done." not in early


def test_nothing_is_read_for_a_run_that_called_none():
    run = Agent(Scripted([call("look", what="x"), "Fine."]), [look], store="memory:").run("Look", run_id="r")
    asyncio.run(run.until())
    counting = Counting(run.store)
    nested = Nested(counting)
    assert nested.rows(run.tip, run.steps) and counting.reads == 0 and not nested.asked
    assert run_html(run.tip, run.steps, nested=Nested(counting)) == run_html(run.tip, run.steps) and counting.reads == 0
    parent = family(open_store("memory:"), 1, asks=False).run("Ship", run_id="r")
    asyncio.run(parent.until())
    counting = Counting(parent.store)
    assert [c.status for s in parent.steps for c in called_in(s, parent.steps, parent.tip.tools)] == ["done"] and counting.reads == 0


def test_two_that_ask_are_told_apart_as_in_pending():
    store = open_store("memory:")
    agents = [Agent(Scripted([call("deploy", service=n), "Out."]), [deploy], name=n, store=store) for n in ("one", "two")]
    script = Scripted([[call("one", task="a"), call("two", task="b")], "Done."])
    run = Agent(script, [a.as_tool() for a in agents], name="boss", store=store).run("Ship", run_id="r")
    asyncio.run(run.until())
    html = run._repr_html_()
    assert len(run.pending) == 2
    for i, p in enumerate(run.pending):
        at = html.index(f"<p><small>{' › '.join(p.path)}</small></p>")
        assert html.index(f"run.pending[{i}].approve()", at) == html.index("run.pending[", at)


def test_one_that_cannot_be_read_and_one_too_many():
    run = family(open_store("memory:"), 1, asks=False).run("Ship", run_id="r")
    asyncio.run(run.until())
    assert "There is no room" in Nested(run.store, room=0).rows(run.tip, run.steps)
    run.store.remove("r.1.0")
    html = harmless(run._repr_html_())
    assert "Level 0 is done." in html and "child · done" in html and "has no run" in html   # the result stands in the log of the caller


def test_a_run_by_hand_opens_at_its_result():
    store = open_store("memory:")
    helper = Agent(Scripted(["It is fine."]), name="helper", store=store)
    @tool(read_only=True)
    async def ask_helper(task: str) -> str:
        "Ask"
        return await helper.run(task)
    run = Agent(Scripted([call("ask_helper", task="Is it?"), "Yes."]), [ask_helper], name="boss", store=store).run("Go", run_id="r")
    asyncio.run(run.until())
    (index, called), = [(s.index, c) for s in run.steps for c in called_in(s, run.steps, run.tip.tools)]
    assert run.steps[index].kind == "tool" and called.run_id == run.children[0].run_id and "boss › helper" in run._repr_html_()


@pytest.mark.parametrize("n", range(0, len(CORPUS), 6))
def test_each_text_of_a_child_is_text(n):
    bad = CORPUS[n]
    @tool(description=bad, preview=lambda what: bad)
    def act(what: str) -> str: return bad
    store = open_store("memory:")
    child = Agent(Scripted([Reply(content=bad, calls=(call("act", what=bad),)), bad]), [act], name=bad[:60] or "x", store=store, instructions=bad)
    boss = Agent(Scripted([call("coder", task=bad), bad]), [child.as_tool(description=bad, name="coder")], name=bad[:60] or "x", store=store)
    run = boss.run(bad, run_id="r")
    asyncio.run(run.until())
    harmless(run._repr_html_()), harmless(inbox(store)._repr_html_())
    Reader().feed(agents_html(boss))
    run.pending[0].approve()
    asyncio.run(run.until())
    harmless(run._repr_html_())


def test_a_card_of_an_agent_has_its_agents_and_ends_at_a_circle():
    boss = family(open_store("memory:"))
    html = boss._repr_html_()
    assert html.index("<b>level1</b>") < html.index("<b>level0</b>") and html.count("<ul>") == 2 and "deploy, look" in html
    me = Agent(Scripted([]), name="me", store="memory:")
    me.tools = {"me": me.as_tool("Do it")}
    assert agents_html(me).count("<b>me</b>") == 1 and "again" in agents_html(me)
    assert "Its tools run" not in Agent(Scripted([]), [look], store="memory:")._repr_html_()


def test_the_list_folds_children_and_says_who_waits():
    store = open_store("memory:")
    run = family(store).run("Ship", run_id="r")
    asyncio.run(run.until())
    asyncio.run(family(store, 1, asks=False).run("Look", run_id="s").until())
    query = Query(store)
    page = query()
    rows = {r["id"]: r for r in page["rows"]}
    assert set(rows) == {"r", "s"} and page["total"] == 5 and page["tops"] == 2
    assert rows["r"]["below"] == "1 child, 1 waiting" and rows["s"]["below"] == "1 child" and rows["r"]["status"] == "waiting"
    query.opened = {"r", "r.1.0"}
    found = [(r["id"], r["depth"]) for r in query()["rows"] if r["id"] != "s"]
    assert found == [("r", 0), ("r.1.0", 1), ("r.1.0.1.0", 2)]
    query.text = "task 0"
    assert {r["id"] for r in query()["rows"]} == {"r.1.0.1.0", "s.1.0"}   # a search finds them where they are
    html = browse(store)._repr_html_()
    assert "<details><summary>1 child, 1 waiting</summary>" in html and html.index("1 child, 1 waiting") < html.index("<code>r.1.0.1.0</code>")


def test_a_list_without_children_reads_no_more():
    store = open_store("memory:")
    for i in range(3): asyncio.run(Agent(Scripted(["Fine."]), store=store).run("Look", run_id=f"r{i}").until())
    page = Query(store)()
    assert [r["below"] for r in page["rows"]] == ["", "", ""] and page["tops"] == page["total"] == 3


def test_the_inbox_says_the_path_and_names_who_goes_on():
    store = open_store("memory:")
    boss = family(store)
    run = boss.run("Ship", run_id="r")
    asyncio.run(run.until())
    box = inbox(store, boss)
    card, = box.page()["cards"]
    assert card["agent"] == "level2 › level1 › level0" and card["run"] == "r.1.0.1.0"
    assert "level2 › level1 › level0" in harmless(box._repr_html_()) and [p.path for p in store.pending()] == [("level2", "level1", "level0")]
    store.pending()[0].approve()
    assert [(a["run"], a["can"]) for a in box.page()["answered"]] == [("r", True)]
