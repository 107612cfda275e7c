"""The semantic cache: what must not be answered again, what may be, and how it is proven."""
import asyncio, math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from semantic_pairs import DEV_FOOLING, DEV_SAME, HELD_OUT_FOOLING, HELD_OUT_SAME, few_labelled, fooling_pairs, labelled, same_pairs

from agentnb import Agent, Ask, Cached, Delta, Scripted, call, user
from agentnb.core.messages import Message, Reply, ToolSpec, Usage, assistant, result
from agentnb.routing import CachedEmbedder, SemanticCached, certify, differences, lower_bound
from agentnb.metrics.savings import savings

HALVES = {"dev": (DEV_FOOLING, DEV_SAME), "held out": (HELD_OUT_FOOLING, HELD_OUT_SAME)}


def echo(): return Scripted(lambda messages, tools: Reply(content=f"answer to {messages[-1].content}", usage=Usage(input=10, output=5, requests=1),
    cost=Decimal("0.001"), model="scripted:m"))


TRUE = {frozenset(f"answer to {text}" for text in pair) for _, same in HALVES.values() for pair in same_pairs(same)}


def judge(a, b): return frozenset((a.content, b.content)) in TRUE


def proven(embedder=None, model=None, **more):
    return SemanticCached(model or echo(), embedder, **dict(pairs=labelled(), audit=0, store="memory:", same=judge) | more)


def measured(cached, half, fooling, same):
    async def ask(text, context): return await cached([user(text)], instructions=context)
    async def go():
        false, hits = [], []
        for first, second in ((1, 2), (2, 1)):
            for row in fooling_pairs(fooling): await ask(row[first], f"all {first}")
            for row in fooling_pairs(fooling):
                reply = await ask(row[second], f"all {first}")
                if reply.like: false.append((reply.like, row[second]))
        for i, (a, b) in enumerate(same_pairs(same)):
            await ask(a, f"pair {i}")
            if (await ask(b, f"pair {i}")).like: hits.append((a, b))
        return false, hits
    false, hits = asyncio.run(go())
    n, m = len(fooling_pairs(fooling)), len(same_pairs(same))
    print(f"\n{half}, {cached._embed.name}, {cached.certificate}: {len(false)} false hits on {n} fooling pairs in both directions, "
        f"{len(hits)} of {m} paraphrases answered ({len(hits)/m:.0%})")
    return false, hits, m


def test_there_are_enough_pairs():
    fooling = [row[1:] for half in HALVES.values() for row in fooling_pairs(half[0])]
    assert len(set(fooling)) == len(fooling) >= 200 and all(len(row) == 2 and row[0] != row[1] for row in fooling)
    assert len(same_pairs(DEV_SAME)) >= 100 and len(same_pairs(HELD_OUT_SAME)) >= 100
    assert not {frozenset(p) for p in fooling} & {frozenset(p) for p in same_pairs(DEV_SAME) + same_pairs(HELD_OUT_SAME)}


@pytest.mark.parametrize("half", HALVES)
def test_no_false_hit_at_the_default_precision(half):
    "All fooling texts stand in one context, so any of them may be answered as any other"
    cached = proven()
    assert cached.certificate.threshold is not None and cached.certificate.bound >= 0.99
    false, hits, m = measured(cached, half, *HALVES[half])
    assert not false
    assert len(hits) >= 0.3 * m


@pytest.mark.model
def test_no_false_hit_with_the_embedded_model():
    "Its vectors put nearly everything near everything, so the guard has to hold alone; a fifth of the pairs, since each text takes a tenth of a second"
    from agentnb.routing import local_embedder
    embedder = CachedEmbedder(local_embedder())
    fooling, same = {kind: pairs[::5] for kind, pairs in HELD_OUT_FOOLING.items()}, [block[:3] for block in HELD_OUT_SAME[::3]]
    rows = [row[:2] for row in few_labelled()] + [row[1:] for row in fooling_pairs(fooling)] + same_pairs(same)
    embedder(list(dict.fromkeys(text for row in rows for text in row)))
    false, hits, m = measured(proven(embedder, pairs=few_labelled()), "a fifth of held out", fooling, same)
    assert not false and len(hits) >= 0.3 * m


