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


def test_into_out_and_over(tree):
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
    v.click("Over")   # up to the innermost one's request
    v.sees("boss › coder › deployer")
    v.status("waiting for you")
    for name in ("Over", "Into", "Out"): expect(v.button(name)).to_be_disabled()
    v.shoot("asks")
    assert [len(read_run(v.store, r)) for r in (v.run_id, v.child)] == [3, 5]
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
