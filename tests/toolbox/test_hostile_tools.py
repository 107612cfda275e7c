# ruff: noqa: E501
"""Files, frames, databases and sandboxes in the hands of somebody who wants more than was lent."""
import os, threading, uuid

import pytest

from agentnb.tools.contract import ToolError
from agentnb.toolbox import python as python_tools
from agentnb.toolbox.files import FileWriteTools, files
from agentnb.toolbox.python import python, safe_html
from agentnb.toolbox.rooted import Root, load, save, scan
from agentnb.toolbox.sandbox import Bounds, run_confined, sandbox_problem
from agentnb.toolbox.sql import sql

ODD = ["two\nlines.txt", "bell\x07.txt", "\u202egpj.txt", "zero\u200bwidth.txt", "esc\x1b[31m.txt", "line\u2028sep.txt", "tab\t.txt", "\x85.txt", "\u2066a\u2069.txt"]


@pytest.mark.parametrize("name", ODD, ids=[ascii(n) for n in ODD])
def test_an_odd_name_is_seen_and_can_be_given_back(tmp_path, name):
    (tmp_path/name).write_text("inside")
    tools = FileWriteTools(Root(tmp_path))
    listed = tools.list_files()
    assert len(listed.splitlines()) == 1 and listed.isprintable(), listed
    shown = listed.rpartition(" ")[0]
    assert tools.read_file(shown) == "inside" and tools.search_files("inside") == f"{shown}:1: inside"
    tools.write_file(shown, "new", True)
    assert (tmp_path/name).read_text() == "new" and len(os.listdir(tmp_path)) == 1


def test_a_name_with_a_backslash_is_its_own(tmp_path):
    (tmp_path/"a\\u0041.txt").write_text("mine")
    assert FileWriteTools(Root(tmp_path)).read_file("a\\u0041.txt") == "mine"


@pytest.mark.parametrize("how", ["symlink", "other", "swapped"])
def test_a_root_that_was_replaced_is_refused(tmp_path, how):
    (tmp_path/"lent").mkdir()
    (tmp_path/"lent"/"a.txt").write_text("lent")
    (tmp_path/"secret").mkdir()
    (tmp_path/"secret"/"a.txt").write_text("secret")
    tools = FileWriteTools(Root(tmp_path/"lent"))
    (tmp_path/"lent").rename(tmp_path/"gone")
    if how == "symlink": (tmp_path/"lent").symlink_to("secret")
    elif how == "other": (tmp_path/"lent").mkdir()
    else: (tmp_path/"secret").rename(tmp_path/"lent")
    for act in (lambda: tools.read_file("a.txt"), tools.list_files, lambda: tools.search_files("e"), lambda: tools.write_file("b.txt", "x"), lambda: tools.write_file("a.txt", "x", True)):
        with pytest.raises(ToolError, match="replaced") as e: act()
        assert e.value.failure.kind == "permission_denied"


def test_parallel_edits_are_all_there_or_refused(tmp_path):
    (tmp_path/"a.txt").write_text("".join(f"<{i}>\n" for i in range(40)))
    tools, done = FileWriteTools(Root(tmp_path)), []
    def edit(i):
        try: tools.patch_file("a.txt", f"<{i}>", f"[{i}]")
        except ToolError as e: assert e.failure.kind == "conflict"
        else: done.append(i)
    threads = [threading.Thread(target=edit, args=(i,)) for i in range(40)]
    for t in threads: t.start()
    for t in threads: t.join()
    text = (tmp_path/"a.txt").read_text()
    assert done and sorted(done) == [i for i in range(40) if f"[{i}]" in text]


def test_an_edit_of_a_person_meanwhile_is_not_lost(tmp_path):
    (tmp_path/"a.txt").write_text("one")
    tools, root = FileWriteTools(Root(tmp_path)), Root(tmp_path)
    data, version = load(root, "a.txt", 1000)
    at = (version.st_atime_ns, version.st_mtime_ns)
    (tmp_path/"a.txt").write_text("two")   # as long, in the same file, and at the same time as far as its marks say
    os.utime(tmp_path/"a.txt", ns=at)
    with pytest.raises(ToolError, match="changed by someone else"): save(root, "a.txt", b"three", version, data)
    for look in (lambda: tools.read_file("./a.txt"), lambda: tools.preview_write("a.txt", "mine", True)):
        tools.seen.clear()
        look()
        (tmp_path/"a.txt").write_text("the person's words")
        with pytest.raises(ToolError, match="since you read it") as e: tools.write_file("a.txt", "mine", True)
        assert e.value.failure.kind == "conflict" and (tmp_path/"a.txt").read_text() == "the person's words"
        tools.read_file("a.txt")
        tools.write_file("a.txt", "mine", True)
        tools.write_file("a.txt", "mine again", True)
        assert (tmp_path/"a.txt").read_text() == "mine again"


