"""Tools of MCP servers, and tools lent to MCP clients: real servers, real transports, servers that misbehave."""
# ruff: noqa: E402
import asyncio, json, os, signal, socket, subprocess, sys, threading, time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentnb import Agent, Context, Rule, Scripted, ToolError, call, tool
from needs import need_modules
from places import HELPERS, ROOT

need_modules("mcp", "mcp_server_time", "mcp_server_git", "mcp_server_fetch")
from mcp import Client, MCPError, StdioServerParameters

from agentnb.mcp.server import main, serve_mcp
from agentnb.mcp.client import tools_from_mcp
from agentnb.tools.functions import wire_names
from agentnb.mcp.schemas import IDEMPOTENCY_META, read_hints, read_result

pytestmark = pytest.mark.server
LENT = dict(PYTHONPATH=os.pathsep.join([str(ROOT), str(HELPERS)]))


def real(module, *args): return [sys.executable, "-m", module, *args]


def child(mode, folder): return [sys.executable, str(HELPERS/"mcp_child.py"), mode, str(folder)]
def log(folder): return (folder/"log").read_text().splitlines() if (folder/"log").exists() else []
def pids(folder): return [int(line.split()[1]) for line in log(folder) if line.startswith("start")]


def alive(pid):
    try: return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" if Path("/proc").exists() else os.kill(pid, 0) is None
    except OSError: return False


def soon(fn, seconds=10):
    end = time.monotonic() + seconds
    while not fn():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def failure(awaitable):
    with pytest.raises(ToolError) as e: asyncio.run(awaitable)
    return e.value.failure


# The real servers

def test_the_time_server_is_called_from_a_run():
    async def go():
        async with tools_from_mcp(real("mcp_server_time", "--local-timezone", "UTC"), trust=True) as server:
            assert {t.name: (t.spec.read_only, t.spec.open_world) for t in server.tools} == dict(get_current_time=(True, False), convert_time=(True, False))
            assert server.tools[0].spec.parameters["properties"]["timezone"]["type"] == "string"
            script = [call("convert_time", source_timezone="Europe/Paris", time="16:30", target_timezone="Asia/Tokyo"),
                call("get_current_time", timezone="Mars/Olympus"), call("get_current_time"), "Done."]
            run = Agent(Scripted(script), server.tools, store="memory:").run("What time is it?")
            await run
            return [m for m in run.state.messages if m.role == "tool"]
    converted, unknown, missed = asyncio.run(go())
    assert json.loads(converted.content)["target"]["timezone"] == "Asia/Tokyo" and converted.content.count("Asia/Tokyo") == 1
    assert "Mars/Olympus" in unknown.failure.message
    assert missed.failure.kind == "invalid_input" and "'timezone' is a required property" in missed.failure.message


@pytest.fixture
def repository(tmp_path):
    path = tmp_path/"repo"
    git = lambda *args: subprocess.run(["git", "-C", str(path), *args], check=True, capture_output=True, text=True).stdout
    path.mkdir()
    git("init", "-q")
    git("config", "user.email", "a@example.com")
    git("config", "user.name", "A")
    (path/"a.txt").write_text("one\n")
    return path, git


def test_the_git_server_asks_before_it_commits(repository):
    path, git = repository
    script = [call("git_git_add", repo_path=str(path), files=["a.txt"]), call("git_git_commit", repo_path=str(path), message="first"),
        call("git_git_log", repo_path=str(path)), "Done."]

    async def go():
        async with tools_from_mcp(real("mcp_server_git", "--repository", str(path)), prefix="git_") as server:
            assert not any(t.spec.read_only or t.spec.idempotent or not t.spec.destructive for t in server.tools)
            run = Agent(Scripted(script), server.tools, store="memory:").run("Commit.")
            asked = []
            while (step := await run.until()).kind == "request":
                asked.append(run.pending[0].request.call.tool)
                assert len(asked) > 1 or "A  a.txt" not in git("status", "--short")
                run.pending[0].approve()
            return asked, run.state.messages[-2].content, step
    asked, history, step = asyncio.run(go())
    assert asked == ["git_git_add", "git_git_commit", "git_git_log"] and "first" in history and "first" in git("log")


