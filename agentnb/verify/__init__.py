"Gates: what judges an answer or a tool's result, and what a gate says"
from importlib import import_module

_HOMES = dict(Verdict="verdict", ask_gate="verdict", schema="fitting", unchanged="untouched", quotes="grounded", errors_told="grounded",
    tests_pass="tested", judged="asked", calibrate="calibration", Calibration="calibration")  # name -> module

def __getattr__(name):
    if name not in _HOMES: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

def __dir__(): return [*globals(), *_HOMES]