def test_what_is_lent_as_tools_says_the_same(tmp_path):
    (tmp_path/"a\nb").write_text("x")
    assert scan(Root(tmp_path))[0][0].path == "a\\u000ab" and len(files(tmp_path, write=True)) == 5


FRAMED = ["<iframe src=//x.example>", "<IFRAME/src=//x>", "<frameset><frame src=//x></frameset>", "<object data=//x>", "<embed src=//x>", "<base href=//x>",
    "<meta http-equiv=refresh content='0;url=//x'>", "<meta\nhttp-equiv='x-dns-prefetch-control' content=on>", "<link rel=dns-prefetch href=//x>", "<link rel=preconnect href=//x>",
    "<svg><style><iframe src=//x></style></svg>", "<!--><link rel=prefetch href=//x>-->", "<template><embed src=//x></template>", "<applet code=x>", "<portal src=//x>",
    "<script type=speculationrules>{}</script>", "<p title='<base href=//x>'>", "<fencedframe>", "<<link rel=preload href=//x>"]


@pytest.mark.parametrize("markup", FRAMED)
def test_framed_html_holds_nothing_that_loads(markup):
    import html, re
    kind, made = safe_html({"text/html": f"<b>7</b>{markup}"})
    inner = html.unescape(made.partition('srcdoc="')[2].rpartition('"></iframe>')[0])
    policy, _, shown = inner.partition("<b>7</b>")
    assert not re.search("<(iframe|frame|object|embed|base|meta|link|applet|portal|script|fenced)", shown, re.I), shown
    assert "default-src 'none'" in policy and "x-dns-prefetch-control" in policy and made.count("<iframe") == 1


def test_a_table_in_a_frame_stays_as_it_is():
    table = "<style>td {color: red}</style><table><tr><td>1 &lt; 2<td><a href='#x'>x</a></table><meter value=1></meter><linker>"
    assert table.replace("'", "&#x27;").replace("&lt;", "&amp;lt;").replace("<", "&lt;").replace(">", "&gt;") in safe_html({"text/html": table})[1]


FAMILIES = dict(AF_NETLINK=16, AF_VSOCK=40, AF_PACKET=17, AF_ALG=38, AF_BLUETOOTH=31, AF_CAN=29, AF_TIPC=30, AF_KEY=15, AF_XDP=44, AF_QIPCRTR=42, AF_SMC=43, AF_X25=9, none=0, beyond=99)


