"""LangGraph's threads in our stores, and our runs in LangGraph's savers: conformance, crashes, races, growth."""
import asyncio, operator, signal, sqlite3, subprocess, sys, threading, time, uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import pytest
from typing_extensions import TypedDict

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.shallow import ShallowPostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.types import TASKS
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from agentnb import Agent, RequestOpen, RunConflict, RunNotFound, Scripted, StoreError, call, open_store, tool
from agentnb.langgraph.saver import AgentnbSaver
from agentnb.langgraph.saver_store import LangGraphStore
from agentnb.core.steps import Note, Started, Step

BASE = ("put", "put_writes", "get_tuple", "list", "delete_thread")
POSTGRES = pytest.param("postgres", marks=pytest.mark.server)
OPTIONAL = ("delete_for_runs", "copy_thread", "prune")


@pytest.fixture(params=["memory", "sqlite", POSTGRES])
def store_url(request, tmp_path):
    if request.param == "memory": return "memory:"
    return f"sqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def saver(store_url): return AgentnbSaver(store_url)


@pytest.fixture(params=["memory", "sqlite", POSTGRES])
def their_saver(request, tmp_path):
    "A saver of LangGraph's"
    if request.param == "memory": yield InMemorySaver()
    elif request.param == "sqlite":
        with SqliteSaver.from_conn_string(f"{tmp_path}/theirs.db") as found: yield found
    else:
        with PostgresSaver.from_conn_string(request.getfixturevalue("postgres_url")) as found:
            found.setup()
            yield found


def config(thread="t", ns="", checkpoint_id=None):
    return dict(configurable=dict(thread_id=thread, checkpoint_ns=ns) | (dict(checkpoint_id=checkpoint_id) if checkpoint_id else {}))


def checkpoint(values=None, versions=None, **fields):
    return empty_checkpoint() | dict(v=4, channel_values=values or {}, channel_versions=versions or {}) | fields


# --- the suite of LangGraph ---

def test_conformance(store_url):
    "All 58 base tests and all optional ones"
    @checkpointer_test(name="AgentnbSaver")
    async def ours(): yield AgentnbSaver(store_url)
    results = asyncio.run(validate(ours)).results
    assert not [f for r in results.values() for f in r.failures]
    assert sum(results[c].tests_passed for c in BASE) >= 58
    assert all(results[c].passed and results[c].tests_passed >= 7 for c in OPTIONAL)


# --- what a store has for it ---

def test_a_store_keeps_several_values_or_none(store_url):
    store, at = open_store(store_url), datetime(2026, 5, 4, tzinfo=UTC)
    for n in (1, 3):
        with pytest.raises((UnicodeError, StoreError)): store.keep_all(*(("s", f"{i}", "x") for i in range(n)), ("s", "z", "\ud800"), at=at)
    assert store.scan("s") == []
    store.keep_all(at=at)
    store.keep_all(*(("s", f"{i:02}", f"old {i}") for i in range(20)), ("other", "05", "there"), at=at)
    store.keep_all(("s", "05", "new"), ("s", "20", "new"), at=at, once=True)
    assert store.recall_all("s", ["05", "20", "99"]) == {"05": "old 5", "20": "new"} and store.recall_all("s", []) == {}
    assert [k for k, _ in store.scan("s", before="10", last=3)] == ["07", "08", "09"] and [k for k, _ in store.scan("s", last=2)] == ["19", "20"]
    assert [k for k, _ in store.scan("s", "1", before="12")] == ["10", "11"] and store.scan("s", "0", before="99") == store.scan("s", "0", last=99)


# --- names, texts, versions ---

def test_thread_ids_may_be_anything(saver):
    "A thread whose name begins like another's, holds separators or cannot be encoded is a thread of its own"
    names = ["t", "t ", "t 1", "t!", "t!20", "t\n", "t\x00", "t/…", "t%", "\ud83d", "t\x1f", "T", ""]
    for name in names: saver.put(config(name, f"ns {name}"), checkpoint({"who": name}, {"who": 1}), dict(step=1), {"who": 1})
    for name in names:
        found = list(saver.list(config(name, f"ns {name}")))
        assert [f.checkpoint["channel_values"] for f in found] == [{"who": name}]
        assert found[0].config["configurable"]["thread_id"] == name
    assert len(list(saver.list(None))) == len(names)
    for i, name in enumerate(names, 1):
        saver.delete_thread(name)
        assert len(list(saver.list(None))) == len(names) - i


def test_a_checkpoint_whose_name_begins_like_another_stays(saver):
    for i in ("a", "a!", "ab", "a b"): saver.put(config(), checkpoint(id=i), dict(run_id=i), {})
    saver.delete_for_runs(["a"])
    assert [c.checkpoint["id"] for c in saver.list(config())] == ["ab", "a!", "a b"]
    assert [c.checkpoint["id"] for c in saver.list(config(), before=config(checkpoint_id="ab"))] == ["a!", "a b"]


