"""Servers of MCP that ask what they should not, say too much, or nothing: a call ends, a run goes on, and what happened is said."""
# ruff: noqa: E402
import asyncio, json, os, signal, sys, time

import pytest

from agentnb import Agent, Reply, Rule, Scripted, ToolError, call
from needs import need_modules
from places import HELPERS

need_modules("mcp")

from agentnb.mcp.client import tools_from_mcp

pytestmark = pytest.mark.server


def server(mode, folder, **options): return tools_from_mcp([sys.executable, "-S", str(HELPERS/"mcp_hostile.py"), mode, str(folder)], **options)
def answers(folder): return [said for line in (folder/"log").read_text().splitlines() if (said := json.loads(line)) != "call"]
def calls(folder): return (folder/"log").read_text().splitlines().count('"call"') if (folder/"log").exists() else 0


def script(messages, tools):
    if messages[-1].content == "Greet": return Reply(content="Hello", cost="0.01")
    return "Done." if messages[-1].role == "tool" else call("act")


def run_with(mode, folder, decide=None, between=None, agent=(), **options):
    "A run that calls the server's tool once; each question is decided as said"
    async def go():
        async with server(mode, folder, **options) as client:
            if between: between(client)
            run = Agent(Scripted(script), client.tools, store="memory:", policy=[Rule(effect="allow")], **dict(agent)).run("go")
            while (await run.until()).kind != "finished":
                if run.pending: decide(run.pending[0])
            return run
    return asyncio.run(asyncio.wait_for(go(), 30))


def said_by_tool(run): return next(m.failure and str(m.failure) or m.content for m in run.tip.messages if m.role == "tool")


# Connecting

@pytest.mark.parametrize("mode", ["mute", "list_mute"])
def test_a_server_that_never_answers_ends_in_time(tmp_path, mode):
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"No answer in 0.4 s|did not list its tools in 0.4 s"): asyncio.run(server(mode, tmp_path, connect_timeout=0.4)._open())
    assert time.monotonic() - started < 5


def test_a_server_that_refuses_is_quoted(tmp_path):
    with pytest.raises(ToolError, match="not today"): asyncio.run(server("refuses", tmp_path)._open())


@pytest.mark.parametrize("mode, most", [("pages_endless", 20), ("pages_same", 1), ("tools_many", 20)])
def test_a_listing_without_an_end_is_read_up_to_a_bound(tmp_path, mode, most, monkeypatch):
    monkeypatch.setattr("agentnb.mcp.connection.MOST_TOOLS", 20)
    with server(mode, tmp_path) as client: assert len(client.tools) + len(client.left_out) >= min(most, 2) - 1 and 1 <= len(client.tools) <= most


def test_a_description_of_megabytes_is_cut(tmp_path):
    with server("description_large", tmp_path) as client: text = client.tools[0].spec.description
    assert len(text) < 21_000 and "cut: 10,000,000" in text


def test_a_schema_of_megabytes_loses_the_tool_and_no_other(tmp_path):
    with server("schema_large", tmp_path) as client: assert [t.name for t in client.tools] == ["act"] and "characters" in client.left_out["large"]


def test_a_question_before_any_call_is_cancelled(tmp_path):
    with server("asks_early", tmp_path) as client: assert len(client.tools) == 1 and answers(tmp_path) == [dict(action="cancel")]


# Questions

ACCEPTED = dict(action="accept", content=dict(seat="12A"))


@pytest.mark.parametrize("decide, answer", [(lambda p: p.answer("12A"), ACCEPTED), (lambda p: p.answer(dict(seat="12A")), ACCEPTED),
    (lambda p: p.approve(args=dict(seat="12A")), ACCEPTED),
    (lambda p: p.reject("no seats"), dict(action="decline"))])
def test_a_decision_is_what_the_server_is_answered(tmp_path, decide, answer):
    run = run_with("asks", tmp_path, decide)
    kinds = [s.kind for s in run.steps]
    assert answers(tmp_path) == [answer] and calls(tmp_path) == 1 and said_by_tool(run) == "done"
    assert kinds.index("request") < kinds.index("decision") < kinds.index("tool")


