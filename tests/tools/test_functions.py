"""Every function of a public benchmark becomes a valid tool for OpenAI and Anthropic, and takes the answers that are accepted there."""
import asyncio, json, re, socket
from collections import Counter

import pytest

from agentnb import Agent, Context, Rule, Scripted, Tape, ToolError, call
from agentnb.models.anthropic import to_wire as to_anthropic
from agentnb.models.chat import Dialect, to_wire as to_chat
from agentnb.tools.functions import SchemaTool, to_json_schema, tool_from_schema, tools_from_schemas, wire_name
from agentnb.core.messages import user
from agentnb.models.responses import to_wire as to_responses
from agentnb.tools.tool import ToolDefinitionError
from bfcl_data import ROWS, accepted, toolboxes

KINDS = {"string", "integer", "number", "boolean", "array", "object", "null"}
ASK = [user("Go")]


def complaints(schema, keys=r"[a-zA-Z0-9_.-]{1,64}", path="$"):
    "What a provider would refuse in a schema: unknown types, arrays of nothing said, names; written from their documentation"
    if isinstance(schema, bool): return
    if not isinstance(schema, dict): yield f"{path} is {schema!r}"; return
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if set(kinds) - KINDS: yield f"{path}: type {kinds}"
    if "array" in kinds and not isinstance(schema.get("items"), dict): yield f"{path}: no items"
    if not isinstance(schema.get("required", []), list) or set(schema.get("required", [])) - set(schema.get("properties", {})): yield f"{path}: required"
    for word in ("optional", "nullable", "$schema"):
        if word in schema: yield f"{path}: {word}"
    for name, below in schema.get("properties", {}).items():
        if not re.fullmatch(keys, name): yield f"{path}: name {name!r}"
        yield from complaints(below, keys, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema: yield from complaints(schema[key], keys, f"{path}.{key}")
    for key in ("anyOf", "prefixItems"):
        for below in schema.get(key, []): yield from complaints(below, keys, f"{path}.{key}")


def top_complaints(name, schema):
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name): yield f"name {name!r}"
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict): yield "no object"
    yield from (f"{k} at the top" for k in ("anyOf", "oneOf", "allOf", "enum", "not", "$ref") if k in schema)
    yield from complaints(schema)


def strict_complaints(schema):
    "Strict mode wants every object closed and every field required"
    if schema.get("type") == "object" and (schema.get("additionalProperties") is not False or set(schema.get("required", [])) != set(schema["properties"])):
        yield schema
    if "default" in schema: yield schema
    for below in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]: yield from strict_complaints(below)


def test_every_function_is_a_valid_tool_for_each_provider():
    count, strict = 0, 0
    for row, tools in zip(ROWS, toolboxes()):
        specs = [t.spec for t in tools]
        assert len({s.name for s in specs}) == len(specs)
        sent = [(t["name"], t["input_schema"]) for t in to_anthropic("claude", ASK, specs, cache=False)[0]["tools"]]
        openai = [t["function"] for t in to_chat("gpt", ASK, specs, dialect=Dialect(strict=True))[0]["tools"]] + to_responses("gpt", ASK, specs)[0]["tools"]
        sent += [(t["name"], t["parameters"]) for t in openai]
        for name, schema in sent: assert not list(top_complaints(name, schema)), (row["id"], name, list(top_complaints(name, schema)))
        for t in openai:
            if t.get("strict"): assert not list(strict_complaints(t["parameters"])), (row["id"], t["name"])
        json.dumps(sent)
        count, strict = count + len(specs), strict + sum(bool(t.get("strict")) for t in openai)//2
    assert (len(ROWS), count) == (1298, 1655) and strict > 300


def test_the_complaints_hear_what_is_wrong():
    "Without the reading, most of these schemas would be refused"
    raw = [f for row in ROWS for f in row["function"]]
    assert sum(bool(list(top_complaints(f["name"], f["parameters"]))) for f in raw) == len(raw) == 1655
    assert sum("." in f["name"] for f in raw) == 733
    assert list(strict_complaints(dict(type="object", properties=dict(a={}))))


def test_names_lead_there_and_back():
    for row, made in zip(ROWS, toolboxes()):
        tools = {t.name: t for t in made}
        given = {t.given_name: t for t in tools.values()}
        assert list(given) == [f["name"] for f in row["function"]]
        for answer in row["answers"]:
            for name, args in answer.items():
                first = accepted(args)[0]
                c = given[name].to_call(first)
                assert tools[c.tool].from_call(c) == (name, first)


def fits(tool, args):
    try: tool.check(tool.to_call(args).args)
    except ToolError as e:
        assert e.failure.kind == "invalid_input"
        return False
    return True


CONTRADICT = {"multiple_76", "simple_python_149", "simple_python_307", "simple_python_358",   # case of an enumerated value, lists in a list, a boolean for a
    "simple_python_17", "simple_python_200", "parallel_88"}                                   # string, a value not listed; a required argument left out


