"""The live cascade: what it asks, what it keeps, what it costs, and a person as the last tier."""
import asyncio, os, signal, subprocess, sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies as st
from places import on_path

from agentnb import Agent, Ask, Cached, Cascade, Human, ModelError, Reply, RequestOpen, Retry, Scripted, Tape, TapeMiss, ToolError, call
from agentnb import open_store, tool, user
from agentnb.cascade import Prompt, agree, answer_of, check, confident, policy_gate, fresh, judged, valid
from agentnb.core.messages import Message, Usage, Verdict, assistant, result
from agentnb.models.protocol import AskedHuman
from agentnb.core.steps import Note, Replied, Request


def reply(content="", *calls, sure=None, cost="0.001", tokens=10, model="", **more):
    usage = Usage(input=tokens, output=1, requests=1)
    return Reply(content=content, calls=calls, confidence=sure, cost=cost if cost is None else Decimal(cost), usage=usage, model=model, **more)


def always(said, name): return Scripted(lambda messages, tools: said, name)


def asked(question="Which disk?", **more): return Prompt([user(question)], **more)


def ask(model, *messages, **how): return asyncio.run(model(list(messages) or [user("Which disk?")], **how))


SURE, UNSURE = reply("/tmp", sure=0.97), reply("/var", sure=0.3, cost="0.002")
STRONG = reply("/data", sure=0.99, cost="0.05", tokens=20)


@tool(read_only=True)
def look(disk: str) -> str:
    "How full a disk is"
    return f"{disk} is full"


# -- gates

@pytest.mark.parametrize("sure, at_least, accept", [(0.9, 0.9, True), (0.89, 0.9, False), (1.0000001, 1, True)])
def test_confident_reads_the_tokens(sure, at_least, accept):
    verdict = asyncio.run(confident(at_least)(reply("x", sure=sure), asked()))
    assert verdict.accept is accept and verdict.score == min(sure, 1) and verdict.cost == 0 and verdict.gate == f"confident({at_least})"


@pytest.mark.parametrize("said, accept, score", [
    (reply("Yes", logprobs=(("Yes", -0.1),)), True, pytest.approx(0.904, abs=0.001)),
    (reply("No.", logprobs=(("No", -0.1),)), False, pytest.approx(0.095, abs=0.001)),
    (reply("yes, surely"), True, None), (reply("no"), False, None), (reply("I cannot say"), False, None)])
def test_a_model_without_probabilities_is_asked_for_one_word(said, accept, score):
    heard = []
    def model(messages, tools): heard.append(messages[0].content); return said
    verdict = asyncio.run(confident(0.5)(reply("/tmp"), asked(model=Scripted(model, "quiet:one"))))
    assert (verdict.accept, verdict.score, verdict.cost) == (accept, score, Decimal("0.001")) and verdict.usage.total == 11
    assert "Which disk?" in heard[0] and "/tmp" in heard[0]


def test_a_hesitant_yes_is_not_enough():
    hesitant = always(reply("Yes", logprobs=(("Yes", -0.6),)), "own:judge")
    assert not asyncio.run(judged(hesitant, at_least=0.8)(SURE, asked())).accept and asyncio.run(judged(hesitant, at_least=0.5)(SURE, asked())).accept


def test_a_judge_is_another_model_and_its_price_counts():
    verdict = asyncio.run(judged(always(reply("no", cost=None), "own:judge"))(SURE, asked()))
    assert not verdict.accept and verdict.cost is None and "own:judge says no" in verdict.reason


@pytest.mark.parametrize("first, second, accept", [
    (reply("Disk full."), reply("disk  FULL"), True), (reply("42"), reply("42.0"), True), (reply("/tmp"), reply("/var"), False), (reply(""), reply(""), False),
    (reply("a", call("look", disk="/tmp")), reply("b", call("look", disk="/tmp")), True), (reply("", call("look", disk="/tmp")), reply("look"), False),
    (reply("", call("look", disk="/a"), call("look", disk="/b")), reply("", call("look", disk="/b"), call("look", disk="/a")), True),
    (reply('{"a": 1, "b": 2}'), reply('{"b": 2, "a": 1}'), True)])
def test_agreement(first, second, accept):
    verdict = asyncio.run(agree(always(second, "own:other"))(first, asked()))
    assert verdict.accept is accept and verdict.answer == answer_of(second) and verdict.model == "own:other" and verdict.cost == Decimal("0.001")


def test_agreement_with_another_prompt_asks_the_same_model_again():
    heard = []
    async def model(messages, tools=(), instructions="", ask=Ask()):
        heard.append((instructions, ask.on_delta))
        return SURE
    model.name = "own:one"
    loud = Ask(on_delta=lambda delta: None)
    verdict = asyncio.run(agree("Write a program and say its output.")(SURE, asked(instructions="Be short.", model=model, ask=loud)))
    assert verdict.accept and heard == [("Be short.\n\nWrite a program and say its output.", None)]


