"A call of an agent is a run of its own: linked, found again, asked from above, paid from above"
import asyncio, contextlib, random, time
from decimal import Decimal

import pytest
from pydantic import BaseModel

from agentnb import Agent, Break, Budget, Rule, Scripted, call, open_store, tool
from agentnb.agent import Ticks
from agentnb.core.messages import Ask, Reply, Usage
from agentnb.core.state import fold
from agentnb.engine.outcomes import RequestOpen, RunStopped
from agentnb.log.listing import Listing
from agentnb.store.protocol import read_run
from agentnb.tools.parameters import ToolDefinitionError

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend(): return "asyncio"

class World:
    "Tools that act, and what they did"
    def __init__(self):
        self.done = []
        @tool
        def deploy(service: str) -> str:
            "Deploy a service"
            self.done.append(service)
            return f"deployed {service}"
        @tool(read_only=True)
        def look(what: str) -> str:
            "Look at something"
            return f"{what} is fine"
        self.deploy, self.look = deploy, look

    def coder(self, *script, name="coder", **options):
        script = script or (call("deploy", service="api"), "Coder is done.")
        return Agent(Scripted(list(script)), [self.look, self.deploy], name=name, **{"store": "memory:", **options})

def boss_of(*agents, script=None, **options):
    calls = [call(a.name, task=f"task of {a.name}") for a in agents]
    script = script or [calls, "All shipped."]
    return Agent(Scripted(script), [a.as_tool() for a in agents], name="boss", clock=Ticks(), **{"store": "memory:", **options})

async def test_linked_in_both_logs_and_nothing_of_the_conversation_is_handed_over():
    world = World()
    boss = boss_of(world.coder("Fine."), script=[call("coder", task="look at it"), "Done."])
    run = boss.run("A secret of the boss", run_id="b")
    assert await run == "Done."
    child, = run.children
    assert child.run_id == "b.1.0" and child.caller.run_id == "b" and run.steps[child.caller.index].body.child == child.run_id
    assert run.steps[3].body.children[0].run_id == child.run_id and run.steps[3].body.content == "Fine."
    assert "secret" not in str(child.tip.messages) and child.task == "look at it" and run.store.children("b") == {"b.1.0": child.caller}

@pytest.mark.parametrize("where", ["parent", "child", "inbox", "elsewhere"])
async def test_a_question_is_answered_from_anywhere(where, tmp_path):
    world, url = World(), f"sqlite:///{tmp_path}/runs.db"
    make = lambda: boss_of(world.coder(), store=url)
    run = make().run("Ship", run_id="b")
    step = await run.until()
    assert (step.run_id, step.kind, run.status) == ("b.1.0", "request", "waiting") and not world.done
    pending, = run.pending
    assert pending.path == ("boss", "coder") and pending.run_id == "b.1.0"
    if where == "parent": pending.approve()
    elif where == "child": run.children[0].pending[0].approve()
    elif where == "inbox": open_store(url).pending()[0].approve()
    else: make().load("b").pending[0].approve()
    assert run.status == "paused"
    assert await run == "All shipped." and world.done == ["api"]
    again = make().load("b")
    assert again.status == "done" and [c.result for c in again.children] == ["Coder is done."]

async def test_others_are_not_run_again_and_go_on_side_by_side(tmp_path):
    world, url = World(), f"sqlite:///{tmp_path}/runs.db"
    readers = [world.coder(call("look", what=n), f"{n} read", name=n) for n in ("one", "two")]
    make = lambda: boss_of(readers[0], world.coder(), readers[1], store=url)
    run = make().run("Ship", run_id="b")
    await run.until()
    assert [c.status for c in run.children] == ["done", "waiting", "done"]
    lengths = [len(c.steps) for c in run.children]
    there = make().load("b")
    there.pending[0].approve()
    assert await there == "All shipped." and world.done == ["api"]
    assert [len(c.steps) for c in there.children][::2] == lengths[::2]
    assert [m.tool for m in there.tip.messages if m.role == "tool"].count("one") == 1

async def test_side_by_side_means_at_the_same_time():
    here, both = [], asyncio.Event()
    @tool(read_only=True)
    async def meet(name: str) -> str:
        "Wait until the other is there too"
        here.append(name)
        if len(here) == 2: both.set()
        await asyncio.wait_for(both.wait(), 5)
        return "met"
    agents = [Agent(Scripted([call("meet", name=n), f"{n} met"]), [meet], name=n, store="memory:") for n in ("one", "two")]
    assert await boss_of(*agents).run("Meet") == "All shipped."

