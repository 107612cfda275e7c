"""What all tests share. Nothing here reaches a network: a live model call is an error, except where a test is marked `model`."""
import os, shutil, uuid
from pathlib import Path

import pytest

from agentnb.models.embedded import MEMBER, cache_folder
from lab import CHROMIUM

os.environ["AGENTNB_OFFLINE"] = "1"
REQUIRED = os.environ.get("AGENTNB_TEST_ALL") == "1"   # set by .ci/run: what would be skipped fails


def pytest_configure(config):
    config.addinivalue_line("markers", "model: asks the embedded model, whose weights must be in the cache folder")
    config.addinivalue_line("markers", "browser: drives JupyterLab in Chromium")


def pytest_collection_modifyitems(items):
    "Browser tests come last: Playwright's sync interface leaves a running event loop in its thread"
    for item in items:   # nbval compares only cells that say when they were run, and clean notebooks do not
        if hasattr(item, "cell") and hasattr(item, "cell_num"): item.cell.execution_count = item.cell_num + 1
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_runtest_setup(item):
    if item.get_closest_marker("model") and not (cache_folder()/Path(MEMBER).name).exists():
        missing("the weights of the embedded model. Fetch them once: python -c 'from agentnb.models.embedded import fetch_weights; fetch_weights()'")
    if item.get_closest_marker("browser") and not shutil.which("chromium"): missing("Chromium. On Debian: apt-get install chromium")


def missing(what):
    if REQUIRED: pytest.fail(f"this test needs {what}")
    pytest.skip(f"this test needs {what}")


@pytest.fixture(scope="session")
def chromium():
    "One browser for all files: Playwright's sync interface is begun once in a process"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(**CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def postgres_server():
    "The address of a server: `AGENTNB_TEST_POSTGRES`, as .ci/run sets it; see tests/postgres.py"
    url = os.environ.get("AGENTNB_TEST_POSTGRES")
    return url or missing("a PostgreSQL server: python tests/postgres.py FOLDER, and what it prints in AGENTNB_TEST_POSTGRES")


@pytest.fixture
def postgres_url(postgres_server):
    "A database of the test's own"
    import psycopg
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as db: db.execute(f"CREATE DATABASE {name}")
    yield f"{postgres_server.rpartition('/')[0]}/{name}"
    with psycopg.connect(postgres_server, autocommit=True) as db: db.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def durable(request, tmp_path):
    "The URL of a store that outlives its process"
    return f"sqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def store(request, tmp_path):
    "A store of each kind"
    from agentnb import open_store
    url = dict(sqlite=f"sqlite:///{tmp_path}/runs.db", memory="memory:").get(request.param) or request.getfixturevalue("postgres_url")
    made = open_store(url)
    yield made
    made.close()
