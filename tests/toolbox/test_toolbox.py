"""The toolbox against whoever wants out: of the folder, of the list of programs, of the list of hosts, of reading only."""
import asyncio, gzip, os, signal, socket, sqlite3, stat, string, subprocess, sys, tempfile, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from agentnb.tools.scopes import needed_scopes
from agentnb.toolbox.files import diff, files, patch_text
from agentnb.toolbox.http import http
from agentnb.toolbox.net import Reach, is_public, read_url
from agentnb.toolbox.page import page_text
from agentnb.toolbox.process import clean_environment, process
from agentnb.toolbox.rooted import Root, load, save, scan
from agentnb.toolbox.sql import sql
from agentnb.tools.tool import ToolError


def ask(tools, name, /, **args):
    "What the model reads"
    return asyncio.run({t.name: t for t in tools}[name].run(args))


def refused(tools, name, /, *kinds, **args):
    "The failure of a call that must fail"
    with pytest.raises(ToolError) as e: ask(tools, name, **args)
    assert not kinds or e.value.failure.kind in kinds, e.value.failure
    assert e.value.failure.hint or e.value.failure.kind == "internal", e.value.failure
    return e.value.failure


# --- files ---

@pytest.fixture
def place(tmp_path):
    "A folder with a secret beside it"
    (tmp_path/"secret.txt").write_text("SECRET")
    (tmp_path/"rootbeer").mkdir()
    for name in ("secret.txt", "beer.txt"): (tmp_path/"rootbeer"/name).write_text("SECRET")
    root = tmp_path/"root"
    (root/"sub").mkdir(parents=True)
    (root/"a.txt").write_text("one\ntwo\nthree\n")
    (root/"sub"/"b.txt").write_text("two more\n")
    return root


def outside(place): return {p: p.is_file() and p.read_text() for p in place.parent.rglob("*") if not p.is_relative_to(place)}


ESCAPES = ["../secret.txt", "sub/../../secret.txt", "./../secret.txt", "sub/./../../secret.txt", "/etc/passwd", "//etc/passwd", "..", "sub/..",
    "../rootbeer/secret.txt",
    "．．/secret.txt", "‥/secret.txt", "..\\secret.txt", "..\0/secret.txt", "a.txt\0", "....//secret.txt", ".. /secret.txt", "../ secret.txt",
    "%2e%2e/secret.txt",
    "sub/%2e%2e/%2e%2e/secret.txt", "~/secret.txt", "~root/.bashrc", "file:///etc/passwd", "C:\\secret.txt", "..;/secret.txt", "..／secret.txt",
    "..∕secret.txt",
    "\u202e../secret.txt", "link", "dir/secret.txt", "dir", "loop", "sub/up/secret.txt", "/proc/self/root/etc/passwd", "abs", "proc/1/environ",
    "a.txt/../../secret.txt", "../root/a.txt", "x/" * 100 + "a", "x" * 300, "\udc2e\udc2e/secret.txt", "\ud800",
    "\\udc2e\\udc2e/secret.txt", "\\udcae"]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("path", ESCAPES, ids=ascii)
def test_no_path_leads_out(place, path, hidden):
    (place/"link").symlink_to("../secret.txt")
    (place/"dir").symlink_to("..")
    (place/"loop").symlink_to("loop")
    (place/"sub"/"up").symlink_to(place.parent)
    (place/"abs").symlink_to("/etc/passwd")
    (place/"proc").symlink_to("/proc")
    before, tools, root = outside(place), files(place, write=True, hidden=hidden), Root(place, hidden)
    for act in (lambda: root.open(path).__enter__(), lambda: load(root, path, 1000), lambda: scan(root, path), lambda: save(root, path, b"x"),
            lambda: save(root, f"{path}/new.txt", b"x"), lambda: save(root, path, b"x", version=os.stat(place/"a.txt"))):
        try: said = str(act())
        except ToolError as e: said = str(e)
        assert "SECRET" not in said and str(place) not in said and "passwd', 'file'" not in said
    for name, args in (("read_file", {}), ("write_file", dict(content="x", overwrite=True)), ("patch_file", dict(old="SECRET", new="x"))):
        try: said = ask(tools, name, path=path, **args)
        except ToolError as e: said = str(e)
        assert "SECRET" not in said and "root:" not in said
    assert outside(place) == before and "root:" in Path("/etc/passwd").read_text()
    if path.startswith("/"): refused(tools, "read_file", "permission_denied", path=path)
    for link in ("link", "dir", "loop", "sub/up", "abs", "proc"): assert (place/link).is_symlink()


PIECES = st.one_of(st.sampled_from(["..", ".", "", "sub", "a.txt", "b.txt", "link", "dir", "．．", "\0", "~", "..\\", " ..", ".. ", "%2e%2e", "\u2024\u2024",
    "…"]), st.text(max_size=6))


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=6), st.booleans())
def test_whatever_a_path_is_made_of_it_stays_inside(pieces, absolute):
    with tempfile.TemporaryDirectory() as at:
        root = Path(at)/"root"
        (root/"sub").mkdir(parents=True)
        (root/"a.txt").write_text("INSIDE")
        (Path(at)/"a.txt").write_text("SECRET")
        (root/"link").symlink_to("../a.txt")
        (root/"dir").symlink_to("..")
        path, tools = "/" * absolute + "/".join(pieces), Root(root, hidden=True)
        for act in (lambda: load(tools, path, 100)[0], lambda: scan(tools, path), lambda: save(tools, path, b"new")):
            try: assert act() in (b"INSIDE", None) or isinstance(act(), tuple)
            except ToolError: pass
        assert (Path(at)/"a.txt").read_text() == "SECRET" and sorted(os.listdir(at)) == ["a.txt", "root"]


SWAP = """
import ctypes, sys
libc, pairs = ctypes.CDLL(None), [(a.encode(), b.encode()) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]
while True:
    for a, b in pairs:
        if libc.renameat2(-100, a, -100, b, 2): raise SystemExit("no exchange of names here")
"""


