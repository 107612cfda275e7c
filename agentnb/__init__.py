"Prototype LLM agents in Jupyter, as runs that can be held, stepped, changed and resumed"
__version__ = "0.1.0"

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from agentnb.agent import Agent as Agent, Ticks as Ticks
from agentnb.run import Run as Run
from agentnb.core.budget import Budget as Budget
from agentnb.core.messages import Ask as Ask, Call as Call, Delta as Delta, Failure as Failure, Message as Message, Reply as Reply, ToolSpec as ToolSpec
from agentnb.core.messages import Usage as Usage, Verdict as Verdict, assistant as assistant, call as call, result as result, user as user
from agentnb.core.plan import Plan as Plan, Task as Task
from agentnb.core.portable import NotPortable as NotPortable, portable as portable
from agentnb.core.state import State as State
from agentnb.core.steps import Decision as Decision, Origin as Origin, Request as Request, Step as Step
from agentnb.tools.contract import Context as Context, ToolError as ToolError, mark_outside as mark_outside
from agentnb.tools.kept import KeepLocal as KeepLocal
from agentnb.tools.tool import Tool as Tool, ToolDefinitionError as ToolDefinitionError, tool as tool
from agentnb.tools.scopes import missing_scopes as missing_scopes, needed_scopes as needed_scopes
from agentnb.engine.policy import Rule as Rule, Ruling as Ruling
from agentnb.engine.breakpoints import Break as Break
from agentnb.engine.outcomes import AgentMismatch as AgentMismatch, DataMissing as DataMissing, RequestOpen as RequestOpen
from agentnb.engine.outcomes import RunPaused as RunPaused, RunStopped as RunStopped
from agentnb.store.opening import open_store as open_store
from agentnb.store.protocol import RunConflict as RunConflict, RunNotFound as RunNotFound, Store as Store, StoreError as StoreError
from agentnb.log.requests import Pending as Pending
from agentnb.log.approval import Approval as Approval, approvals as approvals, revoke as revoke
from agentnb.log.forks import SideEffect as SideEffect, lineage as lineage
from agentnb.log.inbox import pending as pending
from agentnb.models.protocol import AskedHuman as AskedHuman, Human as Human, Model as Model, ModelError as ModelError, Scripted as Scripted
from agentnb.wrappers.cache import Cached as Cached
from agentnb.wrappers.fallback import Fallback as Fallback
from agentnb.wrappers.providers import find_model as find_model
from agentnb.wrappers.retry import Retry as Retry
from agentnb.wrappers.tape import Tape as Tape, TapeMiss as TapeMiss
from agentnb.cascade.live import Cascade as Cascade
from agentnb.cascade.gates import Gate as Gate
from agentnb.study.compare import diff as diff
from agentnb.study.conversations import read_messages as read_messages, write_messages as write_messages
from agentnb.study.testcase import replay as replay
from agentnb.study.transcripts import import_conversation as import_conversation
from agentnb.host.kernel import interactive as interactive
from agentnb.host.secrets import secrets as secrets
from agentnb.host.settings import SettingsError as SettingsError