@pytest.mark.parametrize("said, ask, text", [
    (reply("", call("look", disc="/")), Ask(), "'disc' was unexpected"), (reply("", call("look", disk=7)), Ask(), "not of type 'string'"),
    (reply("", call("lock")), Ask(), "no tool lock"),
    (reply("hm"), Ask(must_call=True), "calls nothing"), (reply("hm"), Ask(answer=dict(type="object", required=["a"])), "not JSON"),
    (reply('{"b": 1}'), Ask(answer=dict(type="object", required=["a"])), "'a' is a required property"),
    (reply(" "), Ask(), "empty"), (reply("x", cut=True), Ask(), "cut"),
    (reply("", call("look", disk="/")), Ask(), ""), (reply("fine"), Ask(), "")])
def test_valid_is_a_guard(said, ask, text):
    verdict = asyncio.run(valid()(said, asked(tools=[look.spec], ask=ask)))
    assert verdict.accept is (not text) and text in verdict.reason and verdict.score is None


def turns(*outcomes):
    for n, (disk, failed) in enumerate(outcomes):
        c = call("look", disk=disk).model_copy(update={"id": f"c{n}"})
        failure = dict(kind="not_found", message="no such disk") if failed else None
        yield from (assistant("", c), Message.model_validate(result(c, "full").model_dump() | dict(failure=failure)))


@pytest.mark.parametrize("outcomes, says, stale", [
    ([("/a", 0)] * 3, "/c", True), ([("/a", 0), ("/b", 0)], "/c", False), ([("/a", 1)], "/a", True), ([("/a", 1)], "/b", False),
    ([("/a", 1), ("/b", 1), ("/c", 1)], "/d", True), ([("/a", 1), ("/b", 1)], "/d", False), ([], "/a", False)])
def test_fresh_notices_circles(outcomes, says, stale):
    verdict = asyncio.run(fresh()(reply("", call("look", disk=says)), Prompt([user("go"), *turns(*outcomes)])))
    assert verdict.accept is not stale and bool(verdict.reason) is stale


def test_a_plain_function_is_a_gate():
    async def later(reply, asked): return Verdict(accept=len(asked.messages) == 1, cost=Decimal("0.3"))
    cascade = Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[lambda reply: "tmp" in reply.content, later])
    assert ask(cascade).cost == Decimal("0.301")
    assert ask(cascade, user("a"), user("b")).content == "/data"
    with pytest.raises(TypeError, match="gave 'yes'. Return a Verdict"):
        from agentnb.cascade.gates import Gate
        asyncio.run(Gate("odd", lambda reply, asked: "yes")(SURE, asked()))


def policy(**more):
    return SimpleNamespace(**dict(dict(tiers=["cheap", "strong"], second=None, quality=0.98, refused=None,
        decide=lambda rows: "accept" if rows[0]["confidence"] >= 0.9 else "escalate"), **more))


def test_a_fitted_policy_is_a_gate_and_certifies():
    cascade = Cascade([always(UNSURE, "a"), always(STRONG, "b")], gates=[policy()], quality=0.95)
    assert ask(cascade).model == "" and ask(cascade).content == "/data" and "quality 0.95 certified" in repr(cascade)
    assert ask(Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[policy()])).content == "/tmp"


def test_a_policy_with_a_second_model_pays_for_it():
    rows = []
    agreed = policy(second="other", decide=lambda given: rows.extend(given) or "accept")
    said = ask(Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[policy_gate(agreed, second=always(UNSURE, "c"))]))
    assert [(r["model"], r["answer"]) for r in rows] == [("cheap", "/tmp"), ("other", "/var")] and said.cost == Decimal("0.003")
    assert said.attempts[0].verdicts[0].answer == "/var"


def test_a_policy_decides_about_its_own_tier():
    lower, upper = policy(), policy(tiers=["strong", "best"], decide=lambda rows: "escalate")
    given = [always(UNSURE, "a"), always(reply("/etc", sure=0.2), "b"), always(STRONG, "c")]
    assert ask(Cascade(given, gates=lower)).content == "/etc"
    assert ask(Cascade(given, gates=[lower, policy_gate(upper, tier=1)])).content == "/data"
    with pytest.raises(ValueError, match="more than the 0.96"): Cascade(given, gates=[lower, policy_gate(upper, tier=1)], quality=0.98)


def test_a_policy_gets_the_columns_it_was_fitted_on():
    grouped = policy(decide=lambda rows: "accept" if rows[0]["group"] == "ops" else "escalate")
    gate = policy_gate(grouped, columns=lambda reply, asked: dict(group=asked.instructions))
    assert asyncio.run(gate(UNSURE, asked(instructions="ops"))).accept and not asyncio.run(gate(UNSURE, asked(instructions="law"))).accept