async def test_over_into_and_out():
    world = World()
    def run(): return boss_of(world.coder(call("look", what="x"), call("look", what="y"), "Seen.")).run("Ship")
    over = run()
    assert [(await over.step()).kind for _ in range(5)] == ["started", "model", "intent", "tool", "model"]
    into = run()
    for _ in range(3): await into.step(into=True)
    steps = [await into.step(into=True) for _ in range(6)]
    assert {s.run_id for s in steps} == {into.children[0].run_id} and [s.kind for s in steps] == ["started", "model", "tool", "model", "tool", "model"]
    out = await into.step(out=True)
    assert (out.run_id, out.kind) == (into.run_id, "tool") and into.children[0].status == "done" and await into == "All shipped."

async def test_into_the_innermost():
    world = World()
    inner = world.coder(call("look", what="x"), "Seen.")
    middle = Agent(Scripted([call("coder", task="see"), "Middle done."]), [inner.as_tool()], name="middle", store="memory:")
    run = boss_of(middle).run("Ship", run_id="b")
    seen = []
    while run.status != "done": seen.append(await run.step(into=True))
    assert "b.1.0.1.0" in {s.run_id for s in seen} and len(seen) == len({s.key for s in seen})
    assert len(seen) == sum(len(r.steps) for r in (run, run.children[0], run.children[0].children[0]))
    assert run.children[0].children[0].engine.path == ("boss", "middle", "coder")

async def test_breakpoints_hold_inside():
    world = World()
    run = boss_of(world.coder(call("look", what="x"), call("look", what="y"), "Seen.")).run("Ship")
    step = await run.until(tool="look", args={"what": "y"})
    assert step.run_id == run.children[0].run_id and step.body.reply.calls[0].args == {"what": "y"} and run.status == "paused"
    assert await run == "All shipped."
    run = boss_of(world.coder(call("look", what="x"), "Seen.")).run("Ship")
    run.breaks = [Break(tool="look")]
    step = await run.until()
    assert step.run_id == run.children[0].run_id and step.kind == "model"
    assert (await run.until()).kind == "finished"

async def test_rights_are_those_that_both_have():
    done = []
    @tool(scopes=["net:{host}"])
    def fetch(host: str) -> str:
        "Fetch"
        done.append(host)
        return "page"
    child = Agent(Scripted([call("fetch", host="a"), call("fetch", host="b"), "Done."]), [fetch], name="coder", store="memory:", grant=["net:a", "net:b"],
        policy=[Rule(tool="*", effect="allow")])
    run = boss_of(child, grant=["net:a"]).run("Ship")
    assert await run == "All shipped." and done == ["a"] and run.children[0].tip.grant == ("net:a",)

@pytest.mark.parametrize("above,own,outcome", [("deny", "allow", "deny"), ("ask", "allow", "ask"), ("allow", "deny", "deny"), ("allow", "ask", "ask"),
    (None, "allow", "allow"), ("allow", None, "ask"), ("ask", "deny", "deny"), ("deny", "ask", "deny")])
async def test_the_stricter_of_two_policies_counts(above, own, outcome):
    world = World()
    rules = lambda effect: [Rule(tool="deploy", effect=effect)] if effect else []
    run = boss_of(world.coder(policy=rules(own)), policy=rules(above)).run("Ship")
    await run.until()
    assert bool(run.pending) == (outcome == "ask") and bool(world.done) == (outcome == "allow")

async def test_a_function_of_the_policy_above_is_asked_too():
    world, asked = World(), []
    def never(args):
        asked.append(args)
        return True
    run = boss_of(world.coder(policy=[Rule(tool="deploy", effect="allow")]), policy=[Rule(tool="deploy", effect="deny", when=never)]).run("Ship")
    assert await run == "All shipped." and asked and not world.done

async def test_nobody_there_the_rule_of_the_caller_counts():
    world = World()
    assert await boss_of(world.coder(), unattended="approve").run("Ship") == "All shipped." and world.done == ["api"]
    with pytest.raises(RequestOpen, match=r"deploy.*b2\.1\.0"): await boss_of(world.coder()).run("Ship", run_id="b2")