def test_accepted_answers_validate():
    "Every accepted value of every argument; seven questions also accept what their own schema excludes, and that is refused"
    calls, values, refused = 0, 0, Counter()
    for row, made in zip(ROWS, toolboxes()):
        tools = {t.given_name: t for t in made}
        for answer in row["answers"]:
            for name, args in answer.items():
                tried = [fits(tools[name], a) for a in accepted(args)]
                assert any(tried), (row["id"], name)
                calls, values = calls + 1, values + len(tried)
                if not all(tried): refused[row["id"]] += tried.count(False)
    assert set(refused) == CONTRADICT, refused
    assert (calls, values, refused.total()) == (1_398, 6_869, 14)


def test_what_was_not_described_is_refused():
    "A made-up argument, a missing one, and one of another type"
    made_up = missing = wrong = 0
    for row, made in zip(ROWS, toolboxes()):
        if row["id"] in CONTRADICT: continue
        tools = {t.given_name: t for t in made}
        for answer in row["answers"]:
            for name, args in answer.items():
                tool, first = tools[name], accepted(args)[0]
                assert not fits(tool, {**first, "made_up_argument": 1})
                made_up += 1
                for k in tool.spec.parameters.get("required", ()):
                    if k in first: assert not fits(tool, {a: v for a, v in first.items() if a != k}); missing += 1
                    kind = tool.spec.parameters["properties"].get(k, {}).get("type")
                    if kind in ("integer", "number", "boolean"): assert not fits(tool, {**first, k: "seven"}); wrong += 1
    assert made_up > 1_300 and missing > 2_500 and wrong > 700


async def there(args, context=Context(), **more): return await tool_from_schema("a.b", "", more.pop("schema"), **more).run(args, context)


def test_the_function_gets_the_given_names_and_the_context():
    schema = dict(type="dict", properties={"año": dict(type="integer"), "in": dict(type="string")}, required=["año"])
    tool = tool_from_schema("car.rental", "Rent", schema, lambda **given: sorted(given), read_only=True)
    assert list(tool.spec.parameters["properties"]) == ["ano", "in"] and tool.name == "car_rental"
    assert asyncio.run(tool.run({"ano": 2020, "in": "Rome"})) == '["año","in"]'
    async def keyed(n: int, context: Context): return f"{n} {context.idempotency_key}"
    one = dict(properties=dict(n=dict(type="int")))
    assert asyncio.run(there({"n": 3}, Context(idempotency_key="k"), schema=one, fn=keyed)) == "3 k"


def test_a_tool_without_a_function_is_unavailable():
    with pytest.raises(ToolError, match="no function stands behind it") as e: asyncio.run(there({}, schema={}))
    assert e.value.failure.kind == "unavailable"


def test_the_contract_holds():
    def slow(): __import__("time").sleep(0.5)
    with pytest.raises(ToolError, match="took longer") as e: asyncio.run(there({}, schema={}, fn=slow, timeout=0.05, read_only=True))
    assert e.value.failure.kind == "timeout"
    with pytest.raises(ToolError, match="ZeroDivisionError"): asyncio.run(there({}, schema={}, fn=lambda: 1/0))
    t = tool_from_schema("x", "", dict(properties=dict(n=dict(type="int"))), print, scopes=["net:a"], idempotent=True, preview=lambda n: f"would do {n}")
    assert (t.spec.scopes, t.spec.idempotent, t.preview({"n": 2})) == (("net:a",), True, "would do 2")


def test_alternatives_at_the_top_are_offered_flat_and_checked_whole():
    schema = dict(type="object", properties=dict(id=dict(type="string"), email=dict(type="string")), anyOf=[dict(required=["id"]), dict(required=["email"])])
    t = tool_from_schema("find", "Find a user.", schema)
    assert not list(top_complaints(t.name, t.spec.parameters)) and t.spec.description == "Find a user. Give id, or email."
    assert fits(t, {"id": "1"}) and fits(t, {"email": "a"}) and not fits(t, {}) and not fits(t, {"id": "1", "x": 2})


def test_references_are_looked_up_inside_only(monkeypatch):
    "A schema cannot make the check open a connection"
    local = {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "object", "properties": {"n": {"type": "int"}}}}}
    assert fits(tool_from_schema("a", "", local), {"p": {"n": 1}}) and not fits(tool_from_schema("a", "", local), {"p": {"n": "x"}})
    opened = []
    monkeypatch.setattr(socket.socket, "connect", lambda *a: opened.append(a))
    t = tool_from_schema("a", "", {"properties": {"p": {"$ref": "http://127.0.0.1:9/schema.json"}}})
    with pytest.raises(ToolError) as e: t.check({"p": 1})
    assert e.value.failure.kind == "unavailable" and not opened