def test_only_the_tools_that_are_trusted_run_unasked(repository):
    path, git = repository

    async def go():
        async with tools_from_mcp(real("mcp_server_git"), trust=["git_status", "git_commit"]) as server:
            specs = {t.name: t.spec for t in server.tools}
            assert specs["git_status"].read_only and not specs["git_log"].read_only
            assert not specs["git_commit"].read_only and not specs["git_commit"].destructive and specs["git_reset"].destructive
            script = [call("git_status", repo_path=str(path)), call("git_diff_staged", repo_path=str(path)), ""]
            run = Agent(Scripted(script), server.tools, store="memory:").run("?")
            await run.until()
            return run.pending
    assert [r.request.call.tool for r in asyncio.run(go())] == ["git_diff_staged"]


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(404 if "robots" in self.path else 200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html><body><h1>Runbook</h1><p>Restart the valve.</p></body></html>")

    def log_message(self, *args): pass


@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_fetch_server_reads_a_page_of_loopback(web):
    with tools_from_mcp(real("mcp_server_fetch", "--allow-private-ips"), env=dict(NO_PROXY="127.0.0.1")) as server:
        text = asyncio.run(server.tools[0](url=f"http://127.0.0.1:{web.server_port}/page", raw=True))
        wrong = failure(server.tools[0](url=f"http://127.0.0.1:{web.server_port}/page", max_length="10"))
    assert "Restart the valve." in text and wrong.kind == "invalid_input" and "max_length" in wrong.message


# Loops, threads, ends

def test_one_connection_serves_many_loops_and_threads(tmp_path):
    with tools_from_mcp(child("plain", tmp_path)) as server:
        act, said = server.tools[0], []
        threads = [threading.Thread(target=lambda: said.append(asyncio.run(act(what="a")))) for _ in range(5)]
        for t in threads: t.start()
        for t in threads: t.join()

        async def inside():
            agent = Agent(Scripted([call("act", what="b"), "Done."]), server.tools, store="memory:", unattended="approve")
            return agent.run_sync("go"), await act(what="a")
        assert asyncio.run(inside()) == ("Done.", "done") and said == ["done"] * 5
    assert len(pids(tmp_path)) == 1 and not alive(*pids(tmp_path))


def test_the_child_sees_none_of_our_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1234567890abcdef")
    monkeypatch.setenv("SOMETHING_ELSE", "private")
    with tools_from_mcp(child("env", tmp_path), env=dict(GIVEN="yes")) as server: seen = json.loads(asyncio.run(server.tools[0](what="a")))
    assert seen["GIVEN"] == "yes" and "PATH" in seen and not {"OPENAI_API_KEY", "SOMETHING_ELSE"} & set(seen)


def test_a_stubborn_server_and_its_child_are_killed_at_the_end(tmp_path):
    with tools_from_mcp(child("stubborn", tmp_path)): assert len(pids(tmp_path)) == 2 and all(map(alive, pids(tmp_path)))
    soon(lambda: not any(map(alive, pids(tmp_path))))


def test_an_error_in_the_block_ends_the_server(tmp_path):
    async def go():
        async with tools_from_mcp(child("plain", tmp_path)): raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"): asyncio.run(go())
    assert not alive(*pids(tmp_path))


@pytest.mark.parametrize("mode", ["hang", "mute"])
def test_a_cancelled_owner_ends_the_server(tmp_path, mode):
    "While a call is on its way, and while connecting"
    held = tools_from_mcp(child(mode, tmp_path))

    async def owner():
        async with held as server: await server.tools[0](what="a")

    async def go():
        task = asyncio.create_task(owner())
        while not (log(tmp_path) and (mode == "mute" or "call" in log(tmp_path)[-1])): await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
    asyncio.run(go())
    soon(lambda: not any(map(alive, pids(tmp_path))))
    assert held.closed


OWNER = "import time\nfrom agentnb.mcp.client import tools_from_mcp\nserver = tools_from_mcp({command!r}).__enter__()"


@pytest.mark.parametrize("mode", ["plain", "stubborn"])
def test_a_killed_owner_takes_the_server_along(tmp_path, mode):
    code = f"{OWNER.format(command=child(mode, tmp_path))}\nprint('up', flush=True)\ntime.sleep(600)"
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | LENT, text=True)
    try:
        assert owner.stdout.readline() == "up\n" and all(map(alive, pids(tmp_path)))
        owner.send_signal(signal.SIGKILL)
        soon(lambda: not any(map(alive, pids(tmp_path))))
    finally:
        owner.kill()
        owner.wait()