# -- what is refused

@pytest.mark.parametrize("tiers, how, error, text", [
    (["a"], {}, ValueError, "two or three tiers, not 1"),
    (["a"] * 4, {}, ValueError, "not 4"), ("ab", {}, TypeError, "tiers are a list"),
    (["a", "b"], dict(gates=[]), ValueError, "nothing escalates"),
    (["a", "b"], dict(gates=["confident"]), TypeError, "'confident' is no gate. Write confident"),
    (["a", "b"], dict(sticky=-1), ValueError, "sticky=-1"), (["a", "b"], dict(shadow=5), ValueError, "shadow=5"),
    (["a", "b"], dict(quality=98), ValueError, "quality=98: a share"),
    (["a", "b"], dict(gates=[policy(quality=0.9)], quality=0.98), ValueError, "more than the 0.9"),
    (["a", "b"], dict(gates=[policy(refused="too near in price")]), ValueError, "refuses this cascade: too near in price")])
def test_a_mistake_says_what_to_write(tiers, how, error, text):
    given = [always(SURE, t) for t in tiers] if isinstance(tiers, list) else tiers
    with pytest.raises(error, match=text): Cascade(given, **(dict(gates=[confident()]) | how))


def test_a_human_is_last_and_cascades_do_not_nest():
    with pytest.raises(ValueError, match=r"Human\(\) is the last tier"): Cascade([Human(), always(SURE, "a")], gates=[valid()])
    inner = Cascade([always(SURE, "a"), Human()], gates=[valid()])
    with pytest.raises(ValueError, match="Write all models in one list"): Cascade([inner, Human()], gates=[valid()])


def test_prices_that_are_too_near_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"settings.ini").write_text("[prices]\nown:small = 1 2\nown:large = 2 4\nown:huge = 20 40\n")
    tiers = lambda large: [always(SURE, "own:small"), always(STRONG, large)]
    text = "own:large costs 2 times as much as own:small: below 3 a cascade loses money"
    with pytest.raises(ValueError, match=text): Cascade(tiers("own:large"), gates=[valid()])
    assert Cascade(tiers("own:large"), gates=[policy()]).ratio == 2 and Cascade(tiers("own:huge"), gates=[valid()]).ratio == 20
    assert "price ratio unknown" in repr(Cascade(tiers("own:unheard"), gates=[valid()]))


def test_quality_without_calibration_is_never_certified():
    with pytest.warns(UserWarning, match="NOT certified"): cascade = Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[confident()], quality=0.98)
    assert "quality 0.98 NOT certified" in repr(cascade) and not cascade.certified


# -- one request

def test_the_ledger_of_one_reply():
    gates = [confident(0.5), agree(always(reply("/etc", cost="0.0005", tokens=3), "own:second"))]
    said = ask(Cascade([always(SURE, "a"), always(UNSURE, "b"), always(STRONG, "c")], gates=gates))
    assert [(a.model, a.tier, a.outcome) for a in said.attempts] == [("a", 0, "rejected"), ("b", 1, "rejected"), ("c", 2, "accepted")]
    assert [a.answer for a in said.attempts] == ["/tmp", "/var", "/data"] and [len(a.verdicts) for a in said.attempts] == [2, 1, 0]
    assert said.cost == Decimal("0.0535") and said.usage.total == 11 + 11 + 21 + 4 and said.usage.requests == 4
    assert said.content == "/data" and said.escalated == 2 and "agree('own:second'): own:second says /etc" in said.attempts[0].reason
    assert Reply.model_validate_json(said.model_dump_json(exclude_defaults=True)) == said


@pytest.mark.parametrize("where", ["tier", "gate", "shadow", "strong"])
def test_one_unknown_price_makes_the_sum_unknown(where):
    free = lambda said: said.model_copy(update={"cost": None})
    gates = [check(lambda r: Verdict(accept=where in ("gate", "shadow"), cost=None if where == "gate" else Decimal(0)))]
    small, large = free(SURE) if where == "tier" else SURE, free(STRONG) if where in ("shadow", "strong") else STRONG
    assert ask(Cascade([always(small, "a"), always(large, "b")], gates=gates, shadow=1)).cost is None


def test_a_bad_form_goes_up_without_a_gate():
    probes = []
    gate = check(lambda r: probes.append(r) or True)
    for bad in (reply("x", malformed="That is not JSON."), reply("x", cut=True)):
        assert ask(Cascade([always(bad, "a"), always(STRONG, "b")], gates=[gate])).content == "/data"
    assert not probes


