"""Walked back, forked, edited, and gone on with after its code changed: what happened stays, and nothing is done twice without a word."""
import asyncio, textwrap

import pytest

from agentnb import Agent, AgentMismatch, Context, Message, RequestOpen, Rule, RunConflict, Scripted, assistant, call, open_store, tool, user
from agentnb.log.forks import lineage
from agentnb.store.protocol import read_run

done = []


@tool(read_only=True)
def look(where: str) -> str:
    done.append(("look", where))
    return f"looked at {where}"


@tool(idempotent=True)
def keyed(what: str, context: Context) -> str:
    done.append(("keyed", what, context.idempotency_key))
    return f"did {what}"


@tool
def plain(what: str) -> str:
    done.append(("plain", what))
    return f"did {what}"


SCRIPT = [call("look", where="a"), [call("keyed", what="b"), call("look", where="b")], call("plain", what="c"), "all done"]


def make(script=SCRIPT, **options):
    options = dict(store="memory:", policy=[Rule(effect="allow")]) | options
    return Agent(Scripted(script), [look, keyed, plain], **options)


@pytest.fixture
def run():
    run = make().run("go", run_id="r1")
    assert asyncio.run(run.wait()) == "all done"
    done.clear()
    return run


def test_walking_back_and_forth_calls_nothing(run):
    whole = list(run.steps)
    seen = [run.at(i).state for i in range(len(whole))]
    assert [s.index for s in seen] == list(range(1, len(whole) + 1)) and seen == [run.store.restore("r1", i) for i in range(len(whole))]
    assert run.at(0).back(5).place == 0 and run.forward(3).place == 3 and run.forward(99).place == len(whole) - 1 and run.at(-2).place == len(whole) - 2
    assert repr(run.at(2)).count("looked at after step 2") == 1
    assert [asyncio.run(run.at(2).step()).index, run.place] == [3, 3]
    assert asyncio.run(run.at(0).until(tool="plain")).index == next(s.index for s in whole if s.kind == "model" and s.body.reply.calls[0].tool == "plain")
    assert asyncio.run(run.at(1).wait()) == "all done"
    assert run.steps == whole == list(read_run(run.store, "r1")) and not done
    with pytest.raises(IndexError, match=f"run r1 has steps 0 to {len(whole) - 1}, not 99"): run.at(99)


def test_every_state_of_a_long_run_is_the_fold_of_its_log():
    run = make([call("look", where=str(i)) for i in range(200)] + ["end"], max_iterations=300).run("go", run_id="long")
    asyncio.run(run.wait())
    for i in (0, 1, 62, 63, 64, 65, 127, 128, 129, 300, len(run.steps) - 1): assert run.state_at(i) == run.store.restore("long", i)


def test_a_fork_anywhere_has_whole_pairs_and_one_history(run):
    for k in range(len(run.steps)):
        fork = run.fork(at=k, run_id=f"f{k}")
        asked, answered = [c.id for m in fork.tip.messages for c in m.calls], [m.call_id for m in fork.tip.messages if m.role == "tool"]
        assert asked == answered and fork.steps[:-1] == run.steps[:len(fork.steps) - 1]
        assert make(store=run.store).load(f"f{k}").tip == fork.tip == run.store.restore(f"f{k}")
        assert len(run.store.read(f"f{k}")) == 1
        while fork.tip.status != "done":
            try: asyncio.run(fork.wait())
            except RequestOpen: fork.pending[0].reject("not again")
        assert [s.index for s in read_run(run.store, f"f{k}")] == list(range(len(fork.steps)))
    assert "plain" not in {d[0] for d in done}, "what is neither read-only nor idempotent was done again without a word"
    assert len(lineage(run.store)) == 1 and len(lineage(run.store)[0].forks) == len(run.steps)


