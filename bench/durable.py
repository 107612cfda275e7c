"""What durability costs: `python bench/durable.py`. Peers that are installed are measured beside it, in turns: pip install langgraph-checkpoint-sqlite dbos

1. A turn: one scripted reply that asks for a tool, and the tool's result of 1 KB. The bare loop asks the same model and calls the same tool,
   and commits the same rows the same number of times by hand. Medians of rounds in which all take turns.
   Then the same turn as people write it: awaited, iterated, stepped by hand; with a plain tool, and with one that acts; on PostgreSQL
   where AGENTNB_TEST_POSTGRES names a server; and the first turn of a fresh process, its imports included.
2. Bytes a step takes on disk, over the JSON of its payload.
3. Reading and folding a long run; forking it.
4. A thousand runs at once in one event loop, with models that take 50 ms; of one agent, and of a thousand agents that are made for it.
Seconds depend on the machine and on what else it does; ratios much less.
"""
import argparse, asyncio, contextlib, gc, json, os, sqlite3, statistics, subprocess, sys, tempfile, time, uuid
from pathlib import Path

from agentnb import Agent, Rule, Scripted, assistant, call, open_store, result, tool
from agentnb.core.messages import Call, Reply, Usage
from agentnb.store.rows import MIGRATIONS
from agentnb.store.protocol import read_run

RESULT = "x" * 1024


@tool(read_only=True)
async def look(n: int) -> str: return f"{RESULT}{n}"


@tool(read_only=True)
def plain(n: int) -> str: return f"{RESULT}{n}"


@tool
async def acts(n: int) -> str: return f"{RESULT}{n}"


@tool(idempotent=True)
async def acts_once(n: int) -> str: return f"{RESULT}{n}"


def script(turns, name="look"):
    asked = 0

    def say(messages, tools):
        nonlocal asked
        asked += 1
        return "done" if asked > turns else call(name, n=asked)
    return Scripted(say)


def agent(turns, url, used=look):
    return Agent(script(turns, used.name), [used], store=url, max_iterations=turns + 2, policy=[Rule(effect="allow")])


async def ours(turns, url):
    run = agent(turns, url).run("go", run_id="r" * 26)
    began = time.perf_counter()
    await run
    return (time.perf_counter() - began)/turns


def rows_of(turns, url):
    "The rows that such a run has, as values: the bare loop writes these"
    asyncio.run(ours(turns, url))
    store = open_store(url)
    rows = store._run(("SELECT run_id, idx, iteration, kind, at, payload FROM steps ORDER BY idx", ()))
    return [(*row[:5], json.loads(row[5])) for row in rows]


async def bare(turns, rows, path, synchronous="normal"):
    "A loop by hand: ask, commit, call, commit"
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=wal", f"synchronous={synchronous}"): db.execute(f"PRAGMA {pragma}")
    db.execute(MIGRATIONS[0][0].format(json="TEXT"))
    model, messages = script(turns), []
    began = time.perf_counter()

    def commit(row): db.execute("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)", (*row[:5], json.dumps(row[5])))
    place = iter(rows)
    commit(next(place))
    while True:
        reply = await model(messages, [look.spec])
        messages.append(assistant(reply.content, *reply.calls))
        commit(next(place))
        if not reply.calls: break
        messages.append(result(reply.calls[0], await look.fn(**reply.calls[0].args)))
        commit(next(place))
    commit(next(place))
    return (time.perf_counter() - began)/turns


def langgraph(turns, path):
    "A graph of a model node and a tool node, with the SQLite saver"
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    asked = 0

    def model(state):
        nonlocal asked
        asked += 1
        return {"messages": [AIMessage("done") if asked > turns else AIMessage("", tool_calls=[dict(name="look", args={"n": asked}, id=f"c{asked}")])]}

    def act(state): return {"messages": [ToolMessage(f"{RESULT}{c['args']['n']}", tool_call_id=c["id"]) for c in state["messages"][-1].tool_calls]}
    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("act", act)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda s: "act" if s["messages"][-1].tool_calls else END)
    graph.add_edge("act", "model")
    with SqliteSaver.from_conn_string(str(path)) as saver:
        made = graph.compile(checkpointer=saver)
        began = time.perf_counter()
        made.invoke({"messages": [HumanMessage("go")]}, {"configurable": {"thread_id": "1"}, "recursion_limit": 10**6}, durability="sync")
        return (time.perf_counter() - began)/turns


