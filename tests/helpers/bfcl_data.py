"""Functions and accepted answers of BFCL; see tests/data/bfcl/README.md."""
import gzip, json
from functools import cache

from agentnb.tools.functions import tools_from_schemas
from places import DATA

ROWS = [json.loads(line) for line in gzip.decompress((DATA/"bfcl"/"functions.jsonl.gz").read_bytes()).decode().splitlines()]


@cache
def toolboxes():
    "For each row its tools: made once for all who ask about them"
    return [tools_from_schemas(row["function"]) for row in ROWS]


def concrete(value):
    "Inside of an accepted object, each field has a list of accepted values; `''` among them means that it may be left out"
    if isinstance(value, list): return [concrete(v) for v in value]
    if not isinstance(value, dict): return value
    return {k: concrete(v[0] if isinstance(v, list) and v else v) for k, v in value.items() if not (isinstance(v, list) and "" in v[:1])}


def accepted(args):
    "One call for each accepted value of each argument, the others at their first; `''` leaves an argument out, an empty list is itself"
    first = {k: next((v for v in vs if v != ""), "" if vs else []) for k, vs in args.items()}
    calls = [first] + [{**first, k: v} for k, vs in args.items() for v in vs]
    return [{k: concrete(v) for k, v in call.items() if v != "" or "" not in args[k]} for call in calls]