def test_without_the_guard_no_threshold_can_be_certified():
    "The labelled pairs themselves show why the guard is there: similarity alone is refused"
    anything = SemanticCached(echo(), pairs=labelled(), guard=lambda a, b: (), store="memory:", audit=0)
    assert anything.certificate.threshold is None and anything.certificate.wrong == len(fooling_pairs(DEV_FOOLING))
    assert asyncio.run(two(anything, A, B)).like == "" != asyncio.run(two(proven(), A, B)).like


@pytest.mark.parametrize("a, b", [(a, b) for half in HALVES.values() for _, a, b in fooling_pairs(half[0])])
def test_what_differs_is_said(a, b): assert differences(a, b) and all(map(str.strip, differences(a, b))) and differences(b, a)


@pytest.mark.parametrize("a, b", [
    ("Delete the files", "Delete files"), ("Call the people", "Call people"), ("Show the two servers", "Show two servers"), ("Send a file", "Send the file"),
    ("Email Mark", "Email mark"), ("How do we say please", "How do we say thanks"), ("Hello world", "world"), ("if it fails:\n  stop", "if it fails:\nstop"),
    ("Restart it. Not now", "Restart it not. Now"), ("In May, sell or buy", "sell or buy In May"), ("pleased customers", "customers"), ("Plan A", "Plan a")])
def test_what_is_nearly_nothing_still_counts(a, b): assert differences(a, b) and differences(b, a)


@pytest.mark.parametrize("a, b", [
    ("Delete the file", "delete file"), ("I'm late", "i am late"), ("Who won in May?", "In May, who won"), ("Would you please stop?", "stop"),
    ("Organise the shelf", "organize the shelf."), ("  Stop  ", "stop!"), ("It's \"on\"", "it is \"on\"")])
def test_what_does_not_matter(a, b): assert differences(a, b) == () == differences(b, a)


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_guard_never_fails(a, b):
    assert differences(a, a) == ()
    assert bool(differences(a, b)) == bool(differences(b, a))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["Delete order {}", "how do I open room {}?", "In {}, who won?", "Поезд {}", "{}%"]))
@settings(max_examples=200, deadline=None)
def test_other_numbers_are_never_the_same(n, m, form): assert bool(differences(form.format(n), form.format(m))) == (n != m)


# What stands before a hit

async def two(cached, first, second, **more):
    await cached([user(first)], **more)
    return await cached([user(second)], **more)

A, B = "How do I renew the certificate?", "how can I renew the certificate"


def test_a_hit_says_what_it_is():
    heard = []
    async def go():
        cached = proven()
        await cached([user(A)])
        return await cached([user(B)], ask=Ask(on_delta=heard.append))
    hit = asyncio.run(go())
    assert (hit.source, hit.like, hit.content, hit.cost, hit.usage) == ("cache", A, f"answer to {A}", 0, Usage())
    assert (hit.spared.total, hit.saved) == (15, Decimal("0.001")) and any(A in note for note in hit.notes)
    assert heard == [Delta("text", hit.content)]


@pytest.mark.parametrize("change", [
    dict(instructions="Be brief."), dict(tools=[ToolSpec(name="look", read_only=True)]), dict(ask=Ask(temperature=0.5)),
    dict(before=[user("Hi."), assistant("Hello.")]),
    dict(before=[Message(role="user", content="Hi.", example=True)])], ids=["instructions", "tools", "ask", "conversation", "examples"])
def test_anything_else_that_differs_is_another_question(change):
    before = change.pop("before", [])
    async def go():
        cached = proven()
        await cached([user(A)])
        other = await cached([*before, user(B)], **change)
        again = await cached([*before, user(A)], **change)
        return other, again
    other, again = asyncio.run(go())
    assert other.source == "live" and not other.like and again.like == B


