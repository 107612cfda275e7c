"""How fast is the stepper? JupyterLab and Chromium on this machine: `python bench/stepper.py`. Prints three numbers beside what is wanted of them."""
import json, statistics, sys, tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent/"tests"/"helpers"))
from lab import CHROMIUM, Lab, Notebook  # noqa: E402
from scene import LONG  # noqa: E402

STEPS = LONG.partition('agent = ')[0] + 'run = Agent(Scripted(say), [look], max_iterations=500).run("Count")\nrun'

SPEECH = '''
import asyncio, time
from agentnb import Agent
from agentnb.core.messages import Delta, Reply
class Speaker:
    name = "speaker"
    async def __call__(self, messages, tools=(), instructions="", ask=None):
        began = time.monotonic()
        for i in range(1000):
            ask.on_delta(Delta("text", f"word {i} "))
            await asyncio.sleep(0.001)
        spoken.append(time.monotonic() - began)
        await asyncio.sleep(2)
        return Reply(content="done", model="speaker", cost=0)
spoken, gaps = [], []
async def beat():
    while True:
        at = time.monotonic()
        await asyncio.sleep(0.002)
        gaps.append(time.monotonic() - at)
heart = asyncio.create_task(beat())
talk = Agent(Speaker()).run("Speak")
await talk.step()
gaps.clear()
talk'''

CLICKS = """async n => { const view = document.querySelector('.an-stepper'), list = view.querySelector('.an-steps'), times = [];
    const step = [...view.querySelectorAll('button')].find(b => b.getAttribute('aria-label') === 'Step');
    for (let i = 0; i < n; i++) {
        while (step.disabled) await new Promise(done => setTimeout(done, 5));
        const before = Number(list.querySelector('[aria-selected=true]')?.dataset.index ?? -1), began = performance.now();
        const line = `[data-index="${before + 1}"][aria-selected=true] .an-what`;
        await new Promise(done => {
            const seen = new MutationObserver(() => { if (list.querySelector(line)) { seen.disconnect(); done() } });
            seen.observe(list, { subtree: true, childList: true, attributes: true });
            step.click() });
        times.push(performance.now() - began);
        await new Promise(done => setTimeout(done, 60));
    }
    return times }"""

LISTEN = """async () => { const view = document.querySelectorAll('.an-stepper')[1], speech = view.querySelector('.an-speech');
    [...view.querySelectorAll('button')].find(b => b.getAttribute('aria-label') === 'Step').click();
    while (!speech.textContent) await new Promise(done => setTimeout(done, 2));
    const began = performance.now();
    while (!speech.textContent.includes('word 999')) await new Promise(done => setTimeout(done, 2));
    return (performance.now() - began) / 1000 }"""


def main():
    root = Path(tempfile.mkdtemp())
    cell = lambda source: dict(cell_type="code", execution_count=None, metadata={}, outputs=[], source=source)
    kernel = dict(display_name="Python 3", language="python", name="python3")
    cells = [cell(s) for s in (STEPS, SPEECH, "print(spoken[0], max(gaps))")]
    (root/"bench.ipynb").write_text(json.dumps(dict(cells=cells, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=4)))
    lab = Lab(root)
    try:
        with sync_playwright() as p:
            browser = p.chromium.launch(**CHROMIUM)
            page = browser.new_page(viewport=dict(width=1180, height=1000))
            nb = Notebook(page, lab, "bench.ipynb")
            nb.run_cell(0)
            nb.done(0)
            page.wait_for_selector(".an-stepper")
            page.evaluate(CLICKS, 5)
            clicks = sorted(page.evaluate(CLICKS, 60))
            nb.run_cell(1)
            nb.done(1)
            page.locator(".an-stepper").nth(1).wait_for()
            page.wait_for_timeout(500)
            shown = page.evaluate(LISTEN)
            nb.run_cell(2)
            page.wait_for_timeout(200)
            spoken, gap = map(float, nb.done(2).split())
            browser.close()
    finally: lab.stop()
    median, slow = statistics.median(clicks), clicks[int(0.95*len(clicks))]
    print(f"click to the new line: median {median:.0f} ms, 95 % {slow:.0f} ms, most {clicks[-1]:.0f} ms   (wanted: median under 100 ms)")
    print(f"1,000 deltas: said in {spoken:.2f} s, on screen in {shown:.2f} s: {shown/spoken:.2f} times   (wanted: at most 1.5)")
    print(f"the kernel's loop: longest block {gap * 1000:.0f} ms   (wanted: at most 50 ms)")


if __name__ == "__main__": main()
