"""A shop's 16 real tools as agentnb tools: the ground truth of 115 tasks, done twice with the same idempotency keys, happens once."""
import asyncio, pickle
from collections import Counter

import pytest

from agentnb import Agent, Context, Rule, Scripted, ToolError, call
from agentnb.agent import Ticks
from agentnb.core.steps import Intent, Note, Request, Returned
from retail import Shop, digest, load, retail_tools, shop_tools

TASKS, SCHEMAS, DB = load("tasks"), [d["function"] for d in load("tools")], load("db")
PICKLED = pickle.dumps(DB)
SHOP = Shop(pickle.loads(PICKLED))
SHOP_TOOLS = shop_tools(SHOP)
REFUSED = {(12, "return_delivered_order_items"), (13, "return_delivered_order_items"), (64, "exchange_delivered_order_items"),
    (106, "exchange_delivered_order_items")}   # ground truth that the shop's own rules refuse: refund to another card, pending order, empty gift card


def fresh(): return pickle.loads(PICKLED)


def shape(schema):
    "What a schema asks for, without words: optional fields, types, allowed values"
    kept = {k: schema[k] for k in ("type", "enum") if k in schema}
    if "items" in schema: kept["items"] = shape(schema["items"])
    if "properties" in schema: kept |= dict(properties={k: shape(v) for k, v in schema["properties"].items()}, required=sorted(schema.get("required", ())))
    return kept


def test_the_tools_are_the_real_ones():
    made = {t.name: t.spec for t in retail_tools(fresh())}
    assert len(TASKS) == 115 and len(made) == 16
    assert {n: shape(s.parameters) for n, s in made.items()} == {f["name"]: shape(f["parameters"]) for f in SCHEMAS}


def run_task(db, task, name):
    "The task's actions as calls of a model, through the engine with a store of its own: text or failure of each"
    SHOP.open(db)
    agent = Agent(Scripted([*(call(a["name"], **a["kwargs"]) for a in task["actions"]), "Done."]), SHOP_TOOLS, store="memory:", clock=Ticks(),
        policy=[Rule(effect="allow")], max_iterations=len(task["actions"]) + 5)
    run = agent.run(f"task {task['task_id']}", run_id=name)
    asyncio.run(done(run))
    assert run.tip.status == "done", run.tip.reason
    said = [(s.body.tool, s.body.content, s.body.failure) for s in run.steps if isinstance(s.body, Returned)]
    assert [t for t, _, _ in said] == [a["name"] for a in task["actions"]]
    assert not [s for s in run.steps if isinstance(s.body, Request | Note)], "nothing is asked, and nobody takes looking something up twice for a loop"
    return said, [s.body.key for s in run.steps if isinstance(s.body, Intent)]


async def done(run): return await run


def test_every_task_reaches_the_same_state_when_it_is_repeated():
    calls, failed, acts, moved = 0, [], 0, 0
    for task in TASKS:
        db = fresh()
        said, keys = run_task(db, task, f"task-{task['task_id']}")
        once, did = digest(db), len(db["done"])
        again, same_keys = run_task(db, task, f"task-{task['task_id']}")
        assert digest(db) == once and len(db["done"]) == did, task["task_id"]
        acting = [i for i, (name, _, _) in enumerate(said) if not spec(name).read_only]
        assert all(again[i] == said[i] for i in acting if not said[i][2]) and same_keys == keys
        assert len(set(keys)) == len(acting)
        wanted(task, said, db)
        calls, acts, moved = calls + len(said), acts + len(acting), moved + (once != digest(DB))
        failed += [(task["task_id"], name, failure.kind) for name, _, failure in said if failure]
    assert (calls, acts, moved) == (582, 182, 104)
    assert {(t, n) for t, n, _ in failed if not spec(n).read_only} == REFUSED
    assert Counter(kind for _, _, kind in failed) == dict(not_found=20, conflict=4)


SPECS = {t.name: t.spec for t in SHOP_TOOLS}


def spec(name): return SPECS[name]


