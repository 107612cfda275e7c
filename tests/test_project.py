"""The repository itself: notebooks, imports, settings, what an import costs in modules and sockets."""
import ast, subprocess, sys
from pathlib import Path

import pytest

from agentnb.settings import FREE, Settings, load_settings

ROOT = Path(__file__).parent.parent


def test_every_notebook_runs():
    "From top to bottom, offline, where nobody can answer"
    said = subprocess.run(["nbdev-test", "--n-workers", "2", "--cell-timeout", "120"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0 and "Success" in said.stdout, said.stdout + said.stderr


def test_the_quickstart_in_nbclient(tmp_path):
    "The way nbconvert, papermill and CI run it: a kernel, and nobody there"
    import nbclient, nbformat
    path = ROOT/"nbs"/"tutorials"/"01_quickstart.ipynb"
    page = nbformat.read(path, 4)
    nbclient.NotebookClient(page, timeout=60, resources=dict(metadata=dict(path=str(path.parent)))).execute()
    text = "".join(o.get("data", {}).get("text/html", "") for c in page.cells if c.cell_type == "code" for o in c.outputs)
    assert "Written to incident.md" in text and "<script" not in text


def own_imports():
    graph = {}
    for path in (ROOT/"agentnb").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package, name = parts[:-1], ".".join(parts).removesuffix(".__init__")
        if path.name == "_modidx.py" or name == "agentnb": continue
        graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom): continue
            base = ".".join(package[:len(package) - node.level + 1]) if node.level else ""
            target = ".".join(p for p in (base, node.module) if p)
            if target.startswith("agentnb."): graph[name].add(target)
    return graph


def floors(graph, name, above=()):
    assert name not in above, f"a cycle: {' -> '.join((*above, name))}"
    return 1 + max((floors(graph, below, (*above, name)) for below in graph[name]), default=0)


def test_the_imports_form_a_house_of_six_floors():
    graph = own_imports()
    assert len(graph) > 20
    house = {name: floors(graph, name) for name in graph}
    for floor in range(1, max(house.values()) + 1): print(floor, *sorted(n.removeprefix("agentnb.") for n, f in house.items() if f == floor))
    assert max(house.values()) <= 6


def test_the_engine_knows_no_view():
    graph = own_imports()
    assert not [n for n in ("agent", "actions", "log", "state", "steps") if any(".ui" in t for t in graph[f"agentnb.{n}"])]


QUIET = """
import sys
def hook(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn")): raise SystemExit(f"{event}{args}")
sys.addaudithook(hook)
import agentnb
known = "openai anthropic IPython ipywidgets anywidget xllamacpp httpx httpx2 numpy pandas langgraph langchain_core psycopg mcp jsonschema"
heavy = [m for m in known.split() if m in sys.modules]
raise SystemExit(f"heavy: {heavy}" if heavy else 0)
"""


def test_importing_is_quiet():
    "No socket, no process, no vendor SDK, no notebook machinery"
    said = subprocess.run([sys.executable, "-c", QUIET], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_what_is_imported_later_is_there_by_name_and_seen_by_editors():
    "The table, what type checkers read and what is there are the same; no name is a module's too, which would hide it"
    import importlib, agentnb
    block = next(n for n in ast.parse((ROOT/"agentnb"/"__init__.py").read_text()).body if isinstance(n, ast.If))
    seen = {a.asname: n.module.removeprefix("agentnb.") for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == agentnb._LATER and set(seen) <= set(dir(agentnb))
    assert not [name for name in seen if (ROOT/"agentnb"/f"{name}.py").exists() or (ROOT/"agentnb"/name).exists()]
    for name, module in seen.items(): assert getattr(agentnb, name) is getattr(importlib.import_module(f"agentnb.{module}"), name)
    with pytest.raises(ImportError, match="cannot import name 'nothing'"): from agentnb import nothing  # noqa: F401


def test_the_settings_file_is_complete_and_true():
    written, meant = load_settings(ROOT, environ={}), Settings()
    assert written.source == ROOT/"settings.ini"
    assert written.model_copy(update={"source": None}) == meant
    text = (ROOT/"settings.ini").read_text()
    assert [f for f in Settings.model_fields if f not in ("source", *FREE) and f"AGENTNB_{f.upper()}" not in text] == []


@pytest.mark.parametrize("name, value, text", [
    ("AGENTNB_MAX_ITERATIONS", "0", "environment variable AGENTNB_MAX_ITERATIONS: Input should be greater than 0, got '0'"),
    ("AGENTNB_BUDGET_USD", "much", "environment variable AGENTNB_BUDGET_USD"), ("AGENTNB_UNATTENDED", "yes", "environment variable AGENTNB_UNATTENDED")])
def test_a_wrong_variable_is_named(name, value, text):
    with pytest.raises(ValueError) as e: load_settings(ROOT, environ={name: value})
    assert text in str(e.value)
