"Values are frozen dataclasses that pydantic validates: what their fields may be, and what they are equal to."
import copy, pickle
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, Field, ValidationError

from agentnb.core.messages import Call, ToolSpec, Usage, user
from agentnb.core.value import Value
from agentnb.engine.policy import Rule
from agentnb.tools.tool import ToolError, tool
from agentnb.views.tree import parts


class Disk(Value):
    name: str
    used: int = Field(default=0, ge=0, le=100)
    mounts: dict[str, str] = {}
    notes: list[str] = Field(default_factory=list)
    seen: ClassVar[list[str]] = []
    key: str = Field(default="", repr=False, exclude=True)


def test_a_field_that_is_written_with_Field_is_as_the_others():
    made, built = Disk(name="sda"), Disk.model_construct(name="sda")
    assert list(vars(made)) == list(vars(built)) == ["name", "used", "mounts", "notes", "key"] and made == built
    with pytest.raises(ValidationError, match="positional"): Disk("sda")
    with pytest.raises(ValidationError, match="less than or equal to 100"): Disk(name="sda", used=101)


def test_a_value_is_made_of_checked_parts_by_name():
    with pytest.raises(TypeError, match=r"Disk.model_construct\(\) missing 1 required keyword-only argument: 'name'"): Disk.model_construct(used=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"): Disk.model_construct(name="sda", size=1)
    class Encrypted(Disk): cipher: str = "aes"
    for _ in range(2): assert Encrypted.model_construct(name="sda").cipher == "aes" and type(Disk.model_construct(name="sda")) is Disk
    class Odd(Value):
        made: int = 1
        cls: int = 2
        new: int = 3
        cls_: int = 4
        set_: int = 5
    assert Odd.model_construct(new=4) == Odd(new=4) and Odd.model_construct.__module__ == __name__
    with pytest.raises(TypeError, match="model_construct would not count"):
        class Own(Disk):
            @classmethod
            def model_construct(cls, **given): return None


def test_a_sum_of_usage_has_every_field():
    ones = {k: 1 for k, f in Usage.model_fields.items() if f.annotation is int}
    both = Usage(**ones, other=dict(a=1)) + Usage(**ones, other=dict(a=1, b=1), estimated=True)
    assert both == Usage(**dict.fromkeys(ones, 2), other=dict(a=2, b=1), estimated=True)
    assert set(Usage.model_fields) == {*ones, "other", "estimated"}


def test_what_is_not_for_the_log_is_neither_shown_nor_written():
    disk = Disk(name="sda", key="hunter2")
    assert disk.key == "hunter2" and "hunter2" not in repr(disk) + disk.model_dump_json() and "key" not in disk.model_dump()


def test_equal_values_have_the_same_hash():
    asked, again = user("why?"), user("how?").model_copy(update=dict(content="why?"))
    assert asked == again and len({asked, again}) == 1 and asked != user("how?")


def test_values_do_not_share_what_can_be_changed():
    Disk(name="a").mounts["/"] = "sda1"
    ToolSpec(name="look").parameters["properties"]["n"] = 1
    assert Disk(name="b").mounts == {} and ToolSpec(name="look").parameters["properties"] == {}


@pytest.mark.parametrize("same", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v)), lambda v: v.model_copy(deep=True),
    lambda v: type(v).model_validate_json(v.model_dump_json()), lambda v: type(v).model_validate(v.model_dump())])
def test_a_copy_is_equal(same):
    disk = Disk(name="sda", used=3, mounts={"/": "sda1"})
    assert same(disk) == disk and type(same(disk)) is Disk


@pytest.mark.parametrize("base, body, lost", [(Rule, dict(tool="delete_*"), "tool"), (Disk, dict(used=3, name="sda"), "used, name"),
    (Value, dict(__init__=lambda self, **given: None), "__init__"), (Value, dict(model_config={}), "model_config"),
    (Value, dict(model_post_init=lambda self, context: None), "model_post_init"), (Value, dict(__annotations__=dict(_key=str), _key=""), "_key")])
def test_what_a_dataclass_would_pass_over_in_silence_is_refused(base, body, lost):
    with pytest.raises(TypeError, match=f"^Mine: {lost} would not count"): type("Mine", (base,), body)


def test_a_field_that_is_declared_again_without_a_default_is_required():
    class Reasoned(Rule): reason: str
    class Named(Call): args: dict[str, Any]
    for kind in (Reasoned, lambda: Named(id="1", tool="look")):
        with pytest.raises(ValidationError, match="Field required"): kind()
    assert Reasoned(reason="at night").reason == "at night"


class Late(Value): part: "Annotated[Part | None, Field(default=None)]"

class Part(Value): size: int = 1

def test_a_field_may_name_a_class_that_comes_later():
    assert Late() == Late.model_construct() and Late(part=dict(size=2)).part == Part(size=2)


def test_a_value_is_the_state_of_a_langgraph_graph():
    graphs, saver = pytest.importorskip("langgraph.graph"), pytest.importorskip("agentnb.langgraph.saver").AgentnbSaver("memory:")
    built = graphs.StateGraph(Counted)
    built.add_node("add", lambda state: Counted(n=state.n + 1))
    built.add_edge(graphs.START, "add")
    built.add_edge("add", graphs.END)
    assert built.compile(checkpointer=saver).invoke(dict(n=1), dict(configurable=dict(thread_id="1"))) == dict(n=2)

class Counted(Value): n: int = 0


def test_an_unknown_field_of_an_argument_is_said_in_words():
    @tool(read_only=True)
    def mount(disk: Disk) -> str: return disk.name
    with pytest.raises(ToolError, match="disk.size: there is no such field"): mount.check(dict(disk=dict(name="sda", size=3)))


def test_the_tree_shows_an_object_that_lacks_a_field():
    class Their(BaseModel):
        a: int
        b: int = 2
    assert parts(Their.model_construct(b=3)) == [("b", 3)] and parts(Disk(name="sda", used=3)) == [("name", "sda"), ("used", 3)]
