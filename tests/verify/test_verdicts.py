"""Verdicts in runs: what a gate refuses goes back with the gap, then to a person; nothing is judged twice, and nothing ends done by itself."""
import asyncio, functools, time
from decimal import Decimal

import pytest

from agentnb import Agent, Budget, Reply, RequestOpen, Scripted, ToolError, Usage, call, open_store, tool
from agentnb.core.state import fold
from agentnb.core.steps import Judged
from agentnb.core.summary import summarize
from agentnb.verify.asked import UnfitJudge, judged
from agentnb.verify.calibration import agreement_of, calibrate
from agentnb.verify.fitting import schema
from agentnb.verify.grounded import quotes
from agentnb.verify.untouched import unchanged
from agentnb.verify.verdict import Verdict, ask_gate


def in_loop(test):
    "A test that awaits"
    @functools.wraps(test)
    def now(*args, **kwargs): return asyncio.run(test(*args, **kwargs))
    return now


def names_disk(what, state): return "disk" in what or "Name the disk."
def never(what, state): return "This is never enough."


@tool(read_only=True)
def fetch(page: str) -> str:
    "Fetch a page"
    return f"the page {page} says 91 %"


def kinds(run): return [s.kind for s in run.steps]
def verdicts(run): return [(s.body.gate, s.body.passed, s.body.attempt) for s in run.steps if isinstance(s.body, Judged)]


@in_loop
async def test_the_gap_goes_back_and_the_second_answer_ends_the_run():
    run = Agent(Scripted(["It is full.", "The disk is full."]), store="memory:", verify=[names_disk]).run("What is wrong?")
    assert await run == "The disk is full."
    assert kinds(run) == ["started", "model", "verdict", "model", "verdict", "finished"]
    assert verdicts(run) == [("names_disk", False, 1), ("names_disk", True, 2)]
    assert [m.content for m in run.tip.messages if m.role == "user"][1:] == ["[gate names_disk] This answer does not stand: Name the disk."]
    assert fold(run.steps) == run.tip


@in_loop
async def test_after_the_tries_a_person_sees_the_attempts_and_lets_one_stand():
    agent = Agent(Scripted(["one", "two", "three"]), store="memory:", verify=[never], tries=2)
    run = agent.run("Go")
    with pytest.raises(RequestOpen, match="2 answers were refused"): await run
    [asked] = run.pending
    assert asked.about == "verify" and "Attempt 1" in asked.request.preview and "one" in asked.request.preview and "two" in asked.request.preview
    with pytest.raises(ValueError, match="2 attempts"): asked.approve(args={"attempt": 3})
    asked.approve(args={"attempt": 1})
    assert await run == "one" and run.status == "done" and len(verdicts(run)) == 2


@pytest.mark.parametrize("said, ends", [("answer", "mine"), ("reject", "three"), ("abort", None)])
@in_loop
async def test_a_person_answers_or_sends_it_back_or_stops_the_run(said, ends):
    gate = lambda what, state: what == "three"
    run = Agent(Scripted(["one", "two", "three"]), store="memory:", verify=[gate], tries=2).run("Go")
    with pytest.raises(RequestOpen): await run
    dict(answer=run.pending[0].answer, reject=run.pending[0].reject, abort=run.pending[0].abort)[said]("mine")
    if ends: assert await run == ends and run.status == "done"
    else:
        with pytest.raises(Exception, match="stopped"): await run
        assert run.status == "stopped"


@pytest.mark.parametrize("unattended", ["wait", "approve", "reject"])
@in_loop
async def test_no_rule_for_the_absent_lets_it_end(unattended):
    run = Agent(Scripted(["x"] * 9), store="memory:", verify=[never], unattended=unattended).run("Go")
    with pytest.raises(RequestOpen): await run
    assert run.status == "waiting"


@in_loop
async def test_a_run_at_its_last_reply_is_no_done_run_either():
    run = Agent(Scripted(["x"] * 9), store="memory:", verify=[never], max_iterations=1).run("Go")
    with pytest.raises(Exception, match="max_iterations"): await run
    assert run.status == "stopped"


