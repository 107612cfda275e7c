"""A server of tools asks in the middle of a call: its card in the stepper, filled in by hand."""
import pytest
from lab import press, press_until, shoot, write_page
from places import on_path

from agentnb.store.opening import open_store
from agentnb.store.protocol import read_run

pytestmark = pytest.mark.browser

BOOKING = on_path() + """
from agentnb import Agent, Reply, Rule, Scripted, call, tools_from_mcp
import warnings; warnings.simplefilter("ignore")
from mcp_booking import server
def script(messages, tools):
    if messages[-1].content.startswith("Greet"): return Reply(content="Bon voyage, Ann.", cost="0.02")
    return "Booked." if messages[-1].role == "tool" else call("book", to="Oslo")
client = await tools_from_mcp(server, timeout=0.5)
run = Agent(Scripted(script), client.tools, policy=[Rule(effect="allow")]).run("Book a seat to Oslo", run_id="booking")
run
"""


def test_a_server_asks_in_the_middle_of_a_call(notebook, lab):
    nb = notebook(path=write_page(lab, "booking.ipynb", BOOKING))
    nb.run_cell(0)
    nb.done(0)
    root = nb.page.locator(".an-stepper").first
    root.get_by_role("button", name="Run", exact=True).click()
    root.get_by_text("of 12, looking for seats").first.wait_for()
    shoot(nb.page, "stepper-progress", root)
    root.get_by_text("booking asks: Who travels to Oslo?").first.wait_for()
    root.get_by_label("Name", exact=True).fill("Ann")
    root.get_by_label("Age", exact=True).fill("400")
    root.get_by_label("With insurance", exact=True).check()
    send = root.get_by_role("button", name="Send", exact=True)
    press_until(send, lambda: root.get_by_text("400 is greater than the maximum of 120").wait_for(timeout=4000))
    shoot(nb.page, "stepper-elicitation", root)
    root.get_by_label("Age", exact=True).fill("41")
    press_until(send, lambda: root.get_by_text("booking asks: may your model be asked this").first.wait_for(timeout=4000))
    shoot(nb.page, "stepper-sampling", root)
    press(root.get_by_role("button", name="Allow", exact=True))
    root.locator(".an-status").get_by_text("done").wait_for()
    returned = next(s.body for s in read_run(open_store(lab.store()), "booking") if s.kind == "tool")
    assert "Ann, 41, window, insured. Bon voyage, Ann." in returned.content
    shoot(nb.page, "stepper-booked", root)
