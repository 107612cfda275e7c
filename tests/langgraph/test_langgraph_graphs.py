"""An agent as a LangGraph graph, and LangGraph graphs as runs: what is done, how often, and what is left after a crash.

Every node writes a line to a file or a list, so effects are counted from outside of both LangGraph and agentnb.
"""
# ruff: noqa: E402
import asyncio, json, operator, sqlite3, subprocess, sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from needs import need_modules
from places import child_env, on_path

need_modules("langgraph")

from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool as lc_tool
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent
from langgraph.types import Command, Send, interrupt

from agentnb import Agent, ModelError, RequestOpen, Rule, RunConflict, RunStopped, Scripted, StoreError, Ticks, assistant, call, open_store, tool, user
from agentnb.langgraph.graphs import to_langgraph
from agentnb.langgraph.held import hold
from agentnb.langgraph.langchain import from_langchain, to_langchain
from agentnb.core.messages import Call, Failure, Message, Native
from agentnb.core.state import fold
from agentnb.views.html import run_html
from agentnb.ui.stepper import head_of, page_of, rows_of

pytestmark = pytest.mark.filterwarnings("ignore:create_react_agent")


class Fake(BaseChatModel):
    "Says what its script says after so many of its own messages"
    script: list[Any]
    @property
    def _llm_type(self): return "fake"
    def bind_tools(self, tools, **_): return self
    def _generate(self, messages, stop=None, run_manager=None, **_):
        said = self.script[sum(isinstance(m, AIMessage) for m in messages)]
        if callable(said): said = said(messages)
        usage = dict(input_tokens=10, output_tokens=5, total_tokens=15)
        message = AIMessage(said) if isinstance(said, str) else AIMessage("", tool_calls=[dict(name=n, args=a, id=f"c{i}") for i, (n, a) in enumerate(said)])
        return ChatResult(generations=[ChatGeneration(message=message.model_copy(update=dict(usage_metadata=usage)))])


def thread(name="t1"): return dict(configurable=dict(thread_id=name))
def savers(tmp_path): return SqliteSaver(sqlite3.connect(tmp_path/"lg.db", check_same_thread=False))
def kinds(run): return [s.kind for s in run.steps]
def nodes(run): return [s.body.tool for s in run.steps if s.kind == "note"]


# --- an agent as a graph

def restarting(script, store="memory:", **options):
    done = []
    @tool
    def restart(service: str) -> str:
        done.append(service)
        return f"{service} restarted"
    return done, Agent(Scripted(script), [restart], store=store, **options)


both = [[call("restart", service="a"), call("restart", service="b")], "Both are up.", "You are welcome."]


@pytest.fixture(params=["memory", "sqlite"])
def saver(request, tmp_path): return InMemorySaver() if request.param == "memory" else savers(tmp_path)


def test_an_agent_asks_through_interrupts_and_acts_once(saver):
    done, agent = restarting(both)
    graph = to_langgraph(agent, saver)
    asked = graph.invoke(dict(task="go"), thread())["__interrupt__"][0].value
    assert json.loads(json.dumps(asked)) == asked and asked["call"] == dict(tool="restart", args=dict(service="a"))
    assert asked["about"] == "approve" and [r["request_id"] for r in asked["others"]] == ["q3"]
    left = graph.invoke(Command(resume=dict(q2="approve")), thread())
    assert left["__interrupt__"][0].value["request_id"] == "q3" and done == ["a"]
    end = graph.invoke(Command(resume=dict(verdict="reject", message="not b")), thread())
    assert (end["status"], end["result"], done) == ("done", "Both are up.", ["a"])
    assert [m.type for m in end["messages"]] == ["human", "ai", "tool", "tool", "ai"] and end["messages"][3].status == "error"
    run = agent.load(end["run_id"])
    assert [m.content for m in run.state.messages if m.role == "assistant"] == ["", "Both are up."] and not {*kinds(run)} & {"edit", "note"}


@pytest.mark.parametrize("wrong, text", [("aprove", "'aprove' does not answer request q2"), (dict(verdict="yes"), "does not answer request q2"),
    (dict(q9="approve"), "no request q9 in run"), (dict(verdict="approve", args=dict(servise="x")), "invalid_input"), (dict(verdict="answer"), "needs words"),
    (7, "7 does not answer request q2")])
