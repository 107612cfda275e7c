"Whatever a function gives back is a result: text within a limit, never an error after the effect, never an address in memory."
import asyncio, dataclasses, decimal, enum, functools, io, itertools, math, re, sqlite3, uuid
from collections import Counter, OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, SecretStr

from agentnb import Agent, Rule, Scripted, ToolError, call, tool
from agentnb.core.foreign import error_text
from agentnb.tools.results import cut_text, result_text


class Silent:
    def __repr__(self): raise RuntimeError("no words")

class Leaving:
    def __repr__(self): raise SystemExit(3)

class Numbered:
    def __repr__(self): return 7

class Thing: pass

class Torn(dict):
    def items(self): raise OSError("torn")

class Endless:
    def __iter__(self): return self
    def __next__(self): return "again"

class Grown(BaseModel):
    raw: bytes = b"\xfe\xff"
    key: SecretStr = SecretStr("hush-hush")
    other: object = None

@dataclasses.dataclass
class Pair:
    left: object
    right: object = None

class Level(enum.Enum):
    high = "high"
    odd = Thing()


def ring():
    one, two = {}, []
    one["two"], _ = two, two.append(one)
    return one

def doubled(levels):
    return functools.reduce(lambda below, _: [below, below], range(levels), ["leaf"])

def tall(levels): return functools.reduce(lambda below, _: (below,), range(levels), "ground")


HOSTILE = [Silent, Leaving, Numbered, Thing, Torn, Endless, Grown, ring, lambda: tall(5000), lambda: doubled(50), lambda: Pair(Silent(), {b"\xff": math.nan}),
    lambda: Level.odd, lambda: (n for n in (1, 0) if 1 / n), io.StringIO, lambda: b"\x89PNG\r\n", lambda: "\udfff", lambda: {"\udfff": 1}, lambda: 7**9000,
    lambda: np.array([Silent()], dtype=object), lambda: pd.DataFrame({"a": [Thing()]}), lambda: memoryview(b"\xff\0"), lambda: print, asyncio.Event]


@pytest.mark.parametrize("value, text", [
    (None, "null"), ("as it is", "as it is"), (b"caf\xc3\xa9", "café"), (bytearray(b"ab"), "ab"), (b"GIF89a" + bytes(2000), "(GIF picture, 2,006 bytes)"),
    (b"\xff", "(1 byte, no text)"), ("lone \ud83d", "lone \\ud83d"), ({"\ud83d": ["\ud83d"]}, r'{"\\ud83d":["\\ud83d"]}'),
    ([math.inf, math.nan], '["Infinity","NaN"]'), ({3, 1, 2}, "[1,2,3]"), (frozenset("ba"), '["a","b"]'), (decimal.Decimal("0.10"), "0.10"),
    (date(2026, 5, 4), "2026-05-04"), (timedelta(hours=1), "PT1H"), (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"), (Level.high, "high"),
    ({1: "a", "1": "b", None: "c"}, '{"1":"a","1 (str)":"b","null":"c"}'), (OrderedDict(b=1), '{"b":1}'), (Counter("aab"), '{"a":2,"b":1}'),
    (deque([1]), "[1]"), ({"a": 1}.values(), "[1]"), (Pair(1, Pair(2)), '{"left":1,"right":{"left":2,"right":null}}'), (2**70, str(2**70)),
    (Grown(), '{"raw":"(2 bytes, no text)","key":"**********","other":null}'), (Thing(), f"<{__name__}.Thing object>"), (Silent(),
        "(Silent, which cannot be shown)"),
    (Leaving(), "(Leaving, which cannot be shown)"), (ring(), '{"two":["(itself again)"]}'), (range(3), "range(0, 3)"), (np.float32(0.5), "0.5"),
    (np.array([[1, 2]]), "array of shape (1, 2), int64:\n[[1,2]]"), (np.datetime64("2026-05-04"), "2026-05-04"), ({np.int64(2): np.bool_(True)}, '{"2":true}'),
    (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), "DataFrame of 2 rows and 2 columns, as CSV:\na,b\n1,x\n2,\n"),
    (pd.Series([5], index=["k"], name="v"), "Series of 1 row, as CSV:\n,v\nk,5\n"), (pd.NaT, "NaT"), (pd.Timestamp("2026-05-04"), "2026-05-04 00:00:00")])
def test_what_a_model_reads(value, text): assert result_text(value) == text


@pytest.mark.parametrize("make", HOSTILE)
def test_nothing_that_is_returned_fails_and_its_effect_is_counted_once(make):
    made = []
    @tool(idempotent=True)
    def act() -> object:
        "Act"
        made.append(1)
        return make()

    run = Agent(Scripted([call("act"), "done"]), [act], store="memory:", policy=[Rule(effect="allow")]).run("go")
    assert asyncio.run(run.wait()) == "done" and made == [1]
    said, = (m for m in run.state.messages if m.role == "tool")
    assert not re.search(" at 0x", str(said.failure or said.content)) and len(said.content) < 101_000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary() | st.dates() | st.decimals()
        | st.sampled_from(HOSTILE).map(lambda make: make()),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)) | st.integers() | st.none(), below, max_size=4)
        | st.builds(Pair, below, below)
        | st.lists(below, max_size=3).map(iter) | st.builds(lambda v: Grown.model_construct(other=v), below), max_leaves=8)

