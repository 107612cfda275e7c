"The plan of a run: made by a model, changed by a person, told, recorded, carried on"
import asyncio, json

import pytest
from hypothesis import given, strategies as st

from agentnb import Agent, Budget, Call, Human, Plan, Rule, Scripted, Task, ToolError, call, diff, open_store, tool, update_plan
from agentnb.wrappers.bounds import TokenMeter
from agentnb.tools.tool import ToolDefinitionError
from agentnb.ui.acts import ACTS
from agentnb.views.states import state_changes, state_parts


def planner(*script, **given): return Agent(Scripted([*script]), [update_plan], store="memory:", **given)


def go(run): return asyncio.run(run.wait())


@st.composite
def plans(draw):
    "Tasks in any order, each waiting for some of those that were drawn before it"
    size = draw(st.integers(0, 8))
    tasks = [dict(id=f"t{i}", text=draw(st.text(min_size=1, max_size=20)), after=[f"t{j}" for j in draw(st.sets(st.integers(0, i - 1))) if i] if i else [])
        for i in range(size)]
    return Plan(goal=draw(st.text(max_size=10)), tasks=draw(st.permutations(tasks)))


@given(plans())
def test_a_plan_can_be_followed_to_its_end(plan):
    "There is always a task to begin, and none is begun before those it waits for"
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    over = set()
    while plan.ready:
        task = plan.ready[-1]
        assert over.issuperset(task.after)
        plan = plan.update_task(task.id, status="done")
        over.add(task.id)
    assert len(over) == len(plan.tasks)


@given(plans(), st.data())
def test_a_circle_is_refused(plan, data):
    waiting = [t for t in plan.tasks if t.after]
    if not waiting: return
    task = data.draw(st.sampled_from(waiting))
    with pytest.raises(ValueError, match="wait for each other"): plan.update_task(task.after[0], after=[task.id])


@pytest.mark.parametrize("tasks, words", [
    ([dict(id="a", text="x"), dict(id="a", text="y")], "two tasks have the id 'a'"), ([dict(text="x", after=["z"])], "task '1' waits for 'z'"),
    ([dict(text="")], "at least 1 character"), ([dict(text="x", status="finished")], "'open', 'doing', 'done' or 'dropped'"),
    ([dict(text="x", by="me")], "by")])
def test_a_wrong_plan_is_refused_in_words(tasks, words):
    with pytest.raises(ValueError, match=words): Plan(tasks=tasks)
    run = planner(call("update_plan", plan=dict(tasks=tasks)), "Done.").run("go")
    go(run)
    assert run.state.messages[2].failure.kind == "invalid_input" and not run.state.plan.tasks


def test_ids_that_are_missing_are_numbers_that_are_free():
    assert [t.id for t in Plan(tasks=["a", dict(id="2", text="b"), "c", "d"]).tasks] == ["1", "2", "3", "4"]


def test_the_model_is_told_once_and_the_conversation_keeps_it():
    heard = []

    def say(messages, tools):
        heard.append([m.content for m in messages if m.role == "user"])
        return call("update_plan", plan=["Look", "Fix"]) if len(heard) == 1 else call("update_plan", plan=["Look"]) if len(heard) == 2 else "Done."
    run = Agent(Scripted(say), [update_plan], store="memory:").run("go", plan=["Think"])
    asyncio.run(run.until(kind="tool"))
    run.edit(plan=["Fix first"])
    go(run)
    assert heard == [["The plan is:\n1. open: Think", "go"]] + [["The plan is:\n1. open: Think", "go", "The plan is:\n1. open: Fix first"]] * 2
    assert [m.role for m in run.state.messages] == ["user", "user", "assistant", "tool", "user", "assistant", "tool", "assistant"]
    assert [t.text for t in run.state.plan.tasks] == ["Look"]


def test_with_a_call_open_the_change_is_told_after_its_result():
    run = planner(call("update_plan", plan=["Restart"]), "Done.").run("go")
    asyncio.run(run.until(kind="model"))
    run.edit(plan=["Ask first"])
    go(run)
    assert [m.role for m in run.state.messages] == ["user", "assistant", "tool", "user", "assistant"]
    assert str(run.state.plan) == "1. open: Ask first" == run.state.messages[3].content.removeprefix("The plan is:\n")


def test_the_log_rebuilds_the_plan(tmp_path):
    store = f"sqlite:///{tmp_path}/runs.db"
    agent = Agent(Scripted([call("update_plan", plan=["Look", "Fix"]), "Done."]), [update_plan], store=store)
    run = agent.run("go")
    asyncio.run(run.until(kind="tool"))
    run.edit(plan=run.state.plan.update_task("1", status="done"))
    assert agent.load(run.run_id).state == run.state == open_store(store).restore(run.run_id)
    assert str(run.diff()) == str(diff(run.state_at(run.place - 1), run.state)) and "- plan.1: open: Look\n+ plan.1: done: Look" in str(run.diff())
    assert json.loads(run.steps[-1].body.model_dump_json(exclude_defaults=True))["plan"]["tasks"][0]["status"] == "done"
    again = agent.load(run.run_id)
    go(again)
    assert again.state.plan.tasks[0].status == "done" and not again.state.plan_unsent