def test_a_fork_says_what_happened_behind_the_cut_and_does_not_repeat_it(run):
    keys = [s.body.key for s in run.steps if s.kind == "intent"]
    fork = run.fork(at=0)
    assert [str(e) for e in fork.side_effects_after_cut] == [
        "step 4: keyed(what='b'), done; if it is asked for again it has the same key, and changes nothing more",
        "step 8: plain(what='c'), done; if it is asked for again, a human is asked first"]
    with pytest.raises(RequestOpen, match=r"plain\(what='c'\)\? It was made already: r1, step 8\..*\.approve\(\) to make it again"): asyncio.run(fork.wait())
    assert done == [("look", "a"), ("look", "b")], "what the same key gave before is not asked for again"
    kept = next(s.body for s in fork.steps if s.kind == "tool" and s.body.tool == "keyed")
    assert (kept.source, kept.content) == ("ledger", "did b") and [s.body.key for s in fork.steps if s.kind == "intent"] == keys[:1]
    again = make(store=run.store).load(fork.run_id)
    assert again.side_effects_after_cut == fork.side_effects_after_cut
    second = again.fork(at=2)
    assert [e.call.tool for e in second.side_effects_after_cut] == ["keyed", "keyed", "plain"]
    again.pending[0].approve()
    assert asyncio.run(again.wait()) == "all done" and done[-1] == ("plain", "c")


@pytest.mark.parametrize("unattended", ["approve", "reject"])
def test_a_policy_of_one_word_does_not_repeat_an_effect(run, unattended):
    fork = Agent(Scripted(SCRIPT), [look, keyed, plain], store=run.store, unattended=unattended).load("r1").fork(at=0)
    while not (fork.pending and fork.pending[0].request.about == "repeat"):
        try: asyncio.run(fork.wait())
        except RequestOpen: pass
        if fork.tip.status == "done": break
    assert ("plain", "c") not in done
    assert fork.tip.requests if unattended == "approve" else True


def test_a_policy_that_denies_still_denies(run):
    strict = make(store=run.store, policy=[Rule(tool="plain", effect="deny"), Rule(effect="allow")])
    fork = strict.load("r1").fork(at=0)
    assert asyncio.run(fork.wait()) == "all done" and ("plain", "c") not in done


def test_forks_with_other_parts(run):
    polite = run.fork(at=0, model=Scripted(["good day"], name="other"), instructions="Be polite.", tools=[look])
    assert polite.tip.instructions == "Be polite." and polite.tip.model == "other" and list(polite.tip.tools) == ["look"]
    assert [s.kind for s in polite.steps] == ["started", "started", "edit"] and asyncio.run(polite.wait()) == "good day"
    given = run.at(0).state.model_copy(update=dict(messages=(user("say hello"),), max_iterations=3))
    other = run.fork(at=0, state=given, model=Scripted(["hello"]))
    assert other.tip.messages == given.messages and other.tip.max_iterations == 3 and asyncio.run(other.wait()) == "hello"
    assert run.tip.status == "done" and [s.run_id for s in run.steps] == ["r1"] * len(run.steps)


def test_live_is_a_fork_in_the_past_and_the_run_itself_at_its_end(run):
    assert run.live() is run
    with pytest.raises(RunConflict, match="run r1 is looked at after step 2 of .*makes a fork"): run.at(2).edit(max_iterations=50)
    fork = run.at(4).live()
    assert fork.tip.parent.run_id == "r1" and fork.tip.parent.index == 2


def test_a_line_of_forks_is_read_through(run):
    last = run
    for i in range(30): last = last.fork(run_id=f"g{i}")
    assert make(store=run.store).load("g29").tip == last.tip and len(last.steps) == len(run.steps) + 30
    early = last.fork(at=2, run_id="early")
    assert list(read_run(run.store, "early"))[:3] == run.steps[:3] and make(store=run.store).load("early").tip == early.tip
    assert "early  after step 2" in str(lineage(run.store)[0])


def test_a_key_is_the_same_until_the_call_has_succeeded():
    keys, fail = [], [True, False, False]

    @tool(idempotent=True)
    def send(what: str, context: Context) -> str:
        keys.append(context.idempotency_key)
        if fail.pop(0): raise RuntimeError("the line is down")
        return "sent"
    script = [call("send", what="x")] * 3 + ["done"]
    asyncio.run(Agent(Scripted(script), [send], store="memory:", policy=[Rule(effect="allow")]).run("go").wait())
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("messages, text", [
    ([user("go"), assistant("", call("look", where="a"))], "the last message calls look and has no result"),
    ([user("go"), assistant("", call("look", where="a")), user("well?")], "message 2: look was called before it and has no result"),
    ([user("go"), Message(role="tool", call_id="c9", content="yes")], "message 1 answers the call 'c9', which is not asked for before it"),
])
def test_an_edit_that_no_provider_would_take_is_refused(run, messages, text):
    before = list(run.steps)
    with pytest.raises(ValueError, match=text): run.edit(messages=messages)
    assert run.steps == before


