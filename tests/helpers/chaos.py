"""Runs that are killed and resumed until they end: `python tests/helpers/chaos.py --kills 200`, with `--postgres` on a server of its own.

Each run is a child process that calls a tool that only reads, one that is idempotent by its key, and one that is neither; each leaves a
line in a file, so that effects are counted from outside. A child is killed by SIGKILL at a random moment, or at a named one: before and
after each commit, before the tool acts and after. Then the run is resumed by another child. Where a run asks whether a call happened, a
human looks at the file and says so. What is counted: steps that were shown and are gone, effects that happened twice, effects that never
happened, runs that could not be ended.
"""
import argparse, asyncio, os, random, signal, sys, tempfile, time, uuid
from collections import Counter
from pathlib import Path

from agentnb import Agent, Context, RequestOpen, Rule, Scripted, StoreError, call, open_store, tool

SCRIPT = [call("look", n=1), call("keyed", n=1), [call("look", n=2), call("plain", n=1), call("keyed", n=2)], call("plain", n=2), call("look", n=3), "done"]
EFFECTS = {"keyed 1", "keyed 2", "plain 1", "plain 2"}


def die(): os.kill(os.getpid(), signal.SIGKILL)


def agent(store, folder, moment="", pause=0.0):
    file = Path(folder)/"effects"

    async def act(name, n, key=""):
        await asyncio.sleep(pause)
        if moment == f"before {name} {n}": die()
        seen = file.read_text().splitlines() if file.exists() else []
        if not key or not any(line.endswith(key) for line in seen):
            with file.open("a") as f: f.write(f"{name} {n} {key}\n")
        if moment == f"after {name} {n}": die()
        await asyncio.sleep(pause)
        return f"{name} {n} done"

    @tool(read_only=True)
    async def look(n: int) -> str:
        await asyncio.sleep(pause)
        if moment == f"in look {n}": die()
        return f"seen {n}"

    @tool(idempotent=True)
    async def keyed(n: int, context: Context) -> str: return await act("keyed", n, context.idempotency_key)

    @tool
    async def plain(n: int) -> str: return await act("plain", n)

    return Agent(Scripted(SCRIPT), [look, keyed, plain], store=dying(open_store(store), moment), policy=[Rule(effect="allow")])


def dying(store, moment):
    "A store that kills its process around the commit of a step"
    append = store.append

    def around(*steps, **more):
        if any(moment == f"before commit {s.index}" for s in steps): die()
        append(*steps, **more)
        if any(moment == f"after commit {s.index}" for s in steps): die()
    store.append = around
    return store


MOMENTS = [f"{when} {name}" for name in sorted(EFFECTS) for when in ("before", "after")] + [f"in look {n}" for n in (1, 2, 3)]
MOMENTS += [f"{when} commit {i}" for i in range(20) for when in ("before", "after")]


def human(run, folder):
    "Looks what happened, and says it"
    pending = run.pending[0]
    assert pending.request.about == "outcome" or "asked again" in pending.question, pending.request  # another pause is another tool
    wish = f"{pending.request.call.tool} {pending.request.call.args['n']}"
    file = Path(folder)/"effects"
    happened = file.exists() and any(line.rsplit(" ", 1)[0].strip() == wish for line in file.read_text().splitlines())
    pending.answer(f"{wish} done") if happened else pending.approve()


def run_of(folder): return Path(folder).name   # many runs share a database


