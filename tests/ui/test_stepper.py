"""The stepper by hand: JupyterLab in Chromium, a scripted model, by mouse and by keyboard."""
import json

import pytest
from lab import View, new_page, press, settle, press_until
from places import HELPERS
from playwright.sync_api import expect
from scene import ALWAYS, ASKING, FORM, HOSTILE, LONG, SCENE, SCROLL
from xss import BAD, CORPUS

from agentnb.store.protocol import read_run

pytestmark = pytest.mark.browser


def test_step_back_fork_and_live_by_mouse(open_view):
    v = open_view("run")
    v.sees("no steps yet")
    expect(v.button("Back")).to_be_disabled()
    for n in range(3):
        v.click("Step")
        v.last(n)
    assert "search_runbooks" in v.rows()[2]
    v.click("To request")
    v.last(8)
    v.status("waiting for you")
    expect(v.button("Step")).to_be_disabled()
    assert "not idempotent" in v.rows()[8]
    v.shoot("request")
    v.click("Back")
    v.selected(7)
    v.root.locator(".an-steps li[data-index='3']").click()
    v.status("on tape: step 3 of 8")
    v.tab("State")
    v.shoot("tape")
    expect(v.button("Step")).to_be_hidden()
    assert "recorded" in v.rows()[7]
    v.click("Forward")
    v.selected(4)
    v.click("Back")
    v.selected(3)
    v.click("Go live from here")
    v.sees("A fork of")
    v.last(3)
    v.status("paused")
    fork = next(r for r in v.store.runs() if any(s.kind == "started" and s.body.parent and s.body.parent.run_id == v.run_id for s in read_run(v.store, r)))
    assert len(read_run(v.store, v.run_id)) == 9, "the run itself is as it was"
    v.click("Step")
    v.last(4)
    assert len([s for s in read_run(v.store, fork)]) == 5
    v.click("Fork here")
    v.root.get_by_label("Instructions", exact=True).fill("Be careful.")
    v.click("Fork")
    v.last(5)
    assert "instructions" in v.rows()[5]


def test_the_same_by_keyboard(open_view):
    v = open_view("run")
    for n in range(2):
        expect(v.button("Step")).to_be_enabled()
        v.keys("s")
        v.last(n)
    expect(v.button("To request")).to_be_enabled()
    v.keys("r")
    v.last(8)
    v.keys("ArrowLeft")
    v.selected(7)
    v.keys("ArrowRight")
    v.selected(8)
    v.keys("Home")
    v.selected(0)
    v.keys("ArrowDown", "ArrowDown")
    v.selected(2)
    v.keys("End")
    v.selected(8)
    v.keys("PageUp")
    v.selected(0)
    v.keys("PageDown")
    v.selected(8)
    v.root.get_by_role("tab", name="Request").focus()
    v.page.keyboard.press("ArrowRight")
    v.sees("rate_limited")
    assert v.page.evaluate("document.activeElement.dataset.tab") == "Messages"
    v.keys("a")   # the card is not seen: the key shows it
    settle(v.root)
    assert len(read_run(v.store, v.run_id)) == 9
    v.keys("a")
    v.button("Yes, call restart").wait_for()
    settle(v.root)
    assert len(read_run(v.store, v.run_id)) == 9
    v.page.keyboard.press("y")
    v.sees("approved by you")
    v.status("paused")
    v.keys("g")
    v.status("done")
    v.sees("Fixed")
    v.keys("Home", "End")
    assert v.root.locator(".an-steps").evaluate("n => n === document.activeElement && getComputedStyle(n).outlineStyle") == "solid"
    v.shoot("done")
    by_hand = [s.kind for s in read_run(v.store, v.run_id)]
    assert by_hand == ["started", "model", "tool", "model", "tool", "model", "tool", "model", "request", "decision", "intent", "tool", "model", "finished"]


