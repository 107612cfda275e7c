"""A yes at the terminal: what was typed ahead is none, a held key is none, and what may destroy takes a word."""
# ruff: noqa: E501
import asyncio, os, pty, subprocess, sys, time

import pytest

from agentnb import Agent, Scripted, call, tool
from agentnb.cli.main import answer, follow

PROGRAM = """
import asyncio
from agentnb import Agent, Scripted, call, tool
from agentnb.cli.main import answer
@tool(destructive=DESTRUCTIVE)
def drop(table: str) -> str: return "gone"
run = Agent(Scripted([tuple(call("drop", table=t) for t in "abc"), "done"]), [drop], store="memory:").run("x")
async def go():
    await run.until()
    print("READY", flush=True)
    input()
    try:
        for p in run.pending: answer(p)
    finally: print("DECIDED", sum(s.kind == "decision" for s in run.steps), flush=True)
asyncio.run(go())"""


def at_terminal(destructive, type_into):
    "What a person at a terminal brings about"
    here, there = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", PROGRAM.replace("DESTRUCTIVE", str(destructive))], stdin=there, stdout=there, stderr=there, start_new_session=True)
    os.close(there)
    said = b""

    def wait(text, seconds=20):
        nonlocal said
        end = time.monotonic() + seconds
        while text not in said:
            assert time.monotonic() < end, said
            said += os.read(here, 4096)
        said = said.partition(text)[2]
    try:
        wait(b"READY")
        return type_into(lambda text: os.write(here, text), wait)
    finally:
        child.kill()
        child.wait()
        os.close(here)


def test_what_was_typed_ahead_is_no_answer():
    def person(write, wait):
        write(b"\ny\ny\ny\na\n")   # the first line lets the program ask
        wait(b"[r]eject: ")
        time.sleep(0.2)
        write(b"\x04")   # nobody types any more
        wait(b"DECIDED 0")
    at_terminal(False, person)


def test_a_line_typed_after_the_question_is_one_answer():
    def person(write, wait):
        write(b"\n")
        wait(b"[r]eject: ")
        write(b"y\ny\ny\n")
        wait(b"[r]eject: ")
        time.sleep(0.2)
        write(b"\x04")
        wait(b"DECIDED 1")
    at_terminal(False, person)


def asked(destructive, **args):
    @tool(destructive=destructive)
    def drop(table: str) -> str: return "gone"
    run = Agent(Scripted([call("drop", table="a", **args), "done"]), [drop], store="memory:").run("x")
    asyncio.run(run.until())
    return run


@pytest.mark.parametrize("lines, verdict", [(["y", "y", "y", "y", "r", ""], "reject"), (["y", "drop"], "approve"), (["y", "Drop", "y", " drop "], "approve"), (["table=b", "y", "n", ""], "reject"), (["table=b", "drop"], "approve")])
def test_what_may_destroy_takes_its_name(lines, verdict):
    run, said, shown = asked(True), iter(lines), []
    answer(run.pending[0], ask=lambda _: next(said), show=shown.append)
    assert run.steps[-1].body.verdict == verdict and not list(said)
    assert any("Can be undone: no." in line for line in shown)


def test_what_does_not_destroy_takes_one_line():
    run = asked(False)
    answer(run.pending[0], ask=lambda _: "y", show=lambda _: None)
    assert run.steps[-1].body.verdict == "approve"


def test_a_step_cannot_write_over_the_terminal():
    shown = []
    run = follow(Agent(Scripted(["\x1b[2J\x1b[Hfine \u202e"]), store="memory:").run("x\x1b[1A"), shown.append)
    asyncio.run(run.wait())
    assert not set("".join(shown)) & set("\x1b\u202e") and "\\x1b[2J" in "".join(shown)
