"""Pages of nbs/ run from top to bottom, offline, where nobody can answer; what a page looks like then, and in what it differs from what is saved."""
import difflib, io, multiprocessing, os, sys
from pathlib import Path

from places import ROOT

SKIP = ("tutorials", "_")
LIBRARIES = "nbdev.test nbdev.clean matplotlib_inline.backend_inline matplotlib.pyplot pandas jsonschema openai anthropic langgraph.graph".split()


def modules(): return [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in sorted((ROOT/"agentnb").glob("*/[a-z]*.py"))]


def pages(): return sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if not any(part.startswith(SKIP) for part in p.relative_to(ROOT/"nbs").parts))


def _run(path, sender):
    "In a process of its own: what `nbdev-test --save` and `nbdev-clean` would write, or what went wrong"
    import nbdev.clean, nbdev.test
    from fastcore.nbio import loads, nb2str
    kept, sys.__stderr__ = [], io.StringIO()
    nbdev.test.write_nb = lambda nb, to: kept.append(nb2str(nb))
    os.chdir(ROOT/"nbs")
    fine, _ = nbdev.test.test_nb(path, nbdev.test.get_config().tst_flags.split(), basepath=ROOT, save=True, cell_timeout=120)
    if fine:
        page = loads(kept[0])
        nbdev.clean._nbdev_clean(page)
        sender.send((nb2str(page), ""))
    else: sender.send(("", sys.__stderr__.getvalue()))
    sender.close()
    os._exit(0)


class Runner:
    "Runs pages, each in a fork of one process that has loaded what most of them import"
    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([*LIBRARIES, "agentnb", *modules()])

    def __call__(self, path):
        receiver, sender = self.context.Pipe(duplex=False)
        child = self.context.Process(target=_run, args=(path, sender))
        child.start()
        sender.close()
        try: return receiver.recv()
        except EOFError: return "", f"{path.name} ended its process"
        finally:
            child.join(10)
            child.kill()


def in_kernel(path, timeout=120):
    "The page as nbconvert, papermill and JupyterLab run it: in a kernel. Pictures are drawn as nbdev draws them"
    import nbclient, nbformat
    page = nbformat.read(path, 4)
    retina = "from matplotlib_inline.backend_inline import set_matplotlib_formats; set_matplotlib_formats('retina')"
    page.cells.insert(0, nbformat.v4.new_code_cell(retina))
    nbclient.NotebookClient(page, timeout=timeout, resources=dict(metadata=dict(path=str(path.parent)))).execute()
    del page.cells[0]
    return page


def shown(page):
    "What stands under each code cell: streams joined, data by type without what only a kernel can draw"
    def one(o):
        if o["output_type"] == "stream": return o["name"], o["text"]
        return "data", {k: "".join(v).rstrip() for k, v in sorted(o.get("data", {}).items()) if "widget-view" not in k}
    return [[one(o) for o in c["outputs"]] for c in page["cells"] if c["cell_type"] == "code"]


def difference(path, made):
    "In what a page as it was made differs from the file; empty if in nothing"
    return "".join(difflib.unified_diff(Path(path).read_text().splitlines(True), made.splitlines(True), str(path), "as it is made now", n=1))[:4000]
