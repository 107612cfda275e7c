"""Tools that are lent: `python -m agentnb.mcp mcp_lent:tools`. Used by mcp/test_mcp.py."""
import os, time
from pathlib import Path

from agentnb import Agent, Context, Scripted, ToolError, tool

print("this would break the protocol")
LOG = Path(os.environ.get("LENT_LOG", os.devnull))


@tool(read_only=True)
def look(service: str, depth: int = 1) -> dict:
    "How a service is"
    print("so would this")
    if service == "gone": raise ToolError("not_found", "no service gone.", "There is: checkout.")
    return dict(service=service, depth=depth)


@tool(idempotent=True, destructive=False, open_world=False)
def restart(service: str, context: Context) -> str:
    "Restart a service"
    with LOG.open("a") as f: f.write(f"begin {service} {context.idempotency_key}\n")
    time.sleep(0.2)
    with LOG.open("a") as f: f.write(f"end {service}\n")
    return f"{service} restarted"


@tool
def drop(table: str) -> str:
    with LOG.open("a") as f: f.write(f"drop {table}\n")
    return "dropped"


tools = [look, restart, drop]
agent = Agent(Scripted([]), tools, store="memory:")
