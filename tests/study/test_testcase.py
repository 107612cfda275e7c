"""A step of a run becomes a test: it passes in a fresh process, and fails when the agent has changed."""
import asyncio, json, os, subprocess, sys

import pytest

from agentnb import RequestOpen, RunStopped, Scripted, TapeMiss, call, user
from agentnb.study.testcase import replay

ONCALL = '''
from agentnb import Agent, Context, ModelError, Reply, Rule, Scripted, Ticks, ToolError, call, tool

done = []
PROMPT = "You are an on-call assistant."
POLICY = [Rule(tool="drop", effect="deny", reason="Never drop a table.")]
SCRIPT = [call("look", where="a"), [call("restart", service="checkout"), call("look", where="b")], call("page", who="ann"), call("drop", table="t"),
    call("look", where="nowhere"), call("look", wher="a"), "All done."]


@tool(read_only=True)
def look(where: str) -> str:
    "Look at `where`"
    done.append(where)
    if where == "nowhere": raise ToolError("not_found", "there is no such place")
    return f"looked at {where}, {len(done)} times"


@tool(idempotent=True)
def restart(service: str, context: Context) -> str:
    "Restart `service`"
    done.append(service)
    return f"{service} restarted"


@tool
def page(who: str) -> str:
    "Page `who`"
    done.append(who)
    return f"{who} was paged"


@tool
def drop(table: str) -> str:
    "Drop `table`"
    done.append(table)
    return "dropped"


def make_agent(**options):
    options = dict(model=Scripted(SCRIPT), tools=[look, restart, page, drop], instructions=PROMPT, policy=POLICY, store="memory:", clock=Ticks()) | options
    return Agent(**options)


agent = make_agent(model=Scripted([]))
'''


OTHERWISE = ONCALL.replace("    done.append(where)\n", "    done.extend([where])\n")


@pytest.fixture
def oncall(tmp_path, monkeypatch):
    (tmp_path/"oncall.py").write_text(ONCALL)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("oncall", None)
    yield __import__("oncall")
    sys.modules.pop("oncall", None)


def decided(run, *decisions):
    "To the end, through requests, with what a person says to each"
    for decide in (*decisions, None):
        try: return asyncio.run(run.wait())
        except RequestOpen: decide(run.pending[0])


def whole(oncall, run_id="r1", **options):
    run = oncall.make_agent(**options).run("Checkout is slow. \"It's\" urgent\\n", run_id=run_id)
    assert decided(run, lambda p: p.approve(args={"service": "checkout-b"}), lambda p: p.reject("ann sleeps")) == "All done."
    return run


