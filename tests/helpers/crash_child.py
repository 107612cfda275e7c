"""A process that is killed in the middle: `python crash_child.py STORE FOLDER RUN_ID MOMENT`. Used by engine/test_durable.py.

Each tool writes one line to a file, so that effects can be counted from outside. At the named moment the process kills
itself with SIGKILL: nothing is flushed, closed or said.
"""
import asyncio, os, signal, sys
from pathlib import Path

from agentnb import Agent, Context, Scripted, call, tool


def die(): os.kill(os.getpid(), signal.SIGKILL)


def make_agent(store, folder, moment=""):
    effects = Path(folder)/"effects"

    def act(name, context):
        if moment == f"before {name}": die()
        seen = effects.read_text() if effects.exists() else ""
        if name == "plain" or context.idempotency_key not in seen:
            with effects.open("a") as f: f.write(f"{name} {context.idempotency_key}\n")
        if moment == f"after {name}": die()
        return f"{name} done"

    @tool(read_only=True)
    def look(context: Context) -> str:
        if moment == "in look": die()
        return "looked"

    @tool(idempotent=True)
    def keyed(context: Context) -> str: return act("keyed", context)

    @tool
    def plain(context: Context) -> str: return act("plain", context)

    script = Scripted([call("look"), [call("keyed"), call("look")], call("plain"), "all done"])
    return Agent(script, [look, keyed, plain], store=store, unattended="approve")


def pay_agent(folder, crash=None, during=lambda: None, store=None):
    @tool
    def pay(what: str) -> str:
        during()
        with (folder/"effects").open("a") as f: f.write(f"{what}\n")
        if crash: raise crash
        return f"paid {what}"
    return Agent(Scripted([[call("pay", what="a"), call("pay", what="b")], "done"]), [pay], store=store or f"sqlite:///{folder}/runs.db")


def main(store, folder, run_id, moment):
    run = make_agent(store, folder, moment).run("go", run_id=run_id)

    def seen(step):
        print(step.index, flush=True)
        if moment == f"step {step.index}": die()
    run.observers.append(seen)
    asyncio.run(run.wait())


if __name__ == "__main__": main(*sys.argv[1:])