def test_a_long_answer_is_cut_but_not_confused():
    one, other = ask(Cascade([always(reply("x" * 5000), "a"), always(STRONG, "b")], gates=[check(lambda r: False)])), answer_of(reply("x" * 4999 + "y"), 1000)
    assert len(one.attempts[0].answer) == 1000 and one.attempts[0].answer != other and answer_of(reply("x" * 5000), 1000) == one.attempts[0].answer


def test_probabilities_are_asked_for_and_not_kept():
    heard = []
    async def model(messages, tools=(), instructions="", ask=Ask()):
        heard.append(ask.logprobs)
        return reply("x", sure=0.9, logprobs=(("x", -0.1),))
    model.name = "a"
    cascade = Cascade([model, always(STRONG, "b")], gates=[confident(0.5)])
    assert not ask(cascade).logprobs and ask(cascade, ask=Ask(logprobs=True)).logprobs and heard == [True, True]


def test_a_budget_that_is_nearly_used_up_keeps_it_cheap():
    class Frugal(Ask):
        frugal: bool = True
    cascade = Cascade([always(UNSURE, "a"), always(STRONG, "b")], gates=[confident()], shadow=1)
    said = ask(cascade, user("x"), assistant("y").model_copy(update={"escalated": 1}), user("z"))
    assert said.content == "/data"
    said = asyncio.run(cascade([user("x"), assistant("y").model_copy(update={"escalated": 1}), user("z")], ask=Frugal()))
    assert said.content == "/var" and len(said.attempts) == 1 and "no gate was asked" in said.attempts[0].reason
    broken = Cascade([always(reply(malformed="not JSON"), "a"), always(STRONG, "b")], gates=[confident()])
    assert asyncio.run(broken([user("x")], ask=Frugal())).content == "/data"


def test_all_models_that_may_be_asked_are_known():
    second, judge = always(SURE, "c"), always(SURE, "d")
    cascade = Cascade([always(SURE, "a"), always(STRONG, "b"), Human()], gates=[agree(second), judged(judge), confident()])
    assert [m.name for m in cascade.models] == ["a", "b", "human", "c", "d", "a", "b"]


# -- errors

def test_a_tier_that_fails_is_an_attempt():
    broken = ModelError("overloaded", "overloaded (529).", model="own:a", usage=Usage(input=7, requests=1), cost=Decimal("0.0001"))
    said = ask(Cascade([always(broken, "own:a"), always(STRONG, "b")], gates=[confident()]))
    assert said.content == "/data" and said.cost == Decimal("0.0501") and (said.attempts[0].outcome, said.attempts[0].cost) == ("failed", Decimal("0.0001"))
    assert "overloaded (529)" in said.attempts[0].reason and said.notes


def test_all_tiers_failing_raises_the_last_with_everything_spent():
    def failing(name): return always(ModelError("timeout", f"{name} is late.", model=name, usage=Usage(input=5, requests=1), cost=Decimal("0.01")), name)
    with pytest.raises(ModelError, match="c is late") as e: ask(Cascade([always(UNSURE, "a"), failing("b"), failing("c")], gates=[confident()]))
    assert e.value.cost == Decimal("0.022") and e.value.usage.total == 21 and [a.outcome for a in e.value.attempts] == ["rejected", "failed", "failed"]


def test_a_gate_whose_model_fails_accepts_nothing():
    dead = always(ModelError("quota", "empty.", cost=Decimal("0.004")), "own:dead")
    said = ask(Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[agree(dead)]))
    assert said.content == "/data" and said.cost == Decimal("0.055") and "could not be asked" in said.attempts[0].reason


def test_a_mistake_in_a_gate_is_loud_and_loses_no_cost():
    with pytest.raises(ModelError, match="ZeroDivisionError") as e: ask(Cascade([always(UNSURE, "a"), always(STRONG, "b")], gates=[lambda r: 1/0]))
    assert e.value.cost == Decimal("0.002") and isinstance(e.value.__cause__, ZeroDivisionError)
    assert [(a.outcome, a.reason) for a in e.value.attempts] == [("rejected", "its gates did not come to an end")]


def test_a_gate_cannot_ask_a_person():
    with pytest.raises(ModelError, match="Put Human.. behind the last tier"): ask(Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[judged(Human())]))


def test_a_request_that_is_not_on_a_tape_is_loud(tmp_path):
    tape = Tape(tmp_path/"empty.tape", mode="replay")
    with pytest.raises(TapeMiss): ask(Cascade([tape(always(SURE, "a")), always(STRONG, "b")], gates=[confident()]))


def test_a_failed_step_keeps_its_attempts_in_the_log():
    dead = always(ModelError("quota", "empty.", model="b", cost=Decimal("0.004")), "b")
    run = Agent(Cascade([always(UNSURE, "a"), dead], gates=[confident()]), store="memory:").run("Which disk?")
    with pytest.raises(ModelError, match="empty"): asyncio.run(run.wait())
    note = run.steps[-1].body
    assert isinstance(note, Note) and [a.outcome for a in note.attempts] == ["rejected", "failed"] and run.tip.cost == Decimal("0.006") == run.receipt().cost


