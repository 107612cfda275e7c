"""No interleaving, retry, cut stream, cache, crash or second process makes a run, or runs that share a budget, spend more than it says."""
import asyncio, random, subprocess, sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from places import on_path

from agentnb import Agent, Ask, Budget, Cached, Fallback, ModelError, Reply, RequestOpen, Retry, RunStopped, Scripted, call, open_store, tool
from agentnb.wrappers.bounds import TokenMeter, message_tokens
from agentnb.wrappers.cost import price
from agentnb.core.messages import Usage
from agentnb.engine.reserve import _bound_from_usage
from agentnb.engine.spending import BudgetLine, write_budget_lines, budget_lines, amounts_spent, shared_spending
from agentnb.store.sqlite import SQLite
from agentnb.core.steps import Edit, Note, Replied
from agentnb.views.html import run_html

AT = datetime(2026, 5, 4, 2, 15, tzinfo=UTC)
HAIKU = "anthropic:claude-haiku-4-5"
CHEAP = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@tool(read_only=True)
def look(where: str) -> str: return f"looked at {where}"


@tool(idempotent=True)
def act(what: str) -> str: return f"did {what}"


class Provider:
    "Bills as a provider does: for what it read and wrote, also where the reply never arrives"
    def __init__(self, outcomes, name=HAIKU):
        self.name, self.outcomes, self.bill, self.tokens, self.caps = name, list(outcomes), Decimal(0), 0, []

    async def __call__(self, messages, tools=(), instructions="", ask=Ask()):
        kind, share = self.outcomes.pop(0) if self.outcomes else ("say", 0.01)
        if kind == "busy": raise ModelError("overloaded", "busy", retryable=True, model=self.name)
        said = max(int(ask.max_tokens * share), 1) if ask.max_tokens else 40_000
        usage = Usage(input=sum(map(message_tokens, messages)) // 4 + 100 * len(tools) + 1, output=said, requests=1)
        cost = price(self.name, usage) or Decimal(0)
        self.caps.append(ask.max_tokens)
        self.bill, self.tokens = self.bill + cost, self.tokens + usage.total
        await asyncio.sleep(0)
        if kind == "cut":
            half = usage.model_copy(update=dict(output=said // 2, estimated=True))
            raise ModelError("connection", "the stream broke", retryable=True, model=self.name, usage=half, cost=None)
        if kind == "bug": raise ValueError("no one knows")
        if kind == "killed": await cancelled()
        if kind == "say": return Reply(content="done " * (said % 7), usage=usage, model=self.name, cost=cost)
        return Reply(calls=(call("look", where=f"{len(messages)}-{random.random()}"),), usage=usage, model=self.name, cost=None if kind == "unpriced" else cost)


async def cancelled():
    "As if the process had died: whoever asks is stopped in the middle of it"
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


def agent(model, store="memory:", **options):
    return Agent(model, [look, act], store=store, unattended="approve", max_iterations=50, **options)


async def to_end(run, times=8):
    "Go on whatever happens, as a stubborn person would"
    for _ in range(times):
        try: return await run
        except RunStopped: return None
        except (ModelError, ValueError, asyncio.CancelledError): run = run.agent.load(run.run_id)
    return None


def totals(store, run_ids):
    bodies = [a for r in run_ids for a in amounts_spent(store.read(r))]
    return None if any(a.usd is None for a in bodies) else sum((a.usd for a in bodies), Decimal(0)), sum(a.usage.total for a in bodies)


outcome = st.tuples(st.sampled_from(["look", "look", "look", "cut", "busy", "bug", "killed", "unpriced", "say"]), st.floats(0, 1))
limit = st.one_of(st.builds(lambda c: dict(usd=Decimal(c) / 1000), st.integers(0, 120)), st.builds(lambda n: dict(tokens=n), st.integers(0, 60_000)))


@CHEAP
@given(st.lists(outcome, max_size=14), limit, st.booleans())
def test_one_run_is_never_billed_more_than_its_budget(outcomes, limits, retried):
    provider = Provider(outcomes)
    model = Retry(provider, base=0, attempts=3) if retried else provider
    run = agent(model, budget=Budget(**limits)).run("Checkout is slow. " * 20)
    asyncio.run(to_end(run))
    log = run.agent.load(run.run_id)
    usd, tokens = totals(log.store, [run.run_id])
    assert (log.tip.cost, log.tip.usage.total) == (usd, tokens)
    if "usd" in limits: assert provider.bill <= log.tip.cost <= limits["usd"]
    else: assert provider.tokens <= log.tip.usage.total <= limits["tokens"]


@CHEAP
@given(st.lists(st.lists(outcome, max_size=6), min_size=2, max_size=5), limit, st.randoms())
def test_runs_that_share_a_budget_are_never_billed_more_together(many, limits, chance):
    store, providers = open_store(), [Provider(outcomes) for outcomes in many]
    shared = Budget(**limits, shared="team")
    own = Budget(usd="0.03", within=shared) if chance.random() < 0.5 else shared
    runs = [agent(Retry(p, base=0, attempts=2), store, budget=own).run("Why?", run_id=f"r{i}") for i, p in enumerate(providers)]
    async def together(): await asyncio.gather(*(to_end(r) for r in runs))
    asyncio.run(together())
    usd, tokens = totals(store, store.runs())
    spent, held = shared_spending(store, "team")
    assert not held and spent.usage.total == tokens and spent.usd == usd
    assert sum(store.restore(r).usage.total for r in store.runs()) == tokens
    if "usd" in limits: assert sum(p.bill for p in providers) <= usd <= limits["usd"]
    else: assert sum(p.tokens for p in providers) <= tokens <= limits["tokens"]
    if own is not shared: assert all(store.restore(r).cost <= Decimal("0.03") for r in store.runs())


@CHEAP
@given(st.lists(outcome, max_size=8), st.integers(1, 60), st.floats(0.1, 1))
def test_a_soft_limit_is_noted_exactly_once(outcomes, cents, soft):
    limit = Decimal(cents) / 1000
    run = agent(Provider([o for o in outcomes if o[0] != "killed"]), budget=Budget(usd=limit, tokens=10**6, soft=soft)).run("Why?")
    heard = []
    run.observers.append(heard.append)
    asyncio.run(to_end(run))
    log = run.agent.load(run.run_id)
    notes = [s.body for s in log.steps if isinstance(s.body, Note) and s.body.limit == "usd"]
    assert len(notes) == (float(log.tip.cost) >= float(limit) * soft and log.tip.cost > 0)
    if log.steps == run.steps: assert [s.body for s in heard if isinstance(s.body, Note) and s.body.limit == "usd"] == notes


def test_a_soft_limit_is_seen_and_told():
    asks = []
    class Frugal(Provider):
        async def __call__(self, messages, tools=(), instructions="", ask=Ask()):
            asks.append((ask.frugal, messages[-1].content))
            return await super().__call__(messages, tools, instructions, ask)
    run = agent(Frugal([("look", 0.0)] * 4), budget=Budget(iterations=5, wrap_up=True)).run("Why?")
    asyncio.run(run.wait())
    assert [frugal for frugal, _ in asks] == [False] * 4 + [True] and asks[-1][1].endswith("Come to an end: answer with what you have.")
    assert "4 made of the budget of 5 iterations" in run_html(run.tip, run.steps) and run.store.restore(run.run_id) == run.tip
    asyncio.run((last := agent(Provider([("say", 0.9)]), budget=Budget(tokens=9000, soft=0.1, wrap_up=True)).run("Why?")).wait())
    assert last.status == "done" and last.tip.warned_limits == ("tokens",) and last.steps[-2].kind == "note", "an answer is not answered"


@pytest.mark.parametrize("limits, more", [(dict(usd="0.02"), dict(usd=1)), (dict(tokens=15_000), dict(tokens=10**6)), (dict(iterations=2), dict(iterations=9)),
    (dict(tool_calls=2), dict(tool_calls=9))])
def test_a_hard_limit_stops_with_what_there_is_and_a_top_up_goes_on(limits, more):
    provider = Provider([("look", 0.9)] * 4)
    class Talking(Provider):
        async def __call__(self, *said):
            reply = await provider(*said)
            return reply.model_copy(update={"content": reply.content or f"so far {len(said[0])}"})
    run = agent(Talking([]), budget=Budget(**limits)).run("Why?")
    with pytest.raises(RunStopped, match="budget of .* run.top_up"): asyncio.run(run.wait())
    assert run.status == "stopped" and run.result.startswith("so far") and "budget" in run.tip.reason
    before = run.tip
    step = run.top_up(**more, by="kim")
    assert isinstance(step.body, Edit) and step.body.by == "kim" and step.body.budget != before.budget and run.tip.open_calls == before.open_calls
    assert run.result is None
    assert asyncio.run(run.wait()).startswith("done") and run.store.restore(run.run_id) == run.tip
    assert len([m for m in run.tip.messages if m.role == "tool"]) == 4, "every call was made once"


def test_what_a_top_up_cannot_mean():
    run = agent(Provider([("look", 0.1)] * 3), budget=Budget(usd="0.03")).run("Why?")
    with pytest.raises(ValueError, match="has not begun"): run.top_up(usd=1)
    asyncio.run(run.step())
    for wrong, words in ((dict(tokens=5), "no limit of tokens to raise. The budget: \\$0.03"), (dict(usd=0), "by how much"), (dict(usd=-1), "greater than"),
        (dict(), "by how much"), (dict(euro=1), "euro"), (dict(usd=1, shared="x"), "no limit of usd"), (dict(iterations="3"), "how many more"),
        (dict(usd="nan"), "finite|number")):
        with pytest.raises(ValueError, match=words): run.top_up(**wrong)
    assert run.top_up(iterations=3).body.max_iterations == 53 and len(run.steps) == 2


@CHEAP
@given(st.lists(st.lists(st.sampled_from(["look", "act", "no"]), min_size=1, max_size=5), max_size=4), st.integers(0, 8), st.booleans())
def test_tool_calls_side_by_side_do_not_exceed_their_limit(replies, most, slow):
    made = []
    @tool(read_only=True)
    async def look(n: int) -> str:
        made.append(n)
        if slow: await asyncio.sleep(0.001 * (n % 3))
        return f"looked {n}"
    @tool(idempotent=True)
    def act(n: int) -> str:
        made.append(n)
        return f"did {n}"
    script = [[call(name, n=10 * i + k) if name != "no" else call(name, i=10 * i + k) for k, name in enumerate(names)] for i, names in enumerate(replies)]
    run = Agent(Scripted([*script, "done"]), [look, act], store="memory:", unattended="approve", budget=Budget(tool_calls=most)).run("go")
    wanted = sum(name != "no" for names in replies for name in names)
    if wanted <= most: assert asyncio.run(run.wait()) == "done"
    else:
        with pytest.raises(RunStopped, match=f"{most} tool calls is used up"): asyncio.run(run.wait())
        assert len(made) == most == run.tip.tool_calls
        run.top_up(tool_calls=99)
        asyncio.run(run.wait())
    assert len(made) == len(set(made)) == wanted == run.tip.tool_calls


def test_a_human_is_asked_for_more():
    def asking(**options): return agent(Provider([("look", 0.9)] * 4), budget=Budget(usd="0.02", ask=True), **options).run("Why?")
    run = asking()
    with pytest.raises(RequestOpen, match="May it be raised.*approve\\(args="): asyncio.run(run.wait())
    assert [p.request.about for p in run.pending] == ["budget"] and run.status == "waiting", "never raised by a policy that approves calls"
    for wrong in (None, {}, {"usd": -1}, {"tokens": 5}):
        with pytest.raises(ValueError): run.pending[0].approve(args=wrong)
    with pytest.raises(ValueError, match="approve"): run.pending[0].answer("more")
    run.pending[0].approve(args={"usd": 1}, by="kim")
    assert asyncio.run(run.wait()).startswith("done") and run.tip.budget.usd == Decimal("1.02") and run.store.restore(run.run_id) == run.tip
    run = asking()
    asyncio.run(run.until())
    run.pending[0].reject("enough")
    with pytest.raises(RunStopped, match="not raised: enough"): asyncio.run(run.wait())
    assert run.top_up(usd=1) and asyncio.run(run.wait()).startswith("done")
    run = asking()
    asyncio.run(run.until())
    assert run.top_up(usd=1, by="kim").body.verdict == "approve" and asyncio.run(run.wait()).startswith("done")
    run = asking()
    run.agent.unattended = "reject"
    with pytest.raises(RunStopped, match="not raised"): asyncio.run(run.wait())


def test_the_terminal_raises_a_budget():
    from agentnb.cli.main import answer
    run = agent(Provider([("look", 0.9)] * 4), budget=Budget(usd="0.02", ask=True)).run("Why?")
    asyncio.run(run.until())
    said, shown = iter(["nonsense", "usd=-1", "usd=0.50"]), []
    answer(run.pending[0], lambda _: next(said), shown.append)
    assert run.tip.budget.usd == Decimal("0.52") and "May it be raised?" in shown[0] and len(shown) == 3
    other = agent(Provider([("look", 0.9)] * 4), budget=Budget(usd="0.02", ask=True)).run("Why?")
    asyncio.run(other.until())
    answer(other.pending[0], lambda _: "", shown.append)
    with pytest.raises(RunStopped, match="not raised at the terminal"): asyncio.run(other.wait())


def test_a_model_without_a_price_is_not_asked():
    provider = Provider([("say", 0.1)], name="mycorp:llama")
    run = agent(provider, budget=Budget(usd=1)).run("Why?")
    with pytest.raises(RunStopped, match="mycorp:llama has no known price.*assume="): asyncio.run(run.wait())
    assert not provider.tokens
    run.edit(budget=Budget(usd=1, assume=("2", "4")))
    asyncio.run(run.wait())
    u = run.tip.usage
    assert provider.tokens and run.tip.cost == (u.input * 2 + u.output * 4) / Decimal(1_000_000) or run.tip.cost == 0
    for free in (Scripted(["done"]), Provider([("say", 0.1)], name="ollama:llama3")):
        asyncio.run((run := agent(free, budget=Budget(usd="0.01")).run("Why?")).wait())
        assert run.tip.cost == 0


def test_a_reply_is_made_shorter_rather_than_refused():
    provider = Provider([("look", 0.0), ("look", 0.9), ("look", 0.9), ("look", 0.9)])
    run = agent(provider, budget=Budget(usd="0.05"), ask=Ask(max_tokens=9000)).run("Why?")
    short = r"the next call may cost \$0\.00.*, and \$0\.00.* of the budget of \$0\.05 is left"
    with pytest.raises(RunStopped, match=short): asyncio.run(run.wait())
    assert provider.caps[0] == 9000 > min(provider.caps) >= 256 and run.tip.cost <= Decimal("0.05")
    assert [n for s in run.steps if isinstance(s.body, Replied) for n in s.body.reply.notes][-1].startswith("the budget leaves")
    tiny = agent(Provider([]), budget=Budget(tokens=100)).run("Why?")
    with pytest.raises(RunStopped, match="the next call may use .* tokens, and 100 tokens of the budget of 100 tokens is left"): asyncio.run(tiny.wait())
    fixed = Provider([])
    fixed.options = dict(max_tokens=5000)
    with pytest.raises(RunStopped, match="may use"): asyncio.run(agent(fixed, budget=Budget(tokens=4000)).run("Why?").wait())
    assert not fixed.tokens


def test_what_a_provider_counted_bounds_the_next_request():
    provider = Provider([("look", 0.0), ("look", 0.0), ("say", 0.0)])
    run = agent(provider, budget=Budget(tokens=20_000), ask=Ask(max_tokens=300)).run("word " * 3000)
    asyncio.run(run.until(kind="model"))
    bytes_only = TokenMeter().tokens(run.tip.messages, run.tip.tools)
    asyncio.run(run.wait())
    assert run.engine.meter.measure(run.engine)[0] < bytes_only / 3, "15,000 bytes were 4,000 tokens"


def test_a_budget_changes_no_key_of_a_tape_or_a_cache():
    store = open_store()
    first, again = Provider([("look", 0.1), ("say", 0.1)]), Provider([])
    asyncio.run((run := Agent(Cached(first, store), [look], store="memory:", clock=lambda: AT).run("Why?", run_id="r")).wait())
    asyncio.run((hit := Agent(Cached(again, store), [look], store="memory:", budget=Budget(usd="0.05"), clock=lambda: AT).run("Why?", run_id="r")).wait())
    assert not again.tokens and hit.tip.cost == 0 and hit.tip.usage.total == 0 and hit.result == run.result


def test_a_fallback_is_bounded_by_all_its_models():
    first, second = Provider([("cut", 1.0)]), Provider([("say", 1.0)], name="anthropic:claude-sonnet-4-5")
    run = agent(Fallback(first, second), budget=Budget(usd="0.1")).run("Why?")
    asyncio.run(to_end(run, 1))
    assert first.bill + second.bill <= run.tip.cost <= Decimal("0.1") and second.tokens


def test_a_team_waits_for_what_is_only_set_aside():
    order, gate = [], asyncio.Event()
    class Slow(Provider):
        async def __call__(self, messages, tools=(), instructions="", ask=Ask()):
            order.append("asked")
            await gate.wait()
            return await super().__call__(messages, tools, instructions, ask)
    store = open_store()
    one = agent(Slow([("say", 0.0)]), store, budget=Budget(usd="0.0415", shared="t"), ask=Ask(max_tokens=8000)).run("Why?", run_id="one")
    two = agent(Provider([("say", 0.0)]), store, budget=Budget(usd="0.0415", shared="t"), ask=Ask(max_tokens=8000)).run("Why?", run_id="two")
    async def both():
        first = asyncio.ensure_future(one.wait())
        while not order: await asyncio.sleep(0.001)
        second = asyncio.ensure_future(two.wait())
        await asyncio.sleep(0.1)
        assert not second.done() and len(two.steps) == 1, "it waits"
        assert shared_spending(store, "t")[1].usd > 0
        gate.set()
        await asyncio.gather(first, second)
    asyncio.run(both())
    assert one.status == two.status == "done" and shared_spending(store, "t")[0].usd == one.tip.cost + two.tip.cost
    team = agent(Provider([]), store, budget=Budget(usd=one.tip.cost + two.tip.cost, shared="t")).run("Why?")
    with pytest.raises(RunStopped, match="that t shares is used up"): asyncio.run(team.wait())
    other = agent(Provider([]), store, budget=Budget(usd=(one.tip.cost + two.tip.cost) * Decimal("1.2"), shared="t")).run("Why?")
    asyncio.run(to_end(other, 1))
    assert [s.body.limit for s in other.steps if isinstance(s.body, Note)] == ["usd of t"]


def test_a_run_steps_back_if_another_process_writes_at_the_same_time():
    class Raced(SQLite):
        others = 0
        def keep_all(self, *rows, **options):
            super().keep_all(*rows, **options)
            if self.others or not any(space == "budget t" for space, *_ in rows): return
            self.others += 1
            self.hold("other", "another process", 30)
            write_budget_lines(self, "other", ["t"], BudgetLine(index=1, held=Usage(input=10, output=8000), held_usd="0.04"), AT)
    store = Raced(":memory:")
    provider = Provider([("say", 0.1)])
    run = agent(provider, store, budget=Budget(usd="0.0415", shared="t"), ask=Ask(max_tokens=8000)).run("Why?")
    async def go():
        task = asyncio.ensure_future(run.wait())
        await asyncio.sleep(0.1)
        assert not provider.tokens and not budget_lines(store, "t")[run.run_id].set_aside, "it steps back"
        store.release("other", "another process")
        store.forget("budget t", "other")
        await task
    asyncio.run(go())
    assert provider.tokens and run.status == "done"


def test_a_fork_in_a_team_counts_from_where_it_left():
    store = open_store()
    run = agent(Provider([("look", 0.3), ("say", 0.2)]), store, budget=Budget(usd=1, shared="t")).run("Why?")
    asyncio.run(run.wait())
    fork = run.fork(at=2)
    asyncio.run(fork.wait())
    assert fork.tip.cost > shared_spending(store, "t", run.run_id)[0].usd
    assert shared_spending(store, "t")[0].usd == totals(store, store.runs())[0]


def test_a_call_that_was_cancelled_counts_once():
    async def cancelled():
        run = agent(Provider([("look", 0.1), ("hang", 0.1)]), budget=Budget(usd=1, shared="t")).run("Why?")
        class Hanging(Provider):
            async def __call__(self, *said): await asyncio.sleep(60)
        await run.until(kind="tool")
        run.agent.model = Hanging([])
        task = asyncio.ensure_future(run.wait())
        await asyncio.sleep(0.05)
        run.engine.task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        held = shared_spending(run.store, "t")[0].usd
        run.agent.model = Provider([("say", 0.1)])
        await run
        lost = [s.body for s in run.steps if isinstance(s.body, Note) and s.body.about == "budget"]
        assert len(lost) == 1 and lost[0].cost + run.steps[1].body.reply.cost == held
        assert run.tip.cost == shared_spending(run.store, "t")[0].usd == totals(run.store, [run.run_id])[0]
    asyncio.run(cancelled())


CHILD = """
import asyncio
{path}from test_budget import *
name, kind = sys.argv[1:3]
print("ready", flush=True)
input()
async def go():
    def model(): return Retry(Provider([("look", 0.2)] * 20), attempts=2)
    runs = [agent(model(), {url!r}, budget=Budget(usd="0.30", shared="t")).run("Why?", run_id=f"{{name}}{{i}}")
        for i in range(1 if kind == "die" else 3)]
    if kind == "die":
        class Dying(Provider):
            async def __call__(self, *said):
                print("asked", flush=True)
                await asyncio.sleep(60)
        runs[0].agent.model = Dying([])
    await asyncio.gather(*(to_end(r, 2) for r in runs))
    print(sum(r.agent.model.model.bill for r in runs))
asyncio.run(go())
"""


def test_processes_share_a_budget_and_a_killed_one_keeps_its_share(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    store = open_store(url)
    code = CHILD.format(path=on_path(Path(__file__).parent), url=url)
    def children(*args):
        made = [subprocess.Popen([sys.executable, "-c", code, *a], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for a in args]
        assert [p.stdout.readline() for p in made] == ["ready\n"] * len(made)
        for p in made: print(file=p.stdin, flush=True)
        return made
    dying = children(("d", "die"))[0]
    assert dying.stdout.readline() == "asked\n"
    dying.kill()
    dying.wait()
    for lease in store.leases(): store.release(lease.run_id, lease.holder)
    others = children(("a", "live"), ("b", "live"))
    bills = [Decimal(p.communicate(timeout=60)[0]) for p in others]
    lost = budget_lines(store, "t")["d0"].held_usd
    recorded = totals(store, store.runs())[0]
    assert lost > 0 and sum(bills) <= recorded and recorded + lost <= Decimal("0.30")
    run = agent(Provider([]), store, budget=Budget(usd="0.30", shared="t")).load("d0")
    asyncio.run(to_end(run, 1))
    assert totals(store, store.runs())[0] == shared_spending(store, "t")[0].usd <= Decimal("0.30")
    assert [s.body.cost for s in run.steps if isinstance(s.body, Note) and s.body.about == "budget" and not s.body.limit] == [lost]


def test_budgets_say_what_is_wrong_with_them():
    for wrong, words in ((dict(usd=-1), "greater than or equal to 0"), (dict(soft=0), "greater than 0"), (dict(soft=2), "less than or equal to 1"),
        (dict(seconds=float("inf")), "finite"), (dict(shared="t", seconds=5), "seconds cannot be shared"),
        (dict(within=Budget(usd=1)), "which"), (dict(usd=1, shared="t", within=Budget(usd=2, shared="t")), "within itself"), (dict(assume=(1,)), "at least 2")):
        with pytest.raises(ValueError, match=words): Budget(**wrong)
    nested = Budget(usd=1, within=Budget(usd=5, shared="t", within=Budget(tokens=9, shared="n")))
    assert Budget.model_validate_json(nested.model_dump_json(exclude_defaults=True)) == nested
    assert nested.raised(tokens=1).limits == {"usd": 1, "usd of t": 5, "tokens of n": 10} and nested.raised("t", usd="0.1").limits["usd of t"] == Decimal("5.1")


def test_settings_give_a_budget(monkeypatch):
    given = dict(USD="0.5", TOOL_CALLS="7", SECONDS="60", SOFT="0.5", ASK="true")
    for name, value in given.items(): monkeypatch.setenv(f"AGENTNB_BUDGET_{name}", value)
    assert agent(Scripted([])).budget == Budget(usd="0.5", tool_calls=7, seconds=60, soft=0.5, ask=True)


def test_a_conversation_is_counted_once():
    from agentnb import user
    from agentnb.wrappers import bounds
    counted, real = [], bounds.message_tokens
    messages = bounds.GrowingTuple([user(f"message {i}") for i in range(1000)])
    meter = bounds.TokenMeter()
    first = meter.tokens(messages)
    try:
        bounds.message_tokens = lambda m: counted.append(m) or real(m)
        assert meter.tokens(messages + [user("one more")]) == first + real(user("one more"))
    finally: bounds.message_tokens = real
    assert len(counted) == 1


def test_a_held_graph_stops_between_supersteps():
    from langchain_core.messages import AIMessage
    from langgraph.graph import END, START, MessagesState, StateGraph
    from agentnb.langgraph.held import hold
    said = dict(input_tokens=900, output_tokens=100, total_tokens=1000)
    def think(state): return {"messages": [AIMessage(f"thought {len(state['messages'])}", usage_metadata=said, id=str(len(state["messages"])))]}
    graph = StateGraph(MessagesState).add_node("think", think).add_edge(START, "think")
    graph.add_conditional_edges("think", lambda s: "think" if len(s["messages"]) < 5 else END)
    run = hold(graph.compile(), {"messages": [("user", "go")]}, store="memory:", budget=Budget(tokens=2000, soft=0.5))
    with pytest.raises(RunStopped, match="budget of 2,000 tokens is used up"): asyncio.run(run.wait())
    assert run.tip.usage.total == 2000 and [s.body.limit for s in run.steps if isinstance(s.body, Note) and s.body.limit] == ["tokens"]
    run.top_up(tokens=5000)
    assert asyncio.run(run.wait()) == "thought 4" and run.tip.budget.tokens == 7000
    with pytest.raises(ValueError, match="between supersteps"): hold(graph.compile(), {"messages": []}, store="memory:", budget=Budget(usd=1, ask=True))


def test_an_edit_of_limits_leaves_what_the_provider_counted_known():
    store = open_store("memory:")
    run = agent(Provider([("look", 0.1)] * 3), store, budget=Budget(usd=1)).run("Why?")
    asyncio.run(run.until(kind="tool"))
    counted = _bound_from_usage(run, HAIKU)
    run.edit(max_iterations=60)
    assert counted and _bound_from_usage(run, HAIKU) == _bound_from_usage(run.agent.load(run.run_id), HAIKU) == counted
    run.edit(instructions="")
    assert _bound_from_usage(run, HAIKU) is _bound_from_usage(run.agent.load(run.run_id), HAIKU) is None
