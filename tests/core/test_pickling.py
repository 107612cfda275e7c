"An agent, a tool and a model in another process: settings, addresses and functions go there; connections, locks and keys do not."
# ruff: noqa: E402
import asyncio, copy, gc, importlib, inspect, multiprocessing, os, pickle, pkgutil, sqlite3, subprocess, sys, textwrap, threading
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import pytest
from needs import missing, need_modules
from places import HELPERS, ROOT
from postgres import Server, installed
from pydantic import AfterValidator, BaseModel, Field

need_modules("cloudpickle", "nbclient", "nbformat")
import cloudpickle, nbclient, nbformat

import agentnb
from agentnb import (Agent, Ask, Budget, Cached, Call, Cascade, Context, Fallback, Human, LangGraphStore, ModelError, NotPortable, Reply, Retry, Rule,
    Scripted, SemanticCached, StoreError, Tape, Tool, ToolError, Toolset, agree, check, confident, files, find_model, fresh, judged, open_store, portable, tool,
    tool_from_schema, tools_from_mcp, user, valid)
from agentnb.core.messages import Usage
from agentnb.core.value import Value
from agentnb.models.anthropic import Anthropic
from agentnb.models.local import Local
from agentnb.models.openai import OpenAI
from agentnb.store.postgres import Postgres
from agentnb.tools.contract import without_calls_left
from agentnb.wrappers.cost import Priced

DUMPS = [pickle.dumps, cloudpickle.dumps, partial(pickle.dumps, protocol=2), partial(pickle.dumps, protocol=5)]
SPAWN = multiprocessing.get_context("spawn")
KEY = "sk-test-0123456789abcdef0123"


def there_and_back(value, dumps=pickle.dumps): return pickle.loads(dumps(value))
def known(name):
    if name not in ("checkout", "search"): raise ValueError(f"no service {name}")
    return name


class Service(BaseModel):
    name: str
    replicas: int = 1


@tool(read_only=True, timeout=5, rate="30/min")
def look(
    where: str,  # a service
    depth: Annotated[int, Field(ge=0, le=3)] = 0,  # how far
    how: Literal["quick", "slow"] = "quick",  # the way
    near: Service | None = None,  # beside it
) -> str:
    "Look at `where`"
    return f"{where} is fine ({depth}, {how}, {near})"


@tool(idempotent=True, retries=2, scopes=["deploy:restart"], preview=lambda service: f"restart {service}")
async def restart(service: Annotated[str, AfterValidator(known)], context: Context) -> str:
    "Restart `service`"
    return f"{service} restarted, {context.call_id or 'by hand'}"


def bare(where: str) -> str:
    "Not decorated"
    return f"{where}?"


async def plain(messages, tools=(), instructions="", ask=Ask()): return Reply(content=f"{instructions}{messages[-1].content}")
def no_kernel(agent, task): return agent.run_sync(task)
def pid(): return os.getpid()


SCRIPT = [Call(id="", tool="look", args={"where": "checkout"}), Call(id="", tool="restart", args={"service": "checkout"}), "It was restarted."]
def make(store, **given): return Agent(Scripted(SCRIPT), [look, restart], store=store, unattended="approve", name="on-call", **given)


@pytest.fixture
def url(tmp_path): return f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture(scope="module")
def pool():
    "One process that was started anew, as on Windows and macOS"
    with ProcessPoolExecutor(1, mp_context=SPAWN) as made: yield made


def locally():
    unit = "restarts"
    @tool(idempotent=True)
    def count(
        service: str,  # its name
        times: Annotated[int, Field(gt=0)] = 1,  # how often
    ) -> str:
        "Count them"
        return f"{service}: {times} {unit}"
    return count


# --- tools


@pytest.mark.parametrize("dumps", DUMPS)
@pytest.mark.parametrize("given", [look, restart, Tool(bare), Tool(bare, name="other", description="y", human=True, always_ask="why"), locally(),
    Tool(bare, "again")], ids=lambda t: t.name)
def test_a_tool_comes_back_as_it_was(given, dumps):
    made = there_and_back(given, dumps)
    assert made.spec == given.spec and repr(made) == repr(given) and made.defined_at == given.defined_at and made.source == given.source
    for args in ({}, {"where": "x"}, {"where": "x", "depth": 9}, {"where": 5}, {"service": "checkout"}, {"service": "x", "times": 0}, {"service": "x",
    "times": 2}):
        assert outcome(made, args) == outcome(given, args)
    old, new = given.limits, made.limits
    assert (old.name, old.timeout, old.retries, old.rate, old.hint) == (new.name, new.timeout, new.retries, new.rate, new.hint)
    assert made.preview({"service": "checkout"}) == given.preview({"service": "checkout"})


def outcome(given, args):
    try: return given.check(args), without_calls_left(asyncio.run(given.run(args, Context(call_id="c1"))))
    except ToolError as e: return e.failure