def test_a_process_that_forgets_to_close_ends_and_takes_the_server_along(tmp_path):
    code = OWNER.format(command=child("stubborn", tmp_path))
    said = subprocess.run([sys.executable, "-c", code], env=os.environ | LENT, capture_output=True, text=True, timeout=20)
    assert said.returncode == 0 and said.stderr == ""
    soon(lambda: not any(map(alive, pids(tmp_path))))


def test_a_client_that_nothing_holds_ends_its_server(tmp_path):
    async def go(): return len((await tools_from_mcp(child("plain", tmp_path))).tools)
    assert asyncio.run(go()) == 1
    import gc
    gc.collect()
    soon(lambda: not alive(*pids(tmp_path)))


# Servers that misbehave

def test_a_crash_is_told_with_the_last_words_and_the_next_call_connects_again(tmp_path):
    with tools_from_mcp(child("crash", tmp_path)) as server:
        lost = failure(server.tools[0](what="a"))
        assert lost.kind == "unavailable" and "the disk is full" in lost.message and "exit code 3" in lost.message and "look before you call again" in lost.hint
        assert sum("call act" in line for line in log(tmp_path)) == 1 and "not connected" in repr(server)
        (tmp_path/"fixed").touch()
        assert asyncio.run(server.tools[0](what="a")) == "done"
    assert len(pids(tmp_path)) == 2 and not any(map(alive, pids(tmp_path)))


def test_a_server_that_was_killed_between_calls_is_started_again_unnoticed(tmp_path):
    with tools_from_mcp(child("plain", tmp_path)) as server:
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        soon(lambda: "not connected" in repr(server))
        assert asyncio.run(server.tools[0](what="a")) == "done"
    assert sum("call act" in line for line in log(tmp_path)) == 1


def test_a_call_that_hangs_is_a_timeout_and_is_cancelled_there(tmp_path):
    with tools_from_mcp(child("hang", tmp_path), timeout=0.5) as server:
        late = failure(server.tools[0](what="a"))
        soon(lambda: "cancelled" in log(tmp_path))
    assert late.kind == "timeout" and "It may still happen" in late.hint


def test_a_caller_who_leaves_cancels_the_call_and_nothing_else(tmp_path):
    async def go():
        async with tools_from_mcp(child("hang", tmp_path)) as server:
            task = asyncio.create_task(server.tools[0](what="a"))
            while not any("call" in line for line in log(tmp_path)): await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError): await task
            while "cancelled" not in log(tmp_path): await asyncio.sleep(0.05)
            return await server.refresh()
    assert len(asyncio.run(go())) == 1


def test_closing_while_a_call_is_on_its_way_is_no_cancellation(tmp_path):
    async def go():
        server = await tools_from_mcp(child("hang", tmp_path))
        task = asyncio.create_task(server.tools[0](what="a"))
        while not any("call" in line for line in log(tmp_path)): await asyncio.sleep(0.05)
        await server.close()
        return await task
    assert failure(go()).kind == "unavailable"


def test_the_end_of_a_server_in_this_process_is_no_cancellation_either():
    from mcp.server.mcpserver import MCPServer
    server, begun = MCPServer("slow"), threading.Event()

    @server.tool()
    async def slow() -> str:
        begun.set()
        await asyncio.sleep(600)
        return "done"

    async def go():
        client = await tools_from_mcp(server)
        task = asyncio.create_task(client.tools[0]())
        await asyncio.to_thread(begun.wait, 10)
        await client.close()
        return await task
    assert failure(go()).kind == "unavailable"


def test_a_server_that_never_answers_is_given_up_and_killed(tmp_path):
    late = failure(tools_from_mcp(child("mute", tmp_path), connect_timeout=1)._open())
    assert late.kind == "unavailable" and "No answer in 1 s" in late.message
    soon(lambda: not any(map(alive, pids(tmp_path))))


def test_what_is_no_message_is_quoted(tmp_path):
    late = failure(tools_from_mcp(child("noise", tmp_path), connect_timeout=1)._open())
    assert late.kind == "unavailable" and "Listening on stdio ..." in late.message