def broken(what, state): raise KeyError("gate")
def silent(what, state): return None
def empty(what, state): return ""
def one(what, state): return 1
def leaves(what, state): raise SystemExit(0)
async def hangs(what, state): await asyncio.sleep(60)
def sleeps(what, state): time.sleep(3)
async def wrong(what, state): return "yes" and Verdict.model_construct(passed="yes")


@pytest.mark.parametrize("gate", [broken, silent, empty, one, leaves, wrong])
@in_loop
async def test_a_gate_that_fails_is_never_a_pass(gate):
    run = Agent(Scripted(["x"] * 9), store="memory:", verify=[gate]).run("Go")
    with pytest.raises(RequestOpen): await run
    body = next(s.body for s in run.steps if isinstance(s.body, Judged))
    assert not body.passed and gate.__name__ in body.reason


@pytest.mark.parametrize("gate", [hangs, sleeps])
@in_loop
async def test_a_gate_has_a_bound(gate):
    started = time.monotonic()
    said = await ask_gate(gate, "x", None, 0.1)
    assert not said.passed and "0.1 s" in said.reason and time.monotonic() - started < 1


@in_loop
async def test_two_gates_of_one_name_are_both_asked():
    def make(word): return lambda what, state: word in what or f"Say {word}."
    run = Agent(Scripted(["a", "a b"]), store="memory:", verify=[make("a"), make("b")]).run("Go")
    assert await run == "a b" and len(verdicts(run)) == 4


@in_loop
async def test_the_result_of_a_tool_that_is_called_answer_is_the_answer_once():
    @tool(read_only=True)
    def answer(text: str) -> str:
        "Answer"
        return text
    agent = Agent(Scripted([call("answer", text="bad"), call("answer", text="good")]), tools=[answer], result=answer, store="memory:",
        verify=[lambda what, state: what == "good" or "Say good."])
    run = agent.run("Go")
    assert await run == "good" and kinds(run) == ["started", "model", "tool", "verdict", "model", "tool", "verdict", "finished"]


@in_loop
async def test_gates_share_a_budget_that_is_not_exceeded():
    yes, used = '{"choice": "A", "reason": "Good."}', Usage(input=100, output=10, requests=1)
    def judge(messages, tools): return Reply(content=yes, usage=used, cost=Decimal("0.005"))
    def model(messages, tools): return Reply(content="one", usage=Usage(input=10, output=1, requests=1), cost=Decimal("0.001"))
    agent = Agent(Scripted(model, name="test:m"), store="memory:", verify=[judged("Be good.", Scripted(judge, name="test:j"))],
        budget=Budget(usd=Decimal("0.04"), shared="team", assume=(3, 15)))
    runs = [agent.run(str(i)) for i in range(8)]
    await asyncio.gather(*(run.wait() for run in runs), return_exceptions=True)
    assert 0 < sum(run.tip.cost for run in runs) <= Decimal("0.04"), [(run.status, run.tip.reason, run.tip.cost) for run in runs]
    assert {"stopped"} <= {run.status for run in runs} <= {"done", "stopped"}


@in_loop
async def test_a_result_is_judged_before_the_model_reads_it():
    read = []
    def script(messages, tools):
        read.append([m.content for m in messages])
        return call("fetch", page="b" if len(read) > 1 else "a") if len(read) < 3 else "done"
    gates = {"fetch": [lambda what, state: "page b" in what or "That is the wrong page."]}
    run = Agent(Scripted(script), tools=[fetch], store="memory:", verify=gates).run("Go")
    assert await run == "done"
    assert not any("page a" in text for said in read for text in said), "what was refused is withheld"
    assert any("[gate <lambda>] The result of fetch is withheld: That is the wrong page." in said for said in read[1])
    assert run.tip.refusals == ()


@in_loop
async def test_a_tool_brings_its_gates_and_a_person_gives_the_result():
    @tool(read_only=True, verify=[never])
    def look() -> str:
        "Look"
        return "nothing"
    run = Agent(Scripted([call("look"), call("look"), "done"]), tools=[look], store="memory:").run("Go")
    with pytest.raises(RequestOpen, match="2 results of look"): await run
    run.pending[0].answer("It is green.")
    assert await run == "done" and any("It is green." in m.content for m in run.tip.messages)