@pytest.mark.parametrize("said, read", [
    ("dict", {"type": "object"}), ("float", {"type": "number"}), ("String", {"type": "string"}), ("any", {}), ("long", {"type": "integer"}),
    ("list[int]", dict(type="array", items=dict(type="integer"))), ("str | None", dict(anyOf=[dict(type="string"), dict(type="null")])),
    ("Dict[str, float]", dict(type="object", additionalProperties=dict(type="number"))),
    ("ArrayList<String>", dict(type="array", items=dict(type="string"))),
    ("typing.Literal['a', 'b']", dict(enum=["a", "b"])),
    ("tuple[int, float]", dict(type="array", items=dict(anyOf=[dict(type="integer"), dict(type="number")]), minItems=2, maxItems=2)),
    ("string[]", dict(type="array", items=dict(type="string"))), ("pandas.DataFrame", dict(description="Type: pandas.DataFrame.")),
    (["str", "none"], dict(type=["string", "null"]))])
def test_types_are_read(said, read): assert to_json_schema(dict(type=said)) == read


def test_quirks_are_read():
    read = to_json_schema(dict(type="dict", properties=dict(a=dict(type="boolean", default="True"), b=dict(type="integer", default="now"),
        c=dict(type="array", enum=["x", "y"]), d=dict(type="string", optional=True), e=dict(type="string", required=True),
        f=dict(type="integer", minimum=3, exclusiveMinimum=True), g=dict(type="string", nullable=True, enum=["p"])), required=["d"]))
    assert read["properties"] == dict(a=dict(type="boolean", default=True), b=dict(type="integer", description="Default: now."),
        c=dict(type="array", items=dict(enum=["x", "y"])), d=dict(type="string"), e=dict(type="string"), f=dict(type="integer", exclusiveMinimum=3),
        g=dict(type=["string", "null"], enum=["p", None], default=None))
    assert read["required"] == ["e"]


def test_a_field_may_be_a_schema_of_one_word():
    "In JSON schema `true` takes anything, and so does a field that nothing is said of"
    t = tool_from_schema("a", "", dict(type="object", properties=dict(x=True, y={})))
    assert fits(t, dict(x=None, y=None)) and fits(t, dict(x=[1])) and not fits(t, dict(z=1))
    assert fits(tool_from_schema("a", "", dict(type="object")), dict(z=1)), "a schema that names no arguments takes any"


def test_a_schema_without_an_end_is_refused():
    deep = dict(type="string")
    for _ in range(5000): deep = dict(type="array", items=deep)
    with pytest.raises(ToolDefinitionError, match="nested too deeply"): tool_from_schema("a", "", dict(properties=dict(x=deep)))
    around = {"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}}
    with pytest.raises(ToolError) as e: tool_from_schema("a", "", around).check(dict(x=1))
    assert e.value.failure.kind == "unavailable"


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ToolDefinitionError, match="two tools have the same name: a, a"): tools_from_schemas([dict(name="a"), dict(name="a")])
    order = [dict(name=n) for n in ("a.b", "a/b", "a_b")]
    assert {t.given_name: t.name for t in tools_from_schemas(order)} == {t.given_name: t.name for t in tools_from_schemas(order[::-1])}


def test_a_wrong_schema_says_where():
    with pytest.raises(ToolDefinitionError, match=r"\$\.properties\.a\.pattern"):
        tool_from_schema("a", "", dict(properties=dict(a=dict(type="str", pattern=3))))


def test_names_on_the_wire_are_always_valid_and_never_the_same():
    names = ["a.b", "a_b", "a b", "日本", "中国", "", "." * 70, "x" * 65, "x" * 66, "ok-1"]
    made = [t.name for t in tools_from_schemas([dict(name=n) for n in names])]
    assert len(set(made)) == len(names) and all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", n) for n in made) and made[-1] == "ok-1"
    assert made == [t.name for t in tools_from_schemas([dict(name=n) for n in names])] and wire_name("a.b") == "a_b"


def test_an_agent_uses_it_like_any_tool(tmp_path):
    made = []
    tool = tool_from_schema("math.power", "", dict(properties=dict(base=dict(type="integer")), required=["base"]), lambda base: made.append(base) or base**2,
        read_only=True)
    script = [call("math_power", base="3"), call("math_power", bass=3), call("math_power", base=3), "9"]
    agent = Agent(Scripted(script), [tool], store="memory:", policy=[Rule(effect="allow")])
    assert agent.run_sync("3 squared") == "9" and made == [3] and isinstance(agent.tools["math_power"], SchemaTool)
    said = [m.failure and m.failure.kind for m in agent.load(agent.store.runs()[0]).state.messages if m.role == "tool"]
    assert said == ["invalid_input", "invalid_input", None]


def test_it_can_be_taped(tmp_path):
    tool = tool_from_schema("math.power", "", dict(properties=dict(base=dict(type="integer"))), lambda base: base**2, read_only=True, preview=lambda base: "p")
    taped = Tape(tmp_path/"a.tape")(tool)
    assert asyncio.run(taped.run(dict(base=4))) == "16" and taped.preview(dict(base=4)) == "p"
    assert asyncio.run(Tape(tmp_path/"a.tape", "replay")(tool_from_schema("math.power", "", tool.spec.parameters)).run(dict(base=4))) == "16"
    with pytest.raises(ToolError, match="not of type 'integer'"): taped.check(dict(base="4"))
