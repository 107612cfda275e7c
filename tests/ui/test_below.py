"""What the stepper shows of runs that were called, without a browser: rows are read when they are opened, requests are answered from the top."""
import asyncio

import pytest

from agentnb import Agent, Scripted, call, open_store, tool
from agentnb.core.steps import Origin
from agentnb.ui.below import Below, Seen, cards_below, head_with
from agentnb.ui.heading import head_of, rows_of
from agentnb.ui.stepper import Link, page_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(): return "asyncio"


@tool
def deploy(service: str, pods: int = 3) -> str:
    "Deploy `service`"
    done.append((service, pods))
    return f"{service} is out"


done = []


class Counting:
    "A store that counts how often steps are read"
    def __init__(self, store): self.store, self.reads = store, 0
    def __getattr__(self, name):
        self.reads += name in ("read", "children", "heads")
        return getattr(self.store, name)


class View:
    "The browser's side of a stepper, as a list of what it was told"
    comm = None
    def __init__(self): self.head, self.said, self.answer, self.n = {}, [], None, 0
    def on_msg(self, answer): self.answer = answer
    def send(self, message): self.said.append(message)
    def last(self, kind): return next(m for m in reversed(self.said) if m["type"] == kind)
    async def tell(self, link, **message):
        self.n += 1
        link.on_message(self, dict(message, n=self.n), [])
        await asyncio.sleep(0.15)
    def close(self): pass


def family(store, boss_script=None):
    deployer = Agent(Scripted([call("deploy", service="api"), "It is out."]), [deploy], name="deployer", store=store)
    coder = Agent(Scripted([call("deployer", task="Deploy api"), "Mended."]), [deployer.as_tool()], name="coder", store=store)
    return Agent(Scripted(boss_script or [call("coder", task="Mend api"), "All is well."]), [coder.as_tool()], name="boss", store=store)


async def test_a_run_of_many_children_reads_only_what_is_opened():
    store = open_store("memory:")
    docs = Agent(Scripted(["A line."] * 50), name="docs", store=store)
    script = [*(call("docs", task=f"line {i}").model_copy(update=dict(id=f"c{i}")) for i in range(50)), "Written."]
    first = Agent(Scripted(script), [docs.as_tool()], name="boss", store=store).run("Write", run_id="r", max_iterations=60)
    await first.wait()
    assert len(first.children) == 50 and head_with(Below(first), head_of(first))["stands"] == {}   # what is sent does not grow with those that have ended
    boss = Agent(Scripted(script), [docs.as_tool()], name="boss", store=(counting := Counting(store)))
    run = boss.load("r")
    counting.reads, below = 0, Below(run)
    rows, head = rows_of(run), head_with(below, head_of(run))
    calls = [r for r in rows if "called" in r]
    assert len(calls) == 50 and {c["called"][0]["words"] for c in calls} == {"done"} and head["nested"] == [] and counting.reads == 0
    below.open(calls[7]["called"][0]["run"], Origin(run_id="r", index=calls[7]["index"]))
    assert [b["count"] for b in head_with(below, head_of(run))["nested"]] == [3] and 0 < counting.reads <= 2
    read = counting.reads
    rows_of(Seen(below.log(calls[7]["called"][0]["run"]))), head_with(below, head_of(run))
    assert counting.reads == read


async def test_a_plain_run_has_the_head_it_had_and_reads_nothing():
    run = Agent(Scripted([call("deploy", service="x"), "Fine."]), [deploy], store=(store := Counting(open_store("memory:")))).run("Hello")
    await run.until()
    store.reads, below, head = 0, Below(run), head_of(run)
    card, = page_of(run, below=below)["cards"]
    assert head_with(below, head) is head and "path" not in card and not any("called" in r for r in rows_of(run)) and store.reads == 0