def test_only_a_plain_question_of_a_person_is_compared():
    c = call("look")
    async def go():
        cached = proven()
        for text in (A, B):
            assert (await cached([user("x"), assistant("", c), result(c, text)])).source == "live"
            assert (await cached([Message(role="user", content=text, example=True)])).source == "live"
            assert (await cached([user("x"), assistant(text)])).source == "live"
    asyncio.run(go())


@pytest.mark.parametrize("read_only, like", [(True, A), (False, "")])
def test_calls_are_given_again_only_if_they_only_read(read_only, like):
    model = Scripted(lambda messages, tools: Reply(calls=(call("look", what="it"),), model="m"))
    tools = [ToolSpec(name="look", read_only=read_only)]
    assert asyncio.run(two(proven(model=model), A, B, tools=tools)).like == like


def test_a_call_of_a_tool_that_is_not_offered_is_not_given_again():
    model = Scripted(lambda messages, tools: Reply(calls=(call("gone"),), model="m"))
    assert asyncio.run(two(proven(model=model), A, B)).like == ""


@pytest.mark.parametrize("reply", [Reply(content="half", cut=True), Reply(malformed="Not JSON.")], ids=["cut", "malformed"])
def test_what_is_not_kept_is_not_found(reply):
    assert asyncio.run(two(proven(model=Scripted(lambda messages, tools: reply)), A, B)).source == "live"


def test_a_miss_is_never_worse_than_the_exact_cache():
    "The same requests, through both: as many calls of the model or fewer, and the same answers to the same words"
    texts = [t for _, a, b in fooling_pairs(HELD_OUT_FOOLING)[:40] for t in (a, b, a)]
    async def asked(make):
        count = []
        model = Scripted(lambda messages, tools: count.append(1) or f"answer to {messages[-1].content}")
        cached = make(model)
        said = [(await cached([user(t)])).content for t in texts]
        return len(count), said
    exact, semantic = asyncio.run(asked(lambda m: Cached(m, "memory:"))), asyncio.run(asked(lambda m: proven(model=m)))
    assert exact == semantic


def test_an_old_reply_is_asked_anew():
    now = [datetime(2026, 5, 4, tzinfo=UTC)]
    cached = proven(clock=lambda: now[0], seconds=60)
    assert asyncio.run(two(cached, A, B)).like == A
    now[0] += timedelta(seconds=61)
    assert asyncio.run(cached([user(B)])).source == "live"


def test_another_process_finds_it_and_its_pairs(tmp_path):
    store = f"sqlite:///{tmp_path}/cache.db"
    make = lambda: SemanticCached(echo(), store=store, min_precision=0.5, audit=0)
    async def go():
        first = make()
        for word in ("stop", "open", "lock", "copy", "drop"): first.learn(f"{word} it", f"{word.title()} it", True)
        await first([user("Restart it")])
        return await make()([user("restart it")])
    assert asyncio.run(go()).like == "Restart it"


# Evidence

def test_without_pairs_there_is_no_hit_until_enough_agree():
    "Each near wording is asked, and what it answers becomes a labelled pair"
    model = Scripted(lambda messages, tools: "the same")
    cached, texts = SemanticCached(model, min_precision=0.9, store="memory:", audit=0), [w for task in range(15) for w in
        (f"How do I do {task}?", f"how can I do {task}", f"how to do {task}")]
    async def go(): return [(await cached([user(t)])).like for t in texts]
    likes = asyncio.run(go())
    first = next(i for i, like in enumerate(likes) if like)
    assert cached.certificate.threshold is not None and cached.certificate.pairs == 29 == cached.certificate.pairs_needed
    assert not any(likes[:first]) and first >= 29


def test_answers_that_differ_are_counted_against_it():
    cached = SemanticCached(echo(), min_precision=0.9, store="memory:")
    asyncio.run(two(cached, A, B))
    assert (cached.certificate.pairs, cached.certificate.wrong, cached.certificate.threshold) == (1, 1, None)


