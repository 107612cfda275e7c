"""Least privilege by argument: a call outside of its agent's grant is refused and not made, by path, by host, by program, after an edit too."""
import asyncio, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, strategies as st

from agentnb import Agent, Rule, Scripted, call, tool
from agentnb.tools.contract import Context, ToolError
from agentnb.tools.functions import tool_from_schema
from agentnb.core.messages import ToolSpec
from agentnb.engine.policy import evaluate
from agentnb.tools.scopes import missing_scopes, needed_scopes
from agentnb.toolbox.files import files
from agentnb.toolbox.http import http
from agentnb.toolbox.process import process
from agentnb.tools.tool import ToolDefinitionError

ALLOW = [Rule(effect="allow")]


def answers(tools, grant, *calls):
    "What an agent with this grant hears to each call: `ok` or the kind of the failure; and the run"
    run = Agent(Scripted([*calls, "done"]), tools, store="memory:", policy=ALLOW, grant=grant, max_iterations=30).run("go")
    assert asyncio.run(run.wait()) == "done"
    return [m.failure.kind if m.failure else "ok" for m in run.tip.messages if m.role == "tool"], run


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("reports/drafts", "src"): (tmp_path/name).mkdir(parents=True)
    (tmp_path/"src"/"x.py").write_text("x = 1\n")
    (tmp_path/"reports"/"may.md").write_text("May\n")
    (tmp_path/"reports"/"out").symlink_to(tmp_path/"src")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_written_only_where_that_is_granted(project):
    wanted = dict(ok=["reports/new.md", "./reports//drafts/a.md"],
        no=["src/y.py", "reports/../src/y.py", "reports", "reports2/x", "new.md", "src/../reports/z", "/reports/x", "reports/out/y.py"])
    calls = [call("write_file", path=p, content="x") for p in (*wanted["ok"], *wanted["no"])]
    said, run = answers(files(".", write=True), ["fs:write:reports/"], *calls, call("read_file", path="reports/may.md"))
    assert said == ["ok"] * 2 + ["permission_denied"] * 9
    assert sorted(p.name for p in project.rglob("*") if p.is_file()) == ["a.md", "may.md", "new.md", "x.py"]
    made = [s for s in run.steps if s.kind == "intent"]
    assert len(made) == 3, "announced were the two, and the one that a link stops when it is opened"
    first = next(m.failure for m in run.tip.messages if m.role == "tool" and m.failure)
    assert str(first) == "permission_denied: write_file needs fs:write:src/y.py, which this agent is not granted. Do without it."


def test_reading_and_looking_need_their_own_grant(project):
    calls = [call("list_files", folder="reports"), call("list_files", folder="reports/drafts/"), call("search_files", text="M", folder="reports"),
        call("read_file", path="reports/may.md"),
        call("list_files"), call("search_files", text="x"), call("read_file", path="src/x.py"), call("list_files", folder="src")]
    assert answers(files("."), ["fs:read:reports/"], *calls)[0] == ["ok"] * 4 + ["permission_denied"] * 4
    assert answers(files("."), ["fs:read:"], *calls)[0] == ["ok"] * 8 == answers(files("."), None, *calls)[0]
    assert answers(files("reports"), ["fs:read:reports/"], call("read_file", path="may.md"), call("list_files"))[0] == ["ok"] * 2
    said, _ = answers(files("reports"), ["fs:read:reports/drafts/"], call("read_file", path="may.md"), call("list_files", folder="drafts"))
    assert said == ["permission_denied", "ok"]


def test_a_folder_with_braces_is_itself(project):
    (project/"{path}").mkdir()
    (project/"{path}"/"a").write_text("a")
    assert answers(files("{path}"), ["fs:read:{path}/"], call("read_file", path="a"), call("list_files"))[0] == ["ok", "ok"]


def test_what_a_human_edits_stays_within_the_grant(project):
    script = Scripted([call("write_file", path="reports/a.md", content="x"), "done"])
    run = Agent(script, files(".", write=True), store="memory:", grant=["fs:write:reports/"]).run("go")
    asyncio.run(run.until())
    run.pending[0].approve(args={"path": "src/y.py"})
    assert asyncio.run(run.wait()) == "done" and not (project/"src"/"y.py").exists() and not (project/"reports"/"a.md").exists()
    assert [m.failure.kind for m in run.tip.messages if m.role == "tool"] == ["permission_denied"]


def test_a_program_is_run_only_if_it_is_granted():
    said, _ = answers(process(["echo", "ls"]), ["run:echo"], call("run_command", argv=["echo", "1"]), call("run_command", argv=["ls"]))
    assert said == ["ok", "permission_denied"]


