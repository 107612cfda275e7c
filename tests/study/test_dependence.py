"""Which steps have read a step: over the log alone."""
import asyncio

from agentnb import Agent, Scripted, call, tool, user


@tool(read_only=True)
def fetch(page: str) -> str:
    "Fetch a page"
    return f"the page {page}"


@tool
def write(text: str) -> str:
    "Write"
    return f"wrote {text}"


def made(script, **more):
    run = Agent(Scripted(script), [fetch, write], store="memory:", unattended="approve", **more).run("Go")
    asyncio.run(run.wait())
    return run


def readers(run, index): return [s.index for s in run.depends_on(index)]
def kinds(run): return [s.kind for s in run.steps]


def test_results_of_one_reply_have_not_read_each_other():
    run = made([[call("fetch", page="a"), call("fetch", page="b")], "Done."])
    assert kinds(run) == ["started", "model", "tool", "tool", "model", "finished"]
    assert readers(run, 1) == [2, 3, 4, 5] and readers(run, 2) == readers(run, 3) == [4, 5] and readers(run, 5) == []
    assert readers(run, 0) == [1, 2, 3, 4, 5] and run.depends_on(run.steps[-2]) == run.depends_on(-2) == [run.steps[-1]]


def test_a_yes_is_read_by_its_call():
    run = made([call("write", text="x"), "Done."])
    assert kinds(run) == ["started", "model", "request", "decision", "intent", "tool", "model", "finished"]
    assert readers(run, 2) == [3, 4, 5, 6, 7] and readers(run, 3) == [4, 5, 6, 7] and readers(run, 4) == [5, 6, 7]


def test_a_verdict_reads_what_it_judges():
    run = made(["one", "two"], verify=[lambda what, state: what == "two" or "Say two."])
    assert kinds(run) == ["started", "model", "verdict", "model", "verdict", "finished"]
    assert readers(run, 1) == [2, 3, 4, 5] and readers(run, 2) == [3, 4, 5]


def test_what_was_taken_out_of_the_conversation_is_read_no_more():
    run = Agent(Scripted(lambda messages, tools: "Done." if len(messages) != 1 or messages[0].content == "New" else call("fetch", page="a")), [fetch],
        store="memory:").run("Go")
    async def go():
        for _ in range(3): await run.step()
        run.edit(messages=(user("New"),))
        await run
    asyncio.run(go())
    assert kinds(run) == ["started", "model", "tool", "edit", "model", "finished"] and readers(run, 2) == [] and readers(run, 3) == [4, 5]