@pytest.mark.parametrize("path", ["d/secret.txt", "f.txt"])
def test_what_is_open_is_not_exchanged(place, path):
    "Another process swaps a folder, or a file, with a link that leads out, as fast as it can"
    (place/"d").mkdir()
    for name in ("d/secret.txt", "f.txt"): (place/name).write_text("INSIDE")
    (place/"out").symlink_to("../rootbeer")
    (place/"link.txt").symlink_to("../rootbeer/secret.txt")
    names = ("d", "out") if path.startswith("d/") else ("f.txt", "link.txt")
    root, seen, swap = Root(place), set(), subprocess.Popen([sys.executable, "-c", SWAP, *(str(place/n) for n in names)])
    try:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            try:
                data, version = load(root, path, 100)
                seen.add(data)
                if path.startswith("d/"): save(root, path, b"INSIDE", version=version)
            except ToolError as e: seen.add(e.failure.kind)
            try: seen |= {e.path for e in scan(root, "d")[0]}
            except ToolError: pass
        assert swap.poll() is None
    finally:
        swap.kill()
        swap.wait()
    assert b"SECRET" not in seen and b"INSIDE" in seen and "permission_denied" in seen and "d/beer.txt" not in seen, seen
    assert sorted(os.listdir(place.parent/"rootbeer")) == ["beer.txt", "secret.txt"] and (place.parent/"rootbeer"/"secret.txt").read_text() == "SECRET"


def test_what_is_not_a_file_does_not_block(place):
    os.mkfifo(place/"pipe")
    with socket.socket(socket.AF_UNIX) as s: s.bind(str(place/"s"))
    try: os.mknod(place/"null", stat.S_IFCHR|0o666, os.makedev(1, 5))
    except PermissionError: (place/"null").symlink_to("/dev/zero")
    tools, started = files(place, write=True), time.monotonic()
    for name in ("pipe", "s", "null"):
        refused(tools, "read_file", "permission_denied", path=name)
        refused(tools, "write_file", "permission_denied", path=name, content="x", overwrite=True)
    assert refused(tools, "read_file", "invalid_input", path="sub").hint == "Use list_files to look into it."
    assert "not a file" in ask(tools, "list_files") and ask(tools, "search_files", text="two").count("\n") == 1
    assert time.monotonic() - started < 60


def test_hidden_names_are_kept_back(place):
    (place/".env").write_text("TOKEN=abc")
    (place/".git"/"hooks").mkdir(parents=True)
    tools = files(place, write=True)
    for path in (".env", ".git/hooks/pre-commit", "sub/.x", "./.env"):
        refused(tools, "read_file", "permission_denied", path=path)
        refused(tools, "write_file", "permission_denied", path=path, content="x")
    assert "TOKEN" not in ask(tools, "search_files", text="TOKEN") and ".env" not in ask(tools, "list_files", deep=True)
    assert "TOKEN" in ask(files(place, hidden=True), "read_file", path=".env")


@pytest.mark.parametrize("path", ["a.txt.", "a.txt ", "．env", "new\n.txt", "re\u202etxt.exe", "zero\u200bwidth", "a／b", "back\\slash", "tab\t", "...", "‥"],
    ids=ascii)
def test_a_name_that_looks_like_another_is_not_made(place, path):
    before = sorted(os.listdir(place))
    refused(files(place, write=True), "write_file", "invalid_input", "permission_denied", path=path, content="x")
    refused(files(place, write=True), "write_file", "invalid_input", "permission_denied", path=f"{path}/x.txt", content="x")
    assert sorted(os.listdir(place)) == before


def test_names_beyond_utf8_are_shown_and_found(place):
    (place/os.fsdecode(b"caf\xe9.txt")).write_text("found\n")
    tools = files(place)
    assert r"caf\udce9.txt 6" in ask(tools, "list_files")
    assert ask(tools, "read_file", path=r"caf\udce9.txt") == "found"
    assert ask(tools, "search_files", text="found") == r"caf\udce9.txt:1: found"


def test_big_files_are_paged(place):
    (place/"long.txt").write_text("".join(f"line {i}\n" for i in range(1, 5001)))
    with open(place/"huge.txt", "wb") as f: f.write(b"head\n"); f.truncate(20_000_000_000)
    (place/"wide.txt").write_text("x" * 3_000_000 + "\nend\n")
    (place/"bin").write_bytes(b"\x89PNG\0\0")
    tools, line, seen, started = files(place), 1, [], time.monotonic()
    while True:
        said = ask(tools, "read_file", path="long.txt", line=line)
        assert len(said) < 21_000
        *lines, last = said.split("\n")
        if not last.startswith("["): lines.append(last)
        seen += lines
        if not last.startswith("["): break
        line = int(last.partition("; line=")[2].split()[0])
    assert seen == [f"line {i}" for i in range(1, 5001)]
    assert ask(tools, "read_file", path="wide.txt").endswith("[… 2,998,001 more bytes in this line]\nend")
    refused(tools, "read_file", "invalid_input", path="bin")
    refused(tools, "read_file", "invalid_input", path="huge.txt")
    refused(tools, "read_file", "invalid_input", path="long.txt", line=5001)
    refused(tools, "read_file", "invalid_input", path="long.txt", line=0)
    assert "page=2 shows more" in ask(tools, "search_files", text="line")
    assert ask(tools, "search_files", text="line", page=50).startswith("long.txt:4901: line 4901")
    assert time.monotonic() - started < 20


def test_one_endless_line_is_not_read_to_its_end(place):
    with open(place/"endless.txt", "wb") as f:
        f.write(b"x" * 10_000)
        f.truncate(30_000_000_000)
    tools, started = files(place), time.monotonic()
    for name, args in (("read_file", dict(path="endless.txt")), ("search_files", dict(text="y"))):
        assert "x" in ask(tools, name, **args) or name == "search_files"
    assert time.monotonic() - started < 15


def test_a_crowded_folder_is_bounded(place):
    for i in range(10_050): (place/"sub"/f"f{i}").touch()
    assert "not all of it was looked at" in ask(files(place), "list_files", folder="sub", page=50)
    refused(files(place), "list_files", "invalid_input", folder="sub", page=99)