def test_a_wrong_answer_is_refused_and_the_next_one_counts(saver, wrong, text):
    done, agent = restarting([call("restart", service="a"), "Up."])
    graph = to_langgraph(agent, saver)
    graph.invoke(dict(task="go"), thread())
    for _ in range(2):
        with pytest.raises(ValueError, match=text): graph.invoke(Command(resume=wrong), thread())
    assert done == [] and graph.get_state(thread()).interrupts
    assert graph.invoke(Command(resume=dict(verdict="approve", args=dict(service="b"))), thread())["result"] == "Up." and done == ["b"]


def test_answers_to_several_at_once_and_an_unclear_one(saver):
    done, agent = restarting(both)
    graph = to_langgraph(agent, saver)
    graph.invoke(dict(task="go"), thread())
    with pytest.raises(ValueError, match="2 requests are open: q2, q3"): graph.invoke(Command(resume="approve"), thread())
    with pytest.raises(ValueError, match="does not answer request q3"): graph.invoke(Command(resume=dict(q2="approve", q3="maybe")), thread())
    assert done == [] and len(agent.load(graph.get_state(thread()).values["run_id"]).pending) == 2, "a half right answer changes nothing"
    assert graph.invoke(Command(resume=dict(q3="approve", q2="approve")), thread())["status"] == "done" and done == ["a", "b"]


def test_an_answer_in_words_and_an_abort(saver):
    done, agent = restarting(both)
    graph = to_langgraph(agent, saver)
    graph.invoke(dict(task="go"), thread())
    end = graph.invoke(Command(resume=dict(q2=dict(verdict="answer", message="did it myself"), q3="abort")), thread())
    assert end["status"] == "stopped" and end["reason"] == "aborted" and done == []
    assert [m.content for m in end["messages"] if m.type == "tool"][0] == "did it myself"


def test_a_request_that_was_decided_elsewhere_is_not_decided_again(saver):
    done, agent = restarting([call("restart", service="a"), "Up."])
    graph = to_langgraph(agent, saver)
    run_id = graph.invoke(dict(task="go"), thread())["run_id"]
    agent.load(run_id).pending[0].reject("no")
    end = graph.invoke(Command(resume="approve"), thread())
    assert end["status"] == "done" and done == []


async def stream_and_speak_on(agent, saver):
    graph = to_langgraph(agent, saver)
    seen = [s["body"]["kind"] async for s in graph.astream(dict(messages=[HumanMessage("go")]), thread(), stream_mode="custom")]
    assert seen == ["started", "model", "request", "request"]
    first = await graph.ainvoke(Command(resume=dict(q2="approve", q3="approve")), thread())
    return first, await graph.ainvoke(dict(messages=[dict(role="user", content="Thank you")]), thread())


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_async_stream_and_the_next_message(where, tmp_path):
    done, agent = restarting(both)
    async def in_a_file():
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path/"lg.db")) as saver: return await stream_and_speak_on(agent, saver)
    first, second = asyncio.run(in_a_file() if where == "sqlite" else stream_and_speak_on(agent, InMemorySaver()))
    assert second["result"] == "You are welcome." and second["run_id"] != first["run_id"] and len(second["messages"]) == 7 and done == ["a", "b"]
    assert len({m.id for m in second["messages"]}) == 7 and agent.load(second["run_id"]).task == "Thank you"


def test_a_message_while_a_request_is_open_ends_the_run_before(saver):
    done, agent = restarting([[call("restart", service="a")], "Then not."])
    graph = to_langgraph(agent, saver)
    first = graph.invoke(dict(task="go"), thread())["run_id"]
    end = graph.invoke(dict(task="Leave it"), thread())
    assert end["result"] == "Then not." and done == [] and agent.load(first).status == "stopped"
    told = agent.load(end["run_id"]).state.messages
    assert [m.role for m in told] == ["user", "assistant", "tool", "user", "assistant"] and "the run was stopped" in str(told[2].failure)


def test_what_a_run_did_before_it_broke_off_is_told_in_the_next_one(saver):
    def script(messages, tools):
        if len(messages) == 1: return call("restart", service="a")
        if len(messages) == 3: raise ModelError("connection", "broken off")
        return f"I know: {messages[2].content}."
    done, agent = restarting(script, policy=[Rule(effect="allow")])
    graph = to_langgraph(agent, saver)
    with pytest.raises(ModelError): graph.invoke(dict(task="go"), thread())
    end = graph.invoke(dict(task="And now?"), thread())
    assert end["result"] == "I know: a restarted." and done == ["a"] and [m.type for m in end["messages"]] == ["human", "ai", "tool", "human", "ai"]