def live(store, folder, moment, pause, shown):
    "A child's life: begin the run or go on with it, and write down each step that is seen"
    made, run_id = agent(store, folder, moment, pause), run_of(folder)
    run = made.load(run_id) if made.store.read(run_id, 0, 1) else made.run("go", run_id=run_id)
    seen = os.open(shown, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    run.observers.append(lambda step: os.write(seen, f"{step.index}\n".encode()))
    while True:
        try: return asyncio.run(run.wait())
        except RequestOpen:
            (Path(folder)/"asked").open("a").write(f"{run.pending[0].request.question}\n")
            human(run, folder)


def child(*args):
    "Fork one; its exit code says whether the run ended"
    pid = os.fork()
    if pid: return pid
    try:
        code = 0 if live(*args) == "done" else 1
    except StoreError as e: code = 3 if e.kind == "lost" or "connection" in str(e) else 4
    except BaseException as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        code = 2
    os._exit(code)


def ended(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def indexes(store, folder):
    "Of the steps that are kept, read by a child: a connection pool has threads, and this process must be able to fork"
    out, into = os.pipe()
    if not (pid := os.fork()):
        os.write(into, " ".join(str(s.index) for s in open_store(store).read(run_of(folder))).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as read: kept = [int(i) for i in read.read().split()]
    assert ended(pid) == 0
    return kept


def verdict(store, folder):
    "What became of one run that has ended"
    kept = indexes(store, folder)
    shown = {int(line) for line in (Path(folder)/"shown").read_text().split()}
    lines = Counter(line.rsplit(" ", 1)[0].strip() for line in (Path(folder)/"effects").read_text().splitlines())
    return dict(lost=len(shown - set(kept)) + (kept != list(range(len(kept)))), doubled=sum(n - 1 for n in lines.values()), missing=len(EFFECTS - set(lines)),
        asked=(Path(folder)/"asked").read_text().count("\n") if (Path(folder)/"asked").exists() else 0)


def trial(stores, moments=(), kills=0, span=0.0, rng=random, trouble=None):
    "One run: killed at each of `moments`, or `kills` times within `span` seconds, then left alone until it ends"
    with tempfile.TemporaryDirectory() as folder:
        store, shown, found = stores(folder), f"{folder}/shown", Counter(runs=1)
        for moment in [*moments, *[None] * kills]:
            pid = child(store, folder, moment or "", 0.002 if kills else 0.0, shown)
            if moment is None:
                time.sleep(rng.uniform(0, span))
                if trouble: trouble()
                else: os.kill(pid, signal.SIGKILL)
            code = ended(pid)
            if code in (2, 4): found["failed"] += 1
            found["killed"] += code == -signal.SIGKILL or trouble is not None
            if code == 0: break
        for _ in range(5):
            if ended(child(store, folder, "", 0.0, shown)) == 0: return found + Counter(verdict(store, folder))
        return found + Counter(unresumable=1)


def boundaries(stores, moments=MOMENTS):
    "One run for each moment"
    return sum((trial(stores, [m]) for m in moments), Counter())


def at_random(stores, kills, seed=7, span=0.12):
    "Runs that are killed up to three times each, until there were enough kills"
    found, rng = Counter(), random.Random(seed)
    while found["killed"] < kills: found += trial(stores, kills=rng.randint(1, 3), span=span, rng=rng)
    return found


def database_killed(server, kills, seed=7):
    "Runs during which the database is killed and started again, while the process lives on"
    found, rng = Counter(), random.Random(seed)

    def trouble():
        server.kill()
        time.sleep(rng.uniform(0, 0.3))
        server.start()
    while found["killed"] < kills: found += trial(databases(server.url), kills=1, span=0.12, rng=rng, trouble=trouble)
    return found


def databases(url):
    "Each run in a database of its own"
    def made(folder):
        import psycopg
        name = f"chaos_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(url, autocommit=True) as db: db.execute(f"CREATE DATABASE {name}")
        return f"{url.rpartition('/')[0]}/{name}"
    return made


def one_database(url):
    "All runs in one"
    at = databases(url)("")
    return lambda folder: at


def files(folder): return f"sqlite:///{folder}/runs.db"


def wrong(found): return {k: n for k, n in found.items() if n and k in ("lost", "doubled", "missing", "failed", "unresumable")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--postgres", action="store_true")
    args, bad = parser.parse_args(), {}

    def tell(name, found):
        print(f"{name:34}", ", ".join(f"{n} {k}" for k, n in sorted(found.items()) if n), "-> wrong:", wrong(found) or 0, flush=True)
        bad.update(wrong(found))
    tell("SQLite, every boundary", boundaries(files))
    tell("SQLite, random moments", at_random(files, args.kills))
    if args.postgres:
        from postgres import Server
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            server = Server(f"{folder}/pg").start()
            try:
                tell("PostgreSQL, every boundary", boundaries(one_database(server.url)))
                tell("PostgreSQL, random moments", at_random(databases(server.url), args.kills, span=0.25))
                tell("PostgreSQL killed and restarted", database_killed(server, max(args.kills//5, 3)))
            finally: server.stop()
    return 1 if bad else 0


if __name__ == "__main__": sys.exit(main())
