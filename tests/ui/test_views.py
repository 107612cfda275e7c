"""The views over many runs by hand: JupyterLab in Chromium, mouse and keyboard."""
import pytest
from lab import approve, press, settle, shoot
from places import on_path
from playwright.sync_api import expect

from agentnb.store.opening import open_store
from agentnb.store.protocol import hidden_runs, read_run

pytestmark = pytest.mark.browser


def run_all(nb, count, first=0):
    for i in range(first, count):
        nb.run_cell(i)
        nb.done(i)


WEEK = f"""{on_path()}import week, random
from agentnb import open_store
store = open_store("STORE")
if not store.runs(): await week.fill(store)"""


def week(lab, name): return WEEK.replace("STORE", lab.store(name)), open_store(lab.store(name))


def test_runs_are_browsed_searched_deleted_and_had_back(notebook, lab):
    source, store = week(lab, "browsed")
    nb = notebook(source, "from agentnb.ui.runs import browse\nbrowse(store)")
    run_all(nb, 2)
    view = nb.cell(1).locator(".an-runs")
    rows = view.locator("li[data-run]")
    rows.nth(19).wait_for()
    shoot(nb.page, "runs", view)
    view.get_by_text("20 runs").wait_for()
    expect(rows.first).to_contain_text("waiting for you")
    view.get_by_label("Search runs").fill("disk of mail")
    view.get_by_text("4 runs").wait_for()
    view.get_by_label("Status").select_option("waiting")
    view.get_by_text("1 run", exact=True).wait_for()
    expect(rows.first).to_have_attribute("data-run", "week-07-careful")
    view.get_by_label("Search runs").fill("")
    view.get_by_label("Status").select_option("")
    rows.nth(19).wait_for()
    view.get_by_label("tree of forks").check()
    view.get_by_text("↳").first.wait_for()
    shoot(nb.page, "runs-tree", view)
    names = [rows.nth(i).get_attribute("data-run") for i in range(20)]
    assert names.index("week-07-careful") == names.index("week-07") + 1

    view.locator("ul").focus()
    for key in ("Home", "ArrowDown", "ArrowDown"): nb.page.keyboard.press(key)
    nb.page.keyboard.press("Enter")
    view.get_by_label("Run", exact=True).get_by_text("Nobody can log in.").first.wait_for()
    shoot(nb.page, "runs-opened", view)
    view.locator("ul").focus()
    nb.page.keyboard.press("Delete")
    view.get_by_text("Deleted week-15.").wait_for()
    view.get_by_text("19 runs").wait_for()
    assert hidden_runs(store) == {"week-15": "you"}
    nb.page.keyboard.press("u")
    view.get_by_text("20 runs").wait_for()
    view.get_by_text("Deleted week").wait_for(state="hidden")
    assert hidden_runs(store) == {}


LABELLED = """from agentnb import Agent, Origin, Scripted, browse
agent = Agent(Scripted(["It is full."] * 4), name="on-call", store="STORE", labels={"version": "b"})
for i, user in enumerate(("Ada L.", "Bob")): await agent.run("Is the disk full?", run_id=f"case-{i}", labels={"case": str(i), "user": user})
for i in (1, 2): await agent.run("Is the tape?", run_id=f"child-{i}", caller=Origin(run_id="case-0", index=1))"""