def test_approve_with_changed_arguments(open_view):
    v = open_view("run", scene=FORM)
    field = lambda name: v.root.get_by_label(name, exact=True)
    changed = v.button("Approve with changes")
    v.sees("Deploy “checkout”?")
    expect(changed).to_be_disabled()
    field("pods").fill("many")
    field("env").fill("{nonsense")
    press(changed)
    v.sees("is not a number")
    v.sees("is not valid JSON")
    field("env").fill('{"LEVEL": 7}')
    field("pods").fill("5")
    field("mode").select_option(label="all at once")
    field("dry").uncheck()
    expect(v.button("Approve")).to_be_disabled()
    press(changed)
    v.sees("LEVEL")   # the tool's own check: a number where text is meant
    field("env").fill('{"LEVEL": "debug"}')
    v.shoot("form")
    v.approve("deploy", "Approve with changes")
    v.sees("approved by you")
    v.click("Run")
    v.status("done")
    said = next(s.body.content for s in read_run(v.store, v.run_id) if s.kind == "tool")
    assert said == "checkout all at once dry=False pods=5 env={'LEVEL': 'debug'} note=None"


def test_reject_with_a_reason_by_keyboard(open_view):
    v = open_view("run", scene=FORM)
    settle(v.root)
    v.keys("x")
    v.root.get_by_label("Message", exact=True).wait_for()
    v.page.keyboard.type("not on a Friday")
    v.page.keyboard.press("Tab")
    v.page.keyboard.press("Enter")
    v.sees("rejected by you")
    body = read_run(v.store, v.run_id)[-1].body
    assert (body.verdict, body.message, body.by) == ("reject", "not on a Friday", "you") and body.seconds > 0


def test_a_yes_is_remembered_for_a_pattern(open_view):
    v = open_view("run", scene=ALWAYS)
    kind = v.root.get_by_label("For", exact=True)
    press_until(v.button("Always…"), lambda: kind.wait_for(timeout=4000))
    kind.select_option("globs")
    v.root.get_by_label("Pattern for service").fill("checkout-*")
    v.sees('remember={"service":"checkout-*"}')
    v.approve("deploy", "Approve and remember")
    v.sees("approved by you")
    v.click("To request")
    v.sees("billing")
    v.status("waiting for you")
    decisions = [s.body for s in read_run(v.store, v.run_id) if s.kind == "decision"]
    assert [d.by for d in decisions] == ["you", "you, remembered"]
    v.root.locator(".an-steps li", has_text="asks: deploy").first.click()
    v.sees("approved by you after")
    expect(v.root.locator(".an-decided")).to_have_count(1)


PLANNED = """from agentnb import Agent, Scripted, call, update_plan
tasks = [dict(id="look", text="Look at the metrics of checkout"), dict(id="restart", text="Restart one pod", after=["look"])]
script = [call("update_plan", plan=dict(goal="Checkout is fast again", tasks=tasks)), "Planned."]
run = Agent(Scripted(script), [update_plan]).run("Checkout is slow.", run_id="RUN")
await run.until(kind="tool")
"""


def test_the_plan_is_edited_in_place(open_view):
    "A line of the plan is changed by mouse, the model is told, and a line that cannot be is refused in words"
    v = open_view("run", scene=PLANNED)
    v.last(2)
    v.tab("State")
    v.root.get_by_text("plan", exact=True).first.click()
    v.sees("open: Restart one pod (after look)")
    v.root.get_by_role("button", name="Edit plan.restart").click()
    line = v.root.get_by_label("plan.restart", exact=True)
    line.fill("open: Restart one pod (after lunch)")
    v.click("Save")
    v.sees("waits for 'lunch', which is none of the tasks: look, restart")
    line.fill("dropped: Restart one pod")
    v.page.keyboard.press("Enter")
    v.last(3)
    v.sees("was open: Restart")
    v.shoot("plan")
    v.click("Step")
    v.last(4)
    v.tab("Messages")
    v.sees("restart. dropped: Restart one pod")


