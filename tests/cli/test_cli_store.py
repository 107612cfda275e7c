"""The commands that look after a store, run as a user runs them."""
import asyncio, json, os, runpy, signal, sqlite3, subprocess, sys
from datetime import UTC, datetime

import pytest

from agentnb import Agent, Scripted, open_store
from agentnb.log.listing import list_runs

AGENTNB = [sys.executable, "-c", "import sys; from agentnb.cli.main import main; sys.exit(main())"]
MINE = """
import asyncio, os, sys
from agentnb import Agent, Scripted, call, tool

def die():
    if os.environ.get("DIE"): os.kill(os.getpid(), 9)

@tool(read_only=True)
def look(x: str) -> str:
    die()
    return "full"

@tool
def pay(x: str) -> str:
    die()
    return "paid"

def make(store, first="look", name="mine"):
    return Agent(Scripted([call(first, x="a"), "all done"]), [look, pay], name=name, store=store, unattended="approve")

if __name__ == "__main__":
    store, run_id, *how = sys.argv[1:]
    print(asyncio.run(make(store, *how).run("Look at a.", run_id=run_id).wait()))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path/"mine.py").write_text(MINE)
    return tmp_path


def agentnb(folder, *args, given=None, **env):
    here = dict(os.environ, AGENTNB_STORE="sqlite:///runs.db", **env)
    return subprocess.run([*AGENTNB, *args], cwd=folder, env=here, capture_output=True, text=True, input=given)


def made(folder, *run_ids):
    "Runs of the agent in mine.py that have ended"
    mine = runpy.run_path(str(folder/"mine.py"))
    store = store_of(folder)
    for run_id in run_ids: assert asyncio.run(mine["make"](store).run("Look at a.", run_id=run_id).wait()) == "all done"
    store.close()


def killed(folder, *args):
    command = [sys.executable, "mine.py", "sqlite:///runs.db", *args]
    assert subprocess.run(command, cwd=folder, env=dict(os.environ, DIE="1"), capture_output=True).returncode == -signal.SIGKILL


def store_of(folder, name="runs.db"): return open_store(f"sqlite:///{folder}/{name}")


def test_check_says_what_is_wrong(folder):
    made(folder, "r1", "r2")
    well = agentnb(folder, "store", "check")
    assert (well.returncode, well.stderr) == (0, "") and "runs: 2, steps read: 10, problems: 0" in well.stdout
    with sqlite3.connect(folder/"runs.db") as db:
        db.execute("UPDATE steps SET payload = '{\"reply\": 7}' WHERE run_id = 'r1' AND idx = 1")
        db.execute("DELETE FROM steps WHERE run_id = 'r2' AND kind = 'started'")
    ill = agentnb(folder, "store", "check", "--store", f"sqlite:///{folder}/runs.db")
    assert ill.returncode == 1 and "agent/r1/step_1 cannot be read" in ill.stdout and "run r2 has steps, and its beginning is missing" in ill.stdout
    assert "runs: 1, steps read: 0, problems: 2" in ill.stdout and "Traceback" not in ill.stderr


def test_vacuum_says_how_much_it_gave_back(folder):
    store = store_of(folder)
    store.keep("reply", "x", "y" * 500_000, datetime.now(UTC))
    store.forget("reply", "")
    store.close()
    said = agentnb(folder, "store", "vacuum").stdout
    assert int(said.split()[1].replace(",", "")) > 400_000
    assert "runs.db: 0 bytes given back" in agentnb(folder, "store", "vacuum").stdout


def test_export_and_import(folder):
    made(folder, "r1", "r2")
    out = agentnb(folder, "store", "export")
    assert [json.loads(line)["index"] for line in out.stdout.splitlines()] == [0, 1, 2, 3, 4] * 2 and out.stderr == ""
    one = agentnb(folder, "store", "export", "r2", "--to", "r2.jsonl")
    assert "r2.jsonl: 5 steps written" in one.stdout and not (folder/"r2.jsonl.part").exists()
    assert "imported r2\n" in agentnb(folder, "store", "import", "r2.jsonl", "--store", "sqlite:///new.db").stdout
    assert "imported r1\n" in agentnb(folder, "store", "import", "--store", "sqlite:///new.db", given=out.stdout).stdout
    assert "nothing imported, everything is there already" in agentnb(folder, "store", "import", "--store", "sqlite:///new.db", given=out.stdout).stdout
    new, old = store_of(folder, "new.db"), store_of(folder)
    assert new.runs() == old.runs() and all(new.read(r) == old.read(r) for r in old.runs())


@pytest.mark.parametrize("args, text", [
    (["store", "export", "r9"], "has no run 'r9'"), (["store", "import", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file"),
    (["store", "export", "--to", "no/such/folder.jsonl"], "cannot be written"), (["store", "check", "--store", "mysql://x"], "no store 'mysql://x'"),
    (["store", "import", "mine.py"], "line 2 is no step"), (["resume"], "resume --stuck for all"), (["resume", "r1", "--stuck"], "resume --stuck for all")])
def test_mistakes_are_one_line(folder, args, text):
    made(folder, "r1")
    said = agentnb(folder, *args)
    assert said.returncode == 1 and text in said.stderr and "Traceback" not in said.stderr and len(said.stderr.splitlines()) == 1, said.stderr
    assert sorted(p.name for p in folder.iterdir() if p.suffix not in ("", ".db", ".py", ".db-wal", ".db-shm")) == []


def test_a_failed_export_leaves_the_old_file(folder):
    made(folder, "r1")
    (folder/"runs.jsonl").write_text("old")
    with sqlite3.connect(folder/"runs.db") as db: db.execute("UPDATE steps SET payload = '{}' WHERE idx = 3")
    assert agentnb(folder, "store", "export", "--to", "runs.jsonl").returncode == 1
    assert (folder/"runs.jsonl").read_text() == "old" and not (folder/"runs.jsonl.part").exists()


def test_a_reader_that_leaves_is_no_error(folder):
    for i in range(60): made_in_one(folder, i)
    shell = subprocess.run(" ".join([sys.executable, "-c", f"'{AGENTNB[2]}'", "store", "export", "|", "head", "-n", "1"]), shell=True, cwd=folder,
        env=dict(os.environ, AGENTNB_STORE="sqlite:///runs.db"), capture_output=True, text=True)
    assert json.loads(shell.stdout)["index"] == 0 and shell.stderr == ""


def made_in_one(folder, i):
    agent = Agent(Scripted(["x" * 10_000]), store=f"sqlite:///{folder}/runs.db")
    agent.run_sync(f"run {i}")


def test_stuck_runs_go_on_and_say_what_became_of_them(folder):
    killed(folder, "r1")
    killed(folder, "r2", "pay")
    killed(folder, "r3", "look", "other")
    listed = agentnb(folder, "runs").stdout
    assert sorted(line.split()[:2] for line in listed.splitlines()) == [["r1", "stuck"], ["r2", "stuck"], ["r3", "stuck"]]
    said = agentnb(folder, "resume", "--stuck", "--agent", "mine:make", "--store", "sqlite:///runs.db")
    lines = dict(line.split("  ", 1) for line in said.stdout.splitlines())
    assert said.returncode == 2 and lines["r1"] == "done: all done", said.stdout + said.stderr
    assert lines["r2"].startswith("a human must decide: Did pay(x='a') happen?") and "agentnb resume r2" in lines["r2"]
    assert lines["r3"].startswith("has the agent 'other'")
    after = {line.split()[0]: line.split()[1] for line in agentnb(folder, "runs").stdout.splitlines()}
    assert after == {"r1": "done", "r2": "waiting", "r3": "stuck"}
    again = agentnb(folder, "resume", "--stuck", "--agent", "mine:make", "--store", "sqlite:///runs.db")
    assert again.returncode == 2 and list(line.split()[0] for line in again.stdout.splitlines()) == ["r3"]


def test_nothing_is_stuck(folder):
    made(folder, "r1")
    said = agentnb(folder, "resume", "--stuck", "--agent", "mine:make", "--store", "sqlite:///runs.db")
    assert said.returncode == 0 and "no run is stuck" in said.stdout
    assert "Result:          all done" in agentnb(folder, "resume", "r1", "--agent", "mine:make", "--store", "sqlite:///runs.db").stdout


def test_a_lease_of_a_run_that_ended_or_never_began_is_given_back(folder):
    made(folder, "r1")
    store, gone = store_of(folder), "db7/4711/1/a"
    for run_id in ("r1", "r0"): store.hold(run_id, gone, -1.0)
    assert {h.run_id for h in store.leases()} == {"r0", "r1"} and list_runs(store)[0].split()[1] == "done"
    said = agentnb(folder, "resume", "--stuck", "--agent", "mine:make", "--store", "sqlite:///runs.db")
    assert said.returncode == 0 and said.stdout.splitlines() == ["r0  had not begun", "r1  done: all done"] and store.leases() == []


def test_runs_are_listed_with_their_forks_and_states():
    agent = Agent(Scripted(["x", "y"]), store="memory:", name="a")
    run = agent.run("Go.", run_id="r1")
    run.edit(max_iterations=5)
    run.fork(run_id="r2").fork(at=0, run_id="r3")
    said = {line.split()[0]: line for line in list_runs(agent.store)}
    assert "paused      2 steps  a: Go." in said["r1"] and "(forked from r1 after step 1)" in said["r2"]
    assert "a: Go.  (forked from r2 after step 0)" in said["r3"] and len(list_runs(agent.store, 2)) == 2
    agent.store.hold("r1", "elsewhere/1/1/x", 60.0)
    assert "  running " in next(line for line in list_runs(agent.store) if line.startswith("r1"))


def test_a_damaged_run_is_listed_and_left_out_of_an_export_where_that_is_said(folder):
    made(folder, "r1", "r2")
    with sqlite3.connect(folder/"runs.db") as db: db.execute("UPDATE steps SET payload = '{\"task\": 7}' WHERE run_id = 'r1' AND idx = 0")
    listed = agentnb(folder, "runs")
    assert listed.returncode == 0 and listed.stderr == ""
    assert {line.split()[0]: line.split()[1] for line in listed.stdout.splitlines()} == {"r1": "damaged", "r2": "done"}
    assert "agent/r1/step_0 cannot be read" in listed.stdout
    whole = agentnb(folder, "store", "export")
    assert whole.returncode == 1 and "agent/r1/step_0 cannot be read" in whole.stderr and "Traceback" not in whole.stderr
    rest = agentnb(folder, "store", "export", "--skip-damaged")
    assert rest.returncode == 0 and {json.loads(line)["run_id"] for line in rest.stdout.splitlines()} == {"r2"} and "r1  damaged, left out" in rest.stderr


def test_a_hidden_run_is_back_until_the_vacuum(folder):
    made(folder, "r1", "r2")
    assert "hidden: r1" in agentnb(folder, "store", "hide", "r1").stdout and "r1" not in agentnb(folder, "runs").stdout
    assert "back: r1" in agentnb(folder, "store", "hide", "r1", "--undo").stdout and "r1" in agentnb(folder, "runs").stdout
    agentnb(folder, "store", "hide", "r1")
    assert "removed r1" in agentnb(folder, "store", "vacuum").stdout and "has no run 'r1'" in agentnb(folder, "store", "hide", "r1").stderr
    assert store_of(folder).runs() == ["r2"]


def test_a_number_after_an_option_of_jupyterlab_is_not_a_run(tmp_path):
    said = subprocess.run([*AGENTNB, "lab", "--port", "8899", "--store", f"sqlite:///{tmp_path}/runs.db"], capture_output=True, text=True)
    assert said.returncode == 1 and "has no run '8899'" in said.stderr and "If it belongs to --port: --port=8899" in said.stderr
