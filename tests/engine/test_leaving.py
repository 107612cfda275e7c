"""Tools that leave, in a notebook's kernel: the cell ends, the model reads why, and what the notebook holds is alive."""
import textwrap

import jupyter_client, pytest

CELL = textwrap.dedent('''
    import argparse, asyncio
    from agentnb import Agent, Scripted, call, tool
    kept = "alive"

    @tool(read_only=True)
    def report(flag: str) -> str:
        "Run the report command"
        return str(argparse.ArgumentParser(exit_on_error=True).parse_args([flag]))

    @tool(read_only=True)
    async def leave() -> str: exit()

    @tool(read_only=True)
    def leave_in_a_thread() -> str: quit()

    @tool(read_only=True)
    def first(name: str) -> str: return next(c for c in ["Ann"] if c == name)

    @tool(read_only=True)
    async def give_up() -> str: raise asyncio.CancelledError

    @tool(read_only=True)
    async def group() -> str: raise BaseExceptionGroup("both", [SystemExit(1), KeyboardInterrupt()])

    calls = [call("report", flag="--nope"), call("leave"), call("leave_in_a_thread"), call("first", name="Zoe"), call("give_up"), call("group")]
    run = Agent(Scripted([*calls, "done"]), [report, leave, leave_in_a_thread, first, give_up, group], store="memory:").run("go")
    print(await run, [bool(m.failure) for m in run.tip.messages if m.role == "tool"])
''')


@pytest.mark.slow
def test_a_kernel_outlives_its_tools():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    said = []
    try:
        for source in (CELL, "import time; time.sleep(0.3); print(kept)"):
            reply = client.execute_interactive(source, timeout=60, output_hook=lambda m: said.append(m["content"].get("text", "")))
            assert reply["content"]["status"] == "ok", reply["content"]
        out = "".join(said)
        assert "done [True, True, True, True, True, True]" in out and out.endswith("alive\n") and manager.is_alive()
    finally: manager.shutdown_kernel(now=True)
