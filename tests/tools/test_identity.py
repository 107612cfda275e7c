"A yes covers the tool that was seen, where it pointed, and this place; what differs is asked again, in words."
import asyncio, functools, json, os, shutil, subprocess, sys, textwrap

import pytest

from agentnb import Agent, Rule, Scripted, call, open_store, tool
from agentnb.store.transfer import export_runs, import_runs
from agentnb.toolbox.files import files
from agentnb.toolbox.http import http
from agentnb.toolbox.process import process
from agentnb.toolbox.python import python
from agentnb.toolbox.sql import sql
from agentnb.tools.functions import tool_from_schema
from agentnb.tools.identity import can_be_remembered, identity_changes, identity_of

DONE = []


@pytest.fixture(autouse=True)
def nothing_done(): DONE.clear()


def executed(source, name="pay", **names):
    space = dict(DONE=DONE, **names)
    exec(textwrap.dedent(source), space)
    return space[name]


def closing(url):
    def pay(cents: int) -> str: return DONE.append((url, cents)) or url
    return pay


class Client:
    "As a library has it: where it points, and what it counts"
    def __init__(self, url): self.url, self.calls = url, 0
    def send(self, cents):
        self.calls += 1
        return DONE.append((self.url, cents)) or self.url


def with_client(url):
    client = Client(url)
    def pay(cents: int) -> str: return client.send(cents)
    return pay


def with_default(url):
    def pay(cents: int, to: str = url) -> str: return DONE.append((to, cents)) or to
    return pay


def wrapped(words):
    def around(fn):
        @functools.wraps(fn)
        def inner(cents: int) -> str: return words + fn(cents)
        return inner
    return around(closing("a"))


def set_up(config):
    def pay(cents: int) -> str: return DONE.append(config["url"]) or config["url"]
    return pay


PAY = "def pay(cents: int) -> str: return DONE.append({0}) or '{0}'"
HELPER = "def fee(): return {0}\ndef pay(cents: int) -> str: return DONE.append(fee()) or 'paid'"
DEEP = "def rate(): return {0}\ndef fee(): return rate()\ndef pay(cents: int) -> str: return DONE.append(fee()) or 'paid'"
CONSTANT = "URL = {0}\ndef pay(cents: int) -> str: return DONE.append(URL) or 'paid'"
METHOD = "class Bank:\n    def send(self): return {0}\nbank = Bank()\ndef pay(cents: int) -> str: return DONE.append(bank.send()) or 'paid'"
LAMBDA = "fee = lambda: {0}\ndef pay(cents: int) -> str: return DONE.append(fee()) or 'paid'"
NESTED = "def pay(cents: int) -> str:\n    def inner(): return {0}\n    return DONE.append(inner()) or 'paid'"
SCHEMA = dict(type="object", properties=dict(cents=dict(type="integer")), required=["cents"])
TWO = dict(
    code=[lambda n=n: tool(executed(PAY.format(n))) for n in (1, 2)],
    helper=[lambda n=n: tool(executed(HELPER.format(n))) for n in (1, 2)],
    helper_of_a_helper=[lambda n=n: tool(executed(DEEP.format(n))) for n in (1, 2)],
    constant_of_the_module=[lambda n=n: tool(executed(CONSTANT.format(n))) for n in (1, 2)],
    method=[lambda n=n: tool(executed(METHOD.format(n))) for n in (1, 2)],
    a_lambda_beside=[lambda n=n: tool(executed(LAMBDA.format(n))) for n in (1, 2)],
    inner_function=[lambda n=n: tool(executed(NESTED.format(n))) for n in (1, 2)],
    closure=[lambda u=u: tool(closing(u)) for u in ("staging", "production")],
    object_in_a_closure=[lambda u=u: tool(with_client(u)) for u in ("staging", "production")],
    dict_in_a_closure=[lambda u=u: tool(set_up({"url": u})) for u in ("staging", "production")],
    default=[lambda u=u: tool(with_default(u)) for u in ("staging", "production")],
    decorator=[lambda w=w: tool(wrapped(w)) for w in ("", "for free: ")],
    partial=[lambda u=u: tool(functools.partial(with_default("a"), to=u), name="pay") for u in ("staging", "production")],
    object_that_was_handed_over=[lambda u=u: tool(lambda_of(Client(u))) for u in ("staging", "production")],
    always_ask=[lambda w=w: tool(closing("a"), always_ask=w) for w in ("", "Each payment.")],
    hints=[lambda d=d: tool(closing("a"), destructive=d) for d in (False, True)],
    scope=[lambda s=s: tool(closing("a"), scopes=[s]) for s in ("pay:small", "pay:all")],
    schema=[lambda t=t: tool_from_schema("pay", "Pay", {**SCHEMA, **t}, closing("a")) for t in ({}, {"additionalProperties": True})],
    function_of_a_schema=[lambda u=u: tool_from_schema("pay", "Pay", SCHEMA, closing(u)) for u in ("staging", "production")],
    fingerprint=[lambda u=u: tool(closing("a"), fingerprint=dict(server=u)) for u in ("staging", "production")],
    fingerprint_of_the_moment=[lambda u=u: tool(closing("a"), fingerprint=lambda: dict(server=u)) for u in ("staging", "production")],
)


