# ruff: noqa: E501
"""The Python tool: code that wants to get out, to take the machine with it, or to lie about it."""
import asyncio, os, signal, socket, subprocess, sys, threading, time
from pathlib import Path

import pytest

from agentnb import Agent, Rule, Scripted, call
from agentnb.tools.contract import Context, ToolError
from agentnb.toolbox.kernels import PythonKernel
from agentnb.toolbox.python import safe_html, python
from agentnb.toolbox.sandbox import Bounds, run_confined, sandbox_problem
from needs import missing
from places import ROOT

SMALL = Bounds(seconds=2, cpu=8, memory=1 << 30, processes=64, file=8 << 20, disk=32 << 20, output=2000)
CANARY = "canary-4711-do-not-read"


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    "What code must not reach: a secret, a folder, sockets of every sort, this process"
    folder = tmp_path_factory.mktemp("outside")
    (folder/"secret.txt").write_text(CANARY)
    (folder/"lent").mkdir()
    (folder/"lent"/"table.csv").write_text("a,b\n1,2\n")
    (folder/"lent"/"door").symlink_to(folder/"secret.txt")
    os.environ["CANARY"] = CANARY
    heard, sockets = [], []
    for family, kind, address in ((socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)), (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            (socket.AF_UNIX, socket.SOCK_STREAM, str(folder/"s")), (socket.AF_UNIX, socket.SOCK_STREAM, f"\0agentnb-{os.getpid()}")):
        made = socket.socket(family, kind)
        made.bind(address)
        if kind == socket.SOCK_STREAM: made.listen()
        threading.Thread(target=listen, args=(made, kind, heard), daemon=True).start()
        sockets.append(made)
    yield dict(folder=folder, home=Path.home(), pid=os.getpid(), tcp=sockets[0].getsockname()[1], udp=sockets[1].getsockname()[1], heard=heard)
    for made in sockets: made.close()
    del os.environ["CANARY"]


def listen(made, kind, heard):
    try: heard.append(made.accept() if kind == socket.SOCK_STREAM else made.recvfrom(100))
    except OSError: pass


@pytest.fixture(scope="module")
def tools(outside):
    if (problem := sandbox_problem()) and os.environ.get("AGENTNB_NO_SANDBOX"): pytest.skip(f"this machine allows no sandbox: {problem}")
    if problem: missing("bubblewrap", f": {problem}")
    with python(SMALL, folders=[outside["folder"]/"lent"]) as made: yield made


def ask(tools, code):
    "The text of a result, or of a failure with its kind before it"
    try: return asyncio.run(tools[0].run(dict(code=code)))
    except ToolError as e: return str(e)


