"""The house: who imports whom, from which room; what an import costs in modules and sockets."""
import ast, re, subprocess, sys
from functools import cache

import pytest
from places import ROOT, TESTS

DOORS = {   # modules that name others to load them later, and why
    "agentnb": "names that need an extra or much time are imported when they are asked for; `python -m` and `%load_ext` begin here",
    "agentnb.cascade": "the same, for what needs numpy and pandas",
    "agentnb.routing": "the same",
    "agentnb.verify": "the gates that ship, by name: none is loaded before it is asked for",
    "agentnb.cli.main": "the demo's agent, named as a person names their own",
    "agentnb.host.show": "a value asks to be shown: views draw it, and the ui shows a run"}


@cache
def own_imports():
    "Who names whom: every import of an own module, at the top, inside a function, under TYPE_CHECKING, by a name in a string"
    paths = [p for p in (ROOT/"agentnb").rglob("*.py") if p.name != "_modidx.py"]
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}
    graph, hidden = {}, set()
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        top, graph[name] = {id(n) for n in tree.body}, set()
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree):
            found = set()
            if isinstance(node, ast.ImportFrom):
                parts = package.split(".")
                base = ".".join(parts[:len(parts) - node.level + 1]) if node.level else ""
                full = ".".join(filter(None, (base, node.module)))
                found = {f"{full}.{a.name}" if f"{full}.{a.name}" in names else full for a in node.names}
            elif isinstance(node, ast.Import): found = {a.name for a in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                said = node.value.partition(":")[0]
                found = {said} | ({f"{package}.{said}", f"agentnb.{said}"} if path.name == "__init__.py" else set())
            elif isinstance(node, ast.keyword) and path.name == "__init__.py": found = {f"{package}.{node.arg}"}
            found = (found & set(names)) - {name, "agentnb"}
            graph[name] |= found
            if id(node) not in top: hidden |= {(name, t) for t in found}
    return graph, hidden


def room(name):
    "The folder a module is in; what lies flat is the porch"
    first = name.partition(".")[2].partition(".")[0]
    return "cli" if first == "__main__" else first if first and (ROOT/"agentnb"/first).is_dir() else "porch"


HOUSE = "host core tools store log models wrappers toolbox verify engine cascade routing study metrics porch langgraph mcp teams views ui cli".split()  # upward


def test_every_room_has_a_place_in_the_house():
    folders = {p.name for p in (ROOT/"nbs").iterdir() if p.is_dir() and list(p.glob("*.ipynb"))} - {"tutorials"}
    assert folders == {p.name for p in (ROOT/"agentnb").iterdir() if (p/"__init__.py").exists()} == set(HOUSE) - {"porch"}
    for page in (ROOT/"nbs").rglob("[0-9][0-9]_*.ipynb"):
        if page.parent.name != "tutorials": assert (ROOT/"agentnb"/page.relative_to(ROOT/"nbs").with_name(page.name[3:])).with_suffix(".py").exists(), page
    for folder in [ROOT/"nbs", *(ROOT/"nbs"/name for name in folders)]:
        numbers = sorted(int(p.name[:2]) for p in folder.glob("[0-9][0-9]_*.ipynb"))
        assert numbers == list(range(len(numbers))), f"{folder.name}: pages are numbered from 00, in the order in which they are read"


def test_tests_follow_the_rooms():
    "Beside the rooms: the house itself, its pages, what tests share, recorded data, pictures of the last time"
    folders = {p.name for p in TESTS.iterdir() if p.is_dir()} - {"__pycache__", "artifacts"}
    assert folders - set(HOUSE) == {"house", "pages", "helpers", "data"} and not list(TESTS.glob("test_*.py"))
    names = [p.name for p in TESTS.rglob("test_*.py")]
    assert len(set(names)) == len(names), "a name says which file is meant"


def test_arrows_go_down_and_there_is_no_circle():
    graph, hidden = own_imports()
    inside = {n: {t for t in ts if n not in DOORS or (n, t) not in hidden} for n, ts in graph.items() if n != "agentnb"}
    arrows = {}
    for name, targets in inside.items():
        for t in targets: arrows.setdefault(room(name), set()).add(room(t))
    for name in HOUSE: print(f"{name:10} -> {' '.join(sorted(arrows.get(name, set()) - {name}, key=HOUSE.index)) or '-'}")
    for name, why in DOORS.items(): print(f"door: {name} opens {len([t for n, t in hidden if n == name])} pages: {why}")
    up = [f"{n} -> {t}" for n, ts in inside.items() for t in ts if HOUSE.index(room(t)) > HOUSE.index(room(n))]
    assert not up, "an arrow goes up: " + "; ".join(up)

    def below(name, above=()):
        assert name not in above, f"a circle: {' -> '.join((*above, name))}"
        if name not in seen:
            for t in inside.get(name, ()): below(t, (*above, name))
            seen.add(name)
    seen = set()
    for name in inside: below(name)
    stairs = sorted(f"{n} -> {t}" for n, t in hidden if n not in DOORS)
    assert not stairs, "an own module is loaded behind the reader's back: " + "; ".join(stairs)


def test_the_engine_knows_no_view():
    graph, _ = own_imports()
    assert not [n for n, ts in graph.items() if room(n) in ("core", "log", "engine") and any(room(t) in ("views", "ui") for t in ts)]


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


def test_errors_are_put_in_words_in_one_place():
    "`type(e).__name__: e` fails where the message does, and shows secrets and addresses: `core.foreign.error_text` does not"
    paths = [p for p in (ROOT/"agentnb").rglob("*.py") if p.relative_to(ROOT/"agentnb").as_posix() != "core/foreign.py"]
    by_hand = re.compile(r"type\((\w+)\)\.__name__\}: \{(?:str\(|repr\()?\1\b")
    assert [f"{p.relative_to(ROOT)}: {m[0]}" for p in paths for m in by_hand.finditer(p.read_text())] == []
    assert by_hand.search('f"{type(e).__name__}: {e}"') and by_hand.search('f"{type(error).__name__}: {str(error)[:9]}"')