def test_writing_keeps_what_is_not_its_own(place):
    tools = files(place, write=True)
    os.link(place.parent/"secret.txt", place/"hard.txt")
    ask(tools, "write_file", path="hard.txt", content="mine", overwrite=True)
    assert (place.parent/"secret.txt").read_text() == "SECRET" and (place/"hard.txt").read_text() == "mine"
    (place/"a.txt").chmod(0o640)
    ask(tools, "patch_file", path="a.txt", old="two", new="2")
    assert (place/"a.txt").stat().st_mode & 0o777 == 0o640 and (place/"a.txt").read_text() == "one\n2\nthree\n"
    (place/"a.txt").chmod(0o444)
    refused(tools, "patch_file", "permission_denied", path="a.txt", old="one", new="1")
    (place/"latin.txt").write_bytes(b"caf\xe9 two\n")
    refused(tools, "patch_file", "invalid_input", path="latin.txt", old="two", new="2")
    (place/"dos.txt").write_bytes(b"one\r\ntwo\r\n")
    ask(tools, "patch_file", path="dos.txt", old="one\ntwo", new="1\n2")
    assert (place/"dos.txt").read_bytes() == b"1\r\n2\r\n"
    assert not [n for n in os.listdir(place) if n.endswith(".part")]
    assert refused(tools, "write_file", "conflict", path="dos.txt", content="x").hint.startswith("Read it; then")
    refused(tools, "patch_file", "not_found", path="none.txt", old="x", new="y")
    root = Root(place)
    _, version = load(root, "dos.txt", 100)
    (place/"dos.txt").write_text("someone else was here")
    with pytest.raises(ToolError, match="changed by someone else"): save(root, "dos.txt", b"mine", version=version)


def test_two_writers_of_a_new_file(place):
    root, done = Root(place), []
    def write(i):
        try: save(root, "new/one.txt", str(i).encode() * 1000); done.append(i)
        except ToolError as e: assert e.failure.kind == "conflict"
    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert len(done) == 1 and (place/"new"/"one.txt").read_text() == str(done[0]) * 1000


SMALL = st.text(alphabet="ab", max_size=3)


@settings(max_examples=1000, deadline=None)
@given(SMALL, st.text(alphabet="ab", min_size=1, max_size=3), SMALL, SMALL, st.booleans())
def test_a_repeated_patch_changes_nothing_more(before, old, new, after, grows):
    text, new = before + old + after, before[:1] + old + new if grows else new
    try: once = patch_text(text, old, new)
    except ToolError: return
    assert once == text or once in {text[:i] + new + text[i + len(old):] for i in range(len(text)) if text.startswith(old, i)}
    try: assert patch_text(once, old, new) == once
    except ToolError: pass


def test_the_preview_is_the_change(place):
    tools = {t.name: t for t in files(place, write=True)}
    shown = tools["patch_file"].preview(dict(path="a.txt", old="two", new="2"))
    assert shown.splitlines() == ["--- a.txt", "+++ a.txt", "@@ -1,3 +1,3 @@", " one", "-two", "+2", " three"]
    assert (place/"a.txt").read_text() == "one\ntwo\nthree\n"
    assert "+hello" in tools["write_file"].preview(dict(path="n.txt", content="hello\n")) and not (place/"n.txt").exists()
    assert "no preview" in tools["write_file"].preview(dict(path="../n.txt", content="hello\n"))
    big = "".join(f"{i}\n" for i in range(100_000))
    started = time.monotonic()
    assert len(diff(big, big.replace("50000\n", "changed\n"), "big").splitlines()) == 11
    assert "replaced by" in diff(big, "".join(f"{i}.\n" for i in range(100_000)), "big")
    assert time.monotonic() - started < 20


def test_a_scope_cannot_climb(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"reports").mkdir()
    (tmp_path/"other").mkdir()
    folder, path = "{folder:folder}", "{path:path}"
    reads = [f"fs:read:reports/{p}" for p in (folder, path, folder)]
    assert [t.spec.scopes[0] for t in files("reports/", write=True)] == [*reads, *[f"fs:write:reports/{path}"] * 2]
    assert files("reports/../other")[0].spec.scopes == (f"fs:read:other/{folder}",) and files(".")[0].spec.scopes == (f"fs:read:{folder}",)
    assert all(t.spec.read_only for t in files("other")) and not any(t.spec.open_world for t in files("other", write=True))
    with pytest.raises(ValueError, match="not a folder"): files("none")


# --- programs ---

def python(code, tmp_path, **kwargs): return ask(process([sys.executable], cwd=tmp_path, **kwargs), "run_command", argv=[sys.executable, "-c", code])


def test_words_are_only_words(tmp_path):
    tools = process(["echo", "ls"], cwd=tmp_path)
    words = ["$(touch x)", "; touch y", "`id`", "*", "&& ls", "> out", "| sh", "$HOME", "\n", "-n"]
    assert ask(tools, "run_command", argv=["echo", *words]) == "exit code 0\n" + " ".join(words)
    assert os.listdir(tmp_path) == []
    for argv in (["sh", "-c", "id"], ["/bin/echo"], ["./echo"], ["echo ", "x"], ["ECHO"], ["../bin/echo"], ["echo\0"], [""], ["echo;id"]):
        assert refused(tools, "run_command", "permission_denied", argv=argv).hint == "You may run: echo, ls."
    refused(tools, "run_command", "invalid_input", argv=[])
    refused(tools, "run_command", "invalid_input", argv=["echo", "a\0b"])
    refused(tools, "run_command", "invalid_input", argv=["echo", "x" * 200_000])
    assert ask(tools, "run_command", argv=["ls", "none"]).startswith("exit code 2\n")
    with pytest.raises(ValueError, match="no program"): process(["no-such-program"])


def test_secrets_stay_here(tmp_path, monkeypatch):
    for name in ("SHOP_API_KEY", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "PGPASSWORD", "LD_PRELOAD", "PYTHONSTARTUP"): monkeypatch.setenv(name,
        "hunter2-0123456789" if name != "LD_PRELOAD" else "")
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}:bin")
    assert not {"SHOP_API_KEY", "DATABASE_URL", "PGPASSWORD", "LD_PRELOAD", "PYTHONSTARTUP"} & set(clean_environment())
    assert all(os.path.isabs(p) for p in clean_environment()["PATH"].split(":"))
    assert "hunter2" not in python("import os; print(os.environ)", tmp_path)
    assert "hunter2" not in python("import os; print(open(f'/proc/{os.getppid()}/environ').read().split(chr(0)))", tmp_path)
    assert "yes" in python("import os; print(os.environ['GIVEN'])", tmp_path, env=dict(GIVEN="yes"))


def gone(pid):
    "Whether a process ends within a second: the system ends a killed one a moment later"
    for _ in range(100):
        try: state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError: return True
        if state == "Z": return True
        time.sleep(0.01)
    return False