def test_an_edit_of_the_definition_lasts(run):
    run.edit(instructions="Be brief.", model=Scripted(SCRIPT + ["brief"], name="short"), messages=[*run.tip.messages, user("and?")])
    assert asyncio.run(run.wait()) == "brief"
    again = make(SCRIPT + ["brief", "on"], store=run.store).load("r1")
    assert again.tip.instructions == "Be brief."
    again.edit(messages=[*again.tip.messages, user("and then?")])
    asyncio.run(again.wait())
    assert again.tip.instructions == "Be brief." and [s.body.text for s in again.steps if s.kind == "note"] == ["model short -> scripted"]
    with pytest.raises(AgentMismatch, match="open call of look"):
        held = make().run("go")
        asyncio.run(held.until(kind="model"))
        held.edit(tools=[plain])


CELLS = """
from agentnb import *
@tool(read_only=True)
def look(where: str) -> str: return "old"
agent = Agent(Scripted([call("look", where="a"), call("look", where="b"), "done"]), [look], store="memory:", instructions="old")
run = agent.run("go", run_id="r1")
""", """
@tool(read_only=True)
def look(where: str) -> str:
    "Look again"
    return "new"
""", """
agent = Agent(Scripted([call("look", where="a"), call("look", where="b"), "done"]), [look], store=run.store, instructions="new")
"""


def test_cells_that_are_run_again_count_from_the_next_step():
    "As in a notebook: each cell is executed in the same names"
    names = {"__name__": "__main__"}
    cells = [compile(textwrap.dedent(c), f"<cell {i}>", "exec") for i, c in enumerate(CELLS)]
    exec(cells[0], names)
    run = names["run"]
    asyncio.run(run.until(kind="tool"))
    exec(cells[1], names)
    asyncio.run(run.until(kind="tool"))
    assert [m.content for m in run.tip.messages if m.role == "tool"] == ["old", "new"]
    exec(cells[2], names)
    assert asyncio.run(run.wait()) == "done" and run.tip.instructions == "new"
    notes = [s.body.text for s in run.steps if s.kind == "note"]
    assert len(notes) == 2 and notes[0].startswith("tool look (") and notes[1] == "instructions"
    assert names["agent"].load("r1").tip == run.tip == open_store(run.store).restore("r1")


def test_a_change_of_the_body_alone_is_noticed(tmp_path, monkeypatch):
    "By the digest of the source, which the model does not see"
    import importlib
    monkeypatch.syspath_prepend(tmp_path)
    source = "from agentnb import tool\n@tool(read_only=True)\ndef peek() -> str: return '{}'\n"
    (tmp_path/"mytools.py").write_text(source.format("one"))
    import mytools
    first = Agent(Scripted([call("peek"), call("peek"), "done"]), [mytools.peek], store="memory:")
    run = first.run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    (tmp_path/"mytools.py").write_text(source.format("other"))
    importlib.invalidate_caches()
    importlib.reload(mytools)
    again = Agent(Scripted([call("peek"), call("peek"), "done"]), [mytools.peek], store=first.store).load("r1")
    assert asyncio.run(again.wait()) == "done"
    assert [s.body.text.split(" (")[0] for s in again.steps if s.kind == "note"] == ["tool peek"]
    assert [m.content for m in again.tip.messages if m.role == "tool"] == ["one", "other"]


def paying(store, during=lambda: None):
    @tool
    def pay(what: str) -> str:
        done.append(("pay", what))
        during()
        return "paid"
    return Agent(Scripted(lambda messages, tools: call("pay", what="x") if messages[-1].role == "user" else "done"), [pay], store=store,
        policy=[Rule(effect="allow")])