# -- streams

async def told(text, ask, said):
    if ask.on_delta:
        from agentnb import Delta
        for word in text.split(): ask.on_delta(Delta("text", word))
    return said


def test_what_was_shown_of_a_rejected_reply_is_taken_back():
    async def small(messages, tools=(), instructions="", ask=Ask()): return await told("it is /var", ask, UNSURE)
    async def large(messages, tools=(), instructions="", ask=Ask()): return await told("it is /data", ask, STRONG)
    small.name, large.name = "a", "b"
    heard = []
    ask(Cascade([small, large], gates=[confident()], shadow=1), ask=Ask(on_delta=heard.append))
    assert [d.kind for d in heard] == ["text"] * 3 + ["restart"] + ["text"] * 3 and heard[-1].text == "/data"


def test_probes_and_shadows_are_not_heard():
    heard = []
    cascade = Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[agree(always(SURE, "c"))], shadow=1)
    said = ask(cascade, ask=Ask(on_delta=heard.append))
    assert [d.text for d in heard] == ["/tmp"] and said.attempts[-1].outcome == "shadow"


# -- shadows

def test_a_shadow_is_recorded_and_paid_and_not_said():
    said = ask(Cascade([always(SURE, "a"), always(STRONG, "b"), Human()], gates=[confident()], shadow=1))
    assert said.content == "/tmp" and said.cost == Decimal("0.051") and said.escalated == 0
    assert [(a.outcome, a.answer, a.tier) for a in said.attempts] == [("accepted", "/tmp", 0), ("shadow", "/data", 1)]


def test_a_shadow_that_fails_fails_nothing():
    dead = always(ModelError("quota", "empty.", cost=Decimal("0.004")), "b")
    said = ask(Cascade([always(SURE, "a"), dead], gates=[confident()], shadow=1))
    assert said.content == "/tmp" and said.cost == Decimal("0.005") and "empty" in said.attempts[1].reason


def test_the_sample_follows_from_the_request():
    cascade = Cascade([always(SURE, "a"), always(STRONG, "b")], gates=[confident()], shadow=0.2)
    one, two = ([len(ask(cascade, user(f"question {i}")).attempts) == 2 for i in range(500)] for _ in "12")
    assert one == two and 70 < sum(one) < 130
    assert not any(a.outcome == "shadow" for i in range(50) for a in ask(Cascade(cascade.tiers, cascade.gates), user(f"question {i}")).attempts)


# -- stickiness

def ladder_run(script, steps, sticky, tiers=2):
    "Which tier answered each step, where `script` says how high the step has to go"
    def tier(n):
        def said(messages, tools):
            step = sum(m.role == "assistant" for m in messages)
            calls = [] if step == steps - 1 else [call("look", disk=f"/{step}")]
            return reply("" if calls else "done", *calls, sure=float(n >= script[step]), model=f"t{n}")
        return Scripted(said, f"t{n}")
    cascade = Cascade([tier(n) for n in range(tiers)], gates=[confident(0.5)], sticky=sticky)
    run = Agent(cascade, tools=[look], store="memory:", max_iterations=100).run("go")
    asyncio.run(run.wait())
    return [[a.tier for a in s.body.reply.attempts] for s in run.steps if s.kind == "model"], run


@pytest.mark.parametrize("script, sticky, tiers, tried", [
    ([0, 1, 0, 0, 0, 0], 2, 2, [[0], [0, 1], [1], [1], [0], [0]]), ([0, 1, 0, 0, 0, 0], 0, 2, [[0], [0, 1], [0], [0], [0], [0]]),
    ([1, 1, 1, 1, 1, 1], 2, 2, [[0, 1], [1], [1], [0, 1], [1], [1]]), ([1, 2, 0, 0, 0, 0], 1, 3, [[0, 1], [1, 2], [2], [0], [0], [0]]),
    ([0, 1, 0, 0, 0, 0], 99, 2, [[0], [0, 1], [1], [1], [1], [1]])])
def test_after_an_escalation_the_tier_stays_for_a_while(script, sticky, tiers, tried):
    found, run = ladder_run(script, len(script), sticky, tiers)
    assert found == tried
    assert [m.escalated for m in run.tip.messages if m.role == "assistant"] == [t[-1] if len(t) > 1 else 0 for t in tried]


def test_stickiness_is_read_off_the_log_alone():
    _, run = ladder_run([0, 1, 0, 0, 0, 0], 6, 2)
    again = open_store("memory:")
    again.append(*run.steps[:4])
    assert run.agent.model.first_tier(again.restore(run.run_id).messages) == run.agent.model.first_tier(run.state_at(3).messages)
    assert run.fork(at=4).agent.model.first_tier(run.fork(at=4).tip.messages) == 1


