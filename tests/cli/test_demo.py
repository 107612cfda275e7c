"""The commands that run an agent, and the demo with the embedded model: no script and no recording in this file."""
import asyncio, os, re, signal, subprocess, sys

import pytest
from crash_child import pay_agent

from agentnb import open_store

RIGHT = "Written to incident.md: restart the checkout service one pod at a time."
AGENTNB = [sys.executable, "-c", "import sys; from agentnb.cli.main import main; sys.exit(main())"]
HERE = dict(os.environ, AGENTNB_LOCAL_ENDPOINTS="http://127.0.0.1:9/v1")


def agentnb(folder, *args, env=HERE): return subprocess.run([*AGENTNB, *args], cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


DEMOS = """import os, sys
from agentnb.cli.main import main
for folder in sys.argv[1:]:
    os.chdir(folder)
    if code := main(["demo"]): sys.exit(code)
    print("=" * 80, flush=True)"""


@pytest.mark.model
def test_the_demo_is_right_five_times_in_a_row(tmp_path):
    "In one process, which loads the model once; each in a folder of its own"
    folders = [tmp_path/str(i) for i in range(5)]
    for folder in folders: folder.mkdir()
    said = subprocess.run([sys.executable, "-c", DEMOS, *folders], env=HERE, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert said.returncode == 0, said.stdout + said.stderr
    demos = said.stdout.split("=" * 80)[:-1]
    assert len(demos) == 5
    for text, folder in zip(demos, folders):
        assert f"Result:          {RIGHT}" in text and "approved by policy" in text
        assert "agentnb lab " in text and f"{folder.name}/runs.db" in text and "tokens" in text
        assert re.fullmatch(r"- restart the checkout service one pod at a time\. <!-- \w{32} -->\n", (folder/"incident.md").read_text())


@pytest.mark.model
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 6, 7])
def test_the_demo_killed_and_resumed(tmp_path, after, model_server):
    "SIGKILL once step `after` is printed; `agentnb resume` goes on from the last durable step and ends right. Once the model dies too"
    env = HERE if after == 4 else dict(HERE, AGENTNB_LOCAL_ENDPOINTS=model_server)
    child = subprocess.Popen([sys.executable, "-u", *AGENTNB[1:], "demo"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    for line in child.stdout:
        if line.startswith(f"{after:3} "): break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    run_id = store.runs()[0]
    kept = store.read(run_id)
    assert len(kept) > after
    said = agentnb(tmp_path, "resume", run_id, env=env)
    assert said.returncode == 0 and RIGHT in said.stdout, said.stdout + said.stderr
    assert store.read(run_id)[:len(kept)] == kept
    assert (tmp_path/"incident.md").read_text().count("\n") == 1


def test_the_terminal_tells_an_unknown_outcome_from_a_wish(tmp_path):
    from agentnb.cli.main import answer
    run = pay_agent(tmp_path).run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve()
    asyncio.run(run.until(kind="intent"))
    run = pay_agent(tmp_path).load("r1")
    asyncio.run(run.until())
    said = iter(["yes", "h", "it was paid"])
    answer(next(p for p in run.pending if p.request.about == "outcome"), ask=lambda _: next(said), show=lambda _: None)
    assert [m.content for m in run.state.messages if m.role == "tool"] == ["it was paid"] and not (tmp_path/"effects").exists()


@pytest.mark.parametrize("args, text", [
    (["resume", "R", "--agent", "json:dumps"], "json:dumps cannot be called with nothing"), (["runs", "--nonsense"], "unrecognized arguments: --nonsense"),
    (["resume", "R", "--agent", "nowhere:x"], "no agent 'nowhere:x'"), (["show", "R"], "there is no such file")])
def test_the_command_line_names_the_mistake(tmp_path, args, text):
    said = agentnb(tmp_path, *args)
    assert said.returncode in (1, 2) and re.search(text, said.stderr) and "Traceback" not in said.stderr, said.stderr


def test_a_store_named_for_the_lab_is_found_from_its_folder(tmp_path, monkeypatch):
    from agentnb.host.settings import load_settings, store_url
    monkeypatch.chdir(tmp_path)
    assert store_url(load_settings(tmp_path, environ={}), "sqlite:///mine.db") == f"sqlite:///{tmp_path.resolve()}/mine.db"


def test_an_agent_that_is_made_already_takes_no_choices(tmp_path):
    (tmp_path/"mine.py").write_text("from agentnb import Agent, Scripted\nagent = Agent(Scripted([]), store='memory:')\n")
    said = agentnb(tmp_path, "resume", "R", "--agent", "mine:agent", "--store", "sqlite:///other.db")
    assert said.returncode == 1 and "mine:agent is an agent already, so store cannot be chosen here" in said.stderr
