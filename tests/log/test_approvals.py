"""Effects and approvals under random tools, policies, crashes and orders of decisions; answers from several processes; a yes that is remembered."""
import asyncio, hashlib, multiprocessing, random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from agentnb import Agent, RequestOpen, Rule, Scripted, ToolError, call, open_store, tool
from agentnb.log.approval import make_approval, approvals, keep_approval, use_approval, revoke
from agentnb.cli.main import main
from agentnb.log.inbox import answered_runs, pending
from agentnb.log.place import place_of
from agentnb.core.messages import ToolSpec
from agentnb.metrics.oversight import intervention_rates
from agentnb.engine.policy import evaluate, read_rules
from agentnb.tools.identity import identity_of
from agentnb.tools.scopes import missing_scopes
from agentnb.core.steps import Decision
from agentnb.store.protocol import read_run

KINDS = ("read", "keyed", "act")


class Crash(KeyboardInterrupt): "As if the process had died"


class World:
    "What tools did, as seen from outside, and a crash that is due after some of it"
    def __init__(self): self.done, self.keys, self.crash = Counter(), set(), []

    def act(self, kind, n, key=""):
        if self.crash and self.crash[0] == "before": raise self.fall()
        if kind != "keyed" or key not in self.keys: self.done[kind, n] += 1
        self.keys.add(key)
        if self.crash and self.crash[0] == "after": raise self.fall()
        return f"{kind} {n}"

    def fall(self):
        self.crash.pop(0)
        return Crash()


def agent(world, store, script, policy):
    @tool(read_only=True)
    async def read(n: int) -> str: return world.act("read", n)

    @tool(idempotent=True)
    async def keyed(n: int, context: "Context") -> str: return world.act("keyed", n, context.idempotency_key)

    @tool
    async def act(n: int) -> str: return world.act("act", n)
    return Agent(Scripted(script), [read, keyed, act], store=store, policy=policy, max_iterations=20)


from agentnb import Context  # noqa: E402  the annotation above is read when the tool is made


EFFECT = st.sampled_from(["allow", "ask", "deny"])
REPLIES = st.lists(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2)), min_size=1, max_size=4), min_size=1, max_size=4)


@settings(deadline=None, max_examples=200)
@given(replies=REPLIES, effects=st.fixed_dictionaries({k: EFFECT for k in KINDS}), seed=st.integers(0, 2**32),
    crashes=st.lists(st.sampled_from(["before", "after", "none"]), max_size=5))
def test_nothing_happens_twice_or_without_a_matching_decision(replies, effects, seed, crashes):
    rng, world, store = random.Random(seed), World(), open_store("memory:")
    script = [[call(kind, n=n) for kind, n in reply] for reply in replies] + ["done"]
    policy = [Rule(tool=k, effect=e) for k, e in effects.items()]
    made = agent(world, store, script, policy)
    run, approved, told = made.run("go", run_id="r1"), [], []
    for _ in range(400):
        if crashes and rng.random() < 0.4: world.crash = [c for c in [crashes.pop()] if c != "none"]
        try: asyncio.run(run.wait())
        except Crash: run = agent(world, store, script, policy).load("r1")
        except RequestOpen:
            p = rng.choice(run.pending)
            yes = rng.random() < 0.7
            before = run.pending
            if p.request.about == "approve": (p.approve if yes else p.reject)()
            elif p.request.about == "answer": p.answer("go on")
            else:
                assert p.request.about in ("outcome", "repeat") and p.request.call.tool == "act"
                happened = world.done["act", p.request.call.args["n"]] > sum(t == ("act", p.request.call.args["n"]) for t in told)
                p.answer("it happened") if happened else p.approve()
            if p.request.about == "approve" and yes: approved.append(p.request.call.id)
            if rng.random() < 0.3 and len(before) > 1:
                with pytest.warns(UserWarning, match="already decided"): p.reject("changed my mind")
        told = [(s.body.tool, c.args["n"]) for s in run.steps if s.kind == "tool" and not s.body.failure for c in calls_of(run) if c.id == s.body.call_id] + \
            [(r.call.tool, r.call.args["n"]) for r in outcomes(run)]
        if run.tip.status in ("done", "stopped"): break
    assert run.tip.status in ("done", "stopped"), run
    for kind in ("keyed", "act"):
        for n in range(3):
            wished = sum(c.tool == kind and c.args["n"] == n for c in calls_of(run))
            assert world.done[kind, n] <= wished
            assert world.done[kind, n] == sum(t == (kind, n) for t in told), (kind, n, told, world.done)
            if effects[kind] == "deny": assert not world.done[kind, n]
    asked = [s.body.request_id for s in run.steps if s.kind == "request"]
    answered = [s.body.request_id for s in run.steps if s.kind == "decision"]
    assert len(set(answered)) == len(answered) and set(answered) <= set(asked)
    if effects["act"] == "ask":
        made_calls = {s.body.call_id for s in run.steps if s.kind == "intent"} & {c.id for c in calls_of(run) if c.tool == "act"}
        assert made_calls <= set(approved)
    assert store.restore("r1") == run.tip