def test_a_person_is_not_asked_for_being_sticky():
    cascade = Cascade([always(SURE, "a"), Human()], gates=[confident()])
    assert cascade.first_tier([user("x"), assistant("y").model_copy(update={"escalated": 1})]) == 0


# -- around a cascade

def test_it_works_inside_a_cache_and_a_retry():
    cascade = Cascade([always(UNSURE, "a"), always(STRONG, "b")], gates=[confident()])
    kept = Cached(cascade, "memory:")
    first, again = ask(kept), ask(kept)
    assert first.cost == Decimal("0.052") and (again.cost, again.attempts, again.content, again.source) == (0, (), "/data", "cache")
    other = Cached(Cascade(cascade.tiers, gates=[confident(0.2)]), kept.store)
    assert ask(other).source == "live"
    said = iter([ModelError("overloaded", "busy.", retryable=True, retry_after=0, cost=Decimal("0.007")), STRONG])
    flaky = Cascade([always(UNSURE, "a"), Scripted(lambda messages, tools: next(said), "b")], gates=[confident()])
    assert ask(Retry(flaky)).cost == Decimal("0.002") * 2 + Decimal("0.057")


def test_a_tape_of_a_cascade_keeps_the_attempts(tmp_path):
    live = Cascade([always(UNSURE, "a"), always(STRONG, "b")], gates=[confident()])
    recorded = ask(Tape(tmp_path/"c.tape")(live))
    played = ask(Tape(tmp_path/"c.tape", mode="replay")(live.name))
    assert played == recorded and len(played.attempts) == 2 and played.cost == Decimal("0.052")


def test_a_question_to_a_person_is_on_the_tape(tmp_path):
    live = Cascade([always(UNSURE, "a"), Human()], gates=[confident()])
    for model in (Tape(tmp_path/"c.tape")(live), Tape(tmp_path/"c.tape", mode="replay")(live.name)):
        with pytest.raises(AskedHuman, match="Which disk?") as e: ask(model)
        assert e.value.cost == Decimal("0.002") and [a.answer for a in e.value.attempts] == ["/var"]


def test_a_run_with_a_person_becomes_a_test(tmp_path):
    from agentnb.study.testcase import replay
    agent = Agent(Cascade([always(UNSURE, "a"), Human()], gates=[confident()]), store="memory:")
    run = agent.run("Which disk?", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].answer("/tmp")
    asyncio.run(run.wait())
    path = run.to_test(tmp_path/"test_it.py", "somewhere:agent")
    assert replay(agent, next(tmp_path.glob("*.tape")), "r1", len(run.steps) - 1) and path.exists()


def test_runs_at_the_same_time_do_not_mix():
    async def small(messages, tools=(), instructions="", ask=Ask()):
        await asyncio.sleep(0.001 * (hash(messages[0].content) % 5))
        return reply(f"small {messages[0].content}", sure=float(int(messages[0].content) % 2), model="a")
    async def large(messages, tools=(), instructions="", ask=Ask()):
        await asyncio.sleep(0.001)
        return reply(f"large {messages[0].content}", cost="0.05", model="b")
    small.name, large.name = "a", "b"
    agent = Agent(Cascade([small, large], gates=[confident()]), store="memory:")
    async def go():
        runs = [agent.run(str(i)) for i in range(40)]
        return runs, await asyncio.gather(*(r.wait() for r in runs))
    runs, results = asyncio.run(go())
    assert results == [f"{'small' if i % 2 else 'large'} {i}" for i in range(40)]
    assert [r.tip.cost for r in runs] == [Decimal("0.001") if i % 2 else Decimal("0.051") for i in range(40)]


# -- a person

def test_a_person_stands_where_a_model_stands(tmp_path):
    agent = Agent(Human(), store=f"sqlite:///{tmp_path}/runs.db", unattended="approve")
    run = agent.run("Which disk?", run_id="r1")
    with pytest.raises(RequestOpen, match="Which disk?"): asyncio.run(run.wait())
    again = agent.load("r1")
    again.pending[0].answer("/tmp", by="Ada")
    assert asyncio.run(again.wait()) == "/tmp" and again.tip.messages[-1].role == "assistant" and again.tip.iteration == 1


def test_a_person_can_send_the_models_back():
    small = Scripted(lambda messages, tools: reply("/tmp" if "logs" in messages[-1].content else "?", sure=float("logs" in messages[-1].content)), "a")
    run = Agent(Cascade([small, Human()], gates=[confident()]), store="memory:").run("Which disk?")
    asyncio.run(run.until())
    run.pending[0].reject("look at the logs")
    assert asyncio.run(run.wait()) == "/tmp" and run.tip.cost == Decimal("0.002") == run.receipt().cost