@pytest.mark.skipif(bool(sandbox_problem()) and bool(os.environ.get("AGENTNB_NO_SANDBOX")), reason="this machine allows no sandbox")
def test_socket_families_in_the_sandbox():
    import subprocess, sys
    code = f"""import socket, ctypes
c = ctypes.CDLL(None, use_errno=True)
for name, number in {FAMILIES}.items(): print(name, *[(f(number, 2, 0, *more), ctypes.get_errno()) for f, more in ((c.socket, ()), (c.socketpair, ((ctypes.c_int * 2)(),)))])
for number in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6): socket.socket(number).close()
socket.socketpair()
print('kept')"""
    process = run_confined([sys.executable, "-I", "-S", "-c", code], Bounds(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = process.communicate(timeout=30)[0].splitlines()
    assert said == [f"{name} (-1, 95) (-1, 95)" for name in FAMILIES] + ["kept"]


def test_without_a_sandbox_nothing_runs_where_one_is_required(monkeypatch, tmp_path):
    import asyncio
    ran = tmp_path/"ran"
    monkeypatch.setattr(python_tools, "sandbox_problem", lambda: "bubblewrap is not installed")
    with python(sandbox="require") as tools:
        with pytest.raises(ToolError, match="without a sandbox, and there is none: bubblewrap is not installed") as e: asyncio.run(tools[0].run(dict(code=f"open({str(ran)!r}, 'w')")))
        assert e.value.failure.kind == "unavailable" and not ran.exists() and not tools.kernels and "python:unconfined" not in tools[0].spec.scopes
    with python() as tools: assert tools[0].spec.always_ask and tools[0].spec.scopes == ("python:unconfined",)


def test_what_runs_without_a_sandbox_is_not_lent_over_mcp(monkeypatch):
    pytest.importorskip("mcp")
    from agentnb.mcp.server import serve_mcp
    monkeypatch.setattr(python_tools, "sandbox_problem", lambda: "bubblewrap is not installed")
    with python() as tools:
        assert "run_python" in serve_mcp(tools).withheld
        with pytest.raises(ValueError, match="run_python"): serve_mcp(tools, allow=["run_python"])


ACTS = ["pg_terminate_backend(1)", "pg_cancel_backend(1)", "pg_notify('a', 'b')", "pg_advisory_lock(1)", "pg_try_advisory_lock(1, 2)", "pg_advisory_xact_lock_shared(1)",
    "pg_advisory_unlock_all()", "lo_create(0)", "lo_creat(1)", "lo_from_bytea(0, 'x')", "lo_unlink(1)", "lo_import('/etc/passwd')", "pg_read_file('/etc/passwd')", "pg_read_binary_file('x')",
    "pg_ls_dir('/')", "pg_stat_file('/')", "nextval('jobs_id_seq')", "setval('jobs_id_seq', 1)", "pg_reload_conf()", "pg_rotate_logfile()", "pg_switch_wal()", "set_config('role', 'x', false)",
    "pg_export_snapshot()", "pg_stat_reset()", "query_to_xml('SELECT 1', true, true, '')", "ts_stat('SELECT 1')", "\"pg_notify\"('a', 'b')", "pg_catalog.pg_notify('a', 'b')", "PG_NOTIFY('a', 'b')",
    "U&\"pg\\005fnotify\"('a', 'b')", "pg_notify /* ( */ ('a', 'b')", "tells()", "deep()", "dynamic()", "says()", "pg_logical_emit_message(false, 'a', 'b')"]


@pytest.fixture
def reader(postgres_url):
    import psycopg
    role = f"reader_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as db:
        for statement in (f"CREATE ROLE {role} LOGIN", "CREATE TABLE jobs (id serial PRIMARY KEY, name text)", "INSERT INTO jobs (name) VALUES ('pg_notify(1)'), ('b')",
            "CREATE FUNCTION tells() RETURNS text LANGUAGE sql AS $$ SELECT pg_notify('a', 'b')::text $$",
            "CREATE FUNCTION deep() RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN tells(); END $$",
            "CREATE FUNCTION dynamic() RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT pg_' || 'notify(1, 2)'; RETURN 1; END $$",
            "CREATE FUNCTION says() RETURNS text LANGUAGE plpgsql AS $$ BEGIN NOTIFY a; RETURN 1; END $$",
            "CREATE FUNCTION doubled(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n * 2; END $$",
            "CREATE VIEW told AS SELECT id FROM jobs WHERE pg_notify('a', 'b') IS NOT NULL",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}", f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"): db.execute(statement)
    yield postgres_url.replace("//postgres@", f"//{role}@")
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"DROP OWNED BY {role}")
        db.execute(f"DROP ROLE {role}")


@pytest.mark.server
def test_reading_postgres_does_nothing_beside(reader):
    import asyncio
    query = sql(reader)[0]
    ask = lambda statement: asyncio.run(query.run(dict(sql=statement)))
    forms = ["SELECT {}", "SELECT id FROM jobs WHERE {} IS NOT NULL", "SELECT * FROM jobs, LATERAL (SELECT {} AS x) y", "WITH x AS MATERIALIZED (SELECT {} AS a) SELECT a FROM x", "SELECT id FROM jobs ORDER BY {}::text"]
    for i, act in enumerate(ACTS):
        for form in (forms[0], forms[1 + i % 4]):
            with pytest.raises(ToolError) as e: ask(form.format(act))
            assert e.value.failure.kind in ("permission_denied", "invalid_input"), (form, act)
    for act in ACTS[:8]:
        with pytest.raises(ToolError, match="does more than read"): ask(f"SELECT {act}")
    with pytest.raises(ToolError, match=r"pg_notify\(\) does more than read"): ask("SELECT * FROM told")
    clean = ["SELECT name FROM jobs WHERE name = 'pg_notify(1)'", "SELECT random() < 2", "SELECT now(), clock_timestamp()", "SELECT count(*), max(lower(name)) FROM jobs", "SELECT doubled(2)", "SELECT pg_relation_size('jobs')",
        "SELECT gen_random_uuid()", "SELECT pg_sleep(0)", "SELECT * FROM generate_series(1, 3)", "SELECT row_number() OVER (ORDER BY id) FROM jobs", "SELECT '\"pg_notify\"(' || name FROM jobs",
        "SELECT to_char(now(), 'YYYY'), coalesce(name, 'x'), jsonb_build_object('pg_notify', id) FROM jobs", "VALUES (1)", "SELECT 'it''s pg_notify(', E'\\\\'' pg_notify(' FROM jobs"]
    for statement in clean: assert "row" in ask(statement), statement
