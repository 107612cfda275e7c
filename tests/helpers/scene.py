"""Cells for the stepper's tests and pictures: a night on call, a form with every kind of field, 5,000 steps, hostile texts."""
# ruff: noqa: E501
SCENE = '''
from decimal import Decimal
from agentnb import Agent, Budget, Scripted, ToolError, call, tool
from agentnb.core.messages import Reply, Usage
from agentnb.tools.tool import tool
tries = []
@tool(read_only=True)
def search_runbooks(query: str) -> list[dict]:
    "Runbook sections that match `query`"
    return [{"title": "Checkout is slow", "fix": "restart checkout"}, {"title": "High latency", "fix": "look at p99"}]
@tool(read_only=True)
def metrics(service: str, window: str = "15m") -> str:
    "Latency of `service`"
    tries.append(service)
    if len(tries) == 1: raise ToolError("rate_limited", "too many queries", "Retry in 2 s.", retry_after=2)
    return "p99 3.1 s on checkout-b, 0.2 s elsewhere"
def plan(service: str, grace_s: int = 30) -> str: return f"- {service}   3 pods  running\\n+ {service}   3 pods  restarting (rolling, {grace_s} s)"
@tool(destructive=True, preview=plan)
def restart(service: str, grace_s: int = 30) -> str:
    "Restart the service `service`"
    return f"{service} restarted after {grace_s} s"
def reply(said="", *calls, model="local:smollm2", cost="0", sure=None, tokens=(600, 40)):
    calls = tuple(c.model_copy(update={"id": f"c{abs(hash((said, c.tool))) % 9999}"}) for c in calls)
    return Reply(content=said, calls=calls, model=model, cost=Decimal(cost), confidence=sure, usage=Usage(input=tokens[0], output=tokens[1], requests=1))
SCRIPT = [reply("", call("search_runbooks", query="checkout slow")), reply("", call("metrics", service="checkout"), sure=0.41, cost="0.004", model="anthropic:haiku"),
    reply("The metrics were limited, I ask again.", call("metrics", service="checkout"), model="anthropic:haiku"),
    reply("checkout-b shows the latency, a restart follows runbook high-latency §2.", call("restart", service="checkout"), model="anthropic:haiku", cost="0.027", tokens=(3120, 96)),
    reply("## Fixed\\n**checkout** was slow because of `checkout-b`; it was restarted.\\n\\n- p99 before: 3.1 s\\n- p99 after: 0.2 s\\n\\n```python\\nrestart(\\"checkout\\", grace_s=30)\\n```", model="anthropic:haiku", cost="0.003")]
agent = Agent(Scripted(SCRIPT), [search_runbooks, metrics, restart], budget=Budget(usd="0.25"), name="on-call")
run = agent.run("Checkout is slow. Find out why and fix it.", run_id="RUN")
'''

FORM = '''
from typing import Literal
from agentnb import Agent, Scripted, call
from agentnb.tools.tool import tool
@tool
def deploy(service: str, mode: Literal["rolling", "all at once"] = "rolling", dry: bool = True, pods: int = 3, env: dict[str, str] = {}, note: str | None = None) -> str:
    "Deploy `service`"
    return f"{service} {mode} dry={dry} pods={pods} env={env} note={note}"
agent = Agent(Scripted([call("deploy", service="checkout"), "deployed"]), [deploy], name="deployer")
run = agent.run("Deploy checkout", run_id="RUN")
await run.until()
'''

ALWAYS = FORM.replace('call("deploy", service="checkout"), "deployed"', 'call("deploy", service="checkout-a"), call("deploy", service="checkout-b"), call("deploy", service="billing"), "deployed"')

LONG = '''
from decimal import Decimal
from agentnb import Agent, Scripted, call
from agentnb.core.messages import Reply
from agentnb.tools.tool import tool
@tool(read_only=True)
def look(n: int) -> str:
    "Look at `n`"
    return f"seen {n}"
def say(messages, tools): return Reply(calls=(call("look", n=len(messages)).model_copy(update=dict(id=f"c{len(messages)}")),), model="local:smollm2", cost=Decimal("0.0001"))
agent = Agent(Scripted(say, "smollm2"), [look], store="memory:")
run = agent.run("Count", run_id="RUN", max_iterations=2600)
await run.until(when=lambda s: s.index == 4999)
'''

HOSTILE = '''
import sys; sys.path.insert(0, TESTS)
from xss import CORPUS
from agentnb import Agent, Scripted, ToolError, call
from agentnb.core.messages import Reply
from agentnb.tools.tool import tool
texts, at = CORPUS, iter(range(10**6))
@tool(read_only=True)
def act(what: str) -> str:
    if next(at) % 2: raise ToolError("internal", what, what)
    return what
def say(messages, tools):
    n = sum(m.role == "assistant" for m in messages)
    if n >= len(texts): return Reply(content=texts[0], model="evil", cost=0)
    return Reply(content=texts[n], thinking=texts[n], model=texts[n][:200], notes=(texts[n][:200],), calls=(call("act", what=texts[n]).model_copy(update=dict(id=f"c{n}")),), cost=0)
agent = Agent(Scripted(say), [act], store="memory:", instructions=texts[0], name=texts[3])
run = agent.run(texts[3], run_id="RUN", max_iterations=len(texts))
await run.until()
'''

ASKING = '''
@tool(description=texts[3] + " `what`", preview=lambda what: what)
def hurt(what: str) -> str: return what
asked = Agent(Scripted([tuple(call("hurt", what=t[:3000]) for t in texts)]), [hurt], store="memory:", name=texts[4]).run(texts[5])
await asked.until()
asked
'''

SCROLL = """async () => {
    const list = document.querySelector('.an-steps');
    let most = 0;
    for (let i = 0; i < 60; i++) {
        list.scrollTop = i * 2100;
        await new Promise(requestAnimationFrame);
        most = Math.max(most, list.querySelectorAll('li').length) }
    return most }"""

TREE = '''
from decimal import Decimal
from agentnb import Agent, Budget, Reply, Scripted, call, tool
from agentnb.core.messages import Usage
@tool(read_only=True)
def read_file(path: str) -> str:
    "Read `path`"
    return "def total(amounts): return round(sum(amounts), 2)\\\\n" * 3
@tool(destructive=True)
def deploy(service: str, pods: int = 3) -> str:
    "Deploy the service `service`"
    return f"{service} deployed on {pods} pods"
def say(text, *calls, cost="0.002", model="anthropic:haiku"): return Reply(content=text, calls=calls, cost=Decimal(cost), model=model, usage=Usage(input=900, output=60, requests=1))
deployer = Agent(Scripted([say("", call("deploy", service="payments")), say("It is out.")]), [deploy], name="deployer", store="memory:")
coder = Agent(Scripted([say("", call("read_file", path="src/invoice.py")), say("", call("deployer", task="Deploy payments")), say("Amounts are rounded half to even.")]), [read_file, deployer.as_tool()], name="coder", store="memory:")
docs = Agent(Scripted([say("The changelog has a line."), say("And another.")]), name="docs", store="memory:")
boss = Agent(Scripted([say("", call("coder", task="Round amounts half to even, with tests"), cost="0.006", model="anthropic:sonnet"), say("", call("docs", task="A line for the changelog"), cost="0.006", model="anthropic:sonnet"), say("Released.", cost="0.006")]),
    [coder.as_tool(), docs.as_tool()], name="boss", budget=Budget(usd="0.50"))
run = boss.run("Release the rounding of amounts", run_id="RUN")
'''