def test_values_come_back_as_they_were(saver):
    values = dict(n=None, s={1, 2}, f=float("inf"), b=b"\x00\xff", d={1: "one"}, u=uuid.uuid4(), at=datetime.now(UTC), odd="\x00 \ud83d é",
        deep=[{"a": [1.5, True, None, "x"]}], big=2**80, empty={}, no=False)
    versions = {k: saver.get_next_version(None, None) for k in values}
    found = saver.get_tuple(saver.put(config(), checkpoint(values, versions), dict(source="loop", score=(1, 2)), versions))
    assert found.checkpoint["channel_values"] == values
    assert {k: type(v) for k, v in found.checkpoint["channel_values"].items()} == {k: type(v) for k, v in values.items()}
    assert found.metadata["score"] == [1, 2] == saver.serde.loads_typed(saver.serde.dumps_typed((1, 2)))


class Xor:
    "A cipher that is no secret, but hides"
    def encrypt(self, data): return "xor", bytes(b ^ 42 for b in data)
    def decrypt(self, name, data): return bytes(b ^ 42 for b in data)


def test_a_serializer_of_your_own_sees_everything(tmp_path):
    saver = AgentnbSaver(f"sqlite:///{tmp_path}/runs.db", serde=EncryptedSerializer(Xor()))
    at = saver.put(config(), checkpoint(dict(said="top secret"), dict(said=1)), dict(note="top secret"), dict(said=1))
    saver.put_writes(at, [("said", "top secret")], "task")
    found = saver.get_tuple(at)
    assert found.checkpoint["channel_values"]["said"] == found.metadata["note"] == "top secret"
    assert found.pending_writes == [("task", "said", "top secret")]
    with closing(sqlite3.connect(tmp_path/"runs.db")) as db: assert not [v for v, in db.execute("SELECT value FROM kept") if "secret" in v]


def test_versions_grow_and_never_meet(saver):
    first = [saver.get_next_version(None, None) for _ in range(100)]
    assert len(set(first)) == 100
    version, seen = None, []
    for _ in range(300): seen.append(version := saver.get_next_version(version, None))
    assert seen == sorted(seen) and saver.get_next_version(7, None) > saver.get_next_version(6, None) > first[0]


def test_writes_come_in_the_order_they_are_applied(saver):
    at = saver.put(config(), checkpoint(), {}, {})
    for path, task in (("b", "1"), ("a", "2"), ("", "9")): saver.put_writes(at, [("x", f"{path}{i}") for i in range(12)], task, path)
    assert [v for _, _, v in saver.get_tuple(at).pending_writes] == [f"{path}{i}" for path in ("", "a", "b") for i in range(12)]


def test_the_first_write_counts_and_special_ones_are_replaced(saver):
    at = saver.put(config(), checkpoint(), {}, {})
    special = next(iter(WRITES_IDX_MAP))
    saver.put_writes(at, [("x", "first"), (special, "early")], "task")
    saver.put_writes(at, [("x", "second"), (special, "late"), ("y", "new")], "task")
    assert sorted(saver.get_tuple(at).pending_writes) == sorted([("task", special, "late"), ("task", "x", "first"), ("task", "y", "new")])


def test_sends_of_an_old_checkpoint_are_found_with_its_parent(saver):
    parent = saver.put(config(), checkpoint(v=3), {}, {})
    saver.put_writes(parent, [(TASKS, "send 1"), ("other", 1), (TASKS, "send 2")], "task")
    child = saver.put(parent, checkpoint({"a": 1}, {"a": saver.get_next_version(None, None)}, v=3), {}, {})
    found = saver.get_tuple(child).checkpoint
    assert found["channel_values"][TASKS] == ["send 1", "send 2"] and found["channel_versions"][TASKS] == max(found["channel_versions"].values())
    saver.prune(["t"])
    assert saver.get_tuple(child).checkpoint["channel_values"][TASKS] == ["send 1", "send 2"]
    new = saver.put(parent, checkpoint(), {}, {})
    assert TASKS not in saver.get_tuple(new).checkpoint["channel_values"]


def test_a_listing_is_read_in_pages(saver):
    ids = [f"{i:04}" for i in range(700)]
    for i in ids: saver.put(config(), checkpoint(id=i), dict(step=int(i), even=int(i) % 2 == 0), {})
    assert [c.checkpoint["id"] for c in saver.list(config())] == ids[::-1]
    assert [c.checkpoint["id"] for c in saver.list(config(), limit=3, before=config(checkpoint_id="0500"), filter=dict(even=True))] == ["0498", "0496", "0494"]
    assert list(saver.list(config(), limit=0)) == []
    assert [c.checkpoint["id"] for c in saver.list(config(checkpoint_id="0007"))] == ["0007"]
    assert [c.checkpoint["id"] for c in saver.list(dict(configurable=dict(thread_id="t")), limit=2)] == ["0699", "0698"]