def test_a_typed_answer_of_a_person_is_checked():
    from pydantic import BaseModel
    class Disk(BaseModel):
        name: str
        used: int
    run = Agent(Human(), result=Disk, store="memory:").run("Which disk?")
    asyncio.run(run.until())
    with pytest.raises(ToolError, match="'used' is a required property"): run.pending[0].answer('{"name": "/tmp"}')
    with pytest.raises(ToolError, match="it is not JSON"): run.pending[0].answer("/tmp")
    assert run.tip.status == "waiting"
    run.pending[0].answer('{"name": "/tmp", "used": 97}')
    assert asyncio.run(run.wait()) == Disk(name="/tmp", used=97)


def test_a_run_that_wants_a_call_cannot_end_at_a_person():
    run = Agent(Human(), tools=[look], result=look, store="memory:").run("Which disk?")
    with pytest.raises(ModelError, match="a person answers in words"): asyncio.run(run.wait())


def test_aborting_keeps_the_bill():
    run = Agent(Cascade([always(UNSURE, "a"), Human()], gates=[confident()]), store="memory:").run("Which disk?")
    asyncio.run(run.until())
    run.pending[0].abort("never mind")
    asyncio.run(run.until())
    assert run.tip.status == "stopped" and run.tip.cost == Decimal("0.002") == run.receipt().cost


CHILD = """
import asyncio
{path}from test_cascade_live import human_agent
run = human_agent(sys.argv[1]).run("Which disk?", run_id="r1")
asyncio.run(run.until())
print("waiting", flush=True)
asyncio.run(asyncio.sleep(60))
"""


def human_agent(url): return Agent(Cascade([always(UNSURE, "a"), always(reply("?", sure=0.1, cost="0.05"), "b"), Human()], gates=[confident()]), store=url)


def test_killed_while_a_person_thinks(durable):
    "SIGKILL while the request is open: the question, the attempts and their cost are there exactly once"
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(path=on_path(Path(__file__).parent)), durable], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "waiting\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    run = human_agent(durable).load("r1")
    request = run.tip.requests[0]
    assert run.tip.cost == Decimal("0.052") and [a.answer for a in request.attempts] == ["/var", "?"] and "/var" in request.preview
    run.pending[0].answer("/tmp")
    assert asyncio.run(run.wait()) == "/tmp" and run.store.restore("r1").cost == Decimal("0.052") == run.receipt().cost
    assert [s.kind for s in run.steps] == ["started", "request", "decision", "finished"]
    assert [(x.model, x.outcome) for x in run.receipt().lines] == [("a", "rejected"), ("b", "rejected"), ("human", "asked")]


# -- logs of before

def test_a_log_of_before_is_read():
    old = dict(kind="model", reply=dict(content="x", cost="0.1"))
    assert Replied.model_validate(old).reply.attempts == ()
    assert Request.model_validate(dict(kind="request", request_id="q1", about="answer", question="?")).role == "user"


# -- the receipt

def spending():
    cost = st.decimals(min_value=0, max_value=1, places=7)
    said = st.builds(lambda c, t, s: reply("x", sure=s, cost=str(c), tokens=t), cost, st.integers(0, 5000), st.sampled_from([0.1, 0.95]))
    unknown = st.builds(lambda t: reply("x", sure=0.1, cost=None, tokens=t), st.integers(0, 50))
    failed = st.builds(lambda c: ModelError("timeout", "late.", usage=Usage(input=3, requests=1), cost=c), cost)
    probe = st.builds(lambda a, c: (a, c), st.booleans(), cost)
    return st.lists(st.tuples(st.one_of(said, failed), probe, st.one_of(said, failed), st.one_of(said, said, said, unknown, failed)), min_size=1, max_size=6)