def pytest_in(folder, *names):
    "A fresh process, as a person starts it; the clone is on the path, the tests' own conftest is not there"
    said = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *names], cwd=folder,
        env=os.environ | {"AGENTNB_OFFLINE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}, capture_output=True, text=True)
    return said.returncode, said.stdout + said.stderr


def test_every_step_becomes_a_test_that_passes_in_a_fresh_process(oncall, tmp_path):
    run = whole(oncall)
    kinds, written = {s.kind for s in run.steps}, []
    assert kinds == {"started", "model", "tool", "request", "decision", "intent", "finished"}
    for step in run.steps:
        path = tmp_path/f"test_{step.index}.py"
        if step.kind in ("started", "decision"):
            with pytest.raises(ValueError, match=rf"step {step.index} of run r1 \({step.kind}\) was given to the agent"):
                run.to_test(path, "oncall:agent", at=step.index)
            assert not path.exists() and not path.with_suffix(".tape").exists()
        else: written.append(run.to_test(at=step.index, path=path, agent="oncall:agent"))
    code, said = pytest_in(tmp_path)
    assert code == 0 and f"{len(written)} passed" in said, said
    assert "looked at a, 1 times" in (tmp_path/"test_2.py").read_text()
    assert max(len(p.read_text().splitlines()) for p in written) < 20
    first = written[0].read_text().splitlines()[0]
    assert first.startswith("# Step 1 of run r1, 'Checkout is slow. \"It\\'s\" urgent") and "recorded 2026-05-04" in first


CHANGED = [
    ("prompt", "an on-call assistant", "a quick assistant", "TapeMiss", "a quick assistant"),
    ("schema", "def look(where: str)", "def look(where: str, depth: int = 1)", "TapeMiss", '"depth"'),
    ("words of a tool", "Restart `service`", "Restart the `service`", "TapeMiss", "Restart the `service`"),
    ("tool added", "[look, restart, page, drop]", "[look, restart, page, drop, tool(len_of)]", "TapeMiss", "len_of"),
    ("model", "Scripted([])", "Scripted([], name='other')", "TapeMiss", '"model": "other"'),
    ("policy asks less", "POLICY = [", "POLICY = [Rule(tool='page', effect='allow'), ", "AssertionError", "step 10 of run r1 was recorded as"),
    ("policy denies no more", 'effect="deny", reason="Never', 'effect="allow", reason="Never', "AssertionError", "drop failed  permission_denied"),
    ("validator", "def restart(service: str,", "def restart(service: Literal['checkout'],", "TapeMiss", '"const": "checkout"'),
]


def test_it_fails_when_the_agent_has_changed(oncall, tmp_path):
    "Each change is a module of its own, with a test of its own"
    run = whole(oncall)
    source = "from typing import Literal\n" + ONCALL.replace("def make_agent", "def len_of(text: str) -> int: return len(text)\n\n\ndef make_agent")
    for what, old, new, _, _ in (("nothing", "done = []", "done = [1]", "", ""), *CHANGED):
        assert source.count(old) == 1, what
        name = what.replace(" ", "_")
        (tmp_path/f"with_{name}.py").write_text(source.replace(old, new))
        run.to_test(tmp_path/f"test_{name}.py", f"with_{name}:agent", at=-1)
    code, said = pytest_in(tmp_path, "--tb=short", "-rA")
    assert code == 1 and f"{len(CHANGED)} failed, 1 passed" in said, said
    assert "PASSED test_nothing.py" in said
    for what, _, _, error, text in CHANGED: assert text in said and f"FAILED test_{what.replace(' ', '_')}.py::test_step_19_of_r1 - {error}" in said.replace(
        "agentnb.wrappers.tape.", ""), what


def test_nothing_is_called_and_no_model_is_asked(oncall, tmp_path):
    run = whole(oncall)
    run.to_test(tmp_path/"test_end.py", oncall.make_agent, at=len(run.steps) - 1)
    assert "find_agent('oncall:make_agent')" in (tmp_path/"test_end.py").read_text()
    oncall.done.clear()
    before = (tmp_path/"test_end.tape").read_bytes()
    agent = oncall.make_agent(model=Scripted(lambda *a: 1/0))
    step = replay(agent, tmp_path/"test_end.tape", "r1", len(run.steps) - 1)
    assert step.body.result == "All done." and oncall.done == [] and (tmp_path/"test_end.tape").read_bytes() == before
    assert agent.store.runs() == []


def test_a_body_that_was_changed_by_hand_on_the_tape_fails(oncall, tmp_path):
    "The assertions compare what happens now with what was recorded, not the tape with itself"
    run = whole(oncall)
    run.to_test(tmp_path/"test_2.py", "oncall:agent", at=2)
    tape = tmp_path/"test_2.tape"
    tape.write_text(tape.read_text().replace('"content": "looked at a, 1 times"', '"content": "looked elsewhere"'))
    code, said = pytest_in(tmp_path, "test_2.py")
    assert code == 1 and "looked elsewhere" in said


def test_a_fork_with_another_model_and_prompt(oncall, tmp_path):
    run = whole(oncall)
    fork = run.fork(at=2, model=Scripted([None, call("page", who="bob"), "Bob knows."], name="other"), instructions="Be quick.", run_id="f1")
    assert decided(fork, lambda p: p.approve()) == "Bob knows."
    again = fork.fork(at=-1, run_id="f2")
    again.edit(messages=[*again.tip.messages, user("And ann?")], model=Scripted([None, None, None, call("page", who="bob"), "No."], name="third"))
    assert decided(again, lambda p: p.approve()) == "No." and any(s.kind == "request" and s.body.about == "approve" for s in again.steps)
    for r in (fork, again): r.to_test(tmp_path/f"test_{r.run_id}.py", "oncall:agent", at=-1)
    code, said = pytest_in(tmp_path)
    assert code == 0 and "2 passed" in said, said
    (tmp_path/"oncall.py").write_text(ONCALL.replace("an on-call assistant", "a quick assistant"))
    code, said = pytest_in(tmp_path)
    assert code == 1 and "2 failed" in said and "TapeMiss" in said, "the prompt before the cut counts as well"


def test_a_fork_asks_before_it_repeats(oncall, tmp_path):
    run = oncall.make_agent(model=Scripted([call("page", who="ann"), "Ann knows."])).run("go", run_id="r1")
    decided(run, lambda p: p.approve())
    fork = run.fork(at=0, run_id="f1")
    decided(fork, lambda p: p.answer("she knows already"))
    request = next(s for s in fork.steps if s.kind == "request")
    assert request.body.about == "repeat"
    fork.to_test(tmp_path/"test_request.py", "oncall:agent", at=request.index)
    fork.to_test(tmp_path/"test_end.py", "oncall:agent", at=-1)
    code, said = pytest_in(tmp_path)
    assert code == 0 and "2 passed" in said, said
    assert "It was made already: r1, step" in (tmp_path/"test_request.py").read_text()


def test_a_run_that_was_cut_off_while_it_acted(oncall, tmp_path):
    run = oncall.make_agent(model=Scripted([call("page", who="ann"), "Ann knows."]), policy=[oncall.Rule(effect="allow")]).run("go", run_id="r1")
    asyncio.run(run.until(kind="intent"))
    later = oncall.make_agent(model=Scripted([call("page", who="ann"), "Ann knows."]), policy=run.agent.policy, store=run.store).load("r1")
    decided(later, lambda p: p.answer("she was paged"))
    assert [s.body.about for s in later.steps if s.kind == "request"] == ["outcome"]
    (tmp_path/"oncall.py").write_text(ONCALL.replace("POLICY = [", "POLICY = [Rule(tool='page', effect='allow'), "))
    later.to_test(tmp_path/"test_end.py", "oncall:agent", at=-1)
    code, said = pytest_in(tmp_path)
    assert code == 0, said


def test_a_run_with_edits_limits_and_a_model_that_was_away(oncall, tmp_path):
    script = [call("look", where="a"), oncall.ModelError("connection", "the server does not answer."), "Done."]
    run = oncall.make_agent(model=Scripted(lambda messages, tools, left=iter(script): next(left))).run("go", run_id="r1", max_iterations=1)
    with pytest.raises(RunStopped): asyncio.run(run.wait())
    run.edit(max_iterations=9, instructions="Be brief.", examples=(user("an example").model_copy(update={"example": True}),))
    with pytest.raises(oncall.ModelError): asyncio.run(run.wait())
    assert asyncio.run(run.wait()) == "Done."
    run.to_test(tmp_path/"test_stop.py", "oncall:agent", at=next(s.index for s in run.steps if s.kind == "finished"))
    run.to_test(tmp_path/"test_end.py", "oncall:agent", at=-1)
    code, said = pytest_in(tmp_path)
    assert code == 0 and "2 passed" in said, said
    assert "step.body.status == 'stopped'" in (tmp_path/"test_stop.py").read_text()


def test_a_run_whose_code_changed_is_played_from_the_change_on(oncall, tmp_path):
    first = oncall.make_agent(instructions="An early draft.", tools=[oncall.look, oncall.page]).run("go", run_id="r1")
    asyncio.run(first.until(kind="tool"))
    run = oncall.make_agent(store=first.store).load("r1")
    decided(run, lambda p: p.approve(), lambda p: p.reject())
    assert [s.body.about for s in run.steps if s.kind == "note"] == ["code"]
    run.to_test(tmp_path/"test_end.py", "oncall:agent", at=-1)
    assert pytest_in(tmp_path)[0] == 0
    (tmp_path/"oncall.py").write_text(OTHERWISE)
    assert pytest_in(tmp_path)[0] == 0, "a tool that is written in another way offers the same"
    (tmp_path/"oncall.py").write_text(ONCALL.replace("an on-call assistant", "a quick assistant"))
    code, said = pytest_in(tmp_path)
    assert code == 1 and "TapeMiss" in said and "a quick assistant" in said, said


def test_tools_that_a_run_was_given_later_are_played_from_there(oncall, tmp_path):
    run = oncall.make_agent(tools=[oncall.look], policy=[]).run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    other = Scripted(oncall.SCRIPT, name="other")
    fork = run.fork(tools=[oncall.look, oncall.restart, oncall.page, oncall.drop], model=other, run_id="f1")
    fork.agent.policy = tuple(oncall.POLICY)
    decided(fork, lambda p: p.approve(), lambda p: p.reject())
    fork.to_test(tmp_path/"test_end.py", "oncall:agent", at=-1)
    assert pytest_in(tmp_path)[0] == 0
    (tmp_path/"oncall.py").write_text(ONCALL.replace("tools=[look, restart, page, drop]", "tools=[look, restart]"))
    code, said = pytest_in(tmp_path)
    assert code == 1 and "TapeMiss" in said and "Page `who`" in said, said


def test_fewer_tools_are_played_from_the_start(oncall, tmp_path):
    run = whole(oncall)
    fork = run.fork(at=0, tools=[oncall.look], model=Scripted([call("look", where="a"), "Seen."], name="scripted"), run_id="f1")
    assert decided(fork) == "Seen."
    fork.to_test(tmp_path/"test_end.py", "oncall:agent", at=-1)
    assert pytest_in(tmp_path)[0] == 0
    (tmp_path/"oncall.py").write_text(OTHERWISE)
    assert pytest_in(tmp_path)[0] == 0, "a tool that is written in another way offers the same"
    (tmp_path/"oncall.py").write_text(ONCALL.replace("def look(where: str)", "def look(where: str, depth: int = 1)"))
    code, said = pytest_in(tmp_path)
    assert code == 1 and "TapeMiss" in said and "depth" in said, said


def test_code_that_changed_while_a_call_was_made(oncall, tmp_path):
    script = [call("page", who="ann"), "Ann knows."]
    run = oncall.make_agent(model=Scripted(script), policy=[oncall.Rule(effect="allow")], instructions="An early draft.").run("go", run_id="r1")
    asyncio.run(run.until(kind="intent"))
    run.engine.agent = oncall.make_agent(model=Scripted(script), policy=run.agent.policy, store=run.store)
    assert decided(run) == "Ann knows." and [s.kind for s in run.steps][2:5] == ["intent", "note", "tool"]
    (tmp_path/"oncall.py").write_text(ONCALL.replace("POLICY = [", "POLICY = [Rule(tool='page', effect='allow'), "))
    run.to_test(tmp_path/"test_end.py", "oncall:agent", at=-1)
    code, said = pytest_in(tmp_path)
    assert code == 0, said


def test_what_the_policy_refused_has_no_result_to_be_played(oncall, tmp_path):
    strict = [oncall.Rule(tool="look", effect="deny"), *oncall.POLICY]
    run = oncall.make_agent(model=Scripted([call("look", where="a"), "Not allowed."]), policy=strict).run("go", run_id="r1")
    assert decided(run) == "Not allowed."
    run.to_test(tmp_path/"test_tool.py", "oncall:agent", at=2)
    code, said = pytest_in(tmp_path)
    assert code == 1 and "TapeMiss" in said and "this request to look was never recorded" in said, said


def test_a_key_is_not_written_down(oncall, tmp_path):
    key = "sk-abcdef0123456789abcdef"
    run = oncall.make_agent(model=Scripted([call("look", where=key), f"It is {key}."])).run(f"Use {key}", run_id="r1")
    asyncio.run(run.wait())
    for i in (1, 2, 3): run.to_test(tmp_path/f"test_{i}.py", "oncall:agent", at=i)
    assert key not in "".join(p.read_text() for p in tmp_path.glob("test_*"))
    code, said = pytest_in(tmp_path)
    assert code == 0 and "3 passed" in said, said


def test_a_cell_of_a_notebook(oncall, tmp_path):
    import nbformat
    from nbclient import NotebookClient
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("from oncall import agent")])
    path = tmp_path/"page.ipynb"
    nbformat.write(page, path)
    run = whole(oncall)
    run.to_test(path, "agent", at=2)
    run.to_test(path, "oncall:agent", at=-1)
    page = nbformat.read(path, 4)
    assert len(page.cells) == 3 and page.cells[1].source.startswith("#| hide\n") and "replay(agent, 'page_step_2_of_r1.tape'" in page.cells[1].source
    nbformat.validate(page)
    NotebookClient(page, timeout=60, resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    with pytest.raises(FileExistsError, match="is there already"): run.to_test(path, "agent", at=2)
    with pytest.raises(FileNotFoundError, match="Save the notebook first"): run.to_test(tmp_path/"nosuch.ipynb", "agent", at=2)
    assert json.loads(path.read_text())["nbformat"] == 4


def test_what_cannot_be_written_is_said(oncall, tmp_path):
    run = whole(oncall)
    for wrong in ("agent", "oncall", "on call:agent", "__main__:agent", "oncall:make_agent()", lambda: oncall.agent):
        with pytest.raises(ValueError, match="name how the test gets its agent"): run.to_test(tmp_path/"test_x.py", wrong, at=2)
    with pytest.raises(ValueError, match="written to a .py file or a notebook"): run.to_test(tmp_path/"test_x.txt", "oncall:agent", at=2)
    with pytest.raises(IndexError, match="has steps 0 to"): run.to_test(tmp_path/"test_x.py", "oncall:agent", at=99)
    assert not list(tmp_path.glob("test_x*"))
    run.to_test(tmp_path/"test_x.py", "oncall:agent", at=2)
    with pytest.raises(FileExistsError, match="test_x.tape is there already"): run.to_test(tmp_path/"test_x.py", "oncall:agent", at=2)
    with pytest.raises(TapeMiss, match="holds no recording of step 3 of run r1"): replay(oncall.agent, tmp_path/"test_x.tape", "r1", 3)


def test_two_replies_to_one_request_are_refused(oncall, tmp_path):
    script = iter(["one", "two"])
    run = oncall.make_agent(model=Scripted(lambda messages, tools: next(script))).run("go", run_id="r1")
    asyncio.run(run.wait())
    run.edit(messages=[user("go")])
    assert asyncio.run(run.wait()) == "two"
    with pytest.raises(ValueError, match="asked the same twice and got two replies, the second at step 4"):
        run.to_test(tmp_path/"test_x.py", "oncall:agent", at=-1)
    assert not list(tmp_path.glob("test_x*"))
    run.to_test(tmp_path/"test_x.py", "oncall:agent", at=2)


def test_the_place_that_is_looked_at_is_tested(oncall, tmp_path):
    run = whole(oncall)
    run.at(2).to_test(tmp_path/"test_x.py", "oncall:agent")
    assert "def test_step_2_of_r1" in (tmp_path/"test_x.py").read_text()