def test_garbage_between_messages_is_passed_over(tmp_path):
    with tools_from_mcp(child("garbage", tmp_path)) as server: assert asyncio.run(server.tools[0](what="a")) == "done"


@pytest.mark.parametrize("mode, kind, words", [("error", "unavailable", "the database is down"), ("broken", "unavailable", "against the protocol"),
    ("failing", "internal", "no such thing")])
def test_failures_are_typed(tmp_path, mode, kind, words):
    with tools_from_mcp(child(mode, tmp_path)) as server: found = failure(server.tools[0](what="a"))
    assert found.kind == kind and words in found.message


def test_lies_about_schemas_leave_tools_out(tmp_path, web):
    (tmp_path/"far").write_text(f"http://127.0.0.1:{web.server_port}/schema.json")
    with tools_from_mcp(child("lies", tmp_path)) as server:
        assert set(server.left_out) == {"odd", "not_valid", "act"} and "two tools of this name" in server.left_out["act"]
        made = {t.original_name: t for t in server.tools}
        assert set(made) == {"far", "act/now", "act.now", "act", "x" * 100, "promises"}
        assert len({t.name for t in server.tools}) == 6 and all(len(t.name) <= 64 for t in server.tools)
        assert made["act"].name == "act" and made["act/now"].name.startswith("act_now_")
        assert failure(made["far"](what="a")).kind == "unavailable" and web.asked == []
        assert asyncio.run(made["promises"](what="a")).splitlines() == ["done", "(The server promised structured content with this, and gave none.)"]
        assert asyncio.run(made["act/now"](what="a")) == "done" and "call act/now" in log(tmp_path)[-1]


def test_a_listing_against_the_protocol_names_the_tool(tmp_path):
    found = failure(tools_from_mcp(child("refused", tmp_path))._open())
    assert found.kind == "unavailable" and "tools.1.inputSchema.type: Input should be 'object'" in found.message
    soon(lambda: not any(map(alive, pids(tmp_path))))


def test_hints_of_a_stranger_do_not_count(tmp_path):
    with tools_from_mcp(child("plain", tmp_path)) as server:
        spec = server.tools[0].spec
        assert (spec.read_only, spec.destructive, spec.idempotent, spec.open_world) == (False, True, False, True)
        assert server.tools[0].annotations["readOnlyHint"] is True
        run = Agent(Scripted([call("act", what="a"), "Done."]), server.tools, store="memory:").run("go")

        async def go(): return await run.until()
        assert asyncio.run(go()).kind == "request" and not any("call" in line for line in log(tmp_path))


def test_arguments_are_checked_before_they_leave(tmp_path):
    with tools_from_mcp(child("plain", tmp_path)) as server:
        wrong = failure(server.tools[0](what="c"))
        assert wrong.kind == "invalid_input" and "what: 'c' is not one of ['a', 'b']" in wrong.message and "what" in wrong.hint
        asyncio.run(server.tools[0].run(dict(what="a"), Context(idempotency_key="k1")))
        asyncio.run(server.tools[0].run(dict(what="b")))
    calls = [line for line in log(tmp_path) if line.startswith("call")]
    assert len(calls) == 2 and json.loads(calls[0].partition("} ")[2])[IDEMPOTENCY_META] == "k1" and IDEMPOTENCY_META not in calls[1]


def test_every_kind_of_content_becomes_text(tmp_path):
    with tools_from_mcp(child("rich", tmp_path)) as server: text = asyncio.run(server.tools[0](what="a"))
    assert text.splitlines() == ["done", "[image, image/png, 8 bytes, not shown]", "[audio, audio/wav, 4 bytes, not shown]",
        "[resource a.txt: file:///a.txt, text/plain]", "[resource file:///b.txt]", "inside b",
        "[resource file:///c.bin, application/octet-stream, 3 bytes, not shown]", '{"n": 1}']


def test_a_tool_that_the_server_changes_is_not_called_any_more(tmp_path):
    with tools_from_mcp(child("changes", tmp_path)) as server:
        assert asyncio.run(server.tools[0](what="a")) == "done"
        soon(lambda: server.stale)
        (tmp_path/"fail").touch()
        assert failure(server.tools[0](what="a")).message.endswith("refused the call: busy (error -32603).")
        (tmp_path/"fail").unlink()
        found = failure(server.tools[0](what="a"))
        assert found.kind == "conflict" and "changed act" in found.message and sum("call act" in line for line in log(tmp_path)) == 1
        old, (new,) = server.tools[0], asyncio.run(server.refresh())
        assert new.spec.description.endswith("deletes your files") and new.spec.code != old.spec.code
        assert asyncio.run(new(what="a")) == "done"