async def test_a_child_that_stops_says_so():
    world = World()
    run = boss_of(world.coder(call("look", what="x"), call("look", what="y"), "Seen.", max_iterations=1)).run("Ship")
    assert await run == "All shipped."
    said = run.steps[3].body.failure
    assert said and "coder stopped: max_iterations=1" in said.message

async def test_a_child_whose_model_fails_stops_the_caller_and_is_gone_on_with():
    world, broken = World(), [True]
    async def model(messages, tools, instructions, ask):
        if broken: raise RuntimeError("no connection")
        return Reply(content="Fine.")
    child = Agent(model, [world.look], name="coder", store="memory:")
    run = boss_of(child).run("Ship")
    with pytest.raises(RuntimeError, match="no connection"): await run
    assert run.status == "paused" and run.tip.open_calls
    broken.clear()
    assert await run == "All shipped." and len(run.children) == 1

async def test_too_deep_is_told_with_the_path():
    agent = Agent(Scripted([call("me", task="again"), "Enough."]), name="me", store="memory:")
    agent.tools = {"me": agent.as_tool("Do it")}
    run = agent.run("Go", run_id="r")
    assert await run == "Enough."
    deepest = run
    while deepest.children: deepest = deepest.children[0]
    assert "me › me › me" in [s for s in deepest.steps if s.kind == "tool"][0].body.failure.message and deepest.run_id.count(".") == 14

async def test_stopping_the_caller_pauses_the_child():
    started, go = asyncio.Event(), asyncio.Event()
    @tool(read_only=True)
    async def slow() -> str:
        "Take long"
        started.set()
        await go.wait()
        return "there"
    child = Agent(Scripted([call("slow"), call("slow"), "Done."]), [slow], name="coder", store="memory:")
    run = boss_of(child).run("Ship").start()
    await started.wait()
    run.pause()
    go.set()
    while run.active: await asyncio.sleep(0.01)
    assert [s.kind for s in run.children[0].steps] == ["started", "model", "tool"] and run.status == "paused"
    assert await run == "All shipped."

async def test_arguments_make_the_task():
    seen = []
    def task_of(file: str, lines: int = 3) -> str: return f"{file}, {lines} lines"
    async def later(file: str) -> str: return f"{file}, later"
    for task, args in (("Mend {file}: {problem}", dict(file="a.py", problem="it breaks")), (task_of, dict(file="a.py")), (later, dict(file="a.py"))):
        child = Agent(Scripted(["Done."]), name="coder", store="memory:")
        boss = Agent(Scripted([call("coder", **args), "Ok."]), [child.as_tool(task=task)], name="boss", store="memory:")
        run = boss.run("Go")
        await run
        seen.append(run.children[0].task)
    assert seen == ["Mend a.py: it breaks", "a.py, 3 lines", "a.py, later"]

async def test_a_task_that_cannot_be_written_is_a_failure_the_model_reads():
    def task_of(file: str) -> str: raise ValueError("no such file")
    for task, said in ((task_of, "no such file"), (lambda: "", "a task is text")):
        child = Agent(Scripted(["Done."]), name="coder", store="memory:")
        args = dict(file="a.py") if task is task_of else {}
        run = Agent(Scripted([call("coder", **args), "Ok."]), [child.as_tool(task=task, description="Do")], name="boss", store="memory:").run("Go")
        assert await run == "Ok." and said in run.steps[3].body.failure.message and not run.children

async def test_a_typed_result_comes_back_as_json():
    child = Agent(Scripted(['{"verdict": true, "why": "ok"}']), name="coder", store="memory:")
    class Verdict(BaseModel):
        verdict: bool
        why: str
    run = Agent(Scripted([call("coder", task="x"), "Ok."]), [child.as_tool(result=Verdict)], name="boss", store="memory:").run("Go")
    await run
    assert run.steps[3].body.content == '{"verdict": true, "why": "ok"}' and run.children[0].result == Verdict(verdict=True, why="ok")

# --- money

def _priced(content="ok", calls=(), usd="0.01", tokens=10):
    return Reply(content=content, calls=calls, usage=Usage(input=tokens, output=tokens), cost=Decimal(usd))