def lambda_of(client):
    def pay(cents: int) -> str: return client.send(cents)
    return pay


def agent(store, made): return Agent(Scripted([call("pay", cents=1), "done"]), [made], store=store)


@pytest.mark.parametrize("kind", TWO)
def test_a_yes_to_one_is_none_to_the_other(kind, tmp_path):
    first, second = TWO[kind]
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    run = agent(store, first()).run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve()
    again = agent(store, second()).load("r1")
    step = asyncio.run(again.until())
    assert step.kind == "request" and DONE == [], "another tool than the one that was approved was called"
    assert "It was approved, and is asked again: " in step.body.question
    again.pending[0].approve()
    assert asyncio.run(again.wait()) == "done" and len(DONE) == 1


@pytest.mark.parametrize("kind", TWO)
def test_the_same_tool_made_again_is_the_same(kind, tmp_path):
    first, _ = TWO[kind]
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    run = agent(store, first()).run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve()
    assert asyncio.run(agent(store, first()).load("r1").wait()) == "done" and len(DONE) == 1


@pytest.mark.parametrize("kind", [k for k in TWO if k != "always_ask"])
def test_a_remembered_yes_is_for_one_of_them(kind):
    first, second = TWO[kind]
    store = open_store("memory:")
    run = agent(store, first()).run("go")
    asyncio.run(run.until())
    run.pending[0].approve(remember="tool", everywhere=True)
    asyncio.run(run.wait())
    assert asyncio.run(agent(store, first()).run("go").wait()) == "done" and len(DONE) == 2
    other = agent(store, second()).run("go")
    assert asyncio.run(other.until()).kind == "request" and len(DONE) == 2


@pytest.mark.parametrize("two, word", [
    (lambda d: [files(d/x, write=True)[-1] for x in "ab"], "root"),
    (lambda d: [sql(f"sqlite:///{d}/{x}.db", write=True)[-1] for x in "ab"], "database"),
    (lambda d: [sql(f"postgresql://ada:{x}@host/{x}", write=True)[-1] for x in ("pwa", "pwb")], "database"),
    (lambda d: [http([x], write=True)[-1] for x in ("a.com", "b.com")], "hosts"),
    (lambda d: [http(["a.com"], private=[x])[-1] for x in ("10.0.0.1", "10.0.0.0/8")], "private"),
    (lambda d: [process([x])[0] for x in ("ls", "rm")], "programs"),
    (lambda d: [process(["ls"], cwd=d/x)[0] for x in "ab"], "folder"),
    (lambda d: [process(["ls"], env={"MODE": x})[0] for x in "ab"], "environment"),
    (lambda d: [python(folders=[d/x])[0] for x in "ab"], "folders")])
def test_what_factories_state_is_told_apart(two, word, tmp_path):
    for name in "ab": (tmp_path/name).mkdir()
    first, second = map(identity_of, two(tmp_path))
    said = identity_changes(first, second)
    assert f"{word} {first[word]} -> {second[word]}" in said and "pwa" not in json.dumps([first, second]).replace("/pwa", "")
    assert identity_changes(first, identity_of(two(tmp_path)[0])) == ""


