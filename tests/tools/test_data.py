"What a run is given for its tools reaches them, and nothing else: no log, no export, no other process."
# ruff: noqa: UP045
import asyncio, copy, dataclasses, functools, pickle, sqlite3, threading
from typing import Annotated, Any, Optional

import pytest

from agentnb import Agent, Context, DataMissing, Origin, Scripted, ToolDefinitionError, ToolError, call, open_store, tool
from agentnb.tools.contract import NO_DATA, RunData
from agentnb.tools.functions import tool_from_schema

SECRET = "zebra-4711"


class Shop:
    def __init__(self, name): self.name = name
    def __repr__(self): return SECRET
    def __eq__(self, other): raise RuntimeError("compared")
    __hash__ = None


@tool(read_only=True)
def who(context: Context) -> str:
    "Who"
    return context.data.name


@tool(read_only=True)
def needs(context: Context[Shop]) -> str:
    "Who"
    return context.data.name


def made(*tools, store="memory:", **more): return Agent(Scripted([*(call(t.name) for t in tools), "Done."]), list(tools), store=store, **more)


def results(run): return [m.content or str(m.failure) for m in run.tip.messages if m.role == "tool"]


def ended(run):
    asyncio.run(run.wait())
    return results(run)


@pytest.mark.parametrize("kind", [Context, Context[Shop], Optional[Context], Context[Shop] | None, Annotated[Context[Shop], "x"], Context[Shop | None],
    Context[Any], "Context[Shop]", "Context"])
def test_every_spelling_gets_it_and_shows_nothing(kind):
    def look(word: str, context: kind) -> str: return context.data.name + word
    look.__annotations__["context"] = kind
    made_tool = tool(look, read_only=True)
    assert list(made_tool.spec.parameters["properties"]) == ["word"]
    agent = Agent(Scripted([call("look", word="!"), "Done."]), [made_tool], store="memory:", data=Shop("kim"))
    assert ended(agent.run("x")) == ["kim!"]


def test_the_data_of_a_run_stands_in_place_of_the_agents():
    agent = made(who, data={"a": 1})
    assert agent.data == {"a": 1} and agent.run("x").data == {"a": 1} and agent.run("x", data={"b": 2}).data == {"b": 2}
    assert ended(agent.run("x", data=Shop("lee"))) == ["lee"]
    assert made(who).run("x").data is None and made(who).data is None


@pytest.mark.parametrize("falsy", [0, "", {}, [], False, 0.0])
def test_what_is_false_is_given(falsy):
    @tool(read_only=True)
    def look(context: Context[Any]) -> str: return repr(context.data)
    assert ended(made(look).run("x", data=falsy)) == [repr(falsy)]


def test_it_is_in_no_log_and_no_text(tmp_path):
    run = made(who, store=f"sqlite:///{tmp_path}/runs.db", data=Shop(SECRET)).run("x", data=Shop("kim"))
    assert ended(run) == ["kim"]
    asyncio.run(run.fork(at=0).until(kind="tool"))
    assert not any(SECRET in text for text in (repr(run), repr(run.agent), run.tip.model_dump_json(), str(run.steps)))
    assert SECRET.encode() not in b"".join(p.read_bytes() for p in tmp_path.iterdir())


def test_a_tool_that_looks_in_vain_says_who_has_to_give_it():
    @tool(read_only=True)
    def look(context: Context) -> str: return context.data.name
    (said,) = ended(made(look).run("x"))
    assert said.startswith("unavailable: the tool asks for `context.data`, and its run has none.") and "agent.load(run_id, data=...)" in said


@pytest.mark.parametrize("sync", [True, False])
def test_a_tool_that_says_what_it_needs_is_refused_before_the_model_is_asked(sync):
    asked = []
    agent = Agent(Scripted(lambda messages, tools: asked.append(1) or "Done."), [needs, who], store="memory:")
    run = agent.run("x")
    with pytest.raises(DataMissing, match=r"the data for needs is missing.*agent.run\(task, data=...\)"):
        if sync: agent.run_sync("x")
        else: asyncio.run(run.wait())
    assert not asked and not run.steps
    assert agent.run_sync("x", data=Shop("kim")) == "Done."


def test_a_run_that_is_loaded_asks_for_it_again():
    store = open_store("memory:")
    run = made(needs, store=store).run("x", data=Shop("kim"))
    asyncio.run(run.until(kind="model"))
    with pytest.raises(DataMissing, match=f"agent.load.'{run.run_id}', data=...."): asyncio.run(made(needs, store=store).load(run.run_id).wait())
    assert ended(made(needs, store=store).load(run.run_id, data=Shop("lee"))) == ["lee"]
    assert made(needs, store=store, data=Shop("ann")).load(run.run_id).data.name == "ann"


