"""A run whose code is lost says where that code was: the module or the cell, and the commit; what git writes is read as git reads it."""
import asyncio, subprocess, sys, warnings
from pathlib import Path

import pytest
from agentnb import Agent, AgentMismatch, Scripted, open_store
from agentnb.core.steps import Defined, Started, Step
from agentnb.host.commits import commit_of
from agentnb.store.protocol import read_run
from agentnb.tools.origins import origin_words, parts_of

SHOP = '''
from agentnb import Agent, Scripted, call, tool
@tool
def restart(service: str) -> str:
    "Restart"
    return "restarted"
def make(store): return Agent(Scripted([call("restart", service="db"), "done"]), [restart], name="shop", store=store)
'''


def git(folder, *what):
    return subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *what], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def shop(tmp_path, monkeypatch):
    (tmp_path/"src").mkdir()
    (tmp_path/"src"/"shop_of_old.py").write_text(SHOP)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.syspath_prepend(str(tmp_path/"src"))
    yield tmp_path
    sys.modules.pop("shop_of_old", None)


def begun(shop, store):
    import shop_of_old
    run = shop_of_old.make(store).run("Restart db", run_id="r1")
    asyncio.run(run.until())
    assert run.pending
    return run


def test_lost_code_is_named_with_module_and_commit(shop):
    store = open_store("memory:")
    run, commit = begun(shop, store), git(shop, "rev-parse", "HEAD").strip()
    with pytest.warns(UserWarning, match="`restart` in the module shop_of_old") as said: again = Agent(Scripted(["x"]), name="shop", store=store).load("r1")
    assert commit in str(said[0].message) and "src/shop_of_old.py" in str(said[0].message) and str(shop) not in str(said[0].message)
    run.pending[0].approve()
    with pytest.raises(AgentMismatch, match=f"open call of restart.*the module shop_of_old.*{commit}"): asyncio.run(again.wait())
    with pytest.raises(AgentMismatch, match=f"begun by the agent 'shop'.*Agent was defined in the module shop_of_old.*{commit}"):
        Agent(Scripted(["x"]), name="other", store=store).load("r1")
    assert "commit" not in repr(run.steps[0]) and "shop_of_old" not in repr(run.steps[0])
    assert "shop_of_old" not in (run._repr_html_() or "") and "shop_of_old" not in (run.steps[0]._repr_html_() or "")


def test_a_file_that_was_changed_is_said_so(shop):
    store = open_store("memory:")
    (shop/"src"/"shop_of_old.py").write_text(SHOP + "\n")
    begun(shop, store)
    assert all(origin.changed for origin in read_run(store, "r1")[0].body.defined) and "changed since" in origin_words(read_run(store, "r1"), "agent")


def test_nothing_is_said_where_nothing_is_lost_or_known(shop):
    store = open_store("memory:")
    run = begun(shop, store)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.agent.load("r1")
        plain = Step.model_validate(run.steps[0].model_dump(mode="json") | dict(run_id="old", body=run.steps[0].body.model_dump(mode="json") | {"defined": []}))
        store.append(plain)
        Agent(Scripted(["x"]), name="shop", store=store).load("old")
    log = run.steps[0].body.model_dump_json()
    old = Started.model_validate({k: v for k, v in run.steps[0].body.model_dump(mode="json").items() if k != "defined"})
    assert old.defined == () and Started.model_validate_json(log).defined == run.steps[0].body.defined


def test_one_agent_looks_at_its_files_once(monkeypatch):
    looks = []
    monkeypatch.setattr("agentnb.tools.origins.commit_of", lambda file: looks.append(file) or commit_of(file))
    agent = Agent(Scripted(["x"] * 50), store="memory:")
    for n in range(20): agent.run("go", run_id=f"r{n}")
    assert len(looks) == 1


def test_git_is_read_as_git_reads_it(tmp_path):
    "A branch, a detached head, packed refs, a worktree, a new file, an edit, a staged file"
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path).name == ""
    (tmp_path/"a b.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    assert commit_of(tmp_path/"a b.py")[1:] == (head, False)
    (tmp_path/"b.py").write_text("1")
    assert commit_of(tmp_path/"b.py").changed is True
    git(tmp_path, "pack-refs", "--all")
    assert commit_of(tmp_path).name == head
    git(tmp_path, "worktree", "add", "-q", str(tmp_path/"tree"), "-b", "side")
    (tmp_path/"tree"/"a b.py").write_text("2")
    assert commit_of(tmp_path/"tree"/"a b.py") == (str(tmp_path/"tree"), head, True)
    git(tmp_path, "checkout", "-q", "--detach")
    assert commit_of(tmp_path).name == head


@pytest.mark.parametrize("head", ["", "ref: refs/heads/none", "ref: ../../../etc/none", "\0"])
def test_a_broken_repository_is_none(tmp_path, head):
    (tmp_path/".git").mkdir()
    (tmp_path/".git"/"HEAD").write_text(head)
    (tmp_path/".git"/"index").write_bytes(b"DIRC" + b"\0" * 3)
    (tmp_path/"x.py").write_text("1")
    assert commit_of(tmp_path/"x.py").changed in (None, True)


CELLS = '''
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def cell(code, id):
    shell.parent_header = {"metadata": {"cellId": id}}
    shell.run_cell(code, store_history=True).raise_error()
cell("from agentnb import Agent, Scripted, call, tool\\n@tool\\ndef restart(service: str) -> str: return 'x'", "3fa2")
cell("agent = Agent(Scripted([call('restart', service='db'), 'x']), [restart], name='shop', store='sqlite:///runs.db')", "77bb")
cell("run = agent.run('go', run_id='r1')\\nimport asyncio, threading", "99")
cell("t = threading.Thread(target=lambda: asyncio.run(run.until()))\\nt.start(); t.join()", "99")
'''


def test_a_notebook_says_its_cells(tmp_path):
    git(tmp_path, "init", "-q")
    env = {**__import__("os").environ, "JPY_SESSION_NAME": str(tmp_path/"shop.ipynb"), "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path/"ipython")}
    done = subprocess.run([sys.executable, "-c", CELLS], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    steps = read_run(open_store(f"sqlite:///{tmp_path}/runs.db"), "r1")
    said = origin_words(steps, "tool restart", "agent")
    assert "Tool restart was defined as `restart` in cell 3fa2 In [1] of shop.ipynb" in said and "Agent was defined in cell 77bb In [2] of shop.ipynb" in said
    assert parts_of(steps)["agent"] == Defined(names={"agent": ""}, module="__main__", file="shop.ipynb", cell="77bb", number=2, changed=None)
    assert Path(tmp_path/"runs.db").exists()
