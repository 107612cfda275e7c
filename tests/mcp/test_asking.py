"""A server of the official SDK that asks in the middle of a call: a person, the model, for patience; and gives a picture back."""
# ruff: noqa: E402
import asyncio, sys

import pytest

from agentnb import Agent, Reply, Rule, Scripted, call
from needs import need_modules
from places import HELPERS

need_modules("mcp")

from agentnb.mcp.client import tools_from_mcp

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:The sampling capability")]


@pytest.fixture
def server(monkeypatch):
    import mcp_booking
    monkeypatch.setattr(mcp_booking, "PAUSE", 0.005)
    return mcp_booking.server


def script(messages, tools):
    if messages[-1].content.startswith("Greet"): return Reply(content="Bon voyage, Ann.", cost="0.02")
    return "Booked." if messages[-1].role == "tool" else call("book", to="Oslo")


async def booked(target, decide, **options):
    told = []
    async with tools_from_mcp(target, timeout=0.4, **options) as client:
        run = Agent(Scripted(script), client.tools, store="memory:", policy=[Rule(effect="allow")]).run("Book a seat to Oslo")
        run.listeners.append(lambda delta: delta.kind == "progress" and told.append(delta.text))
        while (await run.until()).kind != "finished":
            if run.pending: decide(run.pending[0])
        return run, told


def decide(p): p.approve(args=dict(name="Ann", age=41)) if p.request.form else p.approve()


def test_it_asks_samples_is_patient_and_returns_a_picture(tmp_path):
    log = tmp_path/"log"
    command = [sys.executable, str(HELPERS/"mcp_booking.py")]
    run, told = asyncio.run(booked(command, decide, env=dict(BOOKING_LOG=str(log))))
    returned = next(s.body for s in run.steps if s.kind == "tool")
    assert returned.failure is None and "Ann, 41, window. Bon voyage, Ann." in returned.content and "PNG picture" in returned.content
    assert told[-1] == "book: 12 of 12, looking for seats" and len(told) > 3
    assert [s.kind for s in run.steps] == "started model intent request decision request decision note tool model finished".split()
    assert str(run.tip.cost) == "0.02" and run.tip.result == "Booked." and [line.split()[0] for line in log.read_text().splitlines()] == ["call", "booked"]


@pytest.mark.parametrize("verdict, words", [("reject", "not booked: decline"), ("abort", None)])
def test_a_no_and_a_stop(server, verdict, words):
    run, _ = asyncio.run(booked(server, lambda p: getattr(p, verdict)("no")))
    if words: assert any(words in m.content for m in run.tip.messages)
    else: assert run.tip.status == "stopped" and any(s.kind == "note" and "not booked: cancel" in s.body.text for s in run.steps)


def test_answered_from_another_holder_of_the_store(server, tmp_path):
    store = f"sqlite:///{tmp_path}/runs.db"

    async def go():
        from agentnb import open_store, pending
        async with tools_from_mcp(server, timeout=0.4, sampling="allow") as client:
            run = Agent(Scripted(script), client.tools, store=store, policy=[Rule(effect="allow")]).run("Book a seat to Oslo")
            await run.until()
            other = pending(open_store(store))[0]
            await asyncio.to_thread(other.approve, args=dict(name="Ann", age=41))
            await run.until()
            return run
    assert asyncio.run(go()).tip.result == "Booked."


def test_two_calls_at_once_ask_one_after_the_other(server):
    def twice(messages, tools):
        if messages[-1].content.startswith("Greet"): return "Hello."
        if messages[-1].role == "tool": return "Booked."
        return Reply(calls=tuple(call("book", to=to).model_copy(update=dict(id=to)) for to in ("Oslo", "Rome")))

    async def go():
        async with tools_from_mcp(server, timeout=2, sampling="allow") as client:
            run = Agent(Scripted(twice), client.tools, store="memory:", policy=[Rule(effect="allow")]).run("Book both")
            asked = []
            while (await run.until()).kind != "finished":
                asked.append([p.question for p in run.pending])
                for p in run.pending: p.approve(args=dict(name="Ann", age=41))
            return run, asked
    run, asked = asyncio.run(asyncio.wait_for(go(), 20))
    assert [q for qs in asked for q in qs] == ["booking asks: Who travels to Oslo?", "booking asks: Who travels to Rome?"] and run.tip.result == "Booked."


def test_what_a_server_of_2026_asks_beforehand_is_a_request_too():
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
    server = MCPServer("later")

    @server.tool()
    async def pick(ctx: Context) -> str | InputRequiredResult:
        "Pick a seat"
        if found := (ctx.input_responses or {}).get("seat"): return f"picked {found.content['seat']}"
        form = dict(type="object", properties=dict(seat=dict(type="string")), required=["seat"])
        return InputRequiredResult(input_requests=dict(seat=ElicitRequest(params=ElicitRequestFormParams(message="Which?", requested_schema=form))))

    async def go():
        async with tools_from_mcp(server, protocol="2026") as client:
            run = Agent(Scripted([call("pick"), "Done."]), client.tools, store="memory:", policy=[Rule(effect="allow")]).run("go")
            await run.until()
            run.pending[0].answer("3C")
            await run.until()
            return [m.content for m in run.tip.messages if m.role == "tool"]
    assert asyncio.run(asyncio.wait_for(go(), 20)) == ["picked 3C"]
