"""Whatever a model or a tool says is text in every place that shows it: checked by a parser here, by a browser in ui/test_stepper.py."""
import asyncio, re, time

import pytest

from agentnb import Agent, Plan, Scripted, ToolError, call, tool
from agentnb.core.messages import Reply
from agentnb.ui.cards import card_of
from agentnb.ui.heading import head_of, rows_of
from agentnb.views.html import run_html
from agentnb.views.markdown import code_html, diff_html, markdown_html
from agentnb.ui.stepper import page_of
from agentnb.views.text import escape_html, visible
from agentnb.views.tree import json_html, tree_html
from xss import CORPUS, Reader


def harmless(html):
    Reader().feed(html)
    assert not any(c in html for c in "\x00\x07\x0b\x0c\x1b\x7f\u202e\u2066\u200b\u2028\ufeff")
    return html


@pytest.mark.parametrize("n", range(len(CORPUS)))
def test_each_text_in_each_function(n):
    bad = CORPUS[n]
    began = time.monotonic()
    for shown in (escape_html(bad), markdown_html(bad), code_html(bad, "python"), code_html(bad, bad[:40]), diff_html(bad), json_html(bad),
            tree_html({bad: bad, "x": [bad]}, {}), json_html(f'{{"a": {bad}}}')): harmless(shown)
    assert time.monotonic() - began < 30
    assert "\x1b" not in visible(bad) and "\u202e" not in visible(bad)


@pytest.mark.parametrize("n", range(0, len(CORPUS), 4))
def test_each_text_in_each_place(n):
    "A model that says it, a tool that returns and raises it, a preview, a schema and a policy that hold it"
    bad = CORPUS[n]
    @tool(description=f"{bad} `what`", preview=lambda what: bad)
    def act(what: str) -> str:
        if len(seen) > 1: raise ToolError("internal", bad, bad)
        seen.append(what)
        return bad
    seen = []
    first = call("act", what=bad).model_copy(update={"id": "c1"})
    agent = Agent(Scripted([Reply(content=bad, calls=(first,), model=bad[:200], notes=(bad,), thinking=bad, cost=0),
        (call("act", what=bad), call(bad[:60] or "x", **{"k": bad})), bad]), [act], instructions=bad, store="memory:")
    run = agent.run(bad, plan=Plan(goal=bad, tasks=[dict(id=re.sub(r"[,()\n]", "", bad), text=bad)]))

    async def through():
        while run.tip.status not in ("done", "stopped"):
            await run.until()
            for p in run.pending:
                for c in [card_of(p.request, run.state, run.steps)]: harmless(c["preview"])
                p.reject(bad) if len(seen) > 1 else p.approve()
    asyncio.run(through())
    harmless(run_html(run.state, run.steps))
    for i in range(len(run.steps)):
        for tab in ("Step", "Messages", "State", "Cost", "Raw"): harmless(page_of(run, tab, i, find="" if i % 2 else "a")["html"])
    said = str(rows_of(run)) + str(head_of(run))
    assert not any(c in said for c in "\x1b\u202e\u200b\x00")
