"A model is anything that is called as one: a plain async function, a partial, a lambda, an object without a name; whatever is not says so."
import asyncio, functools, re

import pytest

from agentnb import (Agent, Ask, Budget, Cached, Call, Cascade, Fallback, Human, ModelError, Reply, Retry, RunStopped, Scripted, Tape, TapeMiss, Usage,
    agree, check,
    find_model, judged, open_store, tool, user)
from agentnb.models.openai import OpenAI
from agentnb.models.protocol import FunctionModel, as_model
from agentnb.wrappers.cost import Priced


@tool(read_only=True)
def look(where: str) -> str:
    "Look"
    return f"{where} is fine"


async def plain(messages, tools=(), instructions="", ask=Ask()):
    if messages[-1].role == "user": return Reply(calls=(Call(id="", tool="look", args={"where": messages[-1].content}),))
    return Reply(content=f"{messages[-1].content}, {instructions or 'no instructions'}, {len(tools)} tools")


async def prefixed(prefix, messages, tools=(), instructions="", ask=Ask()): return Reply(content=prefix + messages[-1].content)
async def anything(*args): return Reply(content="anything")
def hands_on(messages, tools=(), instructions="", ask=Ask()): return plain(messages, tools, instructions, ask)


class Nameless:
    async def __call__(self, messages, tools=(), instructions="", ask=Ask()): return Reply(content=messages[-1].content.upper())
    async def ask(self, messages, tools=(), instructions="", ask=Ask()): return Reply(content=messages[-1].content.title())


class Named(Nameless): name = "mine:shouts"
class NoneName(Nameless): name = None
class OddName(Nameless):
    def name(self): return "x"


GIVEN = [(plain, "plain", "x is fine, be brief, 1 tools"), (functools.partial(prefixed, "> "), "prefixed", "> x"), (anything, "anything", "anything"),
    (functools.partial(functools.partial(prefixed), ">> "), "prefixed", ">> x"), (hands_on, "hands_on", "x is fine, be brief, 1 tools"),
    (lambda *asked: plain(*asked), "lambda", "x is fine, be brief, 1 tools"),
    (lambda m, t=(), i="", a=None: plain(m, t, i), "lambda", "x is fine, be brief, 1 tools"),
    (Nameless(), "Nameless", "X"), (Nameless().ask, "ask", "X"), (Named(), "mine:shouts", "X"), (NoneName(), "NoneName", "X"), (OddName(), "OddName", "X"),
    (functools.partial(Named()), "mine:shouts", "X")]


@pytest.mark.parametrize("model, name, text", GIVEN, ids=[f"{i}-{name}" for i, (_, name, _) in enumerate(GIVEN)])
def test_an_agent_takes_it_and_names_it(model, name, text):
    agent = Agent(model, [look], store="memory:", instructions="be brief")
    assert agent.model.name == name and name in repr(agent)
    run = agent.run("x")
    assert asyncio.run(run) == text
    assert run.tip.model == name and {s.body.reply.model for s in run.steps if s.kind == "model"} == {name if not isinstance(model, Named) else ""}
    again = agent.load(run.run_id)
    assert asyncio.run(again) == text and again.steps == run.steps and not [s for s in again.steps if s.kind == "note"]
    assert agent.model is as_model(agent.model), "made once"


WRAPPERS = dict(retry=Retry, priced=Priced, fallback=lambda m: Fallback(m, Scripted(["never"])), cached=lambda m: Cached(m, store="memory:"),
    tape=lambda m: Tape("unused.tape", mode="live")(m), cascade=lambda m: Cascade([m, Scripted(["never"])], gates=[check(lambda reply: True)]),
    nested=lambda m: Cached(Retry(Fallback(Priced(m))), store="memory:"))


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("model, name, text", [GIVEN[i] for i in (0, 1, 5, 7)], ids=["function", "partial", "lambda", "object"])
def test_every_wrapper_takes_it(wrap, model, name, text):
    agent = Agent(wrap(model), [look], store="memory:", instructions="be brief")
    assert name in agent.model.name and agent.run_sync("x") == text