def test_pruning_drops_what_nothing_needs_and_nothing_else(saver):
    at = config()
    for i in range(5):
        values = dict(big="B", small=i)
        at = saver.put(at, checkpoint(values, dict(big=1, small=i)), dict(run_id=f"r{i}"), dict(big=1, small=i) if i == 0 else dict(small=i))
        saver.put_writes(at, [("small", i + 1)], "task")
    saver.delete_for_runs(["r1", "r3"])
    assert [c.checkpoint["channel_values"] for c in saver.list(config())] == [dict(big="B", small=i) for i in (4, 2, 0)]
    assert all(c.parent_config is None for c in saver.list(config()))
    saver.prune(["t"])
    assert saver.get_tuple(config()).checkpoint["channel_values"] == dict(big="B", small=4)
    assert [len(saver.store.scan(f"langgraph {what}")) for what in ("checkpoint", "write", "value")] == [1, 1, 2]
    with pytest.raises(TypeError, match=r"write \['t'\]"): saver.prune("t")


# --- growth ---

Delta = Annotated[list, DeltaChannel(lambda state, writes: [*state, *(m for w in writes for m in w)], snapshot_frequency=50)]


class Chat(TypedDict):
    messages: Annotated[list, operator.add]
    document: str
    n: int


class DeltaChat(TypedDict):
    messages: Delta
    document: str
    n: int


def chat(saver, supersteps, schema=Chat):
    graph = StateGraph(schema).add_node("talk", lambda s: dict(messages=[f"message {s['n']}"], n=s["n"] + 1)).add_edge(START, "talk")
    return graph.add_conditional_edges("talk", lambda s: END if s["n"] >= supersteps else "talk").compile(checkpointer=saver)


def kept_bytes(store): return sum(len(value) for what in ("checkpoint", "write", "value") for _, value in store.scan(f"langgraph {what}"))


def test_a_channel_that_does_not_change_is_stored_once(saver):
    "200 supersteps beside a document of 1 MB take little more than the document and what changed"
    graph, document = chat(saver, 200), "x" * 1_000_000
    graph.invoke(dict(messages=[], document=document, n=0), config() | dict(recursion_limit=500))
    values = saver.store.scan("langgraph value")
    assert sorted(k.split()[-2] for k, v in values if len(v) >= len(document)) == ["__start__", "document"]   # the input, and the channel
    assert len([k for k, _ in values if k.split()[-2] == "messages"]) >= 200
    written = {k.split()[-2]: saver.store.recall("langgraph value", k)[0] for k, v in values if len(v) >= len(document)}
    begun = sorted(saver.store.recall("langgraph checkpoint", k)[0] for k, _ in saver.store.scan("langgraph checkpoint"))
    assert written["document"] == begun[1] < begun[2]   # and was not written again
    changed = sum(len(str([f"message {i}" for i in range(n)])) for n in range(201))
    assert kept_bytes(saver.store) < 3 * len(document) + 2 * changed + 200 * 4000
    assert graph.get_state(config()).values["document"] == document


def test_a_delta_channel_grows_by_what_is_new(saver):
    "Its bytes per superstep do not grow, it is rebuilt from any checkpoint, and pruning keeps what it is rebuilt from"
    sizes = {}
    for n in (50, 200):
        graph = chat(saver, n, DeltaChat)
        graph.invoke(dict(messages=["go"], document="", n=0), config(f"t{n}") | dict(recursion_limit=500))
        sizes[n] = sum(len(v) for what in ("checkpoint", "write", "value") for _, v in saver.store.scan(f"langgraph {what}", f"t{n} "))
    assert sizes[200] / 200 < 1.5 * sizes[50] / 50
    said = ["go"] + [f"message {i}" for i in range(200)]
    history = list(graph.get_state_history(config("t200"), limit=78))
    assert history[0].values["messages"] == said and history[77].values["messages"] == said[:201-77]
    assert asyncio.run(graph.aget_state(history[77].config)).values["messages"] == said[:201-77]
    saver.prune(["t200"])
    left = list(saver.list(config("t200")))
    assert graph.get_state(config("t200")).values["messages"] == said and 1 < len(left) < 120
    saver.copy_thread("t200", "t201")
    saver.delete_thread("t200")
    assert graph.get_state(config("t201")).values["messages"] == said


def test_our_delta_history_is_that_of_the_base_class(saver):
    graph = chat(saver, 60, DeltaChat)
    graph.invoke(dict(messages=["go"], document="", n=0), config() | dict(recursion_limit=500))
    for found in saver.list(config(), limit=60):
        asked = dict(config=found.config, channels=["messages", "n", "none"])
        assert saver.get_delta_channel_history(**asked) == BaseCheckpointSaver.get_delta_channel_history(saver, **asked)