def test_a_call_that_is_taken_out_while_it_may_have_happened_is_not_made_again_without_a_word(tmp_path):
    store, stops = f"sqlite:///{tmp_path}/runs.db", []
    done.clear()

    def during():
        if stops: stops.pop()()
    run = paying(store, during).run("go", run_id="r1")

    async def stopped_in_the_middle():
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(run.engine.task.cancel))
        await run
    with pytest.raises(asyncio.CancelledError): asyncio.run(stopped_in_the_middle())
    again = paying(store).load("r1")
    again.edit(messages=[user("another way")])
    with pytest.raises(RequestOpen, match=r"pay\(what='x'\)\? It may have been made already: it was under way when it was taken out by agent/r1/step_3"):
        asyncio.run(again.wait())
    assert done == [("pay", "x")]
    again.pending[0].answer("It was paid.")
    assert asyncio.run(again.wait()) == "done" and done == [("pay", "x")]


def test_another_process_cannot_edit_what_is_going_on():
    store = open_store("memory:")
    store.hold("r1", "elsewhere/1/2/x", 60)
    run = make(store=store).run("go", run_id="r1")
    with pytest.raises(RunConflict, match="run r1 is going on by process 1 on elsewhere"): run.edit(max_iterations=3)
    assert store.read("r1") == [] and [lease.holder for lease in store.leases()] == ["elsewhere/1/2/x"]


def test_a_run_of_another_agent_is_not_gone_on_with_by_mistake(run):
    other = Agent(Scripted(["mine now"]), name="other", store=run.store)
    with pytest.raises(AgentMismatch, match="run r1 was begun by the agent 'agent', and this one is 'other'.*load.*anyway=True"): other.load("r1")
    assert other.load("r1", anyway=True).tip == run.tip


@pytest.mark.parametrize("build, text", [
    (lambda: make(instructions=["x"]), "Agent.instructions: Input should be a valid string, got .'x'."),
    (lambda: make(name=5), "Agent.name: Input should be a valid string, got 5"),
    (lambda: make(budget=1.0), "Agent.budget: .*got 1.0"),
    (lambda: make(policy=["allow"]), "policy: 'allow' is no Rule. Write Rule"),
    (lambda: Agent(Scripted([]), look), "tools are a list of tools or functions"),
    (lambda: Agent(Scripted([]), ["look"]), "'look' is no tool. Give the function itself"),
    (lambda: Scripted("hello"), "a script is a list of replies: Scripted..'hello'..")])
def test_a_wrong_type_is_told_before_anything_is_written(build, text):
    with pytest.raises(TypeError, match=text): build()


@pytest.mark.parametrize("change, text", [
    (lambda r: r.edit(), "nothing is edited. What can be: max_iterations, budget, messages"),
    (lambda r: r.edit(temperature=1), "Run.edit has no `temperature`: it is said once, with Agent.ask=Ask.temperature=1"),
    (lambda r: r.edit(max_iterations=-1), "max_iterations: Input should be greater than or equal to 0, got -1"),
    (lambda r: r.edit(messages=[{"role": "user"}]), "message 0 is {'role': 'user'}: write user"),
    (lambda r: r.edit(messages=user("x")), "messages are a list"),
    (lambda r: r.at(2.5), "a step is named by a whole number, not by 2.5"),
    (lambda r: r.fork(at="3"), "a step is named by a whole number, not by '3'"),
    (lambda r: r.fork(state="x"), "state is a State, as run.at.3..state"),
    (lambda r: r.fork(run_id="r1"), "has a run r1 already. Choose another run_id for the fork"),
    (lambda r: asyncio.run(r.until(kind="tol")), "no step is of the kind 'tol'. Kinds: started, model"),
    (lambda r: asyncio.run(r.until(tool="serach")), "run r1 has no tool 'serach'. It has look, keyed, plain"),
    (lambda r: asyncio.run(r.fork_many(instructions="careful")), "instructions is a list with one entry a branch: instructions=.'careful'.")])
def test_a_mistake_is_told_and_changes_nothing(run, change, text):
    before = list(run.steps)
    with pytest.raises((TypeError, ValueError, IndexError, RunConflict), match=text): change(run)
    assert run.steps == before == list(read_run(run.store, "r1")) and run.store.runs() == ["r1"]


def test_agents_made_in_a_loop_keep_their_runs():
    names, code = {"__name__": "__main__"}, """
from agentnb import *
runs, store = [], open_store("memory:")
for name in ("a", "b", "c"):
    agent = Agent(Scripted([f"said by {name}"], name=name), store=store)
    runs.append(agent.run("go"))
"""
    exec(compile(code, "<cell 1>", "exec"), names)
    assert [asyncio.run(r.wait()) for r in names["runs"]] == ["said by a", "said by b", "said by c"]