def test_a_fork_and_a_run_from_a_state_take_the_plan_along():
    agent = planner(call("update_plan", plan=["Look", "Fix"]), "Done.", "Done again.", "And again.")
    run = agent.run("go")
    go(run)
    assert run.fork().state.plan == run.state.plan
    assert not run.fork(at=0).state.plan.tasks and run.fork(at=0, state=run.state).state.plan == run.state.plan
    assert not run.fork(state=run.state_at(0)).state.plan.tasks
    other = agent.run(run.state_at(2))
    assert go(other) and other.state.plan == run.state.plan and [m.role for m in other.state.messages] == ["user", "assistant", "tool", "assistant"]
    newer = agent.run(run.state_at(2), plan=["Fix"])
    assert go(newer) and str(newer.state.plan) == "1. open: Fix" and newer.state.messages[-2].content == "The plan is:\n1. open: Fix"


def test_what_is_no_plan_does_not_become_one():
    @tool(read_only=True)
    def guess() -> Plan: return "later"  # type: ignore[return-value]
    run = Agent(Scripted([call("guess"), "Done."]), [guess], store="memory:").run("go", plan=["Look"])
    go(run)
    assert "guess has to return a Plan. this is no plan" in str(run.state.messages[3].failure) and str(run.state.plan) == "1. open: Look"


def test_a_human_may_answer_with_a_plan_and_with_nothing_else():
    run = planner(call("update_plan", plan=["Restart everything"]), "Done.", policy=[Rule(tool="update_plan", effect="ask")]).run("go")
    asyncio.run(run.until())
    with pytest.raises(ToolError, match="the answer is the run's plan, and this is no plan"): run.pending[0].answer("no")
    run.pending[0].answer('["Restart one pod"]')
    go(run)
    assert str(run.state.plan) == "1. open: Restart one pod"


def test_lines_of_the_state_are_edited_and_shown():
    run = planner(call("update_plan", plan=dict(goal="Fast again", tasks=["Look", dict(text="Fix", after=["1"])])), "Done.").run("go")
    asyncio.run(run.until(kind="tool"))
    ACTS["edit"](run, dict(path="plan.1", text="done: Look hard"))
    ACTS["edit"](run, dict(path="plan.2", text="Fix it"))
    ACTS["edit"](run, dict(path="goal", text="Fast"))
    assert str(run.state.plan) == "Goal: Fast\n1. done: Look hard\n2. open: Fix it"
    ACTS["edit"](run, dict(path="plan", text='{"1": "done: Look hard", "3": "Tell (after 1)"}'))
    assert str(run.state.plan) == "Goal: Fast\n1. done: Look hard\n3. open: Tell (after 1)"
    before = run.state
    for path, text in (("plan", "Look"), ("plan", '["Look"]'), ("plan.1", ""), ("plan.9", "Look"), ("plan.1", "Look (after 7)")):
        with pytest.raises(ValueError): ACTS["edit"](run, dict(path=path, text=text))
    assert run.state == before and "Tell (after 1)" in run._repr_html_()


def test_an_edit_that_is_no_plan_says_so_and_changes_nothing():
    run = planner("Done.").run("go")
    with pytest.raises(ValueError, match="this is no plan: task '1' waits for 'x', which is none"): run.edit(plan=[dict(text="Look", after=["x"])])
    with pytest.raises(ValueError, match="this is no plan: Input should be"): run.edit(plan="Look")
    with pytest.raises(ValueError, match="this is no plan: two tasks have the id '1'"): planner("Done.").run("go", plan=[dict(id="1", text="a")] * 2)
    assert not run.state.plan.tasks and not planner("Done.").run("go", plan=None).state.plan.tasks


def test_what_was_not_told_is_told_by_the_run_that_goes_on_from_a_state():
    heard = []

    def say(messages, tools):
        heard.append([m.content for m in messages if m.role == "user"])
        return call("update_plan", plan=["Look"]) if len(heard) == 1 else "Done."
    agent = Agent(Scripted(say), [update_plan], store="memory:")
    run = agent.run("go")
    asyncio.run(run.until(kind="tool"))
    run.edit(plan=[])
    other, fork = agent.run(run.state), run.fork()
    go(other), go(fork)
    assert heard[1:] == [["go", "The plan is:\nnothing is planned"]] * 2
    early = run.fork(state=run.state_at(0).model_copy(update=dict(plan=Plan(tasks=["Ask"]), plan_unsent=True)))
    go(early)
    assert heard[-1] == ["go", "The plan is:\n1. open: Ask"]