def test_a_node_that_is_begun_again_does_nothing_twice(saver):
    "A model that breaks off: LangGraph runs the node again from its top, and the run goes on where it was"
    fails = [ModelError("connection", "broken off")]
    def script(messages, tools):
        if messages[-1].role == "user": return call("restart", service="a")
        if fails: raise fails.pop()
        return "Up."
    done, agent = restarting(script)
    graph = to_langgraph(agent, saver)
    graph.invoke(dict(task="go"), thread())
    with pytest.raises(ModelError): graph.invoke(Command(resume="approve"), thread())
    end = graph.invoke(None, thread())
    assert end["result"] == "Up." and done == ["a"] and len(agent.store.runs()) == 1


def test_the_run_is_found_again_if_its_name_was_not_stored():
    "The checkpoint of `begin` is lost, while `run` has acted already: LangGraph writes in the background"
    class Late(InMemorySaver):
        late = True
        def put(self, config, checkpoint, metadata, new_versions):
            if self.late and metadata["step"] >= 1: raise OSError("disk full")
            return super().put(config, checkpoint, metadata, new_versions)
        def put_writes(self, config, writes, task_id, task_path=""):
            if not self.late: super().put_writes(config, writes, task_id, task_path)
    done, agent = restarting([call("restart", service="a"), "Up."], policy=[Rule(effect="allow")])
    graph = to_langgraph(agent, saver := Late())
    with pytest.raises(OSError): graph.invoke(dict(task="go"), thread(), durability="async")
    assert graph.get_state(thread()).next == ("begin",) and "run_id" not in graph.get_state(thread()).values
    assert done == ["a"], "this test needs the background"
    saver.late = False
    assert graph.invoke(None, thread())["result"] == "Up." and done == ["a"] and len(agent.store.runs()) == 1


def test_without_a_checkpointer_it_ends_at_the_request():
    done, agent = restarting([call("restart", service="a"), "Up."])
    end = to_langgraph(agent).invoke(dict(task="go"))
    assert end["status"] == "waiting" and done == []
    run = agent.load(end["run_id"])
    run.pending[0].approve()
    assert asyncio.run(run.wait()) == "Up." and done == ["a"]


def test_what_cannot_be_asked_is_said(saver):
    _, agent = restarting(["Hello."])
    graph = to_langgraph(agent, saver)
    with pytest.raises(ValueError, match="nothing was asked"): graph.invoke(dict(messages=[]), thread())
    with pytest.raises(ValueError, match="Agent\\(instructions"): graph.invoke(dict(messages=[("system", "be kind"), ("user", "hi")]), thread())


def test_messages_come_back_as_they_were():
    said = [user("hi"), assistant("yes", Call(id="1", tool="t", args=dict(a=[1])), Call(id="2", tool="t", broken="{a")),
        Message(role="tool", call_id="1", tool="t", failure=Failure(kind="timeout", message="late", hint="Again.", retry_after=2)),
        Message(role="tool", call_id="2", tool="t", content="ok"),
        Message(role="assistant", content="end", native=Native(format="anthropic", model="m", parts=(dict(type="thinking", thinking="hm"),)))]
    assert [from_langchain(to_langchain(m)) for m in said] == said


# --- a graph as a run

class Incident(TypedDict, total=False):
    log: Annotated[list, operator.add]
    service: str


def branching(saver, effects, questions=1):
    "look, then two nodes side by side that ask and act, then close"
    def node(name, asks=0):
        def fn(state):
            said = [str(interrupt(f"{name} {i}?")) for i in range(asks)]
            effects.append(name)
            return dict(log=[" ".join(filter(None, [name, state.get("service"), *said]))])
        return fn
    g = StateGraph(Incident).add_node("look", node("look")).add_node("left", node("left", questions)).add_node("right", node("right", 1))
    g.add_node("aside", node("aside")).add_node("close", node("close"))
    g.add_edge(START, "look").add_edge("look", "left").add_edge("look", "right").add_edge("look", "aside")
    return g.add_edge(["left", "right", "aside"], "close").add_edge("close", END).compile(checkpointer=saver, name="incident")


def react(saver, effects, script, **options):
    @lc_tool
    def restart(service: str) -> str:
        "Restart a service"
        if options.get("ask") and interrupt(dict(action_requests=[dict(name="restart", args=dict(service=service))]))["decisions"][0]["type"] != "approve":
            return "A human said no."
        effects.append(service)
        return f"{service} restarted"
    return create_react_agent(Fake(script=script), ToolNode([restart]), checkpointer=saver)


