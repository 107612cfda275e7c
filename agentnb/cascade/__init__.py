"Cheap models first, stronger ones where it matters, and what that is worth"
import importlib

_HOMES = dict(Prompt="gates", Gate="gates", answer_of="gates", check="gates", fresh="gates", valid="gates", agree="probes", confident="probes",
    judged="probes", same_answer="probes", policy_gate="learned", Cascade="live", Receipt="receipt", Records="records", Policy="policy", Report="report",
    fit="policy")  # name -> module

def __getattr__(name):
    if name not in _HOMES: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try: return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as e:
        if e.name not in ("numpy", "pandas"): raise
        raise ImportError(f'{name} needs pandas and numpy. Run: pip install "agentnb-kit[lab]"') from e

def __dir__(): return [*globals(), *_HOMES]