def calls_of(run): return [c for s in run.steps if s.kind == "model" for c in s.body.reply.calls]


def outcomes(run):
    requests = {s.body.request_id: s.body for s in run.steps if s.kind == "request"}
    return [r for s in run.steps if s.kind == "decision" and s.body.verdict == "answer" and (r := requests[s.body.request_id]).call]


def ten(url, effects):
    @tool(read_only=True)
    async def look(n: int) -> str: return f"looked {n}"

    @tool
    async def act(n: int) -> str:
        with open(effects, "a") as f: f.write(f"{n}\n")
        return f"did {n}"
    return Agent(Scripted([[call("act" if n in (1, 3, 5, 8) else "look", n=n) for n in range(10)], "done"]), [look, act], store=url)


def answer_from_here(url, effects, seed, told):
    "Another process decides what it finds open, in an order of its own"
    rng, counted = random.Random(seed), {}
    run = ten(url, effects).load("r1")
    while run.pending:
        p = rng.choice(run.pending)
        said = p.approve(by=f"process {seed}") if p.request.call.args["n"] != 5 else p.reject("not that one", by=f"process {seed}")
        counted[p.request.request_id] = said.by
        run.log.refresh()
    told.put(counted)


@pytest.mark.filterwarnings("ignore:request")
def test_ten_calls_of_one_reply_four_asked_about_and_answered_from_two_processes(durable, tmp_path):
    effects, context = tmp_path/"effects", multiprocessing.get_context("spawn")
    run = ten(durable, effects).run("go", run_id="r1")
    asyncio.run(run.until())
    assert len(run.pending) == 4 and [s.kind for s in run.steps].count("tool") == 6, "what only reads did not wait"
    told = context.Queue()
    others = [context.Process(target=answer_from_here, args=(durable, effects, seed, told)) for seed in (1, 2)]
    for p in others: p.start()
    said = [told.get(timeout=60) for _ in others]
    for p in others: p.join(30)
    again = ten(durable, effects).load("r1")
    assert asyncio.run(again.wait()) == "done"
    assert sorted(effects.read_text().split()) == ["1", "3", "8"], "exactly the approved ones, once"
    log = {s.body.request_id: s.body.by for s in again.steps if s.kind == "decision"}
    assert len(log) == 4 and all(log[k] == v for counted in said for k, v in counted.items())


def test_reading_calls_of_one_reply_are_made_side_by_side():
    together, most = [], []

    @tool(read_only=True)
    async def look(n: int) -> str:
        together.append(n)
        most.append(len(together))
        await asyncio.sleep(0.05 * (5 - n))
        together.remove(n)
        return f"{n}"
    made = Agent(Scripted([[call("look", n=n) for n in range(5)], "done"]), [look], store="memory:")
    run = made.run("go")
    assert asyncio.run(run.wait()) == "done" and max(most) == 5
    assert [s.body.content for s in run.steps if s.kind == "tool"] == ["4", "3", "2", "1", "0"], "each is a step as it comes"
    most.clear()
    stepped = made.run("go")
    async def by_step():
        while stepped.tip.status != "done": await stepped.step()
    asyncio.run(by_step())
    assert max(most) == 1 and stepped.tip.result == "done"