DBOS_CHILD = """
import sys, time, logging
from dbos import DBOS
logging.disable(logging.CRITICAL)
DBOS(config=dict(name="bench", system_database_url="sqlite:///" + sys.argv[1], log_level="CRITICAL"))
@DBOS.step()
def turn(n): return "x" * 1024 + str(n)
@DBOS.workflow()
def flow(turns):
    for n in range(turns): turn(n)
    return "done"
DBOS.launch()
flow(20)
began = time.perf_counter()
flow(int(sys.argv[2]))
print((time.perf_counter() - began)/int(sys.argv[2]))
DBOS.destroy()
"""


def dbos(turns, path):
    "A workflow with one durable step for the reply and its call together, which is the best it can do"
    __import__("dbos")
    said = subprocess.run([sys.executable, "-c", DBOS_CHILD, str(path), str(turns)], capture_output=True, text=True, cwd=Path(path).parent)
    return float(said.stdout.splitlines()[-1])


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory() as made: yield Path(made)


def once(name, turns, rows):
    gc.collect()
    with folder() as at:
        url = f"sqlite:///{at}/runs.db"
        if name == "bare loop": return asyncio.run(bare(turns, rows[turns], at/"b.db"))
        if name == "bare loop, full": return asyncio.run(bare(turns, rows[turns], at/"b.db", "full"))
        if name == "agentnb": return asyncio.run(ours(turns, url))
        if name == "agentnb, full": return asyncio.run(ours(turns, f"{url}?synchronous=full"))
        if name == "agentnb, in memory": return asyncio.run(ours(turns, "memory:"))
        return dict(langgraph=langgraph, dbos=dbos)[name](turns, at/"peer.db")


def turns_table(rounds, peers):
    sizes, names = (100, 1000, 3000), ["bare loop", "agentnb", "bare loop, full", "agentnb, full", "agentnb, in memory"]
    rows = {}
    for turns in sizes:
        with folder() as at: rows[turns] = rows_of(turns, f"sqlite:///{at}/runs.db")
    times = {(n, t): [] for n in names for t in sizes}
    for _ in range(rounds):
        for turns in sizes:
            for name in names: times[name, turns].append(once(name, turns, rows))
    for peer in peers:
        for turns in (100, 1000):
            try: times[peer, turns] = [once(peer, turns, rows) for _ in range(1 if peer == "langgraph" else 3)]
            except ImportError: print(f"{peer} is not installed")
    middle = {k: statistics.median(v) * 1e6 for k, v in times.items() if v}
    print(f"\n1. one turn, microseconds, median of {rounds}" + "".join(f"{t:>10}" for t in sizes) + "   turns in the run")
    for name in dict.fromkeys(n for n, _ in middle):
        print(f"   {name:38}" + "".join(f"{middle[name, t]:10.0f}" if (name, t) in middle else " " * 10 for t in sizes))
    ratio = lambda a, b, t: statistics.median(x/y for x, y in zip(times[a, t], times[b, t]))
    print(f"   over the bare loop at 1,000: {ratio('agentnb', 'bare loop', 1000):.2f}, synchronous=full: {ratio('agentnb, full', 'bare loop, full', 1000):.2f}")
    print(f"   growth from 100 to 3,000: {middle['agentnb', 3000]/middle['agentnb', 100]:.2f}")
    for peer in peers:
        if (peer, 1000) in middle: print(f"   {peer} takes {middle[peer, 1000]/middle['agentnb', 1000]:.0f} times as long at 1,000")


async def awaited(run): await run


async def iterated(run):
    async for _ in run: pass


async def stepped(run):
    while not (await run.step()).is_terminal: pass


