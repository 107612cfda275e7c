"""A reply that was paid is in the log, counts, and is asked about again, whatever refuses it."""
import asyncio
from decimal import Decimal

import pytest
from pydantic import BaseModel, field_validator

from agentnb import Agent, Budget, Reply, Scripted, ToolError, Usage, call, tool


def result_that(refuses):
    class Share(BaseModel):
        parts: int
        @field_validator("parts")
        @classmethod
        def checked(cls, parts): return refuses(parts) if parts < 1 else parts
    return Share


def fail(error):
    def refuse(parts): raise error
    return refuse


REFUSALS = [fail(KeyError("no")), lambda parts: 100 // parts, fail(ToolError("invalid_input", "n has to be positive")), fail(ValueError("no")),
    fail(StopIteration()), fail(SystemExit(1)), fail(RecursionError())]


def paid(parts): return Reply(content=f'{{"parts": {parts}}}', model="acme:m", usage=Usage(input=10, output=10, requests=1), cost=Decimal("0.40"))


async def ended(run):
    try: return await run
    except Exception as e: return e


@pytest.mark.parametrize("refuses", REFUSALS)
def test_a_result_that_is_refused_is_asked_for_again(refuses):
    run = Agent(Scripted([paid(0), paid(4)]), result=result_that(refuses), store="memory:").run("Share it.")
    assert asyncio.run(ended(run)).parts == 4 and run.tip.cost == Decimal("0.80") and run.tip.iteration == 2


@pytest.mark.parametrize("refuses", REFUSALS)
def test_what_is_refused_for_ever_ends_and_each_reply_is_in_the_log(refuses):
    asked = []

    def model(messages, tools):
        asked.append(1)
        return paid(0)
    run = Agent(Scripted(model), result=result_that(refuses), store="memory:", budget=Budget(iterations=2)).run("Share it.")
    for _ in range(6): asyncio.run(ended(run))
    assert 1 <= len(asked) <= 2 and run.tip.cost == Decimal("0.40") * len(asked) and run.tip.iteration == len(asked)


@pytest.mark.parametrize("refuses", REFUSALS)
def test_arguments_that_a_validator_refuses_are_a_failure_that_the_model_reads(refuses):
    done = []

    @tool(read_only=True)
    def share(how: result_that(refuses)) -> str:  # pyright: ignore[reportInvalidTypeForm]
        "Share it"
        done.append(how.parts)
        return "shared"
    run = Agent(Scripted([call("share", how={"parts": 0}), call("share", how={"parts": 2}), "done"]), [share], store="memory:").run("Share it.")
    assert asyncio.run(ended(run)) == "done" and done == [2] and run.tip.iteration == 3
    assert [m.failure is not None for m in run.tip.messages if m.role == "tool"] == [True, False]


@pytest.mark.parametrize("reply", [Reply(), Reply(content=" \n"), Reply(thinking="I should look it up.")])
def test_a_reply_in_which_nothing_can_be_read_is_no_answer(reply):
    run = Agent(Scripted([reply, "the answer"]), store="memory:").run("Go.")
    assert asyncio.run(ended(run)) == "the answer" and "no text and no call" in run.steps[1].body.reply.malformed
    always = Agent(Scripted(lambda messages, tools: reply), store="memory:").run("Go.")
    assert isinstance(asyncio.run(ended(always)), Exception) and always.status in ("stopped", "failed")
