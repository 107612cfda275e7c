"""How many of six small tasks a small model ends right: `python bench/tasks.py [model ...]`.

A model is a name as `Agent` takes it: `local:smollm2`, the default, or `local:/path/to/model.gguf`, which llama.cpp serves in this process.
Each task is asked once, at temperature 0, after two worked examples of other values, as a model of this size needs them; `--bare` leaves
the examples out. A row says how it ended, whether the result is the right one, and which tools were called. A run
that ends `done` with a call as its answer is a mistake of ours and not of the model: those are counted apart, and the exit code is 1.
"""
import asyncio, sys, time
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel

from agentnb import Agent, Ask, Budget, assistant, call, tool, user
from agentnb.core.calls import calls_in_text
from agentnb.core.messages import result

LATENCY, OWNERS = dict(alpha=41, beta=903, gamma=38), {"billing.py": "Mona", "search.py": "Tariq"}


@tool(read_only=True)
def latency(
    server: str,  # its name
) -> str:
    "The latency of one server in ms"
    return f"{server}: {LATENCY[server]} ms"


@tool(read_only=True)
def latencies() -> str:
    "The latency of each server in ms"
    return ", ".join(f"{server}: {ms} ms" for server, ms in LATENCY.items())


@tool(read_only=True)
def add(
    a: int,  # the first number
    b: int,  # the second number
) -> int:
    "Add two numbers"
    return a + b


@tool(read_only=True)
def owner(
    file: str,  # the file's name
) -> str:
    "Who owns a file"
    return f"{file} is owned by {OWNERS[file]}"


@tool(read_only=True)
def email(
    person: str,  # a first name
) -> str:
    "The email address of a person"
    return f"{person.lower()}@example.org"


class Server(BaseModel):
    name: str
    cpus: int
    region: str


class Task(NamedTuple):
    "What is asked, and how the right end is told from others"
    name: str
    text: str
    tools: list
    is_right: Callable[[Any, list[str]], bool]  # of the result and the names of the tools that gave one
    examples: list  # of text, calls with their results, answer
    result: Any = None


SLOW, ADD = "Which server is slow? Look at the latencies and name it.", "What is {} + {}? Use the tool."
OWNER, EMAIL = "Who owns the file {}?", "Find the owner of {}. Then find the email address of that person."
SHAPE = '{{"name": "{}", "cpus": {}, "region": "{}"}}'.format
TASKS = [
    Task("the slow one of three servers", SLOW, [latencies, latency], lambda said, called: "beta" in said.lower() and "alpha" not in said.lower() and called,
        [(SLOW, [(call("latencies"), "red: 20 ms, green: 31 ms, blue: 750 ms")], "The slow server is blue: 750 ms."),
         (SLOW, [(call("latencies"), "north: 812 ms, south: 44 ms, west: 39 ms")], "The slow server is north: 812 ms.")]),
    Task("add two numbers", ADD.format(1234, 4321), [add], lambda said, called: "5555" in said.replace(",", "") and "add" in called,
        [(ADD.format(20, 31), [(call("add", a=20, b=31), "51")], "20 + 31 is 51."),
         (ADD.format(700, 77), [(call("add", a=700, b=77), "777")], "700 + 77 is 777.")]),
    Task("the owner of a file", OWNER.format("billing.py"), [owner], lambda said, called: "mona" in said.lower() and "owner" in called,
        [(OWNER.format(file), [(call("owner", file=file), f"{file} is owned by {name}")], f"The file {file} is owned by {name}.")
         for file, name in (("users.py", "Ines"), ("mail.py", "Bo"))]),
    Task("a typed result of three fields", "The server db-7 has 16 cpus and stands in the region Oslo.", [],
        lambda said, called: said == Server(name="db-7", cpus=16, region="Oslo"),
        [("The server web-1 has 4 cpus and stands in the region Paris.", [], SHAPE("web-1", 4, "Paris")),
         ("The server mq-3 has 8 cpus and stands in the region Rome.", [], SHAPE("mq-3", 8, "Rome"))], Server),
    Task("two tools in turn", EMAIL.format("search.py"), [owner, email],
        lambda said, called: "tariq@example.org" in said.lower() and called.index("owner") < called.index("email"),
        [(EMAIL.format(file), [(call("owner", file=file), f"{file} is owned by {name}"), (call("email", person=name), f"{name.lower()}@example.org")],
            f"{file} is owned by {name}, whose address is {name.lower()}@example.org.") for file, name in (("users.py", "Ines"), ("mail.py", "Bo"))]),
    Task("no tool", "Say hello to Mona.", [add], lambda said, called: "hello" in said.lower() and "mona" in said.lower() and not called,
        [("Say hello to Bo.", [], "Hello, Bo!"), (ADD.format(20, 31), [(call("add", a=20, b=31), "51")], "20 + 31 is 51.")])]


def turns(examples):
    said = []
    for i, (text, calls, answer) in enumerate(examples):
        said.append(user(text))
        for j, (made, returned) in enumerate(calls):
            made = made.model_copy(update={"id": f"example{i}.{j}"})
            said += [assistant("", made), result(made, returned)]
        said.append(assistant(answer))
    return said


def holds_call(result, tools): return isinstance(result, str) and bool(calls_in_text(result, [t.spec for t in tools])[1])


async def end(task, model, bare=False):
    agent = Agent(model, tools=task.tools, store="memory:", result=task.result, ask=Ask(temperature=0), budget=Budget(seconds=120),
        examples=[] if bare else turns(task.examples))
    run = agent.run(task.text, max_iterations=8)
    try: await run.until()
    except Exception as e: return run, f"{type(e).__name__}: {e}"
    return run, ""


def judge(task, run):
    called = [m.tool for m in run.state.messages if m.role == "tool" and not m.failure]
    try: return called, run.state.status == "done" and bool(task.is_right(run.result, called))
    except (ValueError, AttributeError): return called, False


async def main(models, bare=False):
    wrong_ends = 0
    for model in models:
        right = 0
        print(f"{model}\n  {'task':32} {'status':8} {'right':6} {'replies':>7} {'seconds':>8}  tools that answered; result")
        for task in TASKS:
            began = time.monotonic()
            run, error = await end(task, model, bare)
            (called, good), state = judge(task, run), run.state
            is_call = state.status == "done" and holds_call(state.result, task.tools)
            right, wrong_ends = right + good, wrong_ends + is_call
            said = error or (state.result if state.result is not None else state.reason)
            print(f"  {task.name:32} {state.status:8} {'yes' if good else 'no':6} {state.iteration:7} {time.monotonic() - began:8.1f}  "
                f"{', '.join(called) or '-'}; {str(said)[:90]!r}{'  A CALL' if is_call else ''}", flush=True)
        print(f"  {right} of {len(TASKS)} right")
    print(f"{wrong_ends} ended done with a call as the answer")
    return wrong_ends > 0


if __name__ == "__main__":
    named = [a for a in sys.argv[1:] if a != "--bare"]
    sys.exit(asyncio.run(main(named or ["local:smollm2"], "--bare" in sys.argv)))