def test_one_call_is_aborted_while_another_is_made():
    "A result whose call is gone is a note: no call has two answers"
    async def both():
        gate = asyncio.Event()

        @tool
        async def act(what: str) -> str:
            await gate.wait()
            return f"did {what}"
        run = Agent(Scripted([[call("act", what="a"), call("act", what="b")], "done"]), [act], store="memory:").run("go")
        await run.until()
        first, second = run.pending
        first.approve()
        going = asyncio.ensure_future(run.until())
        while run.steps[-1].kind != "intent": await asyncio.sleep(0.01)
        second.abort("enough")
        gate.set()
        await going
        return run
    run = asyncio.run(both())
    answers = [(m.call_id, str(m.failure)[19:]) for m in run.tip.messages if m.role == "tool"]
    assert answers == [("c1.0", "It is not known whether this call was made: the run was stopped."), ("c1.1", "This call was not made: the run was stopped.")]
    assert [s.body.text for s in run.steps if s.kind == "note"] == ["the result of act came when its call was gone: did a"]


def test_a_result_closes_the_question_whether_it_happened():
    async def both():
        gate = asyncio.Event()

        @tool
        async def act() -> str:
            await gate.wait()
            return "did it"
        mine = Agent(Scripted([call("act"), "done"]), [act], store="memory:", policy=[Rule(effect="allow")])
        run = mine.run("go", run_id="r1").start()
        while not run.steps or run.steps[-1].kind != "intent": await asyncio.sleep(0.01)
        other = mine.load("r1")
        mine.store._run(("DELETE FROM leases", ()))
        with pytest.raises(RequestOpen, match="Did act.. happen"): await other
        gate.set()
        while run.active: await asyncio.sleep(0.01)
        return run
    run = asyncio.run(both())
    run.log.refresh()
    assert not run.tip.requests and [m.content for m in run.tip.messages if m.role == "tool"] == ["did it"]


def test_a_provider_that_uses_its_ids_again():
    "Calls are told apart all the same: effects, keys and answers"
    c = lambda name, **args: call(name, **args).model_copy(update={"id": "call_0"})
    agent = make([c("plain", what="a"), c("plain", what="b"), "done"])
    run = agent.run("go", run_id="r1")
    asyncio.run(run.wait())
    ids = [c.id for m in run.tip.messages for c in m.calls]
    assert len(set(ids)) == 2 and ids == [m.call_id for m in run.tip.messages if m.role == "tool"]
    assert [e.call.args["what"] for e in run.fork(at=0).side_effects_after_cut] == ["a", "b"]


def test_looking_at_a_fork_does_not_change_what_it_knows():
    agent = make([call("plain", what="x"), "done"])
    run = agent.run("go", run_id="r1")
    asyncio.run(run.step())
    fork = run.fork()
    assert "0 effects behind" in repr(fork)
    asyncio.run(run.wait())
    with pytest.raises(RequestOpen, match="It was made already: r1, step 2"): asyncio.run(fork.wait())


def test_a_fork_from_a_state_with_an_open_call_has_an_answer_to_it():
    run = make([call("plain", what="x"), "done"]).run("go", run_id="r1")
    asyncio.run(run.until(kind="model"))
    fork = run.fork(at=0, state=run.tip)
    assert [str(m.failure) for m in fork.tip.messages if m.role == "tool"] == [
        "permission_denied: This call was not made: the conversation went on in another run."]


def test_a_failing_store_is_told_to_all_that_write_together(tmp_path):
    import sqlite3
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    store._db.execute("PRAGMA busy_timeout = 300")
    agent = make(["done"], store=store)

    async def all_of_them():
        runs = [agent.run("go") for _ in range(20)]
        await asyncio.gather(*(r.step() for r in runs))
        other = sqlite3.connect(tmp_path/"runs.db", isolation_level=None)
        blocked = [asyncio.ensure_future(r.engine.go(lambda _: False)) for r in runs]
        await asyncio.sleep(0)
        other.execute("BEGIN IMMEDIATE")
        said = await asyncio.gather(*blocked, return_exceptions=True)
        other.execute("ROLLBACK")
        return said, [await r for r in runs]
    said, results = asyncio.run(all_of_them())
    assert any("locked" in str(e) for e in said) and results == ["done"] * 20
