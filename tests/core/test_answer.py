"A result of any type: its schema for providers, and each way in which a model may write it down."
import asyncio, pickle
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, RootModel, field_validator
from typing_extensions import TypedDict

from agentnb import Agent, Scripted
from agentnb.core.answer import AnswerType
from agentnb.core.shape import schema_error_in_text


class City(BaseModel): name: str
class River(BaseModel): length: int
class Size(TypedDict): wide: int
class Mood(Enum): calm = "calm"
@dataclass
class Spot: x: int

KINDS = [(list[City], '[{"name":"Ulm"}]'), (City | River, '{"length":7}'), (City | None, "null"), (Spot, '{"x":1}'), (Size, '{"wide":1}'), (dict[str, int],
    '{"a":1}'), (int, "3"),
    (Literal["a", "b"], '"a"'), (Mood, '"calm"'), (RootModel[list[int]], "[1]"), (tuple[int, str], '[1,"a"]'), (bool, "false"), (date, '"2026-05-04"'),
        (City, '{"name":"Ulm"}')]
SHAPES = ["{}", " \n{}\n", "\ufeff{}", "```json\n{}\n```", "```\n{}```", "~~~json\n{}\n~~~", "```json\n{}", "Here it is:\n```json\n{}\n```\nAnything else?"]


@pytest.mark.parametrize("kind, text", KINDS)
def test_every_type_is_read_bare_wrapped_and_fenced(kind, text):
    answer = AnswerType(kind)
    meant = answer.read(text)
    forms = [text, *(['{"result": ' + text + "}"] if answer.wrapped else [])]
    for said in (shape.replace("{}", form) for shape in SHAPES for form in forms):
        assert answer.read(said) == meant and schema_error_in_text(said, answer.schema) == ""
        run = Agent(Scripted([said, "never"]), result=kind, store="memory:").run("go")
        assert asyncio.run(run.wait()) == meant and run.result is run.result and run.tip.iteration == 1


@pytest.mark.parametrize("kind, text", KINDS)
def test_providers_get_the_schema_of_an_object(kind, text):
    schema = AnswerType(kind).schema
    assert schema["type"] == "object"
    if not AnswerType(kind).wrapped: return
    assert schema["required"] == ["result"] and schema["additionalProperties"] is False and "$defs" not in schema["properties"]["result"]


def test_words_are_an_answer_where_the_type_has_words():
    assert AnswerType(Mood).read("calm") is Mood.calm and AnswerType(date).read("2026-05-04") == date(2026, 5, 4)
    assert AnswerType(str).read("```sh\nls\n```") == "```sh\nls\n```" and AnswerType(str).read('{"result": "ls"}') == "ls"
    code = AnswerType(City).read('```json\n{"name": "```py\\nx\\n```"}\n```')
    assert code.name == "```py\nx\n```"


@pytest.mark.parametrize("kind, text, problem", [
    (list[City], '{"result": [{"nom": "Ulm"}]}', "0.name: Field required"), (int, "", "Invalid JSON"), (int, '{"result": 3', "Invalid JSON"), (int,
        "[" * 9000, "Invalid JSON"),
    (City, "```json\n{}\n```\n```json\n{}\n```", "Invalid JSON"), (int, "three", "Invalid JSON"), (int | str, '{"a": 1}', "Input should be")])
def test_what_does_not_fit_is_said(kind, text, problem):
    with pytest.raises(ValueError, match=problem): AnswerType(kind).read(text)
    run = Agent(Scripted([text, text, '{"result": 3}', '{"name": "Ulm"}', "[]"]), result=kind, store="memory:").run("go")
    asyncio.run(run.wait())
    assert problem in run.steps[1].body.reply.malformed and run.status == "done"


class Picky(BaseModel):
    n: int
    @field_validator("n")
    @classmethod
    def check(cls, n: int) -> int: return {1: 1}[n]

def test_a_validator_that_raises_anything_is_a_reason_to_ask_again():
    run = Agent(Scripted(['{"n": 2}', '{"n": 1}']), result=Picky, store="memory:").run("go")
    assert asyncio.run(run.wait()) == Picky(n=1) and "KeyError: 2" in run.steps[1].body.reply.malformed


@pytest.mark.parametrize("kind", [Any, dict, list, object, "City", 7, [City], (City, River), {"type": "object"}, print, lambda: City, type("Odd", (), {})])
def test_what_is_no_type_of_answers_is_refused_and_says_what_to_write(kind):
    with pytest.raises(TypeError, match="no pydantic class and no tool.* RootModel"): Agent(Scripted([]), result=kind, store="memory:")


def test_a_type_goes_to_another_process():
    assert pickle.loads(pickle.dumps(AnswerType(list[int]))).read("[1]") == [1]
