"""Every page runs from top to bottom, offline, where nobody can answer, and shows what is saved in it. Each is run once: tutorials in a kernel."""
import nbformat, pytest
from pages import Runner, difference, in_kernel, pages, shown
from places import ROOT

TUTORIALS = sorted((ROOT/"nbs"/"tutorials").glob("*.ipynb"))
SAID = {"01_quickstart": "Written to incident.md"}


@pytest.fixture(scope="session")
def run(): return Runner()


@pytest.mark.parametrize("path", pages(), ids=lambda p: str(p.relative_to(ROOT/"nbs").with_suffix("")))
def test_a_page_runs_and_shows_what_is_saved(run, path):
    made, error = run(path)
    assert not error, error
    assert not (differs := difference(path, made)), f"{differs}\nSave what it shows now: nbdev-test --save --file-re {path.stem}; nbdev-clean"


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
def test_a_tutorial_in_a_kernel_shows_what_is_saved(path):
    "The way nbconvert, papermill and CI run it: a kernel, and nobody there"
    saved, page = nbformat.read(path, 4), in_kernel(path)
    assert shown(page) == shown(saved)
    assert "<script" not in str(shown(page)) and SAID.get(path.stem, "") in str(shown(page))
    pictures = [line for c in page.cells if c.cell_type == "markdown" for line in c.source.splitlines() if line.startswith("![")]
    assert all((path.parent/line.rpartition("(")[2].rstrip(")")).exists() for line in pictures)
