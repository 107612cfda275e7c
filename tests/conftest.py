"""What all tests share. Nothing here reaches a network: a live model call is an error, except where a test is marked `model`."""
import os

os.environ["AGENTNB_OFFLINE"] = "1"
# A worker has a core of its own at best: threads that spin until another comes, as those of numpy's OpenBLAS and of llama.cpp do, take up to six times as long
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import shutil, uuid
from pathlib import Path

import pytest
from durations import measured
from needs import closing_line, missing

from agentnb.models.embedded import MEMBER, cache_folder


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    "What a test prints is seen with `-s`: the tests run in this process then, as with `-n 0`"
    if config.option.capture == "no": config.option.numprocesses, config.option.dist = 0, "no"


def pytest_xdist_auto_num_workers(config):
    "One more than there are processors: some tests wait, for a limit of time or for a page"
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(), 3) + 1


MARKS = dict(browser="drives JupyterLab in Chromium", model="asks the embedded model, whose weights must be in the cache folder",
    server="needs a server of its own: PostgreSQL, or an MCP server", slow="takes a second or more: the tests in durations.txt", quick="is none of these")


def pytest_configure(config):
    for name, why in MARKS.items(): config.addinivalue_line("markers", f"{name}: {why}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    "Long files first, so that workers end together. Browser tests last: Playwright's sync interface leaves a running event loop in its thread"
    files, slow = measured()
    for item in items:
        if "postgres_server" in item.fixturenames: item.add_marker("server")
        if item.nodeid.partition("[")[0] in slow: item.add_marker("slow")
        if not any(item.get_closest_marker(name) for name in MARKS): item.add_marker("quick")
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, -files.get(item.nodeid.partition("::")[0], 0)))


def pytest_runtest_setup(item):
    if item.get_closest_marker("model") and not (cache_folder()/Path(MEMBER).name).exists(): missing("the model's weights")
    if item.get_closest_marker("browser") and not shutil.which("chromium"): missing("Chromium")


def pytest_terminal_summary(terminalreporter):
    "One line says what to install for the tests that were skipped"
    reasons = [r.longrepr[2] if isinstance(r.longrepr, tuple) else str(r.longrepr) for r in terminalreporter.stats.get("skipped", [])]
    if line := closing_line(reasons): terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def chromium():
    "One browser for all files: Playwright's sync interface is begun once in a process"
    from lab import CHROMIUM
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(**CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def model_server():
    "The address of the embedded model, asked as any other server is: loaded once, it keeps what it has read of a prompt"
    import xllamacpp
    from agentnb.models.embedded import fetch_weights
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel = str(fetch_weights()), 4096, 1
    params.hostnames, params.port, params.verbosity = ["127.0.0.1"], 0, -1
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"


@pytest.fixture(scope="session")
def postgres_server():
    "The address of a server: the one at `AGENTNB_TEST_POSTGRES`, or the worker's own, begun by the first test that needs it"
    if url := os.environ.get("AGENTNB_TEST_POSTGRES"): yield url
    else:
        from postgres import installed, serving
        if not installed(): missing("PostgreSQL")
        with serving() as url: yield url


@pytest.fixture
def postgres_url(postgres_server, request):
    "A database of the test's own"
    assert request.node.get_closest_marker("server"), "the case that asks for PostgreSQL is marked: pytest.param(..., marks=pytest.mark.server)"
    import psycopg
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as db: db.execute(f"CREATE DATABASE {name}")
    yield f"{postgres_server.rpartition('/')[0]}/{name}"
    with psycopg.connect(postgres_server, autocommit=True) as db: db.execute(f"DROP DATABASE {name} WITH (FORCE)")


POSTGRES = pytest.param("postgresql", marks=pytest.mark.server)


@pytest.fixture(params=["sqlite", POSTGRES])
def durable(request, tmp_path):
    "The URL of a store that outlives its process"
    return f"sqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture(params=["sqlite", "memory", POSTGRES])
def store(request, tmp_path):
    "A store of each kind"
    from agentnb import open_store
    url = dict(sqlite=f"sqlite:///{tmp_path}/runs.db", memory="memory:").get(request.param) or request.getfixturevalue("postgres_url")
    made = open_store(url)
    yield made
    made.close()