def test_runs_are_filtered_by_label_and_a_deleted_caller_names_its_calls(notebook, lab):
    nb = notebook(LABELLED.replace("STORE", lab.store("labelled")), "browse(agent, labels={'version': 'b'})")
    run_all(nb, 2)
    view = nb.cell(1).locator(".an-runs")
    rows, labels = view.locator("li[data-run]"), view.get_by_label("Labels")
    view.get_by_text("4 runs").wait_for()
    expect(labels).to_have_value("version=b")
    labels.fill("case=1 version=b")
    nb.page.keyboard.press("Enter")
    view.get_by_text("1 run", exact=True).wait_for()
    expect(rows.first).to_contain_text("case=1 · user=Bob")
    labels.fill("case")
    nb.page.keyboard.press("Enter")
    view.get_by_text("'case' is no label. Write name=text").wait_for()
    labels.fill("")
    nb.page.keyboard.press("Enter")
    view.get_by_text("4 runs").wait_for()
    view.get_by_title("Only runs with user=Ada L.").click()
    view.get_by_text("1 run", exact=True).wait_for()
    expect(labels).to_have_value("'user=Ada L.'")
    shoot(nb.page, "runs-labels", view)
    view.locator("ul").focus()
    nb.page.keyboard.press("Delete")
    view.get_by_text("Deleted case-0. Its calls began child-1, child-2: not deleted.").wait_for()
    view.get_by_text("No run fits.").wait_for()
    nb.page.keyboard.press("u")
    view.get_by_text("1 run", exact=True).wait_for()
    labels.fill("")
    nb.page.keyboard.press("Enter")
    view.get_by_label("tree of forks").check()
    expect(rows.nth(3)).to_contain_text("called by case-0 at step 1")
    expect(rows.nth(3)).to_contain_text("↳")
    shoot(nb.page, "runs-calls", view)


INBOX = "from agentnb.ui.inbox import inbox\nagent = week.agent_of(store, [], week.Clock())\ninbox(store, agent)"


def test_an_inbox_is_answered_by_mouse_by_keyboard_and_elsewhere(notebook, lab):
    source, store = week(lab, "asked")
    nb = notebook(source, INBOX)
    run_all(nb, 2)
    view = nb.cell(1).locator(".an-inbox")
    cards = view.locator(".an-item")
    cards.nth(5).wait_for()
    shoot(nb.page, "inbox", view)
    runs = [cards.nth(i).get_attribute("data-run") for i in range(6)]
    view.get_by_text("6 waiting", exact=True).wait_for()
    expect(cards.last).to_contain_text("Restart the service")
    assert runs[0] == "week-00"

    last = cards.last
    last.get_by_label("grace_s").fill("soon")
    press(last.get_by_role("button", name="Approve with changes"))
    last.get_by_text("is not a number").wait_for()
    last.get_by_label("grace_s").fill("5")
    approve(last, "Approve with changes", "restart")
    view.get_by_text("5 waiting", exact=True).wait_for()
    decision = read_run(store, "week-17")[-1].body
    assert (decision.verdict, decision.args["grace_s"], decision.by) == ("approve", 5, "you")
    view.get_by_role("button", name="Resume", exact=True).wait_for()

    held = view.locator('[data-run="week-16"]')
    held.scroll_into_view_if_needed()
    settle(held)
    held.focus()
    nb.page.keyboard.press("x")
    nb.page.keyboard.type("Not at night.")
    press(held.get_by_role("button", name="Reject", exact=True))
    view.get_by_text("4 waiting", exact=True).wait_for()
    assert read_run(store, "week-16")[-1].body.message == "Not at night."

    typed = view.locator('[data-run="week-06"]').get_by_label("grace_s")
    typed.fill("77")
    from agentnb.log.inbox import pending
    for p in pending(store):
        if p.run.run_id == "week-02-careful": p.reject("answered elsewhere", by="ann")
    view.get_by_text("3 waiting", exact=True).wait_for()
    assert typed.input_value() == "77"
    shoot(nb.page, "inbox-answered", view)


def test_two_inboxes_agree(notebook, lab):
    source, store = week(lab, "shared")
    one, two = notebook(source, INBOX), notebook(source, INBOX)
    run_all(one, 2)
    cards = one.cell(1).locator(".an-item")
    cards.nth(5).wait_for()
    run_all(two, 2)
    other = two.cell(1).locator(".an-item")
    other.nth(5).wait_for()
    approve(cards.last, tool="restart")
    two.cell(1).get_by_text("5 waiting", exact=True).wait_for()
    expect(other).to_have_count(5)