def test_a_tool_of_a_module_goes_by_its_name_and_is_the_same_there():
    assert there_and_back(look) is look and there_and_back([restart, look]) == [restart, look] and len(pickle.dumps(look)) < 300
    assert there_and_back(Tool(bare)).fn is bare, "the function is found, though no tool has its name"


def test_a_tool_in_another_process(pool):
    for given, args in ((look, {"where": "x", "near": {"name": "y"}}), (restart, {"service": "search"}), (locally(), {"service": "x", "times": 3}),
    (Tool(bare), {"where": "x"})):
        assert pool.submit(outcome, given, args).result() == outcome(given, args)
    assert pool.submit(look, "disk").result() == look("disk") and pool.submit(portable(lambda n: n * 2), 4).result() == 8


def test_tools_with_a_schema_and_those_of_the_toolbox(pool, tmp_path):
    (tmp_path/"a.txt").write_text("hello")
    given = tool_from_schema("find service", "Find", {"properties": {"the name": {"type": "string"}}, "required": ["the name"]}, lambda **args: str(args),
    read_only=True)
    made = there_and_back(given)
    assert made.spec == given.spec and asyncio.run(made.run({"the_name": "x"})) == "{'the name': 'x'}"
    with pytest.raises(ToolError, match="is not of type 'string'"): made.check({"the_name": 5})
    assert pool.submit(outcome, given, {"the_name": "x"}).result() == outcome(given, {"the_name": "x"})
    reads = next(t for t in files(tmp_path) if t.name == "read_file")
    assert pool.submit(outcome, reads, {"path": "a.txt"}).result()[1] == "hello"


def test_two_tools_that_share_a_list_share_it_there_too(url):
    shared = []
    @tool
    def put(what: str) -> str:
        "Put"
        shared.append(what)
        return str(len(shared))
    @tool(read_only=True)
    def got() -> str:
        "Got"
        return str(shared)
    made = there_and_back(Agent(Scripted([]), [put, got], store=url))
    assert made.tools["put"]("x") == "1" and made.tools["got"]() == "['x']" and shared == []


def test_a_copy_in_this_process_is_what_it_was():
    for value in (look, locally(), Scripted([lambda: 1]), make("memory:")):
        other = copy.copy(value)
        assert other is not value and vars(other).keys() == vars(value).keys() and all(vars(other)[k] is v for k, v in vars(value).items())
    count = locally()
    assert copy.deepcopy(count).fn is count.fn


class Loud(Tool):
    "A subclass with something of its own"
    def __init__(self, fn, mark="!", **hints):
        super().__init__(fn, **hints)
        self.mark = mark
    async def run(self, args, context=Context()): return await super().run(args, context) + self.mark


class Named(Agent):
    team = "nobody"


def test_subclasses_keep_what_is_theirs(url):
    loud = there_and_back(Loud(bare, mark="?!"))
    assert type(loud) is Loud and asyncio.run(loud.run({"where": "x"})) == "x??!"
    agent = Named(Scripted(["x"]), store=url)
    agent.team = "night"
    made = there_and_back(agent)
    assert type(made) is Named and made.team == "night" and made.run_sync("y") == "x"


# --- agents and their stores


@pytest.mark.parametrize("dumps", DUMPS)
def test_an_agent_comes_back_as_it_was(url, dumps):
    agent = make(url, instructions="Be careful.", budget=Budget(usd=1, within=Budget(usd=5, shared="night")), max_iterations=7, ask=Ask(temperature=0),
        policy=[Rule(tool="restart", when=lambda args: args["service"] == "checkout", effect="allow")], grant=["deploy:restart"], examples=[user("an example")])
    made = there_and_back(agent, dumps)
    for name in ("name", "instructions", "budget", "max_iterations", "ask", "grant", "examples", "answer", "result_tool", "defined_at"):
        assert getattr(made, name) == getattr(agent, name)
    assert {n: t.spec for n, t in made.tools.items()} == {n: t.spec for n, t in agent.tools.items()} and made.store.url == agent.store.url
    assert made.store is not agent.store and made.store._db is not agent.store._db and repr(made) == repr(agent)
    assert [r.effect for r in made.policy] == ["allow"] and made.policy[0].when({"service": "checkout"}) is True
    assert made.run_sync("Checkout is slow.") == "It was restarted." and agent.load(agent.store.runs()[0]).result == "It was restarted."


def test_a_run_in_another_process_is_found_here_and_goes_on(durable, pool):
    agent = make(durable)
    assert pool.submit(agent.run_sync, "Checkout is slow.").result(60) == "It was restarted."
    run = agent.load(agent.store.runs()[0])
    assert asyncio.run(run) == "It was restarted." and not [s for s in run.steps if s.kind == "note"], "the tools are the same here and there"
    begun = make(durable).run("Again.")
    asyncio.run(begun.step())
    assert pool.submit(no_kernel_load, agent, begun.run_id).result(60) == "It was restarted."
    assert list(pool.map(agent.run_sync, ["a", "b", "c"])) == ["It was restarted."] * 3 and len(agent.store.runs()) == 5
    agent.store.close()


