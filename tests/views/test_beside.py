"""Pictures, tables and parts of pages beside a result: drawn in every view; hostile ones do nothing; what is gone or too large is named."""
import asyncio, base64, re, time

import pandas as pd, pytest
from matplotlib.figure import Figure

from agentnb import Agent, Scripted, call, tool
from agentnb.ui.chat import chat_html, turn_json
from agentnb.ui.stepper import page_of
from agentnb.study.turns import turns_of
from agentnb.views.contents import Drawn, clean_html, clean_svg
from agentnb.views.html import run_html, step_html, table_html
from xss import CORPUS, Reader

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def harmless(html):
    Reader().feed(html)
    return html


def ran(*values, store="memory:", **how):
    @tool(read_only=True)
    def give(n: int) -> object:
        "One of them"
        return values[n]
    run = Agent(Scripted([[call("give", n=n) for n in range(len(values))], "done"]), [give], store=store, **how).run("go")
    asyncio.run(run.wait())
    return run


def figure():
    made = Figure(figsize=(2, 1), dpi=50)
    made.subplots().plot([1, 3, 2])
    return made


class Html:
    "A part of a page"
    def __init__(self, html): self.html = html
    def _repr_html_(self): return self.html


class Svg(Html):
    "A drawing"
    _repr_html_ = None
    def _repr_svg_(self): return self.html


def test_in_every_view():
    run = ran(GIF, figure(), pd.DataFrame({"host": ["db", "<b>web</b>"], "load": [0.9, 0.1]}), Html("<table><tr><td colspan=2>in HTML</td></tr></table>"))
    steps, turns = [i for i, s in enumerate(run.steps) if s.kind == "tool"], turns_of(run.steps)
    for html in (run._repr_html_(), "".join(page_of(run, "Step", i)["html"] for i in steps), page_of(run, "Messages", len(run.steps) - 1)["html"],
            chat_html(run.steps, Drawn(run.store))):
        harmless(html)
        assert html.count('<img src="data:image/gif;base64,') >= 1 and html.count('<img src="data:image/png;base64,') >= 1
        assert '<th scope="col">host</th>' in html and "<td>&lt;b&gt;web&lt;/b&gt;</td>" in html and '<td colspan="2">in HTML</td>' in html
    answer = harmless(turn_json(turns[0], Drawn(run.store))["answer"])
    assert answer.count("<img") == 2 and 'alt="a PNG picture, 100 x 50, ' in answer
    assert re.findall(r"<details open><summary>(\d+) <", run._repr_html_()) == [str(steps[i]) for i in (0, 1, 3)]   # who looks sees them at once


def test_what_is_not_there_is_named():
    run = ran(GIF)
    step = next(s for s in run.steps if s.kind == "tool")
    assert "a GIF picture, 42 bytes, in the store" in step_html(step) and "a GIF picture, 42 bytes, in the store" in chat_html(run.steps)
    assert "too large for this page" in Drawn(run.store, room=10)(step.body.contents)
    room = Drawn(run.store, room=60)
    assert ["<img" in room(step.body.contents) for _ in range(2)] == [True, False]   # a page has room once
    run.store._run(("DELETE FROM contents", ()))
    for html in (run._repr_html_(), page_of(run, "Step", step.index)["html"]): assert "not in the store any more" in harmless(html) and "<img" not in html


def test_all_of_a_cut_result_is_there_for_the_person():
    run = ran("x" * 3000, pd.DataFrame({"n": range(3000)}), result_limit=1000)
    html = harmless(run._repr_html_())
    assert "all of it: 3,000 characters, 3 kB" in html and "x" * 3000 in html
    assert "DataFrame of 3,000 rows and 1 column; the first 200 are shown" in html and "The result was cut here" in html


@pytest.mark.parametrize("n", range(len(CORPUS)))
def test_hostile_html_and_cells_do_nothing(n):
    bad, began = CORPUS[n], time.monotonic()
    for html in (bad, f"<table><tr><td>{bad}</td></tr></table>", f"<div {bad}>x</div>", f"<b>{bad}"): harmless(clean_html(html))
    harmless(table_html(f"DataFrame of 1 row and 1 column, as CSV:\n{bad}\n{bad}"))
    run = ran(Html(bad), Svg(f"<svg xmlns='http://www.w3.org/2000/svg'>{bad}</svg>"), pd.DataFrame({bad[:2000]: [bad[:2000]]}))
    harmless(run._repr_html_())
    assert time.monotonic() - began < 20


def test_tags_are_closed_within_their_part():
    assert clean_html("</div></div><b>x</table>") == "<b>x</b>" and clean_html("<table><tr><td>a<td>b") == "<table><tr><td>a<td>b</td></td></tr></table>"
    assert clean_html("<h1>a</h1><script>b</script><style>c</style>d<svg><p>e</p></svg>") == "<p>a</p>d"
    assert clean_html("<td colspan='9999' rowspan=2 onclick=x>y") == '<td rowspan="2">y</td>' and len(clean_html("<div>" * 5000)) < 2000
    for bad in ("<" * 10**6, "<a " * 10**5, '<a x="' * 10**5, "<!--" * 10**5): clean_html(bad)


SVG = "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'>{}</svg>"


@pytest.mark.parametrize("inside", ["<script>x</script>", "<rect onload='x'/>", "<foreignObject><b/></foreignObject>", "<image href='http://evil.invalid/p'/>",
    "<image xlink:href='data:image/svg+xml;base64,AAAA'/>", "<use href='http://evil.invalid/#a'/>", "<style>@import 'http://x'</style>",
    "<a href='javascript:x'><rect/></a>",
    "<rect style='fill:url(http://evil.invalid)'/>", "<animate attributeName='href' to='javascript:x'/>", "<set onbegin='x'/>", "<iframe/>",
    "<b:script xmlns:b='http://www.w3.org/2000/svg'/>",
    "&x;", "<rect"], ids=range(15))
def test_hostile_svg_is_not_drawn(inside): assert clean_svg(SVG.format(inside).encode()) == b""


def test_svg_of_a_library_is_drawn():
    import io
    file = io.BytesIO()
    figure().savefig(file, format="svg")
    bomb = b'<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>'
    assert clean_svg(file.getvalue()).startswith(b"<?xml") and clean_svg(bomb) == clean_svg(b"\xff\xfe") == clean_svg(b"<html/>") == b""
    run = ran(Svg(file.getvalue().decode()))
    assert '<img src="data:image/svg+xml;base64,' in run_html(run.state, run.steps, beside=Drawn(run.store)) and "not shown" in Drawn(run.store)(
        ran(Svg(SVG.format("<script/>")), store=run.store).steps[2].body.contents)