async def hop(turns):
    "A loop by hand that calls the plain tool in a thread: what the hop costs"
    began = time.perf_counter()
    for n in range(turns): await asyncio.to_thread(plain.fn, n)
    return (time.perf_counter() - began)/turns


def written(how, used, turns, url):
    async def go():
        run = agent(turns, url, used).run("go")
        began = time.perf_counter()
        await how(run)
        return (time.perf_counter() - began)/turns
    gc.collect()
    return asyncio.run(go())


@contextlib.contextmanager
def database():
    "A database of its own on the server that AGENTNB_TEST_POSTGRES names"
    import psycopg
    server, name = os.environ["AGENTNB_TEST_POSTGRES"], f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as db: db.execute(f"CREATE DATABASE {name}")
    yield f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as db: db.execute(f"DROP DATABASE {name} WITH (FORCE)")


def written_table(rounds, turns=1000):
    ways = [(how, used) for used in (look, plain, acts, acts_once) for how in (awaited, iterated, stepped)]
    times, hops = {way: [] for way in ways}, []
    for _ in range(rounds):
        for way in ways:
            with folder() as at: times[way].append(written(*way, turns, f"sqlite:///{at}/runs.db"))
        hops.append(asyncio.run(hop(turns)))
    base, ratio = times[awaited, look], lambda found: statistics.median(x/y for x, y in zip(found, base))
    print(f"\n1b. one turn at {turns:,} as it is written, microseconds, and times awaiting with an async tool that only reads")
    for (how, used), found in times.items(): print(f"   {used.name:10} {how.__name__:10} {statistics.median(found) * 1e6:8.0f} {ratio(found):8.2f}")
    print(f"   a hop into a thread, by hand {statistics.median(hops) * 1e6:8.0f}")
    if "AGENTNB_TEST_POSTGRES" not in os.environ: return print("   PostgreSQL: AGENTNB_TEST_POSTGRES names no server")
    for how in (awaited, stepped):
        found = []
        for _ in range(min(rounds, 3)):
            with database() as url: found.append(written(how, look, 100, url))
        print(f"   PostgreSQL {how.__name__:10} {statistics.median(found) * 1e6:8.0f}")


FIRST = """
import time
began = time.perf_counter()
from agentnb import Agent, Scripted, call, tool
imported = time.perf_counter()
@tool(read_only=True)
def look(n: int) -> str: return "x"
Agent(Scripted([call("look", n=1), "done"]), [look], store="memory:").run_sync("go")
print(imported - began, time.perf_counter() - began)
"""


def first_table(rounds):
    said = [subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True).stdout.split() for _ in range(rounds)]
    imported, whole = (statistics.median(float(s[i]) for s in said) for i in (0, 1))
    print(f"\n1c. a fresh process: imported after {imported * 1e3:.0f} ms, its first run of one call done after {whole * 1e3:.0f} ms")


def bytes_table():
    with folder() as at:
        url = f"sqlite:///{at}/runs.db"
        rows = rows_of(1000, url)
        store = open_store(url)
        store.vacuum()
        payload = sum(len(json.dumps(r[5], separators=(",", ":"))) for r in rows)
        size = os.path.getsize(at/"runs.db")
        print(f"\n2. bytes a step at 1,000 turns: {size/len(rows):.0f} on disk, {payload/len(rows):.0f} of JSON, ratio {size/payload:.2f}")


def restore_table(rounds):
    with folder() as at:
        url = f"sqlite:///{at}/runs.db"
        made = agent(500, url)
        asyncio.run(made.run("go", run_id="long").wait())
        run, store = made.load("long"), open_store(url)
        reading, folding, forking, sizes = [], [], [], []
        for i in range(rounds * 3):
            began = time.perf_counter()
            steps = read_run(store, "long")
            reading.append(time.perf_counter() - began)
            began = time.perf_counter()
            store.restore("long")
            folding.append(time.perf_counter() - began)
            began = time.perf_counter()
            fork = run.fork(at=(37 * i) % 1000, instructions="Another way.")
            forking.append(time.perf_counter() - began)
            sizes.append(sum(len(p) + len(r) for r, p in store._run(("SELECT run_id, payload FROM steps WHERE run_id = ?", (fork.run_id,)))))
        print(f"\n3. a run of {len(steps)} steps: read {statistics.median(reading) * 1e3:.1f} ms, read and folded {statistics.median(folding) * 1e3:.1f} ms; "
            f"forked {statistics.median(forking) * 1e3:.2f} ms (slowest {max(forking) * 1e3:.2f}), {max(sizes)} bytes")


