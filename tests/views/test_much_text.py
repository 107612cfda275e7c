# ruff: noqa: E501
"""A megabyte of text in a run, a card, a list, a definition, a rule, a comparison: none takes a second of the processor."""
import asyncio
from datetime import UTC, datetime

import pytest

from agentnb import Agent, Scripted, ToolError, call, open_store, tool, user
from agentnb.cascade import text as cascade_text
from agentnb.core import plan, summary, unseen, value
from agentnb.core.messages import Message, Reply, ToolSpec
from agentnb.core.portable import _LOGIN
from agentnb.core.state import fold
from agentnb.core.steps import Decision, Finished, Note, Replied, Request, Returned, Started, Step
from agentnb.engine.policy import Rule, evaluate, read_rules
from agentnb.log.listing import list_runs
from agentnb.metrics import honesty, review
from agentnb.models import wire
from agentnb.routing import index, meaning, toolset, words
from agentnb.store import postgres
from agentnb.study import compare
from agentnb.toolbox import net, pg
from agentnb.toolbox.python import safe_html
from agentnb.tools import functions, matching, results
from agentnb.ui import cards, chat, edits, forms, heading, inbox, magics, runs
from agentnb.views import asked, display, html, states
from much_text import SEEDS, slow_seeds

AT = datetime(2026, 5, 4, tzinfo=UTC)
MORE = [*SEEDS, "a", "aa. ", "display:", "''", "\"", "$", "a.until(", "(aa ", " (after ", "can be a, ", "1+", "1-1", "12,", "=", "answer is ", "#### ", "://a:", "\nassistant:", "do not tell ",
    "a b c ", "isn't ", "%", "?a=b&", "''a", "{}", "é", "中", "أ", "/", "../", "not ", "\t", "e.g. ", "Aa", "aA1_", "\n\n\n\n\n\n\n\n ", "list["]


@tool
def act(name: str) -> str:
    "Do `name`"
    return name


def spec(said): return ToolSpec(name="act", description=said, parameters=dict(type="object", properties={"name": dict(type="string", description=said, enum=["a", said])}))