asking = [[("restart", dict(service="checkout"))], "Checkout is up."]


def test_each_superstep_is_a_step(saver):
    effects = []
    run = hold(react(saver, effects, asking), dict(messages=[("user", "It is slow")]), store="memory:", clock=Ticks())
    async def main():
        return [(await run.step()).kind for _ in range(5)]
    assert asyncio.run(main()) == ["note", "note", "note", "note", "finished"]
    assert kinds(run) == ["started", "note", "model", "note", "tool", "note", "model", "note", "finished"] and nodes(run) == ["", "agent", "tools", "agent"]
    assert effects == ["checkout"] and run.result == "Checkout is up." and run.status == "done" and run.task == "It is slow"
    assert run.state.usage.total == 30 and run.state.cost is None and [t.name for t in run.state.tools.values()] == ["restart"]
    assert [m.role for m in run.state.messages] == ["user", "assistant", "tool", "assistant"] and run.state.iteration == 3 and not run.state.open_calls
    assert run.store.restore(run.run_id) == run.state == fold(run.steps)


def test_the_views_show_it(saver):
    run = hold(react(saver, [], asking, ask=True), dict(messages=[("user", "slow <b>")]), store="memory:")
    assert "slow &lt;b&gt;" in run._repr_html_()
    asyncio.run(run.until())
    head = head_of(run)
    card = page_of(run)["cards"][0]
    assert card["tool"] == "restart" and [(f["name"], f["value"]) for f in card["fields"]] == [("service", "checkout")] and head["status"] == "waiting"
    assert len(rows_of(run)) == len(run.steps) and "restart" in page_of(run, "Messages", 3)["html"] and "checkout" in run_html(run.state, run.steps)
    assert "waiting" in repr(run)


def test_a_listener_hears_the_model_as_it_speaks(saver):
    model, heard = GenericFakeChatModel(messages=iter([AIMessage("the pool is exhausted")])), []
    graph = StateGraph(MessagesState).add_node("say", lambda s: dict(messages=[model.invoke(s["messages"])])).add_edge(START, "say").compile(checkpointer=saver)
    run = hold(graph, dict(messages=[("user", "why?")]), store="memory:")
    run.listeners.append(lambda delta: heard.append(delta.text))
    assert asyncio.run(run.wait()) == "".join(heard) == "the pool is exhausted" and len(heard) > 3


def test_until_a_tool_is_asked_for_and_the_loop(saver):
    effects = []
    run = hold(react(saver, effects, asking), dict(messages=[("user", "slow")]), store="memory:")
    async def main():
        await run.until(tool="restart")
        assert effects == [] and nodes(run) == ["", "agent"]
        return [s.kind async for s in run]
    seen = asyncio.run(main())
    assert seen[-1] == "finished" and len(seen) == 5 and effects == ["checkout"]


def test_several_interrupts_are_answered_in_any_order(saver):
    effects = []
    graph = branching(saver, effects, questions=2)
    run = hold(graph, dict(log=["in"]), thread_id="t1", store="memory:")
    asyncio.run(run.until())
    asyncio.run(run.until())
    assert [p.request.question for p in run.pending] == ["left 0?", "right 0?"] and effects == ["look", "aside"]
    run.pending[1].answer("R")
    asyncio.run(run.until())
    assert effects == ["look", "aside"], "the graph waits until all are answered"
    with pytest.raises(RequestOpen, match="left 0"): asyncio.run(run.step())
    run.pending[0].approve(args=dict(deep=True))
    asyncio.run(run.until())
    assert [p.request.question for p in run.pending] == ["left 1?"] and effects == ["look", "aside", "right"]
    run.pending[0].answer('{"n": 1}')
    asyncio.run(run.wait())
    assert effects == ["look", "aside", "right", "left", "close"]
    assert asyncio.run(run.values())["log"] == ["in", "look", "aside", "left {'deep': True} {'n': 1}", "right R", "close"]
    assert not len(run.state.messages) and "edit" not in kinds(run), "an answer is the graph's to use"


@pytest.mark.parametrize("answer, effect, said", [(lambda p: p.approve(), ["checkout"], "checkout restarted"),
    (lambda p: p.reject("no"), [], "A human said no.")])
