"""The views over many runs without a kernel: the same facts, no script, and whatever a model or a tool says is text."""
import asyncio
from decimal import Decimal

import pytest

import week
from agentnb import Agent, Budget, Reply, Scripted, ToolError, call, open_store, tool
from agentnb.study.compare import diff
from agentnb.study.grid import side_by_side
from agentnb.log.inbox import pending
from agentnb.core.messages import Usage
from agentnb.metrics.measure import measure
from agentnb.ui.chat import Chat, chat_html, turn_json
from agentnb.ui.dashboard import dashboard, table_html
from agentnb.views.display import one_line, value_html
from agentnb.ui.inbox import inbox_card, inbox
from agentnb.ui.runs import Query, browse
from agentnb.views.spent import spent
from agentnb.study.turns import turns_of
from xss import ATTRIBUTES, CORPUS, STYLES, TAGS, Reader

MORE = (*STYLES, "text-align", "vertical-align", "padding", "border-collapse", "display:flex", "flex", "gap", "min-width", "width", "height")


class Page(Reader):
    "As in test_xss, with what tables and panels need"
    def handle_starttag(self, tag, attrs):
        assert tag in TAGS | {"section", "h4"}, tag
        for name, value in attrs:
            assert name in ATTRIBUTES | {"width"}, name
            if name == "src": assert value.startswith("data:image/png;base64,"), value
            if name == "style": assert all(s.strip().startswith(MORE) for s in value.split(";") if s.strip()), value


def harmless(html):
    Page().feed(html)
    assert not any(c in html for c in "\x00\x07\x1b\x7f\u202e\u200b\u2028")
    return html


@pytest.mark.parametrize("n", range(0, len(CORPUS), 4))
def test_each_text_in_each_view(n):
    bad = CORPUS[n]
    @tool(description=bad, preview=lambda what: bad)
    def act(what: str) -> str:
        if what == "fail": raise ToolError("internal", bad, bad)
        return bad
    store, seen = open_store("memory:"), dict(usage=Usage(input=3, output=1), model=bad[:200], cost=Decimal("0.1"))
    asks = tuple(call("act", what=w).model_copy(update={"id": w[:9]}) for w in ("fail", bad))
    script = Scripted([Reply(content=bad, calls=asks, **seen), Reply(content=bad, **seen)])
    agent = Agent(script, [act], name=bad[:60] or "x", store=store, instructions=bad, budget=Budget(usd=Decimal(9)))
    one, two = agent.run(bad, run_id="one"), agent.run(bad, run_id="two")
    asyncio.run(one.until()), asyncio.run(two.until())
    waiting = [harmless(inbox(agent)._repr_html_()), harmless(browse(agent)._repr_html_())]
    cards = str([inbox_card(p) for p in pending(store)]) + str(Query(store)()["rows"])
    for p in list(one.pending): p.approve(by=bad)
    asyncio.run(one.until())
    found = measure(store)
    views = (dashboard(store), Chat(agent, one), side_by_side(one, two, labels=[bad, "two"]), spent(store, one.steps[0].at), agent, act)
    pages = [*(v._repr_html_() for v in views), *(table_html(getattr(found, t)) for t in ("steps", "snapshots", "costs", "requests"))]
    values = [*one.steps, one.tip, two.tip.requests[0], one.steps[1].body.reply, agent.budget]
    for html in (*waiting, *pages, *map(value_html, values)): harmless(html)
    for turn in turns_of(one.steps): harmless(turn_json(turn)["answer"])
    lines = cards + "".join(map(one_line, values[:-1])) + str([turn_json(t)["asked"] for t in turns_of(one.steps)])
    assert not any(c in lines for c in "\x1b\u202e\u200b\x00") and all("\n" not in one_line(v) for v in values)


@pytest.fixture(scope="module")
def shift():
    store = open_store("memory:")
    return store, asyncio.run(week.fill(store))


def test_the_pages_say_the_same_as_the_tables(shift):
    store, agent = shift
    page, found = dashboard(store), measure(store)
    html = page._repr_html_()
    assert html.count("<img alt=") == 8 and len(html) < 250_000 and all(f"agent.load(&#x27;{r}&#x27;)" in html for r in found.tools["runs"].str[0])
    for r in found.tools.to_dict("records"): assert f"{r['tool']}: {r['succeeded']} succeeded, {r['failed']} failed" in html
    assert "<b>20</b> runs" in html and f"{found.interventions.iloc[-1].rate:.0%}</b> of the runs needed a human" in html
    assert repr(page) == "Dashboard(Metrics(20 runs, 125 steps))"


def test_the_list_and_the_inbox_say_what_the_widgets_say(shift):
    store, agent = shift
    html, rows = browse(store)._repr_html_(), Query(store)()["rows"]
    assert all(r["id"] in html and r["words"] in html for r in rows) and "20 runs" in html
    said = inbox(store)._repr_html_()
    assert "<b>6 waiting</b>" in said and said.count("<li>") == 6 and "restarting (rolling, 30 s)" in said and "pending(store)[0]" in said


def test_empty_is_a_page_too():
    store = open_store("memory:")
    assert "No runs yet" in dashboard(store)._repr_html_() and "No runs" in browse(store)._repr_html_() and "Nothing is waiting" in inbox(store)._repr_html_()
    assert "Nothing was said" in chat_html([]) and spent(store).runs == ()


def test_a_missing_library_says_what_to_install(monkeypatch, shift):
    import importlib
    real = importlib.import_module
    for name, module in (("pandas", "agentnb.metrics.measure"), ("matplotlib", "agentnb.views.plots")):
        def absent(wanted, *rest, name=name):
            if wanted == name: raise ImportError(wanted)
            return real(wanted, *rest)
        monkeypatch.setattr(real(module), "import_module", absent)
        with pytest.raises(ImportError, match=r'pip install "agentnb-kit\[lab\]"'): dashboard(shift[0])._repr_html_()
        monkeypatch.undo()


def test_a_repr_is_whole_and_a_notebook_says_it_in_one_line(shift):
    from IPython.lib.pretty import pretty
    run = shift[1].load("week-15")
    for value in (run.steps[3], run.tip, run.steps[1].body.reply):
        assert "\n" not in pretty(value) and len(pretty(value)) < 300 and value_html(value).startswith('<div role="region"')
    assert pretty(run.steps[1].body.reply.usage) == repr(run.steps[1].body.reply.usage) and "content=" in repr(run.steps[1])
    assert value_html(run.steps[1].body.reply.usage) is None and diff(run.state_at(2), run.state_at(3))._repr_html_()
