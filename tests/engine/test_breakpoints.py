"""A breakpoint stops a run at the same step, whether it is an argument of `until` or stands in `run.breaks`."""
import asyncio
from decimal import Decimal

import pytest

from agentnb import Agent, Scripted, ToolError, call, tool
from agentnb.engine.breakpoints import Break
from agentnb.core.messages import Reply
from agentnb.engine.outcomes import RunPaused


@tool(read_only=True)
def look(where: str) -> str:
    "Look somewhere"
    if where == "queue": raise ToolError("not_found", "no queue")
    return f"{where} is fine"


def made():
    says = [Reply(calls=(call("look", where=w).model_copy(update={"id": w}),), cost=Decimal("0.04")) for w in ("db", "cache", "queue", "disk")]
    return Agent(Scripted([*says, "done"]), [look], store="memory:").run("Look")


STOPS = [(dict(tool="look", args={"where": "c*"}), 3), (dict(args={"where": "disk"}), 7), (dict(kind="tool"), 2), (dict(cost="0.10"), 5), (dict(error=True), 6),
    (dict(error=True, cost="0.05"), 3)]


@pytest.mark.parametrize("what, where", STOPS)
def test_until_and_a_list_of_breakpoints_agree(what, where):
    by_argument, by_list, behind = made(), made(), made()
    assert asyncio.run(by_argument.until(**what)).index == where
    by_list.breaks.append(Break.model_validate({"tool": "*" if "args" in what else "", **what}))
    assert asyncio.run(by_list.until()).index == where and by_list.status == "paused"

    async def background():
        behind.breaks = by_list.breaks
        await behind.start().engine.task
    asyncio.run(background())
    assert len(behind.steps) == where + 1

    asyncio.run(by_argument.wait())
    assert by_argument.at(0) and asyncio.run(by_argument.until(**what)).index == where, "on tape it stops at the same step"
    by_argument.at(0).breaks = by_list.breaks
    assert asyncio.run(by_argument.until()).index == where


def test_awaiting_a_run_that_hits_a_breakpoint_says_so():
    run = made()
    run.breaks.append(Break(error=True))
    with pytest.raises(RunPaused, match="paused after step 6"): asyncio.run(run.wait())
    assert run.fork().breaks == run.breaks
    assert asyncio.run(run.wait()) == "done", "it goes on from there"


def test_an_unknown_cost_counts_as_more():
    step = made().log.next_step(made().engine.first_body)[0]
    assert Break(cost="1").hits(step, Decimal(0), None) and not Break(cost="1").hits(step, None, None)
