"""Where things of the tests are, and the path on which a child process finds them."""
import os
from pathlib import Path

HELPERS = Path(__file__).parent
TESTS, ROOT = HELPERS.parent, HELPERS.parents[1]
DATA, ARTIFACTS = TESTS/"data", TESTS/"artifacts"


def on_path(*folders): return f"import sys; sys.path[:0] = {[str(f) for f in (*folders, HELPERS)]}\n"


def child_env(*folders, **more):
    "The environment of a child that imports the clone and what the tests share"
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, HELPERS, *folders))), **more}