def no_kernel_load(agent, run_id): return asyncio.run(agent.load(run_id))


def test_nothing_of_this_process_is_in_it(url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    agent = Agent("openai:gpt-5.5", [look, locally()], store=url)
    data = pickle.dumps(agent)
    assert KEY.encode() not in data and b"sqlite3" not in data and b"_thread" not in data and b"_clients" not in data and len(data) < 6000
    for known in ("RLock", "Connection", "weakref"): assert known.encode() not in data


def test_memory_is_refused_in_a_sentence(pool):
    said = "memory: is a store of this process, and no other can read or write it. Name one that others can open: store='sqlite:///runs.db'."
    for value in (make("memory:"), open_store("memory:"), Cached(Scripted([]), store="memory:")):
        for dumps in DUMPS:
            with pytest.raises(NotPortable) as e: dumps(value)
            assert str(e.value) == said and isinstance(e.value, pickle.PicklingError)
    with pytest.raises(NotPortable, match="memory: is a store of this process"): pool.submit(make("memory:").run_sync, "x").result()
    assert pool.submit(pid).result() != os.getpid(), "and the pool goes on"


def test_a_run_is_refused_in_a_sentence(url):
    run = make(url).run("x", run_id="r1")
    with pytest.raises(NotPortable, match=r"run r1 is in its store, and is not sent itself. Send its agent, and there: agent.load\('r1'\)"): pickle.dumps(run)


def test_what_cannot_be_sent_is_named(url):
    lock, db = threading.Lock(), sqlite3.connect(":memory:")
    @tool
    def guarded() -> str:
        "Guarded"
        with lock: return "x"
    @tool
    def queried() -> str:
        "Queried"
        return str(db.execute("SELECT 1").fetchall())
    for given, name, kind in ((guarded, "lock", "_thread.lock"), (queried, "db", "sqlite3.Connection")):
        for value in (given, Agent(Scripted([]), [look, given], store=url)):
            said = f"the function `{given.name}` uses `{name}`, and cannot pickle '{kind}' object. Open it inside the function"
            with pytest.raises(NotPortable, match=said): pickle.dumps(value)


@pytest.mark.parametrize("make_it",
    [lambda key: partial(str, key), lambda key: (lambda: key), lambda key: {"headers": f"Bearer {key}"}, lambda key: [key.encode()]])
def test_a_key_that_a_function_holds_is_not_sent(url, monkeypatch, make_it):
    def page_with(held):
        @tool
        def page(who: str) -> str:
            "Page"
            return f"{who} {held}"
        return page
    for name, key in (("PAGER_API_KEY", "very-secret-pager"), ("DB_PASSWORD", "hunter22"), (None, KEY), (None, "postgresql://me:hunter2@host/db")):
        if name: monkeypatch.setenv(name, key)
        held = make_it(key)
        if name == "DB_PASSWORD" and isinstance(held, dict): continue   # a short one is looked for as a whole string
        with pytest.raises(NotPortable) as e: pickle.dumps(Agent(Scripted([]), [page_with(held)], store=url))
        assert (name or "what looks like a key or a password") in str(e.value) and key not in str(e.value) and "os.environ[" in str(e.value)
        if name: monkeypatch.delenv(name)


def test_a_short_password_that_is_part_of_a_word_is_no_key(url, monkeypatch):
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    there_and_back(Agent(Scripted([]), [look], store=url, instructions="Our database is postgres 17."))


def test_a_relative_store_is_the_same_file_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"other").mkdir()
    agent = Agent(Scripted(["done"]), store="sqlite:///runs.db?synchronous=full")
    data = pickle.dumps(agent)
    monkeypatch.chdir(tmp_path/"other")
    made = pickle.loads(data)
    assert made.run_sync("x") == "done" and agent.store.runs() and not (tmp_path/"other"/"runs.db").exists()
    assert made.store._run(("PRAGMA synchronous", ())) == [(2,)] and made.store.path == str(tmp_path/"runs.db")


def test_a_store_that_came_is_opened_at_its_first_use(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/gone/../runs.db")
    data = pickle.dumps(store)
    store.close()
    for file in tmp_path.glob("runs.db*"): file.unlink()
    made = pickle.loads(data)
    assert made._db is None and not (tmp_path/"runs.db").exists()
    made.close()
    results = []
    threads = [threading.Thread(target=lambda: results.append(made.runs())) for _ in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert results == [[]] * 8 and (tmp_path/"runs.db").exists()
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(made))))
    assert again.runs() == [] and again._db is not made._db
    broken = pickle.loads(pickle.dumps(open_store(f"sqlite:///{tmp_path}/x.db")))
    broken.path = "/nowhere/x.db"
    with pytest.raises(StoreError, match="unable to open database file"): broken.runs()


# --- PostgreSQL: a password is a key


@pytest.fixture
def with_password(postgres_url):
    return postgres_url.replace("postgres@", "postgres:hunter2hunter2@")


