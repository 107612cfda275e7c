"""Takes the pictures of the tutorials and of the documentation from a real JupyterLab: `python tests/helpers/pictures.py [folder]`, by default nbs."""
import json, sys, tempfile
from pathlib import Path

from lab import CHROMIUM, Lab, Notebook
from places import ROOT, on_path

WEEK = f"{on_path()}import week\nfrom agentnb import open_store\nstore = open_store('memory:')\nagent = await week.fill(store)"


def cells_of(tutorial, until):
    "The code of a tutorial up to the cell that holds `until`"
    cells = ["".join(c["source"]) for c in json.loads((ROOT/"nbs"/"tutorials"/tutorial).read_text())["cells"] if c["cell_type"] == "code"]
    last = next(i for i, source in enumerate(cells) if until in source)
    return "\n".join(cells[:last + 1])


class Camera:
    def __init__(self, folder, browser, lab): self.folder, self.browser, self.lab, self.count = folder, browser, lab, 0

    def take(self, name, setup, show, selector, act=lambda view, page: None, height=1100, at="2026-05-04T02:16:20Z"):
        "Run two cells, do something by hand, and keep a picture of what the second shows at that time"
        self.count += 1
        page = self.browser.new_page(viewport=dict(width=1180, height=height))
        page.clock.set_fixed_time(at)
        path = f"{Path(name).name}-{self.count}.ipynb"
        cell = lambda source: dict(cell_type="code", execution_count=None, metadata={}, outputs=[], source=source)
        kernel = dict(display_name="Python 3", language="python", name="python3")
        (self.lab.root/path).write_text(json.dumps(dict(cells=[cell(setup), cell(show)], metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=4)))
        nb = Notebook(page, self.lab, path)
        nb.command("application:toggle-left-area")
        for i in range(2):
            nb.run_cell(i)
            nb.done(i)
        view = nb.cell(1).locator(selector).first
        view.wait_for()
        page.wait_for_timeout(600)
        act(view, page)
        page.wait_for_timeout(600)
        shot = self.folder/f"{name}.png"
        shot.parent.mkdir(parents=True, exist_ok=True)
        view.screenshot(path=str(shot))
        small(shot)
        nb.close()
        page.close()
        print(shot, f"{shot.stat().st_size:,} bytes")


def small(path):
    "Fewer colours: a picture of text needs no more"
    from PIL import Image
    Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)


def take_all(camera):
    debug, approve = "02_debug.ipynb", "03_approve.ipynb"
    camera.take("tutorials/images/debug-breakpoint", cells_of(debug, "await run.until(tool="), "run", ".an-stepper")
    camera.take("tutorials/images/debug-fork", cells_of(debug, "await fixed.until(tool="), "fixed", ".an-stepper")
    camera.take("tutorials/images/approve-card", cells_of(approve, 'run_id="night-1"'), "run", ".an-stepper")
    camera.take("tutorials/images/approve-inbox", cells_of(approve, "night-5"), "from agentnb.ui.inbox import inbox\ninbox(agent)", ".an-inbox")
    shown = "from agentnb.ui.dashboard import dashboard\ndashboard(store)"
    camera.take("tutorials/images/compare-dashboard", WEEK, shown, "[aria-label=Dashboard]", height=1700)
    camera.take("images/runs", WEEK, "from agentnb.ui.runs import browse\nbrowse(store)", ".an-runs",
        lambda view, page: view.get_by_label("tree of forks").check(), at="2026-05-08T09:00:00Z")


def main(folder):
    from playwright.sync_api import sync_playwright
    with tempfile.TemporaryDirectory() as root, sync_playwright() as p:
        lab = Lab(root)
        try: take_all(Camera(folder, p.chromium.launch(**CHROMIUM), lab))
        finally: lab.stop()


if __name__ == "__main__": main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT/"nbs"))