# --- crashes and crowds ---

KILLED = """
import sys
from agentnb.langgraph.saver import AgentnbSaver
from langgraph.checkpoint.base import empty_checkpoint
saver, at = AgentnbSaver(sys.argv[1]), dict(configurable=dict(thread_id="t", checkpoint_ns=""))
for n in range(1_000_000):
    versions = {f"c{i}": n for i in range(20)}
    values = {f"c{i}": [n] * 500 for i in range(20)}
    at = saver.put(at, {**empty_checkpoint(), "v": 4, "id": f"{n:08}", "channel_values": values, "channel_versions": versions}, dict(step=n), versions)
    print(n, flush=True)
"""


@pytest.mark.parametrize("store_url", ["sqlite", POSTGRES], indirect=True)
def test_killed_while_it_writes(store_url):
    "However a process is killed, each checkpoint that can be listed has all its values, and each that it reported is there"
    for moment in (0.05, 0.11, 0.17, 0.23):
        AgentnbSaver(store_url).delete_thread("t")
        child = subprocess.Popen([sys.executable, "-c", KILLED, store_url], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "0\n"
        time.sleep(moment)
        child.send_signal(signal.SIGKILL)
        said = int((child.communicate()[0].split() or ["0"])[-1])
        saver = AgentnbSaver(store_url)
        for _ in range(50):   # a server ends what it was told last, a moment after the process that told it was killed
            found = list(saver.list(config()))
            steps, versions = {str(c.metadata["step"]) for c in found}, {key.split()[-1] for key, _ in saver.store.scan("langgraph value")}
            if versions == steps: break
            time.sleep(0.1)
        assert versions == steps and len(found) >= said + 1
        for c in found: assert c.checkpoint["channel_values"] == {f"c{i}": [c.metadata["step"]] * 500 for i in range(20)}


def in_threads(n, work):
    gate, errors = threading.Barrier(n), []
    def body(i):
        gate.wait()
        try: work(i)
        except Exception as e: errors.append(e)
    threads = [threading.Thread(target=body, args=(i,)) for i in range(n)]
    for t in threads: t.start()
    for t in threads: t.join()
    return errors


def test_many_threads_write(saver):
    "Threads of one process that put checkpoints and writes at once lose none, and of one write's authors the first stays"
    at = saver.put(config("shared"), checkpoint(), {}, {})

    def work(i):
        mine = config(f"thread {i}")
        for n in range(15):
            mine = saver.put(mine, checkpoint(dict(n=n, i=i), dict(n=n, i=1)), dict(step=n), dict(n=n, i=1) if n == 0 else dict(n=n))
            saver.put_writes(mine, [("n", n + 1)], f"task {i}")
            saver.put_writes(at, [("who", i)], f"task {n}")
    assert in_threads(8, work) == []
    for i in range(8):
        assert [c.checkpoint["channel_values"] for c in saver.list(config(f"thread {i}"))] == [dict(n=n, i=i) for n in reversed(range(15))]
    writes = saver.get_tuple(at).pending_writes
    assert len(writes) == 15 and saver.get_tuple(at).pending_writes == writes


def test_two_stores_race_for_one_write(store_url):
    "Two connections, one place: what was read once stays"
    if store_url == "memory:": return
    savers = [AgentnbSaver(store_url) for _ in range(2)]
    at = savers[0].put(config(), checkpoint(), {}, {})
    for n in range(30):
        seen = {}
        def work(i, n=n, seen=seen):
            savers[i].put_writes(at, [("x", i)], f"task {n}")
            seen[i] = {t: v for t, _, v in savers[i].get_tuple(at).pending_writes}[f"task {n}"]
        assert in_threads(2, work) == []
        assert seen[0] == seen[1]


# --- real graphs ---

class Incident(TypedDict):
    said: Annotated[list, operator.add]


def asking_graph(saver):
    def restart(state): return dict(said=[f"restart: {interrupt('May I?')}"])
    graph = StateGraph(Incident).add_node("look", lambda s: dict(said=["looked"])).add_node("restart", restart)
    graph.add_node("report", lambda s: dict(said=["reported"]))
    return graph.add_edge(START, "look").add_edge("look", "restart").add_edge("restart", "report").compile(checkpointer=saver)


def in_time(graph, again, thread):
    "Asked, answered elsewhere, gone back, answered otherwise, edited: what was said at each"
    said = [graph.invoke(dict(said=["slow"]), thread)["__interrupt__"][0].value, again.invoke(Command(resume="yes"), thread)["said"]]
    history = list(graph.get_state_history(thread))
    assert [h.next for h in history] == [(), ("report",), ("restart",), ("look",), ("__start__",)]
    said += [graph.invoke(None, history[3].config)["__interrupt__"][0].value, graph.invoke(Command(resume="no"), thread)["said"]]
    said += [graph.invoke(Command(resume="late"), history[2].config)["said"]]
    said += [graph.invoke(None, graph.update_state(history[1].config, dict(said=["by hand"])))["said"], graph.get_state(history[0].config).values["said"]]
    return said, [(h.next, h.values, h.metadata, len(h.tasks)) for h in graph.get_state_history(thread)]


def test_a_graph_asks_and_goes_back_in_time(store_url):
    "Word for word what LangGraph's own saver does, with the second half by a saver that was opened anew"
    saver = AgentnbSaver(store_url)
    graph, theirs = asking_graph(saver), asking_graph(InMemorySaver())
    found = in_time(graph, graph if store_url == "memory:" else asking_graph(AgentnbSaver(store_url)), config())
    assert found == in_time(theirs, theirs, config())
    assert found[0][1][2] == "restart: yes" and found[0][3][2] == "restart: no" and found[0][-1][2:] == ["restart: yes", "reported"]


def test_an_async_graph_asks_and_goes_back_in_time(saver):
    async def go():
        graph, thread = asking_graph(saver), config()
        assert (await graph.ainvoke(dict(said=["slow"]), thread))["__interrupt__"][0].value == "May I?"
        assert (await graph.ainvoke(Command(resume="yes"), thread))["said"] == ["slow", "looked", "restart: yes", "reported"]
        history = [h async for h in graph.aget_state_history(thread)]
        assert [h.next for h in history] == [(), ("report",), ("restart",), ("look",), ("__start__",)]
        assert (await graph.ainvoke(None, history[3].config))["__interrupt__"][0].value == "May I?"
        assert (await graph.ainvoke(Command(resume="no"), thread))["said"] == ["slow", "looked", "restart: no", "reported"]
        await saver.acopy_thread("t", "u")
        await saver.aprune(["t"])
        assert (len([c async for c in saver.alist(config())]), len([c async for c in saver.alist(config("u"))])) == (1, 9)
    asyncio.run(go())


def test_subgraphs_and_parallel_tasks(saver):
    inner = asking_graph(None)
    outer = StateGraph(Incident).add_node("inner", inner).add_node("beside", lambda s: dict(said=["beside"])).add_edge(START, "inner").add_edge(START, "beside")
    graph = outer.compile(checkpointer=saver)
    graph.invoke(dict(said=["slow"]), config())
    assert {c.config["configurable"]["checkpoint_ns"].partition(":")[0] for c in saver.list(dict(configurable=dict(thread_id="t")))} == {"", "inner"}
    assert graph.invoke(Command(resume="yes"), config())["said"].count("restart: yes") == 1


def test_waiting_for_the_network_leaves_the_loop_free(postgres_url):
    "While PostgreSQL answers, other tasks of the loop go on"
    saver, ticks = AgentnbSaver(postgres_url), []
    async def go():
        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0)
        beside = asyncio.create_task(tick())
        await saver.aput(config(), checkpoint(dict(a="x" * 100_000), dict(a=1)), {}, dict(a=1))
        beside.cancel()
    asyncio.run(go())
    assert len(ticks) > 5