def test_ten_thousand_runs_and_a_damaged_one(notebook, lab):
    from datetime import UTC, datetime, timedelta
    from agentnb.core.steps import Finished, Started, Step
    store, at = open_store(lab.store("many")), datetime(2026, 5, 4, tzinfo=UTC)
    step = lambda i, index, body: Step(run_id=f"r{i:05}", index=index, at=at + timedelta(seconds=i), body=body)
    store.append(*(s for i in range(10_000) for s in (step(i, 0, Started(task=f"<img src=x onerror='window.agentnb_owned=1'> task {i}", agent="a")),
        step(i, 1, Finished(status="done", result="**x** <script>window.agentnb_owned=1</script>")))))
    store._run(("UPDATE steps SET payload = '{\"task\": 7}' WHERE run_id = 'r09998' AND idx = 0", ()))
    nb = notebook(f"from agentnb.ui.runs import browse\nbrowse({lab.store('many')!r})")
    nb.run_cell(0)
    view = nb.cell(0).locator(".an-runs")
    rows = view.locator("li[data-run]")
    view.get_by_text("10,000 runs").wait_for()
    expect(rows).to_have_count(25)
    expect(rows.nth(1)).to_contain_text("cannot be read")
    expect(rows.nth(1)).to_have_attribute("data-status", "damaged")
    view.locator("ul").focus()
    nb.page.keyboard.press("PageDown")
    view.get_by_text("26–50").wait_for()
    rows.first.dblclick()
    view.locator(".an-detail details").first.wait_for()
    expect(view.locator(".an-detail")).to_contain_text("<script>")
    assert not view.locator(".an-detail script, .an-detail img").count()
    shoot(nb.page, "runs-many", view)
    view.get_by_label("Search runs").fill("task 123")
    view.get_by_text("11 runs", exact=True).wait_for(timeout=60_000)
    view.get_by_label("Search runs").fill("")
    view.get_by_label("Status").select_option("damaged")
    view.get_by_text("1 run", exact=True).wait_for(timeout=60_000)
    expect(view.get_by_role("button", name="Open")).to_be_disabled()


CHAT = """import asyncio
from pathlib import Path
from agentnb import Agent, Delta, ModelError, Reply, Scripted, call, tool
@tool
def restart(service: str) -> str:
    "Restart the service `service`"
    return f"{service} restarted <img src=x onerror='window.agentnb_owned=1'>"
class Slow(Scripted):
    async def __call__(self, messages, tools=(), instructions="", ask=None):
        said = "The cellar is dry, I have looked twice. [x](javascript:window.agentnb_owned=1)"
        if messages[-1].content.startswith("Is") and ask and ask.on_delta:
            for word in said.split(" "):
                ask.on_delta(Delta("text", word + " "))
                await asyncio.sleep(0.05)
            while not Path("seen").exists(): await asyncio.sleep(0.05)
            return Reply(content=said)
        return await super().__call__(messages, tools, instructions, ask)
script = [None, call("restart", service="<b>pump</b>"), "**Restarted**.\\n\\n- <script>window.agentnb_owned=1</script> it runs\\n- `p99` is low"]
agent = Agent(Slow(script), [restart], name="plumber", store="STORE")
from agentnb.ui.chat import chat
talk = chat(agent)
talk"""