async def test_the_cost_of_a_tree_is_the_sum_of_its_logs():
    world = World()
    inner = Agent(Scripted([_priced(calls=(call("look", what="x"),)), _priced()]), [world.look], name="inner", store="memory:")
    middle = Agent(Scripted([_priced(calls=(call("inner", task="a"), call("inner", task="b"))), _priced()]), [inner.as_tool()], name="middle", store="memory:")
    run = boss_of(middle, script=[_priced(calls=(call("middle", task="a"),)), _priced()]).run("Ship")
    await run
    runs, todo = [], [run]
    while todo:
        runs.append(one := todo.pop())
        todo += one.children
    assert len(runs) == 4 and run.tip.tree_cost == sum(r.tip.cost for r in runs) == Decimal("0.08")
    assert run.tip.spent.tokens == sum(r.tip.usage.total for r in runs) == 160 and run.tip.spent.tool_calls == 1 + 2 + 2

@pytest.mark.parametrize("limit", ["usd", "tokens"])
async def test_side_by_side_they_never_spend_more_than_their_caller_may(limit, tmp_path):
    provider_cost = dict(input=100, output=50)
    class Model:
        name = "test:priced"
        _prices = {"test:priced": (Decimal(1), Decimal(1))}
        async def __call__(self, messages, tools, instructions, ask):
            await asyncio.sleep(0)
            usage = Usage(**provider_cost, requests=1)
            turns = sum(m.role == "assistant" for m in messages)
            calls = (call("look", what=str(turns)),) if turns < 5 else ()
            return Reply(content="ok", calls=calls, usage=usage, cost=Decimal(150) / 1_000_000)
    @tool(read_only=True)
    def look(what: str) -> str:
        "Look"
        return what
    child = Agent(Model(), [look], name="coder", store=f"sqlite:///{tmp_path}/r.db", ask=Ask(max_tokens=300))
    hand_over = [call("coder", task=str(i)) for i in range(50)]
    budget = Budget(usd="0.02") if limit == "usd" else Budget(tokens=15_000)
    boss = Agent(Scripted([hand_over, "Done."]), [child.as_tool()], name="boss", store=child.store, budget=budget)
    run = boss.run("Go", run_id="b")
    try: await run
    except Exception as e: assert "budget" in str(e)
    children = [child.load(r, anyway=True) for r in run.store.children("b")]
    assert len(children) > 5
    spent = sum(c.tip.cost for c in children), sum(c.tip.usage.total for c in children)
    assert spent[limit == "tokens"] <= (Decimal("0.02") if limit == "usd" else 15_000), spent
    assert spent[limit == "tokens"] > (Decimal("0.01") if limit == "usd" else 8_000), "and they use what there is"
    assert run.tip.spent.tokens == spent[1]

async def test_a_raise_of_the_caller_is_one_of_the_child(tmp_path):
    world, usd = World(), Decimal("0.01")
    class Model:
        name, _prices = "test:priced", {"test:priced": (Decimal(10), Decimal(10))}
        async def __call__(self, messages, tools, instructions, ask):
            turns = sum(m.role == "assistant" for m in messages)
            return Reply(content="ok", calls=(call("look", what=str(turns)),) if turns < 4 else (), usage=Usage(input=200, output=100), cost=Decimal("0.003"))
    child = Agent(Model(), [world.look], name="coder", store="memory:", ask=Ask(max_tokens=300))
    boss = Agent(Scripted([call("coder", task="x"), "Done."]), [child.as_tool()], name="boss", store=child.store, budget=Budget(usd=usd))
    run = boss.run("Go", run_id="b")
    for _ in range(5): await run.step(into=True)
    run.top_up(usd="0.05")
    assert await run == "Done." and run.children[0].status == "done" and usd < run.tip.tree_cost <= Decimal("0.06")

# --- what is told elsewhere

async def test_a_child_does_not_go_on_alone(tmp_path):
    world, url = World(), f"sqlite:///{tmp_path}/runs.db"
    coder = world.coder(policy=[Rule(tool="deploy", effect="allow")], store=url)
    boss = boss_of(world.coder(policy=[Rule(tool="deploy", effect="allow")]), policy=[Rule(tool="deploy", effect="ask")], store=url)
    run = boss.run("Ship", run_id="b")
    await run.until()
    alone = coder.load("b.1.0")
    alone.pending[0].reject("no")
    with pytest.raises(Exception, match=r"load\('b'\)"): await alone
    assert not world.done and await run == "All shipped."

