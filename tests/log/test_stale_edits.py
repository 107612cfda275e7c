"""Two who hold one run, and change it from what each last saw: both count, or the second is told."""
import asyncio
from decimal import Decimal

import pytest

from agentnb import Agent, Budget, RunConflict, Scripted, call, tool
from agentnb.core.messages import Reply, Usage


@tool(read_only=True)
def look(n: int) -> str: return "seen"


def holders(store, **more):
    agent = Agent(Scripted([call("look", n=1), "done"]), [look], store=store, **more)
    run = agent.run("go", run_id="r1")
    asyncio.run(run.step())
    return agent.load("r1"), agent.load("r1")


def test_two_who_top_up_both_count(store):
    first, second = holders(store, budget=Budget(usd=1, tokens=100))
    first.top_up(usd=1, iterations=2)
    second.top_up(usd=2, tokens=50, iterations=3)
    first.log.refresh()
    for run in (first, second): assert run.tip.budget.usd == 4 and run.tip.budget.tokens == 150 and run.tip.max_iterations == 15


EDITS = [dict(max_iterations=20), dict(budget=Budget(usd=3)), dict(instructions="be short"), dict(plan=["a"]), dict(tools=[]),
    dict(model=Scripted(["x"], name="other"))]


@pytest.mark.parametrize("change", EDITS, ids=lambda change: next(iter(change)))
def test_an_edit_from_a_stale_view_is_refused_and_the_next_counts(store, change):
    name, (first, second) = next(iter(change)), holders(store, budget=Budget(usd=1))
    other = dict(max_iterations=12, budget=Budget(usd=2), instructions="be long", plan=["b"], tools=[look, _another()],
        model=Scripted(["y"], name="third"))[name]
    first.edit(**{name: other})
    before = len(first.steps)
    with pytest.raises(RunConflict, match=f"was changed since it was last seen here: {name}.*Nothing was edited"): second.edit(**change)
    assert len(second.steps) == before == len(second.store.read("r1"))
    second.edit(**change)
    assert len(second.store.read("r1")) == before + 1


def _another():
    @tool(read_only=True)
    def other(n: int) -> str: return "x"
    return other


def test_a_conversation_that_went_on_is_not_replaced(store):
    first, second = holders(store)
    asyncio.run(first.wait())
    with pytest.raises(RunConflict, match="messages"): second.edit(messages=second.tip.messages)


def test_an_edit_of_something_else_counts_beside_the_other(store):
    first, second = holders(store)
    first.edit(instructions="be short")
    second.edit(max_iterations=20)
    assert second.tip.instructions == "be short" and second.tip.max_iterations == 20


class Costly:
    name = "costly:one"
    async def __call__(self, messages, tools=(), *rest, **more):
        return Reply(content="done", usage=Usage(input=30, output=30, requests=1), cost=Decimal("0"), model=self.name)


def team(store, tokens=1000, **more): return Agent(Costly(), store=store, budget=Budget(tokens=tokens, shared="team", **more))


def test_a_shared_budget_is_topped_up_for_all_who_share_it(store):
    one, two = (team(store, 10).run("go", run_id=f"r{i}") for i in (1, 2))
    for run in (one, two):
        with pytest.raises(Exception, match="10 tokens"): asyncio.run(run.wait())
    one.top_up(tokens=50_000)
    assert asyncio.run(two.wait()) == "done" and two.tip.budget.tokens == 50_010 == one.tip.budget.tokens
    assert asyncio.run(one.wait()) == "done"
    new = team(store, 10).run("go", run_id="r3")
    assert asyncio.run(new.wait()) == "done" and new.tip.budget.tokens == 50_010


def test_two_who_top_up_a_shared_budget_both_count_and_nobody_counts_twice(store):
    runs = [team(store, 10).run("go", run_id=f"r{i}") for i in range(3)]
    for run in runs:
        with pytest.raises(Exception, match="10 tokens"): asyncio.run(run.wait())
    runs[0].top_up(tokens=20_000)
    runs[1].top_up(tokens=30_000)
    for run in runs:
        assert asyncio.run(run.wait()) == "done"
        assert run.tip.budget.tokens == 50_010
    raised_in_code = team(store, 50_010).run("go", run_id="r9")
    assert asyncio.run(raised_in_code.wait()) == "done" and raised_in_code.tip.budget.tokens == 50_010


def test_a_shared_budget_that_a_human_raises_is_raised_for_all(store):
    one, two = (team(store, 10, ask=True).run("go", run_id=f"r{i}") for i in (1, 2))
    for run in (one, two): asyncio.run(run.until())
    one.pending[0].approve(args=dict(tokens=50_000))
    assert asyncio.run(one.wait()) == "done"
    three = team(store, 10).run("go", run_id="r3")
    assert asyncio.run(three.wait()) == "done" and three.tip.budget.tokens == 50_010


def test_a_budget_within_a_shared_one_is_topped_up_by_name(store):
    def within(): return Agent(Costly(), store=store, budget=Budget(usd=5, within=Budget(tokens=10, shared="team"), assume=(1, 1)))
    one, two = within().run("go", run_id="r1"), within().run("go", run_id="r2")
    for run in (one, two):
        with pytest.raises(Exception, match="10 tokens"): asyncio.run(run.wait())
    one.top_up(shared="team", tokens=50_000)
    one.top_up(usd=1)
    assert asyncio.run(two.wait()) == "done" and two.tip.budget.within.tokens == 50_010 and two.tip.budget.usd == 5