def test_a_program_takes_its_children_with_it(tmp_path):
    code = "import subprocess, time; p = subprocess.Popen(['sleep', '300']); open('pid', 'w').write(str(p.pid)); {}"
    with pytest.raises(ToolError, match="killed after 1 s"): python(code.format("print('begun', flush=True); time.sleep(300)"), tmp_path, seconds=1)
    assert gone((tmp_path/"pid").read_text())
    started = time.monotonic()
    assert python(code.format("pass"), tmp_path).startswith("exit code 0")
    assert time.monotonic() - started < 60 and gone((tmp_path/"pid").read_text())


def test_a_daemon_does_not_hold_the_call_up(tmp_path):
    code = "import subprocess; p = subprocess.Popen(['sleep', '20'], start_new_session=True); print(p.pid)"
    started = time.monotonic()
    said = python(code, tmp_path)
    assert time.monotonic() - started < 15
    os.kill(int(said.split()[-1]), signal.SIGKILL)


def test_a_stopped_run_stops_the_program(tmp_path):
    [tool] = process([sys.executable], cwd=tmp_path)
    async def main():
        call = asyncio.create_task(tool.run(dict(argv=[sys.executable, "-c", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)"])))
        while not (tmp_path/"pid").exists() or not (tmp_path/"pid").read_text(): await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError): await call
    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 60 and gone((tmp_path/"pid").read_text())


def test_output_is_bounded(tmp_path):
    said = python("print('first'); print('x' * 1_000_000); print('last')", tmp_path, most=2000)
    assert len(said) < 2200 and "first" in said and said.endswith("last") and "bytes left out" in said
    started = time.monotonic()
    failure = refused(process(["yes"]), "run_command", "invalid_input", argv=["yes"])
    assert "without end" in failure.message and len(failure.message) < 25_000 and time.monotonic() - started < 30
    assert python("import os; os.write(1, b'\\xff\\xfe ok')", tmp_path).endswith(r"\xff\xfe ok")
    assert python("import os; os.close(1); os.close(2)", tmp_path) == "exit code 0\n(it printed nothing)"
    assert python("import os; os.abort()", tmp_path).startswith("killed by SIGABRT")
    assert python("import sys; print(repr(sys.stdin.read()))", tmp_path).endswith("''")


def test_a_program_that_was_exchanged_is_not_run(tmp_path):
    script = tmp_path/"tool.sh"
    script.write_text("#!/bin/sh\necho good\n")
    script.chmod(0o755)
    tools = process([str(script)], cwd=tmp_path)
    assert ask(tools, "run_command", argv=[str(script)]) == "exit code 0\ngood"
    ask(files(tmp_path, write=True), "write_file", path="tool.sh", content="#!/bin/sh\necho evil\n", overwrite=True)
    assert "was changed" in refused(tools, "run_command", "permission_denied", argv=[str(script)]).message
    assert needed_scopes(tools[0].spec, dict(argv=[str(script), "x"])) == [f"run:{script}"] and tools[0].spec.destructive and not tools[0].spec.idempotent


# --- HTTP ---

class Site(BaseHTTPRequestHandler):
    "Behaves as badly as its path says"
    protocol_version, asked = "HTTP/1.1", []
    def log_message(self, *_): pass

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for k, v in {"Content-Type": "text/plain", "Content-Length": len(body), **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
            if v is not None: self.send_header(k, str(v))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)

    def do_GET(self):
        Site.asked.append((self.command, self.path, dict(self.headers)))
        name, _, rest = self.path.strip("/").partition("/")
        name, rest = name.partition("?")[0], rest.replace("%7C", "/")
        try: getattr(self, name, lambda rest: self.answer(404, b"nothing here"))(rest)
        except (BrokenPipeError, ConnectionResetError): pass

    do_HEAD = do_GET
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        Site.asked.append((self.command, self.path, body))
        if self.path.startswith("/to/"): return self.answer(307, b"", Location=f"/{self.path[4:]}")
        self.answer(201, b"made " + body)

    def ok(self, rest): self.answer(200, b"fine")
    def to(self, rest): self.answer(302, b"", Location=rest)
    def loop(self, rest): self.answer(301, b"", Location=f"/loop/{int(rest or 0) + 1}")
    def late(self, rest): self.answer(429, b"slow down", Retry_After=7)
    def status(self, rest): self.answer(int(rest), b"said so")
    def latin(self, rest): self.answer(200, "späť".encode("cp1250"), Content_Type="text/plain; charset=cp1250")
    def odd(self, rest): self.answer(200, b"odd", Content_Type="text/plain; charset=no-such-charset")
    def png(self, rest): self.answer(200, b"\x89PNG\0\0", Content_Type="image/png")
    def long(self, rest): self.answer(200, b"".join(b"%07d\n" % i for i in range(10_000)))
    def bomb(self, rest): self.answer(200, gzip.compress(b"x" * 50_000_000), Content_Encoding="gzip")
    def broken(self, rest): self.answer(200, b"not gzip", Content_Encoding="gzip")

    def endless(self, rest):
        self.answer(200, b"", Content_Length=None)
        while True: self.wfile.write(b"x" * 65536)

    def drip(self, rest):
        if rest == "head": self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        else: self.answer(200, b"", Content_Length=None, Connection="close")
        for _ in range(200):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.1)
        self.close_connection = True

    def headers_without_end(self, rest):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)))


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Names:
    "A resolver that can be told what to say next"
    def __init__(self, **names): self.names, self.asked = names, []
    def __call__(self, host, port):
        self.asked.append(host)
        said = self.names.get(host.partition(".")[0], "8.8.8.8")
        if isinstance(said, str): return [said]
        return said.pop(0) if len(said) > 1 else said[0]


def web(*allow, **kwargs):
    names = kwargs.pop("resolve", None) or Names(good="127.0.0.1")
    return http(list(allow) or ["good.test:*"], **dict(dict(private=["127.0.0.1"], plain=True, resolve=names, seconds=5), **kwargs))


PRIVATE = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "::", "::1", "fe80::1",
    "fe80::1%eth0",
    "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "2001:0:7f00:1::", "fec0::1", "2001:db8::1", "100::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_inner_address_is_not_reached(address):
    assert not is_public(address)
    failure = refused(http(["*"], resolve=lambda host, port: ["8.8.8.8", address]), "fetch", "permission_denied", url="https://example.com/")
    assert "not an address of the open internet" in failure.message