def test_an_abort_cancels_and_stops_the_run(tmp_path):
    run = run_with("asks", tmp_path, lambda p: p.abort("enough"))
    assert answers(tmp_path) == [dict(action="cancel")] and run.tip.status == "stopped" and "enough" in run.tip.reason and calls(tmp_path) == 1


def test_an_answer_that_does_not_fit_costs_nothing(tmp_path):
    def decide(p):
        with pytest.raises(ToolError, match="does not fit its form"): p.answer(dict(seat=7))
        with pytest.raises(ToolError, match="'seat' is a required property"): p.approve()
        p.answer("1A")
    run = run_with("asks", tmp_path, decide)
    assert answers(tmp_path)[0]["content"] == dict(seat="1A") and sum(s.kind == "decision" for s in run.steps) == 1


@pytest.mark.parametrize("mode", ["form_none", "form_nested", "form_many", "form_pattern", "form_garbage", "form_list", "form_reference", "form_large"])
def test_what_is_no_form_is_declined_and_said(tmp_path, mode):
    run = run_with(mode, tmp_path)
    assert calls(tmp_path) == 1 and [a.get("action", "error") if "action" in a else "error" for a in answers(tmp_path)] in (["decline"], ["error"])
    assert "done" in said_by_tool(run) and not any(s.kind == "request" for s in run.steps)
    if answers(tmp_path)[0].get("action"): assert "was not answered" in said_by_tool(run)


@pytest.mark.parametrize("mode", ["link_script", "link_file", "link_user", "link_long", "link_letters"])
def test_a_link_that_is_none_is_declined(tmp_path, mode):
    run = run_with(mode, tmp_path)
    assert answers(tmp_path) == [dict(action="decline")] and "the link" in said_by_tool(run)


def test_a_link_is_shown_and_not_fetched(tmp_path):
    seen = []
    run_with("link", tmp_path, lambda p: (seen.append((p.request.link, p.request.form)), p.approve()))
    assert seen == [("https://pay.example.com/123", None)] and answers(tmp_path) == [dict(action="accept")]


def test_a_question_carries_its_servers_name(tmp_path):
    seen = []
    run_with("spoofs", tmp_path, lambda p: (seen.append(p.question), p.reject()))
    assert "mcp_hostile.py" in seen[0].partition(" asks: ")[0] and len(seen[0]) < 2500


def test_who_asks_without_end_is_not_answered_any_more(tmp_path):
    run = run_with("asks_often", tmp_path, lambda p: p.answer("1A"))
    actions = [a["action"] for a in answers(tmp_path)]
    assert actions == ["accept"] * 20 + ["decline"] * 5 and "more than 20 times" in said_by_tool(run) and calls(tmp_path) == 1


def test_a_question_that_is_taken_back_is_closed(tmp_path):
    async def go():
        async with server("takes_back", tmp_path) as client:
            run = Agent(Scripted(script), client.tools, store="memory:", policy=[Rule(effect="allow")]).run("go")
            await run.until()
            (tmp_path/"asked").touch()
            while run.tip.status != "done":
                await run.until()
                await asyncio.sleep(0.02)
            return run
    run = asyncio.run(asyncio.wait_for(go(), 20))
    assert not run.pending and said_by_tool(run) == "done" and calls(tmp_path) == 1


def test_a_server_that_goes_on_without_the_answer(tmp_path):
    async def go():
        async with server("gives_up", tmp_path) as client:
            run = Agent(Scripted(script), client.tools, store="memory:", policy=[Rule(effect="allow")]).run("go")
            await run.until()
            (tmp_path/"asked").touch()
            while not all(t.done() for t in run.engine.running_calls.values()): await asyncio.sleep(0.02)
            await run.until()
            return run
    run = asyncio.run(asyncio.wait_for(go(), 20))
    assert run.tip.status == "done" and not run.pending and calls(tmp_path) == 1