def service(store, **options):
    @tool(preview=lambda service, grace: f"restart {service}, waiting {grace} s")
    def restart(service: str, grace: int = 30) -> str: return f"{service} restarted"
    script = [call("restart", service=s, grace=g) for s, g in (("checkout-1", 30), ("checkout-2", 30), ("checkout-2", 0), ("db", 30), ("checkout-1", 30))]
    return Agent(Scripted([*script, "done"]), [restart], name="on-call", store=store, **options)


def asked(run): return [s.body.call.args for s in run.steps if s.kind == "request" and not
    any(d.kind == "decision" and d.body.request_id == s.body.request_id and "remembered" in d.body.by for d in run.steps)]


@pytest.mark.parametrize("remember, questions", [("args", 4), ({"service": "checkout-*"}, 3), ("tool", 1)])
def test_a_remembered_yes_covers_what_it_was_said_to_and_nothing_else(store, remember, questions):
    run = service(store).run("go", run_id="r1")
    asyncio.run(run.until())
    assert run.pending[0].request.preview == "restart checkout-1, waiting 30 s"
    kept = run.pending[0].approve(by="ann", remember=remember)
    while run.tip.status != "done":
        asyncio.run(run.until())
        if run.pending: run.pending[0].approve(by="ann")
    assert len(asked(run)) == questions
    auto = [s.body for s in run.steps if s.kind == "decision" and s.body.by == "ann, remembered"]
    assert len(auto) == 5 - questions and all(d.remembered == kept.remembered for d in auto)
    other = service(store).run("go", run_id="r2")
    asyncio.run(other.until())
    assert other.pending, "a yes for one run is not one for another"


def test_a_yes_everywhere_runs_out_is_listed_and_taken_back():
    store, now = open_store("memory:"), [datetime(2026, 5, 4, tzinfo=UTC)]
    made = service(store, clock=lambda: now[0])
    run = made.run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve(by="ann", remember="tool", everywhere=True, uses=2, seconds=60)
    asyncio.run(run.until())
    assert len(asked(run)) == 2, "the first was asked, two were remembered, the fourth is asked again"
    assert [(a.tool, a.uses, a.by, a.run_id) for a in approvals(store)] == [("restart", 2, "ann", "")]
    again, spec = call("restart", service="x", grace=1), made.tools["restart"].spec
    here = dict(identity=identity_of(made.tools["restart"]), place=place_of(store, now[0]))
    assert use_approval(store, again, spec, "on-call", "r9", now[0], **here) is None
    run.pending[0].approve(remember="tool", everywhere=True, seconds=60)
    assert use_approval(store, again, spec, "on-call", "r9", now[0], **here) and not use_approval(store, again, spec, "another", "r9", now[0], **here)
    now[0] += timedelta(seconds=61)
    assert use_approval(store, again, spec, "on-call", "r9", now[0], **here) is None
    for a in approvals(store): assert revoke(store, a.id)
    assert approvals(store) == []


def test_true_is_not_one():
    "Neither at the top of the arguments nor below, and a number is not its decimal"
    store, now, spec, seen = open_store("memory:"), datetime.now(UTC), ToolSpec(name="set"), dict(code="c0de")
    for value, others in ((1, (True, 1.0, "1")), (dict(on=1), (dict(on=True), dict(on=1.0))), ([0], ([False], []))):
        keep_approval(store, make_approval(call("set", flag=value), spec, "args", now, agent="a", identity=seen), now)
        assert use_approval(store, call("set", flag=value), spec, "a", "r", now, seen)
        for other in others: assert not use_approval(store, call("set", flag=other), spec, "a", "r", now, seen), other