def test_public_addresses_are_public(): assert all(map(is_public, ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808", "172.32.0.1",
    "100.128.0.1"]))


@pytest.mark.parametrize("url", ["http://127.1/", "http://2130706433/", "http://0x7f.0.0.1/", "http://017700000001/", "http://[::1]/",
    "http://[::ffff:7f00:1]/", "http://localhost/",
    "http://127.0.0.1./", "http://①②⑦.⓪.⓪.①/", "http://0/"])
def test_other_ways_to_write_loopback(url):
    "With the resolver of the system, and every host allowed"
    refused(http(["*"], plain=True), "fetch", "permission_denied", "invalid_input", "not_found", url=url)


@pytest.mark.parametrize("url", ["https://good.test@evil.com/", "https://evil.com/good.test", "https://evil.com?good.test", "https://evil.com#good.test",
    "https://good.test.evil.com/",
    "https://evilgood.test/", "https://good.test\\@evil.com/", "https://good.test%00.evil.com/", "https://good.test\n.evil.com/", "https://evil.com\t/",
    "https:///good.test",
    "//good.test/", "good.test", "ftp://good.test/", "file://good.test/etc/passwd", "gopher://good.test/", "javascript:alert(1)", "https://good.test:99999/",
    "https://good.test:22/",
    "https://good.test:80/", "https://user:pw@good.test/", "https://[good.test]/", "https://good.test /", "https://go od.test/", "https://", "",
    "https://xn--/", "http://good.test/",
    "https://good。test。evil.com/", "https://" + "a" * 300 + ".test/", "https://good.test/" + "a" * 9000, "https://*.test/", "https://good.test:-1/",
    "https://good.test:٤٤٣/"], ids=ascii)
def test_a_url_that_is_not_on_the_list(url):
    with pytest.raises(ToolError) as e: read_url(url, Reach(allow=("good.test",)))
    assert e.value.failure.kind in ("permission_denied", "invalid_input") and e.value.failure.hint


BEGINNINGS = ["https://", "http://", "https://good.test", "https://good.test.", "https:", ""]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=string.printable + "。．／＠①", max_size=30), st.sampled_from(BEGINNINGS))
def test_whatever_a_url_is_made_of_it_leads_to_the_list(rest, begin):
    try: target = read_url(begin + rest, Reach(allow=("good.test", "good.test:*"), plain=True))
    except ToolError: return
    assert target.host == "good.test" and target.path.startswith("/") and target.path.isascii() and not set(target.path) & set(" \r\n\t")


def test_a_name_is_resolved_once(site):
    "Public when it is checked, loopback when it is used: the second answer is never asked for"
    names = Names(evil=[["8.8.8.8"], ["127.0.0.1"]], good=[["127.0.0.1"], ["10.0.0.1"]])
    tools = web("*:*", resolve=names)
    assert ask(tools, "fetch", url=f"http://good.test:{site}/ok") == "fine"
    assert names.asked == ["good.test"]
    rebound = http(["*"], plain=True, resolve=Names(evil=[["127.0.0.1"], ["8.8.8.8"]]))
    refused(rebound, "fetch", "permission_denied", url="http://evil.test/")


def test_the_connection_goes_where_it_was_checked(site):
    "The name is one that the system cannot resolve: only the checked address is used"
    Site.asked.clear()
    assert ask(web(), "fetch", url=f"http://good.test:{site}/ok?q=a b".replace(" ", "%20")) == "fine"
    assert Site.asked[0][:2] == ("GET", "/ok?q=a%20b") and Site.asked[0][2]["Host"] == f"good.test:{site}"
    refused(web(private=[]), "fetch", "permission_denied", url=f"http://good.test:{site}/ok")
    refused(web(plain=False), "fetch", "permission_denied", url=f"http://good.test:{site}/ok")


def test_each_redirect_is_checked(site):
    names = Names(good="127.0.0.1", evil="127.0.0.1", inside="10.0.0.1")
    tools = web("good.test:*", "inside.test", "169.254.169.254", "good.test", resolve=Names(**{**names.names, "169": "169.254.169.254"}))
    to = lambda url: f"http://good.test:{site}/to/{url.replace('/', '|')}"
    assert ask(tools, "fetch", url=to("/ok")) == f"[from http://good.test:{site}/ok]\nfine"
    for url in (f"http://evil.test:{site}/ok", "http://inside.test/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "//evil.test/",
        f"http://good.test:{site}@evil.test/"):
        refused(tools, "fetch", "permission_denied", "invalid_input", url=to(url))
    assert "without end" in refused(tools, "fetch", "unavailable", url=f"http://good.test:{site}/loop").message


def test_a_change_is_not_sent_twice(site):
    tools = web(write=True)
    Site.asked.clear()
    assert ask(tools, "send_request", url=f"http://good.test:{site}/items", method="POST", body='{"a": 1}') == 'status 201\nmade {"a": 1}'
    assert ask(tools, "send_request", url=f"http://good.test:{site}/to/items", method="POST", body="{}") == "status 307\nlocation: /items"
    assert len(Site.asked) == 2
    refused(tools, "send_request", "invalid_input", url=f"http://good.test:{site}/items", method="POST", body="{")
    refused(tools, "fetch", "invalid_input", url=f"http://good.test:{site}/items", method="POST")
    fetch, send = tools
    assert fetch.spec.read_only and not send.spec.read_only and not send.spec.idempotent
    assert needed_scopes(send.spec, dict(url="http://good.test:81/x")) == ["net:good.test:81"]
    assert send.preview(dict(url=f"http://good.test:{site}/x", method="PUT", body="{}")).startswith(f"PUT http://good.test:{site}/x\n")
    assert "no preview" in send.preview(dict(url="http://evil.test/x", method="PUT", body="{}"))


@pytest.mark.parametrize("path", ["drip", "drip/head"])
def test_a_slow_server_is_left(site, path):
    started = time.monotonic()
    refused(web(seconds=1), "fetch", "timeout", url=f"http://good.test:{site}/{path}")
    assert time.monotonic() - started < 15


def test_a_server_that_does_not_speak_is_left():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        started = time.monotonic()
        for scheme in ("http", "https"): refused(web(seconds=0.5), "fetch", "timeout", url=f"{scheme}://good.test:{s.getsockname()[1]}/")
        assert time.monotonic() - started < 30