@pytest.mark.filterwarnings("ignore:request .* was already decided")
def test_a_question_after_the_result_holds_nothing_up(tmp_path):
    run = run_with("asks_late", tmp_path, lambda p: p.reject())
    assert run.tip.status == "done" and not run.pending


def test_a_server_that_dies_at_its_question(tmp_path):
    def decide(p):
        if p.about == "answer":
            os.kill(int((tmp_path/"pid").read_text()), signal.SIGKILL)
            p.answer("1A")
    run = run_with("dies", tmp_path, decide)
    assert "lost during the call" in said_by_tool(run) and "Whether it was done is not known" in said_by_tool(run) and calls(tmp_path) == 1


@pytest.mark.parametrize("rule, action", [("reject", "decline"), (lambda request, state: dict, None)])
def test_where_nobody_is_the_stated_policy_decides(tmp_path, rule, action):
    from agentnb.core.steps import Decision

    def answer(request, state): return Decision(request_id=request.request_id, verdict="answer", message='{"seat": "9C"}', by="the policy")
    with server("asks", tmp_path) as client:
        run = Agent(Scripted(script), client.tools, store="memory:", policy=[Rule(effect="allow")], unattended=rule if action else answer).run("go")
        asyncio.run(run.wait())
    assert answers(tmp_path)[0]["action"] == (action or "accept") and run.tip.status == "done"


def test_time_stands_still_while_a_person_is_asked(tmp_path):
    async def go():
        async with server("asks", tmp_path, timeout=0.3) as client:
            run = Agent(Scripted(script), client.tools, store="memory:", policy=[Rule(effect="allow")]).run("go")
            await run.until()
            await asyncio.sleep(0.7)
            run.pending[0].answer("1A")
            await run.until()
            return run
    run = asyncio.run(go())
    returned = next(s.body for s in run.steps if s.kind == "tool")
    assert returned.failure is None and returned.seconds < 0.5


def test_a_question_of_a_process_that_ended_is_taken_back_and_the_call_not_repeated(tmp_path):
    async def first():
        async with server("asks", tmp_path) as client:
            run = Agent(Scripted(script), client.tools, store=f"sqlite:///{tmp_path}/runs.db", policy=[Rule(effect="allow")]).run("go", run_id="r1")
            await run.until()
            assert run.pending[0].request.within
    asyncio.run(first())

    async def second():
        async with server("asks", tmp_path) as client:
            run = Agent(Scripted(script), client.tools, store=f"sqlite:///{tmp_path}/runs.db", policy=[Rule(effect="allow")]).load("r1")
            step = await run.until()
            return step, [p.about for p in run.pending]
    step, asked = asyncio.run(second())
    assert asked == ["outcome"] and step.kind == "request" and calls(tmp_path) == 1


# The model

def test_the_model_is_asked_where_a_person_allows_it_and_its_cost_counts_once(tmp_path):
    seen = []
    run = run_with("samples", tmp_path, lambda p: (seen.append((p.question, p.request.preview)), p.approve()))
    assert "may your model be asked this" in seen[0][0] and "Greet" in seen[0][1]
    assert answers(tmp_path)[0]["content"] == dict(type="text", text="Hello") and str(run.tip.cost) == "0.01"
    assert [s.body.about for s in run.steps if s.kind == "note"] == ["sampling"] and not any("Greet" in m.content for m in run.tip.messages)


@pytest.mark.parametrize("options, agent", [(dict(sampling="refuse"), {}), ({}, dict(unattended="reject"))])
def test_the_model_is_not_asked_where_that_is_refused(tmp_path, options, agent):
    run = run_with("samples", tmp_path, lambda p: p.reject("too dear"), agent=agent, **options)
    assert "code" in answers(tmp_path)[0] and run.tip.status == "done" and not run.tip.cost


def test_a_conversation_with_tools_of_its_own_is_refused_in_words(tmp_path):
    assert "tools of its own" in said_by_tool(run_with("samples_tools", tmp_path, sampling="allow"))


def test_who_samples_without_end_is_stopped(tmp_path):
    run = run_with("samples_often", tmp_path, sampling="allow")
    assert sum("content" in a for a in answers(tmp_path)) == 20 and str(run.tip.cost) == "0.20"