def test_news_of_a_server_of_2026_is_heard():
    from mcp.server.mcpserver import Context as Place, MCPServer
    server = MCPServer("grows")

    @server.tool()
    async def grow(ctx: Place) -> str:
        server.add_tool(lambda: "new", name="new", description="New")
        server.remove_tool("grow")
        await ctx.notify_tools_changed()
        return "grown"
    with tools_from_mcp(server, protocol="2026") as client:
        assert asyncio.run(client.tools[0]()) == "grown"
        soon(lambda: client.stale)
        assert "taken away grow" in failure(client.tools[0]()).message
        assert [t.name for t in asyncio.run(client.refresh())] == ["new"]


def test_a_command_that_is_not_there_says_so():
    found = failure(tools_from_mcp(["no-such-server", "--token", "sk-secret-1234567890abcdef"])._open())
    assert found.kind == "unavailable" and "cannot start 'no-such-server'" in found.message and "1234567890abcdef" not in found.message


def test_two_entries_of_one_client_use_one_server(tmp_path):
    async def go():
        async with tools_from_mcp(child("plain", tmp_path)) as server:
            for pid in pids(tmp_path): os.kill(pid, signal.SIGKILL)
            while "not connected" not in repr(server): await asyncio.sleep(0.05)
            return await asyncio.gather(*[server.tools[0](what="a") for _ in range(5)])
    assert asyncio.run(go()) == ["done"] * 5 and len(pids(tmp_path)) == 2


def test_a_result_is_played_from_a_tape_without_a_call(tmp_path):
    from agentnb.wrappers.tape import Tape
    with tools_from_mcp(child("plain", tmp_path)) as server:
        for mode in ("auto", "replay"): assert asyncio.run(Tape(tmp_path/"tape", mode)(server.tools[0]).run(dict(what="a"))) == "done"
        assert failure(Tape(tmp_path/"tape", "replay")(server.tools[0]).run(dict(what="c"))).kind == "invalid_input"
    assert sum("call act" in line for line in log(tmp_path)) == 1


NOTEBOOK = """
from agentnb import Agent, Scripted, call
from agentnb.mcp.client import tools_from_mcp
server = await tools_from_mcp({command})
run = Agent(Scripted([call("act", what="a"), "Done."]), server.tools, store="memory:", unattended="approve").run("go")
await run, await server.tools[0](what="b")
"""


def test_in_a_kernel_which_takes_the_server_along(tmp_path):
    import nbclient, nbformat
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK.format(command=child("plain", tmp_path)))])
    nbclient.NotebookClient(page, timeout=60, kernel_name="python3").execute()
    assert page.cells[0].outputs[-1]["data"]["text/plain"] == "('Done.', 'done')"
    soon(lambda: not any(map(alive, pids(tmp_path))))


# Names, hints, results

def test_names_go_there_and_back():
    names = ["a", "a.b", "a/b", "a_b", "é", "", "x" * 64, "x" * 65, "x" * 65 + "y"]
    made = wire_names(names)
    assert len(set(made.values())) == len(names) and made["a"] == "a" and made["a_b"] == "a_b" and made["x" * 64] == "x" * 64
    assert all(1 <= len(n) <= 64 and n.replace("_", "a").replace("-", "a").isascii() and n.replace("_", "a").isalnum() for n in made.values())
    assert wire_names(["a"], "p_") == dict(a="p_a") and wire_names(names) == made


def test_hints_that_are_no_truth_values_do_not_count():
    assert read_hints(dict(readOnlyHint="yes", idempotentHint=1), True) == dict(read_only=False, destructive=True, idempotent=False, open_world=True)
    assert read_hints(dict(readOnlyHint=True, destructiveHint=True), True)["destructive"] is False


@pytest.mark.parametrize("texts, value, shown", [
    (['{"a": 1}'], dict(a=1), ['{"a": 1}']), (["5"], dict(result=5), ["5"]), (["five"], dict(result="five"), ["five"]),
    ([], dict(a=1), ['{"a": 1}']), (["other"], dict(a=1), ["other", '{"a": 1}'])])