def test_an_identity_is_the_same_in_every_process():
    source = """
        import json
        from agentnb import tool
        from agentnb.tools.identity import identity_of
        NAMES, LIMITS = {"a", "b", "c", "d"}, frozenset({"x", "y", "z"})
        class Bank:
            def __init__(self): self.names = {"one": {"p", "q", "r"}}
            def send(self, n): return n in {"k", "l", "m"}
        bank = Bank()
        def fee(n): return n in NAMES and n in LIMITS and bank.send(n)
        def pay(cents: int) -> str: return str(fee(str(cents)))
        print(json.dumps(identity_of(tool(pay))))
    """
    said = {subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": str(seed)}).stdout for seed in (1, 2, 3)}
    assert len(said) == 1 and json.loads(said.pop())["code"] != "unknown"


def test_what_cannot_be_looked_into_is_not_remembered(tmp_path):
    import sqlite3
    connection = sqlite3.connect(tmp_path/"a.db")
    def pay(cents: int) -> str: return str(connection.execute("SELECT 1").fetchone())
    assert not can_be_remembered(identity_of(tool(pay)))
    run = agent("memory:", tool(pay)).run("go")
    asyncio.run(run.until())
    with pytest.raises(ValueError, match="pay: its code cannot be known"): run.pending[0].approve(remember="tool")
    run.pending[0].approve()
    connection.close()
    asyncio.run(run.until())


def approved(store):
    run = agent(store, tool(closing("a"))).run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve(remember="tool", everywhere=True)
    return run


def goes_on(store): return asyncio.run(agent(store, tool(closing("a"))).load("r1").until())


def test_a_decision_in_an_imported_run_is_asked_again(tmp_path):
    there, here = open_store(f"sqlite:///{tmp_path}/there.db"), open_store(f"sqlite:///{tmp_path}/here.db")
    approved(there)
    import_runs(here, export_runs(there))
    step = goes_on(here)
    assert step.kind == "request" and "it was approved elsewhere" in step.body.question and DONE == []


def test_a_copy_of_a_store_is_another_place(tmp_path):
    approved(there := open_store(f"sqlite:///{tmp_path}/there.db"))
    there.close()
    shutil.copy(tmp_path/"there.db", tmp_path/"copy.db")
    copy = open_store(f"sqlite:///{tmp_path}/copy.db")
    assert goes_on(copy).kind == "request" and DONE == []
    assert asyncio.run(agent(copy, tool(closing("a"))).run("go").until()).kind == "request", "nor is a yes remembered in it"
    assert goes_on(open_store(f"sqlite:///{tmp_path}/there.db")).kind == "finished"


def test_a_log_of_an_earlier_version_is_read_and_asked_again(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    approved(store)
    lines = [json.loads(line) for line in export_runs(store)]
    for line in lines:
        for new in ("identity", "place"): line["body"].pop(new, None)
    old = open_store(f"sqlite:///{tmp_path}/old.db")
    import_runs(old, map(json.dumps, lines))
    assert "it is not known where it was approved" in goes_on(old).body.question


def test_a_change_between_the_announcement_and_the_call_is_seen():
    names = {"url": "staging"}
    def pay(cents: int) -> str: return DONE.append(names["url"]) or "paid"
    run = agent("memory:", tool(pay)).run("go")
    asyncio.run(run.until())
    run.pending[0].approve()
    asyncio.run(run.until(kind="intent"))
    names["url"] = "production"
    step = asyncio.run(run.until())
    assert step.kind == "request" and "may have been made" in step.body.question and DONE == []


def test_a_call_that_was_cut_off_is_not_repeated_by_another_tool(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    run = agent(store, tool(closing("a"), idempotent=True)).run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve()
    asyncio.run(run.until(kind="intent"))
    step = asyncio.run(agent(store, tool(closing("b"), idempotent=True)).load("r1").until())
    assert step.kind == "request" and DONE == []


def test_two_approved_calls_that_write_state_are_both_made():
    seen, table = [], {}
    class World:
        def __init__(self): self.count, self.log = 0, {}
        def act(self, n):
            self.count += 1
            self.log[n] = self.count
    world = World()
    def pay(cents: int) -> str:
        seen.append(cents)
        table[cents] = table.get(cents, 0) + 1
        world.act(cents)
        return "paid"
    run = Agent(Scripted([[call("pay", cents=n) for n in (1, 2, 3)], "done"]), [tool(pay)], store="memory:").run("go")
    asyncio.run(run.until())
    for p in run.pending: p.approve()
    assert asyncio.run(run.wait()) == "done" and seen == [1, 2, 3] and sum(s.kind == "request" for s in run.steps) == 3


def test_a_rule_that_allows_asks_nobody_about_new_code():
    store = open_store("memory:")
    for url in ("a", "b"):
        run = Agent(Scripted([call("pay", cents=1), "done"]), [tool(closing(url))], store=store, policy=[Rule(effect="allow")]).run("go")
        assert asyncio.run(run.wait()) == "done" and not [s for s in run.steps if s.kind == "request"]


SANDBOXED = """
import asyncio, sys
from agentnb import Agent, Scripted, call
from agentnb.toolbox.python import python
made = Agent(Scripted([call("run_python", code="open('effect', 'w')"), "done"]), [*python()], store="sqlite:///runs.db", policy=[])
if sys.argv[1] == "ask":
    from agentnb import Rule
    made = Agent(made.model, [*python()], store="sqlite:///runs.db", policy=[Rule(effect="ask")])
    run = made.run("go", run_id="r1")
    asyncio.run(run.until())
    run.pending[0].approve()
else:
    run = made.load("r1")
    asyncio.run(run.until())
print(run.pending[0].question if run.pending else run.status)
"""


@pytest.mark.skipif(not shutil.which("bwrap"), reason="there is no sandbox on this machine")
def test_code_that_was_approved_for_the_sandbox_is_asked_again_where_there_is_none(tmp_path):
    (tmp_path/"without").mkdir()
    def go(how, path):
        return subprocess.run([sys.executable, "-c", SANDBOXED, how], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**os.environ, "PATH": path}).stdout
    assert go("ask", os.environ["PATH"]).strip() == "paused"
    said = go("load", str(tmp_path/"without"))
    assert "asked again" in said and "sandbox bwrap -> none: bubblewrap is not installed" in said and not (tmp_path/"effect").exists()