@pytest.fixture
def web():
    "One server under two names; `/go?to` leads to the other"
    seen = []
    class Site(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            seen.append((self.headers["Host"], self.path))
            self.send_response(302 if self.path.startswith("/go") else 200)
            if self.path.startswith("/go"): self.send_header("Location", f"http://b.test:{port}/page")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
        do_POST = do_GET
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield port, seen
    server.shutdown()
    server.server_close()


def test_a_host_is_reached_only_if_it_is_granted(web):
    "Not by another spelling, not by a redirect from a host that is granted to one that only the tool knows"
    port, seen = web
    tools = http(["*.test:*"], write=True, private=["127.0.0.1"], plain=True, resolve=lambda host, port: ["127.0.0.1"])
    grant = [f"net:a.test:{port}"]
    urls = [f"http://a.test:{port}/page", f"http://A.Test.:{port}/page", f"http://b.test:{port}/page", f"http://a.test:{port}@b.test:{port}/x",
        f"http://b.test:{port}/http://a.test:{port}/", f"http://a.test:{port}/go", f"http://b.test:{port}\\@a.test:{port}/x"]
    calls = [call("fetch", url=u) for u in urls] + [call("send_request", url=urls[2], method="POST")]
    said, run = answers(tools, grant, *calls)
    assert said[:2] == ["ok", "ok"] and set(said[2:]) <= {"permission_denied", "invalid_input"} and said[5] == "permission_denied"
    assert seen == [(f"a.test:{port}", "/page")] * 2 + [(f"a.test:{port}", "/go")]
    assert answers(tools, ["net:*.test:*"], call("fetch", url=urls[5]))[0] == ["ok"] and seen[-1] == (f"b.test:{port}", "/page")


def test_a_policy_speaks_of_the_scopes_of_a_call():
    spec = ToolSpec(name="fetch", scopes=("net:{url:host}",))
    rules = [Rule(scope="net:*.internal", effect="deny"), Rule(scope="net:*", effect="allow")]
    assert [evaluate(rules, call("fetch", url=f"https://{host}/x"), spec).effect for host in ("db.internal", "example.com")] == ["deny", "allow"]


def test_a_tool_from_a_schema_and_a_tool_of_ones_own():
    done = []
    fields = dict(properties=dict(path=dict(type="str")))
    made = tool_from_schema("disk.write", "", fields, lambda path: done.append(path), scopes=["fs:write:{path:path}"], idempotent=True)
    @tool(scopes=["mail:{to}"])
    def send(to: list[str]): done.extend(to)
    calls = [call("disk_write", path="reports/x"), call("disk_write", path="src/x"), call("send", to=["ann@corp", "bob@corp"]),
        call("send", to=["ann@corp", "eve@evil"])]
    assert answers([made, send], ["fs:write:reports/", "mail:*@corp"], *calls)[0] == ["ok", "permission_denied"] * 2
    assert done == ["reports/x", "ann@corp", "bob@corp"]
    for wrong, text in ((["net:{host}"], "names host, which is no parameter. There are: to"), (["net:{"], "cannot be read"), ("net:x", "give a list"),
            (["{}"], "no parameter")):
        with pytest.raises(ToolDefinitionError, match=text): tool(name="send", scopes=wrong)(send.fn)


def test_what_cannot_be_filled_in_is_granted_by_nothing():
    spec = ToolSpec(name="run", scopes=("run:{argv[0]}", "net:{url:host}"))
    assert needed_scopes(spec, dict(argv=[], url="http://[")) == ["run:{argv[0]}", "net:{url:host}"]
    assert missing_scopes(spec, dict(argv=[], url="http://["), ["run:git", "net:*"]) == ["run:{argv[0]}", "net:{url:host}"]


SEGMENT = st.sampled_from(["reports", "src", "..", ".", "", "x", "reports2", "Reports", "re\u0301ports", "report"])


@given(parts=st.lists(SEGMENT, max_size=6), slash=st.booleans())
def test_no_spelling_of_a_path_leaves_the_grant(parts, slash):
    "What is granted resolves inside of the folder, by Python's own reading of paths"
    import posixpath
    path = "/" * slash + "/".join(parts)
    spec = ToolSpec(name="write", scopes=("fs:write:{path:path}",))
    if not missing_scopes(spec, dict(path=path), ["fs:write:reports/"]): assert posixpath.normpath(posixpath.join("/p", path)).startswith("/p/reports/")


def test_the_tool_knows_the_grant_of_its_call():
    seen = []
    @tool(read_only=True)
    def look(context: Context): seen.append(context.grant)
    answers([look], ["a:"], call("look"))
    answers([look], None, call("look"))
    assert seen == [("a:",), None]
    with pytest.raises(ToolError, match="needs net:b.test, which this agent is not granted"):
        asyncio.run(http(["*"])[0].run(dict(url="https://b.test/"), Context(grant=("net:a.test",))))