# name, what the code does ($-names are filled in), what must be in the answer (one of them)
ESCAPES = [
    ("fork bomb", "import os\nwhile True: os.fork()", ["BlockingIOError", "internal:", "timeout:"]),
    ("fork bomb in the shell", "import subprocess\nsubprocess.run(['sh', '-c', 'f() { f | f & }; f; sleep 5'])", ["unable to fork", "Cannot fork", "internal:", "timeout:"]),
    ("memory hog", "block = bytearray(20 << 30)", ["MemoryError"]),
    ("memory in steps", "held = []\nwhile True: held.append(bytearray(50 << 20))", ["MemoryError"]),
    ("memory that no process owns", "import os\nos.memfd_create('x')", ["PermissionError"]),
    ("shared memory of the old kind", "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nc.shmget(0, 1 << 20, 0o1600), ctypes.get_errno()", ["(-1, 1)"]),
    ("infinite loop", "while True: pass", ["timeout: the code was stopped: it took longer than 2 seconds"]),
    ("infinite loop in C", "import itertools\nsum(itertools.repeat(0))", ["timeout: the code was stopped: it took longer than 2 seconds"]),
    ("interrupts ignored", "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(100)", ["The variables are gone"]),
    ("interrupts caught", "while True:\n    try:\n        while True: pass\n    except BaseException: pass", ["timeout:"]),
    ("all signals blocked", "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ntime.sleep(100)", ["timeout:"]),
    ("processor time of many", "import os\nfor _ in range(20):\n    if not os.fork():\n        while True: pass\nimport time; time.sleep(100)", ["timeout:"]),
    ("endless output", "while True: print('y' * 1000)", ["internal: the code was stopped: it wrote more than 20,000 characters"]),
    ("endless output below Python", "import os\nwhile True: os.write(1, b'y' * 1000)", ["it wrote more than 20,000 characters", "timeout:"]),
    ("one giant line", "print('x' * 10**8)", ["characters left out"]),
    ("one giant value", "'x' * 10**8", ["characters left out"]),
    ("one giant picture", "from IPython.display import publish_display_data as p\np({'image/png': 'A' * 10**8})", ["[no output]", "variables are gone", "internal:"]),
    ("reading the home folder", "import os\nprint(open('$folder/secret.txt').read())", ["FileNotFoundError"]),
    ("listing the home folder", "import os\nfound = []\nfor d, ds, fs in os.walk('$home'):\n    ds[:] = [n for n in ds if os.path.join(d, n) not in ('$prefix', '$base')]\n"
        "    found += fs\nfound", ["[]"]),
    ("reading passwords", "open('/etc/shadow').read()", ["FileNotFoundError"]),
    ("reading its own environment", "import os\ndict(os.environ), open('/proc/self/environ').read()", ["HOME"]),
    ("reading another's environment", "import glob\nfound = []\nfor path in glob.glob('/proc/[0-9]*/environ') + ['/proc/$pid/environ']:\n"
        "    try: found.append(open(path).read())\n    except OSError: pass\n[f for f in found if 'CANARY' in f], len(found)", ["([], "]),
    ("writing outside", "open('$folder/secret.txt', 'w').write('x')", ["FileNotFoundError", "Read-only", "PermissionError"]),
    ("writing to the system", "open('/usr/bin/sh', 'ab').write(b'x')", ["Permission denied", "Read-only"]),
    ("writing where it may read", "open('$folder/lent/table.csv', 'a').write('x')", ["Read-only", "Permission denied"]),
    ("overwriting its interpreter", "import os, sys\nos.chmod(os.path.dirname(os.path.realpath(sys.executable)), 0o777)", ["Read-only", "not permitted"]),
    ("overwriting a library", "import json\nopen(json.__file__, 'w').write('import os')", ["Read-only", "Permission denied"]),
    ("TCP to this machine", "import socket\nsocket.create_connection(('127.0.0.1', $tcp), 1)", ["ConnectionRefusedError", "unreachable"]),
    ("TCP to the world", "import socket\nsocket.create_connection(('1.1.1.1', 443), 1)", ["unreachable"]),
    ("UDP", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', $udp))\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))", ["unreachable"]),
    ("DNS", "import socket\nsocket.getaddrinfo('example.com', 80)", ["gaierror"]),
    ("unix socket", "import socket\nsocket.socket(socket.AF_UNIX).connect('$folder/s')", ["FileNotFoundError"]),
    ("abstract unix socket", "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0agentnb-$pid')", ["ConnectionRefusedError"]),
    ("killing the parent", "import os\nos.kill($pid, 9)", ["ProcessLookupError"]),
    ("killing everybody", "import os, signal\nos.kill(-1, signal.SIGKILL)", ["ProcessLookupError", "[no output]", "None", "internal:", "PermissionError"]),
    ("killing its init", "import os\nos.kill(1, 9)\nos.getppid()", ["1", "PermissionError", "internal:"]),
    ("ptrace", "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n[(c.ptrace(16, p, 0, 0), ctypes.get_errno()) for p in ($pid, 1)]", ["[(-1, 1), (-1, 1)]"]),
    ("memory of another", "open('/proc/1/mem', 'rb')", ["PermissionError", "FileNotFoundError"]),
    ("symlink to the outside", "import os\nos.symlink('$folder/secret.txt', '/tmp/door')\nopen('/tmp/door').read()", ["FileNotFoundError"]),
    ("symlink that was lent", "open('$folder/lent/door').read()", ["FileNotFoundError"]),
    ("symlink race", "import os, threading, time\ndef swap():\n    for i in range(300):\n        try: os.symlink('$folder/secret.txt', '/tmp/a'); os.replace('/tmp/a', '/tmp/r')\n"
        "        except OSError: pass\nt = threading.Thread(target=swap); t.start()\nread = []\nwhile t.is_alive():\n    try: read.append(open('/tmp/r').read())\n"
        "    except OSError: pass\nread", ["[]"]),
    ("sysrq", "open('/proc/sysrq-trigger', 'w').write('b')", ["PermissionError", "Read-only", "FileNotFoundError"]),
    ("kernel settings", "open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')", ["PermissionError", "Read-only"]),
    ("mount", "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nc.mount(b'x', b'/tmp', b'tmpfs', 0, None), ctypes.get_errno()", ["(-1, 1)"]),
    ("making read-only writable", "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nc.mount(None, b'/usr', None, 32 | 4096, None), ctypes.get_errno()", ["(-1, 1)"]),
    ("chroot", "import os\nos.mkdir('/tmp/jail')\nos.chroot('/tmp/jail')", ["PermissionError"]),
    ("new namespaces", "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nc.unshare(0x10000000), ctypes.get_errno()", ["(-1, 1)"]),
    ("entering namespaces", "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\nc.setns(os.open('/proc/self/ns/net', 0), 0), ctypes.get_errno()", ["(-1, 1)"]),
    ("devices", "import os\nsorted(set(os.listdir('/dev')) - set('console core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero'.split()))", ["[]"]),
    ("making a device", "import os, stat\nos.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))", ["PermissionError"]),
    ("deleting its folder", "import os, shutil\nshutil.rmtree('/tmp', ignore_errors=True)\nos.rmdir('/tmp')", ["OSError", "PermissionError", "timeout: the code was stopped"]),
    ("its connection file", "import os\nfor f in [os.path.join(d, f) for d, _, fs in os.walk('/tmp') for f in fs]: os.remove(f)\nopen('/tmp/.k.json', 'w').write('{}')", ["2"]),
    ("answering for its kernel", "k = get_ipython().kernel\nfor t, c in [('execute_reply', {'status': 'ok'}), ('status', {'execution_state': 'idle'}), ('stream', {}), ('error', {'traceback': 5}), ('error', {}),\n"
        "    ('execute_result', {'data': []}), ('stream', {'text': [1]})]:\n    k.session.send(k.iopub_socket, t, c, k.get_parent())\n'said'", ["said", "[no output]", "gone"]),
    ("answering too early", "import time\nk = get_ipython().kernel\nk.session.send(k.shell_streams[0] if hasattr(k, 'shell_streams') else k.shell_stream, 'execute_reply', {'status': 'ok'}, k.get_parent(),\n"
        "    ident=getattr(k, '_parent_ident', {}).get('shell'))\ntime.sleep(100)", ["gone", "timeout:", "Error"]),
    ("rubbish on the line", "import os\nfor fd in range(3, 60):\n    try: os.write(fd, b'\\xff' * 4096)\n    except OSError: pass", ["[no output]", "gone", "internal:", "timeout:"]),
    ("closing the line", "import os\nos.closerange(3, 256)", ["gone", "internal:", "timeout:", "[no output]"]),
    ("os._exit", "import os\nos._exit(3)", ["internal: the code was stopped: Python ended by itself (exit code 3)"]),
    ("sys.exit", "import sys\nsys.exit(3)", ["SystemExit"]),
    ("crash in C", "import ctypes\nctypes.string_at(0)", ["Python ended by itself (SIGSEGV)"]),
    ("abort", "import os\nos.abort()", ["Python ended by itself (SIGABRT)"]),
    ("deep recursion", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", ["internal:", "RecursionError", "MemoryError", "timeout:"]),
    ("threads without end", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()", ["can't start new thread"]),
    ("becoming root", "import os\nos.setuid(0)", ["PermissionError", "EINVAL", "Invalid argument"]),
    ("setuid programs", "import subprocess\nsubprocess.run(['su', '-c', 'id'], stdin=-3, capture_output=True, text=True).returncode, open('/proc/self/status').read().split('NoNewPrivs:')[1][:2]",
        ["\\t1"]),
    ("capabilities", "[line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapPrm', 'CapAmb'))]", ["['0000000000000000', '0000000000000000', '0000000000000000']"]),
    ("raising its limits", "import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999))", ["ValueError", "not allowed", "PermissionError"]),
    ("filling the disk", "n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{n}', 'wb').write(b'x' * (4 << 20))", ["No space left"]),
    ("filling shared memory", "n = 0\nwhile True:\n    n += 1\n    open(f'/dev/shm/{n}', 'wb').write(b'x' * (4 << 20))", ["No space left"]),
    ("one huge file", "open('/tmp/huge', 'wb').write(b'x' * (9 << 20))", ["File too large"]),
    ("daemonised grandchild", "import os\nif not os.fork():\n    os.setsid()\n    if os.fork(): os._exit(0)\n    os.execv('/bin/sleep', ['$marker', '1000'])\nimport time; time.sleep(.3)\n'left'", ["1 processes that the code left running"]),
    ("atexit", "import atexit, os\natexit.register(lambda: os.system('sleep 1000'))\nos.kill(os.getpid(), 15)", ["internal:", "[no output]", "timeout:"]),
    ("waiting for a person", "input('password?')", ["StdinNotImplementedError"]),
    ("terminal escapes", "print('\\x1b[2J\\x1b]0;title\\x07\\x1b[31mred')", ["red"]),
]


FRESH = ("one giant picture", "one huge file")   # these need memory that the ones before may still hold


@pytest.mark.parametrize("name, code, answers", ESCAPES, ids=[e[0].replace(" ", "-") for e in ESCAPES])
def test_escape(tools, outside, name, code, answers):
    "It fails with a typed error or a result that harms nobody, and the next call works"
    marker = f"left-behind-{os.getpid()}"
    known = {**outside, "prefix": sys.prefix, "base": sys.base_prefix, "marker": marker}
    for key, value in known.items(): code = code.replace(f"${key}", str(value))
    if name in FRESH: asyncio.run(tools[1].run({}))
    began = time.monotonic()
    said = ask(tools, code)
    assert any(a in said for a in answers), said
    assert CANARY not in said and "\x1b" not in said
    assert time.monotonic() - began < 15 and len(said) < 5 * SMALL.output
    assert "2" in ask(tools, "1+1").splitlines()
    assert not outside["heard"] and (outside["folder"]/"secret.txt").read_text() == CANARY
    assert (outside["folder"]/"lent"/"table.csv").read_text() == "a,b\n1,2\n"
    assert not processes(marker), "a process lives on outside"


def processes(marker):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes() and path.parent.name != str(os.getpid()): found.append(int(path.parent.name))
        except OSError: continue
    return found


def test_the_memory_of_many_processes_counts_together(tools):
    "Each process is within its own limit; a slow machine needs seconds to fill so much"
    code = "import os, time\nfor _ in range(12):\n    if not os.fork():\n        held = bytearray(b'x') * (150 << 20)\n        time.sleep(60)\ntime.sleep(60)"
    with python(SMALL.model_copy(update=dict(seconds=30))) as patient:
        assert "MiB of memory" in ask(patient, code)
        assert "2" in ask(patient, "1+1").splitlines()


def test_variables_stay_and_a_lost_kernel_is_told(tools):
    ask(tools, "n = 41")
    assert ask(tools, "n + 1") == "42"
    assert "variables are gone" in ask(tools, "import os; os._exit(1)")
    assert ask(tools, "'n' in globals()") == "[a new kernel: nothing is defined yet]\nFalse"
    ask(tools, "n = 1")
    assert "nothing is defined" in asyncio.run(tools[1].run({}))
    assert "NameError" in ask(tools, "n")


def test_an_interrupted_call_keeps_the_variables_and_what_was_written(tools):
    said = ask(tools, "kept = 7\nprint('begun')\nimport time\ntime.sleep(60)")
    assert said.startswith("timeout:") and "begun" in said and "still there" in said
    assert ask(tools, "kept") == "7"


def test_what_is_lent_can_be_read(tools, outside):
    assert ask(tools, f"open('{outside['folder']}/lent/table.csv').read()").splitlines()[-1] == repr("a,b\n1,2\n")


def test_a_traceback_has_the_frames_of_the_code_only(tools):
    said = ask(tools, "import json\ndef load(text): return json.loads(text)\nload('{')")
    assert "in load" in said and "more in libraries" in said and "site-packages" not in said and sys.base_prefix not in said


def test_each_run_has_its_own_variables_and_a_repeat_is_answered_from_memory(tools):
    def at(run_id, code, key=""): return asyncio.run(tools[0].run(dict(code=code), Context(run_id=run_id, idempotency_key=key)))
    at("a", "n = 1")
    assert "NameError" in at("b", "n")
    assert at("a", "n += 1; n", "k") == at("a", "n += 1; n", "k") == "2"


def test_few_kernels_live_at_a_time(tools):
    with python(SMALL, kernels=1) as few:
        for run_id in "ab": asyncio.run(few[0].run(dict(code="n = 1"), Context(run_id=run_id)))
        assert len(few.kernels) == 1
        assert asyncio.run(few[0].run(dict(code="1"), Context(run_id="a"))).startswith("[a new kernel")


CHILD = """
import asyncio, sys, time
from agentnb.toolbox.python import python
tools = python(sandbox=sys.argv[1] == "True")
asyncio.run(tools[0].run(dict(code="import subprocess")))
print(tools.kernels[""]._watched.process.pid, flush=True)
asyncio.run(tools[0].run(dict(code="import time; time.sleep(600)")))
"""


@pytest.mark.parametrize("sandbox", [True, False])
def test_kernels_die_with_a_killed_parent(tools, sandbox):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(sandbox)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    pid = int(child.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    child.send_signal(signal.SIGKILL)
    child.wait()
    gone = time.monotonic() + 30
    while gone > time.monotonic() and alive(pid): time.sleep(0.05)
    assert not alive(pid)


def alive(pid):
    try: return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError: return False


def test_a_kernel_outlives_the_thread_that_asked_and_ends_when_closed(tools):
    kernel = PythonKernel(SMALL)
    asking = threading.Thread(target=kernel.run, args=("n = 5",))
    asking.start()
    asking.join()
    time.sleep(0.3)
    assert kernel.run("n").text == "5"
    family = kernel._watched.family()
    kernel.close()
    assert len(family) >= 3 and not any(alive(pid) for pid in family)
    kernel.run("1")
    family = kernel._watched.family()
    del kernel
    assert not any(alive(pid) for pid in family)


def test_a_cancelled_call_is_stopped(tools):
    async def cancelled():
        asked = asyncio.ensure_future(tools[0].run(dict(code="import time\nwhile True: time.sleep(.01)")))
        await asyncio.sleep(0.5)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError): await asked
    asyncio.run(cancelled())
    assert ask(tools, "1+1").splitlines()[-1] == "2"


def test_computing_on_between_calls_is_seen(tools):
    kernel = PythonKernel(SMALL.model_copy(update=dict(cpu=1.0)))
    kernel.run("import threading\ndef burn():\n    while True: pass\nthreading.Thread(target=burn).start()")
    gone = time.monotonic() + 60
    while gone > time.monotonic() and kernel.alive: time.sleep(0.1)
    assert not kernel.alive and kernel.run("1+1").text == "2"
    kernel.close()


def test_the_command_is_told_apart_from_the_sandbox(tools):
    "Without the sandbox the same secret can be read: what the escapes show is the sandbox's doing"
    with python(SMALL, sandbox=False) as free: assert CANARY in ask(free, f"open('/proc/{os.getpid()}/environ').read(), '{CANARY}'") and "root" in ask(free, "open('/etc/passwd').read()")
    assert "FileNotFoundError" in ask(tools, "open('/etc/passwd').read()")
    process = run_confined(["/bin/sh", "-c", "exit 7"], SMALL)
    assert process.wait() == 7


def test_without_bubblewrap_the_tool_says_so_and_asks(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "bubblewrap is not installed" in sandbox_problem.__wrapped__()
    (tmp_path/"bwrap").write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    (tmp_path/"bwrap").chmod(0o755)
    assert "cannot make a sandbox here: No permissions" in sandbox_problem.__wrapped__()
    with python(SMALL, sandbox=False) as free:
        spec = free[0].spec
        assert (spec.read_only, spec.destructive, spec.idempotent, spec.open_world, spec.scopes) == (False, True, False, True, ("python:unconfined",))
        assert "not in a sandbox" in spec.description and "NOT IN A SANDBOX" in free[0].preview(dict(code="1"))
        assert "[not in a sandbox" in ask(free, "1+1")
        script = Scripted([call("run_python", code="1+1")] * 2 + ["2"])
        run = Agent(script, free, store="memory:", policy=[Rule(effect="allow")]).run("How much?")
        for _ in range(2):
            assert asyncio.run(run.until()).kind == "request" and "NOT IN A SANDBOX" in run.pending[0].request.question
            with pytest.raises(ValueError, match="asks each time"): run.pending[0].approve(remember="tool")
            run.pending[0].approve()
        assert asyncio.run(run.wait()) == "2"


def test_in_a_sandbox_a_rule_may_allow_it(tools):
    made = Agent(Scripted([call("run_python", code="1+1"), "2"]), tools, store="memory:", policy=[Rule(tool="run_python", effect="allow")])
    assert made.run_sync("How much?") == "2" and not tools[0].spec.always_ask


@pytest.mark.parametrize("data, shown", [
    ({"text/html": "<script>parent.alert(1)</script>"}, "srcdoc="), ({"image/svg+xml": "<svg onload='alert(1)'/>"}, "data:image/svg+xml;base64,"),
    ({"image/png": '"><script>alert(1)</script>'}, ""), ({"application/javascript": "alert(1)"}, "")], ids=["html", "svg", "not-a-picture", "script"])
def test_what_is_shown_has_no_power_over_the_page(data, shown):
    made = safe_html(data)
    assert ("<script" not in made[1] and "onload" not in made[1].split("base64")[0] and shown in made[1]) if made and shown else made is None or "<script" not in made[1]
    if "text/html" in data: assert 'sandbox=""' in made[1] and "default-src 'none'" in made[1].replace("&#x27;", "'")