def test_it_stands_wherever_a_model_is_named():
    run = Agent(plain, [look], store="memory:").run("x")
    asyncio.run(run)
    fork = run.fork(at=0, model=functools.partial(prefixed, "> "))
    assert asyncio.run(fork) == "> x" and fork.tip.model == "prefixed"
    other = Agent(plain, [look], store="memory:").run("x")
    other.edit(model=Nameless())
    assert asyncio.run(other) == "X" and other.tip.model == "Nameless"
    table = asyncio.run(run.fork_many(at=0, models=[plain, functools.partial(prefixed, "> "), Nameless(), None]))
    assert set(table["model"]) == {"plain", "prefixed", "Nameless"} and set(table["result"]) >= {"> x", "X"}
    with pytest.raises(TypeError): asyncio.run(run.fork_many(at=0, models=plain))
    async def no(messages, tools=(), instructions="", ask=Ask()): return Reply(content="no")
    strict = Cascade([Scripted(["maybe"]), Scripted(["sure"])], gates=[judged(no)])
    assert Agent(strict, store="memory:").run_sync("x") == "sure" and "judged(no" in repr(strict)
    same = Cascade([Scripted(["maybe"]), Scripted(["sure"])], gates=[agree(with_=no)])
    assert Agent(same, store="memory:").run_sync("x") == "sure"


def test_a_tape_records_it_and_plays_it_again(tmp_path):
    asked = []
    async def counted(messages, tools=(), instructions="", ask=Ask()):
        asked.append(messages)
        return Reply(content="recorded")
    tape = Tape(tmp_path/"a.tape")
    assert [Agent(tape(counted), store="memory:").run_sync("x") for _ in range(3)] == ["recorded"] * 3 and len(asked) == 1
    async def other(messages, tools=(), instructions="", ask=Ask()): return Reply(content="other")
    with pytest.raises(TapeMiss, match="this request to other"): Agent(Tape(tmp_path/"a.tape", "replay")(other), store="memory:").run_sync("x")


def factory(word):
    async def model(messages, tools=(), instructions="", ask=Ask()): return Reply(content=word)
    return model


@pytest.mark.parametrize("one, other", [(factory("a"), factory("b")), (lambda *a: anything(*a), lambda *a: prefixed("b", *a)),
    (functools.partial(prefixed, "a"), functools.partial(prefixed, "b")), (Nameless(), Nameless().ask),
    (functools.partial(factory("a")), functools.partial(factory("b")))])
def test_a_cache_tells_two_of_one_name_apart(one, other):
    store = open_store("memory:")
    keys = [Cached(m, store=store).key([user("x")]) for m in (one, other, one)]
    assert keys[0] == keys[2] != keys[1]


def test_a_cache_keeps_what_a_function_said():
    asked = []
    async def counted(messages, tools=(), instructions="", ask=Ask()):
        asked.append(1)
        return Reply(content="kept")
    store = open_store("memory:")
    model = Cached(counted, store=store)
    assert [asyncio.run(model([user("x")])).content for _ in range(3)] == ["kept"] * 3 and len(asked) <= 2


def test_what_it_costs_is_unknown_until_it_says():
    async def dear(messages, tools=(), instructions="", ask=Ask()): return Reply(content="x", usage=Usage(input=10, output=5, requests=1))
    with pytest.raises(RunStopped, match="dear has no known price"): Agent(dear, store="memory:", budget=Budget(usd=1)).run_sync("x")
    assert Agent(dear, store="memory:", budget=Budget(usd=1, assume=(3, 15))).run_sync("x") == "x"
    assert Agent(dear, store="memory:", budget=Budget(tokens=20_000)).run_sync("x") == "x"
    class Free(Nameless): free = True
    assert Agent(Free(), store="memory:", budget=Budget(usd=1)).run_sync("x") == "X"


def test_what_stands_behind_it_is_asked_for_the_rest():
    class Around:
        def __init__(self, model): self.model = model
        async def __call__(self, messages, tools=(), instructions="", ask=Ask()): return await self.model(messages, tools, instructions, ask)
    made = as_model(Around(Scripted(["x"])))
    assert made.name == "Around" and isinstance(made.model, Scripted)
    with pytest.raises(AttributeError): _ = made.nothing_like_it
    assert Agent(made, store="memory:", budget=Budget(usd=1)).run_sync("y") == "x", "the model inside costs nothing"


