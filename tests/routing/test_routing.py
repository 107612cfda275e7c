"""Embedders, retrieval, routers, narrowed tools and what prompt caches did: real parts, a real SDK, a server on loopback."""
import asyncio, gzip, json, math, random, re
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from bfcl_data import ROWS
from places import DATA
from replay import Replay

from agentnb import Agent, Cached, ModelError, Scripted, call, tool, user
from agentnb.agent import Ticks
from agentnb.core.messages import Message, Reply, ToolSpec, Usage, assistant
from agentnb.metrics.prefix import prompt_cache
from agentnb.routing import BM25, CachedEmbedder, Embeddings, Fused, Index, Lexical, NarrowedModel, Router, Toolset, ToolSelector
from agentnb.routing import find_embedder, measure, measure_router
from agentnb.routing import ndcg_at, recall_at, reciprocal_rank, similarity
from agentnb.routing.toolset import tool_text
from agentnb.routing.words import words
from agentnb.metrics.savings import savings

# Embedders


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_text_is_as_near_to_itself_as_can_be(text):
    a, b = CachedEmbedder(Lexical())([text, text])
    assert similarity(a, b) in (0, 1) and (similarity(a, b) == 1) == bool(words(text))


def test_vectors_are_remembered_by_text_and_the_oldest_go():
    asked = []
    embed = CachedEmbedder(lambda texts: asked.extend(texts) or [[1.0, float(len(t))] for t in texts], most=2)
    for texts in (["a", "bb", "a"], ["bb"], ["ccc"], ["bb"], ["a"]): embed(texts)
    assert asked == ["a", "bb", "ccc", "a"]


def test_vectors_of_different_embedders_are_not_compared():
    with pytest.raises(ValueError, match="not of the same embedder"): similarity([1.0], {"a": 1.0})
    with pytest.raises(ValueError, match="not of the same embedder"): similarity([1.0], [1.0, 0.0])


def vectors(*rows, **more): return dict(status=200, headers={"content-type": "application/json"}, json=dict(object="list", model="e",
    data=[dict(object="embedding", index=i, embedding=v) for i, v in rows], usage=dict(prompt_tokens=3, total_tokens=3)) | more)


def endpoint(server, **more): return Embeddings("e-small", "house", "sk-house-1234567890abcdef", f"{server.url}/v1", **more)


