"""A week on call, for the tests and pictures of the views: runs that ended well, failed, stopped, wait, and two that were forked."""
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agentnb import Agent, ModelError, Reply, Scripted, ToolError, call, tool
from agentnb.core.messages import Usage

RUNBOOK = {"checkout": "restart checkout-b", "mail": "delete old logs, then restart mail", "search": "look at the index", "login": "renew the certificate"}
TASKS = ["Checkout is slow. Find out why and fix it.", "The disk of mail-2 is full.", "Search gives no results.", "Nobody can log in.",
    "p99 of checkout is 3 s.", "A certificate ends tomorrow."]


class Clock:
    "Each look is some seconds later; `day` goes on to the next morning"
    def __init__(self): self.now, self.chance = datetime(2026, 5, 4, 8, 0, tzinfo=UTC), random.Random(7)
    def __call__(self):
        self.now += timedelta(seconds=self.chance.choice((0.4, 1, 2, 3, 9)))
        return self.now
    def later(self, hours): self.now += timedelta(hours=hours)


@tool(read_only=True)
def search_runbooks(query: str) -> str:
    "Find the runbook section that matches `query`"
    if query not in RUNBOOK: raise ToolError("not_found", f"no section matches {query!r}.", "Ask for a service.")
    return RUNBOOK[query]


@tool(read_only=True)
def metrics(service: str, window: str = "15m") -> str:
    "Latency of `service`"
    if window == "1m": raise ToolError("rate_limited", "too many queries.", "Retry in 2 s.", retry_after=2)
    return f"p99 of {service}: 3.1 s"


def _plan(service, grace_s=30): return f"- {service}   3 pods  running\n+ {service}   3 pods  restarting (rolling, {grace_s} s)"


@tool(preview=_plan)
def restart(service: str, grace_s: int = 30) -> str:
    "Restart the service `service`"
    return f"{service} restarted after {grace_s} s"


def _reply(chance, model, said="", *calls):
    price, tokens = dict(small="0.0004", large="0.0121")[model], (chance.randint(300, 2400), chance.randint(20, 160))
    name = dict(small="local:smollm2", large="anthropic:claude-haiku-4-5")[model]
    return Reply(content=said, calls=calls, model=name, usage=Usage(input=tokens[0], output=tokens[1], requests=1), cost=Decimal(price) * tokens[0] / 1000)


def script(chance, kind):
    "The replies of one run"
    service = chance.choice(list(RUNBOOK))
    look = [_reply(chance, "small", "", call("search_runbooks", query=chance.choice([service, "everything"]))),
        _reply(chance, "small", "", call("metrics", service=service, window=chance.choice(["15m", "1m"])))]
    again = [_reply(chance, "large", "I look again.", call("metrics", service=service)) for _ in range(chance.choice((0, 0, 1, 3)))]
    fix = [_reply(chance, "large", f"{service} is slow; the runbook says restart.", call("restart", service=service))]
    end = [_reply(chance, "large", f"**{service}** was restarted; p99 is 0.2 s.")]
    if kind == "failed": return [*look, ModelError("connection", "the server does not answer.")]
    return [*look, *again[:2], *(fix if kind != "looked" else []), *end]


def agent_of(store, replies, clock, name="on-call"):
    return Agent(Scripted(replies, name="anthropic:claude-haiku-4-5"), [search_runbooks, metrics, restart], name=name, store=store, clock=clock)


async def fill(store, runs=18):
    "Runs of a week, in a store"
    clock, chance = Clock(), random.Random(11)
    kinds = ["approved", "looked", "approved", "failed", "rejected", "looked", "waiting", "approved", "stopped"]
    for i in range(runs):
        kind = kinds[i % len(kinds)] if i < runs - 3 else ("approved", "waiting", "waiting")[i - runs + 3]
        if i == 0: kind = "waiting"
        agent = agent_of(store, script(chance, kind), clock, "on-call" if i % 4 else "night-watch")
        run = agent.run(TASKS[i % len(TASKS)], max_iterations=2 if kind == "stopped" else 10, run_id=f"week-{i:02}")
        try: await run.until()
        except ModelError: pass
        clock.later(0.1 if kind != "waiting" else 0)
        if kind in ("approved", "rejected") and run.pending:
            if kind == "approved": run.pending[0].approve(by=chance.choice(["ann", "you"]))
            else: run.pending[0].reject("Not now: wait for the deploy.", by="ann")
            await run.until()
        if i in (2, 7) and len(run.steps) > 4:
            fork = run.fork(at=2, instructions="Be careful.", run_id=f"week-{i:02}-careful")
            await fork.until()
        clock.later(chance.choice((1, 3, 9)))
    return agent
