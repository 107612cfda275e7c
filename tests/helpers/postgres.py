"""A PostgreSQL server of the tests' own, on loopback: `python tests/helpers/postgres.py FOLDER` runs one until it is told to end, and says where.

Debian's PostgreSQL does not run as root, so root hands the folder and the processes to the user `postgres`.
"""
import glob, os, shutil, signal, socket, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path


def binaries():
    "The newest installed server"
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[-2]))
    if found: return Path(found[-1])
    if at := shutil.which("initdb"): return Path(at).resolve().parent
    raise RuntimeError("PostgreSQL is not installed. Run: apt-get install postgresql")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    "One cluster in a folder; holds the process of the server"
    def __init__(self, folder, port=None):
        port = port or free_port()
        self.folder, self.port, self.process = Path(folder), port, None
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self.as_user = dict(user="postgres", group="postgres", extra_groups=[]) if os.geteuid() == 0 else {}

    def start(self):
        if not (self.folder/"PG_VERSION").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.as_user: shutil.chown(self.folder, "postgres", "postgres")
            self.folder.chmod(0o700)
            self._run("initdb", "-D", self.folder, "-A", "trust", "-U", "postgres", "--no-sync")
        (self.folder/"postmaster.pid").unlink(missing_ok=True)
        options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", "fsync=off")   # what a killed process wrote, the system keeps
        args = [binaries()/"postgres", "-D", self.folder, "-p", str(self.port), *(a for o in options for a in ("-c", o))]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self.as_user)
        for _ in range(600):
            if self.process.poll() is not None: raise RuntimeError(f"PostgreSQL ended with {self.process.returncode}: is port {self.port} free?")
            if subprocess.run([binaries()/"pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0: return self
            time.sleep(0.1)
        raise RuntimeError("PostgreSQL did not start within a minute")

    def kill(self):
        "As if the machine lost its power: no process of the server is asked"
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        for pid in (self.process.pid, *map(int, children)):
            try: os.kill(pid, signal.SIGKILL)
            except ProcessLookupError: pass
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)   # at once: nobody reads its files again
            self.process.wait(30)

    def _run(self, name, *args): subprocess.run([binaries()/name, *args], check=True, stdout=subprocess.DEVNULL, cwd="/", **self.as_user)


def installed():
    try: return binaries()
    except RuntimeError: return None


@contextmanager
def serving():
    "The address of a server in a folder that the user `postgres` can enter, for as long as the block takes"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        server = Server(f"{folder}/postgres")
        try: yield server.start().url
        finally: server.stop()


if __name__ == "__main__":
    server = Server(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        print(server.start().url, flush=True)
        server.process.wait()
    finally: server.stop()