@settings(max_examples=60, deadline=None)
@given(VALUES, st.integers(1, 2000))
def test_any_value_is_text_within_the_limit(value, limit):
    text = result_text(value, limit)
    text.encode()
    assert len(text) < limit + 200 and (len(text) <= limit or "was cut here" in text)


def test_a_large_result_says_how_much_is_missing():
    assert cut_text("x" * 30, 20) == "x" * 20 + "\n(The result was cut here: 10 of 30 characters are missing. Ask for less, or for a part.)"
    assert result_text(list(range(10)), 21) == "[0,1,2,3,4,5,6,7,8,9]"
    many = result_text(pd.DataFrame({"a": range(300_000)}), 1000)
    assert many.startswith("DataFrame of 300,000 rows and 1 column, as CSV:\na\n0\n1\n") and "was cut here" in many
    assert "at least" in result_text(doubled(40), 100)


def told(model, tools, **given):
    run = Agent(Scripted(model), tools, store="memory:", policy=[Rule(effect="allow")], **given).run("go")
    asyncio.run(run.wait())
    return [m.content or str(m.failure) for m in run.state.messages if m.role == "tool"]


def test_a_tools_limit_counts_before_the_agents():
    def letters(n: int) -> str: return "x" * n
    kept, cut = tool(letters, name="kept", read_only=True, result_limit=500), tool(letters, name="cut", read_only=True)
    long, short = told([[call("kept", n=400), call("cut", n=400)], "done"], [kept, cut], result_limit=100)
    assert long == "x" * 400 and short.startswith("x" * 100 + "\n(") and "300 of 400" in short
    assert cut.result_limit is None and "was cut" not in asyncio.run(cut.run({"n": 400})), "the tool itself stays as it is"
    for wrong in (0, -5, True, "9"):
        with pytest.raises(TypeError, match="result_limit"): tool(letters, result_limit=wrong)
        with pytest.raises(TypeError, match="result_limit"): Agent(Scripted([]), store="memory:", result_limit=wrong)


def test_the_result_of_a_run_is_whole():
    @tool(read_only=True)
    def report(text: str) -> str: return text * 300
    run = Agent(Scripted([call("report", text="a")]), [report], result=report, store="memory:", result_limit=50).run("go")
    assert asyncio.run(run.wait()) == "a" * 300


class Mute(Exception):
    def __str__(self): raise KeyError("mute")

@pytest.mark.parametrize("error, text", [
    (ValueError("x" * 50_000), "(cut)"), (Mute(), "Mute: (its message cannot be read)"), (ToolError("internal",
        "y" * 20_000, "z" * 20_000), "10,000 of 20,000"),
    (ValueError("\udc00"), r"ValueError: \udc00"), (ValueError(f"{object()}"), "ValueError: <object object>")])
def test_what_an_error_says_has_a_limit(error, text):
    @tool(read_only=True)
    def fail() -> str: raise error
    said, = told([call("fail"), "done"], [fail])
    assert text in said and len(said) < 21_000


def later(fn):
    def outer(n: int): return fn(n)
    return outer

async def double(n: int) -> int: return 2 * n

async def count(n: int):
    for i in range(n): yield i

def rows(n: int): return sqlite3.connect(":memory:").execute("SELECT 1, 'a'")

def submitted(n: int):
    with ThreadPoolExecutor(1) as pool: return pool.submit(lambda: n)

class Doubler:
    async def __call__(self, n: int) -> int: return 2 * n


@pytest.mark.parametrize("fn, text", [
    (double, "6"), (later(double), "6"), (functools.partial(double), "6"), (Doubler(), "6"), (later(Doubler()), "6"), (count, "[0,1,2]"), (later(count),
        "[0,1,2]"),
    (later(lambda n: (i for i in range(n))), "[0,1,2]"), (later(lambda n: map(str, range(n))), '["0","1","2"]'), (rows, '[[1,"a"]]'), (submitted, "3"),
    (later(lambda n: later(double)(n)), "6"), (later(lambda n: [i for i in range(n)]), "[0,1,2]")])
def test_what_is_not_there_yet_is_awaited_or_collected(fn, text):
    assert asyncio.run(tool(fn, name="t").run({"n": 3})) == text
    assert tool(later(double), name="t", preview=fn).preview({"n": 3}) == text

    async def inside(): return tool(later(double), name="t", preview=fn).preview({"n": 3})
    assert asyncio.run(inside()) == text


def test_what_never_ends_is_read_as_far_as_it_is_shown():
    assert "was cut here" in asyncio.run(tool(lambda: Endless(), name="t").run({}))
    assert "was cut here" in asyncio.run(tool(lambda: itertools.count(), name="t").run({}))
    assert "at least" in result_text({"inside": Endless()})


def test_a_generator_that_fails_is_a_failure_of_the_call():
    def half(n: int):
        yield n
        raise OSError("gone")
    with pytest.raises(ToolError, match="OSError: gone"): asyncio.run(tool(half).run({"n": 1}))
    assert "(the others could not be read: OSError: gone)" in result_text([half(1)])


def test_an_unawaited_coroutine_inside_a_result_is_said():
    assert result_text([double(1)]) == '["(double was not awaited)"]'
    assert error_text(Mute()) == "Mute: (its message cannot be read)"
