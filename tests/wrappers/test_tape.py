"""A notebook recorded live against the embedded model, played again with the network off."""
import os

import nbclient, nbformat, pytest

CELLS = ['''from agentnb import Tape, Ticks, tool
from agentnb.cli.demo import on_call
import os
os.makedirs("out", exist_ok=True)
tape = Tape("incident.tape", mode=os.environ["TAPE_MODE"])
agent = on_call(tape("local:smollm2"), folder="out", store="memory:", clock=Ticks())
agent.tools = {name: tape(t) for name, t in agent.tools.items()}''',
    'run = agent.run("disk full on db-1, the database cannot write", run_id="incident")\nawait run',
    "run", "run.state.usage, run.state.cost, [(s.kind, s.key) for s in run.steps]", "run.state.messages"]

# Python code in the kernel cannot connect anywhere; the kernel's own channels are not Python sockets and go on
NO_NETWORK = '''import sys
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"): raise OSError(f"the network is off: {event} {args[1:]}")
sys.addaudithook(hook)
'''


def executed(folder, mode, *path):
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    env = {**os.environ, "TAPE_MODE": mode, "PYTHONPATH": os.pathsep.join((*path, *filter(None, [os.environ.get("PYTHONPATH")]))), "AGENTNB_LOCAL_ENDPOINTS": "http://127.0.0.1:9/v1"}
    client = nbclient.NotebookClient(page, timeout=120, kernel_name="python3", resources=dict(metadata=dict(path=str(folder))))
    client.execute(env=env)
    return [[{k: v for k, v in o.items() if k != "execution_count"} for o in c.outputs] for c in page.cells], page


@pytest.mark.model
def test_a_recorded_notebook_is_played_byte_for_byte_without_a_network(tmp_path):
    (tmp_path/"off").mkdir()
    (tmp_path/"off"/"sitecustomize.py").write_text(NO_NETWORK)
    live, _ = executed(tmp_path, "record")
    assert live[1] and "Written to incident.md" in str(live[1]) and "recorded" in str(live[2])
    size = (tmp_path/"incident.tape").stat().st_size
    before = (tmp_path/"incident.tape").read_bytes()
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="connection"): executed(tmp_path, "record", str(tmp_path/"off"))
    assert (tmp_path/"incident.tape").read_bytes() == before
    played, page = executed(tmp_path, "replay", str(tmp_path/"off"))
    assert played == live and "incident.md" not in os.listdir(tmp_path)
    assert size < 20_000 and nbformat.validate(page) is None
    assert (tmp_path/"incident.tape").read_bytes() == before