def sync(messages, tools=(), instructions="", ask=Ask()): return Reply(content="x")
def said_at_once(messages, tools=(), instructions="", ask=Ask()) -> Reply: return Reply(content="x")
def generator(messages, tools=(), instructions="", ask=Ask()): yield "x"
async def async_generator(messages, tools=(), instructions="", ask=Ask()): yield "x"


@pytest.mark.parametrize("model, error, text", [
    (Scripted, TypeError, "Scripted is a class, and no model. Make one: Scripted"), (OpenAI, TypeError, "OpenAI is a class"),
    (Nameless, TypeError, "Nameless is a class"),
    (Human, TypeError, "Human is a class"), (said_at_once, TypeError, "said_at_once is no model: it cannot be awaited. Write it as `async def model.messages"),
    (generator, TypeError, "generator is no model"), (async_generator, TypeError, "async_generator is no model"),
    (lambda: 1, TypeError, "it takes ... Write it as"), (lambda prompt: prompt, TypeError, "it takes .prompt."),
    (lambda *, messages: 1, TypeError, "is no model: it takes"),
    (functools.partial(plain, [], [], "", Ask()), TypeError, "plain is no model"), (look, TypeError, "is a tool, and no model"),
    (5, TypeError, "5 is no model. Name one like"),
    ([plain], TypeError, "is no model. Name one like|models one after the other"), ({"model": "x"}, TypeError, "is no model"),
    (b"openai:x", TypeError, "is no model"), (object(), TypeError, "is no model"),
    ("gpt-5.5", ModelError, "Did you mean 'openai:gpt-5.5'"), ("claude-haiku-4-5", ModelError, "Did you mean 'anthropic:claude-haiku-4-5'"),
    ("openai/gpt-5.5", ModelError, "Did you mean 'openai:gpt-5.5'"), ("llama3.2", ModelError, "Did you mean 'ollama:llama3.2'"),
    ("opnai:x", ModelError, "Did you mean 'openai'"),
    ("openai", ModelError, "'openai' names no model"), ("qzx", ModelError, "no provider 'qzx'.*Providers: local, openai"),
    ("You are a helpful assistant.", ModelError, "What is said to the model first is given as instructions"),
    ("Be careful. " * 40, ModelError, "instructions='...'")], ids=range(26))
def test_what_is_no_model_says_so(model, error, text):
    def tier(m): return Cascade([m, "openai:gpt-5.5"], [check(lambda reply: True)])
    for stand in (lambda m: Agent(m, store="memory:"), Fallback, lambda m: Cached(m, store="memory:"), tier):
        with pytest.raises(error, match=text) as e: stand(model)
        assert len(str(e.value)) < 400 and not re.search(r"\b_[A-Za-z]", str(e.value)) and "AttributeError" not in str(e.value)
    if not isinstance(model, str):
        for stand in (Retry, Priced):
            with pytest.raises(TypeError, match=text): stand(model)


def test_a_name_where_a_model_is_wanted():
    for stand in (Retry, Priced):
        with pytest.raises(TypeError, match=r"find_model\('openai:gpt-5.5'\)"): stand("openai:gpt-5.5")
    assert Retry(find_model("ollama:x")).name == "ollama:x"


@pytest.mark.parametrize("model, text", [(sync, "the model sync did not wait, and gave a Reply. Write it as `async def"), (lambda *a: "x", "gave a str"),
    (lambda *a: asyncio.sleep(0, "x"), "gave 'x', which is no Reply. Return Reply"), (lambda *a: asyncio.sleep(0), "gave None, which is no Reply")])
def test_a_function_that_does_not_answer_as_a_model_is_told_when_it_is_asked(model, text):
    run = Agent(model, store="memory:").run("x")
    with pytest.raises(TypeError, match=text): asyncio.run(run)
    assert [s.body.about for s in run.steps if s.kind == "note"] == ["error"], "and the log has it"


def test_it_says_what_it_is():
    assert repr(as_model(plain)) == "FunctionModel(plain)" and isinstance(as_model(plain), FunctionModel)
    model = Scripted(["x"])
    assert find_model(model) is model is as_model(model)