def test_an_endpoint_is_asked_in_batches_and_read_by_index():
    with Replay([vectors((1, [0.0, 1.0]), (0, [1.0, 0.0])), vectors((0, [0.5, 0.5]))]) as server:
        found = endpoint(server, batch=2, dimensions=2)(["a", "b", "c"])
    assert found == [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    assert [r["input"] for r in server.requests] == [["a", "b"], ["c"]]
    assert server.requests[0] == dict(model="e-small", input=["a", "b"], encoding_format="float", dimensions=2)


def test_an_endpoint_works_inside_a_running_loop():
    async def go(): return endpoint(server)(["a"])
    with Replay([vectors((0, [1.0]))]) as server: assert asyncio.run(go()) == [[1.0]]


def error(status, code, message): return dict(status=status, headers={"content-type": "application/json"}, json={"error": dict(code=code, message=message)})


@pytest.mark.parametrize("answer, kind, text", [
    (error(401, "invalid_api_key", "Incorrect API key provided: sk-house-1234567890abcdef"), "authentication", "Check the key in HOUSE_API_KEY"),
    (error(429, "rate_limit_exceeded", "Slow down"), "rate_limited", "Slow down"), (error(404, "model_not_found", "no e-small"), "not_found", "no e-small"),
    (vectors((0, [1.0]), (2, [1.0])), "malformed", "2 embeddings for 2 texts"), (vectors(data="none"), "malformed", "0 embeddings for 2 texts"),
    (vectors(data=[{"index": 0}]), "malformed", "0 embeddings for 2 texts"),
    (dict(status=200, headers={"content-type": "text/html"}, body="<html>"), "malformed", "not a JSON object")])
def test_what_goes_wrong_is_said_without_the_key(answer, kind, text):
    with Replay([answer]) as server, pytest.raises(ModelError) as e: endpoint(server)(["the secret plan of the company", "b"])
    assert e.value.kind == kind and text in str(e.value)
    assert "1234567890abcdef" not in str(e.value) + repr(e.value) + repr(endpoint(server)) and "secret plan" not in str(e.value)


def test_a_server_that_is_not_there_or_slow_is_said():
    gone = Embeddings("e", "house", "k", "http://127.0.0.1:9/v1")
    with pytest.raises(ModelError) as e: gone(["a"])
    assert e.value.kind == "connection" and "house:e" in str(e.value)
    with Replay([vectors((0, [1.0]))], stall=1.0) as server, pytest.raises(ModelError) as e: endpoint(server, timeout=0.2)(["a"])
    assert e.value.kind == "timeout"


def test_no_live_call_is_made_offline():
    with pytest.raises(ModelError, match="AGENTNB_OFFLINE=1"): Embeddings("e", "house", "k", "https://embeddings.invalid/v1")(["a"])


def test_embedders_by_name(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-abcdefgh12345678")
    assert find_embedder("openai:text-embedding-3-small", url="http://127.0.0.1:9/v1").name == "openai:text-embedding-3-small"
    assert find_embedder("vllm:bge").url == "http://127.0.0.1:8000/v1" and find_embedder(mine := Lexical()) is mine
    with pytest.raises(ModelError, match="no server 'nowhere'"): find_embedder("nowhere:bge")


@pytest.mark.model
def test_the_embedded_model_makes_vectors_beside_its_replies():
    from agentnb.models.embedded import fetch_weights, serve
    embed = CachedEmbedder(find_embedder("local"))
    a, b, c = embed(["turn on the light", "turn on the lights", "an essay on medieval law"])
    assert len(a) > 100 and similarity(a, a) == pytest.approx(1) and similarity(a, b) > similarity(a, c)
    assert serve(fetch_weights(), embeddings=True) == serve(fetch_weights(), embeddings=True) != serve(fetch_weights())


# Measures, against values computed by hand


@pytest.mark.parametrize("found, right, k, recall, mrr", [
    (["a", "b", "c"], {"a"}, 1, 1, 1), (["a", "b", "c"], {"c"}, 2, 0, 1/3), (["a", "b", "c"], {"c", "x"}, 3, 1/2, 1/3), ([], {"a"}, 5, 0, 0),
    (["b", "b", "a"], {"a", "b"}, 2, 1/2, 1), (["x", "y"], {"a"}, 2, 0, 0)])
def test_recall_and_reciprocal_rank(found, right, k, recall, mrr):
    assert recall_at(found, right, k) == pytest.approx(recall) and reciprocal_rank(found, right) == pytest.approx(mrr)


def test_ndcg_by_hand():
    "Found: grades 3, 2, 3, 0, 1, 2 (and one of 3 and one of 2 not found): the example of the usual textbook page, linear gain"
    grades = dict(a=3, b=2, c=3, e=1, f=2, g=3, h=2)
    dcg = 3 + 2/math.log2(3) + 3/2 + 0 + 1/math.log2(6) + 2/math.log2(7)
    ideal = 3 + 3/math.log2(3) + 3/2 + 2/math.log2(5) + 2/math.log2(6) + 2/math.log2(7)
    assert dcg == pytest.approx(6.861, abs=1e-3) and ideal == pytest.approx(8.740, abs=1e-3)
    assert ndcg_at(["a", "b", "c", "d", "e", "f"], grades, 6) == pytest.approx(dcg/ideal)
    assert ndcg_at(["a"], dict(a=1), 10) == 1 and ndcg_at(["x", "a"], dict(a=1), 1) == 0 and ndcg_at(["a", "a", "b"], dict(a=1, b=1), 2) == 1


@given(st.permutations("abcdefgh"), st.sets(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_measures_stay_between_0_and_1_and_the_best_order_is_1(found, right, k):
    grades = dict.fromkeys(right, 1.0)
    assert 0 <= ndcg_at(found, grades, k) <= 1 + 1e-9 and 0 <= recall_at(found, right, k) <= 1 and 0 < reciprocal_rank(found, right) <= 1
    best = sorted(found, key=lambda x: x not in right)
    assert ndcg_at(best, grades, k) == pytest.approx(1) and reciprocal_rank(best, right) == 1


def test_a_measurement_keeps_what_was_missed():
    report = measure(lambda q: ["a", "b"], {"one": "a", "two <b>": ["b", "c"], "three": "z"}, k=(1, 2))
    assert report.recall == {1: pytest.approx(1/3), 2: pytest.approx((1 + 1/2)/3)} and report.mrr == pytest.approx((1 + 1/2)/3)
    assert [(m.question, m.right, m.found) for m in report.misses] == [("three", ("z",), ("a", "b"))]
    assert "recall@2" in str(report) and "three" in report._repr_html_() and "<b>" not in report._repr_html_()


def test_bm25_by_hand():
    "Two documents of two words each: the word in one of them weighs ln(1 + 1.5/1.5) = ln 2, and its count 1 has weight 2.2/2.2 = 1"
    hits = BM25(dict(a="disk full", b="queue grows")).search("the disk")
    assert [(h.id, h.text) for h in hits] == [("a", "disk full")] and hits[0].score == pytest.approx(math.log(2))


def test_equals_are_found_in_the_order_of_the_documents():
    for search in (BM25(["disk"] * 5), Index(["disk"] * 5), Fused(BM25(["disk"] * 5), Index(["disk"] * 5))):
        assert [h.id for h in search.search("disk", 3)] == ["0", "1", "2"]


def test_fusion_by_hand():
    a, b = BM25(dict(x="disk", y="queue disk")), BM25(dict(x="queue", y="queue"))
    assert [(h.id, round(h.score, 6)) for h in Fused(a, b).search("queue disk")] == [("y", round(1/61 + 1/62, 6)), ("x", round(1/62 + 1/61, 6))]


@pytest.mark.parametrize("text", ["", "   ", "???", "\0", "👩‍💻", "ß" * 1000, "the of a"])
def test_a_search_for_nothing_finds_nothing_wrong(text):
    for search in (BM25(["disk", "queue"]), Index(["disk", "queue"]), Index([])): assert len(search.search(text)) <= 2


# Router

ROUTES = dict(night=["schlaf gut", "gute Nacht, schlaf schön", "träum was Schönes"], food=["ich habe Hunger", "was gibt es zu essen?", "koch bitte etwas"])


def test_a_router_in_another_language_and_with_odd_input():
    router = Router(ROUTES)
    assert router("Gute Nacht und schlaf gut").name == "night" and router("was gibt es heute zu essen").name == "food"
    for text in ("", " \n", "???", "👩‍💻", "x" * 10_000): assert not router(text).in_scope and router(text).reason
    assert "nothing to route" in router("").reason


def test_a_tie_is_out_of_scope_whatever_the_order():
    embed = lambda texts: [dict(l=[1.0, 0.0], r=[0.0, 1.0]).get(t[0], [1.0, 1.0]) for t in texts]
    for routes in (dict(left=["l1", "l2"], right=["r1", "r2"]), dict(right=["r1", "r2"], left=["l1", "l2"])):
        router = Router(routes, embed, thresholds=dict(left=0.5, right=0.5))
        route = router("middle")
        assert not route.in_scope and "equally near, 0.71" in route.reason and router("l9").name == "left"


def test_each_threshold_parts_its_own_from_the_others():
    "Scores by hand: own 0.9 (as if it were not there) and strangers at most 0.6 make 0.75 the middle"
    angle = dict(a1=0, a2=math.acos(0.9), b1=math.acos(0.6) + math.acos(0.9), b2=math.acos(0.6) + math.acos(0.9) + 0.01)
    router = Router(dict(a=["a1", "a2"], b=["b1", "b2"]), lambda texts: [[math.cos(angle[t]), math.sin(angle[t])] for t in texts])
    strangers = max((math.cos(angle[b] - angle["a1"]) + math.cos(angle[b] - angle["a2"]))/2 for b in ("b1", "b2"))
    assert router.thresholds["a"] == pytest.approx((0.9 + strangers)/2, abs=1e-6)


def test_duplicates_within_a_route_count_once():
    assert Router(dict(a=["refund me", "pay me back", "refund me"], b=["deploy it", "roll it back"])).thresholds == \
        Router(dict(a=["refund me", "pay me back"], b=["deploy it", "roll it back"])).thresholds


@pytest.mark.parametrize("wrong, text", [
    (dict(routes={}), "at least one route"), (dict(routes=dict(a=["x"])), "has 1 different"), (dict(routes=dict(a="xy")), "are one text"),
    (dict(routes={"": ["x", "y"]}), "Give it a name"), (dict(routes=dict(a=["x", " "])), "has 1 different"),
    (dict(routes=dict(a=["x", "y"]), outside=["x"]), "is in 'outside' and in 'a'"),
    (dict(routes=dict(a=["x", "y"]), thresholds=dict(b=1.0)), "no route b"), (dict(routes=dict(a=["x", "y"]), embedder=3), "is no embedder")])
def test_a_router_says_what_is_wrong_with_it(wrong, text):
    with pytest.raises((ValueError, TypeError), match=text): Router(**wrong)


def test_a_route_chooses_an_agent_and_nothing_by_accident():
    router, choices = Router(ROUTES), dict(night=[1], food=[2])
    assert router.pick("ich habe Hunger", choices) == [2] and router.pick("quantum", choices) is None and router.pick("quantum", choices, "ask") == "ask"
    report = measure_router(router, {"ich habe großen Hunger": "food", "quantum": "", "schlaf": "food"})
    assert report.total == 3 and report.out_of_scope == 1 and report.accuracy == pytest.approx(2/3) and report.wrong == (("schlaf", "food", "night"),)
    assert "<" not in measure_router(router, {"<b>": "food"})._repr_html_().replace("<pre>", "").replace("</pre>", "")


# Narrowed tools

QUESTIONS = [json.loads(line) for line in gzip.decompress((DATA/"bfcl"/"questions.jsonl.gz").read_bytes()).decode().splitlines()]


def bfcl():
    "400 functions as tools, and questions with the tool that is right"
    functions = {row["id"]: row["function"][0] for row in ROWS}
    specs, labelled = {}, {}
    for row in QUESTIONS:
        f = functions[row["id"]]
        name = re.sub(r"\W", "_", f["name"])
        specs.setdefault(name, ToolSpec(name=name, description=f["description"], parameters=f["parameters"], read_only=True))
        labelled.setdefault(row["question"], name)
    return list(specs.values()), labelled


def test_the_right_tool_is_among_eight_of_four_hundred():
    specs, labelled = bfcl()
    assert len(specs) == 400 and len(labelled) > 450
    pick = ToolSelector(top_k=8)
    report = measure(lambda q: [t.name for t in pick([user(q)], specs)], labelled, k=(8,))
    texts = {t.name: tool_text(t) for t in specs}
    few = dict(random.Random(1).sample(sorted(labelled.items()), 120))
    by_words, by_letters = BM25(texts), Index(texts, Lexical())
    on_few = [f"{measure(one.search, few, (8,)).recall[8]:.3f}" for one in (by_words, by_letters, Fused(by_words, by_letters))]
    print(f"\nrecall@8 of 400 tools, {len(labelled)} questions: {report.recall[8]:.3f}; by chance {8/400:.2f}; "
        f"on 120 of them by words, letters, both: {', '.join(on_few)}")
    assert report.recall[8] > 0.93
    assert all(len(pick([user(q)], specs)) <= 8 for q in few)


NAMES = ("restart_service", "send_invoice", "read_logs", "refund_order", "list_orders", "find_user")
SPECS = [ToolSpec(name=n, description=n.replace("_", " ")) for n in NAMES]
turns = st.lists(st.one_of(st.sampled_from(["restart it", "send the invoice", "who?", "", "find the user and refund", "read"]).map(user),
    st.sampled_from([t.name for t in SPECS] + ["unknown"]).map(lambda n: assistant("", call(n))), st.sampled_from(["logs", ""]).map(assistant)), max_size=8)


@given(turns, turns, st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_a_longer_conversation_offers_the_same_tools_first(before, after, top_k):
    "So the tools never break a prompt cache but by growing, what was called stays, and the answer depends on the conversation alone"
    first, then = (ToolSelector(top_k)(m, SPECS) for m in (before, before + after))
    begun = [m for m in before if m.role == "user" and m.content.strip() or any(c.tool != "unknown" for c in m.calls)]
    assert then[:len(first)] == first or not begun
    assert then == ToolSelector(top_k)(tuple(before + after), tuple(SPECS)) and len(set(t.name for t in then)) == len(then)
    offered = {t.name for t in then}
    assert {c.tool for m in before + after for c in m.calls if c.tool != "unknown"} <= offered and offered


def many(n=30):
    made = [tool(lambda: "ok", name=f"tool_{i}", description=f"Handles case {i}", read_only=True) for i in range(n)]
    return [*made, tool(lambda: "5 GB", name="free_space", description="Free space of a disk", read_only=True)]


def test_an_agent_with_a_toolset_shows_few_tools_and_its_log_says_which():
    shown = []
    def answer(messages, tools):
        shown.append([t.name for t in tools])
        return call("free_space") if messages[-1].role == "user" else "5 GB are free."
    agent = Agent(Scripted(answer), Toolset(many(), top_k=3), store="memory:", clock=Ticks())
    run = agent.run("how much space is free on the disk?")
    assert asyncio.run(_end(run)) == "5 GB are free."
    replies = [s.body.reply for s in run.steps if s.kind == "model"]
    assert [list(r.offered) for r in replies] == shown and shown[0] == shown[1] and "free_space" in shown[0] and len(shown[0]) <= 3
    assert len(run.tip.tools) == 31 and prompt_cache(run).warnings == ()
    again = ToolSelector(3)(run.state_at(0).messages, list(run.tip.tools.values()))
    assert [t.name for t in again] == shown[0], "what was offered is computed from the log alone"


async def _end(run): return await run


def test_a_variant_is_narrowed_as_its_tools_say():
    agent, other = Agent(Scripted(["a"]), Toolset(many(), top_k=3), store="memory:"), Scripted(["b"])
    varied = agent.variant(model=other).model
    assert isinstance(agent.model, NarrowedModel) and isinstance(varied, NarrowedModel) and varied.model is other
    twice = agent.variant(tools=Toolset(many(), top_k=5))
    assert twice.model.select.top_k == 5 and isinstance(twice.model.model, Scripted)
    plain = Agent(Scripted(["a"]), many(), store="memory:")
    assert isinstance(plain.model, Scripted) and isinstance(plain.variant(tools=Toolset(many(), top_k=3)).model, NarrowedModel)


def test_always_and_few_tools_and_nothing_that_fits():
    assert [t.name for t in ToolSelector(2, always=["find_user", "gone"])([user("restart it")], SPECS)][0] == "find_user"
    assert ToolSelector(6)([user("restart it")], SPECS) == SPECS
    assert [t.name for t in ToolSelector(2)([user("???")], SPECS)] == ["restart_service", "send_invoice"]
    example = Message(role="user", content="send the invoice", example=True)
    assert "send_invoice" not in {t.name for t in ToolSelector(1)([example, user("restart it")], SPECS)}


def test_a_cache_inside_is_hit_when_only_other_tools_change():
    async def go():
        model = NarrowedModel(Cached(Scripted(lambda messages, tools: "done"), "memory:"), top_k=1)
        first = await model([user("send the invoice")], SPECS)
        return first, await model([user("send the invoice")], [*SPECS, ToolSpec(name="new_tool", description="something else")])
    first, again = asyncio.run(go())
    assert first.source == "live" and again.source == "cache" and again.offered == ("send_invoice",)


# Prompt caches

PRICES = {"openai:m": (Decimal(5), Decimal(30), Decimal("0.5")), "anthropic:c": (Decimal(3), Decimal(15), Decimal("0.3"), Decimal("3.75"))}


def reply(cached=0, model="openai:m", input=2000, written=0, **more):
    return Reply(model=model, usage=Usage(input=input, output=10, cached=cached, written=written, requests=1), **more)


@tool(read_only=True)
def look(what: str) -> str:
    "Look at something"
    return f"{what} is fine"


@tool(read_only=True)
def other() -> str:
    "Something else"
    return "x"


def after(*edits, replies=None, tools=(look, other), seconds=None, **definition):
    "The prompt cache of a run that was edited between its first and its second request"
    async def go():
        clock = Ticks()
        said = iter(replies or [reply(calls=(call("look", what="db"),)), reply(1900, content="done")])
        agent = Agent(Scripted(lambda messages, tools: next(said)), list(tools), store="memory:", clock=clock, **definition)
        run = agent.run("look")
        await run.until(kind="tool")
        for edit in edits: run.edit(**edit)
        if seconds: clock.now += seconds
        await run
        return run
    return asyncio.run(go())


def changed(**how): return tool(look.fn, **dict(name="look", read_only=True) | how)


@pytest.mark.parametrize("edit, said", [
    (dict(tools=[other, look]), "the order of the tools changed"), (dict(instructions="Now it is 02:15."), "the instructions changed"),
    (dict(tools=[look]), "tools gone: other"), (dict(tools=[changed(description="Look"), other]), "tools changed: look"),
    (dict(tools=[look, other, tool(lambda: "x", name="third")]), "tools added: third"), (dict(examples=(user("for example"),)), "the examples changed"),
    (dict(messages=[user("look at db")]), "message 0 (user) was edited"), (dict(answer={"type": "object"}), "the schema of the answer changed")],
    ids=lambda v: v if isinstance(v, str) else "")
def test_what_broke_the_prefix_is_named(edit, said):
    found = prompt_cache(after(edit), PRICES)
    assert len(found.reads) == 2 and said in "; ".join(found.reads[1].prefix_changes) and len(found.reads[1].prefix_changes) == 1
    assert found.warnings == (f"step {found.reads[1].step}: {said}",) and said in found._repr_html_()


def test_a_run_that_only_grows_breaks_nothing():
    found = prompt_cache(run := after(), PRICES)
    assert found.warnings == () and [(t.input, t.cached) for t in found.reads] == [(2000, 0), (2000, 1900)]
    assert found.saved == Decimal(1900) * (Decimal(5) - Decimal("0.5"))/1_000_000 == savings(run, PRICES).usd
    assert found.hits == 1 and prompt_cache(run, {}).reads[1].saved is None and "cost unknown" in str(prompt_cache(run, {}))


def test_code_that_the_model_does_not_see_breaks_nothing():
    assert prompt_cache(after(dict(tools=[changed(scopes=["fs"]), other])), PRICES).warnings == ()


def test_turns_that_were_taken_away_are_named():
    async def go():
        said = iter([reply(calls=(call("look", what="db"),)), reply(1000, calls=(call("other"),)), reply(1000, content="done")])
        run = Agent(Scripted(lambda messages, tools: next(said)), [look, other], store="memory:", clock=Ticks()).run("look")
        await run.until(tool="other")
        run.edit(messages=[user("look")])
        await run
        return run
    assert prompt_cache(asyncio.run(go()), PRICES).reads[-1].prefix_changes == ("message 1 (assistant) and all after it were taken away",)


def test_a_cache_that_is_written_and_never_read_is_a_loss():
    run = Agent(Scripted([reply(model="anthropic:c", written=2000, content="done")]), store="memory:").run("look")
    asyncio.run(_end(run))
    found = prompt_cache(run, PRICES)
    assert found.saved == -Decimal(2000) * Decimal("0.75")/1_000_000


def test_another_model_and_a_long_pause_and_a_cache_that_is_off():
    from datetime import timedelta
    switched = prompt_cache(after(replies=[reply(calls=(call("look", what="db"),)), reply(model="anthropic:c", content="done")]), PRICES)
    assert switched.warnings == (f"step {switched.reads[1].step}: anthropic:c was asked after openai:m, which has a cache of its own",)
    unread = [reply(calls=(call("look", what="db"),)), reply(0, content="done")]
    assert "is its cache on?" in prompt_cache(after(replies=unread), PRICES).warnings[0]
    assert re.search(r"10:0\d min went by", prompt_cache(after(replies=unread, seconds=timedelta(minutes=10)), PRICES).warnings[0])
    small = [reply(input=900, calls=(call("look", what="db"),)), reply(input=950, content="done")]
    here = [reply(model="local:smollm2", calls=(call("look", what="db"),)), reply(model="local:smollm2", content="done")]
    assert prompt_cache(after(replies=small), PRICES).warnings == () == prompt_cache(after(replies=here), PRICES).warnings


def test_the_tool_that_the_loop_guard_withheld_is_named():
    again = lambda: call("look", what="db")
    model = Scripted(lambda messages, tools: reply(content="done") if "before" in messages[-1].content else reply(calls=(again(),)))
    run = Agent(model, [look, other], store="memory:", clock=Ticks()).run("look")
    asyncio.run(_end(run))
    assert any(s.kind == "note" and s.body.about == "loop" for s in run.steps)
    assert prompt_cache(run, PRICES).reads[-1].prefix_changes == ("tools gone: look",)


def test_replies_from_a_cache_are_no_requests_to_a_provider():
    async def go():
        agent = Agent(Cached(Scripted(lambda messages, tools: reply(1000, content="done", cost=Decimal("0.01"))), "memory:"), store="memory:")
        runs = [agent.run("look"), agent.run("look")]
        for run in runs: await run
        return runs
    first, again = asyncio.run(go())
    assert len(prompt_cache(first, PRICES).reads) == 1 and prompt_cache(again, PRICES).reads == ()
    rows = {row.cache: row for row in savings(again, PRICES).rows}
    assert (rows["exact"].hits, rows["exact"].tokens, rows["exact"].usd, rows["provider"].tokens) == (1, 2010, Decimal("0.01"), 0)


def test_an_unknown_price_is_not_nothing():
    async def go():
        agent = Agent(Cached(Scripted(lambda messages, tools: reply(content="done")), "memory:"), store="memory:")
        runs = [agent.run("look"), agent.run("look")]
        for run in runs: await run
        return runs[1]
    table = savings(asyncio.run(go()), PRICES)
    assert table.usd is None and "cost unknown" in str(table) and "cost unknown" in table._repr_html_()


def test_the_history_of_a_long_run_is_read_once():
    "Twice the steps take about twice the time: the conversation is not compared anew for each request"
    import time
    def took(n):
        model = Scripted(lambda messages, tools: reply(1000, calls=(call("look", what=str(len(messages))),)))
        run = Agent(model, [look], store="memory:", max_iterations=n).run("look")
        async def go():
            try: await run
            except Exception: pass
        asyncio.run(go())
        best = math.inf
        for _ in range(3):
            start = time.process_time()
            assert len(prompt_cache(run, PRICES).reads) == n
            best = min(best, time.process_time() - start)
        return best
    took(10)
    assert took(400) < 3.5 * took(200)


# The package

def test_names_are_imported_when_they_are_asked_for():
    import subprocess, sys
    said = subprocess.run([sys.executable, "-c", "import sys, agentnb.routing as r; assert 'agentnb.routing.router' not in sys.modules; r.Router; "
        "assert 'agentnb.routing.router' in sys.modules and 'Router' in dir(r); [getattr(r, n) for n in r.__all__]; "
        "assert not {'openai', 'numpy', 'xllamacpp', 'sentence_transformers'} & set(sys.modules)"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    import agentnb.routing
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"): getattr(agentnb.routing, "Nothing")  # noqa: B009