def test_the_password_of_an_address_stays_here(with_password):
    for url in (with_password, with_password.replace(":hunter2hunter2", "") + "?password=hunter2hunter2&connect_timeout=5",
            with_password.replace(":hunter2hunter2", "") + "?sslpassword=hunter2hunter2"):
        store = open_store(url)
        assert "hunter2" not in store.url and "hunter2" not in repr(store)
        data = pickle.dumps(make(store))
        assert b"hunter2" not in data
        made = pickle.loads(data)
        assert made.store._pool is None and made.store._address == made.store.url
        assert made.run_sync("x") == "It was restarted." and made.store._pool is not store._pool and len(store.runs()) >= 1, "this server trusts whoever comes"
        made.store.close(), store.close()


@pytest.mark.parametrize("given", ["postgresql://me:p%40ss:w@h:5432/db", "postgresql://me:pa/ss@h/db", "postgresql://h/db?user=me&password=pass",
    "postgresql://h/db?password=pass&user=me", "postgresql://h/db?password=pass", "postgresql://:pass@h/db", "postgresql://me:p@ss@h/db"])
def test_a_url_is_shown_without_its_password(given):
    from agentnb.store.postgres import shown_address
    shown = shown_address(given)
    assert "pass" not in shown.replace("password", "") and "p%40ss" not in shown and "ss@" not in shown and not shown.endswith(("?", "&"))


def test_the_password_is_found_there_or_refused_in_a_sentence(with_password, monkeypatch, tmp_path):
    "The address of the settings has it; else what `psql` would find; else an error that says what to set, when the store is first used"
    monkeypatch.setenv("AGENTNB_STORE", with_password)
    store = open_store(with_password)
    made = there_and_back(store)
    assert made._address == with_password and made.runs() == []
    monkeypatch.setenv("AGENTNB_STORE", "postgresql://other@host/db")
    sent = there_and_back(store)
    assert sent._address == store.url
    sent._address = store.url.replace("/test_", "/no_such_database_")
    with pytest.raises(StoreError, match="leaves its password behind: set PGPASSWORD or ~/.pgpass there, or AGENTNB_STORE"): sent.runs()
    store.close()


def test_a_password_that_is_asked_for(tmp_path_factory, monkeypatch):
    "A server that trusts nobody: the store goes there without its password, and works where the environment has it"
    if not installed(): missing("PostgreSQL")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    folder = tmp_path_factory.mktemp("server")
    for parent in (folder, *folder.parents[:3]): parent.chmod(0o755)
    server = Server(folder/"data").start()
    try:
        import psycopg
        with psycopg.connect(server.url, autocommit=True) as db: db.execute("ALTER USER postgres PASSWORD 'hunter2hunter2'")
        rules = folder/"data"/"pg_hba.conf"
        rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        with psycopg.connect(server.url, autocommit=True) as db: db.execute("SELECT pg_reload_conf()")
        agent = make(server.url.replace("postgres@", "postgres:hunter2hunter2@"))
        for _ in range(100):   # the rules are read again in a moment
            try: psycopg.connect(server.url).close()
            except psycopg.OperationalError: break
        data = pickle.dumps(agent)
        assert b"hunter2" not in data
        with pytest.raises(StoreError, match="no password supplied.*leaves its password behind"): pickle.loads(data).run_sync("x")
        with ProcessPoolExecutor(1, mp_context=SPAWN) as there:
            with pytest.raises(StoreError, match="leaves its password behind"): there.submit(agent.run_sync, "x").result(60)
        monkeypatch.setenv("PGPASSWORD", "hunter2hunter2")
        with ProcessPoolExecutor(1, mp_context=SPAWN) as there: assert there.submit(agent.run_sync, "x").result(60) == "It was restarted."
        assert len(agent.store.runs()) == 1
        agent.store.close()
    finally: server.stop()


# --- a fork of the process


def in_a_fork(act):
    "What `act` gives in a child of this process, and how the child ended"
    into, out = os.pipe()
    if not (child := os.fork()):
        try: said = pickle.dumps(act())
        except BaseException as e: said = pickle.dumps(f"{type(e).__name__}: {e}")
        os.write(out, said)
        os._exit(0)
    os.close(out)
    with os.fdopen(into, "rb") as f: said = f.read()
    os.waitpid(child, 0)
    return pickle.loads(said)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_has_connections_of_its_own(durable):
    agent = make(durable)
    assert agent.run_sync("here") == "It was restarted."
    remote = isinstance(agent.store, Postgres)
    mine = agent.store._pool if remote else agent.store._db
    def child():
        ran = agent.run_sync("there")
        return ran, (agent.store._pool if remote else agent.store._db) is mine, len(agent.store.runs())
    assert [in_a_fork(child) for _ in range(2)] == [("It was restarted.", False, 2), ("It was restarted.", False, 3)]
    def closes():
        agent.store.runs()
        agent.store.close()
        gc.collect()
        return "closed"
    assert in_a_fork(closes) == "closed"
    assert agent.run_sync("here again") == "It was restarted." and len(agent.store.runs()) == 4 and (agent.store._pool if remote else agent.store._db) is mine
    agent.store.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_writes(url):
    agent = make(url)
    stop = threading.Event()
    def write():
        while not stop.is_set(): agent.store.keep("space", "key", "value", datetime.now(UTC))
    threads = [threading.Thread(target=write) for _ in range(3)]
    for t in threads: t.start()
    try: found = [in_a_fork(lambda: agent.store.recall("space", "key")[1]) for _ in range(10)]
    finally:
        stop.set()
        for t in threads: t.join()
    assert found == ["value"] * 10 and agent.store.check() == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_of_a_store_in_memory_has_a_copy():
    agent = make("memory:")
    agent.run_sync("here")
    assert in_a_fork(lambda: (agent.run_sync("there"), len(agent.store.runs()))) == ("It was restarted.", 2) and len(agent.store.runs()) == 1


