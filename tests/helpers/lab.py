"""A real Jupyter server, with JupyterLab and Notebook 7, and a real Chromium, for the browser tests."""
import json, os, re, signal, socket, subprocess, time, urllib.request
from contextlib import suppress
from pathlib import Path

from places import ARTIFACTS
from playwright.sync_api import TimeoutError, expect

from agentnb.cli.lab import lab_command

SETTINGS = {
    "apputils-extension/notification": dict(fetchNews="false", checkForUpdates=False),
    "notebook-extension/tracker": dict(windowingMode="none"),   # cells that are scrolled away stay in the page
    "completer-extension/manager": dict(providerTimeout=10_000),   # milliseconds; one second of its own
    "docmanager-extension/plugin": dict(autosave=False)}
CHROMIUM = dict(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"])


class Lab:
    "A server on a free loopback port, with configuration folders of its own"
    def __init__(self, root, theme="JupyterLab Light", **environment):
        self.root, home = Path(root), Path(root)/".jupyter"
        for name, value in {**SETTINGS, "apputils-extension/themes": dict(theme=theme)}.items():
            path = home/"settings"/"@jupyterlab"/f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{port}", open(home/"server.log", "w+")
        folders = dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="runtime", JUPYTERLAB_SETTINGS_DIR="settings",
            JUPYTERLAB_WORKSPACES_DIR="workspaces", IPYTHONDIR="ipython")
        env = {**os.environ, **{k: str(home/v) for k, v in folders.items()}, "AGENTNB_STORE": self.store(), **environment}
        for name in ("PYTEST_CURRENT_TEST", "CI", "AGENTNB_INTERACTIVE"): env.pop(name, None)
        options = dict(ip="127.0.0.1", port=port) | {"ServerApp.port_retries": 0, "IdentityProvider.token": "", "ServerApp.disable_check_xsrf": True,
            "ServerApp.root_dir": self.root, "LabApp.expose_app_in_browser": True, "JupyterNotebookApp.expose_app_in_browser": True,
            "LabApp.news_url": None, "LabApp.extension_manager": "readonly", "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate"}
        command = lab_command(Path("page.ipynb"), ["--no-browser", *(f"--{k}={v}" for k, v in options.items())])
        self.process = subprocess.Popen(command, env=env, cwd=self.root, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        self._wait()

    def store(self, name="runs"):
        "The URL of a store, hidden from the file browser: it says that a folder is not found when a file goes while it is listed"
        return f"sqlite:///{self.root}/.jupyter/{name}.db"

    def _wait(self):
        end = time.monotonic() + 60
        while True:
            try: return urllib.request.urlopen(f"{self.url}/api/status", timeout=1).read()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end: raise RuntimeError(self.stop()) from None
                time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        try: self.process.wait(15)
        except subprocess.TimeoutExpired: os.killpg(self.process.pid, signal.SIGKILL)
        self.log.seek(0)
        return self.log.read()


FAR = """ms => {
    window.WebSocket = class extends WebSocket {
        send(data) { setTimeout(() => super.send(data), ms) }
        set onmessage(heard) { super.onmessage = heard && (event => setTimeout(() => heard(event), ms)) } } }"""


def new_page(browser, width=1180, height=1000, far=int(os.environ.get("AGENTNB_TEST_FAR", 0))):
    "A page whose kernel is `far` milliseconds away in each direction: with 500, a test that looks before the answer is there is found out"
    page = browser.new_page()
    page.set_viewport_size(dict(width=width, height=height))
    page.set_default_timeout(30_000 + 40 * far)
    expect.set_options(timeout=30_000 + 40 * far)
    if far: page.add_init_script(f"({FAR})({far})")
    return page


RUN_CELL = """i => {
    const { commands, shell } = window.jupyterapp, ran = window.ran ||= {};
    shell.currentWidget.content.activeCellIndex = i;
    ran[i] = false;
    commands.execute("notebook:run-cell").finally(() => { ran[i] = true }) }"""
HAS_RUN = """async i => {
    if (window.ran && i in window.ran) return window.ran[i];
    const { promptNode, outputArea } = window.jupyterapp.shell.currentWidget.content.widgets[i];
    const ended = outputArea.future?.done.then(() => true, () => true) ?? true, soon = new Promise(no => setTimeout(no, 20, false));
    return /\\d/.test(promptNode.innerText) && Promise.race([ended, soon]) }"""
WRITE = "([i, source]) => window.jupyterapp.shell.currentWidget.content.model.cells.get(i).sharedModel.setSource(source)"
RESTART = """() => {
    window.restarted = false;
    window.jupyterapp.commands.execute("kernelmenu:restart").then(() => { window.restarted = true }) }"""


OPEN = """async path => {
    const { commands, shell } = window.jupyterapp;
    for (const w of [...shell.widgets("main")]) w.dispose();
    window.ran = {};
    await commands.execute("docmanager:open", { path }) }"""
ALONE = "() => { if (!window.jupyterapp.shell.leftCollapsed) window.jupyterapp.commands.execute('application:toggle-left-area') }"


class Notebook:
    "One notebook in the browser. It waits for prompts and outputs: JupyterLab says `Idle` while a cell awaits"
    def __init__(self, page, lab, path, loaded=False):
        self.page = page
        if loaded: page.evaluate(OPEN, path)
        else: page.goto(f"{lab.url}/lab/tree/{path}?reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
        self.kernel_ready()
        page.evaluate(ALONE)

    def kernel_ready(self):
        session = "window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session"
        self.page.wait_for_function(f"() => ['idle', 'busy'].includes({session}?.kernel?.status)", timeout=60_000)

    def command(self, name): self.page.evaluate("c => { window.ran = {}; window.jupyterapp.commands.execute(c) }", name)

    def run_cell(self, index): self.page.evaluate(RUN_CELL, index)

    def restart(self):
        self.page.evaluate(RESTART)
        self.page.locator(".jp-Dialog .jp-Dialog-button.jp-mod-accept").click()
        self.page.wait_for_function("window.restarted")
        self.kernel_ready()

    def write(self, index, source): self.page.evaluate(WRITE, [index, source])
    def save(self): self.page.evaluate("async () => { await window.jupyterapp.commands.execute('docmanager:save') }")
    def close(self): self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown() }")
    def cell(self, index): return self.page.locator(".jp-NotebookPanel .jp-Cell").nth(index)
    def prompt(self, index): return self.cell(index).locator(".jp-InputPrompt").first.inner_text()
    def output(self, index): return "\n".join(self.cell(index).locator(".jp-OutputArea-output").all_inner_texts())

    def done(self, index, seconds=60):
        "Wait until the cell has run and all it said has arrived, and return what it shows"
        end = time.monotonic() + seconds
        while not self.page.evaluate(HAS_RUN, index):
            if time.monotonic() > end: raise AssertionError(f"cell {index} has not ended after {seconds} s: {self.output(index)}")
            self.page.wait_for_timeout(20)
        return self.output(index)


def write_page(lab, name, *sources):
    "A notebook of these cells, in the folder of the server"
    cell = lambda source: dict(cell_type="code", execution_count=None, metadata={}, outputs=[], source=source)
    kernel = dict(display_name="Python 3", language="python", name="python3")
    (lab.root/name).write_text(json.dumps(dict(cells=[cell(s) for s in sources], metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=4)))
    return name


class Desk:
    "JupyterLab in a page, for one notebook after another: to load it takes ten times as long as to open a notebook in it"
    def __init__(self, browser, lab): self.browser, self.lab, self.page, self.said = browser, lab, None, []

    def open(self, path, width=1180, height=1000):
        "The notebook at `path`, alone in the page"
        loaded = self.page is not None
        if not loaded:
            self.page = new_page(self.browser)
            self.page.on("console", lambda m: self.said.append(m.text) if m.type == "error" else None)
            self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.said.clear()
        self.page.set_viewport_size(dict(width=width, height=height))
        return Notebook(self.page, self.lab, path, loaded)

    def clear(self):
        "The next notebook comes into a new page"
        if self.page: self.page.close()
        self.page = None


DARK = """url => new Promise(done => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: url, id: "dark" });
    link.onload = done;
    document.body.append(link) })"""   # behind the light one, which JupyterLab puts there
THEME = """dark => new Promise(done => {
    document.getElementById("dark").disabled = !dark;
    Object.assign(document.body.dataset, { jpThemeLight: String(!dark), jpThemeName: `JupyterLab ${dark ? "Dark" : "Light"}` });
    requestAnimationFrame(() => requestAnimationFrame(done)) })"""


def shoot(page, name, view=None):
    "Pictures of the page or of a view in it, in both themes, as JupyterLab changes them: by a style sheet and two attributes"
    if not page.evaluate("!!document.getElementById('dark')"):
        page.evaluate(DARK, page.evaluate("new URL('/lab/api/themes/@jupyterlab/theme-dark-extension/index.css', location).href"))
    ARTIFACTS.mkdir(exist_ok=True)
    page.mouse.move(2, 2)
    for theme in ("dark", "light"):
        page.evaluate(THEME, theme == "dark")
        (view or page).screenshot(path=str(ARTIFACTS/f"{re.sub(r'[^-a-zA-Z0-9]+', '-', name)}-{theme}.png"), animations="disabled")


def settle(view):
    "Wait as a person does: until the first open card of a view has been there long enough to be answered"
    card = view.locator(".an-ask:not(.an-decided)").first
    card.scroll_into_view_if_needed()
    view.locator(".an-ask:not(.an-decided)[aria-busy=false]").first.wait_for()


def press(button):
    "Click as a person does: what is out of view is looked at first, and a card takes an answer a moment later"
    button.scroll_into_view_if_needed()
    before = None
    while (now := button.bounding_box()) != before:   # a page that is still being drawn moves it
        before = now
        time.sleep(0.25)
    button.click()


def press_until(button, seen, tries=8):
    "Press as a person does who sees that nothing happened: a card that has just moved takes no press"
    for _ in range(tries):
        with suppress(TimeoutError):
            button.scroll_into_view_if_needed(timeout=4000)
            button.click(timeout=4000)
        try: return seen()
        except TimeoutError: pass
    seen()


def approve(view, name="Approve", tool=None):
    "Say yes as a person does: when the card can be answered, and once more in another place if `tool` may destroy"
    first, yes = (view.get_by_role("button", name=said, exact=True).first for said in (name, f"Yes, call {tool}"))
    if not tool: return press(first)
    press_until(first, lambda: yes.wait_for(timeout=4000))
    press_until(yes, lambda: yes.wait_for(state="hidden", timeout=4000))


class View:
    "One stepper in the page"
    def __init__(self, nb, root): self.nb, self.page, self.root = nb, nb.page, root
    def button(self, name): return self.root.get_by_role("button", name=name, exact=True)
    def click(self, name): press(self.button(name))
    def approve(self, tool, name="Approve"): approve(self.root, name, tool)
    def settled(self): self.root.locator(".an-pane[aria-busy=false]").wait_for()
    def tab(self, name):
        self.root.locator(f"[role=tab][data-tab={name}]").click()
        self.settled()
    def write(self, cell, source): self.nb.write(cell, source)
    def rows(self): return [r.strip() for r in self.root.locator(".an-steps li").all_inner_texts()]
    def sees(self, text): self.root.get_by_text(text).first.wait_for()
    def status(self, text): self.root.locator(".an-status").get_by_text(text).wait_for()
    def selected(self, n): self.root.locator(f".an-steps li[data-index='{n}'][aria-selected=true]").wait_for()
    def last(self, n):
        self.root.locator(f".an-steps li[data-index='{n}']").wait_for()
        self.selected(n)
    def keys(self, *keys):
        self.root.locator(".an-steps").focus()
        for key in keys:
            self.page.keyboard.press(key)
            self.settled()
    def shoot(self, name): shoot(self.page, f"stepper-{name}", self.root)