def test_an_action_request_is_a_request_about_a_call(saver, answer, effect, said):
    effects = []
    run = hold(react(saver, effects, asking, ask=True), dict(messages=[("user", "slow")]), store="memory:")
    asyncio.run(run.until())
    request = run.pending[0].request
    assert request.about == "approve" and request.call.id == "c0" and request.call.args == dict(service="checkout")
    answer(run.pending[0])
    assert asyncio.run(run.wait()) == "Checkout is up." and effects == effect
    assert [m.content for m in run.state.messages if m.role == "tool"] == [said] and len(run.state.messages) == 4
    assert kinds(run) == ["started", "note", "model", "note", "request", "decision", "tool", "note", "model", "note", "finished"]


def test_the_forms_of_an_answer():
    seen = []
    def node(state):
        seen.append(interrupt([dict(action_request=dict(action="restart", args=dict(a=1)), config={}, description="Sure?")]))
        seen.append(interrupt(dict(action_requests=[dict(name="x", args={}), dict(name="y", args=dict(b=2))])))
        return dict(log=["end"])
    graph = StateGraph(Incident).add_node("node", node).add_edge(START, "node").compile(checkpointer=InMemorySaver())
    run = hold(graph, dict(log=[]), store="memory:")
    asyncio.run(run.until())
    assert run.pending[0].request.question == "Sure?"
    run.pending[0].approve(args=dict(a=2))
    asyncio.run(run.until())
    first, second = run.pending
    second.approve(args=dict(b=3))
    first.reject("not x")
    asyncio.run(run.wait())
    assert seen[-2:] == [[dict(type="edit", args=dict(action="restart", args=dict(a=2)))],
        dict(decisions=[dict(type="reject", message="not x"), dict(type="edit", edited_action=dict(name="y", args=dict(b=3)))])]


def test_an_edit_is_what_the_next_node_sees(saver):
    effects = []
    run = hold(branching(saver, effects), dict(log=["in"], service="a"), store="memory:")
    asyncio.run(run.step())
    asyncio.run(run.step())
    run.edit(values=dict(service="b", log=["only this"]))
    asyncio.run(run.until(kind="request"))
    for p in run.pending: p.answer("ok")
    asyncio.run(run.wait())
    assert asyncio.run(run.values())["log"] == ["only this", "aside b", "left b ok", "right b ok", "close b"]
    assert effects.count("look") == 1 and run.store.restore(run.run_id) == run.state


def test_an_edited_conversation_is_what_the_model_sees(saver):
    effects = []
    run = hold(react(saver, effects, [*asking[:1], lambda messages: messages[-1].content]), dict(messages=[("user", "slow")]), store="memory:")
    asyncio.run(run.until(tool="restart"))
    changed = run.state.messages[1].model_copy(update=dict(calls=(Call(id="c0", tool="restart", args=dict(service="search")),)))
    run.edit(messages=[run.state.messages[0], changed])
    assert asyncio.run(run.wait()) == "search restarted" and effects == ["search"]
    assert [m.role for m in run.state.messages] == ["user", "assistant", "tool", "assistant"] and kinds(run).count("edit") == 1


def test_wrong_edits_change_nothing(saver):
    run = hold(branching(saver, []), dict(log=["in"]), store="memory:")
    with pytest.raises(ValueError, match="has not begun"): run.edit(values=dict(service="a"))
    asyncio.run(run.until(kind="request"))
    for p in run.pending: p.answer("ok")
    asyncio.run(run.step())
    count = len(run.steps)
    for options, text in [(dict(values=dict(servise="x")), "no channel servise"), (dict(values=dict(service=object())), "JSON"),
        (dict(values=dict(service="x")), "as_node='left'"), (dict(values=dict(service="x"), as_node="lost"), "no node lost"),
        (dict(messages=[]), "no channel messages")]:
        with pytest.raises(ValueError, match=text): run.edit(**options)
    assert len(run.steps) == count and asyncio.run(run.wait())