def wanted(task, said, db):
    "What the ground truth asks for is so, and nothing that it does not name has changed"
    named, last = dict(orders=set(), users=set()), {}
    for action, (name, _, failure) in zip(task["actions"], said):
        if failure or spec(name).read_only: continue
        k = action["kwargs"]
        if "user_id" in k: named["users"].add(k["user_id"])
        if "order_id" in k:
            named["orders"].add(k["order_id"])
            named["users"].add(order(db, k)["user_id"])
        last[name, k.get("order_id") or k.get("user_id")] = action   # some tasks change an address, and change it back
    for (name, _), action in last.items():
        if name in WANTED: assert WANTED[name](db, action["kwargs"]), (task["task_id"], action)
    for table, keys in named.items():
        assert {k: v for k, v in db[table].items() if k not in keys} == {k: v for k, v in DB[table].items() if k not in keys}
    assert db["products"] == DB["products"]


def order(db, k): return db["orders"][k["order_id"]]


def paid(o): return round(sum(p["amount"]*(1 if p["transaction_type"] == "payment" else -1) for p in o["payment_history"]), 2)


ADDRESS = ("address1", "address2", "city", "state", "country", "zip")
WANTED = dict(
    cancel_pending_order=lambda db, k: order(db, k)["status"] == "cancelled" and order(db, k)["cancel_reason"] == k["reason"] and paid(order(db, k)) == 0,
    return_delivered_order_items=lambda db, k: order(db, k)["status"] == "return requested" and order(db, k)["return_items"] == sorted(k["item_ids"]),
    exchange_delivered_order_items=lambda db, k: order(db, k)["status"] == "exchange requested" and
        order(db, k)["exchange_new_items"] == sorted(k["new_item_ids"]),
    modify_pending_order_items=lambda db, k: order(db, k)["status"] == "pending (item modified)" and
        not Counter(k["new_item_ids"]) - Counter(i["item_id"] for i in order(db, k)["items"]) and
        paid(order(db, k)) == round(sum(i["price"] for i in order(db, k)["items"]), 2),
    modify_pending_order_address=lambda db, k: order(db, k)["address"] == {f: k[f] for f in ADDRESS},
    modify_user_address=lambda db, k: db["users"][k["user_id"]]["address"] == {f: k[f] for f in ADDRESS},
    modify_pending_order_payment=lambda db, k: paid(order(db, k)) == paid(DB["orders"][k["order_id"]]))


def test_another_key_is_another_wish():
    "Without the same keys the repeat is not the same: this is what the keys prevent"
    conflicts = 0
    for task in TASKS[:40]:
        db = fresh()
        run_task(db, task, "first")
        did = len(db["done"])
        again, _ = run_task(db, task, "second")
        conflicts += sum(bool(f) and f.kind == "conflict" for n, _, f in again if (task["task_id"], n) not in REFUSED)
        if any(n == "modify_user_address" for n, _, _ in again): assert len(db["done"]) > did
    assert conflicts > 20


def test_all_tasks_on_one_database_by_tool_run():
    "All 115 one after the other over one database, called directly; twice with the same keys"
    async def all_tasks(db):
        tools, said = {t.name: t for t in retail_tools(db)}, []
        for task in TASKS:
            for i, action in enumerate(task["actions"]):
                t = tools[action["name"]]
                try: said.append(await t.run(t.check(action["kwargs"]), Context(idempotency_key=f"{task['task_id']}.{i}")))
                except ToolError as e: said.append(str(e))
        return said
    db = fresh()
    asyncio.run(all_tasks(db))
    once, did = digest(db), len(db["done"])
    asyncio.run(all_tasks(db))
    assert once != digest(DB) and digest(db) == once and len(db["done"]) == did


@pytest.mark.parametrize("task_id, told", [(16, "8276.23"), (28, "918.43"), (45, "9.89"), (46, "1497.65"), (47, "1528.14"), (63, "1288.65")])
def test_what_the_user_is_told_is_in_what_the_tools_said(task_id, told):
    said, _ = run_task(fresh(), TASKS[task_id], "told")
    assert told in TASKS[task_id]["outputs"] and told in [text for name, text, _ in said if name == "calculate"]
