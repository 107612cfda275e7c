"""The place of a store is taken away at a random moment: `python tests/helpers/chaos_places.py --trials 60`, with `--postgres` on a server of its own.

A run goes on in a child process. At a random moment its file is deleted, replaced, emptied or moved, its folder is removed, its disk is full, its folder may
not be entered any more, or the database's role loses its rights or its tables. Every step that is seen is written down. When the store
refuses, the child writes the run elsewhere with `run.save_to`, and it ends there. What is counted: steps that were shown and are in no store,
effects that happened twice, runs that could not be ended, how often the place was noticed, and how often the run was over before it was taken.
"""
import argparse, asyncio, json, os, random, resource, shutil, signal, sys, tempfile, time
from collections import Counter
from pathlib import Path

from agentnb import Agent, Context, RequestOpen, Rule, Scripted, StoreError, call, open_store, tool

TURNS = 12
SCRIPT = [*(call(("look", "keyed", "plain")[i % 3], n=i) for i in range(TURNS)), "done"]


def agent(store, folder):
    effects = Path(folder)/"effects"

    def act(name, n, key=""):
        seen = effects.read_text() if effects.exists() else ""
        if not key or key not in seen:
            with effects.open("a") as f: f.write(f"{name} {n} {key}\n")
        return f"{name} {n} done"

    @tool(read_only=True)
    async def look(n: int) -> str:
        await asyncio.sleep(0.002)
        return f"seen {n}"

    @tool(idempotent=True)
    async def keyed(n: int, context: Context) -> str:
        await asyncio.sleep(0.002)
        return act("keyed", n, context.idempotency_key)

    @tool
    async def plain(n: int) -> str:
        await asyncio.sleep(0.002)
        return act("plain", n)
    return Agent(Scripted(SCRIPT), [look, keyed, plain], store=store, policy=[Rule(effect="allow")], max_iterations=TURNS + 5)


def human(run, folder):
    "Looks whether a call happened, and says it"
    pending = run.pending[0]
    wish = f"{pending.request.call.tool} {pending.request.call.args['n']} "
    happened = (Path(folder)/"effects").exists() and wish in (Path(folder)/"effects").read_text()
    pending.answer(f"{wish}done") if happened else pending.approve()


def to_the_end(run, folder):
    while True:
        try: return asyncio.run(run.wait())
        except RequestOpen: human(run, folder)


def child(store, folder, limit=0, user=0):
    "Go on to the end; where the store refuses, save the run elsewhere and end it there. Exit codes: 0 ended in its place, 3 ended in another, 1 failed"
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    made = agent(store, folder)
    run, seen = made.run("go", run_id="r1"), os.open(f"{folder}/shown", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    run.observers.append(lambda step: os.write(seen, f"{step.model_dump_json()}\n".encode()))
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft = Path(store.removeprefix("sqlite:///") + "-wal").stat().st_size + limit
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
    Path(f"{folder}/ready").touch()
    try:
        if to_the_end(run, folder) == "done": return 0
    except StoreError as e:
        Path(f"{folder}/said").write_text(f"{e.kind}: {e}")
        if limit: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        saved = run.save_to(f"{folder}/rescued.db")
        saved.observers.append(lambda step: os.write(seen, f"{step.model_dump_json()}\n".encode()))
        if to_the_end(saved, folder) == "done": return 3
    return 1


def deleted(place): (place/"runs.db").unlink()
def all_deleted(place):
    for f in place.glob("runs.db*"): f.unlink(missing_ok=True)
def replaced(place):
    open_store(place/"other.db").close()
    os.replace(place/"other.db", place/"runs.db")
def emptied(place): os.truncate(place/"runs.db", 0)
def moved(place): (place/"runs.db").rename(place/"away.db")
def log_deleted(place): (place/"runs.db-wal").unlink()
def folder_removed(place): shutil.rmtree(place, ignore_errors=True)
def folder_renamed(place): place.rename(place.with_name("away"))
def permission_taken(place): place.chmod(0)
def disk_filled(place): pass  # by a limit of the child: see `trial`


TROUBLES = [deleted, all_deleted, replaced, emptied, moved, log_deleted, folder_removed, folder_renamed, permission_taken, disk_filled]


def warm_up():
    "Import all that a run needs: another user may not read where it is"
    with tempfile.TemporaryDirectory() as folder:
        run = agent(f"sqlite:///{folder}/a.db", folder).run("go")
        asyncio.run(run.wait())
        run.save_to(f"{folder}/b.db")
        shutil.rmtree(folder)
        Path(folder).mkdir()
        try: run.edit(max_iterations=1)
        except StoreError: pass


def fork_child(*args, **more):
    if pid := os.fork(): return pid
    code = 1
    try: code = child(*args, **more)
    except BaseException as e: print(f"{type(e).__name__}: {str(e)[:300]}", file=sys.stderr)
    os._exit(code)


def verdict(folder, code, stores):
    "What became of a run: every step that was shown is looked for, with what it says"
    found, kept = Counter(runs=1), set()
    for store in stores:
        try: kept |= {s.model_dump_json() for s in open_store(store).read("r1")}
        except StoreError: pass
    shown = set(Path(f"{folder}/shown").read_text().splitlines()) if Path(f"{folder}/shown").exists() else set()
    effects = Path(f"{folder}/effects")
    lines = Counter(line.rsplit(" ", 1)[0] for line in effects.read_text().splitlines()) if effects.exists() else Counter()
    found["noticed"] = code == 3
    found["unended"] = code not in (0, 3)
    found["shown"], found["lost"], found["doubled"] = len(shown), len(shown - kept), sum(n - 1 for n in lines.values())
    return found


def is_over(folder):
    "Was the run over when its place was taken? What was committed just before is shown a moment later"
    time.sleep(0.001)
    return '"kind":"finished"' in Path(f"{folder}/shown").read_text()


def trial(trouble, rng):
    "One run whose place is taken away"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        place = Path(folder)/"place"
        place.mkdir()
        other = 65534 if os.geteuid() == 0 and trouble is permission_taken else 0
        if other: os.chown(place, other, other)
        pid = fork_child(f"sqlite:///{place}/runs.db", folder, limit=rng.randint(1, 40_000) if trouble is disk_filled else 0, user=other)
        while not Path(f"{folder}/ready").exists(): time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.06))
        try: trouble(place)
        except FileNotFoundError: pass  # it is not made yet
        over = is_over(folder)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if place.exists(): place.chmod(0o777)
        away = [f"sqlite:///{p}" for p in (place/"away.db", Path(folder)/"away"/"runs.db", place/"runs.db", Path(folder)/"rescued.db") if p.exists()]
        if over and trouble in (deleted, all_deleted, replaced, emptied, folder_removed): return Counter(runs=1, too_late=1)
        return verdict(folder, code, away)


