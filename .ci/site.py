"""Build the documentation without the Quarto program: `python .ci/site.py`.

nbdev processes the notebooks into `_proc/`; pages lose the numbers that order them in `nbs/`; smalldocs renders the site
from the root's `_quarto.yml` into `_docs/` and checks its links. With `--readme` the page of `index.ipynb` becomes `README.md`.
"""
import pathlib, re, shutil, sys

from nbdev.serve import proc_nbs
from smalldocs.cli import main as smalldocs

ROOT = pathlib.Path(__file__).resolve().parent.parent
NUMBER = re.compile(r"\b\d\d_(?=\w+\.ipynb)")


def stage():
    "Notebooks and configuration in `_proc/`, as the renderer wants them"
    shutil.rmtree(ROOT/"_proc", ignore_errors=True)
    folder = pathlib.Path(proc_nbs(str(ROOT/"nbs"), n_workers=0, force=True))
    for page in folder.rglob("*.ipynb"):
        page.write_text(re.sub(r"output-file: [\w.]+\\n", "", page.read_text()))
        page.rename(page.with_name(NUMBER.sub("", page.name)))
    (folder/"_quarto.yml").write_text(NUMBER.sub("", (ROOT/"_quarto.yml").read_text()))
    return folder


def readme(folder):
    "`README.md` from the rendered index: its links lead to the notebooks, where GitHub renders them"
    text = (folder/"_docs"/"index.llms.md").read_text()
    pages = {re.sub(r"\d\d_", "", str(p.relative_to(ROOT/"nbs")))[:-6]: p.relative_to(ROOT) for p in (ROOT/"nbs").rglob("*.ipynb")}
    link = lambda m: f"]({pages[m.group(1)]})" if m.group(1) in pages else m.group(0)
    text = re.sub(r"\]\(([\w/]+?)(?:\.llms\.md|\.html(?:\.md)?)\)", link, text)
    text = re.sub(r"<!-- WARNING: .*?-->\n\n", "", text)
    text = text.replace("](images/", "](nbs/images/")
    (ROOT/"README.md").write_text("<!-- Made from nbs/index.ipynb by .ci/site.py: edit that. -->\n\n" + text.strip() + "\n")


if __name__ == "__main__":
    folder = stage()
    for command in (["render", "--quiet"], ["check"]):
        if code := smalldocs([*command, str(folder)]): sys.exit(code)
    if "--readme" in sys.argv: readme(folder)
    print(f"site: {len(list((folder/'_docs').rglob('*.html')))} pages in {folder/'_docs'}")