def test_answers_are_bounded_and_decoded(site):
    tools, at, started = web(most=500_000), f"http://good.test:{site}", time.monotonic()
    for path in ("endless", "bomb"): assert len(ask(tools, "fetch", url=f"{at}/{path}")) < 21_000
    first = ask(tools, "fetch", url=f"{at}/long")
    assert first.endswith("[characters 0 to 20,000 of 80,000; start=20000 shows more]") and ask(tools, "fetch", url=f"{at}/long",
        start=20000).startswith("0002500\n")
    refused(tools, "fetch", "invalid_input", url=f"{at}/long", start=80000)
    assert ask(tools, "fetch", url=f"{at}/latin") == "späť" and ask(tools, "fetch", url=f"{at}/odd") == "odd"
    assert ask(tools, "fetch", url=f"{at}/png") == "[image/png, 6 bytes: not a text]"
    assert "Content-Length: 4" in ask(tools, "fetch", url=f"{at}/ok", method="HEAD")
    for path in ("broken", "headers_without_end"): refused(tools, "fetch", "unavailable", url=f"{at}/{path}")
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("status, kind", [(400, "invalid_input"), (401, "permission_denied"), (403, "permission_denied"), (404, "not_found"), (409,
    "conflict"), (500, "unavailable"), (503, "unavailable")])
def test_a_status_is_a_kind_of_failure(site, status, kind): assert "said so" in refused(web(), "fetch", kind,
    url=f"http://good.test:{site}/status/{status}").message


def test_when_to_come_again(site): assert refused(web(), "fetch", "rate_limited", url=f"http://good.test:{site}/late").retry_after == 7


def test_a_page_is_read_as_a_person_reads_it():
    html = """<!doctype html><head><title> A &amp; B </title><script>evil()</script><style>x</style></head><body>
        <nav><a href="/home">Home</a></nav><h2>Head</h2>
        <p>One <b>two</b>\n three<br>four</p><table><tr><th>a<th>b</tr><tr><td>1<td>2</tr></table>
        <pre>  keep\n    this</pre>
        <svg><text>no</text></svg><a href="javascript:x()">js</a>"""
    text = page_text(html, "https://example.com/a/b")
    for part in ("A & B", "## Head", "One two three\nfour", "| 1 | 2", "    this", "Home (https://example.com/home)"): assert part in text, text
    assert "evil" not in text and "no" not in text.split() and "javascript" not in text


