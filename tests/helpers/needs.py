"""What a test needs and does not find here: it is skipped and says what to install; under AGENTNB_TEST_ALL=1, as .ci/run sets it, it fails."""
import importlib.util, os

import pytest

REQUIRED = os.environ.get("AGENTNB_TEST_ALL") == "1"
INSTALL = {
    "Chromium": "apt-get install chromium",
    "PostgreSQL": "apt-get install postgresql",
    "bubblewrap": "apt-get install bubblewrap",
    "the model's weights": "python -c 'from agentnb.models.embedded import fetch_weights; fetch_weights()'",
    "what the tests import": 'pip install -e ".[dev]"'}


def missing(what, more="", module=False):
    "Skip the test, or the module that is being imported"
    said = f"needs {what} ({INSTALL[what]}){more}"
    if REQUIRED: pytest.fail(f"this test {said}")
    pytest.skip(said, allow_module_level=module)


def need_modules(*names):
    "Before a module of tests imports what not everyone has installed"
    absent = [name for name in names if not importlib.util.find_spec(name)]
    if absent: missing("what the tests import", f": {', '.join(absent)}", module=True)


def closing_line(reasons):
    "One line for all that was skipped; `None` where nothing was"
    if not reasons: return None
    wanted = dict.fromkeys(f"{what} ({how})" for what, how in INSTALL.items() if any(f"needs {what} " in r for r in reasons))
    other = dict.fromkeys(r.removeprefix("Skipped: ") for r in reasons if not any(f"needs {what} " in r for what in INSTALL))
    told = [f"to run them, install {', '.join(wanted)}"] if wanted else []
    return f"{len(reasons)} skipped: {'; '.join([*told, *other])}"