# --- models


@pytest.fixture
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"): monkeypatch.setenv(name, KEY)


MODELS = {"openai": lambda: find_model("openai:gpt-5.5", timeout=7, top_p=0.5), "chat": lambda: find_model("openai-chat:gpt-5.5"),
    "claude": lambda: find_model("anthropic:claude-haiku-4-5", cache=False, thinking={"type": "enabled", "budget_tokens": 100}),
    "groq": lambda: find_model("groq:llama"),
    "ollama": lambda: find_model("ollama:llama", context=4096), "local": lambda: find_model("local"), "local file": lambda: Local("model.gguf"),
    "own key": lambda: OpenAI("gpt-5.5", key=KEY), "own key, by place": lambda: OpenAI("gpt-5.5", "openai", "chat", KEY),
    "claude's own key": lambda: Anthropic(key=KEY),
    "fallback": lambda: Fallback("openai:a", "anthropic:b", on=["timeout"]), "retry": lambda: Retry(Priced(OpenAI("x"), prices={"openai:x": (1, 2)}),
    attempts=2, base=0.1),
    "cascade": lambda: Cascade(["ollama:a", "openai:b", Human()], [confident(0.7), agree("Think again."), agree("ollama:c"), judged("ollama:d"), fresh(2),
    valid(),
        check(lambda reply: True)]), "nested": lambda: Fallback(Retry(find_model("openai:a")), "ollama:b"), "human": lambda: Human("kim", "What now?"),
        "function": lambda: plain}


def shape(value, seen=()):
    "All that a model is made of, without its connections and keys"
    if id(value) in seen: return "..."
    if isinstance(value, str | int | float | bool | Decimal | None): return value
    if isinstance(value, dict): return {k: shape(v, (*seen, id(value))) for k, v in value.items() if k not in ("_clients", "_key", "birth")}
    if isinstance(value, list | tuple): return [shape(v, (*seen, id(value))) for v in value]
    if isinstance(value, partial): return shape([value.func, value.args, value.keywords], seen)
    if inspect.isroutine(value) or inspect.isclass(value): return value.__qualname__
    return [type(value).__name__, shape(vars(value), (*seen, id(value)))] if hasattr(value, "__dict__") else repr(value)


@pytest.mark.parametrize("dumps", DUMPS[:2])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_comes_back_with_its_settings_and_without_its_key(model, dumps, keys, url):
    for given in (Agent(model(), store=url).model, Cached(model(), store=url, seconds=5), Tape("a.tape")(model())):
        data = dumps(given)
        assert KEY.encode() not in data and b"_clients" not in data
        made = pickle.loads(data)
        assert made.name == given.name and repr(made).replace(str(Path.cwd()) + "/", "") == repr(given)
        if not isinstance(given, Cached) and "tape" not in repr(given): assert shape(made) == shape(given)


def remotes(model):
    inner = [*getattr(model, "models", ()), *(getattr(model, k) for k in ("model", "_model") if hasattr(model, k) and not isinstance(getattr(model, k), str))]
    return [r for m in inner for r in remotes(m)] if inner else [model] if hasattr(model, "_key") else []


def test_the_key_is_that_of_the_environment_there(keys, monkeypatch, pool):
    for given, name in ((find_model("openai:a"), "OPENAI_API_KEY"), (find_model("anthropic:b"), "ANTHROPIC_API_KEY"), (find_model("groq:c"), "GROQ_API_KEY"),
            (OpenAI("a", key="sk-another-key-0123456789"), "OPENAI_API_KEY")):
        data = pickle.dumps(given)
        monkeypatch.setenv(name, "sk-there-0123456789abcdef")
        assert [r._key for r in remotes(pickle.loads(data))] == ["sk-there-0123456789abcdef"]
        monkeypatch.delenv(name)
        lost = pickle.loads(data)
        with pytest.raises(ModelError, match=f"no API key. Set {name}"):
            monkeypatch.delenv("AGENTNB_OFFLINE", raising=False)
            asyncio.run((lost if hasattr(lost, "_key") else remotes(lost)[0])([user("x")]))
        monkeypatch.setenv("AGENTNB_OFFLINE", "1")