def test_a_call_outside_its_grant_is_refused_and_not_made():
    done = []

    @tool(scopes=["fs:write:reports/", "net:api.example.com"])
    def publish(text: str) -> str:
        done.append(text)
        return "published"
    script = Scripted([call("publish", text="x"), "sorry"])
    run = Agent(script, [publish], store="memory:", policy=[Rule(effect="allow")], grant=["fs:write:"]).run("go")
    assert asyncio.run(run.wait()) == "sorry" and done == []
    failure = next(m.failure for m in run.tip.messages if m.role == "tool")
    assert str(failure) == "permission_denied: publish needs net:api.example.com, which this agent is not granted. Do without it."
    assert [s.kind for s in run.steps].count("intent") == 0 and not missing_scopes(publish.spec, {}, ["fs:*", "net:*"])


def test_rules_of_settings_ini_come_after_those_of_the_code(tmp_path, monkeypatch):
    (tmp_path/"settings.ini").write_text("[policy]\nrestart(service: checkout-*) = allow\nrestart = deny: never\n@destructive = ask\n")
    monkeypatch.chdir(tmp_path)
    run = service("memory:").run("go")
    asyncio.run(run.wait())
    assert [bool(m.failure) for m in run.tip.messages if m.role == "tool"] == [False, False, False, True, False]
    strict = service("memory:", policy=[Rule(tool="restart", effect="ask", args={"grace": "0"})]).run("go")
    asyncio.run(strict.until())
    assert strict.pending[0].request.call.args["grace"] == 0
    with pytest.raises(ValueError, match="a b = allow: write for example"): read_rules({"a b": "allow"})


def test_a_rule_about_nearly_a_tool_is_a_question():
    @tool
    def restart(service: str) -> str: return service
    rules = [Rule(tool="restrat", effect="ask"), Rule(tool="rest*", effect="ask"), Rule(tool="pay", effect="ask"), Rule(tool="restart", effect="ask")]
    with pytest.warns(UserWarning) as said: Agent(Scripted(["done"]), [restart], policy=rules, store="memory:")
    assert [str(w.message) for w in said] == ["agent agent: a rule speaks of restrat, and there is no such tool. Is restart meant?"]
    assert said[0].filename == __file__
    rule = Rule(tool="restrat", effect="deny")
    with pytest.raises(ValueError, match="restrat, and there is no such tool"): Agent(Scripted(["done"]), [restart], policy=[rule])


def test_cost_an_approver_and_a_rule_that_fails():
    spec, c = service("memory:").tools["restart"].spec, call("restart", service="x", grace=1)
    dear = [Rule(effect="ask", above=Decimal("0.5")), Rule(effect="allow")]
    assert [evaluate(dear, c, spec, cost).effect for cost in (Decimal("0.4"), Decimal("0.5"), None)] == ["allow", "ask", "ask"]
    assert evaluate([Rule(approver=lambda c, s: 1/0), Rule(effect="allow")], c, spec).effect == "ask"
    assert evaluate([Rule(approver=lambda c, s: None), Rule(effect="deny")], c, spec).effect == "deny"


def asks_each_time(store, **options):
    @tool(always_ask="It is not in a sandbox.")
    def run_code(code: str) -> str: return f"ran {code}"
    return Agent(Scripted([call("run_code", code="1"), call("run_code", code="1"), "done"]), [run_code], name="coder", store=store, **options)


def test_a_tool_that_asks_each_time_is_not_silenced():
    "Neither by a rule, nor by an approver, nor by a remembered yes, nor by unattended='approve'; a rule that denies still denies"
    run = asks_each_time("memory:", policy=[Rule(effect="allow", approver=lambda c, s: "allow")]).run("go")
    for _ in range(2):
        asyncio.run(run.until())
        assert run.pending[0].request.question == "run_code(code='1')? It is not in a sandbox."
        with pytest.raises(ValueError, match="run_code asks each time: It is not in a sandbox"): run.pending[0].approve(remember="args")
        run.pending[0].approve()
    assert asyncio.run(run.wait()) == "done"
    blanket = asks_each_time("memory:", unattended="approve").run("go")
    with pytest.raises(RequestOpen, match="It is not in a sandbox"): asyncio.run(blanket.wait())
    looked_at = asks_each_time("memory:", unattended=lambda request, state: Decision(request_id=request.request_id, verdict="approve", by="code")).run("go")
    assert asyncio.run(looked_at.wait()) == "done"
    denied = asks_each_time("memory:", policy=[Rule(tool="run_*", effect="deny")], unattended="reject").run("go")
    assert asyncio.run(denied.wait()) == "done" and not [s for s in denied.steps if s.kind in ("request", "intent")]


