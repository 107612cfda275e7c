"""A real Jupyter server, of JupyterLab or Notebook 7, and a real Chromium, for the browser tests."""
import json, os, signal, socket, subprocess, sys, time, urllib.request
from pathlib import Path

from playwright.sync_api import expect

from agentnb.cli.lab import lab_command

SETTINGS = {
    "apputils-extension/notification": dict(fetchNews="false", checkForUpdates=False),
    "notebook-extension/tracker": dict(windowingMode="none"),   # cells that are scrolled away stay in the page
    "completer-extension/manager": dict(providerTimeout=10_000),   # milliseconds; one second of its own
    "docmanager-extension/plugin": dict(autosave=False)}
CHROMIUM = dict(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"])


class Lab:
    "A server on a free loopback port, with configuration folders of its own"
    def __init__(self, root, theme="JupyterLab Light", app="LabApp", **environment):
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
            "ServerApp.root_dir": self.root, f"{app}.expose_app_in_browser": True, "LabApp.news_url": None, "LabApp.extension_manager": "readonly",
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate"}
        more = ["--no-browser", *(f"--{k}={v}" for k, v in options.items())]
        command = lab_command(Path("page.ipynb"), more) if app == "LabApp" else [sys.executable, "-m", "notebook", "--allow-root", *more]
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
    page = browser.new_page(viewport=dict(width=width, height=height))
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
RESTART = """() => {
    window.restarted = false;
    window.jupyterapp.commands.execute("kernelmenu:restart").then(() => { window.restarted = true }) }"""


class Notebook:
    "One notebook in the browser. It waits for prompts and outputs: JupyterLab says `Idle` while a cell awaits"
    def __init__(self, page, lab, path):
        self.page = page
        page.goto(f"{lab.url}/lab/tree/{path}?reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
        self.kernel_ready()

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