@in_loop
async def test_a_crash_between_the_verdict_and_the_next_reply_repeats_neither():
    asked = []
    def gate(what, state):
        asked.append(what)
        return what == "two" or "Say two."
    agent = Agent(Scripted(["one", "two"]), store="memory:", verify=[gate])
    run = agent.run("Go")
    for _ in range(3): await run.step()
    assert kinds(run)[-1] == "verdict"
    again = agent.load(run.run_id)
    assert await again == "two" and asked == ["one", "two"]


@in_loop
async def test_the_cost_of_a_judge_counts_and_a_budget_holds_it():
    yes = '{"choice": "A", "reason": "Good."}'
    used = Usage(input=100, output=10, requests=1)
    judge = Scripted(lambda messages, tools: Reply(content=yes, usage=used, cost=Decimal("0.02"), model="test:judge"), name="test:judge")
    run = Agent(Scripted(["one"]), store="memory:", verify=[judged("Be good.", judge)]).run("Go")
    assert await run == "one" and run.tip.cost == Decimal("0.02") and run.tip.usage.input == 100
    run = Agent(Scripted(["one"]), store="memory:", verify=[judged("Be good.", judge)], budget=Budget(tokens=50)).run("Go")
    with pytest.raises(Exception, match="budget"): await run
    assert run.status == "stopped" and run.tip.usage.input == 0, "the judge was not asked"


@in_loop
async def test_votes_and_the_order_of_what_is_compared():
    async def first(messages, tools=(), instructions="", ask=None): return Reply(content='{"choice": "A", "reason": "It stands first."}')
    assert not (await judged("Be good.", first, against="other")("x", None)).passed
    assert (await judged("Be good.", first)("x", None)).passed
    assert not (await judged("Be good.", first, votes=2)("x", None)).passed, "one for each order of the options: no majority"
    async def garbled(messages, tools=(), instructions="", ask=None): return Reply(content="Sure, it is fine!")
    assert not (await judged("Be good.", garbled)("x", None)).passed


@in_loop
async def test_a_judge_below_its_floor_is_no_gate():
    def truth(messages, tools): return '{"choice": "%s", "reason": "So."}' % ("A" if "good" in messages[0].content.split('"answer"')[1] else "B")
    labelled = [("good", True), ("bad", False)] * 6
    gate = judged("Be right.", Scripted(truth), floor=0.6)
    with pytest.raises(UnfitJudge, match="not measured"): Agent(Scripted(["x"]), verify=[gate], store="memory:")
    assert not (await ask_gate(gate, "good")).passed
    assert (await calibrate(gate, labelled)).kappa == 1
    assert await Agent(Scripted(["good"]), verify=[gate], store="memory:").run("Go") == "good"
    lenient = judged("Be right.", Scripted(lambda messages, tools: '{"choice": "A", "reason": "So."}'), floor=0.6)
    found = await calibrate(lenient, labelled)
    assert found.kappa == 0 and found.agreement == 0.5 and found.wrongly_passed == (1, 3, 5, 7, 9, 11)
    with pytest.raises(UnfitJudge, match="below its floor"): Agent(Scripted(["x"]), verify=[lenient], store="memory:")


