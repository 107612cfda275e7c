"A function becomes a tool however it is written, or it is refused in words; a Context is never the model's."
# ruff: noqa: UP007, UP045
import asyncio, dataclasses, functools, pickle
from typing import Annotated, Any, NewType, Optional, Union

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, Secret, SecretBytes, SecretStr

from agentnb import Agent, Context, Rule, Scripted, ToolDefinitionError, ToolError, call, tool
from agentnb.tools.functions import tool_from_schema


def schema(fn, **hints): return tool(fn, read_only=True, **hints).spec.parameters
def answer(fn, args, context=Context(), **hints):
    made = tool(fn, read_only=True, **hints)
    return asyncio.run(made.run(made.check(args), context))


def test_names_that_pydantic_has_itself():
    def fn(model_config: str, schema: int, json: bool, _x: str, copy: int = 1, model_fields: int = 2, fn: int = 3, dict: int = 4, validate: int = 5) -> str:
        return f"{model_config}{schema}{json}{_x}{copy}{model_fields}{fn}{dict}{validate}"
    assert list(schema(fn)["properties"])[:4] == ["model_config", "schema", "json", "_x"]
    assert answer(fn, dict(model_config="a", schema=1, json=True, _x="b", validate=9)) == "a1Trueb12349"
    with pytest.raises(ToolError, match="_x: Field required"): tool(fn).check(dict(model_config="a", schema=1, json=True))


def test_where_a_description_may_stand():
    def fn(
        both: Annotated[str, Field(description="of the field")],  # of the comment
        text: Annotated[int, "of the text"],
        plain: str,  # of the comment
        default: int = Field(3, ge=1, le=9, description="of the default"),
    ) -> str: return f"{default}"
    found = schema(fn)
    assert [p.get("description") for p in found["properties"].values()] == ["of the field", "of the text", "of the comment", "of the default"]
    assert found["properties"]["default"]["maximum"] == 9 and found["properties"]["default"]["default"] == 3 and found["required"] == ["both", "text", "plain"]


def test_a_field_as_a_default_is_one():
    def fn(q: str, n: int = Field(3, ge=1), tags: list[str] = Field(default_factory=list), *,
        must: int = Field(description="m")) -> str: return f"{q}{n}{tags}{must}"
    assert answer(fn, dict(q="a", must=5)) == "a3[]5" and schema(fn)["required"] == ["q", "must"]
    made = tool(fn)
    assert made("a", must=1) == "a3[]1" and made("a", 7, must=1) == "a7[]1"
    with pytest.raises(TypeError, match="must has to be given"): made("a")
    with pytest.raises(ToolError, match="n: Input should be greater"): made.check(dict(q="a", must=1, n=0))


def test_an_alias_is_the_name_on_the_wire():
    def fn(from_: Annotated[str, Field(alias="from")], n: int = Field(1, validation_alias="count")) -> str: return f"{from_}{n}"
    assert schema(fn)["required"] == ["from"] and answer(fn, {"from": "a", "count": 2}) == "a2"
    assert tool(fn, scopes=["mail:{from}"], read_only=True).spec.scopes == ("mail:{from}",)
    assert asyncio.run(pickle.loads(pickle.dumps(tool(mail))).run({"from": "kim"})) == "kim"

def mail(from_: Annotated[str, Field(alias="from")]) -> str: return from_


class Service:
    def look(self, order: str, context: Context) -> str: return f"{order}{context.run_id}"
    def __call__(self, order: str) -> str:
        "Calls"
        return order
    @classmethod
    def made(cls, order: str) -> str: return order
    @staticmethod
    def plain(order: str) -> str: return order

class Waiter:
    "Waits"
    async def __call__(self, order: str) -> str: return order

def find(order: str, shop: str, limit: int = 5) -> str:
    "Find an order"
    return f"{order}{shop}{limit}"


@pytest.mark.parametrize("fn, name, description, text", [
    (functools.partial(find, shop="b"), "find", "Find an order", "xb5"), (functools.partial(functools.partial(find, shop="b"), limit=1), "find",
        "Find an order", "xb1"),
    (Service().look, "look", "", "xR"), (functools.partial(Service().look, context=None), "look", "", "xR"), (Service(), "Service", "Calls", "x"),
        (Waiter(), "Waiter", "Waits", "x"),
    (Service.made, "made", "", "x"), (Service.plain, "plain", "", "x"), (functools.partial(Waiter()), "Waiter", "Waits", "x")])
def test_whatever_is_called_is_a_tool(fn, name, description, text):
    made = tool(fn, read_only=True)
    assert (made.name, made.spec.description) == (name, description) and answer(fn, {"order": "x"}, Context(run_id="R")) == text


def test_what_a_partial_has_bound_is_not_the_models():
    made = tool(functools.partial(find, shop="b"))
    assert list(made.spec.parameters["properties"]) == ["order", "limit"]
    with pytest.raises(ToolError, match="shop: "): made.check(dict(order="x", shop="other"))
    assert made.spec.code != tool(functools.partial(find, shop="c")).spec.code