def test_what_may_be_missing_is_none():
    @tool(read_only=True)
    def look(context: Context[Shop | None]) -> str: return str(context.data)
    assert ended(made(look).run("x")) == ["None"] and not look.needs_data


def test_forks_have_what_their_run_has_or_other_data():
    run = made(who, data=Shop("agent")).run("x", data=Shop("kim"))
    assert ended(run) == ["kim"]
    assert ended(run.fork(at=0)) == ["kim"] and ended(run.fork(at=0, data=Shop("lee"))) == ["lee"]
    assert ended(run.fork(at=0, instructions="a")) == ["kim"] and ended(run.agent.run(run.at(0).state)) == ["agent"]


def test_a_child_has_what_its_tool_gives_it():
    child = made(who, name="child")
    @tool(read_only=True)
    async def ask(context: Context[Shop]) -> str:
        run = child.run("x", caller=Origin(run_id=context.run_id, index=int(context.place.partition(".")[0])), data=context.data)
        await run
        return results(run)[0]
    assert ended(made(ask).run("x", data=Shop("kim"))) == ["kim"]


def test_side_by_side_and_in_threads_it_is_the_same_object():
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    seen = []
    @tool(read_only=True)
    def look(n: int, context: Context[sqlite3.Connection]) -> str:
        seen.append((threading.current_thread(), context.data))
        return str(context.data.execute("select 40 + ?", [n]).fetchone()[0])
    agent = Agent(Scripted([[call("look", n=1), call("look", n=2)], "Done."]), [look], store="memory:", data=connection)
    assert sorted(ended(agent.run("x"))) == ["41", "42"] and {id(d) for _, d in seen} == {id(connection)}


def test_copies_share_it_and_pickles_leave_it_out(tmp_path):
    agent = made(who, store=f"sqlite:///{tmp_path}/runs.db", data=threading.Lock())
    assert copy.copy(agent).data is agent.data and copy.deepcopy(agent).data is agent.data and agent.variant(instructions="x").data is agent.data
    assert pickle.loads(pickle.dumps(agent)).data is None
    context = Context(data=(lock := threading.Lock()))
    assert copy.deepcopy(context).data is lock and context.model_copy(update={"place": "1.0"}).data is lock
    with pytest.raises(ToolError, match="its run has none"): pickle.loads(pickle.dumps(context)).data  # noqa: B018
    assert context != Context() and Context(data=lock) == context and hash(context) == hash(Context(data=lock)) and RunData() == NO_DATA


def test_subclasses_keep_it():
    class Mine(Context[Shop]):
        shift: str = "night"
    @tool(read_only=True)
    def look(context: Mine) -> str: return context.data.name + context.shift
    assert look.needs_data and ended(made(look).run("x", data=Shop("kim"))) == ["kimnight"]
    class Wrong(Context):
        data: str = ""
    def shop(context: Wrong) -> str: return ""
    with pytest.raises(ToolDefinitionError, match=r"has a field `data` of its own. Say its type as class Wrong\(Context\[...\]\)"): tool(shop)
    def both(context: Context[Shop] | str) -> str: return ""
    with pytest.raises(ToolDefinitionError, match="A model must not fill in a Context"): tool(both)
    with pytest.raises(dataclasses.FrozenInstanceError): Context(data=1).data = 2


def test_tools_of_schemas_methods_and_partials():
    def look(word: str, context: Context[Shop]) -> str: return context.data.name + word
    described = tool_from_schema("look", "", {"type": "object", "properties": {"word": {"type": "string"}}}, look, read_only=True)
    class Service:
        def look(self, word: str, context: Context[Shop]) -> str: return context.data.name + word
    for t in (described, tool(Service().look, read_only=True), tool(functools.partial(look), name="look", read_only=True)):
        agent = Agent(Scripted([call("look", word="!"), "Done."]), [t], store="memory:", data=Shop("kim"))
        assert t.needs_data and list(t.spec.parameters["properties"]) == ["word"] and ended(agent.run("x")) == ["kim!"]


def test_a_preview_has_it_too():
    def preview(word: str, context: Context[Shop]) -> str: return f"would tell {context.data.name} {word}"
    async def later(word: str, context: Context) -> str: return f"would tell {context.data.name} {word}"
    def tell(word: str) -> str: return "told"
    described = functools.partial(tool_from_schema, "tell", "", {"type": "object", "properties": {"word": {"type": "string"}}}, tell)
    for t in (tool(tell, preview=preview), tool(tell, preview=later), described(preview=preview)):
        run = Agent(Scripted([call("tell", word="hi"), "Done."]), [t], store="memory:", data=Shop("kim")).run("x")
        assert asyncio.run(run.until(kind="request")).body.preview == "would tell kim hi"
        assert t.preview({"word": "hi"}).startswith("(no preview: ToolError: unavailable: the tool asks for `context.data`")