def test_an_address_with_a_password_is_refused(url):
    for given in (OpenAI("x", server="mycorp", url="https://me:hunter2@llm.example/v1"), find_model("ollama:x", url="http://:hunter2@10.0.0.1:11434")):
        with pytest.raises(NotPortable, match="holds a password, which is not sent to another process") as e: pickle.dumps(Agent(given, store=url))
        assert "hunter2" not in str(e.value)


def test_the_wire_is_the_same_there(keys):
    for given in (OpenAI("gpt-5.5"), Anthropic(cache=False, thinking={"budget_tokens": 64}), find_model("ollama:x", context=99).model.model, OpenAI("x",
    server="deepseek")):
        made = there_and_back(given)
        asked = (given.model, [user("x")], [look.spec], "Be careful.", Ask(max_tokens=5))
        assert made.wire_format.to_wire(*asked) == given.wire_format.to_wire(*asked) and made.settings == given.settings


def test_models_answer_after_the_way(url, tmp_path, pool):
    cascade = Cascade([Scripted(["maybe"]), Scripted(["surely"])], [check(lambda reply: reply.content != "maybe", "too weak")])
    cached, tape = Cached(Scripted(["kept"]), store=url), Tape(tmp_path/"a.tape")
    for model, text in ((cascade, "surely"), (cached, "kept"), (tape(Scripted(["taped"])), "taped"), (Retry(Scripted(["again"])), "again"),
            (Fallback(Scripted([ModelError("timeout", "late")]), Scripted(["second"])), "second"),
            (Scripted(lambda messages, tools: messages[-1].content), "x"), (plain, "x")):
        agent = Agent(model, store=url)
        assert there_and_back(agent).run_sync("x") == text and pool.submit(agent.run_sync, "x").result(60) == text
    assert (tmp_path/"a.tape").exists() and asyncio.run(there_and_back(cached)([user("x")])).source == "cache"


def test_a_script_is_where_its_conversation_is(url):
    agent = Agent(Scripted([Call(id="", tool="look", args={"where": "x"}), "done"]), [look], store=url)
    run = agent.run("x")
    asyncio.run(run.until(kind="tool"))
    assert asyncio.run(there_and_back(agent).load(run.run_id)) == "done"


def test_a_toolset_narrows_there_too(url):
    agent = Agent(Scripted(["done"]), Toolset([look, restart, locally()], top_k=1), store=url)
    made = there_and_back(agent)
    assert made.run_sync("look") == "done" and list(made.tools) == list(agent.tools) and repr(made.model) == repr(agent.model)
    assert made.variant(tools=[look]).model.name == "scripted"


def test_a_semantic_cache_goes_with_its_address(url):
    given = SemanticCached(Scripted(["kept"]), store=url)
    made = there_and_back(Agent(given, store=url))
    assert made.run_sync("Is the disk full?") == "kept" and made.model.name == given.name


def test_what_holds_a_connection_of_its_own_is_refused(url, tmp_path):
    from langgraph.checkpoint.sqlite import SqliteSaver
    with SqliteSaver.from_conn_string(":memory:") as saver:
        with pytest.raises(NotPortable, match="cannot be sent to another process: cannot pickle"): pickle.dumps(Agent(Scripted([]),
        store=LangGraphStore(saver)))
    with tools_from_mcp([sys.executable, str(HELPERS/"mcp_child.py"), "plain", str(tmp_path)]) as client:
        for value in (client.tools[0], Agent(Scripted([]), client.tools, store=url)):
            with pytest.raises(NotPortable, match="hold a connection to it, which stays in this process. Connect there"): pickle.dumps(value)


# --- errors that come back


def every(kind):
    for sub in kind.__subclasses__():
        yield sub
        yield from every(sub)


GIVEN = {"why": "it is kept",
    "kind": "timeout", "message": "late", "hint": "wait", "retry_after": 1.5, "question": "Which?", "note": None, "model": "a:b", "status": 429,
    "usage": Usage(input=3),
    "cost": Decimal("0.5"), "attempts": (), "request_id": "r", "retryable": True, "feedback": "f",
    "problems": {"a": "b"}}


def test_every_error_finds_its_way_back():
    "A pool pickles what a task raises; one that cannot be made again breaks the pool"
    for module in pkgutil.walk_packages(agentnb.__path__, "agentnb."):
        if not module.name.endswith("__main__"): importlib.import_module(module.name)
    kinds = [k for k in every(Exception) if k.__module__.startswith("agentnb.")]
    assert len(kinds) > 12
    for kind in kinds:
        names = [] if kind.__init__ in (Exception.__init__, RuntimeError.__init__, ValueError.__init__,
        TypeError.__init__) else list(inspect.signature(kind).parameters)
        made = kind(**{k: GIVEN[k] for k in names if k in GIVEN}) if names and "args" not in names else kind("it went wrong")
        for dumps in DUMPS:
            back = there_and_back(made, dumps)
            assert type(back) is kind and str(back) == str(made) and {**vars(back)} == {**vars(made)}, kind


