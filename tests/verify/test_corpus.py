"""Faulty answers are stopped and clean ones are not: pairs written by hand (tests/data/verify), one word or figure apart."""
import json

import pytest
from places import DATA

from agentnb.core.messages import Failure, Message, call
from agentnb.core.state import State
from agentnb.toolbox.sandbox import sandbox_problem
from agentnb.verify.fitting import schema
from agentnb.verify.grounded import errors_told, quotes
from agentnb.verify import tested
from needs import missing

CORPUS = json.loads((DATA/"verify"/"answers.json").read_text())
CHECK = "from cart import total\nassert total([dict(price=2, count=3), dict(price=1, count=1)]) == 7\n" \
    "assert total([dict(price=5, count=2)]) == 10\nassert total([]) == 0\n"


def state_of(pair):
    "A run that read the sources, and whose last call failed where the pair says so"
    made, said = [], list(CORPUS["sources"][pair["source"]])
    for i, text in enumerate(said):
        made.append(Message(role="assistant", calls=(call("fetch", n=i).model_copy(update={"id": f"c{i}"}),)))
        made.append(Message(role="tool", tool="fetch", call_id=f"c{i}", content=text))
    if failed := pair.get("failed"):
        made.append(Message(role="assistant", calls=(call(failed["tool"]).model_copy(update={"id": "f"}),)))
        made.append(Message(role="tool", tool=failed["tool"], call_id="f", failure=Failure(kind="unavailable", message=failed["message"])))
    return State(messages=tuple(made))


def gate_of(pair, which, folder):
    if pair["kind"] == "schema": return schema(CORPUS["schema"])
    if pair["kind"] == "error": return errors_told()
    if pair["kind"] != "tests": return quotes(tools=["fetch"])
    (folder/"cart.py").write_text(pair["files"][which])
    (folder/"check.py").write_text(CHECK)
    return tested.tests_pass("python check.py", folder)


def stopped(kinds, which, folder):
    "The pairs whose answer is refused"
    for i, pair in enumerate(CORPUS["pairs"]):
        if pair["kind"] not in kinds: continue
        (place := folder/f"{which}{i}").mkdir()
        if not gate_of(pair, which, place)(pair[which], state_of(pair)).passed: yield i


QUICK = ["citation", "number", "file", "error", "schema"]


def test_the_corpus_is_large_enough():
    assert len(CORPUS["pairs"]) >= 60 and {p["kind"] for p in CORPUS["pairs"]} == {*QUICK, "tests"}


@pytest.mark.parametrize("kind", QUICK)
def test_the_faulty_ones_are_stopped_and_no_clean_one(kind, tmp_path):
    pairs = [i for i, p in enumerate(CORPUS["pairs"]) if p["kind"] == kind]
    show = lambda found, which: [CORPUS["pairs"][i][which] for i in found]
    assert show(stopped([kind], "clean", tmp_path), "clean") == []
    assert show(set(pairs) - set(stopped([kind], "faulty", tmp_path)), "faulty") == []


def test_failing_tests_are_stopped(tmp_path):
    if problem := sandbox_problem(): missing("bubblewrap", f": {problem}")
    pairs = [i for i, p in enumerate(CORPUS["pairs"]) if p["kind"] == "tests"]
    assert list(stopped(["tests"], "faulty", tmp_path)) == pairs
    assert list(stopped(["tests"], "clean", tmp_path)) == []