def test_the_state_is_searched_edited_and_copied(open_view):
    v = open_view("run")
    v.click("Step")
    v.last(0)
    v.tab("State")
    find = v.root.get_by_label("Search the state")
    find.fill("max_iter")
    v.root.get_by_text("budget", exact=True).wait_for(state="hidden")
    v.root.get_by_role("button", name="Edit max_iterations").click()
    value = v.root.get_by_label("max_iterations", exact=True)
    value.fill("soon")
    v.click("Save")
    v.sees("'soon' is not a number")
    value.fill("12")
    v.page.keyboard.press("Enter")
    v.last(1)
    v.sees("was 10")
    find.fill("")
    v.sees("budget")
    expect(v.root.locator(".an-tabs")).to_contain_text("1 changed")
    edit = read_run(v.store, v.run_id)[-1].body
    assert edit.max_iterations == 12 and edit.by == "you"
    v.shoot("state")
    v.click("Copy as code")
    assert "run.edit(messages=messages, max_iterations=12" in v.root.get_by_label("The state as code").input_value()
    v.click("Back")   # an edit of what is on tape makes a fork
    v.selected(0)
    v.root.locator("summary", has_text="user:").click()   # it is new here, so the list of messages is open
    v.root.get_by_role("button", name="Edit messages.0.content").click()
    v.root.get_by_label("messages.0.content", exact=True).fill("Search is slow.")
    v.click("Save")
    v.sees("A fork of")
    assert len(read_run(v.store, v.run_id)) == 2
    v.tab("Messages")
    v.sees("Search is slow.")


def test_top_up(open_view):
    v = open_view("run", scene=SCENE.replace('usd="0.25"', 'usd="0.003"'))
    v.click("To request")
    v.status("stopped")
    v.sees("is used up")
    v.shoot("stopped")
    v.click("Top up…")
    v.root.get_by_label("US dollars").fill("nothing")
    v.page.keyboard.press("Enter")
    v.sees("is not an amount of US dollars")
    v.click("Top up…")
    v.root.get_by_label("US dollars").fill("0.50")
    v.click("Add")
    v.status("paused")
    v.click("To request")
    v.status("waiting for you")


def test_a_budget_is_raised_on_its_card(open_view):
    v = open_view("run", scene=SCENE.replace('usd="0.25"', 'usd="0.003", ask=True'))
    v.click("To request")
    v.status("waiting for you")
    v.sees("May it be raised?")
    v.root.get_by_label("usd").fill("much")
    v.click("Raise it")
    v.sees("is not a number")
    v.root.get_by_label("usd").fill("0.50")
    v.shoot("budget")
    v.click("Raise it")
    v.sees("0.503")
    v.click("To request")
    v.sees("Restart the service")


def test_a_click_and_a_line_of_python_stop_at_the_same_step(open_view):
    code = "other = agent.run('Checkout is slow.')\ntries.clear()\nlast = await other.until(error=True)\nprint('stopped at', last.index)"
    v = open_view("tries.clear()\nrun")
    v.click("Break…")
    v.root.get_by_label("Errors").check()
    v.click("Add")
    v.sees("Break(error=True)")
    v.click("Close")
    expect(v.button("Break…")).to_contain_text("Break… (1)")
    v.click("Run")
    v.last(4)
    v.status("paused")
    v.click("Break…")
    v.click("Remove")
    v.root.get_by_label("Tool").select_option("restart")
    v.root.get_by_label("Arguments").fill("service=check*")
    v.click("Add")
    v.sees("Break(tool='restart', args={'service': 'check*'})")
    v.click("Run")
    v.last(7)
    v.write(1, code)
    v.nb.run_cell(1)
    assert "stopped at 4" in v.nb.done(1)