def test_a_yes_from_before_a_tool_asked_each_time_is_not_one_now():
    store, now, c, seen = open_store("memory:"), datetime.now(UTC), call("run_code", code="1"), dict(code="c0de")
    keep_approval(store, make_approval(c, ToolSpec(name="run_code"), "tool", now, agent="a", identity=seen), now)
    assert use_approval(store, c, ToolSpec(name="run_code"), "a", "r", now, seen)
    assert not use_approval(store, c, ToolSpec(name="run_code", always_ask="No sandbox."), "a", "r", now, seen)


def changing(store, source):
    names = dict(tool=tool)
    exec(source, names)
    made = names["restart"]
    made.spec = made.spec.model_copy(update={"code": hashlib.sha256(source.encode()).hexdigest()[:12]})   # as inspect says it of a function in a file
    return Agent(Scripted([call("restart", service="db"), "done"]), [made], name="on-call", store=store)


def test_a_yes_does_not_cover_what_the_tool_has_become():
    store, source = open_store("memory:"), "@tool\ndef restart(service: str) -> str: return 'restarted'"
    run = changing(store, source).run("go")
    asyncio.run(run.until())
    run.pending[0].approve(remember="tool", everywhere=True)
    assert asyncio.run(changing(store, source).run("again").wait()) == "done", "the same code is covered"
    other = changing(store, source.replace("restarted", "wiped")).run("go")
    asyncio.run(other.until())
    assert other.pending


def test_a_remembered_yes_is_kept_only_if_it_was_the_answer(store):
    run = service(store).run("go", run_id="r1")
    asyncio.run(run.until())
    elsewhere = service(store).load("r1").pending[0]
    run.pending[0].reject("no")
    with pytest.warns(UserWarning, match="already decided: reject"): assert elsewhere.approve(remember="tool", everywhere=True).verdict == "reject"
    assert approvals(store) == []
    assert not revoke(store, "")
    asyncio.run(run.until())
    for wrong in (dict(remember="all"), dict(remember={"host": "*"}), dict(remember="args", uses=0), dict(remember="args", seconds=-1)):
        with pytest.raises(ValueError, match="remember"): run.pending[0].approve(**wrong)
    assert run.pending and not approvals(store), "what cannot be meant decides nothing"
    run.pending[0].approve(remember="args")
    assert not revoke(store, "") and len(approvals(store)) == 1 and revoke(store, approvals(store)[0].id)


def test_a_denied_question_is_not_asked_and_a_question_is_not_answered_by_yes():
    called = []
    @tool(human=True)
    def ask_human(question: str) -> str: called.append(question)
    denied = Agent(Scripted([call("ask_human", question="Which host?"), "done"]), [ask_human], store="memory:", policy=[Rule(tool="ask_*", effect="deny")])
    run = denied.run("go")
    assert asyncio.run(run.wait()) == "done" and "request" not in [s.kind for s in run.steps]
    run = Agent(Scripted([call("ask_human", question="Which host?"), "done"]), [ask_human], store="memory:").run("go")
    asyncio.run(run.until())
    with pytest.raises(ValueError, match="is a question, which no yes answers"): run.pending[0].approve()
    run.pending[0].answer("db-1")
    assert asyncio.run(run.wait()) == "done" and called == []


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_rule_that_came_after_a_crash_denies(idempotent):
    "The call was announced, the process died, and the person writes a rule before going on"
    done, store, crash = [], open_store("memory:"), [True]
    def made(policy):
        @tool(idempotent=idempotent)
        async def wipe(disk: str) -> str:
            done.append(disk)
            if crash.pop() if crash else False: raise Crash
            return "wiped"
        return Agent(Scripted([call("wipe", disk="a"), "done"]), [wipe], store=store, policy=[Rule(effect=policy)])
    with pytest.raises(Crash): asyncio.run(made("allow").run("go", run_id="r1").wait())
    run = made("deny").load("r1")
    with pytest.raises(RequestOpen, match="Did wipe"): asyncio.run(run.wait())
    run.pending[0].approve()
    assert asyncio.run(run.wait()) == "done" and done == ["a"]
    assert [m.failure.kind for m in run.tip.messages if m.role == "tool"] == ["permission_denied"]