def test_what_a_task_raises_there_is_raised_here(url, pool):
    @tool
    def fail() -> str:
        "Fail"
        raise ToolError("conflict", "it is taken", "Choose another.", 2.5)
    with pytest.raises(ToolError, match="conflict: it is taken Choose another.") as e: pool.submit(fail).result(60)
    assert e.value.failure.retry_after == 2.5
    with pytest.raises(agentnb.RequestOpen, match="Nobody can answer here"): pool.submit(make(url).variant().run_sync if False else waiting(url).run_sync,
    "x").result(60)
    with pytest.raises(agentnb.RunStopped, match="max_iterations=1"): pool.submit(partial(make(url).run_sync, max_iterations=1), "x").result(60)
    with pytest.raises(ModelError, match="has 0 entries") as e: pool.submit(Agent(Scripted([]), store=url).run_sync, "x").result(60)
    assert e.value.hint == "Add an entry."
    with pytest.raises(agentnb.RunNotFound, match="has no run 'nothing'"): pool.submit(no_kernel_load, make(url), "nothing").result(60)
    assert pool.submit(pid).result() > 0


def waiting(url): return Agent(Scripted(SCRIPT), [look, restart], store=url)


# --- values


class Alert(Value):
    service: str
    tags: list[str] = []


def test_values_of_a_function_and_their_subclasses():
    class Urgent(Alert):
        since: datetime | None = None
        notes: dict[str, str] = {}
    for cls in (Alert, Urgent):
        given = cls(service="checkout", tags=["a"])
        for dumps in ([pickle.dumps] if cls is Alert else []) + [cloudpickle.dumps]: assert there_and_back(given, dumps) == given


# --- scripts and notebooks, with and without cloudpickle


SCRIPT_FILE = """
    import asyncio, sys, threading
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    {before}
    from agentnb import Agent, NotPortable, Scripted, call, portable, tool
    LIMIT, LOCK = 90, threading.Lock()

    @tool(read_only=True)
    def look(where: str) -> str:
        "Look"
        return f"{{where}} {{LIMIT}}"

    @tool(read_only=True)
    def guarded(where: str) -> str:
        "Look, one at a time"
        with LOCK: return f"{{where}} guarded"

    def work(agent, task): return agent.run_sync(task)

    if __name__ == "__main__":
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            for one in (look, guarded):
                agent = Agent(Scripted([call(one.name, where="disk"), "done"]), [one], store="sqlite:///runs.db")
                print(pool.submit(agent.run_sync, "x").result(60), pool.submit(work, agent, "y").result(60), pool.submit(one, "disk").result(60))
"""
BEFORE = {"with": "", "without": "sys.modules['cloudpickle'] = None"}


def python(code, folder, **env):
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(code)] if isinstance(code, str) else [sys.executable, *map(str, code)], cwd=folder,
    capture_output=True,
        text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)} | env)
    return said.stdout + said.stderr


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_a_script_with_a_pool(tmp_path, before):
    "In a script, what cannot go by value goes by name, which the processes that it starts look up"
    (tmp_path/"work.py").write_text(textwrap.dedent(SCRIPT_FILE.format(before=before)))
    assert python([tmp_path/"work.py"], tmp_path) == "done done disk 90\ndone done disk guarded\n"


NOTEBOOK = ["""
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pydantic import BaseModel
from agentnb import Agent, Budget, Call, Scripted, call, portable, tool
THRESHOLDS = {"disk": 90}""", """
class Finding(BaseModel):
    "What was found"
    where: str
    used: int

class Report(BaseModel):
    findings: list[Finding] = []""", """
@tool(read_only=True)
def look(
    where: str,  # a mount
) -> Finding:
    "Look at `where`"
    return Finding(where=where, used=THRESHOLDS[where])

@tool(idempotent=True)
async def clean(where: str) -> str:
    "Clean `where`"
    return f"{where} cleaned ({look(where).used})"

agent = Agent(Scripted([call("look", where="disk"), call("clean", where="disk"), "The disk is clean."]), [look, clean], store="sqlite:///runs.db",
    unattended="approve")
def work(task): return agent.run_sync(task), THRESHOLDS["disk"]""", """
with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
    results = list(pool.map(agent.run_sync, ["The disk is full.", "Again.", "And again."]))
    found = pool.submit(look, "disk").result()
    more = list(pool.map(portable(work), ["a", "b"]))
print(results, more, found)
assert results == ["The disk is clean."] * 3 and more == [("The disk is clean.", 90)] * 2""", """
assert type(found) is Finding
runs = [agent.load(r) for r in agent.store.runs()]
assert len(runs) == 5 and all(r.status == "done" for r in runs), runs
said = [[m.content for m in r.state.messages if m.role == "tool"] for r in runs]
assert said == [['{"where":"disk","used":90}', "disk cleaned (90)"]] * 5, said
assert runs[0].tip.tools["look"].parameters["properties"]["where"]["description"] == "a mount" and runs[0].tip.tools["look"].code == look.spec.code != ""
await runs[0]
assert not [s for s in runs[0].steps if s.kind == "note"]
print("found here")""", """
async def judge(messages, tools=(), instructions="", ask=None):
    from agentnb import Reply
    return Reply(content=Report(findings=[Finding(where="disk", used=THRESHOLDS["disk"])]).model_dump_json())

reporter = Agent(judge, result=Report, store="sqlite:///runs.db", name="reporter")
def agent_result(one):
    import asyncio
    return asyncio.run(one.run("Report."))
with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool: report = pool.submit(portable(agent_result), reporter).result()
assert type(report) is Report and type(report.findings[0]) is Finding and report.findings[0].used == 90
print("typed", report.findings[0].where)""", """
import pickle
try: pickle.dumps(Agent(Scripted([]), store="memory:"))
except pickle.PicklingError as e: print(e)"""]