async def test_a_list_of_runs_says_that_the_caller_waits():
    world = World()
    run = boss_of(world.coder()).run("Ship", run_id="b")
    await run.until()
    listing = Listing(run.store)
    by_id = {s.run_id: s for s in listing.summaries(listing.heads())}
    assert by_id["b"].status == by_id["b.1.0"].status == "waiting" and "deploy" in by_id["b"].outcome
    run.pending[0].approve()
    by_id = {s.run_id: s for s in listing.summaries(listing.heads())}
    assert by_id["b"].status == "paused"

# --- forks

async def test_a_fork_behind_a_finished_child_shares_it():
    world = World()
    run = boss_of(world.coder("Fine."), script=[call("coder", task="look"), "Done."]).run("Go", run_id="b")
    await run
    fork = run.fork(at=3, run_id="f")
    assert await fork == "Done." and [c.run_id for c in fork.children] == ["b.1.0"] and len(fork.store.runs()) == 3

async def test_a_fork_through_a_child_forks_it_too():
    world = World()
    coder = world.coder(call("look", what="x"), call("deploy", service="api"), "Coder is done.")
    run = boss_of(coder).run("Ship", run_id="b")
    await run.until()
    fork = run.fork(run_id="f")
    child, = fork.children
    assert child.run_id == "f.1.0" and child.tip.root == "b.1.0" and [s.kind for s in child.steps[:3]] == ["started", "model", "tool"]
    await fork.until()
    fork.pending[0].approve()
    assert await fork == "All shipped." and world.done == ["api"] and run.status == "waiting" and run.pending[0].run_id == "b.1.0"
    run.pending[0].approve()
    await run.until()
    assert world.done == ["api", "api"], "each was said yes to"

async def test_what_a_child_did_in_the_world_counts_behind_a_fork():
    world = World()
    run = boss_of(world.coder(policy=[Rule(tool="deploy", effect="allow")])).run("Ship", run_id="b")
    await run
    fork = run.fork(at=1, run_id="f")
    assert [e.call.tool for e in fork.behind] == ["deploy"]
    await fork.until()
    assert fork.pending and "b.1.0" in fork.pending[0].question and world.done == ["api"]

# --- by hand

async def test_a_tool_that_runs_an_agent_by_hand_is_never_a_false_done():
    world = World()
    coder = world.coder()
    for read_only in (True, False):
        @tool(read_only=read_only, name="ask_coder")
        async def ask_coder(task: str) -> str:
            "Let the coder do it"
            return await coder.run(task)
        policy = [Rule(effect="allow", tool="ask_coder")]
        boss = Agent(Scripted([call("ask_coder", task="ship"), "All is well."]), [ask_coder], name="boss", store=coder.store, policy=policy)
        run = boss.run("Go")
        with pytest.raises(RequestOpen, match="as_tool"): await run
        assert run.status != "done" and not world.done

async def test_a_tool_that_hides_the_open_question_is_no_false_done_either():
    world = World()
    coder = world.coder()
    @tool(read_only=True)
    async def ask_coder(task: str) -> str:
        "Let the coder do it"
        try: return await coder.run(task)
        except Exception as e: return f"it did not work: {e}"
    run = Agent(Scripted([call("ask_coder", task="ship"), "All is well."]), [ask_coder], name="boss", store=coder.store).run("Go")
    with pytest.raises(RequestOpen, match="as_tool"): await run
    assert run.status != "done"

@pytest.mark.parametrize("sync", [True, False])
async def test_a_run_by_hand_is_linked_and_counted(sync):
    world = World()
    coder = world.coder(_priced())
    @tool(read_only=True)
    def in_thread(task: str) -> str:
        "Let the coder do it"
        return coder.run_sync(task)
    @tool(read_only=True)
    async def in_loop(task: str) -> str:
        "Let the coder do it"
        return await coder.run(task)
    ask = in_thread if sync else in_loop
    run = Agent(Scripted([call(ask.name, task="ship"), "All is well."]), [ask], name="boss", store=coder.store).run("Go", run_id="b")
    assert await run == "All is well."
    child, = run.children
    assert child.caller.run_id == "b" and run.tip.tree_cost == Decimal("0.01")