def test_a_goal_alone_is_told():
    run = planner("Done.").run("go", plan=Plan(goal="be fast"))
    go(run)
    assert [m.content for m in run.state.messages] == ["The plan is:\nGoal: be fast", "go", "Done."]


def test_a_later_word_of_a_person_counts_more_than_an_earlier_one():
    ask = [Rule(tool="update_plan", effect="ask")]
    for decide, plan in ((lambda p: p.answer('["C"]'), "C"), (lambda p: p.approve(args=dict(plan=["C"])), "C"), (lambda p: p.approve(), "B")):
        run = planner(call("update_plan", plan=["A"]), "Done.", policy=ask).run("go")
        asyncio.run(run.until())
        run.edit(plan=["B"])
        decide(run.pending[0])
        go(run)
        assert str(run.state.plan) == f"1. open: {plan}"


def test_a_person_who_is_the_model_reads_the_plan_and_is_told_once():
    agent = Agent(Human(), store="memory:")
    run = agent.run("What next?")
    asyncio.run(run.until(kind="started"))
    run.edit(plan=["Look"])
    asyncio.run(run.until())
    assert run.pending[0].request.question == "What next?\nThe plan is:\n1. open: Look"
    run.pending[0].answer("ok")
    go(run)
    assert [m.content for m in run.state.messages] == ["What next?", "The plan is:\n1. open: Look", "ok"] and not run.state.plan_unsent
    assert Agent(Human(), store="memory:").run("What next?", plan=["Look"]).engine.first_body.messages[-1].content == "What next?"


@pytest.mark.parametrize("bad", [["a"], {}, "a, b", "(a)"])
def test_an_id_that_cannot_be_is_a_failure_and_not_a_crash(bad):
    run = planner(call("update_plan", plan=dict(tasks=[dict(id=bad, text="x")])), "Done.").run("go")
    assert go(run) == "Done." and run.state.messages[2].failure.kind == "invalid_input"
    with pytest.raises(ValueError, match="this is no plan: tasks.0.id"): run.edit(plan=[dict(id=bad, text="x")])


def test_numbers_are_ids():
    run = planner(call("update_plan", plan=dict(tasks=[dict(id=1, text="a"), dict(id=2, text="b", after=[1])])), "Done.").run("go")
    go(run)
    assert str(run.state.plan) == "1. open: a\n2. open: b (after 1)"


def test_a_budget_counts_the_plan_that_is_told():
    made = planner(call("update_plan", plan=["A"]), "Done.", budget=Budget(tokens=10**6))
    run = made.run("go")
    asyncio.run(run.until(kind="tool"))
    before = TokenMeter().tokens(run.state.messages_for_model)
    run.edit(plan=["x" * 4000])
    run.engine.meter = None
    asyncio.run(run.step())
    assert run.engine.meter._message_tokens >= before + 1000


def test_the_order_of_a_reply_counts():
    @tool(read_only=True)
    async def slow() -> Plan:
        await asyncio.sleep(0.1)
        return Plan(tasks=["slow"])

    @tool(read_only=True)
    def quick() -> Plan: return Plan(tasks=["quick"])
    run = Agent(Scripted([(call("slow"), call("quick")), "Done."]), [slow, quick], store="memory:").run("go")
    go(run)
    assert str(run.state.plan) == "1. open: quick"


def test_a_tool_that_may_return_no_plan_is_refused():
    def guess() -> Plan | None: return None
    with pytest.raises(ToolDefinitionError, match="it may return a Plan or something else"): tool(guess)


def test_lines_that_nobody_touched_stay_as_they_are():
    run = planner("Done.").run("go", plan=[dict(id="1", text="Look (after lunch)"), "Fix\nit"])
    asyncio.run(run.step())
    ACTS["edit"](run, dict(path="plan", text=json.dumps(dict(state_parts(run.state)["plan"], **{"2": "done: Fix"}))))
    assert run.state.plan.tasks == (Task(id="1", text="Look (after lunch)"), Task(id="2", text="Fix", status="done"))
    ACTS["edit"](run, dict(path="plan.1", text="open: Look (after lunch)"))
    assert run.state.plan.tasks[0].text == "Look (after lunch)"
    with pytest.raises(ValueError, match="at least 1 character"): ACTS["edit"](run, dict(path="plan.1", text="open:"))
    two = run.state.plan.tasks
    run.edit(plan=two[::-1])
    assert "plan" in state_changes(run.state, run.state_at(run.place - 1)) and "order" in str(run.diff())


def test_changing_what_a_request_shows_does_not_change_the_script():
    @tool
    def restart(service: str) -> str: return service
    agent = Agent(Scripted([Call(id="a1", tool="restart", args={"service": "a"}), "Done."]), [restart], store="memory:")
    for _ in range(2):
        run = agent.run("go")
        asyncio.run(run.until())
        args = run.pending[0].request.call.args
        assert args == {"service": "a"}
        args["service"] = "b"
