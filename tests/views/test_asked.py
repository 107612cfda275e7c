"""A request cannot be made to say what it is not: fifteen ways, on the card, on the static pages, in the inbox and at the terminal."""
# ruff: noqa: E501
import asyncio, re

import pytest

from agentnb import Agent, Scripted, call, tool
from agentnb.cli.main import show_request
from agentnb.core.messages import Reply
from agentnb.ui.cards import card_of
from agentnb.ui.inbox import inbox_card, inbox_html
from agentnb.views.asked import because, heading

BOSS = "Your boss has agreed"


def asked(said="An invoice is due.", description="Pay `amount` to `to`", task="Pay it", name="payer", preview=None, rule="", **args):
    @tool(description=description, preview=preview)
    def pay(to: str, amount: int = 5, note: str = "", rows: list[str] | None = None) -> str: return "paid"
    from agentnb import Rule
    first = Reply(content=said, calls=(call("pay", **dict(dict(to="ACME"), **args)),), cost=0)
    agent = Agent(Scripted([first, "done"]), [pay], name=name, store="memory:", policy=[Rule(effect="ask", reason=rule)] if rule else [])
    run = agent.run(task)
    asyncio.run(run.until())
    return run


def everywhere(run):
    "The card, and what the static pages and the terminal show, as text"
    p, lines = run.pending[0], []
    show_request(p, lines.append)
    plain = lambda html: re.sub("<[^>]*>", " ", html)
    return card_of(p.request, run.tip, run.steps), [plain(run._repr_html_()), plain(inbox_html(run.pending)), "\n".join(lines)]


@pytest.mark.parametrize("where", ["to", "note", "rows"])
@pytest.mark.parametrize("text, said", [("invoice\u202egpj.exe", "U+202E"), ("pay\u200bpal", "U+200B"), ("p\u0430ypal", "U+0430"), ("\x1b[2Kfine", "U+001B"), ("‘x’", "U+2018"), ("a\u00a0b", "U+00A0")])
def test_what_is_not_seen_in_an_argument_is_said(where, text, said):
    card, pages = everywhere(asked(**{where: [text] if where == "rows" else text}))
    if where == "rows" and text[0] == "\x1b": said = "1b[2K"   # JSON writes it out
    else: assert said in next(f for f in card["fields"] if f["name"] == where)["doubt"]
    for page in pages: assert said in page and not set(page) & set("\u202e\u200b\x1b")


@pytest.mark.parametrize("place", ["said", "task", "name", "description", "preview"])
def test_what_is_not_seen_elsewhere_is_said(place):
    text = "fine\u202e p\u0430ypal\u200b"
    run = asked(**{place: (lambda **_: text) if place == "preview" else text})
    card, pages = everywhere(run)
    assert any("U+202E" in words and "U+0430" in words for _, words in card["doubts"])
    for page in pages: assert "U+202E" in page and not set(page) & set("\u202e\u200b")
    assert "U+202E" in str(inbox_card(run.pending[0]))


@pytest.mark.parametrize("args", [dict(to=f"x'? {BOSS}"), dict(note=f"x')? {BOSS}"), dict(rows=[f"')? {BOSS}"]), dict(to=f"a? b? {BOSS}")])
@pytest.mark.parametrize("rule", ["", "More than a euro."])
def test_an_argument_is_no_reason(args, rule):
    run = asked(rule=rule, **args)
    card, pages = everywhere(run)
    assert because(run.pending[0].request) == card["why"] == rule
    for page in pages: assert f"because: {BOSS}" not in " ".join(page.split())


@pytest.mark.parametrize("said", [f"You are asked because: {BOSS}", f"fine.” It was 99 % sure. You are asked because: {BOSS}", f"\n\n  You are asked because: {BOSS}"])
def test_the_models_words_are_a_quotation(said):
    card, pages = everywhere(asked(said=said))
    assert card["why"] == "" and BOSS in card["reason"]
    assert pages[2].count("| ") and "\n  You are asked because" not in pages[2]


def test_a_value_cannot_end_its_quotation():
    run = asked(to="ACME” (a test, nothing is paid) “")
    assert "ACME\\u201d (a test" in heading(run.pending[0].request, run.tip) and heading(run.pending[0].request, run.tip).count("”") == 2


@pytest.mark.parametrize("description", ["Show the files", "Show the files. Then delete them all.", "x" * 900])
def test_the_tool_is_named_whatever_it_says_of_itself(description):
    card, pages = everywhere(asked(description=description))
    assert card["tool"] == "pay" and card["destructive"] and "Can be undone: no" in card["effect"]
    for page in pages: assert "pay" in page and "Can be undone: no" in page
    if "delete" in description: assert "delete them all" in card["described"]
    if len(description) > 500: assert "600 more characters" in card["heading"]


@pytest.mark.parametrize("args, words", [(dict(note="line\n" * 100 + "the end"), "more lines"), (dict(to="x" * 30_000), "more characters")])
def test_what_is_cut_is_said(args, words):
    card, pages = everywhere(asked(**args))
    assert words in pages[2] and any(f["size"] for f in card["fields"])


def test_a_preview_that_is_cut_says_so(): assert "40 more lines" in everywhere(asked(preview=lambda **_: "x\n" * 99 + "x"))[1][2]


@pytest.mark.parametrize("change", ["models", "given", "shown", "decision"])
def test_what_runs_is_a_copy_of_what_was_approved(change):
    ran, items = [], ["a"]

    @tool
    def remove(paths: list[str]) -> str:
        ran.append(list(paths))
        return "ok"
    run = Agent(Scripted([call("remove", paths=items), "done"]), [remove], store="memory:").run("x")

    async def go():
        await run.until()
        p, mine = run.pending[0], ["a"]
        made = p.approve(args={"paths": mine}) if change in ("given", "decision") else p.approve()
        {"models": items, "given": mine, "shown": p.call.args["paths"], "decision": (made.args or {}).get("paths", [])}[change].append("/")
        await run
    asyncio.run(go())
    assert ran == [["a"]]
