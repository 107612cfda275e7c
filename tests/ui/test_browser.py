"""The quickstart by hand: JupyterLab in Chromium, the embedded model answering; and cells that wait, stop and speak."""
import json, urllib.request

import pytest
from lab import approve, press, settle, shoot
from playwright.sync_api import expect
from replay import Replay

from agentnb.store.opening import open_store

pytestmark = pytest.mark.browser


def code_cells(path):
    "Indices of the code cells, so a test can name a cell by its source"
    return {"".join(c["source"]): i for i, c in enumerate(json.loads(path.read_text())["cells"]) if c["cell_type"] == "code"}


def cell_with(cells, text): return next(i for source, i in cells.items() if text in source)


@pytest.mark.model
def test_the_quickstart_by_hand(notebook, lab):
    before = set(open_store(lab.store()).runs())
    cells = code_cells(lab.root/"01_quickstart.ipynb")
    order = list(cells.values())
    hold, rest = cell_with(cells, "agent.run("), cell_with(cells, "await run.until()")
    nb = notebook(path="01_quickstart.ipynb")
    for i in order[:order.index(hold) + 1]:
        nb.run_cell(i)
        nb.done(i)
    view = nb.cell(hold).locator(".an-stepper")
    rows, step = view.locator(".an-steps li"), view.get_by_role("button", name="Step", exact=True)
    yes = view.get_by_role("button", name="Approve", exact=True)
    step.wait_for()
    seen = 0
    while not view.get_by_text("asks: ").count():
        assert seen < 20, "no request after 20 steps"
        step.click()
        expect(rows).not_to_have_count(seen, timeout=120_000)
        seen = rows.count()
    yes.wait_for()
    view.get_by_text("waiting for you").first.wait_for()
    expect(step).to_be_disabled()
    view.scroll_into_view_if_needed()
    shoot(nb.page, "quickstart-request")
    shoot(nb.page, "quickstart-stepper", view)

    fix = view.get_by_label("fix", exact=True)
    fix.fill("reboot everything")
    changed = view.get_by_role("button", name="Approve with changes", exact=True)
    press(changed)
    view.get_by_text("no runbook says that").wait_for()
    fix.fill("renew the certificate with certbot renew, then reload the proxy.")
    expect(yes).to_be_disabled()
    approve(view, "Approve with changes")
    view.get_by_text("approved by you").first.wait_for()
    view.get_by_role("button", name="Run", exact=True).click()
    nb.cell(hold).get_by_text("Result:").wait_for()
    for i in order[order.index(rest):]:
        nb.run_cell(i)
        nb.done(i)
    written = "Written to incident.md: renew the certificate with certbot renew, then reload the proxy."
    assert written in nb.output(cells["await run"])
    assert "renew the certificate" in (lab.root/"incident.md").read_text()
    assert (lab.root/"incident.md").read_text().count("\n") == 1

    store = open_store(lab.store())
    run_id = next(r for r in store.runs() if r not in before)
    kinds = [s.kind for s in store.read(run_id)]
    assert kinds[-1] == "finished" and kinds.count("tool") >= 2
    nb.save()
    outputs = json.loads((lab.root/"01_quickstart.ipynb").read_text())["cells"][hold]["outputs"]
    assert not any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in outputs)
    assert any("renew the certificate" in "".join(o.get("data", {}).get("text/html", "")) for o in outputs)

    nb.restart()
    last = order[-1]
    nb.write(last, f"from agentnb.cli.demo import on_call\nrun = on_call().load({run_id!r})\nprint([s.kind for s in run.steps])\nrun")
    nb.run_cell(last)
    shown = nb.done(last)
    assert str(kinds) in shown and written in shown
    shoot(nb.page, "loaded-after-restart")


def test_what_comes_and_goes_beside_a_store_is_not_listed(lab):
    "SQLite's own files: JupyterLab says that the folder is not found when one goes while it lists"
    for name in ("mine.db", "mine.db-wal", "mine.db-shm"): (lab.root/name).touch()
    with urllib.request.urlopen(f"{lab.url}/api/contents") as said: listed = {file["name"] for file in json.load(said)["content"]}
    assert "mine.db" in listed and not listed & {"mine.db-wal", "mine.db-shm"}


SCRIPTED = """from agentnb import Agent, Scripted, call, tool
@tool
def restart(service: str, grace: int = 30) -> str: return f"{service} restarted after {grace} s"
agent = Agent(Scripted([call("restart", service="<img src=x onerror='window.agentnb_owned=1'>"), "done"]), [restart])
run = agent.run("Restart it", run_id="RUN")"""


def test_await_run_waits_for_the_click(notebook, lab):
    "A cell that awaits the run waits alive; the answer is given by keyboard; the cell after it runs last"
    nb = notebook(SCRIPTED.replace("RUN", "awaiting"), "run", "print(await run)", "print('after', run.status)")
    nb.command("notebook:run-all-cells")
    view = nb.cell(1).locator(".an-stepper")
    view.get_by_role("button", name="Approve", exact=True).wait_for()
    assert nb.prompt(2) == nb.prompt(3) == "[*]:"
    grace = view.get_by_label("grace", exact=True)
    grace.fill("soon")
    press(view.get_by_role("button", name="Approve with changes", exact=True))
    view.get_by_text("is not a number").first.wait_for()
    grace.fill("5")
    settle(view)
    view.locator(".an-steps").focus()
    nb.page.keyboard.press("a")
    view.get_by_role("button", name="Yes, call restart", exact=True).wait_for()
    settle(view)
    nb.page.keyboard.press("y")
    assert "done" in nb.done(2) and "after done" in nb.done(3)
    expect(nb.cell(1)).to_contain_text("restarted after 5 s")
    assert nb.page.evaluate("window.agentnb_owned") is None