@pytest.mark.parametrize("piece", ["<a ", "<!", "<![CDATA[", "<div>", "<!--", "&#", "<a href='", "<svg>", "</", "<p" + " x" * 50])
def test_a_hostile_page_does_not_take_long(piece):
    started = time.monotonic()
    page_text(piece * (1_000_000 // len(piece)), seconds=2)
    assert time.monotonic() - started < 30


# --- SQL ---

@pytest.fixture
def lite(tmp_path):
    with sqlite3.connect(tmp_path/"shop.db") as db:
        db.executescript("""CREATE TABLE jobs (id INTEGER PRIMARY KEY, name TEXT, data BLOB); CREATE VIRTUAL TABLE notes USING fts5(body);
            INSERT INTO jobs (name) VALUES ('pay'), ('mail'), (NULL); INSERT INTO notes VALUES ('the queue is long');
            CREATE TABLE log (what TEXT); CREATE TRIGGER logs AFTER INSERT ON jobs BEGIN INSERT INTO log VALUES (new.name); END;""")
    db.close()
    return tmp_path/"shop.db"


LITE = ["DELETE FROM jobs", "WITH x AS (SELECT 1) INSERT INTO jobs (name) SELECT 'x' FROM x", "/* SELECT */ UPDATE jobs SET name = 1", "DROP TABLE jobs",
    "CREATE TABLE x (a)",
    "CREATE TEMP TABLE x (a)", "ATTACH 'other.db' AS o", "ATTACH ':memory:' AS o", "DETACH main", "PRAGMA query_only=OFF", "PRAGMA query_only(0)",
    "PRAGMA writable_schema=ON",
    "PRAGMA journal_mode=DELETE", "PRAGMA temp_store_directory='/tmp'", "SELECT load_extension('x')", "SELECT writefile('x', 'y')",
    "SELECT readfile('/etc/passwd')", "VACUUM",
    "VACUUM INTO 'copy.db'", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT x", "REINDEX", "ANALYZE", "SELECT 1; DELETE FROM jobs", "SELECT 1;;DELETE FROM jobs",
    "INSERT INTO notes VALUES ('x')",
    "INSERT INTO notes(notes) VALUES('delete-all')", "REPLACE INTO jobs VALUES (1, 'x', NULL)", "UPDATE sqlite_master SET sql = ''",
    "ALTER TABLE jobs ADD COLUMN x", "SELECT fts3_tokenizer('x')",
    "EXPLAIN DELETE FROM jobs; DELETE FROM jobs", "CREATE VIRTUAL TABLE v USING fts5(a)", "DELETE FROM jobs RETURNING *", "\0DELETE FROM jobs",
    "SELECT * FROM pragma_query_only('0')",
    "SELECT * FROM pragma_journal_mode('delete')"]


@pytest.mark.parametrize("statement", LITE, ids=ascii)
def test_sqlite_is_only_read(lite, statement):
    before, names = lite.read_bytes(), sorted(os.listdir(lite.parent))
    refused(sql(f"sqlite:///{lite}"), "query", "permission_denied", "invalid_input", "not_found", "internal", sql=statement)
    assert lite.read_bytes() == before and sorted(os.listdir(lite.parent)) == names


@pytest.mark.parametrize("statement", [s for s in LITE if s.split()[0] in ("ATTACH", "DETACH", "PRAGMA", "VACUUM", "BEGIN", "COMMIT", "ROLLBACK",
    "SAVEPOINT") or "file(" in s or "extension" in s or ";" in s])
def test_writing_does_not_reach_other_files(lite, statement):
    refused(sql(f"sqlite:///{lite}", write=True), "execute", sql=statement)
    assert sorted(os.listdir(lite.parent)) == ["shop.db"] and "pay" in ask(sql(f"sqlite:///{lite}"), "query", sql="SELECT * FROM jobs")


def test_sqlite_is_asked(lite):
    tools = sql(f"sqlite:///{lite}", write=True)
    assert ask(tools, "query", sql="SELECT id, name FROM jobs -- all;") == "id | name\n1 | pay\n2 | mail\n3 | NULL\n[3 rows]"
    assert "queue" in ask(tools, "query", sql="SELECT body FROM notes WHERE notes MATCH 'long'")
    assert "jobs | id INTEGER, name TEXT, data BLOB" in ask(tools, "tables") and ask(tools, "tables", name="none") == "There is no table 'none'."
    assert ask(tools, "execute", sql="INSERT INTO jobs (name) VALUES ('new') RETURNING id") == "id\n4\n[1 row]"
    assert ask(tools, "execute", sql="UPDATE jobs SET name = 'x' WHERE id < 3") == "2 rows changed."
    assert ask(tools, "query", sql="SELECT what FROM log WHERE what IS NOT NULL").count("new") == 1
    refused(tools, "execute", "conflict", sql="INSERT INTO jobs (id) VALUES (1)")
    assert refused(tools, "query", sql="SELECT * FROM nowhere").kind == "not_found" and refused(tools, "query", sql="SELEC").kind == "invalid_input"
    shown = {t.name: t for t in tools}["execute"].preview(dict(sql="DELETE FROM jobs WHERE id > 1"))
    assert shown.startswith("DELETE FROM jobs WHERE id > 1\n\n") and "jobs: 4 rows" in shown
    assert "no estimate" in {t.name: t for t in tools}["execute"].preview(dict(sql="DELETE FROM jobs; DELETE FROM log"))
    assert ask(tools, "query", sql="SELECT count(*) FROM jobs").splitlines()[1] == "4"
    assert [t.spec.scopes for t in tools] == [(f"sql:read:{lite}",)] * 2 + [(f"sql:write:{lite}",)]
    assert [t.spec.read_only for t in tools] == [True, True, False] and not tools[2].spec.idempotent


def test_sqlite_is_bounded(lite):
    tools, started = sql(f"sqlite:///{lite}", seconds=1, write=True), time.monotonic()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"
    refused(tools, "query", "timeout", sql=endless.format("count(*)"))
    refused(tools, "execute", "timeout", sql=f"INSERT INTO log {endless.format('i')}")
    said = ask(tools, "query", sql=endless.format("i"))
    assert said.endswith("[the first 200 rows; there are more: use LIMIT and OFFSET, or count and group them]")
    for bomb in ("zeroblob(1000000000)", "hex(zeroblob(9000000))", "replace(hex(zeroblob(1000000)), '0', hex(zeroblob(100)))"):
        refused(tools, "query", "invalid_input", sql=f"SELECT {bomb}")
    assert len(ask(tools, "query",
        sql="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT hex(zeroblob(10000)) FROM n LIMIT 150")) < 25_000
    assert ask(tools, "query", sql="SELECT count(*) FROM log").splitlines()[1] == "0" and time.monotonic() - started < 60


def test_a_file_name_is_not_an_address(tmp_path):
    odd = tmp_path/"a?mode=rwc#x%41.db"
    with sqlite3.connect(odd) as db: db.execute("CREATE TABLE t (a)")
    db.close()
    refused(sql(f"sqlite:///{odd}"), "query", sql="INSERT INTO t VALUES (1)")
    assert ask(sql(f"sqlite:///{odd}"), "query", sql="SELECT * FROM t") == "a\n[0 rows]"
    refused(sql(f"sqlite:///{tmp_path}/none.db"), "query", "not_found", sql="SELECT 1")
    assert not (tmp_path/"none.db").exists()
    (tmp_path/"text.db").write_text("not a database " * 100)
    refused(sql(f"sqlite:///{tmp_path}/text.db"), "query", "unavailable", sql="SELECT * FROM t")
    for url in ("sqlite:///:memory:", "mysql://x/y", "shop.db", "sqlite:///"):
        with pytest.raises(ValueError, match="sqlite:///shop.db"): sql(url)


def test_sqlite_that_is_being_written_is_read(lite):
    with sqlite3.connect(lite) as db: db.execute("PRAGMA journal_mode=WAL")
    db.execute("INSERT INTO jobs (name) VALUES ('waiting')")
    assert ask(sql(f"sqlite:///{lite}"), "query", sql="SELECT count(*) FROM jobs").splitlines()[1] == "3"
    db.close()
    assert ask(sql(f"sqlite:///{lite}"), "query", sql="SELECT count(*) FROM jobs").splitlines()[1] == "3"


@pytest.fixture
def postgres(postgres_url):
    "A database with a table, and a role that may read and write it"
    import psycopg
    role = f"reader_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2-secret'")
        db.execute("CREATE TABLE jobs (id serial PRIMARY KEY, name text)")
        db.execute("INSERT INTO jobs (name) SELECT 'job ' || i FROM generate_series(1, 1000) i")
        insert = "INSERT INTO jobs (name) VALUES ('sneaky')"
        db.execute(f"CREATE FUNCTION sneaky() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {insert}; RETURN 1; END $$")
        db.execute(f"CREATE FUNCTION unlock() RETURNS int LANGUAGE plpgsql AS $$ BEGIN SET TRANSACTION READ WRITE; {insert}; RETURN 1; END $$")
        db.execute(f"CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN COMMIT; {insert}; COMMIT; END $$")
        db.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        db.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
        db.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
        db.execute("ANALYZE jobs")
    yield postgres_url.replace("//postgres@", f"//{role}:hunter2-secret@")
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"DROP OWNED BY {role}")
        db.execute(f"DROP ROLE {role}")