def test_a_rule_between_the_announcement_and_the_call_denies():
    done, store = [], open_store("memory:")
    @tool(idempotent=True)
    async def wipe(disk: str) -> str: done.append(disk)
    agent = Agent(Scripted([call("wipe", disk="a"), "done"]), [wipe], store=store, policy=[Rule(effect="allow")])
    run = agent.run("go")
    asyncio.run(run.until(kind="intent"))
    agent.policy = (Rule(effect="deny"),)
    assert asyncio.run(run.wait()) == "done" and done == []


def test_what_is_left_of_a_rate_is_told_and_is_no_part_of_a_result():
    @tool(rate="5/min", idempotent=True)
    def finish(text: str) -> str: return text
    run = Agent(Scripted([call("finish", text="the report")]), [finish], result=finish, store="memory:", policy=[Rule(effect="allow")]).run("go")
    assert asyncio.run(run.wait()) == "the report"
    run = Agent(Scripted([call("finish", text="x"), "done"]), [finish], store="memory:", policy=[Rule(effect="allow")]).run("go")
    asyncio.run(run.wait())
    assert [m.content for m in run.tip.messages if m.role == "tool"] == ["x\n(3 of 5 calls left in 60 s)"]
    assert [text for _, text in run.store.scan("results")] == ["x"]


def test_a_long_wait_is_told_and_not_waited_for():
    tries = []
    @tool(read_only=True, retries=3)
    async def look() -> str:
        tries.append(1)
        raise ToolError("rate_limited", "Too many.", "Later.", retry_after=3600)
    with pytest.raises(ToolError) as e: asyncio.run(asyncio.wait_for(look.run({}), 5))
    assert (e.value.failure.kind, e.value.failure.retry_after, len(tries)) == ("rate_limited", 3600, 1)


def test_a_remembered_yes_answers_the_other_open_requests_that_it_covers(store):
    @tool
    def act(n: int) -> str: return f"did {n}"
    run = Agent(Scripted([[call("act", n=n) for n in (1, 1, 2, 1, 1)], "done"]), [act], store=store).run("go")
    asyncio.run(run.until())
    assert len(run.pending) == 5
    run.pending[0].approve(by="ann", remember="args", uses=2)
    assert [p.request.call.args["n"] for p in run.pending] == [2, 1] and run.steps[-1].body.by == "ann, remembered"
    for p in run.pending: p.reject()
    assert asyncio.run(run.wait()) == "done"
    assert [m.content for m in run.tip.messages if m.role == "tool" and not m.failure] == ["did 1"] * 3


def test_what_a_rule_does_to_its_arguments_is_not_done_to_the_call():
    made = []
    @tool
    def write(path: str) -> str: made.append(path)
    def bend(c, spec): c.args["path"] = "/etc/passwd"
    def look(args): return args.update(path="/etc/passwd") or False
    policy = [Rule(approver=bend), Rule(when=look, effect="deny"), Rule(effect="allow")]
    Agent(Scripted([call("write", path="notes"), "done"]), [write], store="memory:", policy=policy).run_sync("go")
    assert made == ["notes"]


def test_a_grant_that_is_one_text_grants_nothing_by_accident():
    with pytest.raises(TypeError, match=r"grant='net:\*': give a list"): Agent(Scripted([]), [], store="memory:", grant="net:*")