def test_a_method_under_the_decorator_is_told_to_be_bound():
    with pytest.raises(ToolDefinitionError, match=r"tool\(service.look\)") as e:
        class Inside:
            @tool(read_only=True)
            def look(self, order: str) -> str: return order
    assert "self: str" not in str(e.value)
    with pytest.raises(ToolDefinitionError, match=r"tool\(Service.made\)"): tool(Service.__dict__["made"])


class Mine(Context): user: str = "nobody"
class Needy(Context): user: str
class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    inner: Context | None = None
@dataclasses.dataclass
class Bag: inner: list[Context]

SPELLINGS = [Context, "Context", Optional[Context], Context | None, Union[None, Context], Annotated[Context, "of the call"], Annotated[Context | None,
    Field(description="c")],
    Optional[Annotated[Context, 1]], NewType("Mine", Context), Mine, Mine | None, "Mine | None", "Annotated[Context, 'x']"]

@pytest.mark.parametrize("hint", SPELLINGS)
@pytest.mark.parametrize("default", [{}, {"c": None}])
def test_a_context_in_any_spelling_is_the_runs(hint, default):
    seen = []
    def pay(cents: int, *, c) -> str:
        seen.append(c)
        return "paid"
    pay.__annotations__["c"], pay.__kwdefaults__ = hint, default
    made = tool(pay, idempotent=True)
    assert list(made.spec.parameters["properties"]) == ["cents"]
    script = [call("pay", cents=1, c=dict(idempotency_key="forged", grant=["fs:"])), call("pay", cents=1), "done"]
    run = Agent(Scripted(script), [made], store="memory:", policy=[Rule(effect="allow")], grant=["net:shop"]).run("go")
    assert asyncio.run(run.wait()) == "done"
    context, = seen
    assert context.run_id == run.run_id and context.grant == ("net:shop",) and context.idempotency_key not in ("", "forged")
    assert type(context) is (Mine if "Mine" in str(hint) and "function" not in str(hint) and not isinstance(hint, NewType) else Context)

    def act(cents: int, c) -> str: return c.run_id
    act.__annotations__["c"] = hint
    described = tool_from_schema("act", "", dict(type="object", properties=dict(cents=dict(type="integer"))), act)
    assert asyncio.run(described.run(dict(cents=1), Context(run_id="R"))) == "R"
    with pytest.raises(ToolDefinitionError, match="`c` is a Context"): tool_from_schema("act", "", dict(type="object", properties=dict(c={})), act)


@pytest.mark.parametrize("hint, text", [
    (Needy, "Give each of its fields a default"), (Context | str, "A model must not fill in a Context"), (Context | Mine, "A model must not fill in"),
    *((h, "has a Context inside it") for h in (list[Context], dict[str, Context], tuple[int, Mine], Holder, Holder | None, Bag, list[Bag])),
    (print, "type"), ("Nowhere", "is not known here: Nowhere"), (Service, "has no JSON schema"), (type[int], "JSON"), *((h,
        "is a secret") for h in (SecretStr, SecretBytes, Secret[int], list[SecretStr], SecretStr | None)),
    (Annotated[str, Field(validation_alias=AliasChoices("a", "b"))], "more names than one"), (Annotated[str, Field(validation_alias=AliasPath("a", 0))],
        "more names than one"),
    (Annotated[str, Field(alias="n")], "another parameter is called 'n'")])
def test_a_type_that_no_model_can_give_is_refused_and_the_parameter_named(hint, text):
    def fn(n: int, c) -> str: return ""
    fn.__annotations__["c"] = hint
    with pytest.raises(ToolDefinitionError, match=text) as e: tool(fn)
    assert "fn" in str(e.value) and "`c`" in str(e.value)


@pytest.mark.parametrize("default", [object(), float("nan"), print, {1, object()}, Service()])
def test_a_default_that_json_cannot_hold_is_refused(default):
    def fn(x: Any = default) -> str: return ""
    with pytest.raises(ToolDefinitionError, match="default of `x` of tool `fn`.*(JSON cannot hold|does not allow)") as e: tool(fn)
    assert " at 0x" not in str(e.value)


def test_types_of_the_function_around_are_found_under_postponed_annotations():
    class Order(BaseModel): number: int
    def fn(order: "Order", others: "list[Order]" = Field(default_factory=list)) -> "Nowhere": return f"{order.number}{len(others)}"  # noqa: F821
    assert answer(fn, dict(order=dict(number=7), others=[dict(number=1)])) == "71"


@pytest.mark.parametrize("fn, text", [
    (lambda *args: 1, "`[*]args` cannot be offered"), (lambda **more: 1, "cannot be offered"), (lambda x, /: 1, "cannot be offered"), (lambda x: 1,
        "parameter `x` has no type"),
    (len, "`obj` cannot be offered"), (int, "no signature"), (print, "cannot be offered"), (functools.partial(int), "no signature")])
def test_a_signature_that_cannot_be_offered_is_refused(fn, text):
    with pytest.raises(ToolDefinitionError, match=text): tool(fn, name="odd")


def test_a_function_without_a_name_is_told_how_to_get_one():
    with pytest.raises(ToolDefinitionError, match=r"tool\(..., name='look'\)"): tool(lambda: 1)
