"Prototype LLM agents in Jupyter, as runs that can be held, stepped, changed and resumed"
__version__ = "0.1.0"

from agentnb.agent import Agent as Agent, Ticks as Ticks
from agentnb.budget import Budget as Budget
from agentnb.cache import Cached as Cached
from agentnb.cascade.live import Cascade as Cascade
from agentnb.fallback import Fallback as Fallback
from agentnb.messages import Ask as Ask, Call as Call, Delta as Delta, Message as Message, Reply as Reply
from agentnb.messages import assistant as assistant, call as call, result as result, user as user
from agentnb.models import Human as Human, Model as Model, ModelError as ModelError, Scripted as Scripted
from agentnb.policy import Rule as Rule
from agentnb.retry import Retry as Retry
from agentnb.run import AgentMismatch as AgentMismatch, RequestOpen as RequestOpen, Run as Run, RunPaused as RunPaused, RunStopped as RunStopped
from agentnb.state import State as State
from agentnb.steps import Step as Step
from agentnb.store import RunConflict as RunConflict, RunNotFound as RunNotFound, StoreError as StoreError, open_store as open_store
from agentnb.tape import Tape as Tape, TapeMiss as TapeMiss
from agentnb.tools import Context as Context, Tool as Tool, ToolError as ToolError, tool as tool