def test_a_fork_goes_another_way_and_the_original_is_untouched(saver):
    effects = []
    graph = react(saver, effects, [*asking[:1], lambda messages: messages[-1].content])
    run = hold(graph, dict(messages=[("user", "slow")]), thread_id="t1", store="memory:")
    assert asyncio.run(run.wait()) == "checkout restarted"
    before, history = list(run.steps), [s.config["configurable"]["checkpoint_id"] for s in graph.get_state_history(thread())]
    changed = run.at(3).state.messages[1].model_copy(update=dict(calls=(Call(id="c0", tool="restart", args=dict(service="search")),)))
    fork = run.fork(messages=[run.state.messages[0], changed], run_id="t2")
    assert asyncio.run(fork.wait()) == "search restarted" and effects == ["checkout", "search"]
    assert [s.config["configurable"]["checkpoint_id"] for s in graph.get_state_history(thread())] == history and run.store.read("t1") == before
    same = run.at(5).live()
    assert same is not run and asyncio.run(same.wait()) == "checkout restarted" and effects == ["checkout", "search"], "the tool is not called again"
    deeper = fork.fork(at=3, run_id="t3")
    assert asyncio.run(deeper.wait()) == "checkout restarted" and effects == ["checkout", "search", "checkout"]
    again = hold(graph, thread_id="t2", store=run.store)
    assert again.result == "search restarted" and again.tip.parent.run_id == "t1" and run.store.restore("t2") == again.state


def test_a_fork_of_a_state_and_the_way_back(saver):
    run = hold(react(saver, [], asking), dict(messages=[("user", "slow")]), store="memory:")
    asyncio.run(run.wait())
    assert asyncio.run(run.at(3).values())["messages"][-1].tool_calls and run.back().place == 2 and run.forward(9).place == 8
    with pytest.raises(RunConflict, match="looked at after step 3"): run.at(3).edit(values=dict(messages=[]))
    other = run.at(-1).fork(at=1, state=run.state.model_copy(update=dict(messages=(user("fast"),))))
    asyncio.run(other.step())
    assert [m.content for m in other.state.messages] == ["fast"] and asyncio.run(other.values())["messages"][0].content == "fast"


def test_a_failing_node_is_noted_and_only_it_is_run_again(saver):
    effects, broken = [], [True]
    def good(state): effects.append("good")
    def bad(state):
        effects.append("bad")
        if broken: raise OSError("token sk-" + "a1" * 12)
        return dict(log=["bad"])
    g = StateGraph(Incident).add_node("good", good).add_node("bad", bad).add_edge(START, "good").add_edge(START, "bad").compile(checkpointer=saver)
    run = hold(g, dict(log=[]), store="memory:")
    asyncio.run(run.step())
    for _ in range(2):
        with pytest.raises(OSError): asyncio.run(run.wait())
    assert run.status == "failed" and "sk-" not in run.tip.reason
    broken.clear()
    assert asyncio.run(run.wait()) and effects.count("good") == 1 and effects.count("bad") == 3 and run.status == "done"


def test_abort_limits_and_breakpoints(saver):
    effects = []
    graph = branching(saver, effects)
    run = hold(graph, dict(log=[]), store="memory:", config=dict(recursion_limit=1))
    with pytest.raises(RunStopped, match="recursion_limit=1"): asyncio.run(run.wait())
    run.edit(max_iterations=9)
    asyncio.run(run.until(kind="request"))
    run.pending[0].abort("enough")
    with pytest.raises(RunStopped, match="enough"): asyncio.run(run.wait())
    run.edit(max_iterations=10)
    asyncio.run(run.until(kind="request"))
    assert len(run.pending) == 2, "after an abort the questions are asked again"
    for p in run.pending: p.answer("ok")
    assert asyncio.run(run.wait()) and effects.count("look") == effects.count("left") == effects.count("close") == 1

    graph = react(saver, effects := [], asking)
    graph.interrupt_before_nodes = ["tools"]
    run = hold(graph, dict(messages=[("user", "slow")]), store="memory:")
    asyncio.run(run.until(kind="request"))
    assert "before tools" in run.pending[0].request.question and effects == []
    run.pending[0].approve()
    assert asyncio.run(run.wait()) == "Checkout is up." and effects == ["checkout"]


def test_the_conversation_may_be_cut_and_added_to(saver):
    def trim(state): return dict(messages=[RemoveMessage(id=state["messages"][0].id), HumanMessage("short")])
    g = StateGraph(MessagesState).add_node("trim", trim).add_node("say", lambda s: dict(messages=[("ai", s["messages"][-1].content)]))
    g = g.add_edge(START, "trim").add_edge("trim", "say").compile(checkpointer=saver)
    run = hold(g, dict(messages=[("user", "long"), ("user", "longer")]), store="memory:")
    assert asyncio.run(run.wait()) == "short"
    assert kinds(run) == ["started", "note", "edit", "note", "model", "note", "finished"]
    assert [m.content for m in run.state.messages] == ["longer", "short", "short"]