def log(said):
    "A megabyte in all: each of its texts is a part of it"
    said = said[:len(said) // 6]
    wish = call("act", name=said).model_copy(update={"id": "c"})
    bodies = [Started(task=said, messages=(user(said),), tools=(spec(said),)), Replied(reply=Reply(content=said, calls=(wish,))),
        Request(request_id="q", about="approve", question=said, preview=said, call=wish), Decision(request_id="q", verdict="approve", message=said, args={"name": said}),
        Returned(call_id="c", tool="act", content=said), Note(about="error", text=said), Finished(status="done", result=said)]
    return [Step(run_id="r", index=i, at=AT, iteration=1, body=body) for i, body in enumerate(bodies)]


class Held:
    "A run that is only looked at"
    def __init__(self, said): self.steps, self.run_id, self.tip = log(said), "r", fold(log(said))
    state = property(lambda self: self.tip)


def asking(said):
    state = fold(log(said)[:3])
    return state.requests[0], state


def paused(said):
    run = Agent(Scripted([call("act", name=value.json_safe(said))]), [act], store=open_store("memory:")).run(value.json_safe(f"x{said}"))
    asyncio.run(run.until())
    return run


def evaluated(said):
    rules = [Rule(args={"name": "*x*y/z"}, effect="deny"), Rule(scope="fs:*b", effect="deny"), Rule(args={"name": "*a*b*c*d"}, effect="allow")]
    return evaluate(rules, call("act", name=said), spec("x").model_copy(update=dict(scopes=("fs:{name:path}", "net:{name:host}"))))


def schema(**name): return functions.tool_from_schema("act", "x", dict(type="object", properties={"name": name}), lambda **given: 1)


PLACES = dict(unseen=unseen.unseen, reveal=unseen.reveal, heading=lambda t: asked.heading(*asking(t)), asked=lambda t: asked.asked_html(*asking(t)), doubts=lambda t: asked.doubts(*asking(t)),
    card=lambda t: cards.card_of(*asking(t), log(t)[:3]), inbox=lambda t: inbox.inbox_html(paused(t).pending), form=lambda t: forms.fields_of(spec(t).parameters, {"name": t}),
    run=lambda t: html.run_html(fold(log(t)), log(t)), messages=lambda t: html.messages_html(fold(log(t)).messages), state=lambda t: states.state_html(fold(log(t))),
    summaries=lambda t: [str(summary.summarize(s)) for s in log(t)], run_shown=lambda t: paused(t)._repr_html_(), head=lambda t: heading.head_of(paused(t)), chat=lambda t: chat.chat_html(log(t)),
    rows=lambda t: runs.Query(paused(t).store)(), listed=lambda t: list_runs(paused(t).store), edited=edits._TASK.fullmatch, code=lambda t: edits.as_code(fold(log(t))),
    completed=lambda t: magics.completions(t, {}) if len(t) < 30_000 else None,
    runs_compared=lambda t: compare.diff(Held(t), Held(t[::-1] + "b")), states_compared=lambda t: compare.diff(fold(log(t)), fold(log(t[1:] + "b")))._repr_html_(),
    tool_shown=lambda t: display.tool_html(spec(t)), read_schema=lambda t: schema(type="string", description=t, default=t), type_in_words=lambda t: schema(type=t),
    review=lambda t: review.review(spec(t)), hidden=lambda t: list(honesty._hidden(spec(t))), orders=lambda t: list(honesty._orders(spec(t))),
    mentions=lambda t: list(honesty._mentions([spec(t), ToolSpec(name="look_up")], {})), words=words.words, stems=lambda t: [words.stem(w) for w in words.words(t)[:1000]],
    meaning=lambda t: meaning.differences(t, t[::-1] + "b"), searched=lambda t: index.BM25({"a": t[:500_000], "b": "x"}).search(t[500_000:], 3),
    selected=lambda t: toolset.ToolSelector(1)([user(t[:100_000])], [spec(t[:200_000]), ToolSpec(name="b")]), answer=cascade_text.final_answer, sums=cascade_text.wrong_sums, counts=cascade_text.word_counts,
    glob=lambda t: matching.fits("*a*b*c", t), path=lambda t: matching.fits("secrets/*", t, "", False), policy=evaluated, rule_line=lambda t: read_rules({t: "deny"}),
    rule_arguments=lambda t: read_rules({f"act({t})": "deny"}), address=lambda t: (postgres.is_postgres(t), postgres.shown_address(t), postgres.shown_address(f"postgresql://{t}")),
    statement=lambda t: list(pg._CALLED.finditer(t)), framed=lambda t: safe_html({"text/html": t}), login=lambda t: _LOGIN.sub("", t),
    provider_error=lambda t: wire.kind_of(429, t), object_on_the_wire=wire.read_object, addresses=lambda t: results._ADDRESS.sub("", t), result=lambda t: results.result_text(t, 20_000),
    result_of_a_call=lambda t: asyncio.run(act.run({"name": value.json_safe(t)})), safe=value.json_safe, plan=plan.read_plan, host=net._HOST.fullmatch,
    said=lambda t: Message(role="user", content=t), signature=lambda t: call("act", name=t).signature)


def tolerant(act):
    def read(said):
        try: act(said)
        except (ValueError, TypeError, ToolError): pass
    return read


def test_a_path_that_none_can_be_is_not_allowed_and_takes_no_time():
    for path in ("x\0", "notes/\0", "a/b" * 300_000, "notes/" + "x/" * 300_000 + "../" * 300_000 + "../secrets"):
        assert not matching.fits("notes/*", path, "") or path.startswith("notes/") and "secrets" not in path
    assert matching.fits("secrets/*", "./" * 300_000 + "secrets/a", "", False)


@pytest.mark.parametrize("place", PLACES)
def test_no_place_is_slow(place): assert not slow_seeds(tolerant(PLACES[place]), MORE)