@given(spending(), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 3), st.booleans())
@settings(max_examples=120, deadline=None)
def test_every_total_is_the_same_to_the_last_digit(plan, shadow, sticky, person):
    "Receipt, sum of the steps, state and store: one number, also where tiers fail and gates cost"
    step = [0]
    def tier(n):
        async def model(messages, tools=(), instructions="", ask=Ask()):
            said = plan[step[0]][n]
            if isinstance(said, ModelError): raise ModelError(said.kind, said.message, usage=said.usage, cost=said.cost)
            last = step[0] == len(plan) - 1
            return said.model_copy(update=dict(model=f"t{n}", calls=() if last else (call("look", disk=f"/{step[0]}"),)))
        model.name = f"t{n}"
        return model
    async def paid(r, asked): return Verdict(accept=plan[step[0]][1][0], cost=plan[step[0]][1][1], usage=Usage(input=2, requests=1))
    @tool(read_only=True)
    def look(disk: str) -> str:
        "Look at a disk"
        step[0] += 1
        return disk
    cascade = Cascade([tier(0), tier(2), Human() if person else tier(3)], gates=[confident(0.5), paid], shadow=shadow, sticky=sticky)
    run = Agent(cascade, tools=[look], store="memory:", max_iterations=20).run("go", run_id="r1")
    async def go():
        for _ in range(30):
            try: return await run.wait()
            except ModelError: return
            except RequestOpen: run.pending[0].answer("done")
    asyncio.run(go())
    bills = [s.body.reply if isinstance(s.body, Replied) else s.body for s in run.steps if s.kind in ("model", "note", "request")]
    known = [a.spent for b in bills for a in b.attempts]
    total = None if any(c is None for _, c in known) else sum((c for _, c in known), Decimal(0))
    stored = run.store.restore("r1")
    assert total == (None if any(b.cost is None for b in bills) else sum((b.cost for b in bills), Decimal(0)))
    assert run.receipt().cost == run.tip.cost == stored.cost == total
    usage = sum((u for u, _ in known), Usage())
    assert stored.usage == usage == run.receipt().usage and sum(x.input + x.output for x in run.receipt().lines) == usage.total


def test_the_receipt_compares_with_always_asking_the_strong_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"settings.ini").write_text("[prices]\nown:strong = 1000 5000\n")
    small, large = always(reply("x", sure=0.9, model="own:a"), "own:a"), always(STRONG, "own:strong")
    run = Agent(Cascade([small, large], gates=[confident(0.5)], least_ratio=0), store="memory:").run("go")
    asyncio.run(run.wait())
    bill = run.receipt()
    assert bill.always_strong == Decimal("0.015") and bill.saved == Decimal("0.014") and "list price of the same tokens: 1 step" in bill.basis
    assert run.receipt(strong="own:nobody").always_strong is None and "unknown" in str(run.receipt(strong="own:nobody"))


def test_a_receipt_says_unknown_and_lost():
    run = Agent(Cascade([always(reply("x", sure=0.1, cost=None), "a"), always(STRONG, "b")], gates=[confident()]), store="memory:").run("go")
    asyncio.run(run.wait())
    bill = run.receipt()
    assert bill.cost is None and bill.saved is None and "cost unknown" in str(bill) and bill.always_strong == Decimal("0.05")
    dear = Agent(Cascade([always(UNSURE, "a"), always(STRONG, "b")], gates=[confident()]), store="memory:").run("go")
    asyncio.run(dear.wait())
    assert dear.receipt().saved == Decimal("-0.002") and "LOST $0.002" in str(dear.receipt())


def test_a_receipt_is_a_table_and_escapes():
    evil = Cascade([always(reply("x", sure=0.1), "a"), always(STRONG, "b")], gates=[check(lambda r: False, "<script>alert(1)</script>")])
    run = Agent(evil, store="memory:").run("go")
    asyncio.run(run.wait())
    page = run.receipt()._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page and "<table>" in page
    import pandas as pd
    assert list(pd.DataFrame(run.receipt().rows)["outcome"]) == ["rejected", "accepted"]


def test_what_a_retry_spent_beside_the_cascade_has_a_line():
    said = iter([ModelError("overloaded", "busy.", retryable=True, retry_after=0, cost=Decimal("0.007")), STRONG])
    flaky = Cascade([always(UNSURE, "a"), Scripted(lambda messages, tools: next(said), "b")], gates=[confident()])
    run = Agent(Retry(flaky), store="memory:").run("go")
    asyncio.run(run.wait())
    assert [x.outcome for x in run.receipt().lines] == ["rejected", "accepted", "beside"] and run.receipt().cost == run.tip.cost


def test_a_receipt_of_an_earlier_step_and_of_a_fork():
    found, run = ladder_run([1, 0, 0], 3, 0)
    first = run.at(1).receipt()
    assert len(first.lines) == 2 and first.cost == run.state_at(1).cost
    run.at(-1)
    assert run.fork(at=2).receipt().lines == first.lines


def test_rows_stay_small():
    "A thousand steps of a cascade cost a thousand times one"
    found, run = ladder_run([n % 2 for n in range(60)], 60, 0)
    sizes = [len(s.body.model_dump_json(exclude_defaults=True)) for s in run.steps if s.kind == "model"]
    assert max(sizes) < 1200


@pytest.mark.model
def test_the_embedded_model_escalates_on_its_own_probabilities():
    cascade = Cascade(["local:smollm2", always(STRONG, "own:strong")], gates=[confident(0.999)])
    said = ask(cascade, user("Which port does HTTPS use? Answer with the number only."), ask=Ask(max_tokens=40))
    assert said.content == "/data" and said.attempts[0].model == "local:smollm2" and 0 < said.attempts[0].verdicts[0].score < 0.999