def test_the_next_input_goes_on_in_the_same_log(saver):
    graph = react(saver, effects := [], [*asking, "You are welcome."])
    store = open_store("memory:")
    first = hold(graph, dict(messages=[("user", "slow")]), thread_id="t1", store=store)
    asyncio.run(first.wait())
    run = hold(graph, dict(messages=[("user", "Thank you")]), thread_id="t1", store=store)
    assert asyncio.run(run.wait()) == "You are welcome." and effects == ["checkout"] and len(run.state.messages) == 6
    assert graph.get_state(thread()).values["messages"][-1].content == "You are welcome."


def test_a_thread_of_someone_else_is_held_and_caught_up_with(saver):
    effects, store = [], open_store("memory:")
    graph = branching(saver, effects)
    graph.invoke(dict(log=["in"]), thread())
    run = hold(graph, thread_id="t1", store=store)
    asyncio.run(run.until(kind="request"))
    assert len(run.pending) == 2 and effects == ["look", "aside"]
    graph.invoke(Command(resume={i.id: "elsewhere" for i in graph.get_state(thread()).interrupts}), thread())
    again = hold(graph, thread_id="t1", store=store)
    for p in again.pending: p.answer("late")
    asyncio.run(again.wait())
    assert again.status == "done" and "left elsewhere" in again.result
    assert effects[:2] == ["look", "aside"] and sorted(effects[2:4]) == ["left", "right"] and effects[4:] == ["close"], "LangGraph runs two branches in threads"


def test_graphs_of_all_kinds(saver):
    effects = []
    inner = StateGraph(Incident).add_node("a", lambda s: effects.append("a")).add_node("b", lambda s: effects.append(interrupt("in a subgraph?")))
    inner = inner.add_edge(START, "a").add_edge("a", "b").compile()
    plan = StateGraph(Incident).add_node("plan", lambda s: dict(log=["plan"])).add_node("inner", inner).add_node("work", lambda s: dict(log=[s["service"]]))
    plan.add_edge(START, "plan").add_edge("plan", "inner")
    plan.add_conditional_edges("inner", lambda s: [Send("work", dict(service=x)) for x in "xy"], ["work"])
    run = hold(plan.compile(checkpointer=saver), dict(service="s"), store="memory:")
    asyncio.run(run.until(kind="request"))
    run.pending[0].answer("yes")
    asyncio.run(run.until(when=lambda step: step.kind == "note" and step.body.tool == "inner"))
    fork = run.fork()
    for r in (run, fork):
        asyncio.run(r.wait())
        assert asyncio.run(r.values())["log"] == ["plan", "plan", "x", "y"]
    assert effects == ["a", "yes"] and nodes(run)[-1] == "work, work"

    @entrypoint(checkpointer=saver)
    def flow(n): return dict(n=n, said=interrupt("ok?"))
    run = hold(flow, 4, store="memory:")
    asyncio.run(run.until())
    run.pending[0].answer("fine")
    assert asyncio.run(run.wait()) == '{"n": 4, "said": "fine"}' and run.task == "4"


def test_a_fork_of_a_graph_that_stores_differences(saver):
    class Differences(TypedDict): log: Annotated[list, DeltaChannel(lambda old, new: [*(old or []), *(x for more in new for x in more)])]
    g = StateGraph(Differences).add_sequence([(n, lambda s, n=n: dict(log=[n])) for n in "abc"]).add_edge(START, "a").compile(checkpointer=saver)
    run = hold(g, dict(log=["in"]), store="memory:")
    asyncio.run(run.wait())
    fork, other = run.fork(at=3), run.fork(at=3, values=dict(log=["only"]))
    for r, log in ((run, ["in", "a", "b", "c"]), (fork, ["in", "a", "b", "c"]), (other, ["only", "c"])):
        asyncio.run(r.wait())
        assert asyncio.run(r.values())["log"] == log


def test_what_cannot_be_held_is_said(saver, tmp_path):
    done, agent = restarting(["Hello."])
    asyncio.run(agent.run("hi", run_id="t1").wait())
    graph = branching(saver, [])
    with pytest.raises(ValueError, match="no run of a graph"): hold(graph, thread_id="t1", store=agent.store)
    with pytest.raises(ValueError, match="begins a run"): hold(graph, store="memory:")
    with pytest.raises(ValueError, match="no checkpointer"): hold(branching(None, []), thread_id="t1", store="memory:")
    with pytest.raises(StoreError, match="has no thread t2"): asyncio.run(hold(graph, thread_id="t2", store="memory:").step())
    run = hold(branching(None, []), dict(log=[]), store="memory:")
    asyncio.run(run.until(kind="request"))
    lost = hold(branching(InMemorySaver(), []), thread_id=run.run_id, store=run.store)
    for p in lost.pending: p.answer("ok")
    with pytest.raises(StoreError, match="has no checkpoint"): asyncio.run(lost.step())


