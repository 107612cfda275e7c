"""One JupyterLab, one Chromium and one page for all that is done by hand in a worker. Pictures in both themes are kept in tests/artifacts."""
import pytest
from lab import Desk, Lab, View, shoot, write_page
from scene import SCENE

from agentnb.store.opening import open_store
from agentnb.cli.lab import prepare_lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab")
    prepare_lab(root, "agentnb.cli.demo:on_call")
    server = Lab(root, AGENTNB_LOCAL_ENDPOINTS="http://127.0.0.1:9/v1")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def desk(lab, chromium):
    made = Desk(chromium, lab)
    yield made
    made.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.when == "call": item.failed = report.failed
    return report


@pytest.fixture
def notebook(lab, desk, request):
    "Opens a notebook: of these cells, or the one that is there by name. A second one of a test has a page of its own"
    opened, name = [], request.node.name.partition("[")[0]

    def open_notebook(*sources, path=""):
        at = desk if not opened else Desk(desk.browser, lab)
        opened.append((at, at.open(path or write_page(lab, f"{name.removeprefix('test_')[:40]}{len(opened) or ''}.ipynb", *sources))))
        return opened[-1][1]
    yield open_notebook
    for i, (_, nb) in enumerate(opened): shoot(nb.page, f"{name}-end{i or ''}")
    ran = [nb for _, nb in opened if nb.page.evaluate("window.agentnb_owned !== undefined")]
    said = [s for at, _ in opened for s in at.said if "agentnb" in s or "anywidget" in s or "TypeError" in s]
    for at, nb in opened:
        nb.close()
        if at is not desk or getattr(request.node, "failed", True) or ran or said: at.clear()
    assert not ran, "a text from outside has run"
    assert not said, said


@pytest.fixture
def open_view(notebook, lab, request):
    def opened(*cells, name=None, scene=SCENE):
        name = name or request.node.name.split("[")[0].removeprefix("test_")[:40]
        run_id = name
        nb = notebook(path=write_page(lab, f"{name}.ipynb", scene.replace("RUN", run_id), *cells))
        for i in range(len(cells) + 1):
            nb.run_cell(i)
            nb.done(i)
        view = View(nb, nb.page.locator(".an-stepper").first)
        view.root.wait_for()
        view.run_id, view.store = run_id, open_store(lab.store())
        return view
    return opened