# --- our runs in their savers ---

def step(run_id, index, body=None): return Step(run_id=run_id, index=index, at=datetime.now(UTC), body=body or Note(about="code", text=f"step {index}"))


def begun(store, run_id="r1", n=1):
    for i in range(n): store.append(step(run_id, i, None if i else Started(task="go")))
    return store


def an_agent(store, effects=None):
    @tool(read_only=True)
    def look() -> str: return "slow"

    @tool
    def restart() -> str:
        effects.append("restart")
        return "restarted"
    return Agent(Scripted([call("look"), call("restart"), "all done"]), [look, restart], store=store)


def test_a_run_goes_to_its_end_in_their_saver(their_saver):
    "Stepped, loaded by another agent, approved, ended, forked: as in a store of ours"
    effects = []
    run = an_agent(LangGraphStore(their_saver), effects).run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    loaded = an_agent(LangGraphStore(their_saver), effects).load("r1")
    assert loaded.state == run.state
    with pytest.raises(RequestOpen): asyncio.run(loaded.wait())
    loaded.pending[0].approve()
    assert asyncio.run(loaded.wait()) == "all done" and effects == ["restart"]
    store = LangGraphStore(their_saver)
    assert store.read("r1") == list(loaded.steps) and store.runs() == ["r1"] and store.starts() == [loaded.steps[0]] and store.leases() == []
    again = an_agent(store, effects).load("r1")
    assert again.state == loaded.state and again.steps[-1].is_terminal
    fork = again.fork(at=4)
    asyncio.run(fork.until())
    other = an_agent(store, effects).load(fork.run_id)
    assert [(h.run_id, h.first, h.last) for h in store.heads()] == [(fork.run_id, 3, fork.steps[-1].index), ("r1", 0, loaded.steps[-1].index)]
    with pytest.raises(StoreError, match="cannot take single runs out"): store.remove("r1")
    assert other.state == fork.state and store.runs() == [fork.run_id, "r1"] and store.starts()[0].body.parent.run_id == "r1"
    assert store.read(fork.run_id)[0].index == store.starts()[0].body.parent.index + 1 == 3
    with pytest.raises(RunNotFound, match="no run 'r9'"): an_agent(store, effects).load("r9")