def test_the_budget_holds_for_what_a_server_samples(tmp_path):
    from agentnb import Budget
    run = run_with("samples_often", tmp_path, sampling="allow", agent=dict(budget=Budget(usd="0.05", assume=(3, 15))))
    assert run.tip.cost is not None and run.tip.cost <= 0.06 and "was not asked" in said_by_tool(run)


# Progress

def test_progress_keeps_a_call_alive_up_to_a_bound(tmp_path):
    run = run_with("progress_forever", tmp_path, timeout=0.3, longest=0.9)
    assert "however much progress it tells" in said_by_tool(run) and "It may still happen" in said_by_tool(run)


def test_silence_ends_a_call(tmp_path):
    assert "took longer than 0.3 s." in said_by_tool(run_with("silent", tmp_path, timeout=0.3))


@pytest.mark.parametrize("mode", ["progress_flood", "progress_numbers", "progress_unknown"])
def test_progress_of_any_kind_is_a_few_lines(tmp_path, mode):
    told = []

    async def go():
        async with server(mode, tmp_path) as client:
            run = Agent(Scripted(script), client.tools, store="memory:", policy=[Rule(effect="allow")]).run("go")
            run.listeners.append(lambda delta: delta.kind == "progress" and told.append(delta.text))
            await run.until()
            return run
    run = asyncio.run(go())
    assert run.tip.status == "done" and len(told) < 200 and all(len(t) < 300 and "\n" not in t for t in told)


# Results

@pytest.mark.parametrize("mode, words", [("blocks_many", "4999"), ("image_letters", "[image, image/png"), ("image_none", "[image, image/gif"),
    ("image_script", "[image, image/svg+xml"), ("surrogate", "answered with what is no message"), ("picture", "there"),
    ("unfit", "does not fit what the server promised: n: 'two'"),
    ("unkept", "promised structured content with this, and gave none"), ("far", "the schema cannot be applied"), ("text_large", "was cut here"), ("empty", "")])
def test_any_result_is_text(tmp_path, mode, words):
    said = said_by_tool(run_with(mode, tmp_path))
    assert words in said and len(said) < 120_000
    if mode in ("unfit", "unkept", "far"): assert said.startswith("two")


# Offers that change without a word

def test_a_changed_tool_is_noticed_at_the_start_of_a_run(tmp_path):
    run = run_with("plain", tmp_path, between=lambda client: (tmp_path/"changed").touch())
    note = next(s.body for s in run.steps if s.kind == "note")
    assert note.about == "server" and "has changed act" in note.text and "has changed act" in said_by_tool(run) and calls(tmp_path) == 0


def test_a_tool_that_the_server_does_not_know_any_more(tmp_path):
    async def go():
        async with server("vanishes", tmp_path) as client:
            tool = client.tools[0]
            assert await tool() == "done"
            (tmp_path/"changed").touch()
            with pytest.raises(ToolError, match="taken away act"): await tool()
    asyncio.run(go())


def test_a_server_that_cannot_list_at_the_start_of_a_run_is_called_all_the_same(tmp_path):
    assert said_by_tool(run_with("plain", tmp_path, between=lambda client: (tmp_path/"list_fails").touch())) == "done"


def test_a_tool_that_only_reads_is_not_said_to_have_been_done(tmp_path):
    def decide(p):
        os.kill(int((tmp_path/"pid").read_text()), signal.SIGKILL)
        p.answer("1A")

    def read_only(client): client.tools[0].spec = client.tools[0].spec.model_copy(update=dict(read_only=True, idempotent=True))
    said = said_by_tool(run_with("dies", tmp_path, decide, between=read_only))
    assert "is not known" not in said and "It only reads" in said


def test_outside_of_a_run_nobody_is_asked_and_that_is_said(tmp_path):
    with server("asks", tmp_path) as client: said = asyncio.run(client.tools[0]())
    assert "'Which seat?': nobody can be asked" in said and answers(tmp_path) == [dict(action="cancel")]