def notebook(cells, folder):
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c.strip("\n")) for c in cells])
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try: nbclient.NotebookClient(page, timeout=120, kernel_name="python3", resources=dict(metadata=dict(path=str(folder)))).execute()
    finally: os.environ.pop("PYTHONPATH") if path is None else os.environ.update(PYTHONPATH=path)
    return "".join(o.get("text", "") for c in page.cells for o in c.outputs)


def test_a_notebook_sends_its_tool_and_its_agent_to_a_pool(tmp_path):
    "The way a person writes it, in a kernel: `pool.map(agent.run_sync, tasks)`, `pool.submit(look, ...)`"
    said = notebook(NOTEBOOK, tmp_path)
    assert "found here" in said and "typed disk" in said and "memory: is a store of this process" in said
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    assert len(store.runs()) == 6


def test_a_notebook_without_cloudpickle_says_what_to_install(tmp_path):
    said = notebook(["import sys; sys.modules['cloudpickle'] = None", *NOTEBOOK[:3], """
import pickle
from agentnb import NotPortable
for value in (look, agent, portable(work), portable(lambda: 1)):
    try: pickle.dumps(value)
    except NotPortable as e: print(e)"""], tmp_path)
    assert said.count("pip install \"agentnb-kit[lab]\"") == 4 and "is defined in a notebook, and only cloudpickle takes it along" in said


def test_without_cloudpickle_what_a_module_has_goes_by_name(tmp_path):
    (tmp_path/"ops.py").write_text(textwrap.dedent("""
        from agentnb import Agent, Scripted, tool
        @tool(read_only=True)
        def look(where: str) -> str:
            "Look"
            return where
        def bare(where: str) -> str:
            "Bare"
            return where
        def allowed(args): return True
        def local():
            @tool
            def inner() -> str:
                "Inner"
                return "x"
            return inner
    """))
    code = """
        import sys
        sys.modules["cloudpickle"] = None
        import pickle, ops
        from agentnb import *
        agent = Agent(Scripted(["done"]), [ops.look, Tool(ops.bare)], store="sqlite:///runs.db", policy=[Rule(when=ops.allowed, effect="allow")])
        made = pickle.loads(pickle.dumps(agent))
        print(made.run_sync("x"), made.tools["look"] is ops.look, made.tools["bare"].fn is ops.bare)
        from agentnb import confident, fresh, valid, agree, judged, check
        cascade = Cascade([Scripted(["a"]), Scripted(["b"])], [valid(), confident(0.5), agree("Again."), judged("ollama:x"), fresh(), check(ops.allowed)])
        print(repr(pickle.loads(pickle.dumps(cascade))) == repr(cascade))
        try: pickle.dumps(ops.local())
        except NotPortable as e: print(e)
    """
    said = python(code, tmp_path)
    assert said.startswith("done True True\nTrue\n") and "local object" in said and 'pip install "agentnb-kit[lab]"' in said


def test_what_was_sent_says_what_is_missing_where_it_came(tmp_path):
    (tmp_path/"sent").write_bytes(pickle.dumps(locally()))
    said = python("import sys, pickle\nsys.modules['cloudpickle'] = None\npickle.load(open('sent', 'rb'))", tmp_path)
    assert 'Run here: pip install "agentnb-kit[lab]"' in said or "import of cloudpickle" in said, said
    (tmp_path/"gone.py").write_text("from agentnb import tool\n@tool\ndef look() -> str:\n    'Look'\n    return 'x'\n")
    assert python("import pickle, gone\nopen('sent', 'wb').write(pickle.dumps(gone.look))", tmp_path) == ""
    (tmp_path/"gone.py").unlink()
    assert "`gone.look` was sent by its name, and is not here" in python("import pickle\npickle.load(open('sent', 'rb'))", tmp_path)


def test_a_module_that_is_to_go_by_value_does():
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try: data = pickle.dumps(look)
    finally: cloudpickle.unregister_pickle_by_value(module)
    made = pickle.loads(data)
    assert made is not look and made.spec == look.spec and made("x") == look("x")