def test_structured_content_is_told_once(texts, value, shown):
    assert read_result(dict(content=[dict(type="text", text=t) for t in texts], structuredContent=value)) == "\n".join(shown)


# Lending

LOOK = dict(readOnlyHint=True, destructiveHint=False, idempotentHint=True, openWorldHint=True)
RESTART = dict(readOnlyHint=False, destructiveHint=False, idempotentHint=True, openWorldHint=False)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def lent_over_http(port, *args, **env):
    command = [sys.executable, "-m", "agentnb.mcp", "mcp_lent:tools", "--http", f"127.0.0.1:{port}", *args]
    server = subprocess.Popen(command, env=os.environ | LENT | env, stdout=subprocess.DEVNULL)
    try:
        soon(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.terminate()
        server.wait(10)


async def exercise(client):
    "What a client of the SDK's own finds"
    listed = {t.name: t for t in (await client.list_tools()).tools}
    hints = {n: t.annotations.model_dump(by_alias=True, exclude_none=True) for n, t in listed.items()}
    looked = await client.call_tool("look", dict(service="checkout"))
    gone = await client.call_tool("look", dict(service="gone"))
    wrong = await client.call_tool("look", dict(service=7, more=1))
    keyed = await client.call_tool("restart", dict(service="checkout"), meta={IDEMPOTENCY_META: "mine"})
    both = await asyncio.gather(*[client.call_tool("restart", dict(service=s)) for s in ("a", "b")])
    for name, meta in (("drop", None), ("restart", {IDEMPOTENCY_META: 7})):
        with pytest.raises(MCPError): await client.call_tool(name, dict(table="users", service="c"), meta=meta)
    assert hints == dict(look=LOOK, restart=RESTART) and listed["look"].input_schema["properties"]["depth"]["default"] == 1
    assert json.loads(looked.content[0].text) == dict(service="checkout", depth=1) and not looked.is_error
    assert gone.is_error and gone.content[0].text == "not_found: no service gone. There is: checkout."
    assert wrong.is_error and "service: Input should be a valid string" in wrong.content[0].text
    assert keyed.content[0].text == "checkout restarted" and [b.content[0].text for b in both] == ["a restarted", "b restarted"]


def check_log(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "begin checkout mine" and len(lines) == 6 and not any("drop" in line for line in lines)
    assert [line.split()[0] for line in lines] == ["begin", "end"] * 3, "calls that change something came side by side"
    keys = [line.split()[2] for line in lines if line.startswith("begin")]
    assert len(set(keys)) == 3 and all(keys)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("what", ["mcp_lent:tools", "mcp_lent:agent"])
def test_lent_over_stdio_to_the_sdk(tmp_path, mode, what):
    args, env = ["-m", "agentnb.mcp", what, "--allow", "restart"], LENT | dict(LENT_LOG=str(tmp_path/"effects"))
    server = StdioServerParameters(command=sys.executable, args=args, env=env)

    async def go():
        async with Client(server, mode=mode) as client: await exercise(client)
    asyncio.run(go())
    check_log(tmp_path/"effects")


def test_what_a_module_and_its_tools_print_does_not_reach_the_protocol():
    params = dict(protocolVersion="2025-06-18", capabilities={}, clientInfo=dict(name="t", version="1"))
    said = [dict(id=1, method="initialize", params=params), dict(method="notifications/initialized"),
        dict(id=2, method="tools/call", params=dict(name="look", arguments=dict(service="a")))]
    server = subprocess.Popen([sys.executable, "-m", "agentnb.mcp", "mcp_lent:tools"], env=os.environ | LENT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for m in said: server.stdin.write(json.dumps(dict(jsonrpc="2.0", **m)) + "\n")
    server.stdin.flush()
    answers = [json.loads(server.stdout.readline()) for _ in range(2)]
    rest, errors = server.communicate(timeout=20)
    assert [a["id"] for a in answers] == [1, 2] and rest == "" and server.returncode == 0
    assert "this would break the protocol" in errors and "so would this" in errors


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_lent_over_http_to_the_sdk(tmp_path, mode):
    async def go(url):
        async with Client(url, mode=mode) as client: await exercise(client)
    with lent_over_http(free_port(), "--allow", "restart", LENT_LOG=str(tmp_path/"effects")) as url: asyncio.run(go(url))
    check_log(tmp_path/"effects")


def test_lent_over_http_to_ourselves_through_a_restart(tmp_path):
    port = free_port()
    with lent_over_http(port) as url:
        client = tools_from_mcp(url, trust=True)
        client.__enter__()
        assert [t.name for t in client.tools] == ["look"] and client.tools[0].spec.read_only
        gone = failure(client.tools[0](service="gone"))
        assert (gone.kind, gone.message, gone.hint) == ("not_found", "no service gone.", "There is: checkout.")
    assert failure(client.tools[0](service="a")).kind == "unavailable"
    with lent_over_http(port): assert json.loads(asyncio.run(client.tools[0](service="a"))) == dict(service="a", depth=1)
    client.__exit__()


def test_a_token_is_wanted_where_one_is_set():
    with lent_over_http(free_port(), AGENTNB_MCP_TOKEN="s3cret-token-of-mine") as url:
        refused = failure(tools_from_mcp(url, headers=dict(Authorization="Bearer wrong-token-of-mine"))._open())
        with tools_from_mcp(url, headers=dict(Authorization="Bearer s3cret-token-of-mine")) as client: assert len(client.tools) == 1
    assert refused.kind == "unavailable" and "wrong-token" not in str(refused) and "headers" in refused.hint


def test_a_page_of_another_site_cannot_reach_it():
    "DNS rebinding: a browser that was sent here by another name"
    import urllib.error, urllib.request
    with lent_over_http(free_port()) as url:
        body = json.dumps(dict(jsonrpc="2.0", id=1, method="tools/list")).encode()
        asked = urllib.request.Request(url, body, {"Host": "evil.example", "Content-Type": "application/json", "Accept": "application/json, text/event-stream"})
        with pytest.raises(urllib.error.HTTPError) as e: urllib.request.urlopen(asked)
        assert e.value.code in (403, 421)


@pytest.mark.parametrize("argv, words", [(["oncall"], "write module:attribute"), (["no_such_module:tools"], "no_such_module"), (["json:nothing"], "nothing"),
    (["mcp_lent:tools", "--allow", "restrat"], "restrat"),
    (["mcp_lent:tools", "--http", "0.0.0.0:1"], "Give a token"), (["mcp_lent:LOG"], "give a list of tools")])
def test_the_command_says_what_is_wrong(argv, words, monkeypatch):
    monkeypatch.syspath_prepend(str(HELPERS))
    with pytest.raises(SystemExit) as e: main(argv)
    assert words in str(e.value) and e.value.code not in (0, None)


def test_a_string_is_no_list_of_names():
    from mcp_lent import tools
    with pytest.raises(ValueError, match="takes a list of names"): serve_mcp(tools, allow="restart")
    assert serve_mcp(tools).withheld == ["restart", "drop"] and serve_mcp(tools, allow=["drop"]).withheld == ["restart"]


def test_what_asks_a_human_each_time_is_not_lent():
    @tool(read_only=True, always_ask="No sandbox.")
    def run_code(code: str): "Run code"
    @tool(read_only=True, human=True)
    def ask_human(question: str): "Ask"
    assert repr(serve_mcp([run_code, ask_human])) == "MCPServer(agentnb, tools: none, withheld: run_code, ask_human)"
    with pytest.raises(ValueError, match="nobody can be asked here"): serve_mcp([run_code], allow=["run_code"])


def test_scopes_of_a_servers_tools_are_filled_in_and_bind(tmp_path):
    with pytest.raises(ValueError, match="give a list"): tools_from_mcp(child("plain", tmp_path), scopes="act:x")
    with tools_from_mcp(child("plain", tmp_path), scopes=["act:{host}"]) as server: assert "names host, which is no parameter" in server.left_out["act"]
    with tools_from_mcp(child("plain", tmp_path), scopes=["act:{what}"]) as server:
        script = Scripted([call("act", what="a"), call("act", what="b"), "Done."])
        run = Agent(script, server.tools, store="memory:", policy=[Rule(effect="allow")], grant=["act:a"]).run("go")
        asyncio.run(run.wait())
    assert [m.failure and m.failure.kind for m in run.tip.messages if m.role == "tool"] == [None, "permission_denied"]
    assert sum("call act" in line for line in log(tmp_path)) == 1
