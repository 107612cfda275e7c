"Prototype LLM agents in Jupyter, as runs that can be held, stepped, changed and resumed"
__version__ = "0.1.0"

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from agentnb.agent import Agent as Agent, Ticks as Ticks
from agentnb.budget import Budget as Budget
from agentnb.cache import Cached as Cached
from agentnb.cascade.live import Cascade as Cascade
from agentnb.fallback import Fallback as Fallback
from agentnb.messages import Ask as Ask, Call as Call, Delta as Delta, Message as Message, Reply as Reply
from agentnb.messages import assistant as assistant, call as call, result as result, user as user
from agentnb.models import Human as Human, Model as Model, ModelError as ModelError, Scripted as Scripted
from agentnb.plan import Plan as Plan, Task as Task
from agentnb.policy import Rule as Rule
from agentnb.retry import Retry as Retry
from agentnb.run import AgentMismatch as AgentMismatch, RequestOpen as RequestOpen, Run as Run, RunPaused as RunPaused, RunStopped as RunStopped
from agentnb.state import State as State
from agentnb.steps import Step as Step
from agentnb.store import RunConflict as RunConflict, RunNotFound as RunNotFound, StoreError as StoreError, open_store as open_store
from agentnb.tape import Tape as Tape, TapeMiss as TapeMiss
from agentnb.tools import Context as Context, Tool as Tool, ToolError as ToolError, tool as tool

if _TYPE_CHECKING:
    from agentnb.approval import Approval as Approval, approvals as approvals, revoke as revoke
    from agentnb.audits import audit as audit
    from agentnb.compare import diff as diff
    from agentnb.conversations import read_messages as read_messages, write_messages as write_messages
    from agentnb.forks import lineage as lineage
    from agentnb.functions import tool_from_schema as tool_from_schema, tools_from_schemas as tools_from_schemas
    from agentnb.graphs import to_langgraph as to_langgraph
    from agentnb.held import hold as hold
    from agentnb.inbox import pending as pending
    from agentnb.langchain import from_langchain as from_langchain, to_langchain as to_langchain
    from agentnb.mcp import serve_mcp as serve_mcp
    from agentnb.mcp_client import tools_from_mcp as tools_from_mcp
    from agentnb.oversight import intervention_rates as intervention_rates
    from agentnb.planning import update_plan as update_plan
    from agentnb.saver import AgentnbSaver as AgentnbSaver
    from agentnb.saver_store import LangGraphStore as LangGraphStore
    from agentnb.scopes import missing_scopes as missing_scopes, needed_scopes as needed_scopes
    from agentnb.testcase import replay as replay
    from agentnb.transcripts import take_over as take_over
    from agentnb.transfer import export_runs as export_runs, import_runs as import_runs

_LATER = dict(  # imported when they are asked for: what they need is large, or an extra
    Approval="approval", approvals="approval", revoke="approval", audit="audits", diff="compare", read_messages="conversations",
    write_messages="conversations", lineage="forks", tool_from_schema="functions", tools_from_schemas="functions", to_langgraph="graphs", hold="held",
    pending="inbox", from_langchain="langchain", to_langchain="langchain", serve_mcp="mcp", tools_from_mcp="mcp_client", intervention_rates="oversight",
    update_plan="planning", AgentnbSaver="saver", LangGraphStore="saver_store", missing_scopes="scopes", needed_scopes="scopes", replay="testcase",
    take_over="transcripts", export_runs="transfer", import_runs="transfer")


def __getattr__(name):
    if name not in _LATER: raise AttributeError(f"module 'agentnb' has no attribute {name!r}")
    found = globals()[name] = getattr(_import_module(f"agentnb.{_LATER[name]}"), name)
    return found


def __dir__(): return sorted({*globals(), *_LATER})


def load_ipython_extension(shell):
    "What `%load_ext agentnb` calls"
    from agentnb.ui.magics import load
    load(shell)