def test_two_views_and_a_second_tab_agree(open_view, lab, chromium):
    v = open_view("run", "run", name="two-views")
    other = View(v.nb, v.page.locator(".an-stepper").nth(1))
    v.click("Step")
    other.last(0)
    other.click("Step")
    v.last(1)
    v.click("Back")
    other.selected(0)
    other.status("on tape: step 0 of 1")
    v.nb.save()
    page = new_page(chromium, width=1000, height=900)
    page.goto(f"{lab.url}/lab/workspaces/second/tree/two-views.ipynb")
    third = View(v.nb, page.locator(".an-stepper").first)
    third.status("on tape: step 0 of 1")
    third.click("To the end")
    v.selected(1)
    v.nb.run_cell(2)   # the cell runs again: its view is a new one, and no run was started
    v.nb.done(2)
    expect(v.nb.cell(2).locator(".an-stepper")).to_have_count(1)
    assert v.page.locator(".an-stepper").count() == 2 and len(read_run(v.store, v.run_id)) == 2
    page.close()


def test_code_in_a_cell_is_seen_in_the_view(open_view):
    v = open_view("run")
    v.click("To request")
    v.last(8)
    source = "run.pending[0].approve(args={'grace_s': 5}, by='ops')\nrun.at(2)\nNone"
    v.write(0, source)
    v.nb.run_cell(0)
    v.status("on tape: step 2 of 9")
    v.click("To the end")
    v.sees("approved by ops")


def test_a_reload_and_a_lost_kernel_lose_nothing(open_view, lab):
    v = open_view("run", name="reloaded")
    v.click("To request")
    v.last(8)
    v.nb.save()
    v.page.reload()
    v.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    v.status("waiting for you")
    expect(v.root.locator(".an-steps li")).to_have_count(9)
    v.button("Approve").wait_for()
    v.nb.kernel_ready()
    v.nb.restart()
    v.click("Approve")
    v.sees("Nothing is lost")
    v.shoot("lost")
    assert len(read_run(v.store, v.run_id)) == 9
    load = SCENE.partition("run = agent.run")[0] + f"run = agent.load({v.run_id!r})\nrun"
    v.write(1, load)
    v.nb.run_cell(1)
    v.nb.done(1)
    v.status("waiting for you")
    v.nb.save()
    kept = json.loads((lab.root/"reloaded.ipynb").read_text())["cells"][1]["outputs"][0]["data"]
    assert "application/vnd.jupyter.widget-view+json" in kept and "<script" not in (page := "".join(kept["text/html"]))
    for fact in ("waiting for you", "rate_limited", "asks: restart", "$0.031"): assert fact in page
    v.approve("restart")
    v.sees("approved by you")
    v.click("Run")
    v.status("done")


def test_pause_errors_and_an_ended_run(open_view, lab):
    wait = '"Latency of `service`"\n    import time, pathlib\n    while not pathlib.Path("go").exists(): time.sleep(0.05)'
    v = open_view("run", scene=SCENE.replace('"Latency of `service`"', wait))
    v.click("Run")
    v.root.locator(".an-steps li[data-index='3']").wait_for()
    v.click("Pause")
    v.status("pausing after this step")
    expect(v.button("Pause")).to_be_disabled()
    (lab.root/"go").touch()
    v.status("paused")
    v.page.wait_for_timeout(500)
    assert len(read_run(v.store, v.run_id)) == 5
    down = "Scripted([ModelError('unavailable', 'the model is <b>down</b>')])"
    broken = f"from agentnb import ModelError\nrun = Agent({down}, name='on-call').run('x')\nrun.start()\nrun"
    v.write(1, broken)
    v.nb.run_cell(1)
    v.sees("the model is <b>down</b>")
    v.status("failed")


def test_the_page_stays_when_the_run_has_ended(open_view, lab):
    "The view stays for looking back; when another cell has run, the notebook holds the static page"
    v = open_view("run", name="ended")
    v.click("To request")
    v.last(8)
    v.approve("restart")
    v.sees("approved by you")
    v.click("Run")
    v.status("done")
    v.click("Back")
    v.status("on tape: step 12 of 13")
    v.click("To the end")
    v.status("done")
    v.write(0, "1 + 1")
    v.nb.run_cell(0)
    v.root.wait_for(state="detached")
    assert "Fixed" in v.nb.output(1)
    v.nb.save()
    outputs = json.loads((lab.root/"ended.ipynb").read_text())["cells"][1]["outputs"]
    assert not any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in outputs)
    page = "".join("".join(o["data"].get("text/html", "")) for o in outputs)
    assert "<script" not in page and "<style" not in page
    for fact in ("restart", "approved by you", "$0.034", "rate_limited", "p99 before"): assert fact in page
    View(v.nb, v.nb.cell(1).locator(".jp-OutputArea").first).shoot("static")