def test_the_stop_button_ends_the_waiting_and_not_the_run(notebook, lab):
    nb = notebook(SCRIPTED.replace("RUN", "stopping"), "run", "print(await run)")
    nb.command("notebook:run-all-cells")
    view = nb.cell(1).locator(".an-stepper")
    view.get_by_role("button", name="Approve", exact=True).wait_for()
    expect(nb.cell(2).locator(".jp-InputPrompt").first).to_have_text("[*]:")
    nb.command("kernelmenu:interrupt")
    assert "CancelledError" in nb.done(2)
    press(view.get_by_role("button", name="Reject…", exact=True))
    press(view.get_by_role("button", name="Reject", exact=True))
    view.get_by_text("rejected by you").first.wait_for()
    nb.run_cell(2)
    assert "done" in nb.done(2)


BACKGROUND = """import asyncio
from agentnb import Agent, Scripted, call, tool
@tool(read_only=True)
def look(n: int) -> str: return f"seen {n}"
class Slow(Scripted):
    async def __call__(self, *asked):
        await asyncio.sleep(0.3)
        return await super().__call__(*asked)
agent = Agent(Slow(lambda messages, tools: call("look", n=len(messages))), [look], max_iterations=500)
run = agent.run("Look around", run_id="RUN")"""


def test_the_stop_button_pauses_a_run_while_no_cell_runs(notebook, lab):
    began = BACKGROUND.replace("RUN", "background")
    nb = notebook(began, "run.start()\nrun", "print(run.status, run.tip.index)")
    for i in (0, 1):
        nb.run_cell(i)
        nb.done(i)
    view = nb.cell(1).locator(".an-stepper")
    rows, status, run = view.locator(".an-steps li"), view.locator(".an-status"), view.get_by_role("button", name="Run", exact=True)
    for stops in (1, 2):
        if stops == 2: run.click()
        expect(status).to_have_text("running")
        seen = int(rows.last.get_attribute("data-index"))   # only lines that can be seen are in the page
        view.locator(f".an-steps li[data-index='{seen + 3}']").wait_for()
        nb.command("kernelmenu:interrupt")
        expect(status).to_have_text("paused")
    nb.run_cell(2)
    said = nb.done(2)
    nb.page.wait_for_timeout(700)
    nb.run_cell(2)
    assert said.startswith("paused") and nb.done(2) == said


CUT_OFF = """await run.until()
run.pending[0].approve()
await run.until(kind="intent")
run = agent.load(run.run_id)
await run.until()
run"""


def test_an_unknown_outcome_has_its_own_answers(notebook, lab):
    "A run that was cut off inside a call: the card asks whether it happened, and says nothing of approving"
    name = "cut-off"
    nb = notebook(SCRIPTED.replace("RUN", name).replace("<img src=x onerror='window.agentnb_owned=1'>", "checkout"), CUT_OFF,
        "print(await run, [m.content for m in run.state.messages if m.role == 'tool'])")
    for i in (0, 1):
        nb.run_cell(i)
        nb.done(i)
    view = nb.cell(1).locator(".an-stepper")
    view.get_by_text("happen? The run was cut off").first.wait_for()
    view.get_by_role("button", name="It happened", exact=True).wait_for()
    assert not view.get_by_role("button", name="Approve", exact=True).count()
    view.get_by_label("Message", exact=True).fill("it was restarted by hand")
    shoot(nb.page, name)
    press(view.get_by_role("button", name="It happened", exact=True))
    view.get_by_text("answered by you").first.wait_for()
    nb.run_cell(2)
    assert "done ['it was restarted by hand']" in nb.done(2)


COUNT = """() => { const speech = document.querySelector('.an-speech'); window.updates = 0; window.sizes = [];
    new MutationObserver(() => { window.updates += 1; window.sizes.push(speech.textContent.length) }).observe(speech, { childList: true }) }"""


def test_a_reply_grows_in_place_while_it_is_made(notebook, lab):
    "A recorded stream of Claude's, sent slowly by a server on loopback: the text grows, at most 20 times a second"
    with Replay("anthropic/thinking_stream.json", pause=0.02) as claude:
        agent = f"""from agentnb import Agent
from agentnb.models.anthropic import Anthropic
agent = Agent(Anthropic("claude-sonnet-4-0", "test-key", {claude.url!r}))
run = agent.run("How do I cross the street?", run_id="speaking")"""
        nb = notebook(agent, "run")
        nb.command("notebook:run-all-cells")
        view = nb.cell(1).locator(".an-stepper")
        step = view.get_by_role("button", name="Step", exact=True)
        step.click()
        view.locator(".an-steps li").first.wait_for()
        nb.page.evaluate(COUNT)
        step.click()
        view.get_by_text("pedestrian safety").wait_for()
        shoot(nb.page, "speaking")
        view.locator(".an-steps li").nth(1).wait_for()
        updates, sizes = nb.page.evaluate("[window.updates, window.sizes]")
        seconds = claude.sent[-1] - claude.sent[0]
        assert 5 < updates <= 20 * seconds + 5 and sizes[:-1] == sorted(sizes[:-1]) and sizes[-1] == 0
        assert view.locator(".an-speech").is_hidden() and "crossing the street" in view.locator(".an-steps li").nth(1).inner_text()