def test_an_async_saver_and_async_nodes(tmp_path):
    effects = []
    async def act(state):
        await asyncio.sleep(0)
        effects.append(interrupt("act?"))
        return dict(log=["acted"])
    async def main():
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path/"lg.db")) as saver:
            graph = StateGraph(Incident).add_node("act", act).add_edge(START, "act").compile(checkpointer=saver)
            run = hold(graph, dict(log=[]), store="memory:")
            await run.until()
            fork = run.fork(values=dict(service="x"), run_id="other")
            run.edit(values=dict(service="y"))
            for r, word in ((run, "a"), (fork, "b")):
                await r.until()
                r.pending[0].answer(word)
                await r.wait()
            return await run.values(), await fork.values()
    assert asyncio.run(main()) == (dict(log=["acted"], service="y"), dict(log=["acted"], service="x")) and effects == ["a", "b"]


# --- in another process

CHILD = """
import asyncio, os, signal
{path}from test_langgraph_graphs import *
folder, moment = Path(sys.argv[1]), sys.argv[2]
class Effects(list):
    def append(self, name):
        with (folder/"effects").open("a") as f: f.write(name + "\\n")
        if moment == f"after {{name}}": os.kill(os.getpid(), signal.SIGKILL)
def die(step):
    if moment == f"step {{step.index}}": os.kill(os.getpid(), signal.SIGKILL)
graph = branching(savers(folder), Effects())
store = open_store(f"sqlite:///{{folder}}/runs.db")
run = hold(graph, None if store.runs() else dict(log=["in"]), thread_id="t1", store=store)
run.observers.append(die)
real = store.append
def append(*steps):
    if moment == f"before {{steps[-1].index}}": os.kill(os.getpid(), signal.SIGKILL)
    real(*steps)
store.append = append
async def main():
    while run.status != "done":
        await run.until()
        for p in run.pending: p.answer("ok")
asyncio.run(main())
print(run.result)
"""


def child(tmp_path, moment=""):
    command = [sys.executable, "-c", CHILD.format(path=on_path(Path(__file__).parent)), str(tmp_path), moment]
    return subprocess.run(command, capture_output=True, text=True, env=child_env())


@pytest.mark.parametrize("moment", ["before 2", "step 3", "before 7", "step 8", "before 9"])
def test_a_killed_process_loses_and_doubles_nothing(tmp_path, moment):
    assert child(tmp_path, moment).returncode == -9
    ended = child(tmp_path)
    assert ended.returncode == 0, ended.stderr
    effects = (tmp_path/"effects").read_text().split()
    assert sorted(effects) == ["aside", "close", "left", "look", "right"]
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    steps = store.read("t1")
    assert [s.body.tool for s in steps if s.kind == "note"][:1] == [""] and fold(steps).status == "done" and "left ok" in fold(steps).result
    assert len({s.body.place for s in steps if s.kind == "note"}) == 4, "each checkpoint once"


def test_stored_writes_without_their_checkpoint_are_not_the_end(tmp_path):
    "Killed in the last node's superstep after its writes: LangGraph says `next == ()`, and nothing is finished"
    class Dead(RuntimeError): pass
    class Dying(SqliteSaver):
        dead = False
        def put(self, *args):
            if self.dead: raise Dead
            return super().put(*args)
    effects, saver = [], Dying(sqlite3.connect(tmp_path/"lg.db", check_same_thread=False))
    graph, store = branching(saver, effects), open_store("memory:")
    run = hold(graph, dict(log=["in"]), thread_id="t1", store=store)
    async def main():
        await run.until(kind="request")
        for p in run.pending: p.answer("ok")
        await run.step()
    asyncio.run(main())
    saver.dead = True
    with pytest.raises(Dead): graph.invoke(None, thread(), durability="sync")
    saver.dead = False
    head = graph.get_state(thread())
    assert head.next == () and head.tasks and effects.count("close") == 1
    again = hold(graph, thread_id="t1", store=store)
    assert again.status == "paused"
    asyncio.run(again.wait())
    assert again.status == "done" and effects.count("close") == 1 and "close" in again.result
    assert nodes(again)[-1] == "close" and not graph.get_state(thread()).tasks