def test_many_runs_share_a_loop_and_a_saver(their_saver):
    store = LangGraphStore(their_saver)
    async def go(): return await asyncio.gather(*(Agent(Scripted(["done"]), store=store).run("go", run_id=f"r{i}").wait() for i in range(12)))
    assert asyncio.run(go()) == ["done"] * 12
    assert sorted(store.runs()) == sorted(f"r{i}" for i in range(12))
    assert all([s.kind for s in store.read(f"r{i}")] == ["started", "model", "finished"] for i in range(12))


def test_one_of_many_writers_wins(their_saver, tmp_path):
    "Threads with stores, and where it can be connections, of their own race for each place, with steps that are equal"
    store, interval = begun(LangGraphStore(their_saver)), sys.getswitchinterval()
    places = range(1, 31 if isinstance(their_saver, InMemorySaver) else 11)
    if isinstance(their_saver, InMemorySaver): sys.setswitchinterval(1e-6)
    for place in places:
        same, won = step("r1", place), []

        def work(i, same=same, won=won):
            try: LangGraphStore(their_saver).append(same.model_copy(update=dict(iteration=i)) if i % 2 else same)
            except RunConflict: return
            won.append(i)
        assert in_threads(8, work) == []
        assert len(won) == 1
        assert store.read("r1", place)[0].iteration == (won[0] if won[0] % 2 else 0)
    sys.setswitchinterval(interval)
    assert [s.index for s in store.read("r1")] == [0, *places]


def connections(kind, request, tmp_path, n):
    if kind == "sqlite": return [SqliteSaver(sqlite3.connect(f"{tmp_path}/shared.db", check_same_thread=False, timeout=30)) for _ in range(n)]
    import psycopg
    from psycopg.rows import dict_row
    url = request.getfixturevalue("postgres_url")
    return [PostgresSaver(psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row)) for _ in range(n)]


@pytest.mark.parametrize("kind", ["sqlite", POSTGRES])
def test_one_of_many_connections_wins(kind, request, tmp_path):
    "Without a lock between them: a connection each, as separate processes have. One writes the place, one takes the lease"
    savers = connections(kind, request, tmp_path, 4)
    for s in savers[:1]: s.setup()
    stores = [LangGraphStore(s) for s in savers]
    begun(stores[0])
    for place in range(1, 26):
        won, holders = [], []

        def work(i, place=place, won=won, holders=holders):
            if stores[i].hold("r1", f"holder {i}", 30) == f"holder {i}": holders.append(i)
            try: stores[i].append(step("r1", place))
            except RunConflict: return
            won.append(i)
        assert in_threads(4, work) == []
        assert len(won) == 1 and len(holders) == 1
        stores[0].release("r1", f"holder {holders[0]}")
        assert stores[1].leases() == []
    assert [s.index for s in stores[2].read("r1")] == list(range(26))
    for s in savers: s.conn.close()


def test_several_steps_are_one_write(their_saver):
    "All or none, also where one of the places is taken; parts of it can be read"
    store = begun(LangGraphStore(their_saver))
    store.append(*(step("r1", i) for i in range(1, 6)))
    for taken in range(6):
        with pytest.raises(RunConflict): store.append(step("r1", taken))
    with pytest.raises(RunConflict): store.append(*(step("r1", i) for i in range(5, 9)))
    store.append(step("r1", 6))
    assert [s.index for s in store.read("r1")] == list(range(7))
    parts = {(2, 4): [2, 3], (3, None): [3, 4, 5, 6], (6, None): [6], (7, None): [], (0, 0): [], (5, 6): [5]}
    assert {part: [s.index for s in store.read("r1", *part)] for part in parts} == parts
    with pytest.raises(StoreError, match="several runs together"): store.append(step("r2", 0), step("r3", 0))
    assert store.runs() == ["r1"]


