"""The stepper and the inbox in Notebook 7, where a key is taken before the page sees it."""
import pytest
from lab import new_page, settle, write_page
from places import ARTIFACTS
from scene import SCENE

from agentnb.store.opening import open_store
from agentnb.store.protocol import read_run

pytestmark = pytest.mark.browser
INBOX = "from agentnb.ui.inbox import inbox\ninbox(agent)"


def test_step_answer_and_run_by_mouse_and_keyboard(lab, chromium):
    page = new_page(chromium, height=1300)
    page.goto(f"{lab.url}/notebooks/{write_page(lab, 'seven.ipynb', SCENE.replace('RUN', 'seven'), 'run', INBOX)}")
    cells = page.locator(".jp-Cell")
    cells.nth(2).wait_for()
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'")
    cells.first.click()
    for i in range(3):
        page.keyboard.press("Shift+Enter")
        page.wait_for_function("i => /\\d/.test(document.querySelectorAll('.jp-Cell .jp-InputPrompt')[i].innerText)", arg=i)
    count, view = cells.count(), page.locator(".an-stepper")
    view.locator(".an-steps").focus()
    page.keyboard.press("s")
    view.locator(".an-steps li[data-index='0']").wait_for()
    view.get_by_role("button", name="To request", exact=True).click()
    page.locator(".an-inbox").get_by_text("Checkout is slow").first.wait_for()
    view.get_by_role("button", name="Approve", exact=True).wait_for()
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=str(ARTIFACTS/"notebook-7.png"))
    view.get_by_role("button", name="Back", exact=True).click()
    view.locator(".an-status").get_by_text("on tape").wait_for()
    page.keyboard.press("b")   # on a button of the stepper; in a notebook it inserts a cell
    view.locator(".an-steps").focus()
    page.keyboard.press("End")
    settle(view)
    page.keyboard.press("a")
    view.get_by_role("button", name="Yes, call restart", exact=True).wait_for()
    settle(view)
    page.keyboard.press("y")
    view.get_by_text("approved by you").first.wait_for()
    view.locator(".an-status").get_by_text("paused").wait_for()
    page.keyboard.press("g")
    view.locator(".an-status").get_by_text("done").wait_for()
    assert cells.count() == count, "a key went to the notebook"
    assert [s.kind for s in read_run(open_store(lab.store()), "seven")][-1] == "finished"
    page.close()