def asking(n): return Reply(calls=(Call(id=f"call_{n}", tool="look", args=dict(n=n)),), model="slow", usage=Usage(requests=1))


REPLIES = [*map(asking, range(4)), Reply(content="done", model="slow")]


class Slow:
    "A model that takes 50 ms, and nearly no work: four calls, then an answer"
    name = "slow"
    async def __call__(self, messages, *rest):
        await asyncio.sleep(0.05)
        return REPLIES[len(messages)//2]


async def all_at_once(url, count, many=False):
    began = time.perf_counter()
    made = Agent(Slow(), [look], store=url)
    runs = [(Agent(Slow(), [look], store=url) if many else made).run("go") for _ in range(count)]
    await asyncio.gather(*(run.wait() for run in runs))
    return time.perf_counter() - began, sum(len(r.steps) for r in runs), resident()


async def bare_at_once(path, count):
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=wal", "synchronous=normal"): db.execute(f"PRAGMA {pragma}")
    db.execute(MIGRATIONS[0][0].format(json="TEXT"))

    async def one(n):
        model, messages = Slow(), []
        for i in range(5):
            reply = await model(messages, [])
            messages.append(assistant(reply.content, *reply.calls))
            if reply.calls: messages.append(result(reply.calls[0], await look.fn(**reply.calls[0].args)))
            db.execute("INSERT INTO steps VALUES (?, ?, 0, 'turn', 'now', ?)", (f"run-{n}", i, json.dumps({"content": RESULT})))
    began = time.perf_counter()
    await asyncio.gather(*(one(n) for n in range(count)))
    return time.perf_counter() - began


def resident():
    "Megabytes of this process, with all runs still held; on Linux"
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")/2**20


CROWDS = dict(bare="bare loop, a commit a turn", agentnb="agentnb", many="agentnb, an agent each", full="agentnb, synchronous=full")


def crowd_child(which, path, count):
    before = resident()
    if which == "bare": took, steps, memory = asyncio.run(bare_at_once(path, count)), 5 * count, resident()
    else: took, steps, memory = asyncio.run(all_at_once(f"sqlite:///{path}" + ("?synchronous=full" if which == "full" else ""), count, which == "many"))
    print(json.dumps(dict(took=took, steps=steps, memory=memory, before=before)))


def crowd_table(rounds):
    print("\n4. 1,000 runs at once, 5 replies each, models of 50 ms (0.25 s if nothing else took time)")
    found = {which: [] for which in CROWDS}
    for _ in range(rounds):
        for which, took in found.items():
            with folder() as at:
                command = [sys.executable, __file__, "--crowd", which, str(at/"c.db")]
                took.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    bare = [f["took"] for f in found["bare"]]
    for which, all_took in found.items():
        took, first = statistics.median(f["took"] for f in all_took), all_took[0]
        held = f"{first['memory']:.0f} MB, {first['before']:.0f} before"
        times = statistics.median(f["took"]/b for f, b in zip(all_took, bare))
        print(f"   {CROWDS[which]:28} {took:.2f} s, {took/0.25:.1f} times the ideal, {times:.2f} times the bare loop; {first['steps']:,} steps; {held}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", nargs="*", default=["dbos", "langgraph"])
    parser.add_argument("--crowd", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.crowd: return crowd_child(*args.crowd, 1000)
    turns_table(args.rounds, args.peers)
    written_table(args.rounds)
    first_table(args.rounds)
    bytes_table()
    restore_table(args.rounds)
    crowd_table(args.rounds)


if __name__ == "__main__": main()