def test_a_place_that_was_begun_and_not_claimed_is_free(their_saver):
    "A writer that was killed between its checkpoint and its write has written nothing, and stands in nobody's way"
    store = begun(LangGraphStore(their_saver), n=3)
    their_saver.put(config("agentnb/run/r1"), checkpoint(id="0000000003"), dict(source="update", step=0, parents={}), {})
    their_saver.put(config("agentnb/leases", "r1"), checkpoint(id="0000000000"), dict(source="update", step=0, parents={}), {})
    their_saver.put(config("agentnb/runs"), checkpoint(id="2026-05-04 r9"), dict(source="update", step=0, parents={}), {})
    assert [s.index for s in store.read("r1")] == [0, 1, 2] and store.runs() == ["r1"] and store.leases() == []
    store.append(step("r1", 3))
    assert store.hold("r1", "me", 30) == "me" and [s.index for s in store.read("r1", 2)] == [2, 3]
    their_saver.put_writes(config("agentnb/run/r2", "", "0000000000"), [("claim", dict(token="x", steps=[]))], "claim")
    assert store.read("r2") == []


def test_a_run_whose_entry_was_not_written_is_entered_by_the_next(their_saver):
    store = begun(LangGraphStore(their_saver))
    their_saver.delete_thread("agentnb/runs")
    assert store.runs() == []
    with pytest.raises(RunConflict): begun(store)
    assert store.runs() == ["r1"]


def test_leases_are_taken_over_when_they_may_be(their_saver):
    store = LangGraphStore(their_saver)
    assert store.hold("r1", "A", 30) == "A" == store.hold("r1", "B", 30) == store.hold("r1", "A", 30)
    assert [(lease.run_id, lease.holder, 25 < lease.seconds_left < 31) for lease in store.leases()] == [("r1", "A", True)]
    assert store.hold("r1", "B", 30, former_holder="A") == "B" == store.hold("r1", "A", 30)
    store.release("r1", "A")
    assert store.hold("r1", "A", 0.2) == "B"
    store.release("r1", "B")
    assert store.leases() == [] and store.hold("r1", "A", 0.2) == "A"
    time.sleep(0.3)
    assert store.leases()[0].seconds_left < 0 and store.hold("r1", "B", 30) == "B" == store.hold("r1", "A", 30)
    assert store.hold("r2", "A", 30) == "A" and [lease.run_id for lease in store.leases()] == ["r1", "r2"]


class Gated(SqliteSaver):
    "Calls `before[what]` once, before the next write of that kind"
    def put_writes(self, config, writes, task_id, task_path=""):
        self.before.pop("claim" if task_id == "claim" else "note", lambda: None)()
        super().put_writes(config, writes, task_id, task_path)


@pytest.fixture
def gated(tmp_path):
    "Two stores as two processes have them, on one file"
    savers = [Gated(sqlite3.connect(f"{tmp_path}/shared.db", check_same_thread=False, timeout=30)) for _ in range(2)]
    for s in savers: s.before = {}
    yield [LangGraphStore(s) for s in savers]
    for s in savers: s.conn.close()


def test_a_holder_that_renews_while_another_takes_over_keeps_its_lease(gated):
    "The other has found the lease run out, and sees after its claim that it was renewed"
    a, b = gated
    at_its_claim, renewed, heard = threading.Event(), threading.Event(), []
    taking = threading.Thread(target=lambda: heard.append(b.hold("r1", "B", 30)))
    b.saver.before["claim"] = lambda: (at_its_claim.set(), renewed.wait(10))
    assert a.hold("r1", "A", 0.3) == "A"
    a.saver.before["note"] = lambda: (time.sleep(0.4), taking.start(), at_its_claim.wait(10))
    assert a.hold("r1", "A", 30) == "A"
    renewed.set()
    taking.join()
    assert heard == ["A"] and a.hold("r1", "A", 30) == "A" == b.hold("r1", "B", 30)


def test_a_holder_that_renews_too_late_hears_who_took_over(gated):
    a, b = gated
    assert a.hold("r1", "A", 0.3) == "A"
    a.saver.before["note"] = lambda: (time.sleep(0.4), b.hold("r1", "B", 30))
    assert a.hold("r1", "A", 30) == "B" == b.hold("r1", "B", 30)


def test_a_run_is_not_found_finished_by_a_pending_write(their_saver):
    "Only a step that says so ends a run: a graph of LangGraph in the same saver, cut off with writes pending, changes nothing"
    store = LangGraphStore(their_saver)
    graph = asking_graph(their_saver)
    graph.invoke(dict(said=["slow"]), config("r1"))
    run = an_agent(store, []).run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    assert an_agent(store, []).load("r1").state.status == "running" and store.runs() == ["r1"]
    assert graph.invoke(Command(resume="yes"), config("r1"))["said"][-1] == "reported"


def saver_bytes(saver, thread): return [len(str(c)) for c in saver.list(config(thread))]