def test_a_chat_by_keyboard_with_a_request_in_it_and_back_after_a_restart(notebook, lab):
    nb = notebook(CHAT.replace("STORE", lab.store("chat")), "print(talk.run.run_id)")
    nb.run_cell(0)
    view = nb.cell(0).locator(".an-chat")
    view.get_by_label("Message", exact=True).click()
    nb.page.keyboard.type("Is the cellar dry?")
    nb.page.keyboard.press("Enter")
    view.locator(".an-speech").get_by_text("The cellar is").wait_for()
    (lab.root/"seen").touch()
    view.locator(".an-answer").get_by_text("I have looked twice").wait_for()
    assert view.locator(".an-answer a").count() == 0
    nb.page.keyboard.type("Then restart the pump.")
    nb.page.keyboard.press("Enter")
    view.get_by_role("button", name="Approve", exact=True).wait_for()
    shoot(nb.page, "chat-request", view)
    settle(view)
    view.locator(".an-turns").focus()
    nb.page.keyboard.press("a")
    view.get_by_role("button", name="Yes, call restart", exact=True).wait_for()
    settle(view)
    nb.page.keyboard.press("y")
    view.locator(".an-answer strong").get_by_text("Restarted").wait_for()
    fold = view.locator(".an-fold").nth(1)
    fold.locator("summary").first.click()
    fold.locator(".an-step summary").nth(0).click()
    fold.locator(".an-pane").first.get_by_text("pump").first.wait_for()
    shoot(nb.page, "chat", view)
    nb.run_cell(1)
    run_id = nb.done(1).strip()
    nb.restart()
    nb.write(1, CHAT.replace("STORE", lab.store("chat")).replace("chat(agent)", f"chat(agent, {run_id!r})"))
    nb.run_cell(1)
    again = nb.cell(1).locator(".an-chat")
    again.locator(".an-turn").nth(1).wait_for()
    expect(again).to_contain_text("Is the cellar dry?")
    expect(again).to_contain_text("it runs")


def test_a_cell_is_a_task_and_running_it_again_is_no_second_run(notebook, lab):
    agent = f"""from agentnb import Agent, Scripted, call, tool
@tool
def restart(service: str) -> str: return "restarted"
on_call = Agent(Scripted([call("restart", service="checkout"), "Restarted."]), [restart], name="on-call", store={lab.store("cells")!r})
%load_ext agentnb"""
    nb = notebook(agent, "%%agent on_call\nCheckout is slow.", "print(run.run_id, len(on_call.store.heads()))", "%runs", "%inbox", "%budget")
    run_all(nb, 2)
    view = nb.cell(1).locator(".an-stepper")
    for count in (1, 2):
        view.get_by_role("button", name="Step", exact=True).click()
        nb.page.wait_for_function("n => document.querySelectorAll('.an-stepper li[data-index]').length >= n", arg=count)
    nb.run_cell(2)
    first = nb.done(2)
    run_all(nb, 3, 1)
    assert nb.output(2) == first and first.strip().endswith(" 1")
    nb.restart()
    run_all(nb, 6)
    assert nb.output(2) == first
    nb.cell(3).get_by_text("1 run", exact=True).wait_for()
    nb.cell(4).locator(".an-inbox").wait_for()
    assert "runs in sqlite" in nb.output(5)
    nb.write(2, "%%agent on_call --until re")
    nb.cell(2).locator(".cm-content").click()
    nb.page.keyboard.press("End")
    nb.page.keyboard.press("Tab")
    nb.page.locator(".jp-Completer").get_by_text("restart").wait_for()


def test_each_view_fits_a_narrow_and_a_wide_page(notebook, lab):
    source, _ = week(lab, "narrow")
    chatting = """from agentnb import Agent, Scripted
from agentnb.ui.chat import chat
talk = chat(Agent(Scripted(['A **valve**.']), store='memory:'))
await talk.say('What leaks?')
talk"""
    cells = [source, "from agentnb.ui.runs import browse\nbrowse(store)", INBOX, chatting, "from agentnb.ui.dashboard import dashboard\ndashboard(store)"]
    views = {1: ".an-runs", 2: ".an-inbox", 3: ".an-chat", 4: "[aria-label=Dashboard]"}
    nb = notebook(*cells)
    run_all(nb, len(cells))
    for width in (476, 1400):
        nb.page.set_viewport_size(dict(width=width, height=1400))
        for i, name in views.items():
            view = nb.cell(i).locator(name).first
            view.locator(":scope *").first.wait_for()
            nb.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            seen = view.evaluate("e => [e.clientWidth, e.scrollWidth]")
            assert seen[1] <= seen[0] + 1 and (width > 476 or seen[0] <= 380), (name, width, seen)
            shoot(nb.page, f"{name.strip('.[]').replace('aria-label=', '')}-{width}", view)