def at_random(trouble, trials, seed=7):
    warm_up()
    rng = random.Random(f"{trouble.__name__} {seed}")
    return sum((trial(trouble, rng) for _ in range(trials)), Counter())


RIGHTS = {"rights taken": "REVOKE ALL ON ALL TABLES IN SCHEMA agentnb FROM chaos_role", "schema closed": "REVOKE ALL ON SCHEMA agentnb FROM chaos_role",
    "table dropped": "DROP TABLE agentnb.steps", "read-only": "ALTER ROLE chaos_role SET default_transaction_read_only = on",
    "login taken": "ALTER ROLE chaos_role NOLOGIN"}


def rights(url, how, rng):
    "One run whose role loses its rights; new connections only, for what is asked at login"
    import psycopg
    name = f"rights_{rng.randrange(10**9)}"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
        if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = 'chaos_role'").fetchone(): db.execute("CREATE ROLE chaos_role LOGIN")
        db.execute("ALTER ROLE chaos_role LOGIN")
        db.execute("ALTER ROLE chaos_role RESET ALL")
    owner = f"{url.rpartition('/')[0]}/{name}"
    with psycopg.connect(owner, autocommit=True) as db, tempfile.TemporaryDirectory() as folder:
        if not (pid := os.fork()):
            open_store(owner)
            os._exit(0)
        os.waitpid(pid, 0)
        db.execute("GRANT ALL ON SCHEMA agentnb TO chaos_role")
        db.execute("GRANT ALL ON ALL TABLES IN SCHEMA agentnb TO chaos_role")
        pid = fork_child(owner.replace("postgres@", "chaos_role@"), folder)
        while not Path(f"{folder}/ready").exists(): time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.15))
        db.execute(RIGHTS[how])
        over = is_over(folder)
        if how in ("read-only", "login taken"): db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chaos_role'")
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if how == "table dropped" and over: return Counter(runs=1, too_late=1)
        kept = [f"sqlite:///{folder}/rescued.db"] if Path(f"{folder}/rescued.db").exists() else []
        out = Path(f"{folder}/verdict")
        if not (pid := os.fork()):
            out.write_text(json.dumps(verdict(folder, code, [owner, *kept])))
            os._exit(0)
        os.waitpid(pid, 0)
        return Counter(json.loads(out.read_text()))


def rights_at_random(url, how, trials, seed=7):
    rng = random.Random(f"{how} {seed}")
    return sum((rights(url, how, rng) for _ in range(trials)), Counter())


def wrong(found): return {k: n for k, n in found.items() if n and k in ("lost", "doubled", "unended")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--postgres", action="store_true")
    args, bad = parser.parse_args(), Counter()

    def tell(name, found):
        print(f"{name:20}", ", ".join(f"{n} {k}" for k, n in sorted(found.items()) if n), "-> wrong:", wrong(found) or 0, flush=True)
        bad.update(wrong(found))
    for trouble in TROUBLES: tell(trouble.__name__.replace("_", " "), at_random(trouble, args.trials))
    if args.postgres:
        from postgres import serving
        with serving() as url:
            for how in RIGHTS: tell(f"role: {how}", rights_at_random(url, how, args.trials))
    return 1 if bad else 0


if __name__ == "__main__": sys.exit(main())