PG = ["DELETE FROM jobs", "WITH x AS (DELETE FROM jobs RETURNING *) SELECT * FROM x", "WITH x AS (SELECT 1) INSERT INTO jobs (name) SELECT 'x' FROM x",
    "SELECT sneaky()", "SELECT unlock()",
    "CALL ends()", "DO $$ BEGIN DELETE FROM jobs; END $$", "DO $$ BEGIN COMMIT; DELETE FROM jobs; END $$", "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "BEGIN", "COMMIT", "COMMIT; DELETE FROM jobs", "ROLLBACK; DELETE FROM jobs; COMMIT", "SELECT 1; DELETE FROM jobs",
    "SELECT 1; COMMIT; DELETE FROM jobs; COMMIT; SELECT 2", "SELECT 1; COMMIT; BEGIN READ WRITE; DELETE FROM jobs; COMMIT", "ABORT",
    "SELECT set_config('transaction_read_only', 'off', false), sneaky()",
    "SELECT set_config('default_transaction_read_only', 'off', false) UNION ALL SELECT sneaky()::text",
    "SELECT set_config('transaction_read_only', 'off', true)", "SELECT nextval('jobs_id_seq')", "SELECT setval('jobs_id_seq', 1)",
    "SELECT * FROM jobs FOR UPDATE", "SELECT * INTO x FROM jobs",
    "CREATE TABLE x (a int)", "CREATE TEMP TABLE x (a int)", "DROP TABLE jobs", "TRUNCATE jobs", "COPY jobs TO '/tmp/agentnb-copy'",
    "COPY jobs FROM PROGRAM 'id'", "COPY (SELECT 1) TO PROGRAM 'id'", "COPY jobs TO STDOUT",
    "VACUUM", "ANALYZE jobs", "PREPARE x AS DELETE FROM jobs", "EXECUTE x", "LISTEN x", "NOTIFY x", "LOCK jobs", "EXPLAIN ANALYZE DELETE FROM jobs",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')", "SELECT lo_export(1, '/tmp/agentnb-copy')", "SELECT query_to_xml('DELETE FROM jobs', true, true, '')", "SELECT pg_reload_conf()",
    "RESET ROLE", "SET ROLE postgres",
    "SELECT set_config('role', 'postgres', false)", "SELECT 1 FROM jobs); DELETE FROM jobs; --", "SELECT 1 /* ", "", "CLOSE agentnb_rows; DELETE FROM jobs",
    "FETCH ALL FROM agentnb_rows", "REFRESH MATERIALIZED VIEW x"]


def count(postgres_url):
    import psycopg
    made = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    with psycopg.connect(postgres_url) as db:
        return db.execute(f"SELECT count(*), max(name), (SELECT last_value FROM jobs_id_seq), ({made}) FROM jobs").fetchone()


def test_postgres_is_only_read(postgres, postgres_url):
    before, tools = count(postgres_url), sql(postgres)
    for statement in PG:
        if not statement: continue
        said = refused(tools, "query", "permission_denied", "invalid_input", "conflict", "not_found", sql=statement)
        assert "hunter2" not in str(said), statement
        for t in sql(postgres, write=True): t.preview(dict(sql=statement))
        assert count(postgres_url) == before, statement


def test_a_superuser_is_not_accepted(postgres_url, postgres):
    import psycopg
    for name in ("query", "tables", "execute"): assert "CREATE ROLE" in refused(sql(postgres_url, write=True), name, "permission_denied",
        **({} if name == "tables" else dict(sql="SELECT 1"))).hint
    role = postgres.partition("//")[2].partition(":")[0]
    with psycopg.connect(postgres_url, autocommit=True) as db:
        for lent in ("pg_execute_server_program", "pg_read_server_files", "postgres"):
            db.execute(f"GRANT {lent} TO {role}")
            refused(sql(postgres), "query", "permission_denied", sql="SELECT 1")
            db.execute(f"REVOKE {lent} FROM {role}")
    assert ask(sql(postgres), "query", sql="SELECT 1 AS one") == "one\n1\n[1 row]"


def test_postgres_is_asked(postgres):
    tools = sql(postgres, write=True)
    assert ask(tools, "query", sql="SELECT id, name FROM jobs ORDER BY id LIMIT 2; ") == "id | name\n1 | job 1\n2 | job 2\n[2 rows]"
    assert "the first 200 rows" in ask(tools, "query", sql="TABLE jobs")
    odd = ask(tools, "query",
        sql="SELECT 'infinity'::date, '99999-01-01'::date, NULL, '\\x00ff'::bytea, '{1,2}'::int[], '{\"a\": 1}'::jsonb, '5 %s %(x)s'::text, 'NaN'::numeric")
    assert odd.splitlines()[1] == r'infinity | 99999-01-01 | NULL | \\x00ff | {1,2} | {"a": 1} | 5 %s %(x)s | NaN'
    assert "public.jobs | id integer, name text" in ask(tools, "tables", name="jobs")
    assert ask(tools, "execute", sql="UPDATE jobs SET name = 'x' WHERE id <= 2") == "2 rows changed."
    assert ask(tools, "execute", sql="INSERT INTO jobs (name) VALUES ('y') RETURNING name") == "name\ny\n[1 row]"
    assert ask(tools, "execute", sql="CREATE TABLE more (a int)") in ("Done.", "-1 rows changed.")
    refused(tools, "execute", "conflict", sql="INSERT INTO jobs (id) VALUES (1)")
    refused(tools, "execute", "invalid_input", sql="DELETE FROM jobs; DELETE FROM more")
    refused(tools, "execute", "not_found", sql="DELETE FROM nowhere")
    for program in ("COPY jobs TO PROGRAM 'id'", "COPY jobs FROM '/etc/passwd'", "COPY jobs FROM STDIN", "ALTER SYSTEM SET work_mem = '1MB'"): refused(tools,
        "execute", "permission_denied", "invalid_input", sql=program)
    assert ask(tools, "query", sql="SELECT count(*) FROM jobs").splitlines()[1] == "1001"
    preview = {t.name: t for t in tools}["execute"].preview(dict(sql="DELETE FROM jobs WHERE id > 500"))
    assert "Delete jobs about" in preview and int(preview.partition("about ")[2].split()[0].replace(",", "")) in range(300, 700), preview
    assert "no estimate" in {t.name: t for t in tools}["query"].preview(dict(sql="ANALYZE DELETE FROM jobs"))
    assert all(t.spec.open_world for t in tools) and "hunter2" not in str([t.spec for t in tools])


def test_postgres_is_bounded(postgres):
    tools, started = sql(postgres, seconds=0.5, write=True), time.monotonic()
    for statement in ("SELECT pg_sleep(60)", "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
        "SELECT count(*) FROM generate_series(1, 1000000000000)"):
        refused(tools, "query", "timeout", sql=statement)
    assert len(ask(tools, "query", sql="SELECT repeat('x', 100000) FROM generate_series(1, 100)")) < 25_000
    assert time.monotonic() - started < 60
    refused(sql(postgres.replace("hunter2-secret@127.0.0.1", "wrong@127.0.0.1").rpartition(":")[0] + ":1/none"), "query", "unavailable", sql="SELECT 1")