def test_a_step_costs_the_same_however_long_the_run_is(their_saver):
    store = begun(LangGraphStore(their_saver), n=150)
    sizes = saver_bytes(their_saver, "agentnb/run/r1")
    assert len(sizes) == 150 and max(sizes[:50]) <= max(sizes[-50:]) + 20
    assert [s.index for s in store.read("r1", 140, 145)] == list(range(140, 145)) and len(store.read("r1")) == 150


def test_what_is_kept_is_replaced_found_and_forgotten(their_saver):
    store, at = LangGraphStore(their_saver), datetime(2026, 5, 4, 2, 15, tzinfo=UTC)
    for key in ("b", "a", "ab", ""): store.keep("space", key, f"old {key}", at)
    store.keep("space", "a", "\x00 new", at)
    store.keep("other", "a", "there", at)
    assert store.recall("space", "a") == (at, "\x00 new") and store.recall("space", "c") is None
    assert store.scan("space") == [("", "old "), ("a", "\x00 new"), ("ab", "old ab"), ("b", "old b")]
    assert store.scan("space", "a") == [("a", "\x00 new"), ("ab", "old ab")] and store.scan("space", before="b", last=1) == [("ab", "old ab")]
    assert store.recall_all("space", ["b", "c"]) == {"b": "old b"}
    assert store.forget("space", "a") == 2 and store.scan("space") == [("", "old "), ("b", "old b")] and store.recall("space", "a") is None
    assert store.scan("other") == [("a", "there")]
    with pytest.raises(StoreError, match="several values together"): AgentnbSaver(store).put(config(), checkpoint(), {}, {})


def test_savers_that_cannot_hold_runs_are_refused(postgres_url, tmp_path):
    with PostgresSaver.from_conn_string(postgres_url) as bare, pytest.raises(StoreError, match=r"(?s)does not exist.*Call its setup\(\) once"):
        LangGraphStore(bare)
    with pytest.warns(DeprecationWarning), ShallowPostgresSaver.from_conn_string(postgres_url) as shallow:
        shallow.setup()
        with pytest.raises(StoreError, match="does not keep every checkpoint"): LangGraphStore(shallow)

    async def go():
        async with AsyncSqliteSaver.from_conn_string(f"{tmp_path}/a.db") as saver: LangGraphStore(saver)
    with pytest.raises(StoreError, match="Give the saver that is not async, as SqliteSaver"): asyncio.run(go())


def test_who_waits_for_a_network(postgres_url):
    with PostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
        assert LangGraphStore(saver).remote and not LangGraphStore(saver, remote=False).remote
    assert not LangGraphStore(InMemorySaver()).remote and LangGraphStore(InMemorySaver(), remote=True).remote


def test_a_closed_database_is_an_error_of_the_store(tmp_path):
    with SqliteSaver.from_conn_string(f"{tmp_path}/theirs.db") as saver: store = begun(LangGraphStore(saver))
    with pytest.raises(StoreError, match="langgraph:SqliteSaver: ProgrammingError: Cannot operate on a closed database"): store.append(step("r1", 1))


WRITER = """
import sys
from datetime import UTC, datetime
from agentnb.langgraph.saver_store import LangGraphStore
from agentnb.core.steps import Note, Started, Step
kind, url = sys.argv[1:]
if kind == "sqlite": from langgraph.checkpoint.sqlite import SqliteSaver as Saver
else: from langgraph.checkpoint.postgres import PostgresSaver as Saver
with Saver.from_conn_string(url) as saver:
    saver.setup()
    store = LangGraphStore(saver)
    at = len(store.read("r1"))
    while True:
        bodies = [Note(about="code", text=f"step {at + i}") for i in range(at % 3 + 1)] if at else [Started(task="go")]
        steps = [Step(run_id="r1", index=at + i, at=datetime.now(UTC), body=b) for i, b in enumerate(bodies)]
        store.append(*steps)
        at += len(steps)
        print(at, flush=True)
"""


@pytest.mark.parametrize("kind", ["sqlite", POSTGRES])
def test_killed_while_it_writes_to_their_saver(kind, request, tmp_path):
    "However often the writer is killed, the next goes on where it was: every step that was reported is there, in one row"
    url = f"{tmp_path}/theirs.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    for moment in (0.01, 0.03, 0.07, 0.11):
        child = subprocess.Popen([sys.executable, "-c", WRITER, kind, url], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline()
        time.sleep(moment)
        child.send_signal(signal.SIGKILL)
        said = int((child.communicate()[0].split() or ["0"])[-1])
        with (SqliteSaver if kind == "sqlite" else PostgresSaver).from_conn_string(url) as saver: found = LangGraphStore(saver).read("r1")
        assert len(found) >= said and [s.index for s in found] == list(range(len(found)))
        assert [s.body.text for s in found[1:]] == [f"step {i}" for i in range(1, len(found))]