def test_five_thousand_steps(open_view):
    v = open_view("run", scene=LONG)
    v.selected(4999)
    assert v.page.evaluate(SCROLL) < 80, "lines that cannot be seen are in the page"
    v.keys("Home")
    v.selected(0)
    v.sees("started")
    v.root.locator(".an-steps").evaluate("list => { list.scrollTop = 2500 * 26 }")
    v.root.locator(".an-steps li[data-index='2503']", has_text="smollm2").wait_for()
    v.keys("End")
    v.selected(4999)
    v.click("Step")
    v.selected(5000)
    v.tab("Messages")
    v.sees("Show earlier messages")
    v.tab("State")
    v.root.get_by_label("Search the state").fill("seen 777")
    v.sees("seen 777")
    v.shoot("5000")


def test_narrow(open_view):
    v = open_view("await run.until()\nrun")
    v.page.set_viewport_size(dict(width=470, height=1000))
    v.page.wait_for_function("n => n.getBoundingClientRect().width < 420", arg=v.root.element_handle())
    v.settled()
    assert v.root.evaluate("n => n.scrollWidth <= n.clientWidth")
    top = lambda s: v.root.locator(s).evaluate("n => n.getBoundingClientRect().top")
    assert top(".an-detail") > top(".an-steps") + 150
    v.shoot("narrow")


WALK = """async (view, [steps, bad]) => {
    const look = eval(bad), list = view.querySelector(".an-steps"), found = [], soon = () => new Promise(done => setTimeout(done, 5));
    const at = () => Number(list.querySelector("[aria-selected=true]")?.dataset.index), end = performance.now() + 120_000;
    for (let place = at() - 1, n = 0; n < steps; n++, place--) {
        list.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true }));
        while (at() !== place || !view.querySelector(".an-pane[aria-busy=false]")) {
            if (performance.now() > end) throw Error(`step ${place} does not come`);
            await soon() }
        found.push(...look(view)) }
    return found }"""


def test_nothing_that_is_shown_runs(open_view, lab):
    v = open_view("run.at(-2)\nrun", ASKING, scene=HOSTILE.replace("TESTS", repr(str(HELPERS))))
    fetched = []
    v.page.on("request", lambda r: fetched.append(r.url))
    found = []
    look = lambda root: found.extend(root.evaluate(BAD))
    asks = View(v.nb, v.page.locator(".an-stepper").nth(1))
    expect(asks.root.locator(".an-ask")).to_have_count(len(CORPUS))
    for tab in ("Step", "Messages", "State", "Cost", "Raw"):
        asks.tab(tab)
        look(asks.root)
    for tab in ("Messages", "State", "Cost", "Raw", "Step"):
        v.tab(tab)
        if tab == "Messages":
            v.click("Show earlier messages")
            v.settled()
        look(v.root)
    begin = int(v.root.locator(".an-steps li[aria-selected=true]").get_attribute("data-index"))
    found.extend(v.root.evaluate(WALK, [2 * len(CORPUS), BAD]))
    v.selected(begin - 2 * len(CORPUS))
    v.page.evaluate("""document.querySelectorAll('.an-stepper *').forEach(n => {
        for (const e of ['mouseover', 'focus', 'toggle', 'animationstart']) n.dispatchEvent(new Event(e, {bubbles: true})) })""")
    v.page.wait_for_timeout(300)
    assert not found and v.page.evaluate("window.agentnb_owned") is None
    assert not [u for u in fetched if not u.startswith((lab.url, "data:", "blob:", lab.url.replace("http", "ws")))], fetched