# --- trees of any shape

def random_tree(rng, store, depth=0, name="top"):
    "An agent whose replies cost something and call agents below it, side by side and one after the other, which may stop before their end"
    below = [random_tree(rng, store, depth + 1, f"{name}_{i}") for i in range(rng.randint(0, 3) if depth < 3 else 0)]
    @tool(read_only=True)
    def look() -> str:
        "Look"
        return "seen"
    script = []
    for _ in range(rng.randint(0, 3)):
        calls = [call(a.name, task=f"t{rng.random()}") for a in below if rng.random() < 0.6] + [call("look")] * (rng.random() < 0.3)
        if calls: script.append(_priced(calls=tuple(calls), usd=f"0.0{rng.randint(0, 9)}", tokens=rng.randint(0, 50)))
    script.append(_priced(usd=f"0.0{rng.randint(0, 9)}", tokens=rng.randint(1, 50)))
    return Agent(Scripted(script), [look, *(a.as_tool("Do") for a in below)], name=name, store=store, max_iterations=rng.randint(1, 5))

async def cost_of_random_trees(count, seed=0):
    rng, sizes = random.Random(seed), []
    for _ in range(count):
        store = open_store("memory:")
        run = random_tree(rng, store).run("Go")
        with contextlib.suppress(RunStopped): await run
        logs = [fold(read_run(store, run_id)) for run_id in store.runs()]
        assert run.tip.tree_cost == sum(s.cost for s in logs) and run.tip.spent.tokens == sum(s.usage.total for s in logs)
        assert run.tip.spent.tool_calls == sum(s.tool_calls for s in logs)
        sizes.append(len(logs))
    return sizes

async def test_in_a_tree_of_any_shape_the_cost_is_the_sum_of_its_logs():
    sizes = await cost_of_random_trees(25)
    assert max(sizes) > 8 and sum(sizes) > 60

@pytest.mark.parametrize("hint", ["read_only", "timeout", "idempotent", "human", "retries"])
async def test_what_a_call_of_an_agent_may_do_is_said_by_its_tools(hint):
    with pytest.raises(TypeError, match=hint): World().coder().as_tool("Do", **{hint: True})

async def test_a_call_of_an_agent_is_asked_about_where_that_is_said():
    run = boss_of(World().coder("Fine.")).run("Ship")
    boss = Agent(Scripted([call("coder", task="x"), "Done."]), [World().coder("Fine.").as_tool(always_ask="It is slow.")], name="boss", store="memory:")
    asked = boss.run("Ship")
    await asked.until()
    assert asked.pending[0].call.tool == "coder" and not asked.children and asked.tip.children == 0
    asked.pending[0].approve()
    assert await asked == "Done." and len(asked.children) == 1 and await run == "All shipped."
    tools = [World().coder("Fine.").as_tool(scopes=["agents:coder"])]
    limited = Agent(Scripted([call("coder", task="x"), "Done."]), tools, name="boss", store="memory:", grant=[])
    refused = limited.run("Ship")
    assert await refused == "Done." and not refused.children

@pytest.mark.parametrize("way", ["exits", "nothing", "hangs", "stops"])
async def test_whatever_writes_the_task_does_the_caller_goes_on(way, monkeypatch):
    monkeypatch.setattr("agentnb.engine.children.PATIENCE", 0.2)
    def task_of() -> str:
        if way == "exits": raise SystemExit(3)
        if way == "stops": next(iter(()))
        if way == "hangs": time.sleep(1)
        return None
    boss = Agent(Scripted([call("coder"), "Done."]), [World().coder("Fine.").as_tool(task=task_of, description="Do")], name="boss", store="memory:")
    run, ticks = boss.run("Go"), []
    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.02)
    beside = asyncio.create_task(tick())
    assert await run == "Done." and run.steps[3].body.failure and not run.children
    beside.cancel()
    assert max((b - a for a, b in zip(ticks, ticks[1:])), default=0) < 0.5, "nothing stands on the event loop"

@pytest.mark.parametrize("task", ["Mend {file", "Mend file}", "Mend {0}", "Mend {}"])
async def test_a_sentence_that_cannot_be_filled_is_refused(task):
    with pytest.raises(ToolDefinitionError): World().coder().as_tool(task=task)