def test_kappa_is_as_published():
    "Cohen 1960, and the worked example of Wilson's interval: 20 and 15 of 50 alike, kappa 0.4"
    labels = [True] * 25 + [False] * 25
    found = agreement_of(labels, [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    assert found["agreement"] == 0.7 and abs(found["kappa"] - 0.4) < 1e-9 and found["low"] < 0.4 < found["high"]
    assert agreement_of([True] * 3, [True] * 3)["kappa"] is None


@in_loop
async def test_what_may_not_change_is_seen_before_the_run_and_held_in_its_log(tmp_path):
    (tmp_path/"test_a.py").write_text("assert f() == 1")
    @tool
    def write(text: str) -> str:
        "Write"
        (tmp_path/"test_a.py").write_text(text)
        return "written"
    def agent(): return Agent(Scripted([call("write", text="assert True"), "All pass.", call("write", text="assert f() == 1"), "All pass."]),
        tools=[write], unattended="approve", store=store, verify=[unchanged("test_*.py", root=tmp_path)])
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    run = agent().run("Go")
    for _ in range(4): await run.step() if not run.pending else run.pending[0].approve()
    assert await agent().load(run.run_id) == "All pass."
    said = [s.body.gap for s in run.store.read(run.run_id) if isinstance(s.body, Judged)]
    assert "test_a.py was changed" in said[0] and len(said) == 2


def test_what_fits_is_checked_where_gates_are_given():
    with pytest.raises(ValueError, match="no tool 'fetsch'"): Agent(Scripted([]), tools=[fetch], verify={"fetsch": [never]}, store="memory:")
    with pytest.raises(TypeError, match="no gates"): Agent(Scripted([]), verify=["schema"], store="memory:")
    with pytest.raises(ValueError, match="tries"): Agent(Scripted([]), verify=[never], tries=0, store="memory:")


@in_loop
async def test_a_typed_answer_of_a_person_has_to_fit():
    run = Agent(Scripted(["[1]", "[2]"]), store="memory:", result=list[int], verify=[never]).run("Go")
    with pytest.raises(RequestOpen): await run
    with pytest.raises(ToolError, match="does not fit"): run.pending[0].answer("none")
    run.pending[0].answer([3])
    assert await run == [3]


@in_loop
async def test_steps_are_shown():
    run = Agent(Scripted(["It is full.", "The disk is full."]), store="memory:", verify=[names_disk]).run("Go")
    await run
    assert str(summarize(run.steps[2])).startswith("  2 ⚖ names_disk: refused  Name the disk.")
    from agentnb.views.html import cost_html, run_html
    assert "names_disk does not let the answer pass" in run_html(run.tip, run.steps) and "gate names_disk" in cost_html(run.tip, run.steps)


def test_quotes_is_linear():
    from agentnb.core.messages import Message
    from agentnb.core.state import State
    def seconds(n):
        state = State(messages=(Message(role="tool", tool="fetch", content="1,234 words and “more” " * n),))
        started = time.perf_counter()
        for text in ('“' * n, '"' * n, "1,234 " * n, "> a\n" * n, "1-" * n, "a/" * n, "1.1." * n, ("word " * 9 + "\n\n") * n): quotes()(text, state)
        return time.perf_counter() - started
    seconds(100)
    assert seconds(4000) < 12 * seconds(1000) + 0.2


def test_a_schema_is_a_type_or_json_schema():
    assert schema(list[int])("[1, 2]").passed and not schema(list[int])('["a"]').passed
    assert not schema(dict(type="object", required=["a"]))("{}").passed


@in_loop
async def test_a_card_and_the_terminal_let_an_attempt_stand():
    from agentnb.cli.main import answer
    from agentnb.ui.cards import card_of
    run = Agent(Scripted(["one", "two"]), store="memory:", verify=[never]).run("Go")
    with pytest.raises(RequestOpen): await run
    card = card_of(run.pending[0].request, run.tip, run.steps)
    assert card["about"] == "verify" and [(f["name"], f["value"]) for f in map(vars_of, card["fields"])] == [("attempt", "2")]
    assert "one" in card["preview"] and "two" in card["preview"]
    answer(run.pending[0], ask=lambda question: "1", show=lambda line: None)
    assert await run == "one"


def vars_of(field): return field if isinstance(field, dict) else vars(field)


def test_a_recorded_run_is_played_without_asking_its_gates(tmp_path):
    from agentnb.study.testcase import replay
    asked = []
    def gate(what, state):
        asked.append(what)
        return what == "good" or "Say good."
    def agent(): return Agent(Scripted(["bad", "good"]), store="memory:", verify=[gate])
    run = agent().run("Go")
    asyncio.run(run.wait())
    run.to_test(tmp_path/"test_it.py", "somewhere:agent", at=3)
    tape = next(p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".py")
    assert replay(agent(), tape, run.run_id, 3).body.reply.content == "good" and asked == ["bad", "good"]