@pytest.mark.parametrize("loaded", [False, True])
async def test_a_request_is_answered_from_the_top_with_other_arguments(loaded, tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    run = family(url).run("Ship", run_id="r")
    await run.until()
    if loaded: run = family(url).load("r")
    done.clear()
    view = View()
    link = Link(run, view)
    await view.tell(link, type="ready")
    await view.tell(link, type="page", tab="Step")
    card, = view.last("page")["cards"]
    assert (card["path"], card["run"], card["code"]) == ("boss › coder › deployer", "r.1.0.1.0", "run.pending[0].approve()")
    assert view.head["status"] == "waiting" and not any(view.head["can"][k] for k in ("step", "into", "out"))
    await asyncio.sleep(0.7)
    say = dict(type="decide", request=card["id"], run=card["run"], seen=card["seen"], verdict="approve", typed=dict(pods="5"), message="")
    await view.tell(link, **say, press="1")
    assert view.last("done").get("again") and run.pending   # it may destroy: a second yes
    await asyncio.sleep(0.7)
    await view.tell(link, **dict(say, sure="deploy"), press="2")
    assert not run.pending and run.status == "paused" and "approved by you" in view.last("page")["cards"][0]["decided"]
    assert await run == "All is well." and done == [("api", 5)]
    await asyncio.sleep(0.15)
    assert view.head["status"] == "done" and {c["words"] for r in rows_of(run) for c in r.get("called", ())} == {"done"}
    again = [m for m in view.said if m["type"] == "rows" and m["run"] == "r" and any(r["index"] == 2 for r in m["rows"])]
    assert again[-1]["rows"][0]["called"][0]["words"] == "done"   # the row of the call is sent again when it has ended
    link.close()


async def test_a_card_that_was_not_shown_is_not_answered(tmp_path):
    run = family(f"sqlite:///{tmp_path}/runs.db").run("Ship", run_id="r")
    await run.until()
    view = View()
    link = Link(run, view)
    p, = run.pending
    await view.tell(link, type="decide", request=p.request_id, run=p.run_id, seen="x", verdict="approve", press="1", message="")
    assert "look again" in view.last("done")["text"] and run.pending
    await view.tell(link, type="fold", run="nobody", of="r", at=2, open=True)
    assert "no run" in view.head["problem"]
    link.close()


async def test_into_opens_the_way_and_the_place_follows():
    run = family(open_store("memory:")).run("Ship", run_id="r")
    view = View()
    link = Link(run, view)
    for _ in range(9): await view.tell(link, type="into")
    assert view.head["inside"] == dict(run="r.1.0.1.0", index=2) and [c["name"] for c in view.head["crumbs"]] == ["boss", "coder", "deployer"]
    rows = [(b["run"], b["of"], b["at"], b["count"]) for b in sorted(view.head["nested"], key=lambda b: b["run"])]
    assert rows == [("r.1.0", "r", 2, 3), ("r.1.0.1.0", "r.1.0", 2, 3)]
    run.pending[0].approve()
    await view.tell(link, type="out")
    assert view.head["inside"]["run"] == "r.1.0"
    await view.tell(link, type="out")
    assert view.head.get("inside") is None and run.steps[-1].kind == "tool"
    await view.tell(link, type="look", run="r.1.0.1.0", index=1)
    assert view.last("page")["inside"] == dict(run="r.1.0.1.0", index=1) and view.head["words"].startswith("step 1 of")
    await view.tell(link, type="back")
    assert view.head.get("inside") is None and view.head["tape"]
    counts = {b["run"]: (b["seen"], b["count"]) for b in view.head["nested"]}
    assert all(seen <= count for seen, count in counts.values())
    run.at(1)
    assert {b["seen"] for b in head_with(link.below, head_of(run))["nested"]} == {0}
    link.close()


async def test_cards_of_two_children_name_their_places_in_pending():
    store = open_store("memory:")
    agents = [Agent(Scripted([call("deploy", service=n), "Out."]), [deploy], name=n, store=store) for n in ("one", "two")]
    boss = Agent(Scripted([[call("one", task="a"), call("two", task="b")], "Done."]), [a.as_tool() for a in agents], name="boss", store=store)
    run = boss.run("Ship", run_id="r")
    await run.until()
    cards = cards_below(Below(run))
    assert [(c["path"], c["code"]) for c in cards] == [(" › ".join(p.path), f"run.pending[{i}].approve()") for i, p in enumerate(run.pending)]
    assert len({(c["run"], c["id"]) for c in cards}) == 2
