"""Runs and tools of MCP servers where processes, threads and loops are used as people use them: forked, pre-forked, spawned, nested, stopped in the middle."""
# ruff: noqa: E402
import subprocess, sys, textwrap

import pytest

from needs import need_modules
from places import HELPERS, child_env

need_modules("mcp")

pytestmark = pytest.mark.server

BEGIN = """
import asyncio, os, sys, multiprocessing, threading, signal, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from agentnb import Agent, Rule, Scripted, call, tool, tools_from_mcp, open_store
folder = Path(sys.argv[1])
command = [sys.executable, "-S", {helper!r}, "plain", str(folder)]
@tool
def act_here() -> str:
    "Does it"
    return "done"
def agent(tools, name="act"): return Agent(Scripted([call(name), "Done."]), tools, store=f"sqlite:///{{folder}}/runs.db", policy=[Rule(effect="allow")])
""".format(helper=str(HELPERS/"mcp_hostile.py"))


def child(tmp_path, code, seconds=150):
    "What a script printed"
    (tmp_path/"script.py").write_text(BEGIN + textwrap.dedent(code))
    done = subprocess.run([sys.executable, str(tmp_path/"script.py"), str(tmp_path)], capture_output=True, text=True, timeout=seconds, env=child_env())
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def runs(tmp_path):
    from agentnb import open_store
    from agentnb.store.protocol import read_run
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    return [read_run(store, r)[-1].body.status for r in store.runs()]


def test_a_forked_process_connects_for_itself(tmp_path):
    said = child(tmp_path, """
        with tools_from_mcp(command) as client:
            print(agent(client.tools).run_sync("parent"))
            pid = os.fork()
            if not pid:
                print(agent(client.tools).run_sync("child"), flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
            print(agent(client.tools).run_sync("parent"))
        """)
    assert said == ["Done."] * 3 and runs(tmp_path) == ["done"] * 3


def test_workers_that_are_forked_before_share_an_agent(tmp_path):
    said = child(tmp_path, """
        client = tools_from_mcp(command).__enter__()
        made = agent([*client.tools, act_here])
        pids = []
        for n in range(3):
            pid = os.fork()
            if not pid:
                for name in ("act", "act_here"): print(agent(made.tools.values(), name).run_sync(f"{n} {name}"), flush=True)
                os._exit(0)
            pids.append(pid)
        for pid in pids: os.waitpid(pid, 0)
        client.__exit__()
        """)
    assert said == ["Done."] * 6 and runs(tmp_path) == ["done"] * 6


def test_multiprocessing_by_fork_and_spawn(tmp_path):
    said = child(tmp_path, """
        def work(n):
            with tools_from_mcp(command) as client: return agent(client.tools).run_sync(str(n))
        if __name__ == "__main__":
            agent([act_here], "act_here").run_sync("before")
            for how in ("fork", "spawn"):
                with multiprocessing.get_context(how).Pool(2) as pool: print(*pool.map(work, range(2)))
        """)
    assert said == ["Done."] * 4 and len(runs(tmp_path)) == 5


def test_threads_with_loops_of_their_own_share_a_client(tmp_path):
    said = child(tmp_path, """
        with tools_from_mcp(command) as client:
            def work(n): print(asyncio.run(agent(client.tools).run(str(n)).wait()) or "Done.", flush=True)
            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for t in threads: t.start()
            for t in threads: t.join()
        """)
    assert len(said) >= 4 and runs(tmp_path) == ["done"] * 4


def test_run_sync_inside_a_running_loop(tmp_path):
    said = child(tmp_path, """
        async def main():
            async with tools_from_mcp(command) as client:
                print(agent(client.tools).run_sync("nested"))
                print(await asyncio.to_thread(agent(client.tools).run_sync, "thread"))
        asyncio.run(main())
        """)
    assert said == ["Done."] * 2


def test_a_call_that_is_interrupted_is_asked_about_and_not_made_again(tmp_path):
    said = child(tmp_path, """
        command[3] = "silent"
        client = tools_from_mcp(command).__enter__()
        made = agent(client.tools)
        run = made.run("go", run_id="r1")
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        async def go(): await run.until()
        try: asyncio.run(go())
        except KeyboardInterrupt: print("stopped")
        async def again():
            found = made.load("r1")
            await found.until()
            print(*[p.about for p in found.pending])
        asyncio.run(again())
        client.__exit__()
        """)
    assert said == ["stopped", "outcome"] and (tmp_path/"log").read_text().splitlines().count('"call"') == 1


CELLS = """%load_ext autoreload
%autoreload 2
---
from agentnb import Agent, Rule, Scripted, call, tools_from_mcp
client = await tools_from_mcp({command!r})
made = Agent(Scripted([call("act"), "Done."]), client.tools, store={store!r}, policy=[Rule(effect="allow")])
await made.run("one")
---
made.run_sync("two")
---
import nest
[await made.run(str(n)) for n in nest.numbers]
---
import pathlib, time
time.sleep(1.1)
pathlib.Path(nest.__file__).write_text("numbers = [5, 6, 7]")
---
[await made.run(str(n)) for n in nest.numbers]
"""


def test_a_notebook_as_papermill_runs_it_with_autoreload(tmp_path):
    import nbclient, nbformat
    (tmp_path/"nest.py").write_text("numbers = [3, 4]")
    command = [sys.executable, "-S", str(HELPERS/"mcp_hostile.py"), "plain", str(tmp_path)]
    cells = [c.strip() for c in CELLS.format(command=command, store=f"sqlite:///{tmp_path}/runs.db").split("---")]
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(page, timeout=60, kernel_name="python3", resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    shown = ["".join(o["data"]["text/plain"] for o in c.outputs if o.output_type == "execute_result") for c in page.cells]
    assert shown[1] == shown[2] == "'Done.'" and shown[3].count("Done.") == 2 and shown[5].count("Done.") == 3 and len(runs(tmp_path)) == 7