def test_the_store_lists_what_is_open_and_the_log_says_how_often_people_intervene(store):
    @tool
    def restart(service: str) -> str: return f"{service} restarted"
    @tool(read_only=True)
    def look() -> str: return "slow"
    @tool(human=True)
    def ask_human(question: str) -> str: "Ask the person in charge"
    names = ("a", "b", "c", "d", "e")
    script = Scripted([call("look"), *(call("restart", service=n) for n in names), call("ask_human", question="Enough?"), "done"])
    run = Agent(script, [restart, look, ask_human], store=store).run("go", run_id="r1")
    answers = [lambda p: p.approve(), lambda p: p.approve(args={"service": "b2"}), lambda p: p.reject("no"), lambda p: p.answer("I did it"),
        lambda p: p.approve(args={"service": "e"}), lambda p: p.answer("yes")]
    for said in answers:
        asyncio.run(run.until())
        assert [p.request.request_id for p in store.pending()] == [p.request.request_id for p in run.pending]
        said(run.pending[0])
    asyncio.run(run.wait())
    assert store.pending() == []
    found = {o.tool: o for o in intervention_rates(store)}
    restarts = found["restart"]
    assert (restarts.calls, restarts.asked, restarts.approved, restarts.changed, restarts.rejected, restarts.answered) == (5, 5, 2, 1, 1, 1)
    assert restarts.rate == 3/5 and restarts.seconds is not None and found["look"].rate == 0 == found["ask_human"].rate and found["ask_human"].asked == 1
    unattended = Agent(Scripted([call("restart", service="x"), "done"]), [restart], store="memory:", unattended="reject")
    unattended.run_sync("go")
    [o] = intervention_rates(unattended.store)
    assert (o.automatic, o.interventions, o.seconds) == (1, 0, None)


def test_cost_in_settings_ini():
    spec, c = ToolSpec(name="pay"), call("pay", cents=1)
    rules = read_rules({"cost:0.50": "deny: It costs too much.", "pay": "allow"})
    assert [evaluate(rules, c, spec, cost).effect for cost in (Decimal("0.49"), Decimal("0.5"), None)] == ["allow", "deny", "deny"]


def test_a_question_of_the_model_is_a_request_and_its_answer_the_result():
    @tool(human=True)
    def ask_human(question: str) -> str: "Ask the person in charge"
    run = Agent(Scripted([call("ask_human", question="Which host?"), "done"]), [ask_human], store="memory:").run("go")
    asyncio.run(run.until())
    assert (run.pending[0].request.about, run.pending[0].request.question) == ("answer", "Which host?")
    run.pending[0].answer("db-1")
    assert asyncio.run(run.wait()) == "done" and [m.content for m in run.tip.messages if m.role == "tool"] == ["db-1"]


def test_an_error_of_a_tool_leaves_its_own_frames_in_the_log():
    @tool(read_only=True)
    def look() -> str: return deeper()
    def deeper(): raise OSError("disk gone")
    run = Agent(Scripted([call("look"), "done"]), [look], store="memory:").run("go")
    asyncio.run(run.wait())
    body = next(s.body for s in run.steps if s.kind == "tool")
    assert "in deeper" in body.trace and body.trace.endswith("OSError: disk gone") and "asyncio" not in body.trace and "agentnb/tools" not in body.trace
    assert "deeper" not in str(body.failure)


def test_the_inbox_over_all_runs_from_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"mine.py").write_text("from agentnb import *\n@tool\ndef act(what: str) -> str: return f'did {what}'\n"
        "def make(store=None, model=None): return Agent(Scripted([call('act', what='x'), 'done']), [act], name='mine', store=store)\n")
    url = f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.syspath_prepend(tmp_path)
    import mine
    for i in range(3): asyncio.run(mine.make(url).run("go", run_id=f"r{i}").until())
    assert main(["inbox", "--store", url]) == 0
    assert capsys.readouterr().out.count("act(what='x')?") == 3
    for p in pending(open_store(url))[:2]: p.approve(by="ann")
    with pytest.raises(ToolError, match="no tool act here"): pending(open_store(url))[0].approve(args={"what": "y"})
    assert len(answered_runs(open_store(url))) == 2
    assert main(["resume", "--waiting", "--agent", "mine:make", "--store", url]) == 0
    assert capsys.readouterr().out.count("done: done") == 2
    assert [read_run(open_store(url), f"r{i}")[-1].kind for i in range(3)].count("finished") == 2
