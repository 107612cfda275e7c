# What the wheel must do where only its core dependencies are installed. Run by .ci/run in a folder of its own.
pip list --format=freeze
python - <<'PY'
import sys
def hook(event, args):
    if event.startswith("socket."): raise SystemExit(f"importing agentnb did {event}{args}")
sys.addaudithook(hook)
import agentnb
from agentnb import Agent, Scripted, call, tool

@tool(read_only=True)
def look(where: str) -> str: return f"looked at {where}"
assert agentnb.__file__.startswith(sys.prefix), agentnb.__file__
PY
python - <<'PY'
import asyncio
from importlib.resources import files
from agentnb import Agent, Scripted, call, tool
from agentnb.cli.lab import prepare_lab
from pathlib import Path

@tool(read_only=True)
def look(where: str) -> str: return f"looked at {where}"
assert asyncio.run(Agent(Scripted([call("look", where="here"), "found"]), [look]).run("go").wait()) == "found"
assert prepare_lab(Path("lab"), "agentnb.cli.demo:on_call").exists() and Path("lab/01_quickstart.tape").exists() and Path("lab/images/debug-fork.png").exists()
assert (files("agentnb")/"ui"/"static"/"stepper.js").is_file()
PY
agentnb runs
if agentnb runs --store postgresql://127.0.0.1/runs >said 2>&1; then exit 1; fi
grep -q 'pip install "agentnb-kit\[postgres\]"' said || { cat said; exit 1; }
if agentnb demo >said 2>&1; then echo "the demo cannot work without the local model"; exit 1; fi
grep -q 'pip install "agentnb-kit\[local\]"' said || { cat said; exit 1; }
if agentnb lab >said 2>&1; then exit 1; fi
grep -q 'pip install "agentnb-kit\[lab\]"' said || { cat said; exit 1; }
echo "the wheel works with: $(pip list --format=freeze | cut -d= -f1 | tr '\n' ' ')"