if _TYPE_CHECKING:
    from agentnb.cascade.gates import answer_of as answer_of, check as check, fresh as fresh, valid as valid
    from agentnb.cascade.probes import agree as agree, confident as confident, judged as judged
    from agentnb.cascade.policy import fit as fit
    from agentnb.cascade.records import Records as Records
    from agentnb.cli.main import find_agent as find_agent
    from agentnb.langgraph.graphs import to_langgraph as to_langgraph
    from agentnb.langgraph.held import hold as hold
    from agentnb.langgraph.langchain import from_langchain as from_langchain, to_langchain as to_langchain
    from agentnb.langgraph.saver import AgentnbSaver as AgentnbSaver
    from agentnb.langgraph.saver_store import LangGraphStore as LangGraphStore
    from agentnb.mcp.client import tools_from_mcp as tools_from_mcp
    from agentnb.mcp.server import serve_mcp as serve_mcp
    from agentnb.metrics.audits import audit as audit
    from agentnb.metrics.measure import measure as measure
    from agentnb.metrics.oversight import intervention_rates as intervention_rates
    from agentnb.metrics.prefix import prompt_cache as prompt_cache
    from agentnb.metrics.savings import savings as savings
    from agentnb.routing.embedders import Lexical as Lexical
    from agentnb.routing.index import Index as Index
    from agentnb.routing.router import Route as Route, Router as Router
    from agentnb.routing.semantic import SemanticCached as SemanticCached
    from agentnb.routing.toolset import Toolset as Toolset
    from agentnb.store.hidden import hide as hide, purge as purge, unhide as unhide
    from agentnb.store.transfer import export_runs as export_runs, import_runs as import_runs
    from agentnb.study.branches import frame as frame
    from agentnb.study.grid import side_by_side as side_by_side
    from agentnb.toolbox.files import files as files
    from agentnb.toolbox.http import http as http
    from agentnb.toolbox.process import process as process
    from agentnb.toolbox.python import python as python
    from agentnb.toolbox.sql import sql as sql
    from agentnb.tools.functions import tool_from_schema as tool_from_schema, tools_from_schemas as tools_from_schemas
    from agentnb.tools.planning import update_plan as update_plan
    from agentnb.ui.chat import chat as chat
    from agentnb.ui.dashboard import dashboard as dashboard
    from agentnb.ui.inbox import inbox as inbox
    from agentnb.ui.runs import browse as browse
    from agentnb.views.spent import spent as spent

_LATER = dict(  # imported when they are asked for: what they need is large, or an extra
    answer_of="cascade.gates", check="cascade.gates", fresh="cascade.gates", valid="cascade.gates", agree="cascade.probes", confident="cascade.probes",
    judged="cascade.probes", fit="cascade.policy", Records="cascade.records", find_agent="cli.main", to_langgraph="langgraph.graphs",
    hold="langgraph.held", from_langchain="langgraph.langchain", to_langchain="langgraph.langchain", AgentnbSaver="langgraph.saver",
    LangGraphStore="langgraph.saver_store", tools_from_mcp="mcp.client", serve_mcp="mcp.server", audit="metrics.audits", measure="metrics.measure",
    intervention_rates="metrics.oversight", prompt_cache="metrics.prefix", savings="metrics.savings", Lexical="routing.embedders", Index="routing.index",
    Route="routing.router", Router="routing.router", SemanticCached="routing.semantic", Toolset="routing.toolset", hide="store.hidden",
    purge="store.hidden", unhide="store.hidden", export_runs="store.transfer", import_runs="store.transfer", frame="study.branches",
    side_by_side="study.grid", files="toolbox.files", http="toolbox.http", process="toolbox.process", python="toolbox.python", sql="toolbox.sql",
    tool_from_schema="tools.functions", tools_from_schemas="tools.functions", update_plan="tools.planning", chat="ui.chat", dashboard="ui.dashboard",
    inbox="ui.inbox", browse="ui.runs", spent="views.spent")

__all__ = [  # what `import *` brings: nothing that comes later
    "Agent", "Ticks", "Run", "Budget", "Ask", "Call", "Delta", "Failure", "Message", "Reply", "ToolSpec", "Usage", "Verdict", "assistant", "call", "result",
    "user", "Plan", "Task", "NotPortable", "portable", "State", "Decision", "Origin", "Request", "Step", "Context", "ToolError", "Tool",
    "ToolDefinitionError", "tool", "missing_scopes", "needed_scopes", "Rule", "Ruling", "Break", "AgentMismatch", "DataMissing", "RequestOpen", "RunPaused",
    "RunStopped", "open_store", "RunConflict", "RunNotFound", "Store", "StoreError", "Pending", "Approval", "approvals", "revoke", "SideEffect", "lineage",
    "pending", "AskedHuman",
    "Human", "Model", "ModelError", "Scripted", "Cached", "Fallback", "find_model", "Retry", "Tape", "TapeMiss", "Cascade", "Gate", "diff",
    "read_messages", "write_messages", "replay", "import_conversation", "interactive", "SettingsError"]


def __getattr__(name):
    if name not in _LATER: raise AttributeError(f"module 'agentnb' has no attribute {name!r}")
    found = globals()[name] = getattr(_import_module(f"agentnb.{_LATER[name]}"), name)
    return found


def __dir__(): return sorted([*__all__, *_LATER, "__version__"])


def load_ipython_extension(shell):
    "What `%load_ext agentnb` calls"
    _import_module("agentnb.ui.magics").load(shell)