def test_a_denied_hit_takes_its_wording_out_and_no_other():
    cached = proven()
    assert asyncio.run(two(cached, A, B)).like == A
    assert cached.bound(A) >= 0.99
    cached.learn(B, A, False)
    assert cached.bound(A) < 0.99 and asyncio.run(cached([user("how to renew the certificate")])).source == "live"
    assert asyncio.run(two(cached, "Who is there?", "who is there")).like == ("Who is there?" if cached.certificate.threshold is not None else "")


def test_one_of_so_many_hits_is_asked_all_the_same():
    cached = SemanticCached(Scripted(lambda messages, tools: "the same"), pairs=labelled(), audit=3, store="memory:")
    async def go():
        await cached([user("Restart it")])
        return [(await cached([user(t)])).source for t in ("restart it", "Please restart it", "please restart it.", "Hi, restart it", "restart it please")]
    assert asyncio.run(go()) == ["cache", "cache", "live", "cache", "cache"]


def test_pairs_that_the_guard_refuses_are_no_evidence():
    cached = SemanticCached(echo(), store="memory:")
    cached.learn("turn on the alarm", "turn off the alarm", False)
    assert cached.certificate.pairs == 0


@pytest.mark.parametrize("right, n, confidence, expected", [
    (299, 299, 0.95, 0.05 ** (1/299)), (10, 10, 0.95, 0.05 ** 0.1), (0, 10, 0.95, 0.0), (0, 0, 0.95, 0.0), (9, 10, 0.95, 0.60584),
    (95, 100, 0.95, 0.89776), (1, 2, 0.9, 0.05132)])
def test_the_bound_by_hand(right, n, confidence, expected):
    "9 of 10 and 95 of 100: from published tables of the one-sided exact bound; 1 of 2: 1 - (1 - p)² = 0.1"
    assert lower_bound(right, n, confidence) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 400), st.data())
@settings(max_examples=60, deadline=None)
def test_the_bound_is_where_so_many_right_ones_become_unlikely(n, data):
    right = data.draw(st.integers(1, n))
    p = lower_bound(right, n)
    assert sum(math.comb(n, k) * p**k * (1 - p)**(n - k) for k in range(right, n + 1)) == pytest.approx(0.05, rel=1e-6)


def test_a_certificate_keeps_its_word():
    "1,000 times: pairs whose true precision is 0.985, and 0.99 wanted; certified in at most about 5 of 100"
    import random
    rng, certified = random.Random(7), 0
    for _ in range(1000):
        pairs = [(rng.random(), rng.random() < 0.985) for _ in range(400)]
        certified += certify(pairs).threshold is not None
    print(f"\ncertified wrongly in {certified} of 1,000")
    assert certified <= 65


@pytest.mark.parametrize("wrong, text", [
    (dict(min_precision=1.0), "nothing certifies 1"), (dict(min_precision=0.0), "lies between 0 and 1"), (dict(confidence=1.0), "confidence=1.0")])
def test_bad_numbers_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text): certify([(0.5, True)], **wrong)


# In a run

def test_what_a_run_saved_is_in_its_log():
    cached = proven()
    agent = Agent(cached, store="memory:")
    runs = [agent.run(text) for text in (A, A, B)]
    async def go():
        for run in runs: await run
    asyncio.run(go())
    rows = [{row.cache: (row.hits, row.tokens, row.usd) for row in savings(agent.load(run.run_id)).rows} for run in runs]
    none = (0, 0, Decimal(0))
    assert rows == [dict(provider=none, exact=none, semantic=none), dict(provider=none, exact=(1, 15, Decimal("0.001")), semantic=none),
        dict(provider=none, exact=none, semantic=(1, 15, Decimal("0.001")))]
    assert runs[2].tip.cost == 0 and "semantic" in savings(runs[2])._repr_html_()
