"""Runs in runs by hand: into, over, out, a request answered from the top, three levels, in JupyterLab in Chromium."""
import pytest
from lab import View, approve, shoot
from playwright.sync_api import expect
from scene import TREE

from agentnb.store.protocol import read_run

pytestmark = pytest.mark.browser


class Tree(View):
    "A stepper with runs in runs"
    def row(self, run, n): return self.root.locator(f".an-steps li[data-run='{run}'][data-index='{n}']")
    def at(self, run, n): self.root.locator(f".an-steps li[data-run='{run}'][data-index='{n}'][aria-selected=true]").wait_for()
    def fold(self, run, n): self.row(run, n).locator(".an-fold").click()
    def shoot(self, name): shoot(self.page, f"children-{name}", self.root)


@pytest.fixture
def tree(open_view):
    def opened(*cells, scene=TREE):
        view = open_view(*cells, scene=scene)
        view.__class__ = Tree
        view.child, view.inner = f"{view.run_id}.1.0", f"{view.run_id}.1.0.3.0"
        return view
    return opened


def test_into_to_the_third_level(tree):
    v = tree("run")
    for n in range(2):
        v.click("Over")
        v.at(v.run_id, n)
    expect(v.button("Out")).to_be_disabled()
    v.click("Into")   # the call is begun
    v.at(v.run_id, 2)
    v.keys("i", "i", "i")
    v.at(v.child, 2)
    expect(v.root.locator(".an-crumbs")).to_have_text("boss›coder")
    v.sees("Round amounts half to even, with tests")
    v.click("Into")
    v.click("Into")
    v.at(v.child, 4)
    v.click("Into")
    v.at(v.inner, 0)
    expect(v.row(v.inner, 0)).to_have_attribute("aria-level", "3")
    v.shoot("into")


def test_over_and_out_with_a_request_between(tree):
    v = tree("for _ in range(7): await run.step(into=True)\nrun")
    v.click("Over")   # up to the innermost one's request
    v.sees("boss › coder › deployer")
    v.status("waiting for you")
    for name in ("Over", "Into", "Out"): expect(v.button(name)).to_be_disabled()
    v.shoot("asks")
    v.root.get_by_label("pods", exact=True).fill("5")
    approve(v.root, "Approve with changes", "deploy")
    v.sees("approved by you")
    v.keys("o")
    v.at(v.child, 5)
    v.click("Out")
    v.at(v.run_id, 3)
    expect(v.row(v.run_id, 2)).to_contain_text("child · done")
    v.click("Over")
    v.at(v.run_id, 4)
    v.click("Over")
    v.at(v.run_id, 5)
    v.click("Over")
    v.at(v.run_id, 6)
    assert "payments deployed on 5 pods" in str(read_run(v.store, v.inner))
    v.shoot("over")


def test_asked_from_the_top_while_it_runs_and_looked_at_afterwards(tree):
    v = tree("run")
    v.click("Run")
    v.status("waiting for you")
    expect(v.row(v.child, 0)).to_have_count(0)   # folded
    expect(v.row(v.run_id, 2)).to_contain_text("waiting for you")
    v.sees("boss › coder › deployer")
    v.root.get_by_label("pods", exact=True).fill("7")
    approve(v.root, "Approve with changes", "deploy")
    v.status("done")
    v.last(8)
    expect(v.row(v.run_id, 2)).to_contain_text("child · done")
    assert "payments deployed on 7 pods" in str(read_run(v.store, v.inner))
    v.keys("Home", "ArrowDown", "ArrowDown", "Enter")
    v.row(v.child, 7).wait_for()
    v.sees("Round amounts half to even, with tests")
    v.fold(v.child, 4)
    v.row(v.inner, 7).wait_for()
    v.row(v.inner, 3).click()
    v.at(v.inner, 3)
    v.status("step 3 of 7")
    v.sees("approved by you")
    v.root.locator(".an-detail").get_by_text("edit").first.wait_for(state="detached")
    v.shoot("inside")
    v.root.locator(".an-crumbs").get_by_role("button", name="coder").click()   # up
    v.at(v.child, 4)
    v.root.locator(".an-crumbs").get_by_role("button", name="boss").click()
    v.at(v.run_id, 2)
    expect(v.root.locator(".an-crumbs")).to_be_hidden()
    v.keys("ArrowLeft")
    v.status("on tape: step 1 of 8")
    expect(v.row(v.child, 3)).to_contain_text("recorded")
    v.shoot("tape")
    v.keys("ArrowRight", "Enter")
    expect(v.row(v.child, 0)).to_have_count(0)


def test_the_list_folds_children_and_the_inbox_says_the_path(notebook, lab):
    kept = TREE.replace("RUN", "listed").replace('"memory:"', "STORE").replace('name="boss"', 'name="boss", store=STORE')
    nb = notebook(f"STORE = {lab.store('tree')!r}{kept}await run.until()\nNone", "from agentnb import browse\nbrowse(boss)",
        "from agentnb.ui.inbox import inbox\ninbox(boss)")
    for i in range(3):
        nb.run_cell(i)
        nb.done(i)
    view, box = nb.cell(1).locator(".an-runs"), nb.cell(2).locator(".an-inbox")
    rows = view.locator("li[data-run]")
    expect(rows).to_have_count(1)
    view.get_by_text("▸ 1 child, 1 waiting").click()
    expect(rows).to_have_count(2)
    view.get_by_text("▸ 1 child, 1 waiting").click()
    expect(rows).to_have_count(3)
    shoot(nb.page, "children-list", view)
    view.locator("ul").focus()
    nb.page.keyboard.press("Home")
    nb.page.keyboard.press("ArrowLeft")
    expect(rows).to_have_count(1)
    expect(box.locator(".an-from").first).to_contain_text("boss › coder › deployer")
    shoot(nb.page, "children-inbox", box)
